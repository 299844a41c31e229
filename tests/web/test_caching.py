"""Cache headers of personalised responses: never more cacheable than before."""

from __future__ import annotations

import itertools

import pytest

from whichvariant.web.caching import private_headers


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "private, no-cache"),
        ("", "private, no-cache"),
        ("public", "private, no-cache"),
        ("max-age=60", "private, max-age=60"),
        ("public, max-age=60, s-maxage=600", "private, max-age=60"),
        ("PUBLIC, S-MaxAge=600, Max-Age=60", "private, Max-Age=60"),
        ("private", "private, no-cache"),
        ("private, max-age=60", None),
        ('private="set-cookie", max-age=60', "private, max-age=60"),
        ('private="a, public", max-age=60', "private, max-age=60"),
        ('no-cache="set-cookie, x", public', 'private, no-cache="set-cookie, x"'),
        ("no-store", None),
        ("no-store, public", None),
        ("no-cache, must-revalidate", "private, no-cache, must-revalidate"),
        ("proxy-revalidate, max-age=1, immutable", "private, max-age=1, immutable"),
    ],
)
def test_cache_control(before: str | None, after: str | None) -> None:
    headers = {"vary": "Cookie"} | ({} if before is None else {"cache-control": before})
    assert private_headers(headers) == ({} if after is None else {"Cache-Control": after})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Cookie"),
        ("", "Cookie"),
        ("Accept-Encoding", "Accept-Encoding, Cookie"),
        ("Accept-Encoding, cookie", None),
        ("*", None),
        ("Cookies", "Cookies, Cookie"),
    ],
)
def test_vary(before: str | None, after: str | None) -> None:
    headers = {"cache-control": "no-store"} | ({} if before is None else {"vary": before})
    assert private_headers(headers) == ({} if after is None else {"Vary": after})


def test_headers_for_certain_caches() -> None:
    """They go before Cache-Control, so private alone would not hold."""
    headers = {
        "cache-control": "public, max-age=5",
        "cdn-cache-control": "max-age=600",
        "surrogate-control": "max-age=600",
        "x-accel-expires": "600",
        "vary": "Cookie",
    }
    assert private_headers(headers) == {
        "Cache-Control": "private, max-age=5",
        "CDN-Cache-Control": "no-store",
        "Surrogate-Control": "no-store",
        "X-Accel-Expires": "0",
    }


def test_never_more_cacheable() -> None:
    """Over all sets of directives: what forbade still forbids, nothing shared is left."""
    parts = [
        "public", "private", "no-store", "no-cache", "max-age=60", "s-maxage=600",
        "must-revalidate",
    ]  # fmt: skip
    for count in range(len(parts) + 1):
        for chosen in itertools.combinations(parts, count):
            changes = private_headers({"cache-control": ", ".join(chosen)})
            after = set(changes.get("Cache-Control", ", ".join(chosen)).split(", "))
            assert "no-store" in after or "private" in after
            assert "no-store" in after or not after & {"public", "s-maxage=600"}
            assert after - {"private", "no-cache"} <= set(chosen)
            assert {"no-store", "no-cache", "must-revalidate"} & set(chosen) <= after
            # A second time changes nothing.
            again = private_headers({"cache-control": ", ".join(sorted(after)), "vary": "Cookie"})
            assert set(again.get("Cache-Control", ", ".join(after)).split(", ")) == after

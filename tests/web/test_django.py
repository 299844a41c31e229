"""Django middleware and template tags, under WSGI and ASGI, with views of both kinds."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.web import shop

ROOT = pathlib.Path(__file__).parents[2]

SERVERS = ["wsgi", "asgi"]
SITE = "tests.web.django_site"
DECIDER = f"{SITE}.decider"

Answer = dict[str, Any]


def get(server: str, path: str, **headers: str) -> dict[str, Any]:
    """A request by a browser."""
    sent = {"user-agent": shop.BROWSER}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return {"server": server, "path": path, "headers": sent, "extra": {}}


class Site:
    """The process that runs the site."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, configured: Any, *requests: dict[str, Any]) -> list[Answer]:
        """The site's answers, with these settings."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        found = []
        for request in requests:
            line = json.dumps({**request, "configured": configured})
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            found.append(json.loads(self.process.stdout.readline()))
        return found


@pytest.fixture(scope="module")
def answers() -> Iterator[Site]:
    """The site, with warnings as errors."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.web.django_driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
    )
    with process:
        yield Site(process)
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def known(visitor: str) -> str:
    return f"ntaid={visitor}"


@pytest.mark.parametrize("decider", [DECIDER, f"{SITE}.make_decider"])
def test_views_of_both_kinds_on_both_servers(answers: Site, decider: str) -> None:
    visits = [
        (server, view, visitor)
        for server in SERVERS
        for view in ("sync", "async")
        for visitor in (shop.ON_BASELINE, shop.ON_VARIANT)
    ]
    found = answers(
        {"decider": decider},
        *(get(server, f"/{view}", cookie=known(visitor)) for server, view, visitor in visits),
    )
    for (_, _, visitor), answer in zip(visits, found, strict=True):
        assert (answer["status"], answer["text"]) == (200, shop.TITLES[visitor])
        assert answer["headers"]["cache-control"] == "private, max-age=60"
        assert answer["headers"]["vary"] == "Cookie"
        cookie = answer["cookies"]["ntaid"]
        assert (cookie["value"], cookie["path"], cookie["samesite"]) == (visitor, "/", "Lax")
        assert (cookie["max-age"], cookie["httponly"]) == ("31536000", "")


def test_a_decider_that_is_awaited(answers: Site) -> None:
    requests = [
        get("asgi", f"/{view}", cookie=known(shop.ON_VARIANT)) for view in ("sync", "async")
    ]
    found = answers({"decider": f"{SITE}.later"}, *requests)
    assert [answer["text"] for answer in found] == ["Variant", "Variant"]
    (refused,) = answers({"decider": f"{SITE}.later"}, get("wsgi", "/sync"))
    assert "Django must run on ASGI" in refused["error"]


def test_stored_profiles(answers: Site) -> None:
    first, guessed = answers(
        {"decider": f"{SITE}.stored"},
        get("asgi", "/sync"),
        get("asgi", "/sync", cookie="ntaid=customer-7"),
    )
    assert len(first["cookies"]["ntaid"]["value"]) == 64
    assert guessed["cookies"]["ntaid"]["value"] != "customer-7"


def test_template_tags(answers: Site) -> None:
    query = "?name=%3Cb%3EZo%C3%AB"
    for answer in answers(
        {"decider": DECIDER},
        *(get(server, f"/page{query}", cookie=known(shop.ON_VARIANT)) for server in SERVERS),
    ):
        section, _, rest = answer["text"].strip().partition("</section>")
        assert section.replace("\n", "") == (
            '<section data-ctfl-entry-id="v" data-ctfl-baseline-id="b" '
            'data-ctfl-optimization-id="hero" data-ctfl-sticky="true" data-ctfl-variant-index="1">'
            "Variant|Buy &lt;now&gt;|&lt;b&gt;Zoë"
        )
        assert rest.startswith("\n3<script")
        assert "<b>" not in answer["text"]
        assert shop.handed_over(answer["text"])["profile"]["id"] == shop.ON_VARIANT


def test_jinja2_in_django(answers: Site) -> None:
    (answer,) = answers({"decider": DECIDER}, get("wsgi", "/jinja", cookie=known(shop.ON_VARIANT)))
    assert answer["text"] == "Variant|Buy &lt;now&gt;"


def test_what_asks_nothing_stays_cacheable(answers: Site) -> None:
    plain, static, missing = answers(
        {"decider": DECIDER, "settings": f"{SITE}.skipping"},
        get("wsgi", "/plain"),
        get("wsgi", "/static/sync", cookie=known(shop.ON_VARIANT)),
        get("wsgi", "/nowhere"),
    )
    assert plain["headers"]["cache-control"] == "public"
    assert static["text"] == "Baseline"
    assert static["headers"]["cache-control"] == "public, max-age=60"
    for answer in (plain, static, missing):
        assert answer["cookies"] == {}
        assert "vary" not in answer["headers"]


@pytest.mark.parametrize("server", SERVERS)
def test_djangos_own_cache_keeps_nothing_personal(answers: Site, server: str) -> None:
    """It looks at responses before the middleware does, and would show them to everybody."""
    visitors = [shop.ON_VARIANT, shop.ON_BASELINE, shop.ON_VARIANT]
    requests = [get(server, "/cached", cookie=known(visitor)) for visitor in visitors]
    found = answers(
        {"decider": DECIDER}, *requests, get(server, "/cached-plain"), get(server, "/cached-plain")
    )
    assert [answer["text"] for answer in found] == [
        *(shop.TITLES[visitor] for visitor in visitors),
        found[3]["text"],
        found[3]["text"],
    ]
    assert found[3]["text"].startswith("For everybody")
    assert all(answer["headers"]["cache-control"].startswith("private") for answer in found[:3])


@pytest.mark.parametrize("server", SERVERS)
def test_streams(answers: Site, server: str) -> None:
    said, unsaid = answers(
        {"decider": DECIDER},
        get(server, "/stream?use=1", cookie=known(shop.ON_VARIANT)),
        get(server, "/stream", cookie=known(shop.ON_VARIANT)),
    )
    assert said["status"] == 200, said["logged"]
    assert (said["text"], said["headers"]["cache-control"]) == ("Variant", "private, no-cache")
    assert unsaid["text"] == "Baseline"
    assert "cache-control" not in unsaid["headers"]


@pytest.mark.parametrize("server", SERVERS)
def test_failures(answers: Site, server: str) -> None:
    (answer,) = answers({"decider": f"{SITE}.broken"}, get(server, "/sync"))
    assert (answer["status"], answer["text"]) == (200, "Baseline")
    assert answer["cookies"] == {}
    assert "showing the baseline" in answer["logged"]
    (answer,) = answers({"decider": DECIDER}, get(server, "/fail"))
    assert answer["status"] == 500


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (None, 'a dict with a "decider"'),
        ({}, 'a dict with a "decider"'),
        ({"decider": DECIDER, "cookie": "x"}, "unknown keys: cookie"),
        ({"decider": "tests.web.shop.HERO"}, "the decider has no method preflight"),
        ({"decider": DECIDER, "settings": DECIDER}, "settings is a WebSettings"),
    ],
)
def test_settings_that_cannot_be_used(answers: Site, configured: Any, message: str) -> None:
    (refused,) = answers(configured, get("wsgi", "/sync"))
    assert f"SettingsError: WHICHVARIANT: {message}" in refused["error"]


def test_https_as_django_sees_it(answers: Site) -> None:
    secure = {**get("wsgi", "/sync"), "extra": {"secure": True}}
    open_, closed = answers({"decider": DECIDER}, get("wsgi", "/sync"), secure)
    assert open_["cookies"]["ntaid"]["secure"] == ""
    assert closed["cookies"]["ntaid"]["secure"] == "True"


def test_a_host_that_django_refuses(answers: Site) -> None:
    """The middleware must not fail before Django answers in its own way."""
    (answer,) = answers({"decider": DECIDER}, get("wsgi", "/page", host="evil.example"))
    assert answer["status"] in {200, 400}

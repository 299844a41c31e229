"""Addresses, by examples; tests/sdk/test_events.py compares many more with JavaScript."""

from __future__ import annotations

import pytest

from whichvariant.events.web_address import read_web_address


@pytest.mark.parametrize(
    ("text", "path", "search", "query"),
    [
        ("https://shop.example", "/", "", {}),
        ("https://shop.example/?", "/", "", {}),
        ("https://shop.example?a=1", "/", "?a=1", {"a": "1"}),
        ("https://shop.example/a/b#c?d", "/a/b", "", {}),
        ("https://shop.example/a/./b/../c", "/a/c", "", {}),
        ("https://shop.example/a/%2E%2e/b/.", "/b/", "", {}),
        ("https://shop.example/../..", "/", "", {}),
        ("https://shop.example/zelte für zwei", "/zelte%20f%C3%BCr%20zwei", "", {}),
        ("https://shop.example/a%2fb%zz", "/a%2fb%zz", "", {}),
        ("https://shop.example\\a\\b", "/a/b", "", {}),
        ("HTTP:shop.example/a", "/a", "", {}),
        ("  https://shop.example/a\n/b\t ", "/a/b", "", {}),
        ("https://shop.example/?a=1&a=2&b&=c", "/", "?a=1&a=2&b&=c", {"a": "2", "b": "", "": "c"}),
        ("https://shop.example/?a=b+c%20d%ff", "/", "?a=b+c%20d%ff", {"a": "b c d\ufffd"}),
        ("https://shop.example/?q='é'", "/", "?q=%27%C3%A9%27", {"q": "'é'"}),
        ("https://me:secret@shop.example:8443/a", "/a", "", {}),
        ("https://[2001:db8::1]:8443/a", "/a", "", {}),
        ("https://shop.example/\ud800", "/%EF%BF%BD", "", {}),
        ("app://host/a/../b?q='", "/b", "?q='", {"q": "'"}),
        ("app:about us", "about us", "", {}),
        ("app:/a/./b", "/a/b", "", {}),
    ],
)
def test_addresses(text: str, path: str, search: str, query: dict[str, str]) -> None:
    assert read_web_address(text) == (path, search, query)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "shop.example",
        "https:",
        "https://",
        "https://sh op.example/",
        "https://shop.example:x/",
        "https://shop.example:65536/",
        "https://user@/",
        "https://[::1/",
        "https://[::1]x/",
        "https://a%23b/",
        "https://%ff/",
        "app://:80/a",
        "app://a b/c",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert read_web_address(text) is None

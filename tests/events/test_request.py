"""What requests tell, through the frameworks that people use, and from scopes of any make."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any
from wsgiref.util import setup_testing_defaults

import flask
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from whichvariant import events
from whichvariant.events import RequestContext
from whichvariant.events.request import preferred_language
from whichvariant.profiles.events import read_events

HERE = pathlib.Path(__file__).parent
NOW_MS = 1_793_534_400_000
PATH = "/shop/zelte%20f%C3%BCr/a%2Fb"
SEARCH = "?utm_source=mail&utm_term=&size=2&size=3"
URL = f"https://shop.example{PATH}{SEARCH}"
HEADERS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "accept-language": "de;q=0.7, de-AT, en;q=0.9",
    "referer": "https://search.example/?q=tents",
    "cookie": 'ntaid=0123abcd; theme="dark"; ntaid=other; broken; =x',
}
SEEN = {
    "url": URL,
    "path": PATH,
    "search": SEARCH,
    "query": {"utm_source": "mail", "utm_term": "", "size": "3"},
    "campaign": {"source": "mail"},
    "referrer": "https://search.example/?q=tents",
    "user_agent": HEADERS["user-agent"],
    "locale": "de-AT",
    "client_ip": "192.0.2.7",
    "cookies": {"ntaid": "0123abcd", "theme": "dark"},
}


def told(context: RequestContext) -> dict[str, Any]:
    """All that a context says, by the names of `SEEN`."""
    return {name: getattr(context, name) for name in SEEN}


def environ(**given: Any) -> dict[str, Any]:
    """A WSGI environment as PEP 3333 wants it."""
    found: dict[str, Any] = {}
    setup_testing_defaults(found)
    del found["HTTP_HOST"]
    return {**found, **given}


# ---- frameworks ---------------------------------------------------------------------------------


async def test_starlette() -> None:
    seen: list[RequestContext] = []

    async def endpoint(request: Request) -> Response:
        seen.append(RequestContext.from_request(request))
        return Response()

    # Below a mount, where frameworks shorten the path.
    app = Starlette(routes=[Mount("/shop", routes=[Route("/{rest:path}", endpoint)])])
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(URL, headers=HEADERS)).status_code == 200
    assert told(seen[0]) == SEEN


def test_flask() -> None:
    seen: list[RequestContext] = []
    app = flask.Flask(__name__)

    @app.get("/shop/<path:rest>")
    def endpoint(rest: str) -> str:
        seen.append(RequestContext.from_request(flask.request))
        return rest

    peer = {"REMOTE_ADDR": "192.0.2.7"}
    with app.test_client(use_cookies=False) as client:
        answer = client.get(URL, headers=HEADERS, environ_overrides=peer)
    assert answer.status_code == 200
    assert told(seen[0]) == SEEN


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_django(interface: str) -> None:
    # In a process of its own, since Django has one configuration in a process.
    finished = subprocess.run(
        [sys.executable, str(HERE / "django_requests.py"), interface, URL, json.dumps(HEADERS)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout)
    if interface == "wsgi":
        # Nothing says which slashes of the path were encoded.
        assert seen["path"] == PATH.replace("%2F", "/")
        seen.update(path=PATH, url=seen["url"].replace("a/b", "a%2Fb"))
    assert seen == SEEN


def test_something_else_is_no_request() -> None:
    with pytest.raises(TypeError, match="object has neither"):
        RequestContext.from_request(object())


# ---- scopes and environments --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ({}, "http://"),
        ({"path": "/a b", "server": ("shop.example", 80)}, "http://shop.example/a%20b"),
        ({"scheme": "https", "server": ("shop.example", 443)}, "https://shop.example/"),
        ({"scheme": "https", "server": ("shop.example", 8443)}, "https://shop.example:8443/"),
        ({"server": ("::1", 8000)}, "http://[::1]:8000/"),
        ({"server": ("/run/shop.sock", None)}, "http://localhost/"),
        ({"scheme": "wss", "headers": [(b"host", b"shop.example")]}, "https://shop.example/"),
        (
            {"headers": [(b"Host", b"shop.example")], "raw_path": b"/\xc3\xa9#?", "path": "/x"},
            "http://shop.example/%C3%A9%23%3F",
        ),
        (
            {"headers": [(b"host", b"shop.example")], "query_string": b"a=\xff#&b='"},
            "http://shop.example/?a=%FF%23&b='",
        ),
        ({"headers": [(b"host", b"shop.example")], "raw_path": b"*"}, "http://shop.example/"),
    ],
)
def test_addresses_from_asgi(scope: dict[str, Any], url: str) -> None:
    context = RequestContext.from_asgi({"type": "http", **scope})
    assert context.url == url if scope else context.page["url"] == ""


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1/"),
        ({"SERVER_PORT": "8000"}, "http://127.0.0.1:8000/"),
        ({"wsgi.url_scheme": "https", "SERVER_PORT": "443"}, "https://127.0.0.1/"),
        ({"HTTP_HOST": "shop.example", "PATH_INFO": ""}, "http://shop.example/"),
        (
            {"HTTP_HOST": "shop.example", "SCRIPT_NAME": "/a", "PATH_INFO": "/\xc3\xa9 ?"},
            "http://shop.example/a/%C3%A9%20%3F",
        ),
        (
            {"HTTP_HOST": "shop.example", "REQUEST_URI": "/a%2Fb?c=\xc3\xa9", "PATH_INFO": "/a/b"},
            "http://shop.example/a%2Fb?c=%C3%A9",
        ),
        (
            {"HTTP_HOST": "shop.example", "RAW_URI": "/x", "QUERY_STRING": "ignored"},
            "http://shop.example/x",
        ),
        (
            {"HTTP_HOST": "shop.example", "REQUEST_URI": "http://elsewhere/x", "PATH_INFO": "/y"},
            "http://shop.example/y",
        ),
    ],
)
def test_addresses_from_wsgi(given: dict[str, Any], url: str) -> None:
    assert RequestContext.from_wsgi(environ(**given)).url == url


def test_what_the_application_knows_better() -> None:
    scope = {
        "type": "http",
        "path": "/a",
        "headers": [(b"host", b"10.0.0.1:8000"), (b"x-forwarded-for", b"203.0.113.9")],
        "client": ("10.0.0.2", 1),
    }
    plain = RequestContext.from_asgi(scope)
    # Anybody can send these headers.
    assert (plain.url, plain.client_ip) == ("http://10.0.0.1:8000/a", "10.0.0.2")
    context = RequestContext.from_asgi(
        scope,
        base_url="https://shop.example/",
        client_ip="203.0.113.9",
        title="Tents",
        location={"city": "Berlin"},
    )
    assert context.url == "https://shop.example/a"
    assert context.client_ip == "203.0.113.9"
    assert context.to_context()["location"] == {"city": "Berlin"}
    same = RequestContext.from_wsgi(
        environ(PATH_INFO="/a"),
        base_url="https://shop.example",
        client_ip="203.0.113.9",
        title="Tents",
        location={"city": "Berlin"},
    )
    assert same == context


def test_repeated_headers() -> None:
    headers = [
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"accept-language", b"en;q=0.1"),
        (b"accept-language", b"fr"),
        (b"user-agent", b"first"),
        (b"user-agent", b"second"),
    ]
    context = RequestContext.from_asgi({"type": "http", "headers": headers})
    assert context.cookies == {"a": "1", "b": "2"}
    assert context.locale == "fr"
    assert context.user_agent == "first"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", ""),
        ("*", ""),
        ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
        ("en; q=0.5 , fr ; Q=0.6", "fr"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=x, en;q=nan, fr;q=0.1", "fr"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("<script>, en", "en"),
        ("en, de", "en"),
    ],
)
def test_languages(header: str, language: str) -> None:
    assert preferred_language(header) == language


_BYTES = st.binary(max_size=30)


@given(
    path=_BYTES,
    query=_BYTES,
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [b"host", b"cookie", b"referer", b"user-agent", b"accept-language", b"x"]
            ),
            _BYTES,
        ),
        max_size=8,
    ),
)
def test_whatever_a_visitor_sends_makes_an_event(
    path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    scope = {
        "type": "http",
        "scheme": "https",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "server": ("shop.example", 443),
    }
    event = events.page(RequestContext.from_asgi(scope))
    (read,) = read_events([event], NOW_MS)
    json.dumps(read.raw, allow_nan=False).encode()
    wsgi = environ(
        PATH_INFO=path.decode("latin-1"),
        QUERY_STRING=query.decode("latin-1"),
        **{f"HTTP_{name.decode().upper()}": value.decode("latin-1") for name, value in headers},
    )
    read_events([events.page(RequestContext.from_wsgi(wsgi))], NOW_MS)

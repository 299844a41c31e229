"""The inspector's paths: the page, its files, and its data."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant.server.admin import require_admin
from whichvariant.server.body import BodyReader, Disconnected
from whichvariant.server.envelope import failure
from whichvariant.server.failures import Refused, failure_of
from whichvariant.server.inspector import is_loopback
from whichvariant.server.inspector.data import (
    MAX_CONFIGURATION_BYTES,
    Comparison,
    Data,
    LookUp,
    Question,
    Supposition,
    read,
)
from whichvariant.server.running import Running

if TYPE_CHECKING:
    from whichvariant.server.app import App

_LOG = logging.getLogger("whichvariant.server.inspector")

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}

# Nothing but the page's own files, nothing in line, nobody's frame; and what profiles say cannot
# become markup, because no text may.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_BODY_TIMEOUT_S = 60.0
# What proxies add. Who comes through one does not sit at this machine, whatever the peer is.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
# Escaped, a configuration's text takes more room than it has bytes.
_MAX_BODY_BYTES = 2 * MAX_CONFIGURATION_BYTES

_Answer = Callable[[Data, bytes], Awaitable[Any]]


def inspector_routes(app: App) -> list[BaseRoute]:
    """What is served below ``/inspector``."""
    bodies = BodyReader(_MAX_BODY_BYTES, _BODY_TIMEOUT_S, 2 * _MAX_BODY_BYTES)
    data: dict[Running, Data] = {}

    def answering(answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                _admit(app, request)
                running = await app.start()
                if running not in data:
                    data.clear()
                    data[running] = Data(running)
                body = b""
                if request.method == "POST":
                    _check_json(request)
                    body = await bodies.read(dict(request.scope["headers"]), request.receive)
                found = await answer(data[running], body)
            except (Disconnected, ClientDisconnect):
                return Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - the page is told, whatever it is
                return _failed(error)
            content = orjson.dumps({"data": found, "error": None, "message": "ok"})
            return _response(200, content, "application/json", "no-store")

        return endpoint

    def posting(path: str, kind: type[Any], answer: Callable[[Data, Any], Awaitable[Any]]) -> Route:
        async def asked(data: Data, body: bytes) -> Any:
            return await answer(data, read(body, kind))

        return Route(f"/inspector/data/{path}", answering(asked), methods=["POST"])

    async def environments(data: Data, body: bytes) -> Any:
        return {**await data.environments(), "token": app.settings.admin_token is not None}

    return [
        Route("/inspector", _page, methods=["GET"]),
        Route("/inspector/data/environments", answering(environments), methods=["GET"]),
        posting("profile", LookUp, Data.look_up),
        posting("preflight", Supposition, Data.suppose),
        posting("explanation", Question, Data.explain),
        posting("comparison", Comparison, Data.compare),
        Route("/inspector/{name}", _file, methods=["GET"]),
    ]


async def _page(request: Request) -> Response:
    return _response(200, _FILES["page.html"], _TYPES[".html"], "no-cache")


async def _file(request: Request) -> Response:
    name: str = request.path_params["name"]
    content = _FILES.get(name)
    if content is None or name == "page.html":
        return _response(
            404, failure("ERR_INVALID_DATA", "there is nothing at this path"), "application/json"
        )
    return _response(200, content, _TYPES[name[name.rindex(".") :]], "no-cache")


def _read_files() -> dict[str, bytes]:
    folder = resources.files("whichvariant.server.inspector")
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.is_file() and file.name.endswith(tuple(_TYPES))
    }


_FILES = _read_files()


def _admit(app: App, request: Request) -> None:
    """Refused unless the request is an operator's.

    Without a token that is whoever sits at this machine. Pages of other sites are none: what they
    can send without being asked has another content type, and a name of theirs that leads here
    (DNS rebinding) is no name of this machine. Nor is whoever comes through a proxy.
    """
    token = app.settings.admin_token
    if token is not None:
        require_admin(token, request.headers.get("authorization"))
        return
    client = request.client
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    here = client is not None and is_loopback(client.host) and is_loopback(name)
    if not here or any(header in request.headers for header in _FORWARDED):
        raise Refused(403, "without admin_token the inspector answers to this machine alone")


def _check_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "content-type: expected application/json", close=True)


def _failed(error: Exception) -> Response:
    answer = failure_of(error)
    if not answer.expected:
        _LOG.error("the inspector failed", exc_info=error)
    response = _response(
        answer.status, failure(answer.code, answer.message), "application/json", "no-store"
    )
    for name, value in answer.headers:
        response.headers[name.decode()] = value.decode()
    return response


def _response(status: int, content: bytes, kind: str, cache: str = "no-store") -> Response:
    return Response(content, status, {**_HEADERS, "cache-control": cache}, kind)

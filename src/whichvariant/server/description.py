"""``/openapi.json`` and ``/docs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant.server.docs_page import POLICY, docs_page
from whichvariant.server.openapi import document

if TYPE_CHECKING:
    from whichvariant.server.app import App

_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}


def description_routes(app: App) -> list[BaseRoute]:
    """The API's description, for programs and for people."""
    made: dict[str, tuple[bytes, str]] = {}

    def content(request: Request) -> tuple[bytes, str]:
        root = request.scope.get("root_path", "")
        if root not in made:
            described = document(app.settings, root)
            made.clear()
            made[root] = (orjson.dumps(described), docs_page(described))
        return made[root]

    async def openapi(request: Request) -> Response:
        # Other pages may read it: it says nothing that its source code does not.
        headers = {**_HEADERS, "access-control-allow-origin": "*"}
        return Response(content(request)[0], 200, headers, "application/json; charset=utf-8")

    async def docs(request: Request) -> Response:
        headers = {
            **_HEADERS,
            "content-security-policy": POLICY,
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
        }
        return Response(content(request)[1], 200, headers, "text/html; charset=utf-8")

    return [Route("/openapi.json", openapi), Route("/docs", docs)]

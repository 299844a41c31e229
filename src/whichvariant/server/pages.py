"""Everything that is not the API itself: health, readiness, and what else people look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant.server.envelope import INTERNAL, INVALID_DATA, failure, success

if TYPE_CHECKING:
    from whichvariant.server.app import App


def pages(app: App) -> Starlette:
    """The Starlette application for an `App`'s other paths."""

    async def healthz(request: Request) -> Response:
        """The process answers."""
        return _json(200, success({"status": "ok"}))

    async def readyz(request: Request) -> Response:
        """The store is open and every configuration is there."""
        await app.start()
        environments = [
            {
                "organization": entry.namespace.organization,
                "environment": entry.namespace.environment,
                "digest": None if entry.engine is None else entry.engine.digest,
                "loadedMs": entry.loaded_ms,
                # What the trouble is stands in the log: it may name files and addresses.
                "trouble": bool(entry.trouble),
                "cached": entry.cached,
            }
            for entry in app.catalog.entries()
        ]
        data = {"environments": environments}
        if app.catalog.ready:
            return _json(200, success({"status": "ready", **data}))
        return _json(503, failure(INTERNAL, "not every configuration could be loaded yet"))

    routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if app.settings.inspector:
        from whichvariant.server.inspector.routes import inspector_routes

        routes += inspector_routes(app)
    return Starlette(
        routes=routes,
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "there is nothing at this path", 405: "this path has no such method"}
    message = messages.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _json(error.status_code, failure(INVALID_DATA, message), headers)


async def _failed(request: Request, error: Exception) -> Response:
    return _json(500, failure(INTERNAL, "internal error"))

"""Everything that is not the API itself: health, readiness, and what else people look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whichvariant.server.description import description_routes
from whichvariant.server.envelope import INTERNAL, INVALID_DATA, failure
from whichvariant.server.failures import Refused, failure_of
from whichvariant.server.monitoring import monitoring_routes

if TYPE_CHECKING:
    from whichvariant.server.app import App


def pages(app: App) -> Starlette:
    """The Starlette application for an `App`'s other paths."""

    routes = [*monitoring_routes(app), *description_routes(app)]
    if app.settings.admin_token is not None:
        from whichvariant.server.administration import admin_routes

        routes += admin_routes(app)
    if app.settings.webhook_secret is not None:
        from whichvariant.server.webhook import webhook_routes

        routes += webhook_routes(app)
    if app.settings.inspector:
        from whichvariant.server.inspector.routes import inspector_routes

        routes += inspector_routes(app)
    return Starlette(
        routes=routes,
        exception_handlers={HTTPException: _refused, Refused: _answered, Exception: _failed},
    )


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "there is nothing at this path", 405: "this path has no such method"}
    message = messages.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _json(error.status_code, failure(INVALID_DATA, message), headers)


async def _answered(request: Request, error: Exception) -> Response:
    answer = failure_of(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return _json(answer.status, failure(answer.code, answer.message), headers)


async def _failed(request: Request, error: Exception) -> Response:
    return _json(500, failure(INTERNAL, "internal error"))

"""What monitoring asks: is the process there, is it ready, what are its numbers?"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant import clock
from whichvariant.errors import WhichVariantError
from whichvariant.server.admin import require_admin
from whichvariant.server.envelope import INTERNAL, failure, success

if TYPE_CHECKING:
    from whichvariant.server.app import App
    from whichvariant.store.protocol import Pulse

_LOG = logging.getLogger("whichvariant.server")
_PULSE_S = 5.0
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def monitoring_routes(app: App) -> list[BaseRoute]:
    """``/healthz``, ``/readyz`` and, unless it is off, ``/metrics``."""

    async def healthz(request: Request) -> Response:
        """The process answers."""
        return _json(200, success({"status": "ok"}))

    async def readyz(request: Request) -> Response:
        """The store answers and every configuration is there; and nobody wants to stop."""
        if app.stopping:
            return _json(503, failure(INTERNAL, "the server is stopping"))
        pulse = await _pulse(app)
        if pulse is None:
            return _json(503, failure(INTERNAL, "the store does not answer"))
        if not app.catalog.ready:
            return _json(503, failure(INTERNAL, "not every configuration could be loaded yet"))
        environments = [
            {
                "organization": entry.namespace.organization,
                "environment": entry.namespace.environment,
                "digest": None if entry.engine is None else entry.engine.digest,
                "loadedMs": entry.loaded_ms,
                # What the trouble is may name files, which are the operator's business.
                "trouble": bool(entry.trouble),
                "cached": entry.cached,
            }
            for entry in app.catalog.entries()
        ]
        return _json(200, success({"status": "ready", "environments": environments}))

    async def metrics(request: Request) -> Response:
        """Numbers for Prometheus."""
        from whichvariant.server.exposition import CONTENT_TYPE, exposition

        if app.settings.metrics == "token":
            require_admin(app.settings.admin_token, request.headers.get("authorization"))
        pulse = await _pulse(app)
        assert app.shared is not None
        numbers = app.shared.numbers()
        text = exposition(numbers, app.catalog.entries(), pulse, clock.now_ms())
        return Response(text, 200, _HEADERS, CONTENT_TYPE)

    routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if app.shared is not None:
        routes.append(Route("/metrics", metrics))
    return routes


async def _pulse(app: App) -> Pulse | None:
    """What the store says of itself; None if it does not, or the app cannot start."""
    try:
        running = await app.start()
        async with asyncio.timeout(_PULSE_S):
            return await running.store.pulse()
    except (WhichVariantError, TimeoutError) as error:
        _LOG.error("the store does not answer", exc_info=error)
        return None


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, _HEADERS, "application/json; charset=utf-8")

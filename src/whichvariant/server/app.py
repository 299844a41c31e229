"""The server as an ASGI application.

Requests to the API's endpoints go to `answering`, by as little as possible: they are what a page
waits for. Everything else is Starlette's (`pages`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import SettingsError, WhichVariantError
from whichvariant.profiles.device import device_of
from whichvariant.server.answering import USUAL, Answering, Exchange, Headers, Reply
from whichvariant.server.body import Disconnected
from whichvariant.server.direct import Straight
from whichvariant.server.endpoints import METHODS
from whichvariant.server.enrichment import Enricher
from whichvariant.server.failures import Refused
from whichvariant.server.inspector import check_inspector
from whichvariant.server.metrics import OTHER, Shared, endpoint_of
from whichvariant.server.observing import Observer
from whichvariant.server.ofrep import shape_of
from whichvariant.server.routing import match, path_below
from whichvariant.server.running import Running
from whichvariant.server.settings import ServerSettings
from whichvariant.server.visitors import VisitorSources, visitor_sources
from whichvariant.sources.catalog import Catalog, Entry, Source
from whichvariant.store.opening import open_store
from whichvariant.store.protocol import ProfileStore

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from whichvariant.server.tracing import Tracing

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG = logging.getLogger("whichvariant.server")


class App:
    """An ASGI application. Make it with `create_app`.

    It starts with the lifespan events of its server, or else with the first request.
    """

    def __init__(
        self,
        settings: ServerSettings,
        catalog: Catalog,
        store: ProfileStore | None,
        sources: Sequence[Source],
        visitors: VisitorSources,
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self._sources = tuple(sources)
        self._visitors = visitors
        self._store = store
        self._own_store = store is None
        self._starting: asyncio.Lock | None = None
        self._loaded = False
        self._closed = False
        self.on_loaded: Callable[[], object] = _nothing
        self._pages: Starlette | None = None
        self.stopping = False
        self.observer = Observer(settings, lambda: self.answering.at_work)
        self.answering = Answering(settings, catalog, self.observer.metrics, self.start)
        self.straight = Straight(self.answering, self.observer)
        self.shared: Shared | None = None
        if self.observer.metrics is not None:
            self.shared = Shared(self.observer.metrics, os.environ.get(WORKERS_FOLDER))
        self.tracing: Tracing | None = None
        if settings.otel:
            from whichvariant.server.tracing import Tracing

            self.tracing = Tracing(catalog)

    # ---- starting and ending ------------------------------------------------------------------

    async def start(self) -> Running:
        """Open the store, load the configurations, begin what goes on in the background.

        For each event loop once; what was opened is shared between them.
        """
        loop = asyncio.get_running_loop()
        running = self.answering.running
        if running is not None and running.loop is loop:
            return running
        if self._starting is None or (running is not None and running.loop is not loop):
            self._starting = asyncio.Lock()
        async with self._starting:
            running = self.answering.running
            if running is not None and running.loop is loop:
                return running
            await self.load()
            if self._store is None:
                self._store = await open_store(self.settings.store)
            running = self.answering.running = Running(
                self.settings, self.catalog, self._store, self._sources, self._visitors
            )
            running.begin(self.shared)
            return running

    async def load(self) -> None:
        """Load the configurations, for the first time. WhichVariantError if there is none."""
        if self._loaded:
            return
        for source in self._sources:
            await source.load(self.catalog)
        entries = self.catalog.entries()
        if entries and not any(entry.engine for entry in entries):
            raise SettingsError(_nothing_loaded(entries))
        await self._visitors.load()
        self._loaded = True
        # The first look at a user agent reads its patterns, which takes a while.
        device_of("")
        self.on_loaded()

    async def reload(self, namespaces: Iterable[Namespace] | None = None) -> None:
        """Look at once whether configurations have changed, of these namespaces or all.

        What cannot be loaded stands in the catalog's entries as trouble.
        """
        for source in self._sources:
            await source.refresh(self.catalog, namespaces)

    async def reload_everywhere(self) -> None:
        """As `reload`, in the other workers of this server as well."""
        await self.reload()
        if os.environ.get(MAIN_PROCESS) == str(os.getppid()):
            # The main process hands it on.
            os.kill(os.getppid(), signal.SIGHUP)

    async def close(self) -> None:
        """Finish what was accepted, and close the store if the app opened it."""
        running, self.answering.running = self.answering.running, None
        if running is not None and running.loop is asyncio.get_running_loop():
            await running.end()
        if self._own_store and self._store is not None:
            store, self._store = self._store, None
            await store.close()

    # ---- ASGI ---------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one lifespan."""
        kind = scope["type"]
        if kind == "http":
            if self.tracing is None:
                await self._http(scope, receive, send)
            else:
                await self.tracing.around(self._http, scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise RuntimeError(f"unknown kind of connection: {kind}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except WhichVariantError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, the server hears of it
                    _LOG.exception("the server cannot start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                try:
                    await self.close()
                except Exception as error:  # noqa: BLE001 - whatever it is, the server hears of it
                    _LOG.exception("ending the server failed")
                    await send({"type": "lifespan.shutdown.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        method: str = scope["method"]
        try:
            route = match(path_below(scope))
        except Refused as refused:
            reply = self.answering.failed(method, refused, shape_of(scope))
            await self._send(send, headers, reply)
            self.observer.answered(OTHER, reply.status, started, headers)
            return
        if route is None:
            await self._page(scope, receive, send)
            return
        if method == "OPTIONS":
            allowed = self.answering.options(headers, METHODS[route.kind])
            await send({"type": "http.response.start", "status": 204, "headers": allowed})
            await send({"type": "http.response.body", "body": b""})
            self.observer.answered(OTHER, 204, started, headers)
            return
        try:
            reply = await self.answering.reply(Exchange(scope, headers, route, method, receive))
        except Disconnected:
            return
        await self._send(send, headers, reply)
        endpoint = endpoint_of(route.kind, method, scope["query_string"])
        self.observer.answered(endpoint, reply.status, started, headers)

    async def _send(self, send: Send, asked: Mapping[bytes, bytes], reply: Reply) -> None:
        body = reply.body
        described: Headers = (*USUAL, (b"content-length", b"%d" % len(body)))
        if reply.status == 304:
            described = USUAL[1:]
        headers = [*described, *self.answering.headers(asked, reply)]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._pages is None:
            from whichvariant.server.pages import pages

            self._pages = pages(self)
        started = perf_counter()
        status = 500

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._pages(scope, receive, noting)
        finally:
            self.observer.answered(OTHER, status, started, dict(scope["headers"]))


WORKERS_FOLDER = "WHICHVARIANT_WORKERS_FOLDER"
"""Where the workers of one server leave their numbers for each other."""

MAIN_PROCESS = "WHICHVARIANT_MAIN_PROCESS"
"""The process that started the workers and hands signals on to them."""


def _nothing() -> None:
    pass


def _nothing_loaded(entries: Sequence[Entry]) -> str:
    """Why there is nothing to begin with, in one line."""
    first = entries[0]
    reason = " ".join(part.strip() for part in first.trouble.splitlines()[:2])
    more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
    return f"config: nothing could be loaded: {'/'.join(first.namespace)}: {reason}{more}"


def create_app(
    settings: ServerSettings | None = None,
    *,
    engines: Mapping[Namespace, Engine] | None = None,
    store: ProfileStore | None = None,
    enricher: Enricher | None = None,
) -> App:
    """The server as an ASGI application, to be run by any ASGI server or mounted into another app.

    Parameters
    ----------
    settings
        By default `ServerSettings()`.
    engines
        Engines by namespace, beside those that ``settings.config`` names.
    store
        Where profiles live; it is not closed by the app. By default what ``settings.store`` says,
        opened at the start and closed at the end.
    enricher
        Who tells the company behind an address, for the feature "ip-enrichment"; instead of the
        one that ``settings.albacross_key`` gives.

    Raises
    ------
    WhichVariantError
        ``settings.config`` names what cannot be one, or settings contradict each other.
    """
    from whichvariant.server.sources import all_sources

    settings = settings or ServerSettings()
    check_inspector(settings)
    if settings.metrics == "token" and settings.admin_token is None:
        raise SettingsError("metrics: 'token' needs admin_token")
    catalog = Catalog(engines, clock.now_ms())
    sources = all_sources(settings, frozenset(engines or ()))
    visitors = visitor_sources(settings, enricher)
    return App(settings, catalog, store, sources, visitors)

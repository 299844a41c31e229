"""The server as an ASGI application.

The API's endpoints are answered right here, by as little as possible: they are what a page waits
for. Everything else is Starlette's (`pages`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import SettingsError, WhichVariantError
from whichvariant.profiles.device import device_of
from whichvariant.server.body import BodyReader, Disconnected, json_object
from whichvariant.server.cors import Cors
from whichvariant.server.endpoints import METHODS, read_query
from whichvariant.server.enrichment import Enricher
from whichvariant.server.envelope import INTERNAL, failure, success
from whichvariant.server.failures import RETRY_AFTER, Refused, failure_of
from whichvariant.server.inspector import check_inspector
from whichvariant.server.metrics import OTHER, Shared, endpoint_of
from whichvariant.server.observing import Observer
from whichvariant.server.ofrep import OFREP, Evaluations, shape_of, too_many
from whichvariant.server.ofrep import failure as ofrep_failure
from whichvariant.server.routing import CREATE, IMPORT, PROFILE, Route, match, path_below
from whichvariant.server.running import Running
from whichvariant.server.settings import ServerSettings
from whichvariant.server.traceparent import own_traceparent
from whichvariant.server.visitors import Visitor, VisitorSources, visitor_sources
from whichvariant.sources.catalog import Catalog, Entry, Source
from whichvariant.store.opening import open_store
from whichvariant.store.protocol import ProfileStore

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from whichvariant.server.tracing import Tracing

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_LOG = logging.getLogger("whichvariant.server")

_JSON = (b"content-type", b"application/json; charset=utf-8")
# Answers are about one visitor at one moment.
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class Exchange(NamedTuple):
    """One request to the API."""

    scope: Scope
    receive: Receive
    headers: Mapping[bytes, bytes]
    route: Route
    method: str


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
        self._running: Running | None = None
        self._starting: asyncio.Lock | None = None
        self._loaded = False
        self._closed = False
        self.on_loaded: Callable[[], object] = _nothing
        self._pages: Starlette | None = None
        self._cors = Cors(settings.cors_origins)
        self._body = BodyReader(
            settings.max_body_bytes, settings.body_timeout_s, 16 * settings.max_body_bytes
        )
        self._evaluations = Evaluations(catalog)
        self._at_work = 0
        self.stopping = False
        self.observer = Observer(settings, lambda: self._at_work)
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
        running = self._running
        if running is not None and running.loop is loop:
            return running
        if self._starting is None or (running is not None and running.loop is not loop):
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._running is not None and self._running.loop is loop:
                return self._running
            await self.load()
            if self._store is None:
                self._store = await open_store(self.settings.store)
            self._running = Running(
                self.settings, self.catalog, self._store, self._sources, self._visitors
            )
            self._running.begin(self.shared)
            return self._running

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
        running, self._running = self._running, None
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
        try:
            route = match(path_below(scope))
        except Refused as refused:
            status = await self._fail(scope, send, headers, refused, shape_of(scope))
            self.observer.answered(OTHER, status, started, headers)
            return
        if route is None:
            await self._page(scope, receive, send)
            return
        method: str = scope["method"]
        if method == "OPTIONS":
            await self._options(send, headers, METHODS[route.kind])
            self.observer.answered(OTHER, 204, started, headers)
            return
        endpoint = endpoint_of(route.kind, method, scope["query_string"])
        failed: Exception | None = None
        if self._at_work >= self.settings.max_requests:
            status = await self._fail(scope, send, headers, _too_busy(route), route)
            self.observer.answered(endpoint, status, started, headers)
            return
        self._at_work += 1
        try:
            if method not in METHODS[route.kind]:
                raise _wrong_method(method, METHODS[route.kind])
            running = self._running
            if running is None or running.loop is not asyncio.get_running_loop():
                running = await self.start()
            exchange = Exchange(scope, receive, headers, route, method)
            status, answer, more = await self._answered(running, exchange)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            failed = error
        finally:
            self._at_work -= 1
        # A client may take its time to read: that is no work.
        if failed is None:
            await self._send(send, headers, status, answer, (*self._digest(route), *more))
        else:
            status = await self._fail(scope, send, headers, failed, route)
        self.observer.answered(endpoint, status, started, headers)

    async def _answered(self, running: Running, exchange: Exchange) -> tuple[int, bytes, Headers]:
        """The answer to a request: status, body, headers of its own."""
        route = exchange.route
        if route.kind in OFREP:
            body = await self._read(exchange)
            return await self._evaluations.answer(running.service, route, exchange.headers, body)
        data = await self._answer(running, exchange)
        metrics = self.observer.metrics
        if metrics is not None and "experiences" in data:
            metrics.selected(route.namespace, data["experiences"])
        return 200, success(data), ()

    async def _answer(self, running: Running, exchange: Exchange) -> Any:
        """The data of a request's answer."""
        route, method = exchange.route, exchange.method
        kind = route.kind
        endpoints = running.endpoints
        query = read_query(
            exchange.scope["query_string"], types=method == "POST" and kind in _ONE_PROFILE
        )
        if method == "GET":
            return _data(await endpoints.get(route, query))
        if method == "DELETE":
            return await endpoints.delete(route)
        body = json_object(await self._read(exchange))
        if kind == CREATE:
            visitor = Visitor(running.visitors, exchange.scope)
            return _data(await endpoints.create(route, query, body, visitor))
        if kind == PROFILE:
            visitor = Visitor(running.visitors, exchange.scope)
            return _data(await endpoints.update(route, query, body, visitor))
        if kind == IMPORT:
            return await endpoints.accept(route, body)
        return await endpoints.upsert(route, query, body)

    async def _read(self, exchange: Exchange) -> bytes:
        # Who is still sending is not at work: a few slow clients must not keep the others out.
        self._at_work -= 1
        try:
            body = await self._body.read(exchange.headers, exchange.receive)
        finally:
            self._at_work += 1
        if self._at_work > self.settings.max_requests:
            raise _too_busy(exchange.route)
        return body

    def _digest(self, route: Route) -> Headers:
        # Of the engine that decided, which need not be the newest by now. For a batch that was
        # only taken in, none was asked.
        entry = None if route.kind == IMPORT else self.catalog.decided()
        return () if entry is None else (entry.digest_header,)

    # ---- answers ------------------------------------------------------------------------------

    async def _send(
        self,
        send: Send,
        asked: Mapping[bytes, bytes],
        status: int,
        body: bytes,
        headers: Headers = (),
    ) -> None:
        described: Headers = (_JSON, (b"content-length", b"%d" % len(body)))
        if status == 304:
            described = ()
        trace = own_traceparent(asked.get(b"traceparent"))
        traced = () if trace is None else ((b"traceparent", trace),)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    *described,
                    _NO_STORE,
                    _NO_SNIFFING,
                    *self._cors.headers(asked),
                    *headers,
                    *traced,
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _fail(
        self,
        scope: Scope,
        send: Send,
        asked: Mapping[bytes, bytes],
        error: Exception,
        route: Route | None = None,
    ) -> int:
        answer = failure_of(error)
        status, body = answer.status, b""
        if route is not None and route.kind in OFREP:
            status, body, _ = ofrep_failure(route, error, answer)
        if not answer.expected:
            _LOG.error("%s failed", scope["method"], exc_info=error)
        closing: Headers = ()
        if isinstance(error, Refused) and error.close:
            # What is left of the body is not read, so the connection cannot go on.
            closing = ((b"connection", b"close"),)
        await self._send(
            send,
            asked,
            status,
            body or failure(answer.code, answer.message),
            (*answer.headers, *closing),
        )
        return status

    async def _options(
        self, send: Send, headers: Mapping[bytes, bytes], methods: Sequence[str]
    ) -> None:
        allowed = ", ".join((*methods, "OPTIONS"))
        answer = [(b"allow", allowed.encode()), *self._cors.preflight(headers, allowed)]
        await send({"type": "http.response.start", "status": 204, "headers": answer})
        await send({"type": "http.response.body", "body": b""})

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

_ONE_PROFILE = frozenset({CREATE, PROFILE})


def _nothing() -> None:
    pass


def _data(answer: Any) -> dict[str, Any]:
    return {
        "profile": answer.profile,
        "experiences": answer.experiences,
        "changes": answer.changes,
    }


def _too_busy(route: Route) -> Refused:
    if route.kind in OFREP:
        return too_many()
    message = "too many requests at once; try again later"
    return Refused(503, message, INTERNAL, headers=(RETRY_AFTER,))


def _nothing_loaded(entries: Sequence[Entry]) -> str:
    """Why there is nothing to begin with, in one line."""
    first = entries[0]
    reason = " ".join(part.strip() for part in first.trouble.splitlines()[:2])
    more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
    return f"config: nothing could be loaded: {'/'.join(first.namespace)}: {reason}{more}"


def _wrong_method(method: str, allowed: Sequence[str]) -> Refused:
    listed = ", ".join((*allowed, "OPTIONS"))
    return Refused(
        405,
        f"{method[:20]} is not for this path, only {listed}",
        headers=((b"allow", listed.encode()),),
    )


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

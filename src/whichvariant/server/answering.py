"""Requests to the API's endpoints, and their replies: what does not depend on how they travel.

They come as ASGI's messages (`app`) or straight from a connection (`direct`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from whichvariant.server.body import BodyReader, Disconnected, Receive, json_object
from whichvariant.server.cors import Cors
from whichvariant.server.endpoints import METHODS, read_query
from whichvariant.server.envelope import INTERNAL, failure, success
from whichvariant.server.failures import RETRY_AFTER, Refused, failure_of
from whichvariant.server.metrics import Metrics
from whichvariant.server.ofrep import OFREP, Evaluations, too_many
from whichvariant.server.ofrep import failure as ofrep_failure
from whichvariant.server.routing import CREATE, IMPORT, PROFILE, Route
from whichvariant.server.running import Running
from whichvariant.server.settings import ServerSettings
from whichvariant.server.traceparent import own_traceparent
from whichvariant.server.visitors import Visitor
from whichvariant.sources.catalog import Catalog

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_LOG = logging.getLogger("whichvariant.server")

_JSON = (b"content-type", b"application/json; charset=utf-8")
# Answers are about one visitor at one moment.
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
USUAL: Headers = (_JSON, _NO_STORE, _NO_SNIFFING)
"""The headers of every reply that has a body."""

CLOSE = (b"connection", b"close")
"""The header of a reply with which the connection ends."""

_ONE_PROFILE = frozenset({CREATE, PROFILE})


class Exchange(NamedTuple):
    """One request to the API. ``scope`` is ASGI's, ``body`` is there if all of it has come."""

    scope: Mapping[str, Any]
    headers: Mapping[bytes, bytes]
    route: Route
    method: str
    receive: Receive
    body: bytes | None = None


class Reply(NamedTuple):
    """What a request is answered with; ``headers`` are those that not every reply has."""

    status: int
    body: bytes
    headers: Headers = ()


class Answering:
    """Answers requests. ``start`` gives what it works with, in the running event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        catalog: Catalog,
        metrics: Metrics | None,
        start: Callable[[], Awaitable[Running]],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._metrics = metrics
        self._start = start
        self._cors = Cors(settings.cors_origins)
        self._body = BodyReader(
            settings.max_body_bytes, settings.body_timeout_s, 16 * settings.max_body_bytes
        )
        self._evaluations = Evaluations(catalog)
        self.running: Running | None = None
        self.at_work = 0

    async def reply(self, exchange: Exchange) -> Reply:
        """The reply, whatever happens. Disconnected if there is nobody left to get it."""
        route = exchange.route
        if self.at_work >= self._settings.max_requests:
            return self.failed(exchange.method, _too_busy(route), route)
        self.at_work += 1
        try:
            if exchange.method not in METHODS[route.kind]:
                raise _wrong_method(exchange.method, METHODS[route.kind])
            running = self.running
            if running is None or running.loop is not asyncio.get_running_loop():
                running = await self._start()
            if route.kind in OFREP:
                return await self._evaluated(running, exchange)
            return self._success(route, await self._data(running, exchange))
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self.failed(exchange.method, error, route)
        finally:
            # A client may take its time to read: that is no work.
            self.at_work -= 1

    def reply_at_once(self, exchange: Exchange) -> Reply | None:
        """The reply to a preflight of somebody new, if nothing has to be waited for.

        None for everything else, and for what `reply` has to refuse.
        """
        running = self.running
        body = exchange.body
        if (
            body is None
            or exchange.route.kind != CREATE
            or running is None
            or running.loop is not asyncio.get_running_loop()
            or self.at_work >= self._settings.max_requests
        ):
            return None
        try:
            self._body.check(exchange.headers)
            query = read_query(exchange.scope["query_string"], types=True)
            if not query.preflight:
                return None
            visitor = Visitor(running.visitors, exchange.scope)
            answer = running.endpoints.preflight_at_once(
                exchange.route, query, json_object(body), visitor
            )
            return None if answer is None else self._success(exchange.route, _data(answer))
        except Exception:  # noqa: BLE001 - what is wrong, `reply` says
            return None
        finally:
            # There is no task whose end would forget it.
            self._catalog.forget_decided()

    def headers(self, asked: Mapping[bytes, bytes], reply: Reply) -> Headers:
        """All headers of a reply but `USUAL` and the length."""
        trace = own_traceparent(asked.get(b"traceparent"))
        traced = () if trace is None else ((b"traceparent", trace),)
        return (*self._cors.headers(asked), *reply.headers, *traced)

    def options(self, asked: Mapping[bytes, bytes], methods: Sequence[str]) -> Headers:
        """The headers for a browser that asks before it calls, and for who asks for methods."""
        allowed = ", ".join((*methods, "OPTIONS"))
        return ((b"allow", allowed.encode()), *self._cors.preflight(asked, allowed))

    def failed(self, method: str, error: Exception, route: Route | None = None) -> Reply:
        """The reply that says what went wrong."""
        answer = failure_of(error)
        status, body = answer.status, b""
        if route is not None and route.kind in OFREP:
            status, body, _ = ofrep_failure(route, error, answer)
        if not answer.expected:
            _LOG.error("%s failed", method, exc_info=error)
        closing: Headers = ()
        if isinstance(error, Refused) and error.close:
            # What is left of the body is not read, so the connection cannot go on.
            closing = (CLOSE,)
        return Reply(
            status, body or failure(answer.code, answer.message), (*answer.headers, *closing)
        )

    def _success(self, route: Route, data: Any) -> Reply:
        body = success(data)
        if self._metrics is not None and "experiences" in data:
            self._metrics.selected(route.namespace, data["experiences"])
        return Reply(200, body, self._digest(route))

    def _digest(self, route: Route) -> Headers:
        # Of the engine that decided, which need not be the newest by now. For a batch that was
        # only taken in, none was asked.
        entry = None if route.kind == IMPORT else self._catalog.decided()
        return () if entry is None else (entry.digest_header,)

    async def _evaluated(self, running: Running, exchange: Exchange) -> Reply:
        route = exchange.route
        body = await self._read(exchange)
        status, answer, headers = await self._evaluations.answer(
            running.service, route, exchange.headers, body
        )
        return Reply(status, answer, (*self._digest(route), *headers))

    async def _data(self, running: Running, exchange: Exchange) -> Any:
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
        body = exchange.body
        if body is not None:
            self._body.check(exchange.headers)
            return body
        # Who is still sending is not at work: a few slow clients must not keep the others out.
        self.at_work -= 1
        try:
            body = await self._body.read(exchange.headers, exchange.receive)
        finally:
            self.at_work += 1
        if self.at_work > self._settings.max_requests:
            raise _too_busy(exchange.route)
        return body


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


def _wrong_method(method: str, allowed: Sequence[str]) -> Refused:
    listed = ", ".join((*allowed, "OPTIONS"))
    return Refused(
        405,
        f"{method[:20]} is not for this path, only {listed}",
        headers=((b"allow", listed.encode()),),
    )

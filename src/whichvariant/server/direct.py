"""Requests that are there whole, answered without ASGI's messages.

Most requests arrive with one read, and their answers are known as a whole too. Making a scope, two
events and four messages of them takes longer than deciding. What is not plain goes the ordinary
way, through the app (`Straight.takes`); the answers are the same bytes either way but for the order
of headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from whichvariant.server.answering import USUAL, Answering, Exchange, Headers, Reply
from whichvariant.server.metrics import endpoint_of
from whichvariant.server.observing import Observer
from whichvariant.server.routing import CREATE, IMPORT, PROFILE, UPSERT, match

if TYPE_CHECKING:
    from whichvariant.server.protocol import Connection

LARGEST_BODY = 64 << 10
"""Bytes of a body that may be held for this. Larger ones are read in the ordinary way."""

_LONGEST_URL = 2_048
_MOST_HEADS = 64
_KINDS = frozenset({CREATE, PROFILE, UPSERT, IMPORT})
# What makes a request anything but plain: bodies in pieces, and connections that change.
_SPECIAL = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Straight:
    """Takes plain requests of an app's connections, and writes the bytes of their answers."""

    def __init__(self, answering: Answering, observer: Observer) -> None:
        self.answering = answering
        self.observer = observer
        self._heads: dict[tuple[int, Headers], bytes] = {}
        # uvicorn's own headers, the date above all: a new list each second.
        self._defaults: tuple[object, bytes] = (None, b"")

    def takes(
        self, url: bytes, pairs: list[tuple[bytes, bytes]], client: object
    ) -> Exchange | None:
        """A POST for the API that can be answered here, still without its body; or None."""
        headers: Mapping[bytes, bytes] = dict(pairs)
        length = headers.get(b"content-length")
        if (
            length is None
            or not 0 < len(length) <= 5
            or not _SPECIAL.isdisjoint(headers)
            or len(url) > _LONGEST_URL
            or not url.isascii()
        ):
            return None
        path, _, query = url.partition(b"?")
        if not path.startswith(b"/v") or b"%" in path or b"#" in url:
            return None
        route = match(path.decode().split("/"))
        if route is None or route.kind not in _KINDS or int(length) > LARGEST_BODY:
            return None
        scope = {"type": "http", "client": client, "headers": pairs, "query_string": query}
        return Exchange(scope, headers, route, "POST", _nothing_more)

    def answer(self, asked: Mapping[bytes, bytes], reply: Reply, defaults: Any) -> bytes:
        """The bytes of a reply, without a word about the connection's end."""
        if self._defaults[0] is not defaults:
            lines = b"".join([b"%b: %b\r\n" % header for header in defaults])
            self._defaults = (defaults, lines)
        more = self.answering.headers(asked, reply)
        head = self._heads.get((reply.status, more))
        if head is None:
            lines = b"".join([b"%b: %b\r\n" % header for header in (*USUAL, *more)])
            head = STATUS_LINE[reply.status] + lines
            # Callers' own headers, such as a trace's, are not worth keeping.
            if b"traceparent" not in asked and len(self._heads) < _MOST_HEADS:
                self._heads[reply.status, more] = head
        body = reply.body
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (head, self._defaults[1], len(body), body)

    def note(self, exchange: Exchange, status: int, started: float) -> None:
        """A request was answered."""
        endpoint = endpoint_of(exchange.route.kind, "POST", exchange.scope["query_string"])
        self.observer.answered(endpoint, status, started, exchange.headers)


class StraightCycle:
    """A request whose reply takes a while. A connection has it in place of uvicorn's cycle."""

    __slots__ = (
        "_connection",
        "_exchange",
        "_started",
        "_straight",
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
        "response_started",
    )

    def __init__(
        self, connection: Connection, straight: Straight, exchange: Exchange, started: float
    ) -> None:
        self._connection = connection
        self._straight = straight
        self._exchange = exchange
        self._started = started
        self.disconnected = False
        self.keep_alive = True
        self.response_started = False
        self.response_complete = False
        self.message_event = _NOBODY_WAITS

    async def run(self) -> None:
        """Work on it, and answer."""
        connection, straight, exchange = self._connection, self._straight, self._exchange
        try:
            reply = await straight.answering.reply(exchange)
            if connection.flow.write_paused and not self.disconnected:
                await connection.flow.drain()
            # Whoever is gone has still made work, which is counted.
            if not self.disconnected:
                self.response_started = True
                connection.write_reply(straight, exchange, reply, self.keep_alive)
                self.response_complete = True
                connection.on_response_complete()
            straight.note(exchange, reply.status, self._started)
        except BaseException:
            # The server gives up waiting for it; or nobody knows how much was written.
            connection.transport.close()
            raise


class _NobodyWaits:
    """The event of a body that is there already."""

    def set(self) -> None:
        """Nobody hears it."""


_NOBODY_WAITS = _NobodyWaits()


async def _nothing_more() -> Any:
    return {"type": "http.disconnect"}


def begin(connection: Connection, straight: Straight, exchange: Exchange) -> StraightCycle | None:
    """Answer at once, or give what is still to be run."""
    started = perf_counter()
    if not connection.flow.write_paused:
        reply = straight.answering.reply_at_once(exchange)
        if reply is not None:
            connection.write_reply(straight, exchange, reply, keep_alive=True)
            straight.note(exchange, reply.status, started)
            return None
    return StraightCycle(connection, straight, exchange, started)

"""Connections of clients: HTTP/1.1 as uvicorn reads and writes it, with limits on everything.

uvicorn takes heads of any size for as long as they come, as many connections as there are and as
many requests ahead of their answers as fit into a read, and says what is wrong in plain text. Here
each of these has a limit and every answer is the API's envelope (docs/security.md).

All that happens for a usual request is a few assignments. Time limits are looked after by one
timer of the event loop, and are kept to within a quarter of a second.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from whichvariant.server.answering import CLOSE, Exchange, Reply
from whichvariant.server.app import App
from whichvariant.server.direct import Straight, begin
from whichvariant.server.envelope import INTERNAL, INVALID_DATA, failure
from whichvariant.server.gathering import GatheringTransport
from whichvariant.server.settings import ServerSettings
from whichvariant.server.watching import watch_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_LOG = logging.getLogger("whichvariant.server")

MOST_AHEAD = 16
"""Requests of one connection that may wait for the answers to those before them."""

MOST_HEADERS = 100
"""Headers of a request."""

_VERSIONS = frozenset({"1.1", "1.0"})
_OFFERS = frozenset({b"upgrade", b"http2-settings"})
# A client that is still sending must be able to read why it is cut off, or it sees a reset.
_LINGER_S = 2.0
# A request that crosses the end of the server on its way is answered, if it is not too late.
_LAST_CALL_S = 1.0
# Chunked bodies of tiny chunks are several times as large as what they carry.
_WRAPPED_TIMES = 4
_WRAPPED_BYTES = 64 << 10


class _Refused(Exception):  # noqa: N818 - named for what happened
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection(HttpToolsProtocol):
    """One client's connection, for uvicorn's ``http``. The limits are those of its `App`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app = config.loaded_app
        settings = getattr(self._app, "settings", None)
        self.limits = settings if isinstance(settings, ServerSettings) else ServerSettings()
        self._straight = _straight_of(self._app, config)
        # A request that is answered straight as soon as its body is there, and what there is of it.
        self._held: Exchange | None = None
        self._pieces: list[bytes] = []
        self._watch = watch_of(self)
        self.due = math.inf
        """When something has to have happened, on the loop's clock."""
        self.write_due = math.inf
        """When the client has to have read what waits for it."""
        # Where in a request the connection is, and how many bytes of an unfinished part there are.
        self._head_open = False
        self._head_bytes = 0
        self._body_open = False
        self._body_bytes = 0
        self._fed = 0
        # Of these, what may belong to the unfinished part: nothing if a request has ended in them.
        self._counts = 0
        # How many requests of one read were answered at once.
        self._at_once = 0
        # The head of a request that offers another protocol, without the offer.
        self._plain_head = b""
        # Set while the head of a request is answered or handled and its body is still coming.
        self._late: RequestResponseCycle | None = None
        self._late_keeps_alive = False
        # How it ends: nothing is read any more; what is to be said last; only waiting for the end.
        self._deaf = False
        self._last_words = b""
        self._lingering = False
        self._stopping = False
        # The request with whose answer the connection ends because the server does.
        self._last_one: RequestResponseCycle | None = None

    # ---- the connection -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        transport = GatheringTransport(cast("asyncio.Transport", transport), self._watch.turn)
        super().connection_made(transport)
        self._watch.begin()
        self.due = self._watch.now + self.limits.header_timeout_s
        if len(self.connections) > self.limits.max_connections:
            self._deaf = True
            self.transport.write(self._answer(503, "too many connections; try again later"))
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._deaf = True
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client says no more. What it asked for before is answered."""
        # An answer that was given in this turn may still wait for its end.
        cast("GatheringTransport", self.transport).flush()
        at_work = self.cycle is not None and not self.cycle.response_complete
        if self._lingering or self._body_open or not at_work or self.scheme == "https":
            return None
        self._deaf = True
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self.write_due = self._watch.now + self.limits.send_timeout_s
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self.write_due = math.inf
        super().resume_writing()

    def shutdown(self) -> None:
        """The server is about to end: what was asked is answered, and nothing more is."""
        self._stopping = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self._late_keeps_alive = False
        elif not self._lingering:
            self.due = min(self.due, self._watch.now + _LAST_CALL_S)

    def overdue(self) -> None:
        """Something that had to happen has not."""
        if self.transport.is_closing() or self._lingering or self.write_due < self._watch.now:
            self.transport.abort()
        elif self._deaf:
            # The last words wait for an answer that is being worked on.
            self.due = math.inf
        elif self._head_open:
            self._refuse(408, "the request did not arrive in time")
        elif not self._body_open:
            self._close()
        elif self.flow.read_paused:
            # It could not go on sending.
            self.due = self._watch.now + self.limits.body_timeout_s
        else:
            self._refuse(408, "the body did not arrive in time")

    # ---- reading ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came. What is unfinished after them is looked at here."""
        if self._deaf:
            return
        self._fed = self._counts = len(data)
        self._at_once = 0
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._plain_head:
                    # A tunnel, which nobody here makes: what follows is not read.
                    self._deaf = True
                    self.cycle.keep_alive = False
                    return
                # The parser stops at the end of such a head: it is read once more, as any other.
                data = self._plain_head + data[upgrade.args[0] :]
                self._plain_head = b""
                self._fed = self._counts = len(data)
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as error:
                self._broken(error)
                return
            else:
                break
        if self._held is not None:
            self._release()
        if self._head_open:
            self._head_bytes += self._counts
            if self._head_bytes > self.limits.max_header_bytes:
                self._refuse(431, self._head_too_large())
        elif self._body_open:
            self._unfinished_body()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._head_open = True
        self._head_bytes = 0
        self.due = self._watch.now + self.limits.header_timeout_s
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        most = self.limits.max_header_bytes
        if self.parser.get_http_version() not in _VERSIONS:
            raise _Refused(400, "expected HTTP/1.1")
        if len(self.headers) > MOST_HEADERS:
            raise _Refused(431, f"more than {MOST_HEADERS} headers")
        if self._head_bytes + self._fed > most and self._head_size() > most:
            raise _Refused(431, self._head_too_large())
        if len(self.pipeline) >= MOST_AHEAD:
            raise _Refused(503, "too many requests ahead of their answers")
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            # Java's HttpClient and `curl --http2` offer HTTP/2 with every request. It is answered
            # in this protocol, as RFC 9110, section 7.8, lets a server do.
            self._plain_head = self._head_without_offer()
            return
        before = self.cycle
        if before is None or before.response_complete:
            self._held = self._plain()
        if self._held is None:
            super().on_headers_complete()
        # Headers that come after a body are of no use here, and must not fill the memory.
        self.headers = []
        self._head_open = False
        self._body_open = True
        self._body_bytes = 0
        self.due = math.inf
        if self._held is None and self._is_stopping():
            self._let_go(before)

    def _is_stopping(self) -> bool:
        return self._stopping or getattr(self._app, "stopping", False)

    def _plain(self) -> Exchange | None:
        """The request, if it may be answered without ASGI's messages."""
        parser, straight = self.parser, self._straight
        if (
            straight is None
            # What was answered waits for the end of the turn, and others wait for that.
            or self._at_once >= MOST_AHEAD
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or self._is_stopping()
        ):
            return None
        return straight.takes(self.url, self.headers, self.client)

    def _release(self) -> None:
        """Not all of a request is there yet: let it go the ordinary way."""
        assert self._held is not None
        pieces, self._pieces = self._pieces, []
        self._held = None
        super().on_headers_complete()
        self.headers = []
        for piece in pieces:
            super().on_body(piece)
        if self._is_stopping():
            self._let_go(None)

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        if self._held is not None:
            self._pieces.append(body)
        else:
            super().on_body(body)

    def _let_go(self, before: RequestResponseCycle | None) -> None:
        """End with the answer to this request: the client's next one finds another server.

        While the server drains, that is before anything is refused. ``before`` is the request
        before this one, which may be waiting for its answer; then that does not end it.
        """
        if before is not None and before is self._last_one and not before.response_started:
            before.keep_alive = True
        self._last_one = self.cycle if self.cycle.keep_alive else None
        self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._plain_head:
            return
        self._body_open = False
        self._counts = 0
        if self._held is not None:
            self._answer_straight(self._held)
            return
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()
        if self._late is not None:
            cycle.keep_alive = self._late_keeps_alive
            cycle.transport = self.transport
            self._late = None
            self.due = math.inf

    def _answer_straight(self, held: Exchange) -> None:
        pieces, self._pieces, self._held = self._pieces, [], None
        assert self._straight is not None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        try:
            cycle = begin(self, self._straight, held._replace(body=body))
        except Exception:  # noqa: BLE001 - nobody knows how much of an answer was written
            _LOG.exception("a request could not be answered")
            self._deaf = True
            self._close()
            return
        if cycle is None:
            self._at_once += 1
            self.server_state.total_requests += 1
            self.due = self._watch.now + self.limits.idle_timeout_s
            return
        self.cycle = cast("RequestResponseCycle", cycle)
        task = self.loop.create_task(cycle.run())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def write_reply(
        self, straight: Straight, exchange: Exchange, reply: Reply, keep_alive: bool
    ) -> None:
        """Write an answer as a whole."""
        if not keep_alive and CLOSE not in reply.headers:
            reply = reply._replace(headers=(*reply.headers, CLOSE))
        self.transport.write(
            straight.answer(exchange.headers, reply, self.server_state.default_headers)
        )
        if CLOSE in reply.headers:
            self.transport.close()

    def _unfinished_body(self) -> None:
        self._body_bytes += self._counts
        most = self.limits.max_body_bytes
        if self._body_bytes > _WRAPPED_TIMES * most + _WRAPPED_BYTES:
            self._refuse(413, f"the body is larger than {most} bytes")
        elif len(self.headers) > MOST_HEADERS:
            self._refuse(431, f"more than {MOST_HEADERS} trailers")
        elif self._late is None:
            # If it is answered before all of it is there, the connection cannot go on: what is
            # left of the body would be read as the next request.
            cycle = self._late = self.cycle
            self._late_keeps_alive = cycle.keep_alive
            cycle.keep_alive = False
            cycle.transport = cast("asyncio.Transport", _LingeringTransport(self))
            # The app has a limit of its own. This one is for what does not keep to any.
            self.due = self._watch.now + self.limits.body_timeout_s + 4 * self._watch.pace_s

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name in _OFFERS:
                continue
            if name == b"connection":
                named = {part.strip().lower() for part in value.split(b",")}
                kept = b", ".join(sorted(named & {b"close", b"keep-alive"}))
                lines += [b"connection: " + kept] if kept else []
            else:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _head_too_large(self) -> str:
        return f"the request's head is larger than {self.limits.max_header_bytes} bytes"

    # ---- answering ----------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """The last byte of an answer is written."""
        self.server_state.total_requests += 1
        if self._lingering:
            return
        if self.transport.is_closing():
            self.due = self._watch.now + self.limits.send_timeout_s
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last_words:
            self._say_last(self._last_words)
        else:
            self.flow.resume_reading()
            if not self._head_open:
                self.due = self._watch.now + self.limits.idle_timeout_s

    def _broken(self, error: httptools.HttpParserError) -> None:
        """The request is none, or too much: say so, after the answers to those before it."""
        cause = error.__context__
        if isinstance(cause, _Refused):
            self._refuse(cause.status, str(cause))
        elif isinstance(error, httptools.HttpParserCallbackError):
            self._refuse(400, "the request's target is not valid")
        else:
            self._refuse(400, f"not HTTP/1.1: {error}")

    def _refuse(self, status: int, message: str) -> None:
        self._deaf = True
        self.due = math.inf
        if self._held is not None:
            self._release()
        words = self._answer(status, message)
        cycle = self.cycle
        waits = cycle is not None and not cycle.response_complete
        if self._body_open and cycle is not None:
            # Whoever reads its body hears that nothing more comes, and does not answer.
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            elif cycle.response_started:
                self._close()
                return
            else:
                waits = False
        if waits:
            self._last_words = words
        else:
            self._say_last(words)

    def _say_last(self, words: bytes) -> None:
        self.transport.write(words)
        self.linger()

    def _answer(self, status: int, message: str) -> bytes:
        body = failure(INTERNAL if status == 503 else INVALID_DATA, message)
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        return (
            b"%bcontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            b"%bconnection: close\r\n\r\n%b"
        ) % (STATUS_LINE[status], len(body), retry, body)

    def linger(self) -> None:
        """End, but let a client that is still sending read the answer."""
        self._lingering = self._deaf = True
        self.due = self._watch.now + _LINGER_S
        if self.scheme == "https" or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.flow.resume_reading()
            self.transport.write_eof()

    def _close(self) -> None:
        self.due = self._watch.now + self.limits.send_timeout_s
        self.transport.close()


class _LingeringTransport:
    """The transport of a connection whose request is not read to its end when it is answered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.write = connection.transport.write

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.linger()


def _straight_of(app: Any, config: Config) -> Straight | None:
    """What answers an app's plain requests; None if all have to go through it as ASGI's."""
    # Whoever makes an app of their own of it wants to see every request.
    if not isinstance(app, App) or type(app).__call__ is not App.__call__ or app.tracing:
        return None
    if (
        config.root_path
        or config.access_log
        or config.limit_concurrency is not None
        or getattr(config, "reset_contextvars", False)
    ):
        return None
    return app.straight

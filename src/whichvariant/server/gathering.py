"""Answers on their way out: written once for each turn of the event loop.

uvicorn writes an answer's head and its body by one system call each, as soon as they are there.
Each wakes the client's side, and all of them stand between the decisions of one request and the
next. Here what the tasks of one turn of the loop write is gathered, and goes out when they are
through.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Turn:
    """What is written in one turn of an event loop, by all of its connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[GatheringTransport] = []

    def add(self, transport: GatheringTransport) -> None:
        """Let ``transport`` write what it has when the turn is over."""
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting.append(transport)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.flush()


class GatheringTransport(asyncio.Transport):
    """A connection's transport; what is written waits for the end of the turn.

    Order is kept: whatever ends the connection or its writing side writes what waits first.
    """

    __slots__ = ("_inner", "_pieces", "_turn")

    def __init__(self, inner: asyncio.Transport, turn: Turn) -> None:
        self._inner = inner
        self._turn = turn
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> None:
        """Write ``data`` when the turn is over."""
        if not self._pieces:
            self._turn.add(self)
        self._pieces.append(data)

    def flush(self) -> None:
        """Write what waits, now."""
        pieces = self._pieces
        if pieces:
            self._pieces = []
            if not self._inner.is_closing():
                self._inner.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def write_eof(self) -> None:
        """Nothing more is written."""
        self.flush()
        self._inner.write_eof()

    def close(self) -> None:
        """End it, once all is written."""
        self.flush()
        self._inner.close()

    def abort(self) -> None:
        """End it now, whatever waits."""
        self._pieces = []
        self._inner.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait, here and below."""
        return sum(map(len, self._pieces)) + self._inner.get_write_buffer_size()

    # ---- what is the inner transport's business ----------------------------------------------

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def is_reading(self) -> bool:
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)

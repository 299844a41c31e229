"""A wire with a knife: TCP on loopback that can be cut, stalled and refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_PIECE = 1 << 16


class Proxy:
    """Hands on what comes to a port of its own to another port.

    ``cut`` resets every connection, ``stall`` lets nothing through until ``resume``, while
    ``refusing`` new connections are reset at once.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.refusing = False
        self.connections_cut = 0
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Let nothing through, and say nothing of it to either side."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let everything through again, what waited first."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection, wherever it is in what it says."""
        for writers in self._pairs.values():
            self.connections_cut += 1
            for writer in writers:
                _reset(writer)

    async def close(self) -> None:
        """Listen no more, and cut what there is."""
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        self.cut()
        for task in list(self._pairs):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self.refusing:
            _reset(writer)
            return
        self._pairs[task] = (writer,)
        try:
            try:
                there, away = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:
                _reset(writer)
                return
            self._pairs[task] = (writer, away)
            ways = [
                asyncio.create_task(self._carry(reader, away)),
                asyncio.create_task(self._carry(there, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # Whichever side ended: what was said is through, and the other hears of the end.
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            away.close()
        finally:
            writer.close()
            del self._pairs[task]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken one ends: with a reset, what is on its way is lost."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

"""A wire between a store and its database that can be cut, slowed and blocked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Hands bytes on, both ways. Of the event loop in which it was laid.

    ``dsn`` leads through it. ``before_reply`` is called with what the database says, before the
    store hears it: what it returns is what the store hears, and None cuts the connection.
    """

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self.dsn = ""
        self.connections = 0
        self.refusing = False
        self.before_request: Callable[[bytes], bytes | None] = lambda data: data
        self.before_reply: Callable[[bytes], bytes | None] = lambda data: data
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._parts.netloc.rpartition("@")
        self.dsn = urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *what: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0.05)

    def cut(self) -> None:
        """Every connection, at once and without a word."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self.connections += 1
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(
                self._hand_on(reader, back, "before_request"),
                self._hand_on(there, writer, "before_reply"),
            )
        finally:
            self._writers -= {writer, back}
            for one in (writer, back):
                one.transport.abort()

    async def _hand_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: str,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                # By its name, because it is another one at any time.
                seen = getattr(self, look)(data)
                if seen is None:
                    break
                writer.write(seen)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def wire(dsn: str) -> AsyncIterator[Wire]:
    """A wire to a database, for as long as the block lasts."""
    async with Wire(dsn) as laid:
        yield laid

"""A client that knows how far a request came: HTTP/1.1 on one connection, and nothing hidden."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple


class NotSent(Exception):
    """Nobody can have seen the request."""


class Lost(Exception):
    """The request was sent, or begun to be, and no whole answer came."""


class Reply(NamedTuple):
    """An answer. ``headers`` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection to one port, made anew when it is gone. One request at a time."""

    def __init__(
        self, port: int, timeout_s: float = 3.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self.port = port
        self._headers = "".join(f"{name}: {text}\r\n" for name, text in (headers or {}).items())
        self._timeout_s = timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request and wait for the answer, no longer than the timeout.

        Raises `NotSent` where no connection could be made, `Lost` where nobody knows what became
        of it. It is up to the caller to send it again.
        """
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        head += self._headers
        if body:
            head += "content-type: application/json\r\n"
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connected()
        except (OSError, TimeoutError) as error:
            await self.close()
            raise NotSent(str(error)) from None
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(head.encode() + b"\r\n" + body)
                reply = await _read(reader)
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            await self.close()
            raise Lost(f"{type(error).__name__}: {error}") from None
        except asyncio.CancelledError:
            await self.close()
            raise
        if reply.headers.get("connection") == "close":
            await self.close()
        return reply

    async def close(self) -> None:
        """Give the connection up."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None:
            if not self._reader.at_eof() and not self._writer.is_closing():
                return self._reader, self._writer
            await self.close()
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self._reader, self._writer


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(status, headers, body)

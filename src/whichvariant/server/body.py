"""Reading the body of a request: bounded in size and time, JSON and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from whichvariant.server.failures import RETRY_AFTER, Refused

Receive: TypeAlias = Callable[[], Awaitable[Any]]

_TYPES = frozenset({b"application/json", b"text/plain"})


class Disconnected(Exception):  # noqa: N818 - named for what happened
    """The client went away; there is nobody to answer."""


class BodyReader:
    """Reads bodies of at most ``limit`` bytes that arrive within ``timeout_s``.

    All that are being read together take at most ``room`` bytes, as far as they exceed their first
    piece: many slow clients must not fill the memory.
    """

    def __init__(self, limit: int, timeout_s: float, room: int) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._room = room

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The body. Refused if it is too large, too slow, or of another type than JSON."""
        content_type = headers.get(b"content-type")
        if content_type is not None:
            self._check_type(content_type)
        if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
            raise Refused(415, "content-encoding: bodies are taken uncompressed only", close=True)
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length[:18]) > self._limit:
            raise self._too_large()
        message = await self._receive(receive, self._timeout_s)
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > self._limit:
                raise self._too_large()
            return body
        return await self._read_on(body, receive)

    async def _read_on(self, first: bytes, receive: Receive) -> bytes:
        until = asyncio.get_running_loop().time() + self._timeout_s
        pieces = [first]
        size = len(first)
        taken = 0
        try:
            while True:
                if size > self._limit:
                    raise self._too_large()
                left = until - asyncio.get_running_loop().time()
                message = await self._receive(receive, left)
                piece: bytes = message.get("body", b"")
                if len(piece) > self._room:
                    raise Refused(
                        503,
                        "too many large requests at once; try again later",
                        "ERR_INTERNAL_SERVER_ERROR",
                        headers=(RETRY_AFTER,),
                        close=True,
                    )
                self._room -= len(piece)
                taken += len(piece)
                size += len(piece)
                pieces.append(piece)
                if not message.get("more_body", False):
                    if size > self._limit:
                        raise self._too_large()
                    return b"".join(pieces)
        finally:
            self._room += taken

    async def _receive(self, receive: Receive, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time", close=True) from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message

    def _check_type(self, content_type: bytes) -> None:
        kind, _, parameters = content_type.partition(b";")
        if kind.strip().lower() not in _TYPES:
            shown = content_type[:100].decode("latin-1")
            raise Refused(
                415,
                f"content-type: expected application/json or text/plain, got {shown!r}",
                close=True,
            )
        for parameter in parameters.split(b";"):
            name, _, value = parameter.partition(b"=")
            if name.strip().lower() == b"charset" and (
                value.strip(b' "').lower() not in {b"utf-8", b"utf8", b"us-ascii"}
            ):
                raise Refused(415, "content-type: expected charset utf-8", close=True)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._limit} bytes", close=True)


def json_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object. Refused, with the place, if it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body:
            raise Refused(400, "body: empty, expected JSON") from None
        place = f"line {error.lineno}, column {error.colno}"
        raise Refused(400, f"body: not JSON: {error.msg.partition(':')[0]} ({place})") from None
    if not isinstance(value, dict):
        raise Refused(400, 'body: expected an object {"events": [...]}')
    return value

"""Reading the body of a request: bounded in size and time, JSON and nothing else."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeAlias

import orjson

from whichvariant.server.envelope import INTERNAL
from whichvariant.server.failures import RETRY_AFTER, Refused

Receive: TypeAlias = Callable[[], Awaitable[Any]]

# The last is what `curl -d` says unless it is told otherwise, whatever the body is.
_TYPES = frozenset({b"application/json", b"text/plain", b"application/x-www-form-urlencoded"})
_USUAL_TYPES = frozenset({*_TYPES, b"text/plain;charset=UTF-8", b"application/json; charset=utf-8"})


class Disconnected(Exception):  # noqa: N818 - named for what happened
    """The client went away; there is nobody to answer."""


class BodyReader:
    """Reads bodies of at most ``limit`` bytes that arrive within ``timeout_s``.

    What is there of all unfinished bodies together takes at most ``room`` bytes: many slow clients
    must not fill the memory.
    """

    def __init__(
        self, limit: int, timeout_s: float, room: int, *, types: frozenset[bytes] = _TYPES
    ) -> None:
        self._types = types
        self._limit = limit
        self._timeout_s = timeout_s
        self._room = room

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The body. Refused if it is too large, too slow, or of another type than JSON."""
        self.check(headers)
        # Most bodies are there already, and a timeout costs more than reading them.
        steps = receive().__await__()
        try:
            waited = next(steps)
        except StopIteration as done:
            message = done.value
            if not message.get("more_body", False):
                body: bytes = _checked(message).get("body", b"")
                if len(body) > self._limit:
                    raise self._too_large() from None
                return body
            step: Awaitable[Any] = _done(message)
        else:
            step = _go_on(steps, waited)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read_on(step, receive)
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time", close=True) from None

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Refused if the headers speak of a body that would not be taken."""
        content_type = headers.get(b"content-type")
        if content_type is not None and (
            content_type not in _USUAL_TYPES or self._types is not _TYPES
        ):
            self._check_type(content_type)
        if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
            raise Refused(415, "content-encoding: bodies are taken uncompressed only", close=True)
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length[:18]) > self._limit:
            raise self._too_large()

    async def _read_on(self, step: Awaitable[Any], receive: Receive) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                message = _checked(await step)
                piece: bytes = message.get("body", b"")
                if size + len(piece) > self._limit:
                    raise self._too_large()
                more = message.get("more_body", False)
                if more and len(piece) > self._room:
                    raise Refused(
                        503,
                        "too many large requests at once; try again later",
                        INTERNAL,
                        headers=(RETRY_AFTER,),
                        close=True,
                    )
                self._room -= len(piece)
                size += len(piece)
                pieces.append(piece)
                if not more:
                    return b"".join(pieces)
                step = receive()
        finally:
            self._room += size

    def _check_type(self, content_type: bytes) -> None:
        kind, _, parameters = content_type.partition(b";")
        if kind.strip().lower() not in self._types:
            shown = content_type[:100].decode("latin-1")
            raise Refused(
                415,
                f"content-type: expected {self._expected()}, got {shown!r}",
                close=True,
            )
        for parameter in parameters.split(b";"):
            name, _, value = parameter.partition(b"=")
            if name.strip().lower() == b"charset" and (
                value.strip(b' "').lower() not in {b"utf-8", b"utf8", b"us-ascii"}
            ):
                raise Refused(415, "content-type: expected charset utf-8", close=True)

    def _expected(self) -> str:
        if self._types is _TYPES:
            return "application/json or text/plain"
        return " or ".join(sorted(kind.decode() for kind in self._types))

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._limit} bytes", close=True)


def _checked(message: Any) -> Any:
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message


async def _done(message: Any) -> Any:
    return message


@types.coroutine
def _go_on(steps: Generator[Any, Any, Any], waited: Any) -> Generator[Any, Any, Any]:
    """The rest of an awaitable that was begun by hand and now waits for ``waited``."""
    while True:
        try:
            sent = yield waited
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is theirs, a cancellation above all
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            waited = steps.send(sent) if thrown is None else steps.throw(thrown)
        except StopIteration as done:
            return done.value


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

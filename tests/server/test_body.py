"""Bodies: whole ones at once, slow ones in time, large ones not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.server.conftest import SHOP, client_of
from tests.server.events import page

from whichvariant.server import App
from whichvariant.server.body import BodyReader, Disconnected
from whichvariant.server.failures import Refused

Receive = Callable[[], Awaitable[Any]]


def arriving(*pieces: bytes, pauses_s: float | None = None, whole: bool = True) -> Receive:
    """Pieces of a body, at once or with pauses; afterwards the client is gone."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if whole:
        messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive() -> Any:
        if pauses_s is not None:
            await asyncio.sleep(pauses_s)
        return next(waiting, {"type": "http.disconnect"})

    return receive


def reader(limit: int = 100, timeout_s: float = 5.0, room: int = 1_000) -> BodyReader:
    return BodyReader(limit, timeout_s, room)


@pytest.mark.parametrize("pauses_s", [None, 0, 0.01])
@pytest.mark.parametrize("pieces", [(b"whole",), (b"", b"in", b"", b"pieces"), (b"x" * 100,)])
async def test_whole(pieces: tuple[bytes, ...], pauses_s: float | None) -> None:
    bodies = reader()
    for _ in range(50 if not pauses_s else 1):
        body = await bodies.read({}, arriving(*pieces, pauses_s=pauses_s))
        assert body == b"".join(pieces)


@pytest.mark.parametrize("pauses_s", [None, 0])
async def test_too_large(pauses_s: float | None) -> None:
    bodies = reader(limit=10, room=20)
    for pieces in ((b"x" * 11,), (b"x" * 9, b"xx"), (b"x" * 9, b"xx", b"x")):
        with pytest.raises(Refused) as refused:
            await bodies.read({}, arriving(*pieces, pauses_s=pauses_s))
        assert refused.value.status == 413
        assert refused.value.close


async def test_announced_too_large_is_not_read() -> None:
    async def receive() -> Any:
        raise AssertionError("it was read")

    with pytest.raises(Refused) as refused:
        await reader(limit=10).read({b"content-length": b"11"}, receive)
    assert refused.value.status == 413


@pytest.mark.parametrize("first", [(), (b"x",), (b"x", b"x")])
async def test_too_slow(first: tuple[bytes, ...]) -> None:
    given = iter(first)

    async def receive() -> Any:
        piece = next(given, None)
        if piece is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": True}

    with pytest.raises(Refused) as refused:
        await reader(timeout_s=0.05).read({}, receive)
    assert refused.value.status == 408
    assert refused.value.close
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("pauses_s", [None, 0])
async def test_gone(pauses_s: float | None) -> None:
    for pieces in ((), (b"x",)):
        with pytest.raises(Disconnected):
            await reader().read({}, arriving(*pieces, pauses_s=pauses_s, whole=False))


async def test_cancelled_while_waiting() -> None:
    ended = []

    async def receive() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(reader().read({}, receive))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_unfinished_bodies_share_their_room() -> None:
    bodies = reader(limit=100, room=150)
    go_on = asyncio.Event()

    def slow(size: int) -> Receive:
        pieces = iter((b"x" * size, b"y"))

        async def receive() -> Any:
            piece = next(pieces)
            if piece == b"y":
                await go_on.wait()
            return {"type": "http.request", "body": piece, "more_body": piece != b"y"}

        return receive

    first = asyncio.create_task(bodies.read({}, slow(90)))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await bodies.read({}, slow(90))
    assert refused.value.status == 503
    assert refused.value.code == "ERR_INTERNAL_SERVER_ERROR"
    # What is whole needs no room.
    assert await bodies.read({}, arriving(b"z" * 90)) == b"z" * 90
    go_on.set()
    assert await first == b"x" * 90 + b"y"
    assert await bodies.read({}, slow(90)) == b"x" * 90 + b"y"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"content-type", b"application/xml"),
        (b"content-type", b"application/json; charset=utf-16"),
        (b"content-encoding", b"gzip"),
    ],
)
async def test_types_refused(header: bytes, value: bytes) -> None:
    with pytest.raises(Refused) as refused:
        await reader().read({header: value}, arriving(b"{}"))
    assert refused.value.status == 415


@pytest.mark.parametrize(
    "value",
    [
        b"text/plain;charset=UTF-8",
        b"Application/JSON",
        b'application/json; charset="utf8"',
        b"application/x-www-form-urlencoded",
    ],
)
async def test_types_taken(value: bytes) -> None:
    assert await reader().read({b"content-type": value}, arriving(b"{}")) == b"{}"


async def test_slow_clients_do_not_keep_others_out(make_app: Callable[..., App]) -> None:
    app = make_app(max_requests=2)
    await app.start()
    path = f"/v2/organizations/{SHOP.organization}/environments/{SHOP.environment}/profiles"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    never = asyncio.Event()

    async def receive() -> Any:
        await never.wait()

    async def send(message: Any) -> None:
        raise AssertionError(message)

    slow = [asyncio.create_task(app({**scope}, receive, send)) for _ in range(10)]
    async with client_of(app) as client:
        answer = await client.post("/profiles", json={"events": [page()]})
    assert answer.status_code == 200
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)

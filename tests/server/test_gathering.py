"""What is written in one turn of the event loop goes out at once, and nothing out of order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whichvariant.server.gathering import GatheringTransport, Turn


class Wire(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.closing = True
        self.done.append("close")

    def abort(self) -> None:
        self.closing = True
        self.done.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 100


async def test_one_write_for_each_connection_and_turn() -> None:
    turn = Turn(asyncio.get_running_loop())
    wires = [Wire(), Wire()]
    one, other = (GatheringTransport(wire, turn) for wire in wires)
    one.write(b"a")
    other.write(b"x")
    one.write(b"b")
    assert one.get_write_buffer_size() == 102
    assert [wire.done for wire in wires] == [[], []]
    await asyncio.sleep(0)
    assert [wire.done for wire in wires] == [[b"ab"], [b"x"]]
    one.write(b"c")
    await asyncio.sleep(0)
    assert wires[0].done == [b"ab", b"c"]


@pytest.mark.parametrize(("end", "done"), [("write_eof", "eof"), ("close", "close")])
async def test_what_waits_goes_out_before_the_end(end: str, done: str) -> None:
    wire = Wire()
    transport = GatheringTransport(wire, Turn(asyncio.get_running_loop()))
    transport.write(b"a")
    getattr(transport, end)()
    assert wire.done == [b"a", done]
    await asyncio.sleep(0)
    assert wire.done == [b"a", done]


async def test_aborting_and_lost_connections_write_nothing() -> None:
    wire = Wire()
    transport = GatheringTransport(wire, Turn(asyncio.get_running_loop()))
    transport.write(b"a")
    transport.abort()
    await asyncio.sleep(0)
    assert wire.done == ["abort"]
    lost = Wire()
    transport = GatheringTransport(lost, Turn(asyncio.get_running_loop()))
    transport.write(b"a")
    lost.closing = True
    await asyncio.sleep(0)
    assert lost.done == []

"""Damaged, foreign and hostile compiled programs: a `ProgramError`, never a crash or a guess.

The digest of a program finds accidents. It is no protection against somebody who can compute it, so
most tests here repair it and let the core's own checks do their work.
"""

from __future__ import annotations

import copy
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

from robustness.support import (
    EVENTS,
    NOW,
    PROFILE,
    RICH,
    Parts,
    as_json,
    document,
    nested,
    packed_program,
    places,
    program_parts,
    rounds,
    run_apart,
    sealed,
    test,
)
from whichvariant import Engine
from whichvariant.compiler.program_file import MAGIC
from whichvariant.errors import ProgramError, WhichVariantError

ENGINE = Engine.from_dict(RICH)
PROGRAM = ENGINE.to_bytes()
PARTS = program_parts(ENGINE)
SMALL = program_parts(
    Engine.from_dict(
        document(test("k", "matches", "a"), test("k", "in", ["x", 5]), test("k", "gt", 5))
    )
)
XXH64 = program_parts(Engine.from_dict({**RICH, "scheme": "xxh64"}))
BUFFER_WIDTHS = {"op": 1, "sticky": 1, "highest_index": 2, "piece_index": 2, "traffic_count": 8,
                 "salt": 8, "number": 8}  # fmt: skip


def load(data: bytes) -> Engine | ProgramError:
    """The engine of a program, or the refusal; any other error is raised."""
    try:
        return Engine.from_bytes(data)
    except ProgramError as error:
        assert str(error)
        return error


def use(engine: Engine) -> None:
    """Whatever an accepted program decides, it does so within its own memory."""
    for profile in (PROFILE, {"stableId": ""}, {"stableId": "x", "traits": {"k": "a", "n": 5}}):
        for asked in ({}, {"device": "mobile", "events": EVENTS, "now": NOW}):
            try:
                engine.select(profile, **asked)
                engine.select(profile, audiences="given")
                engine.trace(profile, **asked)
                engine.select_json(as_json(profile), **asked)
            except WhichVariantError:
                continue


def changed(parts: Parts, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The program with its tables changed and its digest right."""
    tables = copy.deepcopy(parts[0])
    change(tables)
    return packed_program(tables, parts[1], parts[2])


def refused(parts: Parts, change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ProgramError):
        Engine.from_bytes(changed(parts, change))


def test_the_base_is_sound(tmp_path: Path) -> None:
    again = load(packed_program(*PARTS))
    assert isinstance(again, Engine)
    assert again.select(PROFILE, events=EVENTS) == ENGINE.select(PROFILE, events=EVENTS)
    file = tmp_path / "program"
    file.write_bytes(PROGRAM)
    assert Engine.load(file).digest == ENGINE.digest


# ---- accidents ----------------------------------------------------------------------------------


def test_every_truncation() -> None:
    start = len(msgpack.packb([MAGIC])) + 1
    for length in [*range(start, 200), *range(200, len(PROGRAM), 41)]:
        with pytest.raises(ProgramError):
            Engine.from_bytes(PROGRAM[:length])


def test_flipped_bits() -> None:
    """Everywhere after the magic text, which makes it a program in the first place."""
    start = len(msgpack.packb([MAGIC]))
    for rng in rounds(1500):
        data = bytearray(PROGRAM)
        data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(ProgramError, match=r"damaged|format"):
            Engine.from_bytes(bytes(data))


def test_every_byte_of_the_head_flipped() -> None:
    for at in range(80):
        for bit in range(8):
            data = bytearray(PROGRAM)
            data[at] ^= 1 << bit
            with pytest.raises(WhichVariantError):
                Engine.from_bytes(bytes(data))


def test_something_after_the_end() -> None:
    for extra in (b"\x00", b"\xc0", PROGRAM):
        with pytest.raises(ProgramError):
            Engine.from_bytes(PROGRAM + extra)


# ---- foreign ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, -1, 2**63, "1", None, 1.5, [1], b"\x01"], ids=repr)
def test_another_version_is_named(version: Any) -> None:
    payload = msgpack.packb({"tables": {}, "configuration": {}, "digest": ""})
    with pytest.raises(ProgramError, match="compile the configuration again"):
        Engine.from_bytes(sealed(payload, version=version))


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xc1", b"\x80", b"\x90", b"\xc0", b"\x81\xa6tables\x80", b"{}", b"\x93\x01\x02\x03",
        b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xdd\x00\x01\x00\x00" * 50_000,
    ],
    ids=lambda payload: payload[:12].hex(),
)  # fmt: skip
def test_foreign_payloads(payload: bytes) -> None:
    with pytest.raises(ProgramError):
        Engine.from_bytes(sealed(payload))


@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [1, 2, 3, 4], {"x": 1}, b"x"], ids=repr)
def test_foreign_msgpack_is_no_program(value: Any) -> None:
    with pytest.raises(WhichVariantError):
        Engine.from_bytes(msgpack.packb(value))


def test_a_payload_of_another_type() -> None:
    for payload in (None, 5, "text", [], {}):
        with pytest.raises(ProgramError):
            Engine.from_bytes(msgpack.packb([MAGIC, 1, "0" * 32, payload]))


# ---- hostile: the digest is right ---------------------------------------------------------------

TABLE_PLACES = [path for path in places(PARTS[0]) if len(path) <= 5]


def damage(rng: Random, tables: dict[str, Any], parts: Parts) -> None:
    """Break one buffer or list: its length, its order, or a number in it."""
    while True:
        path = rng.choice([path for path in places(parts[0]) if len(path) <= 2])
        target: Any = tables
        for step in path[:-1]:
            target = target[step]
        try:
            value = target[path[-1]]
        except IndexError:
            continue  # An earlier change made the list shorter.
        if isinstance(value, bytes) and value:
            target[path[-1]] = damaged_buffer(rng, path[-1], value)
            return
        if isinstance(value, list) and value:
            action = rng.randrange(4)
            if action == 0:
                value.pop(rng.randrange(len(value)))
            elif action == 1:
                value.append(value[rng.randrange(len(value))])
            elif action == 2:
                rng.shuffle(value)
            else:
                value[:] = value * 2
            return


def damaged_buffer(rng: Random, name: str, value: bytes) -> bytes:
    width = BUFFER_WIDTHS.get(name, 4)
    data = bytearray(value)
    action = rng.randrange(8)
    if action == 0:
        return bytes(data[: rng.randrange(len(data))])
    if action == 1:
        return bytes(data + data[-width:])
    if action == 2:
        return bytes(data) * 2
    width = min(width, len(data))
    at = rng.randrange(len(data) // width) * width
    if action == 3:
        data[at] ^= 1 << rng.randrange(8)
    elif action == 4:
        other = rng.randrange(len(data) // width) * width
        data[at : at + width] = data[other : other + width]
    else:
        number = rng.choice([0, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**64 - 1, len(data)])
        data[at : at + width] = struct.pack("<Q", number)[:width]
    return bytes(data)


def test_damaged_tables() -> None:
    """Lengths, indices, orders and counts: refused, or harmless."""
    seen: Counter[str] = Counter()
    for rng in rounds(1500):
        parts = rng.choice([PARTS, SMALL, XXH64])
        tables = copy.deepcopy(parts[0])
        for _ in range(rng.choice([1, 1, 2, 3])):
            damage(rng, tables, parts)
        engine = load(packed_program(tables, parts[1], parts[2]))
        seen[type(engine).__name__] += 1
        if isinstance(engine, Engine):
            use(engine)
    assert min(seen["Engine"], seen["ProgramError"]) > 100, seen


WRONG: list[Any] = [
    None, True, 0, -1, 2**32, 2**63, 1.5, float("nan"), float("inf"), "", "text", b"", b"\xff" * 16,
    [], {}, [None], [[]], {"a": 1}, ["a"], [b"{}"], nested(50),
]  # fmt: skip


def test_wrong_types_in_tables() -> None:
    for rng in rounds(1500, first=10_000):
        parts = rng.choice([PARTS, SMALL, XXH64])
        tables = copy.deepcopy(parts[0])
        path = rng.choice(places(tables))
        target: Any = tables
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = rng.choice(WRONG)
        engine = load(packed_program(tables, parts[1], parts[2]))
        if isinstance(engine, Engine):
            use(engine)


def test_missing_tables() -> None:
    for parts in (PARTS, XXH64):
        for path in [path for path in places(parts[0]) if len(path) <= 2]:
            if isinstance(path[-1], str):

                def drop(tables: dict[str, Any], path: tuple[Any, ...] = path) -> None:
                    target: Any = tables
                    for step in path[:-1]:
                        target = target[step]
                    del target[path[-1]]

                refused(parts, drop)


def test_graphs_that_go_round() -> None:
    count = len(PARTS[0]["graph"]["leaf"]) // 4
    for node in range(2, count):
        for side in ("low", "high"):
            for to in (node, node + 1, count - 1, count, 2**32 - 1):
                if to < node:
                    continue

                def point(
                    tables: dict[str, Any], node: int = node, side: str = side, to: int = to
                ) -> None:
                    buffer = bytearray(tables["graph"][side])
                    struct.pack_into("<I", buffer, 4 * node, to)
                    tables["graph"][side] = bytes(buffer)

                refused(PARTS, point)


@pytest.mark.parametrize(
    ("table", "name", "width", "number"),
    [
        ("leaves", "slot", 4, 2**32 - 1),
        ("leaves", "op", 1, 8),
        ("event_leaves", "slot", 4, 2**31),
        ("event_leaves", "op", 1, 255),
        ("graph", "entry", 4, 2**32 - 1),
        ("experiences", "audience", 4, 2**31 - 1),
        ("experiences", "audience", 4, 2**31),
        ("experiences", "traffic_count", 8, 2**32 + 1),
        ("experiences", "highest_index", 2, 65535),
        ("experiences", "first_piece", 4, 2**32 - 1),
        ("experiences", "piece_index", 2, 65535),
        ("records", "first_change", 4, 2**32 - 1),
    ],
)
def test_numbers_out_of_range(table: str, name: str, width: int, number: int) -> None:
    def put(tables: dict[str, Any], at: int) -> None:
        buffer = bytearray(tables[table][name])
        buffer[at : at + width] = struct.pack("<Q", number)[:width]
        tables[table][name] = bytes(buffer)

    for at in range(0, len(PARTS[0][table][name]), width):
        refused(PARTS, lambda tables, at=at: put(tables, at))  # type: ignore[misc]


def test_thresholds_that_are_no_numbers() -> None:
    def put(tables: dict[str, Any]) -> None:
        count = len(tables["leaves"]["number"]) // 8
        tables["leaves"]["number"] = struct.pack("<d", float("nan")) * count

    refused(SMALL, put)


def test_ids_twice() -> None:
    def repeat(tables: dict[str, Any]) -> None:
        tables["experience_ids"][1] = tables["experience_ids"][0]

    refused(PARTS, repeat)
    refused(PARTS, lambda tables: tables["audience_ids"].__setitem__(1, "aage"))


def test_claims_of_sizes_that_are_not_there() -> None:
    """Headers that promise billions of elements cost nothing."""
    for kind in (b"\xdd", b"\xdf", b"\xdb", b"\xc6"):
        for size in (2**32 - 1, 2**31, 10**6):
            payload = b"\x81\xa6tables" + kind + struct.pack(">I", size) + b"\x00" * 64
            with pytest.raises(ProgramError):
                Engine.from_bytes(sealed(payload))


def test_record_numbers_that_wrap_round() -> None:
    """65,537 experiences of 65,536 variants each: the sum is 2**32 + 65,536."""
    run_apart("""
import numpy as np
tables, native, digest = program_parts(Engine.from_dict(document()))
n = 65_537
tables["experience_ids"] = [f"e{i:06d}" for i in range(n)]
tables["lanes"] = {name: bytes(8 * n) for name in ("state", "tail")}
tables["lanes"]["length"] = np.array([8, 13] * n, "<u4").tobytes()
tables["experiences"] = {
    "audience": np.full(n, -1, "<i4").tobytes(),
    "traffic_count": np.full(n, 2**32, "<u8").tobytes(),
    "sticky": bytes(n),
    "highest_index": np.full(n, 65_535, "<u2").tobytes(),
    "first_piece": np.arange(n + 1, dtype="<u4").tobytes(),
    "piece_limit": np.full(n, 2**32 - 1, "<u4").tobytes(),
    "piece_index": np.full(n, 65_535, "<u2").tobytes(),
}
tables["records"] = {
    "json": [b"{}"] * 65_536, "change_json": [], "first_change": bytes(4 * 65_537),
}
try:
    Engine.from_bytes(packed_program(tables, native, digest)).select_json(b'{"stableId":"x"}')
except ProgramError:
    sys.exit(0)
sys.exit("accepted")
""")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("pattern", lambda tables: tables["leaves"]["operands"].__setitem__(2, "(")),
        ("audience id", lambda tables: tables.update(audience_ids=[1, 2, 3])),
        ("audience id", lambda tables: tables.update(audience_ids=[b"a0", b"a1", b"a2"])),
        ("record", lambda tables: tables["records"].update(json=[b'{"variants":5}'] * 2)),
        ("record", lambda tables: tables["records"].update(json=[b'{"experienceId":"e0"}'] * 2)),
        (
            "record",
            lambda tables: tables["records"].update(
                json=[b'{"variants":%s}' % (b"[" * 5000 + b"]" * 5000)] * 2
            ),
        ),
        ("event path", lambda tables: tables["event_leaves"].update(paths=[[1, 2]])),
    ],
)
def test_unsound_contents(what: str, change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ProgramError):
        Engine.from_bytes(changed(SMALL, change)).select(PROFILE, fresh=True)


def test_a_configuration_that_is_none() -> None:
    """It is only read when somebody asks for it."""
    for native in (None, 5, [], {}, {"experiences": 5}, {"format": "other"}):
        engine = load(packed_program(PARTS[0], native, PARTS[2]))
        assert isinstance(engine, Engine)
        assert engine.select(PROFILE) == ENGINE.select(PROFILE)
        with pytest.raises(WhichVariantError):
            _ = engine.configuration


def test_a_configuration_of_another_program() -> None:
    other = program_parts(Engine.from_dict(document(test("k"))))
    with pytest.raises(ProgramError):
        _ = Engine.from_bytes(packed_program(PARTS[0], other[1], PARTS[2])).configuration

"""Records: written, read back, of every version there ever was, damaged, and from the future."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from whichvariant.errors import RecordError
from whichvariant.profiles import state as states
from whichvariant.profiles.history import decode_row
from whichvariant.profiles.state import (
    SCHEMA,
    Kept,
    ProfileState,
    Session,
    decode_state,
    encode_state,
    new_state,
)

Json = Any
FOLDER = pathlib.Path(__file__).parents[2] / "fixtures" / "records"
RECORDS = sorted(FOLDER.glob("v*/*.msgpack"))

FULL = ProfileState(
    SCHEMA,
    "id",
    "stable",
    2**32 - 1,
    -5,
    {"a": {"b": [1, 2.5, None, "ü"]}, "__proto__": 1, "": 2**64 - 1},
    {"a": -(10**15), "__proto__": 1, "": 2},
    {"city": "Köln", "coordinates": {"latitude": 1.5, "longitude": -2.0}},
    {"de": "Köln"},
    5,
    "mobile",
    6,
    Session(1, 2, 3, 4, ("/", "u", {"q": "1"}, "r", "s"), 1),
    {"e": 65535},
    {"e": 7},
    {2**64 - 1: 5, 3: [1, 2, 3], 0: 2**53},
    2**64 - 1,
    b"12345678",
    Kept(2, 9, 3, 4, 1000, -7),
)


# --- what was written must be readable for ever --------------------------------------------------


def plain(state: ProfileState) -> Json:
    """A state as the JSON beside a record has it."""
    return json.loads(msgspec.json.encode(msgspec.to_builtins(state)))


def test_there_are_records_of_every_version() -> None:
    versions = {path.parent.name for path in RECORDS}
    assert versions == {f"v{version}" for version in range(1, SCHEMA + 1)}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_records_of_every_version_are_read(path: pathlib.Path) -> None:
    data = path.read_bytes()
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if path.stem.startswith("row-"):
        request = decode_row((1, data))
        located = request.located
        assert {
            "received_ms": request.received_ms,
            "located": None if located is None else [located.location, located.city_names],
            "events": [one.raw for one in request.events],
            "times": [one.at_ms for one in request.events],
        } == expected
        return
    state = decode_state(data)
    assert state.schema == SCHEMA
    assert plain(state) == expected
    assert decode_state(encode_state(state)) == state
    if path.parent.name == f"v{SCHEMA}":
        assert encode_state(state) == data


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [FULL, new_state("n", 0, 0)], ids=["full", "new"])
def test_what_is_written_is_read(state: ProfileState) -> None:
    record = encode_state(state)
    assert decode_state(record) == state
    assert encode_state(decode_state(record)) == record


def test_a_copy_is_its_own() -> None:
    copied = FULL.copy()
    before = encode_state(FULL)
    assert copied == FULL
    copied.traits["x"] = copied.traits_ms["x"] = 1
    copied.sticky["x"] = copied.sticky_ms["x"] = 1
    copied.activity[1] = 1
    assert copied.session is not None
    copied.session.count += 1
    copied.kept.next += 1
    assert encode_state(FULL) == before


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x90",
        b"\x01",
        b"\xa1x",
        b"\x80",
        b"\x91\xa1x",
        b"\x91\xc0",
        b"\x91\xc3",
        b"\x91\x01",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        encode_state(FULL)[:-1],
        encode_state(FULL) + b"\0",
        encode_state(FULL)[1:],
        msgspec.msgpack.encode([1, "id", "s", "random", 0]),
        msgspec.msgpack.encode([1, "id", "s", 0, 0, {}, {"a": "b"}]),
    ],
)
def test_damage_is_an_error(record: bytes) -> None:
    with pytest.raises(RecordError):
        decode_state(record)


def test_every_damaged_byte_is_a_state_or_an_error() -> None:
    record = encode_state(FULL)
    for place in range(len(record)):
        for value in (0, 0xFF, 0xC0, 0xC1, record[place] ^ 1, record[place] ^ 0x80):
            damaged = bytearray(record)
            damaged[place] = value
            with contextlib.suppress(RecordError):
                decode_state(bytes(damaged))


def test_noise_is_an_error() -> None:
    chance = random.Random(4)
    for length in range(300):
        with pytest.raises(RecordError):
            decode_state(chance.randbytes(length))


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [SCHEMA + 1, SCHEMA + 2, 2**40, 2**63, 0, -1])
def test_other_versions_are_named(version: int) -> None:
    values = msgspec.msgpack.decode(encode_state(FULL), strict=False)
    for record in ([version, *values[1:]], [version], [version, "something else"]):
        with pytest.raises(RecordError, match=f"version {version}; this release reads up to"):
            decode_state(msgspec.msgpack.encode(record))


def older(values: list[Json]) -> list[Json]:
    """From a version where the stable id came last and random was a share of 1000."""
    _, profile_id, random_, created, stable = values
    return [0, profile_id, stable, random_, created]


def old(values: list[Json]) -> list[Json]:
    return [1, values[1], values[2], values[3] * 1000, values[4]]


Migration = Callable[[list[Json]], list[Json]]


@pytest.fixture
def migrations(monkeypatch: pytest.MonkeyPatch) -> dict[int, Migration]:
    made: dict[int, Migration] = {-1: older, 0: old}
    monkeypatch.setattr(states, "MIGRATIONS", made)
    return made


def test_records_of_earlier_versions_are_brought_up_one_at_a_time(
    migrations: dict[int, Migration],
) -> None:
    for values in ([-1, "id", 5, 9, "stable"], [0, "id", "stable", 5, 9]):
        state = decode_state(msgspec.msgpack.encode(values))
        assert state == ProfileState(SCHEMA, "id", "stable", 5000, 9)
        assert decode_state(encode_state(state)) == state


def test_this_version_is_not_migrated(migrations: dict[int, Migration]) -> None:
    assert decode_state(encode_state(FULL)) == FULL
    with pytest.raises(RecordError):
        decode_state(encode_state(FULL)[:-1])


@pytest.mark.parametrize("values", [[0], [0, "id"], [0, "id", 5, None, 7], [-1, 1, 2, 3, 4], [-1]])
def test_damaged_records_of_earlier_versions(
    migrations: dict[int, Migration], values: list[Json]
) -> None:
    with pytest.raises(RecordError):
        decode_state(msgspec.msgpack.encode(values))


def test_a_migration_that_does_not_migrate(migrations: dict[int, Migration]) -> None:
    for wrong in ([0], [3], [], ["x"]):
        migrations[0] = lambda _, wrong=wrong: wrong  # type: ignore[misc]
        with pytest.raises(RecordError, match="version 0 is not one"):
            decode_state(msgspec.msgpack.encode([0]))

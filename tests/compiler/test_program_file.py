"""Saved programs: what comes back, what is refused, and that equal input gives equal bytes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
import pytest
import xxhash

from core.small import Json, audience, document, experience, leaf
from whichvariant import Engine
from whichvariant.compiler import is_program, pack_program, unpack_program
from whichvariant.compiler.program_file import MAGIC, VERSION
from whichvariant.errors import ProgramError

TABLES: dict[str, Any] = {"scheme": "murmur3", "buffer": b"\0\xff", "list": [1, None, 2.5, ["x"]]}
NATIVE: dict[str, Any] = {"format": "whichvariant/1", "experiences": []}
DIGEST = "0123456789abcdef0123456789abcdef"
PACKED = pack_program(TABLES, NATIVE, DIGEST)


def repacked(
    *, magic: Json = MAGIC, version: Json = VERSION, digest: Json = None, payload: Json = None
) -> bytes:
    """The program with some of its four parts replaced; the digest fits unless it is given."""
    content = msgpack.unpackb(PACKED)[3] if payload is None else payload
    if digest is None:
        digest = xxhash.xxh3_128_hexdigest(content)
    return bytes(msgpack.packb([magic, version, digest, content]))


def test_a_program_comes_back() -> None:
    assert unpack_program(PACKED) == (TABLES, NATIVE, DIGEST)
    assert repacked() == PACKED


def test_text_and_bytes_stay_apart() -> None:
    tables, _, _ = unpack_program(pack_program({"a": "x", "b": b"x"}, {}, ""))
    assert type(tables["a"]) is str
    assert type(tables["b"]) is bytes


def test_the_parts_of_a_program() -> None:
    magic, version, digest, payload = msgpack.unpackb(PACKED)
    assert (magic, version) == ("whichvariant/program", 1)
    assert digest == xxhash.xxh3_128_hexdigest(payload)
    assert set(msgpack.unpackb(payload)) == {"tables", "configuration", "digest"}


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_bytes_will_do(convert: Callable[[bytes], Any]) -> None:
    assert is_program(convert(PACKED))
    assert unpack_program(convert(PACKED))[2] == DIGEST


@pytest.mark.parametrize(
    ("data", "claims"),
    [
        (b"", False),
        (b"\x94", False),
        (b"{}", False),
        (PACKED[:21], False),
        (PACKED[:22], False),
        (PACKED[:23], True),
        (PACKED[1:], False),
        (b"\x93" + PACKED[1:], False),
        (b"\x95" + PACKED[1:], False),
        (PACKED[:5] + b"X" + PACKED[6:], False),
        (msgpack.packb({"format": "whichvariant/1"}), False),
        (msgpack.packb([MAGIC, 5, None, None]), True),
    ],
)
def test_is_program_looks_at_the_start_only(data: bytes, claims: bool) -> None:
    assert is_program(data) is claims
    with pytest.raises(ProgramError):
        unpack_program(data)


@pytest.mark.parametrize("size", sorted({*range(30), *range(30, len(PACKED), 17), len(PACKED) - 1}))
def test_truncated(size: int) -> None:
    with pytest.raises(ProgramError, match=r"damaged|not a compiled program"):
        unpack_program(PACKED[:size])


@pytest.mark.parametrize("place", range(len(MAGIC) + 2, len(PACKED), 13))
def test_every_byte_counts(place: int) -> None:
    """The digest covers the payload, and the digest itself is compared."""
    damaged = bytearray(PACKED)
    damaged[place] ^= 0x01
    with pytest.raises(ProgramError, match=r"damaged|of format"):
        unpack_program(bytes(damaged))


def test_something_behind_it() -> None:
    with pytest.raises(ProgramError, match="damaged"):
        unpack_program(PACKED + b"\0")


@pytest.mark.parametrize("version", [0, 2, 99, -1, "1", None, 1.5])
def test_another_version_says_what_to_do(version: Any) -> None:
    with pytest.raises(ProgramError, match=r"of format .*, this release reads 1; compile .* again"):
        unpack_program(repacked(version=version))


@pytest.mark.parametrize("digest", ["", "0" * 32, 5, b"x"])
def test_another_digest(digest: Any) -> None:
    with pytest.raises(ProgramError, match="its digest does not match"):
        unpack_program(repacked(digest=digest))


def packed(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        packed(5),
        packed([]),
        packed({}),
        packed({"tables": {}, "configuration": {}}),
        packed({"tables": {}, "digest": ""}),
        packed({"configuration": {}, "digest": ""}),
        packed({1: 2}),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 2_000,
    ],
)
def test_a_payload_that_fits_its_digest_but_is_none(payload: bytes) -> None:
    with pytest.raises(ProgramError, match="damaged"):
        unpack_program(repacked(payload=payload))


def test_the_source_is_named() -> None:
    for data in (b"", PACKED[:-1], repacked(version=2), repacked(digest="")):
        with pytest.raises(ProgramError, match=r"^shop\.program: "):
            unpack_program(data, "shop.program")
        with pytest.raises(ProgramError, match=r"^(not|a|the) .*compiled program|^a compiled"):
            unpack_program(data)


# --- equal input, equal bytes --------------------------------------------------------------------


def rich(order: Random | None = None) -> Json:
    """A configuration with many leaves, counters and experiences; entries in any order."""
    audiences = [
        audience(
            f"a{number}",
            {
                "any": [
                    leaf("in", ["x", number, "y", 2.5], key=f"t{number % 3}"),
                    leaf("greaterThan", number, key="age"),
                    leaf("notContains", f"n{number}", key="name"),
                    {"type": "track", "value": f"event{number % 4}", "count": number},
                    {"type": "page", "within": {"days": 1 + number % 2}},
                    {"not": {"all": [leaf("exists", key="b"), leaf("matches", "^x", key="b.c")]}},
                ]
            },
        )
        for number in range(12)
    ]
    variable = {
        "type": "InlineVariable",
        "key": "k",
        "baseline": {"value": {"b": 1, "a": [2]}},
        "variants": [],
    }
    rows = [
        experience(
            f"e{number}", f"a{number}", distribution=[0.5, 0.25, 0.25], components=[variable]
        )
        for number in range(12)
    ]
    tags = [{"nt_mergetag_id": f"traits.{name}", "nt_fallback": name} for name in "zax"]
    if order is not None:
        for entries in (audiences, rows, tags):
            order.shuffle(entries)
    return {**document(rows, audiences), "mergetags": tags}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_a_source_changes_no_byte(seed: int) -> None:
    expected = Engine.from_dict(rich()).to_bytes()
    assert Engine.from_dict(rich(Random(seed))).to_bytes() == expected


def backwards(value: Json) -> Json:
    """All objects with their keys the other way round, but for values that visitors get."""
    if isinstance(value, dict):
        items = reversed(list(value.items()))
        return {key: item if key == "value" else backwards(item) for key, item in items}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_keys_changes_no_byte() -> None:
    assert list(backwards(rich())) != list(rich())
    assert Engine.from_dict(backwards(rich())).to_bytes() == Engine.from_dict(rich()).to_bytes()


def test_the_number_of_sources_changes_no_byte() -> None:
    whole = rich()
    parts = [{**whole, "audiences": [], "experiences": whole["experiences"][6:], "mergetags": []}]
    parts += [{**whole, "experiences": whole["experiences"][:6]}]
    assert Engine.from_dict(*parts).to_bytes() == Engine.from_dict(whole).to_bytes()


def test_a_program_of_a_program_is_the_same() -> None:
    data = Engine.from_dict(rich()).to_bytes()
    again = Engine.from_bytes(data).to_bytes()
    assert again == data
    assert Engine.from_bytes(again).to_bytes() == data


def compiled_apart(hash_seed: str) -> bytes:
    """The same program, made in another process with other hashes of texts."""
    script = (
        "import sys\n"
        "from compiler.test_program_file import rich\n"
        "from whichvariant import Engine\n"
        "sys.stdout.buffer.write(Engine.from_dict(rich()).to_bytes())\n"
    )
    tests = pathlib.Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    finished = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tests, capture_output=True, check=True
    )
    return finished.stdout


def test_hashes_of_texts_change_no_byte() -> None:
    """No set or dict whose order depends on the process decides the order of anything."""
    expected = Engine.from_dict(rich()).to_bytes()
    assert compiled_apart("1") == compiled_apart("2") == expected

"""JavaScript's ``String()`` of JSON values (docs/rules.md, "Values"), judged by JavaScript."""

from __future__ import annotations

import enum
import json
import math
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from whichvariant._core import coercion

NUMBERS = [
    (0.0, "0"),
    (-0.0, "0"),
    (5.0, "5"),
    (-1.0, "-1"),
    (0.1, "0.1"),
    (-2.5, "-2.5"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1 / 3, "0.3333333333333333"),
    (100.0, "100"),
    (123456789.125, "123456789.125"),
    (4294967295.0, "4294967295"),
    # Whole numbers, up to and beyond what a double holds exactly.
    (9007199254740991.0, "9007199254740991"),
    (9007199254740992.0, "9007199254740992"),
    (-9007199254740994.0, "-9007199254740994"),
    (18014398509481984.0, "18014398509481984"),
    (9223372036854775808.0, "9223372036854776000"),
    (123456789012345680000.0, "123456789012345680000"),
    # The exponent begins at 1e21 …
    (1e20, "100000000000000000000"),
    (999999999999999868928.0, "999999999999999900000"),
    (1e21, "1e+21"),
    (-1e21, "-1e+21"),
    (1.5e21, "1.5e+21"),
    (1.2345e25, "1.2345e+25"),
    (1e100, "1e+100"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    # … and below 1e-6.
    (0.001, "0.001"),
    (0.00001, "0.00001"),
    (0.000001, "0.000001"),
    (0.0000012345, "0.0000012345"),
    (9.999999e-7, "9.999999e-7"),
    (1e-7, "1e-7"),
    (-1e-7, "-1e-7"),
    (1.5e-10, "1.5e-10"),
    (2.2250738585072014e-308, "2.2250738585072014e-308"),
    (5e-324, "5e-324"),
    (-5e-324, "-5e-324"),
]


@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_number_text(number: float, text: str) -> None:
    assert coercion.number_text(number) == text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_have_a_text(number: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        coercion.number_text(number)


def seeded_doubles() -> list[float]:
    """20,000 doubles: of all bit patterns, around the powers of ten, and as people write them."""
    source = Random(20)
    numbers = [number for number, _ in NUMBERS]
    for exponent in range(-30, 31):
        power = float(f"1e{exponent}")
        numbers += [math.nextafter(power, 0), power, math.nextafter(power, math.inf)]
    while len(numbers) < 20_000:
        kind = source.random()
        if kind < 0.4:
            number = struct.unpack("<d", source.randbytes(8))[0]
        elif kind < 0.6:
            number = math.ldexp(source.random() - 0.5, source.randint(-40, 90))
        elif kind < 0.8:
            number = float(source.randint(-(10**25), 10**25) // 10 ** source.randint(0, 25))
        else:
            number = round(
                source.uniform(-1, 1) * 10 ** source.randint(-8, 8), source.randint(0, 12)
            )
        if math.isfinite(number):
            numbers.append(number)
    return numbers


def test_number_text_is_what_node_writes() -> None:
    node = shutil.which("node")
    if node is None:
        reason = "node, which knows JavaScript best, is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    numbers = seeded_doubles()
    # As bit patterns, so that reading them is no part of the comparison.
    finished = subprocess.run(
        [
            node,
            "-e",
            (
                "const b = require('fs').readFileSync(0);"
                "const t = [];"
                "for (let i = 0; i < b.length; i += 8) t.push(String(b.readDoubleLE(i)));"
                "process.stdout.write(JSON.stringify(t));"
            ),
        ],
        input=struct.pack(f"<{len(numbers)}d", *numbers),
        capture_output=True,
        timeout=60,
        check=True,
    )
    expected = json.loads(finished.stdout)
    assert len(expected) == len(numbers) == 20_000
    for number, text in zip(numbers, expected, strict=True):
        assert coercion.number_text(number) == text, number.hex()


# --- other values --------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("abc", "abc"),
        (Text("abc"), "abc"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1"),
        (Level.HIGH, "3"),
        (2**53 + 1, "9007199254740992"),
        (10**21, "1e+21"),
        ({}, "[object Object]"),
        ({"a": 1}, "[object Object]"),
        (MappingProxyType({"a": 1}), "[object Object]"),
        ([], ""),
        ((), ""),
        ([1], "1"),
        ([1, "a", 2.5], "1,a,2.5"),
        ((True, False), "true,false"),
        ([None], ""),
        ([None, None, 1, None], ",,1,"),
        ([[], [[]]], ","),
        ([[1, 2], [None, [3]]], "1,2,,3"),
        ([{}, [{}]], "[object Object],[object Object]"),
        (["a,b", ""], "a,b,"),
    ],
)
def test_json_text(value: Any, text: str) -> None:
    assert coercion.json_text(value) == text


def nested(levels: int, inside: Any) -> Any:
    for _ in range(levels):
        inside = [inside]
    return inside


def test_arrays_nest_up_to_256_deep() -> None:
    assert coercion.json_text(nested(256, "x")) == "x"
    with pytest.raises(ValueError, match="nested too deeply"):
        coercion.json_text(nested(257, "x"))


def test_a_cycle_is_nested_too_deeply() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="nested too deeply"):
        coercion.json_text(cycle)


def test_an_object_is_not_looked_into() -> None:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    assert coercion.json_text([cycle, {"set": {1}}]) == "[object Object],[object Object]"


@pytest.mark.parametrize("value", [math.nan, [1, math.inf], 10**400, [[-(10**400)]]])
def test_numbers_must_be_finite_doubles(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not a finite number|too large for a double"):
        coercion.json_text(value)


class NotMapping:
    def __getitem__(self, key: str) -> str:
        return key


@pytest.mark.parametrize("value", [b"x", {1}, object(), 1j, NotMapping(), range(3), iter([])])
def test_what_is_not_json(value: Any) -> None:
    assert not isinstance(value, Mapping)
    name = type(value).__name__
    with pytest.raises(TypeError, match=f"not a JSON value: {name}"):
        coercion.json_text(value)
    with pytest.raises(TypeError, match=f"not a JSON value: {name}"):
        coercion.json_text([[value]])

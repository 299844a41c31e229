"""What is JSON and can be kept, what is not, and that finding out costs little."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import math
import time
import types
import uuid
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from whichvariant.errors import EventError
from whichvariant.profiles.json_values import MAX_DEPTH, pack_json

Json = Any
LIMIT = 1 << 20

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


def unpacked(value: Json) -> Json:
    return msgspec.msgpack.decode(pack_json(value, "v", LIMIT))


@given(json_values)
def test_json_comes_back_as_it_was(value: Json) -> None:
    assert unpacked(value) == value


@given(json_values, st.sampled_from([math.nan, math.inf, -math.inf, "\ud800", b"", {"\udfff": 1}]))
def test_what_is_not_json_is_found_wherever_it_is(value: Json, bad: Json) -> None:
    with pytest.raises(EventError) as caught:
        pack_json({"a": value, "b": [value, {"c": bad}]}, "v", LIMIT)
    assert caught.value.path == "v.b[1].c"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytearray(b"x"),
        memoryview(b"x"),
        object(),
        1j,
        collections.deque([1]),
        msgspec.msgpack.Ext(1, b""),
        dt.datetime(2022, 1, 1, tzinfo=dt.UTC),
        range(3),
        type,
        len,
        {"k": object()},
    ],
)
def test_objects_that_are_not_json(value: Json) -> None:
    with pytest.raises(EventError) as caught:
        pack_json({"a": [0, value]}, "v", LIMIT)
    assert caught.value.path.startswith("v.a[1]")


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (types.MappingProxyType({"a": types.MappingProxyType({})}), {"a": {}}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.UserDict(a=1), {"a": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        ((1, (2,)), [1, [2]]),
        (Text("x"), "x"),
        (Whole(3), 3),
        (Real(0.5), 0.5),
        (Number.ONE, 1),
        (True, True),
        (2**63, 2**63),
        (2**64, 2.0**64),
        (-(2**63) - 1, -(2.0**63)),
        (10**300, 1e300),
        ({"a": [10**300, Text("x"), types.MappingProxyType({})]}, {"a": [1e300, "x", {}]}),
        # What msgspec has a spelling for is kept so.
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.date(2022, 1, 2), "2022-01-02"),
    ],
)
def test_what_is_as_good_as_json(value: Json, kept: Json) -> None:
    assert unpacked(value) == kept
    assert type(unpacked(value)) is type(kept)


@pytest.mark.parametrize("value", [10**309, -(10**309), Real("nan"), Real("inf")])
def test_numbers_that_no_double_holds(value: Json) -> None:
    with pytest.raises(EventError, match=r"^v\.a\[1\]: "):
        pack_json({"a": [0, value]}, "v", LIMIT)


def nested(depth: int, kind: str) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = {"a": value} if kind == "object" else [value]
    return value


@pytest.mark.parametrize("kind", ["object", "list"])
def test_nesting(kind: str) -> None:
    assert unpacked(nested(MAX_DEPTH, kind)) == nested(MAX_DEPTH, kind)
    for depth in (MAX_DEPTH + 1, 1_000, 100_000):
        with pytest.raises(EventError, match="nested too deeply") as caught:
            pack_json(nested(depth, kind), "v", LIMIT)
        assert len(caught.value.path) <= 200
    with pytest.raises(EventError, match="nested too deeply"):
        pack_json([2**64, nested(1_000, kind)], "v", LIMIT)


def test_what_holds_itself() -> None:
    cycle: Json = {}
    cycle["a"] = [cycle]
    with pytest.raises(EventError, match="nested too deeply"):
        pack_json(cycle, "v", LIMIT)


def test_sizes() -> None:
    assert len(pack_json("x" * 100, "v", 102)) == 102
    with pytest.raises(EventError, match=r"^v: 103 bytes as msgpack, at most 102 are allowed"):
        pack_json("x" * 101, "v", 102)


@pytest.mark.parametrize("text", ["", "\0", "__proto__", "constructor", "x" * 10_000, "\U0001f600"])
def test_hostile_keys_are_keys_like_others(text: str) -> None:
    assert unpacked({text: {text: text}}) == {text: {text: text}}


def test_texts_whose_bytes_look_like_something_else() -> None:
    # UTF-8 of these has the bytes that open lists, binary data and doubles.
    for text in ("ÄÅÆÇÈÉ" * 50, "\u0490" * 300, "Ô" * 200, "Ëÿð" * 50):
        assert unpacked({text: [text]}) == {text: [text]}


def test_long_keys_above_many_values_cost_no_more_than_they_are_long() -> None:
    value = {"k" * 1_000_000: {str(number): 0 for number in range(100_000)}, "z": "\ud800"}
    begun = time.perf_counter()
    with pytest.raises(EventError) as caught:
        pack_json(value, "v", LIMIT)
    value["z"] = 2**64
    value["k" * 1_000_000]["no"] = 10**400
    with pytest.raises(EventError):
        pack_json(value, "v", LIMIT)
    assert time.perf_counter() - begun < 5
    assert len(caught.value.path) <= 200

"""Objects and arrays that refuse every change, and everything that must still work with them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgpack
import orjson
import pytest

from whichvariant.contracts.read_only import ReadOnlyDict, ReadOnlyList, freeze, thaw

PLAIN: dict[str, Any] = {"a": 1, "b": [1, {"c": None}, []], "d": {"e": {"f": "g"}}}


def changed_in_place(name: str, *arguments: Any) -> Callable[[Any], Any]:
    return lambda target: getattr(target, name)(*arguments)


DICT_CHANGES = [
    ("__setitem__", "a", 2),
    ("__setitem__", "new", 2),
    ("__delitem__", "a"),
    ("__ior__", {"new": 2}),
    ("clear",),
    ("pop", "a"),
    ("pop", "absent", None),
    ("popitem",),
    ("setdefault", "a", 2),
    ("setdefault", "new", 2),
    ("update", {"new": 2}),
    ("update",),
]
LIST_CHANGES = [
    ("__setitem__", 0, 2),
    ("__setitem__", slice(0, 1), []),
    ("__delitem__", 0),
    ("__delitem__", slice(0, 1)),
    ("__iadd__", [2]),
    ("__imul__", 2),
    ("append", 2),
    ("extend", [2]),
    ("insert", 0, 2),
    ("remove", 1),
    ("pop",),
    ("clear",),
    ("sort",),
    ("reverse",),
]


@pytest.mark.parametrize("change", DICT_CHANGES, ids=lambda change: change[0])
def test_an_object_refuses_every_change(change: tuple[Any, ...]) -> None:
    frozen = freeze(PLAIN)
    with pytest.raises(TypeError, match=r"shared .* read-only; ask for fresh=True, or copy it"):
        changed_in_place(*change)(frozen)
    assert frozen == PLAIN


@pytest.mark.parametrize("change", LIST_CHANGES, ids=lambda change: change[0])
def test_an_array_refuses_every_change(change: tuple[Any, ...]) -> None:
    frozen = freeze(PLAIN)["b"]
    with pytest.raises(TypeError, match=r"shared .* read-only; ask for fresh=True, or copy it"):
        changed_in_place(*change)(frozen)
    assert frozen == PLAIN["b"]


@pytest.mark.parametrize(("plain", "frozen"), [(dict, ReadOnlyDict), (list, ReadOnlyList)])
def test_no_change_is_forgotten(plain: type, frozen: type) -> None:
    """Every method of dict and list either is refused or is known to change nothing."""
    harmless = {
        *("__class_getitem__", "__contains__", "__eq__", "__ge__", "__getattribute__", "__gt__"),
        *(
            "__getitem__",
            "__hash__",
            "__init__",
            "__iter__",
            "__le__",
            "__len__",
            "__lt__",
            "__mul__",
        ),
        *(
            "__ne__",
            "__new__",
            "__or__",
            "__add__",
            "__repr__",
            "__reversed__",
            "__rmul__",
            "__ror__",
        ),
        *(
            "__sizeof__",
            "__doc__",
            "copy",
            "count",
            "fromkeys",
            "get",
            "index",
            "items",
            "keys",
            "values",
        ),
    }
    refused = {name for name in vars(frozen) if name in vars(plain)} - harmless
    assert set(vars(plain)) - refused <= harmless


def test_operators_refuse_as_their_methods_do() -> None:
    frozen = freeze(PLAIN)
    with pytest.raises(TypeError, match="read-only"):
        frozen["a"] = 2
    with pytest.raises(TypeError, match="read-only"):
        del frozen["a"]
    with pytest.raises(TypeError, match="read-only"):
        frozen |= {"new": 2}
    array = frozen["b"]
    with pytest.raises(TypeError, match="read-only"):
        array += [2]
    with pytest.raises(TypeError, match="read-only"):
        array *= 2
    with pytest.raises(AttributeError):
        frozen.note = "x"


# --- reading, comparing, encoding ----------------------------------------------------------------


def test_it_is_a_dict_and_equal_to_a_plain_one() -> None:
    frozen = freeze(PLAIN)
    assert isinstance(frozen, dict)
    assert isinstance(frozen["b"], list)
    assert frozen == PLAIN
    assert frozen != {**PLAIN, "a": 2}
    assert list(frozen) == list(PLAIN)
    assert repr(frozen) == repr(PLAIN)


def test_freeze_leaves_its_argument_alone() -> None:
    given = copy.deepcopy(PLAIN)
    frozen = freeze(given)
    given["b"][1]["c"] = "changed"
    given["d"].clear()
    assert frozen == PLAIN
    assert type(given) is dict


@pytest.mark.parametrize("value", [None, True, 5, 2.5, "x"])
def test_scalars_are_themselves(value: Any) -> None:
    assert freeze(value) is thaw(value) is value


ENCODERS: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "json indented": lambda value: json.dumps(value, indent=1, sort_keys=True),
    "orjson": orjson.dumps,
    "msgpack": msgpack.packb,
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_encoders_write_it_as_a_plain_one(encode: Callable[[Any], Any]) -> None:
    assert encode(freeze(PLAIN)) == encode(PLAIN)
    assert encode([freeze(PLAIN)["b"]]) == encode([PLAIN["b"]])


# --- copies --------------------------------------------------------------------------------------


def types_in(value: Any) -> set[type]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*map(types_in, inside))


FROZEN_TYPES = {ReadOnlyDict, ReadOnlyList}
DEEP_COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "thaw": thaw,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("copied", DEEP_COPIES.values(), ids=DEEP_COPIES)
def test_deep_copies_are_plain_throughout(copied: Callable[[Any], Any]) -> None:
    for value in (PLAIN, PLAIN["b"]):
        other = copied(freeze(value))
        assert other == value
        assert not types_in(other) & FROZEN_TYPES


def test_deep_copies_are_independent() -> None:
    frozen = freeze(PLAIN)
    other = copy.deepcopy(frozen)
    other["d"]["e"]["f"] = "changed"
    other["b"].append(2)
    assert frozen == PLAIN


def test_shallow_copies_are_plain_outside() -> None:
    frozen = freeze(PLAIN)
    for copied in (copy.copy(frozen), dict(frozen), {**frozen}, frozen | {}, frozen.copy()):
        assert type(copied) is dict
        assert copied["d"] is frozen["d"]
    array = frozen["b"]
    for listed in (copy.copy(array), list(array), [*array], array[:], array * 1):
        assert type(listed) is list
        assert listed[1] is array[1]


def test_a_container_around_it_copies_too() -> None:
    holder = {"records": [freeze(PLAIN)]}
    for copied in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        assert copied == holder
        assert not types_in(copied) & FROZEN_TYPES

"""Every operator as one positive comparison, possibly negated (compiler/leaves.py)."""

from __future__ import annotations

import math
from random import Random
from typing import Any, get_args

import numpy as np
import pytest

from whichvariant._core import leaf_table
from whichvariant.compiler.leaves import Leaf, LeafNumbers, leaf_of, leaf_of_condition
from whichvariant.contracts import Operand, Operator, Test

OPERATIONS = leaf_table.OPERATIONS
PATH = ("traits", "k")
LARGEST = 1.7976931348623157e308


def above(number: float) -> float:
    return math.nextafter(number, math.inf)


def leaf(operation: str, **fields: Any) -> Leaf:
    return Leaf(PATH, OPERATIONS[operation], **fields)


def text(member: str) -> tuple[int, str, float]:
    return 0, member, 0.0


def number(member: float) -> tuple[int, str, float]:
    return 1, "", member


AT_LEAST, BELOW = "greaterThanInclusive", "lessThan"

CASES: list[tuple[Operator, Operand, Leaf, bool]] = [
    ("equal", "x", leaf("in", members=(text("x"),)), False),
    ("equal", 5.0, leaf("in", members=(number(5.0),)), False),
    ("notEqual", "x", leaf("in", members=(text("x"),)), True),
    ("in", ("x",), leaf("in", members=(text("x"),)), False),
    ("in", (), leaf("in", members=()), False),
    (
        "in",
        ("b", 2.0, "a", 1.0),
        leaf("in", members=(text("a"), text("b"), number(1.0), number(2.0))),
        False,
    ),
    ("in", ("a", "a", 1.0, 1.0), leaf("in", members=(text("a"), number(1.0))), False),
    ("in", ("1", 1.0), leaf("in", members=(text("1"), number(1.0))), False),
    ("notIn", ("x", 5.0), leaf("in", members=(text("x"), number(5.0))), True),
    ("contains", "x", leaf("contains", text="x"), False),
    ("notContains", "x", leaf("contains", text="x"), True),
    ("startsWith", "x", leaf("startsWith", text="x"), False),
    ("endsWith", "", leaf("endsWith", text=""), False),
    ("matches", "^x$", leaf("matches", text="^x$"), False),
    ("exists", None, leaf("exists"), False),
    ("notExists", None, leaf("exists"), True),
    ("greaterThanInclusive", 5.0, leaf(AT_LEAST, threshold=5.0), False),
    ("greaterThan", 5.0, leaf(AT_LEAST, threshold=above(5.0)), False),
    ("lessThan", 5.0, leaf(BELOW, threshold=5.0), False),
    ("lessThanInclusive", 5.0, leaf(BELOW, threshold=above(5.0)), False),
    ("greaterThan", 0.0, leaf(AT_LEAST, threshold=5e-324), False),
    ("lessThanInclusive", 0.0, leaf(BELOW, threshold=5e-324), False),
    ("greaterThan", -5e-324, leaf(AT_LEAST, threshold=0.0), False),
    ("greaterThan", LARGEST, leaf(AT_LEAST, threshold=math.inf), False),
    ("lessThanInclusive", LARGEST, leaf(BELOW, threshold=math.inf), False),
    ("lessThanInclusive", -LARGEST, leaf(BELOW, threshold=above(-LARGEST)), False),
]


@pytest.mark.parametrize(("operator", "operand", "expected", "negated"), CASES)
def test_leaf_of(operator: Operator, operand: Operand, expected: Leaf, negated: bool) -> None:
    assert leaf_of(PATH, operator, operand) == (expected, negated)


def test_every_operator_is_covered() -> None:
    assert {operator for operator, *_ in CASES} == set(get_args(Operator))


@pytest.mark.parametrize(
    "operator", ["greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"]
)
def test_thresholds_have_one_zero(operator: Operator) -> None:
    negative, _ = leaf_of(PATH, operator, -0.0)
    positive, _ = leaf_of(PATH, operator, 0.0)
    assert math.copysign(1, negative.threshold) == math.copysign(1, positive.threshold) == 1
    assert negative == positive


def test_members_have_one_zero() -> None:
    [(_, _, member)] = leaf_of(PATH, "in", (-0.0, 0.0))[0].members
    assert math.copysign(1, member) == 1


def test_a_condition_with_a_second_place_to_look() -> None:
    test = Test(("context", "page", "url"), "notEqual", "/", ("properties", "url"))
    leaf, negated = leaf_of_condition(test)
    assert leaf.path == ("context", "page", "url", "", "properties", "url")
    assert negated
    assert leaf_of_condition(Test(PATH, "exists", None))[0].path == PATH


# --- numbering -----------------------------------------------------------------------------------


def random_leaves(source: Random) -> list[Leaf]:
    paths = [("traits", name) for name in "cab"] + [("traits", "a", "b"), ("location", "city")]
    leaves = []
    for _ in range(60):
        operator, operand, _, _ = source.choice(CASES)
        if isinstance(operand, float):
            operand = float(source.randint(-3, 3))
        leaves.append(leaf_of(source.choice(paths), operator, operand)[0])
    return leaves


def test_leaves_are_numbered_as_the_core_wants_them() -> None:
    """By slot, operation and threshold; equal ones once; whatever order they came in."""
    for seed in range(20):
        leaves = random_leaves(Random(seed))
        numbers = LeafNumbers(leaves)
        assert sorted(numbers.number.values()) == list(range(len(set(leaves))))
        assert LeafNumbers(leaves[::-1]).number == numbers.number
        keys = [(leaf.path, leaf.operation, leaf.threshold) for leaf in numbers.leaves]
        assert keys == sorted(keys)
        leaf_table.leaf_table(numbers.tables(), str)  # which refuses any other order


def test_tables_say_what_the_leaves_are() -> None:
    numbers = LeafNumbers(
        [
            leaf_of(("traits", "b"), "in", ("x", 2.5))[0],
            leaf_of(("traits", "b"), "lessThan", 7.0)[0],
            leaf_of(("traits", "a"), "matches", "^x")[0],
            leaf_of(("traits", "a"), "exists", None)[0],
        ],
        paths=[("activity", "000000")],
    )
    tables = numbers.tables()
    assert tables["paths"] == [["activity", "000000"], ["traits", "a"], ["traits", "b"]]
    assert np.frombuffer(tables["slot"], "<u4").tolist() == [1, 1, 2, 2]
    wanted = [OPERATIONS[name] for name in ("matches", "exists", "lessThan", "in")]
    assert list(tables["op"]) == wanted
    assert np.frombuffer(tables["number"], "<f8").tolist() == [0, 0, 7, 0]
    assert tables["operands"] == ["^x", None, None, ["x", 2.5]]


def test_no_leaves_at_all() -> None:
    tables = LeafNumbers([]).tables()
    assert tables == {"paths": [], "slot": b"", "op": b"", "number": b"", "operands": []}


# --- numeric texts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5.0),
        ("+5.", 5.0),
        (".5e1", 5.0),
        ("-0", 0.0),
        ("0.1000000000000000055511151231257827", 0.1),
        ("9007199254740993", 9007199254740992.0),
        ("1e-400", 0.0),
        ("1e400", None),
        ("", None),
        (".", None),
        ("1_000", None),
        ("5 ", None),
        ("5\0", None),
        ("\u0665", None),
        ("inf", None),
    ],
)
def test_numeric_text(text: str, expected: float | None) -> None:
    assert leaf_table.numeric_text(text) == expected

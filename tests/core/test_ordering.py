"""Ordering and numeric equality through real engines: exact at every double (docs/rules.md)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from random import Random

import pytest

from core.small import Asked, Json, leaf

NUMERIC_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
ORDERING: dict[str, Callable[[float, float], bool]] = {
    "greaterThan": operator.gt,
    "greaterThanInclusive": operator.ge,
    "lessThan": operator.lt,
    "lessThanInclusive": operator.le,
}
LARGEST = 1.7976931348623157e308
SMALLEST = 5e-324
NORMAL = 2.2250738585072014e-308


def number_of(value: Json) -> float | None:
    """The number that an ordering operator sees in a number or a text."""
    if isinstance(value, str) and not NUMERIC_TEXT.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def around(*numbers: float) -> list[float]:
    """Each number between the doubles before and after it."""
    near = [math.nextafter(number, away) for number in numbers for away in (-math.inf, math.inf)]
    return sorted({number for number in [*numbers, *near] if math.isfinite(number)})


def rules_for(thresholds: list[float]) -> list[Json]:
    return [leaf(name, threshold) for name in ORDERING for threshold in thresholds]


def expected_of(value: Json, thresholds: list[float]) -> list[bool]:
    number = number_of(value)
    return [
        number is not None and holds(number, threshold)
        for holds in ORDERING.values()
        for threshold in thresholds
    ]


EDGES = around(
    *(0.0, SMALLEST, -SMALLEST, NORMAL, -NORMAL, 0.1, 1.0, -1.0, 5.0, 100.0, 1e15, 1e22, 1e23),
    *(2.0**53, -(2.0**53), 2.0**63, LARGEST, -LARGEST, 1e308, 123456.789, 1 / 3),
)


@pytest.fixture(scope="module")
def edges() -> Asked:
    return Asked(rules_for(EDGES))


@pytest.mark.parametrize("value", [*EDGES, -0.0, 0, 2**53, 2**53 + 1, 10**22, 10**23, -(10**300)])
def test_numbers_at_every_threshold(edges: Asked, value: float) -> None:
    assert edges(value) == expected_of(value, EDGES)


TENTH = "0.1000000000000000055511151231257827"
"""The double 0.1 in full begins so; the decimal number 0.1 lies below it."""

TEXTS = [
    *(repr(number) for number in EDGES),
    TENTH,
    TENTH + "0211815834045410156250",
    "0.10000000000000001249000902703301107976",  # just below the middle to the next double
    "0.10000000000000001249000902703301107977",  # and just above
    "0.1000000000000000000000000000000000000000000000000",
    "9007199254740993",  # in the middle between two doubles: to the even one
    "9007199254740993.00000000000000000001",
    "9007199254740995",
    "12345678901234567890",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "0000000000000000000000000000005",
    "5.0000000000000000000000000000",
    "1" + "0" * 22,
    "1" + "0" * 23,
    "1" + "0" * 308,
    "1" + "0" * 309,
    "9" * 19,
    "9" * 400,
    "0." + "0" * 330 + "1",
    "0." + "9" * 1000,
    "1e22",
    "1e23",
    "1E+23",
    "1e-22",
    "1e-23",
    "123456789e-30",
    "10000000000000000000000e-22",
    "1e-400",
    "-1e-400",
    "1e400",
    "-1e400",
    "1e309",
    "17976931348623157e292",
    "1.7976931348623158e308",  # rounds down to the largest double
    "1.7976931348623159e308",  # would round up beyond it
    "2.4703282292062327e-324",  # below half the smallest double
    "2.4703282292062328e-324",  # above
    "4.9e-324",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "0e99999999999999999999",
    "-0",
    "+0.0e-5",
    "5",
    "+5",
    "5.",
    "05.0e0",
    "50e-1",
    ".5e1",
    "-.5",
    "+.5",
]
NOT_NUMERIC = [
    *("", ".", "+", "-", "+.", "e5", ".e5", "1e", "1e+", "1e+-5", "1e5.0", "1.2.3", "1..2"),
    *("--1", "+-1", " 5", "5 ", "5\n", "5\0", "1_000", "1,5", "1 000", "0x10", "5f", "5d", "1e5e5"),
    *("Infinity", "-Infinity", "inf", "nan", "NaN", "true", "null", "\u0665", "\uff15", "5\u0660"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_numeric_texts_at_every_threshold(edges: Asked, text: str) -> None:
    assert NUMERIC_TEXT.fullmatch(text)
    assert edges(text) == expected_of(text, EDGES)


@pytest.mark.parametrize("text", NOT_NUMERIC)
def test_other_texts_have_no_order(edges: Asked, text: str) -> None:
    assert not any(edges(text))


@pytest.mark.parametrize("value", [True, False, None, {}, {"k": 1}, [], [[]], ["a"], [1, 2]])
def test_other_values_have_no_order(edges: Asked, value: Json) -> None:
    assert not any(edges(value))


def test_an_array_of_one_number_is_numeric_text(edges: Asked) -> None:
    assert edges([5]) == edges("5") == expected_of(5, EDGES)


def test_a_missing_attribute_has_no_order(edges: Asked) -> None:
    assert not any(edges.traits({}))


@pytest.mark.parametrize("value", [5, "5.0", TENTH, "x", True])
def test_negated_ordering_is_its_complement(value: Json) -> None:
    rules = rules_for(EDGES[::5])
    plain, negated = Asked(rules)(value), Asked([{"not": rule} for rule in rules])(value)
    assert negated == [not answer for answer in plain]


def test_numbers_random_texts_and_python_agree() -> None:
    """Texts of up to 25 digits, where both ways to read a number meet."""
    source = Random(1)
    thresholds = around(*(round(source.uniform(-100, 100), 2) for _ in range(10)), 0.0, 1.0)
    asked = Asked(rules_for(thresholds))
    for _ in range(5_000):
        digits = "".join(source.choice("0123456789") for _ in range(source.randint(1, 25)))
        point = source.randint(0, len(digits))
        text = source.choice(["", "-", "+"]) + digits[:point] + "." + digits[point:]
        text += source.choice(["", "", f"e{source.randint(-25, 25)}"])
        assert asked(text) == expected_of(text, thresholds), text


# --- tables of every size ------------------------------------------------------------------------

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 100)


@pytest.mark.parametrize("count", SIZES)
def test_any_number_of_thresholds(count: int) -> None:
    source = Random(count)
    thresholds = sorted(source.uniform(-10, 10) for _ in range(count))
    asked = Asked(rules_for(thresholds))
    for number in [
        *around(*thresholds),
        -11.0,
        11.0,
        *(source.uniform(-10, 10) for _ in range(20)),
    ]:
        assert asked(number) == expected_of(number, thresholds), number
        assert asked(repr(number)) == expected_of(number, thresholds), number


@pytest.mark.parametrize("name", ORDERING)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100])
def test_any_number_of_thresholds_of_one_operator(name: str, count: int) -> None:
    """With one operator alone the other half of the slot's table is empty."""
    thresholds = [float(number) for number in range(count)]
    asked = Asked([leaf(name, threshold) for threshold in thresholds])
    for number in around(*thresholds):
        assert asked(number) == [ORDERING[name](number, threshold) for threshold in thresholds]


@pytest.mark.parametrize("count", SIZES)
def test_any_number_of_equal_numbers(count: int) -> None:
    source = Random(count)
    numbers = sorted({source.uniform(-10, 10) for _ in range(count)})
    asked = Asked([leaf("equal", number) for number in numbers])
    for value in [*around(*numbers), -11.0, 11.0]:
        assert asked(value) == [value == number for number in numbers], value
        assert asked(repr(value)) == [value == number for number in numbers], value


ZEROS = [0, -0.0, "0", "-0", "0.00", "+.0e5", "1e-400", "-1e-400"]


@pytest.mark.parametrize("value", ZEROS)
def test_there_is_one_zero(value: Json) -> None:
    asked = Asked(
        [
            leaf("equal", 0),
            leaf("equal", -0.0),
            leaf("greaterThanInclusive", -0.0),
            leaf("lessThanInclusive", "-0"),
            leaf("greaterThan", -0.0),
            leaf("lessThan", 0),
        ]
    )
    assert asked(value) == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("operand", "equal", "unequal"),
    [
        (5, [5, 5.0, "5", "5.0", "+5", "50e-1", [5]], [5.000000000000001, "5 ", "five", [5, 5]]),
        (0.1, [0.1, "0.1", TENTH, "1e-1"], [math.nextafter(0.1, 1), "0.10000000000000002"]),
        (2**53, [2**53, 2**53 + 1, "9007199254740993"], [2**53 + 2, "9007199254740994"]),
        (1, [1, "1", "01"], [True, "true", None, ""]),
        ("5", [5, 5.0, "5"], ["5.0", "+5", " 5", 6]),
        ("5.0", [5, "5.0"], ["5", "5.00"]),
        ("1e400", ["1e400"], [LARGEST, "1e401"]),
        ("x5", ["x5"], [5, "5"]),
        ("", [""], [0, "0", None, " "]),
        ("0", [0, -0.0, "0"], ["", "-0", False, "0.0"]),
        (TENTH, [0.1, TENTH], ["0.1"]),
    ],
)
def test_equality_of_numbers_and_texts(
    operand: Json, equal: list[Json], unequal: list[Json]
) -> None:
    asked = Asked(
        [leaf("equal", operand), leaf("in", [operand, "other"]), leaf("notEqual", operand)]
    )
    for value in equal:
        assert asked(value) == [True, True, False], value
    for value in unequal:
        assert asked(value) == [False, False, True], value

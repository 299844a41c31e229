"""Contracts are frozen values; the order of ids; how many variants an experience has."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Audience,
    Configuration,
    Counter,
    CounterTest,
    EntryReplacement,
    Experience,
    Finding,
    InlineVariable,
    MergeTag,
    Not,
    Segment,
    Test,
)
from whichvariant.contracts.configuration import id_order

TEST = Test(("traits", "k"), "equal", "x")
COUNTER = Counter("page", None, (TEST,), None)
AUDIENCE = Audience("a", AnyOf((TEST,)))
EXPERIENCE = Experience(
    "e", "a", 1.0, (Segment(0, 0.0, 1.0),), False, (EntryReplacement("x", ("y",)),)
)
VALUES = [
    TEST,
    COUNTER,
    CounterTest(COUNTER, "greaterThan", 1.0),
    AnyOf((TEST,)),
    AllOf(()),
    Not(TEST),
    AUDIENCE,
    Segment(0, 0.0, 0.5),
    EntryReplacement("x", ("y", "")),
    InlineVariable("k", "Number", 1, (2, 3)),
    EXPERIENCE,
    MergeTag("traits.name", "Name", "you"),
    Configuration("murmur3", (AUDIENCE,), (EXPERIENCE,), (), "0" * 32),
    Finding("error", "wrong-type", "message", "path", "source", "subject"),
]

each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each_value
def test_contracts_are_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises((AttributeError, TypeError)):
        value.note = "x"


@each_value
def test_contracts_are_values(value: Any) -> None:
    assert dataclasses.replace(value) == value
    assert dataclasses.replace(value) is not value
    for field in dataclasses.fields(value):
        if field.compare:
            assert dataclasses.replace(value, **{field.name: object()}) != value


@pytest.mark.parametrize("value", [TEST, COUNTER, AUDIENCE, AllOf((Not(TEST),)), VALUES[-1]])
def test_rules_and_findings_are_hashable(value: Any) -> None:
    assert {value: 1}[pickle.loads(pickle.dumps(value))] == 1


def test_extras_are_carried_but_not_compared() -> None:
    other = dataclasses.replace(EXPERIENCE, extras={"primaryMetric": "clicks"})
    assert other == EXPERIENCE
    assert other.extras != EXPERIENCE.extras == {}
    with pytest.raises(TypeError):
        EXPERIENCE.extras["x"] = 1  # type: ignore[index]


# --- variants ------------------------------------------------------------------------------------


def entry(count: int) -> EntryReplacement:
    return EntryReplacement("x", ("y",) * count)


def variable(count: int) -> InlineVariable:
    return InlineVariable("k", None, 0, (1,) * count)


@pytest.mark.parametrize(
    ("indices", "components", "highest"),
    [
        ([], [], 0),
        ([0], [], 0),
        ([0, 1, 2], [], 2),
        ([2, 0, 1], [], 2),
        ([7], [], 7),
        ([], [entry(0)], 0),
        ([], [entry(3)], 3),
        ([], [variable(3), entry(1)], 3),
        ([0, 1], [entry(3)], 3),
        ([0, 5], [entry(3), variable(4)], 5),
    ],
)
def test_highest_index(indices: list[int], components: list[Any], highest: int) -> None:
    segments = tuple(Segment(index, 0.0, 1.0) for index in indices)
    experience = Experience("e", None, 1.0, segments, False, tuple(components))
    assert experience.highest_index == highest


# --- order of ids --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ordered",
    [
        ["1hTt", "1lNQ", "1TF5"],
        ["a", "B", "c"],
        ["A", "a", "B", "b"],
        ["", "a"],
        ["a", "aa", "ab"],
        ["10", "9"],
        ["_", "a", "Z"],
        ["e", "z", "\xc9", "\xe9"],
        ["a\U0001f98a", "b"],
    ],
)
def test_ids_are_ordered_case_insensitively_then_by_code_point(ordered: list[str]) -> None:
    ids = ordered[::-1]
    ids.sort(key=id_order)
    assert ids == ordered


# --- findings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source", "text"),
    [
        ("entries[0].x", "space.json", "error[wrong-type] space.json: entries[0].x: expected text"),
        ("entries[0].x", "", "error[wrong-type] entries[0].x: expected text"),
        ("", "space.json", "error[wrong-type] space.json: expected text"),
    ],
)
def test_a_finding_in_one_line(path: str, source: str, text: str) -> None:
    assert str(Finding("error", "wrong-type", "expected text", path, source)) == text


def test_a_finding_as_json() -> None:
    assert Finding("warning", "empty-group", "message", "a.b", "space.json", "hero").to_dict() == {
        "severity": "warning",
        "code": "empty-group",
        "message": "message",
        "path": "a.b",
        "source": "space.json",
        "subject": "hero",
    }

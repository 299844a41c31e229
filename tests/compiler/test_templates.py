"""Records and changes, made once for every variant (SEMANTICS 4)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from whichvariant.compiler.templates import (
    experience_changes,
    experience_record,
    record_tables,
    shared_objects,
)
from whichvariant.contracts import Component, EntryReplacement, Experience, InlineVariable, Segment
from whichvariant.contracts.read_only import ReadOnlyDict, ReadOnlyList


def entry(baseline: str, *variants: str) -> EntryReplacement:
    return EntryReplacement(baseline, variants)


def variable(key: str, baseline: Any, *variants: Any) -> InlineVariable:
    return InlineVariable(key, None, baseline, variants)


def experience(
    *components: Component, sticky: bool = False, name: str = "e", shares: int = 1
) -> Experience:
    parts = tuple(Segment(i, i / shares, (i + 1) / shares) for i in range(shares))
    return Experience(name, None, 1.0, parts, sticky, components)


# --- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("components", "index", "variants"),
    [
        ([], 0, {}),
        ([], 3, {}),
        ([entry("a", "b", "c")], 0, {"a": "a"}),
        ([entry("a", "b", "c")], 1, {"a": "b"}),
        ([entry("a", "b", "c")], 2, {"a": "c"}),
        ([entry("a", "b", "c")], 3, {"a": "a"}),
        ([entry("a", "b", "c")], 255, {"a": "a"}),
        ([entry("a")], 1, {"a": "a"}),
        # "" is the deliberate empty variant, and no reason to fall back.
        ([entry("a", "", "c")], 1, {"a": ""}),
        ([entry("a", "b"), entry("c", "d")], 1, {"a": "b", "c": "d"}),
        ([entry("a", "b"), entry("c", "d", "e")], 2, {"a": "a", "c": "e"}),
        # Of two components with one baseline the first counts, even where it has fewer variants.
        ([entry("a", "b"), entry("a", "x", "y")], 1, {"a": "b"}),
        ([entry("a", "b"), entry("a", "x", "y")], 2, {"a": "a"}),
        ([entry("a", ""), entry("a", "x")], 1, {"a": ""}),
        # A variant may be another component's baseline.
        ([entry("a", "b"), entry("b", "a")], 1, {"a": "b", "b": "a"}),
        ([variable("k", 1, 2)], 1, {}),
        ([variable("k", 1, 2), entry("a", "b")], 1, {"a": "b"}),
    ],
)
def test_variants_of_a_record(components: list[Component], index: int, variants: Any) -> None:
    record = experience_record(experience(*components), index)
    assert record == {"experienceId": "e", "variantIndex": index, "variants": variants}


def test_variants_follow_the_components() -> None:
    record = experience_record(experience(entry("z"), entry("a"), entry("m"), entry("a")), 0)
    assert list(record["variants"]) == ["z", "a", "m"]


def test_sticky_is_there_only_when_true() -> None:
    assert experience_record(experience(sticky=True), 0)["sticky"] is True
    assert list(experience_record(experience(sticky=True), 0))[-1] == "sticky"
    assert "sticky" not in experience_record(experience(), 0)


# --- changes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "values"),
    [(0, [1, "x", None]), (1, [2, "y", None]), (2, [3, "x", None]), (3, [1, "x", None])],
)
def test_values_of_changes(index: int, values: list[Any]) -> None:
    components = (variable("n", 1, 2, 3), variable("t", "x", "y"), variable("o", None))
    changes = experience_changes(experience(*components), index)
    assert [change["value"] for change in changes] == values


@pytest.mark.parametrize("value", [None, False, 0, "", {}, [], {"a": [None]}])
def test_a_value_that_is_empty_is_a_value(value: Any) -> None:
    [change] = experience_changes(experience(variable("k", "baseline", value)), 1)
    assert change["value"] == value
    assert type(change["value"]) is type(value)


def test_the_shape_of_a_change() -> None:
    [change] = experience_changes(experience(variable("k", 1, 2)), 1)
    assert change == {
        "key": "k",
        "type": "Variable",
        "value": 2,
        "meta": {"experienceId": "e", "variantIndex": 1},
    }
    assert list(change) == ["key", "type", "value", "meta"]


def test_changes_follow_the_components() -> None:
    """Repeated keys included; entries between them give no change."""
    components = (variable("z", 1), entry("a", "b"), variable("a", 2), variable("z", 3))
    changes = experience_changes(experience(*components), 0)
    assert [(change["key"], change["value"]) for change in changes] == [
        ("z", 1),
        ("a", 2),
        ("z", 3),
    ]


# --- tables --------------------------------------------------------------------------------------


def test_a_record_for_every_variant() -> None:
    """As many as the distribution or the longest component has, whichever is more."""
    rows = [
        experience(name="one"),
        experience(entry("a", "b", "c"), name="two"),
        experience(entry("a", "b"), name="three", shares=4),
    ]
    records = [json.loads(text) for text in record_tables(rows)["json"]]
    assert [(record["experienceId"], record["variantIndex"]) for record in records] == [
        ("one", 0),
        ("two", 0),
        ("two", 1),
        ("two", 2),
        ("three", 0),
        ("three", 1),
        ("three", 2),
        ("three", 3),
    ]


def test_changes_are_counted_by_record() -> None:
    rows = [
        experience(entry("a", "b"), name="none"),
        experience(variable("k", 1, 2), variable("l", 1), name="two"),
        experience(name="last"),
    ]
    tables = record_tables(rows)
    assert np.frombuffer(tables["first_change"], "<u4").tolist() == [0, 0, 0, 2, 4, 4]
    changes = [json.loads(text) for text in tables["change_json"]]
    assert [(change["key"], change["value"]) for change in changes] == [
        ("k", 1),
        ("l", 1),
        ("k", 2),
        ("l", 1),
    ]


def test_no_experiences() -> None:
    assert record_tables([]) == {"json": [], "change_json": [], "first_change": bytes(4)}


def test_json_is_compact_and_not_escaped() -> None:
    row = experience(
        entry("zoë", "🦊"), variable("größe", {"é": 'say "x"'}), name="łódź", sticky=True
    )
    tables = record_tables([row])
    assert tables["json"][1].decode() == (
        '{"experienceId":"łódź","variantIndex":1,"variants":{"zoë":"🦊"},"sticky":true}'
    )
    assert tables["change_json"][0].decode() == (
        '{"key":"größe","type":"Variable","value":{"é":"say \\"x\\""},'
        '"meta":{"experienceId":"łódź","variantIndex":0}}'
    )


def test_numbers_keep_their_spelling() -> None:
    """A whole number stays whole and a double a double, as the configuration had them."""
    row = experience(variable("k", 1, 1.0, -0.0, 10**18, 1e300, 0.1, True))
    texts = [text.decode().split('"value":')[1] for text in record_tables([row])["change_json"]]
    spelled = [text.split(',"meta"')[0] for text in texts]
    assert spelled == ["1", "1.0", "-0.0", "1000000000000000000", "1e+300", "0.1", "true"]


# --- shared objects ------------------------------------------------------------------------------


def test_shared_objects_are_read_only_throughout() -> None:
    [one, two] = shared_objects([b'{"a":{"b":[1,{"c":2}]}}', b'{"d":null}'])
    assert one == {"a": {"b": [1, {"c": 2}]}}
    assert two == {"d": None}
    assert type(one) is type(one["a"]) is type(one["a"]["b"][1]) is ReadOnlyDict
    assert type(one["a"]["b"]) is ReadOnlyList
    assert list(shared_objects([b'{"b":1,"a":2}'])[0]) == ["b", "a"]


def test_equal_texts_give_separate_objects() -> None:
    one, other = shared_objects([b"{}", b"{}"])
    assert one is not other

"""The engine against every row of docs/rules.md, from a dict and from JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from oracle.oracle import MISSING
from oracle.rows import (
    COMPARISONS,
    COUNTS,
    DEVICE_LEAVES,
    EQUALS,
    EVENTS,
    GROUPS,
    NUMBER_TEXTS,
    NUMERIC_TEXTS,
    OTHER_NUMBERS,
    PROFILE,
    PROFILE_LEAVES,
    SYNONYM_ROWS,
    VALUE_TEXTS,
)
from oracle.strategies import json_text
from whichvariant import Engine


def holds(
    rules: dict[str, Any],
    profile: dict[str, Any],
    *,
    device: str | None = None,
    events: list[dict[str, Any]] | None = None,
) -> bool:
    """Whether the engine finds that the rules hold; both ways in must agree."""
    engine = Engine.from_dict({"audiences": [{"nt_audience_id": "a", "nt_rules": rules}]})
    profile = {"stableId": "x", **profile}
    audiences = engine.select(profile, device=device, events=events).to_dict()["audiences"]
    answer = engine.select_json(json_text(profile), device=device, events=events)
    assert json.loads(answer)["audiences"] == audiences
    return bool(audiences == ["a"])


def compare(attribute: Any, operator: str, value: Any) -> bool:
    """One attribute, as a trait, compared by the engine."""
    rules = {"type": "identify", "key": "x", "operator": operator, "value": value}
    traits = {} if attribute is MISSING else {"x": attribute}
    return holds({"any": [{"all": [rules]}]}, {"traits": traits})


@pytest.mark.parametrize(("value", "text"), NUMBER_TEXTS + VALUE_TEXTS)
def test_texts(value: Any, text: str) -> None:
    assert compare(value, "matches", rf"\A{re.escape(text)}\z")


@pytest.mark.parametrize(("value", "number"), NUMERIC_TEXTS + OTHER_NUMBERS)
def test_numbers(value: Any, number: float | None) -> None:
    limits = (-1e308, 1e308) if number is None else (number, number)
    for operator, limit in zip(("gte", "lte"), limits, strict=True):
        assert compare(value, operator, limit) is (number is not None)


@pytest.mark.parametrize(("left", "right", "expected"), EQUALS)
def test_equal(left: Any, right: Any, expected: bool) -> None:
    assert compare(left, "equal", right) is expected
    assert compare(left, "notEqual", right) is not expected
    assert compare(left, "in", ["other", right]) is expected
    assert compare(left, "notIn", [right]) is not expected


@pytest.mark.parametrize(("operator", "value", "true_for", "false_for"), COMPARISONS)
def test_every_operator(
    operator: str, value: Any, true_for: list[Any], false_for: list[Any]
) -> None:
    (synonyms,) = [names for name, names in SYNONYM_ROWS if name == operator]
    for name in (operator, *synonyms):
        for attribute in true_for:
            assert compare(attribute, name, value), attribute
        for attribute in false_for:
            assert not compare(attribute, name, value), attribute


@pytest.mark.parametrize(("rules", "expected"), GROUPS)
def test_groups(rules: dict[str, Any], expected: bool) -> None:
    assert holds(rules, {}) is expected


@pytest.mark.parametrize(("rule", "expected"), PROFILE_LEAVES)
def test_profile_leaves(rule: dict[str, Any], expected: bool) -> None:
    assert holds(rule, PROFILE) is expected
    assert holds({"not": rule}, PROFILE) is not expected


@pytest.mark.parametrize(("rule", "true_for"), DEVICE_LEAVES)
def test_device_leaves(rule: dict[str, Any], true_for: list[str | None]) -> None:
    for device in ("desktop", "mobile", "tablet", "unknown", None):
        assert holds(rule, {}, device=device) is (device in true_for), device


@pytest.mark.parametrize(("rule", "count"), COUNTS)
def test_activity_counts(rule: dict[str, Any], count: int) -> None:
    for wanted in (count, str(count)):
        assert holds({**rule, "operator": "equal", "count": wanted}, {}, events=EVENTS)
    assert not holds({**rule, "operator": "gt", "count": count}, {}, events=EVENTS)

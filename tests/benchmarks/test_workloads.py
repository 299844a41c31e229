"""The benchmarks measure what they claim: stable workloads, and contestants that agree."""

from __future__ import annotations

import functools
import json
import math
import uuid
from typing import Any

import pytest
from benchmarks.generated import GeneratedEngine, leaves_of
from benchmarks.peers.rules import Leaf, alternatives, flattened, with_presence
from benchmarks.prepared import (
    OPERATORS,
    PreparedEngine,
    draw,
    evaluate,
    low_bytes,
    number_text,
    operand_of,
    path_of,
    prepare,
)
from benchmarks.report import NAIVE, SHARED, fallen, lines, ratios, targets
from benchmarks.workloads import SIZES, Workload, workload

NAMES = ("W1", "W2")  # W3 differs in size only, and takes seconds to make
PROFILES = 60


@functools.cache
def made(name: Any) -> Workload:
    return workload(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_workload(name: Any) -> None:
    again = workload(name)
    assert again.document == made(name).document
    assert again.profiles == made(name).profiles
    assert workload(name, seed=2).document != made(name).document


@pytest.mark.parametrize("name", NAMES)
def test_sizes(name: Any) -> None:
    size = SIZES[name]
    document = made(name).document
    leaves = list(leaves_of(audience["nt_rules"] for audience in document["audiences"]))
    assert len(document["experiences"]) == size.experiences
    assert len(document["audiences"]) == size.audiences
    assert len({path_of(leaf) for leaf in leaves}) == pytest.approx(size.paths, abs=2)
    assert len(leaves) / size.audiences == pytest.approx(2 if name == "W1" else 4, abs=0.2)
    lengths = [len(blob) for blob in made(name).blobs]
    assert 1000 < sum(lengths) / len(lengths) < 1300


@pytest.mark.parametrize("name", NAMES)
def test_profiles_have_the_shape_of_the_api(name: Any) -> None:
    for profile, blob in zip(made(name).profiles, made(name).blobs, strict=True):
        assert json.loads(blob) == profile
        assert uuid.UUID(profile["stableId"]).version == 4
        assert {"id", "stableId", "random", "audiences", "traits", "location", "session"} <= set(
            profile
        )


def test_the_match_rate_of_w2() -> None:
    assert 0.24 <= made("W2").match_rate <= 0.28


@pytest.mark.parametrize("name", NAMES)
def test_generated_code_agrees_with_the_naive_interpreter(name: Any) -> None:
    naive = PreparedEngine(made(name).document)
    generated = GeneratedEngine(made(name).document)
    for profile in made(name).profiles[:PROFILES]:
        experiences, changes, audiences = naive.select(profile)
        pairs, matching = generated.select_indices(profile)
        assert [generated.audience_ids[index] for index in matching] == audiences
        assert [(generated.experience_ids[index], variant) for index, variant in pairs] == [
            (one["experienceId"], one["variantIndex"]) for one in experiences
        ]
        assert generated.select_records(profile) == (experiences, changes, audiences)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_agrees_with_the_naive_interpreter(name: Any) -> None:
    engine_class = getattr(pytest.importorskip("whichvariant"), "Engine", None)
    if engine_class is None:
        pytest.skip("the engine is not built")
    engine = engine_class.from_dict(made(name).document)
    naive = PreparedEngine(made(name).document)
    for profile in made(name).profiles[:PROFILES]:
        selection = engine.select(profile)
        answer = (selection.experiences, selection.changes, selection.audiences)
        assert answer == naive.select(profile)


@pytest.mark.parametrize("name", NAMES)
def test_workloads_load_without_findings(name: Any) -> None:
    engine_class = getattr(pytest.importorskip("whichvariant"), "Engine", None)
    if engine_class is None:
        pytest.skip("the engine is not built")
    assert not engine_class.from_dict(made(name).document).findings


def test_rules_for_engines_without_nesting_mean_the_same() -> None:
    def holds(leaf: Leaf, attributes: dict[str, Any]) -> bool:
        test = {"path": (leaf.path,), "operator": OPERATORS[leaf.operator]}
        test |= {"value": operand_of(leaf.operator, leaf.value), "negated": leaf.negated}
        return evaluate(test, attributes)

    for audience in made("W2").document["audiences"]:
        rule = audience["nt_rules"]
        prepared = prepare(rule)
        plain, explicit = alternatives(rule), with_presence(alternatives(rule))
        for profile in made("W2").profiles[:PROFILES]:
            expected = evaluate(prepared, profile)
            attributes = flattened(profile)
            assert any(all(holds(leaf, attributes) for leaf in one) for one in plain) is expected
            assert any(all(holds(leaf, attributes) for leaf in one) for one in explicit) is expected


def leaf(operator: str, value: Any) -> dict[str, Any]:
    return prepare({"type": "identify", "key": "a.b", "operator": operator, "value": value})


@pytest.mark.parametrize(
    ("operator", "operand", "attribute", "expected"),
    [
        ("equal", "true", True, True),
        ("equal", True, "true", True),
        ("equal", "5", 5, True),
        ("equal", 5, "5.0", True),
        ("equal", "5", "5.0", False),
        ("equal", "null", None, True),
        ("equal", "1,2", [1, 2], True),
        ("equal", "*", None, True),
        ("notEqual", "*", 3, False),
        ("in", ["x", 5], "5.0", True),
        ("in", ["*"], "anything", False),
        ("notIn", [True], True, False),
        ("contains", "rue", True, True),
        ("startsWith", "1e+21", 1e21, True),
        ("greaterThan", 3, "4", True),
        ("greaterThan", "3", True, False),
        ("lessThan", 3, " 2", False),
        ("exists", None, None, True),
        ("notExists", None, None, False),
    ],
)
def test_the_naive_interpreter_coerces_as_the_rules_say(
    operator: str, operand: Any, attribute: Any, expected: bool
) -> None:
    assert evaluate(leaf(operator, operand), {"traits": {"a": {"b": attribute}}}) is expected


@pytest.mark.parametrize("holder", [{}, {"traits": {}}, {"traits": {"a": [1]}}, {"traits": None}])
def test_a_missing_attribute(holder: dict[str, Any]) -> None:
    assert not evaluate(leaf("exists", None), holder)
    assert evaluate(leaf("notEqual", "x"), holder)
    assert not evaluate(leaf("lessThan", 3), holder)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5, "5"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (-12.5e3, "-12500"),
        (1e21, "1e+21"),
        (123456789012345680000, "123456789012345680000"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert number_text(number) == text


def test_draws() -> None:
    assert draw(b"distribution-experience1-", b"123") == 0.1082723711403721
    assert draw(b"distribution-experience1-", b"456") == 0.6206237130380756
    assert low_bytes("zoë") == b"zo\xeb"
    assert low_bytes("\N{GRINNING FACE}") == b"\x3d\x00"


def results(**factors: float) -> dict[str, dict[str, list[float]]]:
    """A run in which each workload's shared records are so many times faster than naive."""
    return {
        name: {NAIVE: [1.0, 2.0], SHARED: [1 / factor, 2 / factor]}
        for name, factor in factors.items()
    }


def test_targets_and_regressions() -> None:
    run = results(W1=20, W2=100)
    met = {target.text: target.met for target in targets(run)}
    assert met["W1: shared records faster than the naive interpreter"] is True
    assert met["W2: shared records faster than the naive interpreter"] is False
    assert met["W3: shared records faster than the naive interpreter"] is None
    before = ratios(results(W1=26, W2=101))
    (one,) = fallen(ratios(run), before)
    assert math.isclose(one[1], 26)
    assert math.isclose(one[2], 20)
    shown = "\n".join(lines(run, before))
    assert "BELOW" in shown
    assert "WARNING" in shown

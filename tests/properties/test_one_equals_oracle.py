"""The engine answers what the oracle answers, for generated configurations, profiles and events.

``WHICHVARIANT_EXAMPLES=N`` asks hypothesis for N examples of each property instead of the few
hundred that keep the suite fast; the seeded cases grow in proportion.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from oracle.oracle import evaluate
from oracle.strategies import Case, Visit, cases, doubles, json_text, odd_json, seeded_case
from whichvariant import Engine
from whichvariant.errors import ProfileError

EXAMPLES = int(os.environ.get("WHICHVARIANT_EXAMPLES", "200"))
SEEDED_DOCUMENTS = max(200, EXAMPLES)

thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,  # the first example pays for imports
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining takes minutes
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def expected(case: Case, visit: Visit, audiences: str = "rules") -> dict[str, list[Any]]:
    """What the oracle answers."""
    return evaluate(
        case.document,
        visit.profile,
        device=visit.device,
        events=visit.events,
        now_ms=visit.now_ms,
        audiences=audiences,
    )


def arguments(visit: Visit, audiences: str = "rules") -> dict[str, Any]:
    """The keyword arguments of one ``select``."""
    return {
        "device": visit.device,
        "events": visit.events,
        "now": visit.now_ms,
        "audiences": audiences,
    }


def as_json(profile: dict[str, Any]) -> bytes:
    """The profile as an ordinary encoder writes it; orjson has no integers beyond 64 bits."""
    try:
        return orjson.dumps(profile)
    except TypeError:
        return json_text(profile)


@given(case=cases())
@thorough
def test_select_equals_the_oracle(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        selection = engine.select(visit.profile, **arguments(visit))
        wanted = expected(case, visit)
        assert list(selection.audiences) == wanted["audiences"]
        assert selection.to_dict() == wanted


@given(case=cases())
@thorough
def test_given_audiences_equal_the_oracle(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        selection = engine.select(visit.profile, **arguments(visit, "given"))
        assert selection.to_dict() == expected(case, visit, "given")


@given(case=cases())
@thorough
def test_json_equals_the_oracle(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        for audiences in ("rules", "given"):
            answer = engine.select_json(as_json(visit.profile), **arguments(visit, audiences))
            assert json.loads(answer) == expected(case, visit, audiences)


@given(case=cases(visits=1), seed=st.integers(0, 2**32))
@thorough
def test_odd_json_equals_the_oracle(case: Case, seed: int) -> None:
    """Spaces, escapes, member order and repeated keys change nothing."""
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        wanted = expected(case, visit)
        for spelling in range(3):
            text = odd_json(seed + spelling, visit.profile)
            assert doubles(json.loads(text)) == doubles(visit.profile), "this encoder is wrong"
            assert json.loads(engine.select_json(text, **arguments(visit))) == wanted


@given(case=cases())
@thorough
def test_fresh_answers_equal_shared_ones(case: Case) -> None:
    """Fresh records belong to the caller: whatever is done to them changes no later answer."""
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        wanted = expected(case, visit)
        fresh = engine.select(visit.profile, **arguments(visit), fresh=True)
        assert fresh.to_dict() == wanted
        for record in fresh.experiences:
            record["variants"]["spoilt"] = "spoilt"
            record["variantIndex"] = -1
        for change in fresh.changes:
            change["meta"].clear()
            if isinstance(change["value"], dict):
                change["value"].clear()
        assert engine.select(visit.profile, **arguments(visit)).to_dict() == wanted
        assert engine.select(visit.profile, **arguments(visit), fresh=True).to_dict() == wanted


@given(case=cases())
@thorough
def test_arguments_are_left_as_they_were(case: Case) -> None:
    document = copy.deepcopy(case.document)
    visits = copy.deepcopy(case.visits)
    engine = Engine.from_dict(case.document)
    for visit in case.visits:
        engine.select(visit.profile, **arguments(visit))
    assert case.document == document
    assert case.visits == visits


@given(case=cases())
@thorough
def test_a_saved_program_answers_the_same(case: Case) -> None:
    engine = Engine.from_bytes(Engine.from_dict(case.document).to_bytes())
    for visit in case.visits:
        assert engine.select(visit.profile, **arguments(visit)).to_dict() == expected(case, visit)


@pytest.mark.parametrize("first_seed", range(0, SEEDED_DOCUMENTS, 50))
def test_seeded_cases_equal_the_oracle(first_seed: int) -> None:
    """Larger documents than hypothesis can afford: 50 of them with 50 profiles each."""
    for seed in range(first_seed, first_seed + 50):
        case = seeded_case(seed)
        engine = Engine.from_dict(case.document)
        for number, visit in enumerate(case.visits):
            place = f"seed {seed}, visit {number}"
            audiences = "given" if number % 5 == 0 else "rules"
            wanted = expected(case, visit, audiences)
            how = arguments(visit, audiences)
            assert engine.select(visit.profile, **how).to_dict() == wanted, place
            for text in (as_json(visit.profile), odd_json(1000 * seed + number, visit.profile)):
                assert json.loads(engine.select_json(text, **how)) == wanted, place


# --- single sentences of the contract, so that breaking one has a short message -----------------


def audience_document(rules: dict[str, Any]) -> dict[str, Any]:
    """A document with one audience and one experience for it."""
    return {
        "audiences": [{"nt_audience_id": "a", "nt_rules": rules}],
        "experiences": [
            {"nt_experience_id": "e", "nt_audience": "a", "nt_config": {"traffic": 1}},
        ],
    }


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("equal", "mobile", []),
        ("exists", None, []),
        ("notEqual", "mobile", ["a"]),
        ("notIn", ["mobile"], ["a"]),
        ("notExists", None, ["a"]),
    ],
)
def test_a_device_that_is_not_said_is_missing(
    operator: str, value: Any, expected: list[str]
) -> None:
    condition = {"key": {"id": "type"}, "operator": operator, "value": value}
    engine = Engine.from_dict(
        audience_document({"all": [{"type": "device", "conditions": [condition]}]})
    )
    assert engine.select({"stableId": "x"}).audiences == expected


@pytest.mark.parametrize("parent", [5, True, "text", [], [{"plan": "pro"}]])
@pytest.mark.parametrize("part", ["traits", "location", "session", "stickyVariants"])
def test_the_parts_of_a_profile_must_be_objects(part: str, parent: Any) -> None:
    rules = {"all": [{"type": "identify", "key": "plan", "operator": "notExists"}]}
    engine = Engine.from_dict(audience_document(rules))
    profile = {"stableId": "x", part: parent}
    for select, argument in ((engine.select, profile), (engine.select_json, json_text(profile))):
        with pytest.raises(ProfileError) as caught:
            select(argument)  # type: ignore[operator]
        assert caught.value.path == part


@pytest.mark.parametrize("parent", [None, 5, True, "text", [], [{"plan": "pro"}]])
@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("traits", "a.plan"),
        ("location", "coordinates.latitude"),
        ("session", "landingPage.path"),
    ],
)
def test_below_a_parent_that_is_no_object_everything_is_missing(
    part: str, key: str, parent: Any
) -> None:
    kind = {"traits": "identify"}.get(part, part)
    rules = {"all": [{"type": kind, "key": key, "operator": "notExists"}]}
    engine = Engine.from_dict(audience_document(rules))
    profile = {"stableId": "x", part: {key.partition(".")[0]: parent}}
    assert engine.select(profile).audiences == ["a"]
    assert json.loads(engine.select_json(json_text(profile)))["audiences"] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        '{"stableId": 5, "stableId": "x", "traits": {"plan": "pro"}}',
        '{"stableId": "x", "traits": 5, "traits": {"plan": "pro"}}',
        '{"stableId": "x", "traits": {"plan": {"pro": []}, "plan": "pro"}}',
        '{"stableId": "x", "traits": {"plan": "pro"}, "session": [], "session": {}}',
        '{"stableId": "x", "traits": {"plan": "pro"}, "stickyVariants": 5, "stickyVariants": {}}',
        '{"stableId": "x", "traits": {"plan": "pro"}, "stickyVariants": {"e": "", "e": 1}}',
        '{"stableId": "x", "traits": {"other": 5}, "traits": {"plan": "pro"}}',
    ],
)
def test_only_the_last_of_repeated_keys_counts(text: str) -> None:
    rules = {"all": [{"type": "identify", "key": "plan", "operator": "equal", "value": "pro"}]}
    document = audience_document(rules)
    document["experiences"][0]["nt_config"]["sticky"] = True
    engine = Engine.from_dict(document)
    wanted = evaluate(document, json.loads(text))
    assert wanted["audiences"] == ["a"]
    assert json.loads(engine.select_json(text.encode())) == wanted


@pytest.mark.parametrize("number", ["1e309", "-1e400", "9" * 400])
def test_a_number_too_large_for_a_double_is_an_error_that_names_the_attribute(number: str) -> None:
    rules = {"all": [{"type": "identify", "key": "age", "operator": "gt", "value": 5}]}
    engine = Engine.from_dict(audience_document(rules))
    with pytest.raises(ProfileError, match=r"traits\.age"):
        engine.select_json(f'{{"stableId": "x", "traits": {{"age": {number}}}}}'.encode())
    with pytest.raises(ProfileError, match=r"traits\.age"):
        engine.select({"stableId": "x", "traits": json.loads(f'{{"age": {number}}}')})

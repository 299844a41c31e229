"""Explanations agree with what was selected, and every reason can be recomputed from its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from core.small import Json, audience, document, experience, leaf
from engine.storefront import NOW, VISITORS, Visitor, each_visitor, engine_of
from oracle.oracle import draws
from oracle.preimage import stable_id_drawing
from whichvariant import Engine
from whichvariant.explanation import Explanation

SCHEMES = ("murmur3", "xxh64")
DIVISORS = {"murmur3": 2**32 - 1, "xxh64": 2**32}

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)
OUTCOMES = {"selected", "not in the audience", "not in the traffic"}


def explained(visitor: Visitor, scheme: str = "murmur3") -> tuple[Explanation, Json]:
    explanation = engine_of(scheme).explain(visitor.profile, **visitor.situation)
    return explanation, explanation.to_dict()


def nodes(rule: Json) -> Iterator[Json]:
    """A rule's tree, every part of it."""
    yield rule
    for part in [*rule.get("any", []), *rule.get("all", [])]:
        yield from nodes(part)
    if "not" in rule:
        yield from nodes(rule["not"])


# --- agreement with the selection ----------------------------------------------------------------


@each_scheme
@each_visitor
def test_experiences_agree_with_the_selection(visitor: Visitor, scheme: str) -> None:
    _, data = explained(visitor, scheme)
    selection = engine_of(scheme).select(visitor.profile, **visitor.situation)
    chosen = [entry for entry in data["experiences"] if entry["outcome"] == "selected"]
    assert [entry["id"] for entry in chosen] == [r["experienceId"] for r in selection.experiences]
    for entry, record in zip(chosen, selection.experiences, strict=True):
        assert entry["variantIndex"] == record["variantIndex"]
        assert entry["variants"] == record["variants"]
        assert ("sticky" in entry) == record.get("sticky", False)
    assert [change for entry in chosen for change in entry["changes"]] == selection.changes
    for entry in data["experiences"]:
        assert entry["outcome"] in OUTCOMES
        assert ("variantIndex" in entry) == (entry["outcome"] == "selected")


@each_scheme
@each_visitor
def test_audiences_agree_with_the_selection(visitor: Visitor, scheme: str) -> None:
    _, data = explained(visitor, scheme)
    matched = [entry["id"] for entry in data["audiences"] if entry["matched"]]
    assert matched == engine_of(scheme).select(visitor.profile, **visitor.situation).audiences


@each_visitor
def test_every_entity_of_the_configuration_is_explained(visitor: Visitor) -> None:
    _, data = explained(visitor)
    configuration = engine_of().configuration
    assert [(e["id"], e["name"]) for e in data["audiences"]] == [
        (entry.id, entry.name) for entry in configuration.audiences
    ]
    assert [(e["id"], e["name"], e["type"]) for e in data["experiences"]] == [
        (entry.id, entry.name, entry.type) for entry in configuration.experiences
    ]


@each_visitor
def test_reasons_follow_from_their_parts(visitor: Visitor) -> None:
    """Every group's answer from its parts', and the audience's from its whole rule."""
    _, data = explained(visitor)
    for entry in data["audiences"]:
        assert entry["matched"] == entry["rule"]["matched"]
        for node in nodes(entry["rule"]):
            if "any" in node:
                assert node["matched"] == any(part["matched"] for part in node["any"])
            elif "all" in node:
                assert node["matched"] == all(part["matched"] for part in node["all"])
            elif "not" in node:
                assert node["matched"] != node["not"]["matched"]
            else:
                assert set(node) - {"actual"} == {"attribute", "operator", "operand", "matched"}
                # A missing attribute meets the negative operators and no others.
                if "actual" not in node:
                    assert node["matched"] == node["operator"].startswith("not")


@each_scheme
@each_visitor
def test_outcomes_follow_from_their_parts(visitor: Visitor, scheme: str) -> None:
    """Audience, then traffic, then sticky choice or draw."""
    _, data = explained(visitor, scheme)
    matched = {entry["id"]: entry["matched"] for entry in data["audiences"]}
    for entry in data["experiences"]:
        traffic, distribution = entry["traffic"], entry["distribution"]
        assert entry["audience"]["matched"] == matched.get(entry["audience"]["id"], True)
        assert traffic["in"] == (traffic["hash"] < traffic["hashesIn"])
        assert traffic["in"] == (traffic["allocation"] > traffic["draw"])
        pieces = distribution["pieces"]
        drawn = next(p["index"] for p in pieces if distribution["hash"] <= p["lastHash"])
        assert distribution["index"] == drawn
        if not entry["audience"]["matched"]:
            assert entry["outcome"] == "not in the audience"
        elif not traffic["in"]:
            assert entry["outcome"] == "not in the traffic"
        else:
            assert entry["outcome"] == "selected"
            sticky = entry.get("sticky", {"used": False})
            index = sticky["stored"] if sticky["used"] else distribution["index"]
            assert entry["variantIndex"] == index


@each_scheme
@each_visitor
def test_draws_are_those_of_the_definition(visitor: Visitor, scheme: str) -> None:
    _, data = explained(visitor, scheme)
    stable_id = visitor.profile["stableId"]
    assert (data["stableId"], data["scheme"]) == (stable_id, scheme)
    for entry in data["experiences"]:
        shown = entry["traffic"]["draw"], entry["distribution"]["draw"]
        assert shown == draws(scheme, entry["id"], stable_id)
        for part in (entry["traffic"], entry["distribution"]):
            assert part["draw"] == part["hash"] / DIVISORS[scheme]


@each_visitor
def test_the_hashed_texts_are_shown(visitor: Visitor) -> None:
    """Under murmur3, where a text is hashed; under xxh64 two hashes are mixed."""
    _, data = explained(visitor)
    for entry in data["experiences"]:
        for kind in ("traffic", "distribution"):
            assert entry[kind]["hashed"] == f"{kind}-{entry['id']}-{visitor.profile['stableId']}"
    _, data = explained(visitor, "xxh64")
    for entry in data["experiences"]:
        assert "hashed" not in entry["traffic"] | entry["distribution"]


@each_visitor
def test_an_explanation_is_json(visitor: Visitor) -> None:
    _, data = explained(visitor)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


# --- text ----------------------------------------------------------------------------------------


@each_visitor
def test_the_text_says_what_the_data_says(visitor: Visitor) -> None:
    explanation, data = explained(visitor)
    lines = str(explanation).splitlines()
    assert lines[0] == (
        f"visitor {data['stableId']}   scheme murmur3   configuration {data['digest']}"
    )
    start = next(number for number, line in enumerate(lines) if line.startswith("EXPERIENCES"))
    matched = sum(entry["matched"] for entry in data["audiences"])
    assert f"AUDIENCES: {matched} of {len(data['audiences'])} match" in lines
    chosen = [entry for entry in data["experiences"] if entry["outcome"] == "selected"]
    assert lines[start] == f"EXPERIENCES: {len(chosen)} of {len(data['experiences'])} selected"
    marks = {True: "✓", False: "✗"}
    for entry in data["audiences"]:
        name = f"{entry['name']} ({entry['id']})"
        assert f"{marks[entry['matched']]} {name}" in lines[:start]
    for entry in data["experiences"]:
        name = f"{entry['name']} ({entry['id']})"
        is_chosen = entry in chosen
        answer = f"variant {entry['variantIndex']}" if is_chosen else entry["outcome"]
        assert f"{marks[is_chosen]} {name}: {answer}" in lines[start:]


def test_repr_names_the_visitor() -> None:
    explanation, _ = explained(VISITORS[0])
    assert repr(explanation) == f"<Explanation of {VISITORS[0].profile['stableId']!r}>"


@each_visitor
def test_asking_twice_gives_the_same(visitor: Visitor) -> None:
    first, second = explained(visitor)[0], explained(visitor)[0]
    assert str(first) == str(second) == str(first)
    assert first.to_dict() == second.to_dict()


# --- given audiences -----------------------------------------------------------------------------


@each_visitor
def test_given_audiences_are_explained(visitor: Visitor) -> None:
    """The profile's word decides; the rules are shown with their own answers."""
    engine = engine_of()
    given = [entry.id for entry in engine.configuration.audiences][::2]
    profile = {**visitor.profile, "audiences": [*given, "unknown"]}
    explanation = engine.explain(profile, audiences="given", **visitor.situation)
    data = explanation.to_dict()
    assert data["audiencesFrom"] == "given"
    assert [entry["id"] for entry in data["audiences"] if entry["matched"]] == given
    chosen = [entry["id"] for entry in data["experiences"] if entry["outcome"] == "selected"]
    selection = engine.select(profile, audiences="given")
    assert chosen == [record["experienceId"] for record in selection.experiences]
    by_rules = explained(visitor)[1]["audiences"]
    assert [entry["rule"] for entry in data["audiences"]] == [entry["rule"] for entry in by_rules]
    assert "AUDIENCES (as the profile says)" in str(explanation)


# --- single things -------------------------------------------------------------------------------


def rule_of(rules: Json, profile: Json, **arguments: Json) -> Json:
    engine = Engine.from_dict(document(audiences=[audience("a", rules)]))
    [entry] = engine.explain({"stableId": "v", **profile}, **arguments).to_dict()["audiences"]
    return entry["rule"]


@pytest.mark.parametrize(
    ("value", "actual"),
    [
        ("x", "x"),
        ("5.0", "5.0"),
        (5, 5),
        (5.0, 5),
        (2.5, 2.5),
        (-0.0, 0),
        (1e300, 1e300),
        (True, "true"),
        (None, "null"),
        ({"a": 1}, "[object Object]"),
        (["a", 1, None], "a,1,"),
    ],
)
def test_the_value_compared_is_shown(value: Json, actual: Json) -> None:
    node = rule_of(leaf("exists"), {"traits": {"k": value}})
    assert node["matched"] is True
    assert node["actual"] == actual
    assert type(node["actual"]) is type(actual)


def test_a_missing_value_is_not_shown() -> None:
    assert rule_of(leaf("notEqual", 5), {}) == {
        "attribute": "traits.k",
        "operator": "notEqual",
        "operand": 5,
        "matched": True,
    }


@pytest.mark.parametrize(
    ("rules", "operator", "operand"),
    [
        (leaf("gt", "5"), "greaterThan", 5),
        (leaf("<=", 2.5), "lessThanInclusive", 2.5),
        (leaf("in", ["a", 5, True]), "in", ["a", 5, "true"]),
        (leaf("eq", "*"), "exists", None),
        (leaf("isNotSet"), "notExists", None),
        (leaf("contains", 5), "contains", "5"),
    ],
)
def test_rules_are_shown_as_they_were_understood(rules: Json, operator: str, operand: Json) -> None:
    node = rule_of(rules, {})
    assert (node["operator"], node["operand"]) == (operator, operand)


def test_an_activity_is_described() -> None:
    rules = {
        "type": "track",
        "value": "bought",
        "count": 2,
        "within": {"days": 7},
        "conditions": [
            {"key": {"id": "property", "value": "plan"}, "operator": "equal", "value": 5}
        ],
    }
    events = [{"type": "track", "event": "bought", "properties": {"plan": "5.0"}, "timestamp": NOW}]
    assert rule_of(rules, {}, events=events, now=NOW) == {
        "attribute": 'number of track events named "bought" in the last 7 days '
        "(properties.plan equal 5)",
        "operator": "greaterThanInclusive",
        "operand": 2,
        "matched": False,
        "actual": 1,
    }


STICKY = Engine.from_dict(document([experience("e", sticky=True, distribution=[1, 0])]))


def sticky_of(profile: Json) -> tuple[Json, str]:
    explanation = STICKY.explain({"stableId": "v", **profile})
    [entry] = explanation.to_dict()["experiences"]
    line = next(line for line in str(explanation).splitlines() if "sticky" in line)
    return entry["sticky"], line.strip()


@pytest.mark.parametrize(
    ("stored", "data", "text"),
    [
        ({}, {"stored": None, "used": False}, "· sticky, nothing stored yet"),
        ({"f": 1}, {"stored": None, "used": False}, "· sticky, nothing stored yet"),
        (
            {"e": 1},
            {"stored": 1, "used": True},
            "· sticky: the stored variant 1 overrides the draw",
        ),
        (
            {"e": 9},
            {"stored": 9, "used": False},
            "· sticky: the stored variant 9 no longer exists",
        ),
    ],
)
def test_a_sticky_choice_is_explained(stored: Json, data: Json, text: str) -> None:
    assert sticky_of({"stickyVariants": stored}) == (data, text)


def test_an_experience_for_everyone() -> None:
    explanation = STICKY.explain({"stableId": "v"})
    [entry] = explanation.to_dict()["experiences"]
    assert entry["audience"] == {"id": None, "matched": True}
    assert "    ✓ audience everyone" in str(explanation).splitlines()


LAST = 2**32 - 1


@pytest.mark.parametrize("hashed", [0, 1, 2**31 - 1, 2**31, 2**31 + 1, LAST - 1, LAST])
def test_draws_at_the_edge_of_the_traffic(hashed: int) -> None:
    """What the explanation says of the traffic is what the selection did, to the last hash."""
    stable_id = stable_id_drawing("traffic", "e", hashed)
    for traffic in (0, hashed / LAST, min(1, (hashed + 1) / LAST), 1):
        engine = Engine.from_dict(document([experience("e", traffic=traffic)]))
        [entry] = engine.explain({"stableId": stable_id}).to_dict()["experiences"]
        assert entry["traffic"]["hash"] == hashed
        assert entry["traffic"]["in"] == (traffic > hashed / LAST)
        assert entry["outcome"] == ("selected" if entry["traffic"]["in"] else "not in the traffic")


@pytest.mark.parametrize("hashed", [0, 1, 2**31 - 1, 2**31, 2**31 + 1, LAST])
def test_draws_at_the_edge_of_a_segment(hashed: int) -> None:
    stable_id = stable_id_drawing("distribution", "e", hashed)
    engine = Engine.from_dict(document([experience("e", distribution=[0.5, 0.5])]))
    [entry] = engine.explain({"stableId": stable_id}).to_dict()["experiences"]
    assert entry["distribution"]["hash"] == hashed
    assert entry["distribution"]["index"] == entry["variantIndex"] == (hashed / LAST > 0.5)


# --- trace ---------------------------------------------------------------------------------------


@each_visitor
def test_a_trace_holds_everything_that_was_decided(visitor: Visitor) -> None:
    engine = engine_of()
    trace = engine.trace(visitor.profile, **visitor.situation)
    program = engine.program
    assert set(trace) == {
        *("values", "leaves", "audiences", "traffic", "distribution", "sticky", "selection"),
    }
    assert trace["selection"] == engine.select(visitor.profile, **visitor.situation)
    assert len(trace["leaves"]) == program.leaves.n_leaves
    assert set(trace["leaves"]) <= {0, 1}
    matched = [i for i, yes in zip(program.audience_ids, trace["audiences"], strict=True) if yes]
    assert matched == trace["selection"].audiences
    assert set(trace["values"]) <= set(program.leaves.paths)
    for drawn in ("traffic", "distribution"):
        assert len(trace[drawn]) == len(program.experience_ids)
        assert all(0 <= hashed < 2**32 for hashed in trace[drawn])


def test_a_trace_of_values_and_choices() -> None:
    rules = {"any": [leaf("exists", key=key) for key in ("a", "b", "c", "d")]}
    rows = [experience("e", sticky=True, distribution=[1, 0]), experience("f", distribution=[1, 0])]
    engine = Engine.from_dict(document(rows, [audience("x", rules)]))
    profile = {
        "stableId": "v",
        "traits": {"a": 5, "b": [1, "x"], "c": None, "other": "y"},
        "stickyVariants": {"e": 1, "f": 1, "g": 1},
    }
    trace = engine.trace(profile)
    values = {path[-1]: value for path, value in trace["values"].items()}
    assert values == {"a": 5.0, "b": "1,x", "c": "null"}
    assert trace["leaves"] == bytes([1, 1, 1, 0])
    assert trace["audiences"] == b"\1"
    assert trace["sticky"] == {"e": 1}

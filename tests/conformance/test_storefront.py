"""The storefront of fixtures/: one shop, three forms of its configuration, two dozen visitors."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from oracle.oracle import evaluate
from whichvariant import Engine

STOREFRONT = pathlib.Path(__file__).parents[2] / "fixtures" / "storefront"
SPACE = STOREFRONT / "space.json"
NATIVE = STOREFRONT / "native.json"
DELIVERY = sorted((STOREFRONT / "delivery").glob("*.json"))

NOW = "2026-11-01T12:00:00Z"
NOW_MS = 1_793_534_400_000

RULE_TYPES = {
    "identify",
    "location",
    "isReturningVisitor",
    "device",
    "page",
    "track",
    "screen",
    "session",
}
OPERATORS = {
    "equal",
    "notEqual",
    "in",
    "notIn",
    "contains",
    "notContains",
    "startsWith",
    "endsWith",
    "matches",
    "greaterThan",
    "greaterThanInclusive",
    "lessThan",
    "lessThanInclusive",
    "exists",
    "notExists",
}


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: pathlib.Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(str(SPACE))


def request_of(line: dict[str, Any]) -> dict[str, Any]:
    """A line of profiles.ndjson is a request, or a plain profile."""
    return line if "profile" in line else {"profile": line}


REQUESTS = [request_of(line) for line in read_lines(STOREFRONT / "profiles.ndjson")]
EXPECTED = read_lines(STOREFRONT / "expected.ndjson")
VISITORS = [request["profile"]["id"][:24] for request in REQUESTS]
DOCUMENT = read(NATIVE)
each_visitor = pytest.mark.parametrize(
    ("request_", "expected"), list(zip(REQUESTS, EXPECTED, strict=True)), ids=VISITORS
)
EXPERIENCES = {entry["nt_experience_id"]: entry for entry in DOCUMENT["experiences"]}


def situation(request: dict[str, Any]) -> dict[str, Any]:
    return {"device": request.get("device"), "events": request.get("events")}


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "type" in node:
        yield node
    if "not" in node:
        yield from leaves(node["not"])
    for child in [*node.get("any", []), *node.get("all", [])]:
        yield from leaves(child)


def all_leaves() -> list[dict[str, Any]]:
    return [leaf for audience in DOCUMENT["audiences"] for leaf in leaves(audience["nt_rules"])]


# --- the configuration ---------------------------------------------------------------------------


def test_it_loads_with_one_warning(engine: Engine) -> None:
    found = [(finding.severity, finding.code, finding.subject) for finding in engine.findings]
    assert found == [("warning", "unused-audience", "pressContacts2NloAoT6O")]


def test_all_forms_have_one_digest(engine: Engine) -> None:
    assert Engine.load(str(NATIVE)).digest == engine.digest
    assert Engine.load(str(SPACE), *map(str, DELIVERY)).digest == engine.digest
    assert Engine.load(*map(str, DELIVERY), str(SPACE)).digest == engine.digest
    assert Engine.load(str(NATIVE), str(SPACE)).digest == engine.digest


def test_no_delivery_response_is_the_whole(engine: Engine) -> None:
    for path in DELIVERY:
        part = Engine.load(str(path))
        assert part.digest != engine.digest
        assert {entry.id for entry in part.configuration.experiences} < set(EXPERIENCES)


def test_another_scheme_is_another_digest(engine: Engine) -> None:
    assert Engine.from_dict({**DOCUMENT, "scheme": "xxh64"}).digest != engine.digest


def test_draft_and_archived_entries_are_absent(engine: Engine) -> None:
    unserved = [
        entry
        for entry in read(SPACE)["entries"]
        if entry["sys"]["contentType"]["sys"]["id"] == "nt_experience"
        and ("publishedVersion" not in entry["sys"] or "archivedVersion" in entry["sys"])
    ]
    ids = {entry["fields"]["nt_experience_id"]["en-US"] for entry in unserved}
    assert len(ids) == 2
    served = {experience.id for experience in engine.configuration.experiences}
    assert served.isdisjoint(ids)
    assert served == set(EXPERIENCES)


def test_every_rule_type_and_operator_is_used() -> None:
    used = all_leaves()
    assert {leaf["type"] for leaf in used} == RULE_TYPES
    conditions = [condition for leaf in used for condition in leaf.get("conditions", [])]
    assert {test["operator"] for test in [*used, *conditions]} == OPERATORS


def test_merge_tags_come_through(engine: Engine) -> None:
    fallbacks = {tag.id: tag.fallback for tag in engine.configuration.merge_tags}
    assert fallbacks == {
        tag["nt_mergetag_id"]: tag.get("nt_fallback", "") for tag in DOCUMENT["mergetags"]
    }


def test_every_link_of_the_export_leads_somewhere() -> None:
    entries = read(SPACE)["entries"]
    ids = [entry["sys"]["id"] for entry in entries]
    assert len(ids) == len(set(ids))
    assert {link for entry in entries for link in linked(entry["fields"])} <= set(ids)
    assert all(len(identifier) == 22 and identifier.isalnum() for identifier in ids)


def linked(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("sys", {}).get("linkType") == "Entry":
            yield value["sys"]["id"]
        else:
            for child in value.values():
                yield from linked(child)
    elif isinstance(value, list):
        for child in value:
            yield from linked(child)


# --- the visitors --------------------------------------------------------------------------------


def test_expected_has_a_line_for_every_visitor() -> None:
    assert len(REQUESTS) == len(EXPECTED) >= 24


def test_every_audience_has_members_and_others() -> None:
    for audience in DOCUMENT["audiences"]:
        members = [audience["nt_audience_id"] in answer["audiences"] for answer in EXPECTED]
        assert any(members), audience["nt_name"]
        assert not all(members), audience["nt_name"]


def test_every_variant_index_is_reached() -> None:
    reached = {
        (record["experienceId"], record["variantIndex"])
        for answer in EXPECTED
        for record in answer["experiences"]
    }
    assert reached == {
        (experience_id, index)
        for experience_id, experience in EXPERIENCES.items()
        for index, share in enumerate(experience["nt_config"]["distribution"])
        if share > 0
    }


def test_every_limited_experience_leaves_somebody_out() -> None:
    for experience_id, experience in EXPERIENCES.items():
        if experience["nt_config"]["traffic"] == 1:
            continue
        audience = experience.get("nt_audience")
        assert any(
            (audience is None or audience in answer["audiences"])
            and experience_id not in {record["experienceId"] for record in answer["experiences"]}
            for answer in EXPECTED
        ), experience["nt_name"]


def test_sticky_choices_matter_where_they_should() -> None:
    """Of the stored choices some decide, and some (out of range, not sticky) do not."""
    decided, ignored = set(), set()
    for request, answer in zip(REQUESTS, EXPECTED, strict=True):
        chosen = {record["experienceId"]: record for record in answer["experiences"]}
        for experience_id, stored in request["profile"].get("stickyVariants", {}).items():
            if experience_id not in chosen:
                ignored.add("absent")
                continue
            record = chosen[experience_id]
            if record["variantIndex"] == stored:
                decided.add(experience_id)
            else:
                ignored.add("out of range" if record.get("sticky") else "not sticky")
    assert len(decided) == 3
    assert ignored == {"absent", "out of range", "not sticky"}


@each_visitor
def test_oracle_agrees_with_the_golden_file(request_: Any, expected: Any) -> None:
    answer = evaluate(DOCUMENT, request_["profile"], now_ms=NOW_MS, **situation(request_))
    assert answer == expected


@each_visitor
def test_engine_agrees_with_the_golden_file(engine: Engine, request_: Any, expected: Any) -> None:
    profile = request_["profile"]
    selection = engine.select(profile, now=NOW, **situation(request_))
    assert selection.to_dict() == expected
    encoded = json.dumps(profile, ensure_ascii=False).encode()
    answer = engine.select_json(encoded, now=NOW_MS, **situation(request_))
    assert json.loads(answer) == expected


def test_given_audiences_answer_the_same(engine: Engine) -> None:
    for request, expected in zip(REQUESTS, EXPECTED, strict=True):
        profile = {**request["profile"], "audiences": expected["audiences"]}
        selection = engine.select(profile, audiences="given")
        assert selection.to_dict() == expected


def test_all_forms_answer_the_same() -> None:
    engines = [Engine.load(str(NATIVE)), Engine.load(str(SPACE), *map(str, DELIVERY))]
    engines.append(Engine.from_bytes(engines[0].to_bytes()))
    for engine in engines:
        for request, expected in zip(REQUESTS, EXPECTED, strict=True):
            selection = engine.select(request["profile"], now=NOW, **situation(request))
            assert selection.to_dict() == expected

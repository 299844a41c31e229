"""The listing of a compiled program: complete, in numbers that agree with the program itself."""

from __future__ import annotations

import json

import pytest

from core.small import Json, audience, document, experience, leaf
from engine.storefront import engine_of
from whichvariant import Engine

each_scheme = pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])


def listing(scheme: str = "murmur3") -> Json:
    return engine_of(scheme).explain_program().to_dict()


@each_scheme
def test_slots_and_leaves_are_those_of_the_program(scheme: str) -> None:
    data, program = listing(scheme), engine_of(scheme).program
    for slots, table in (
        (data["slots"], program.leaves),
        (data["eventSlots"], program.event_leaves),
    ):
        # An event's second place to look is written "or" where the table has an empty segment.
        paths = [tuple(part or "or" for part in path) for path in table.paths]
        assert [tuple(slot["path"]) for slot in slots] == paths
        numbers = [entry["leaf"] for slot in slots for entry in slot["leaves"]]
        assert numbers == list(range(table.n_leaves))


@each_scheme
def test_counters_are_those_of_the_program(scheme: str) -> None:
    data, program = listing(scheme), engine_of(scheme).program
    assert len(data["counters"]) == len(program.counters) > 0
    for number, (entry, counter) in enumerate(zip(data["counters"], program.counters, strict=True)):
        assert entry["slot"] == f"activity.{number:06d}"
        assert entry["counts"].startswith(f"number of {counter[0]} events")


def test_nodes_lead_to_earlier_nodes_and_ask_leaves_that_exist() -> None:
    data = listing()
    leaves = sum(len(slot["leaves"]) for slot in data["slots"])
    assert [node["node"] for node in data["nodes"]] == list(range(2, len(data["nodes"]) + 2))
    for node in data["nodes"]:
        assert 0 <= node["leaf"] < leaves
        assert max(node["low"], node["high"]) < node["node"]


@each_scheme
def test_audiences_and_experiences_are_those_of_the_configuration(scheme: str) -> None:
    data, configuration = listing(scheme), engine_of(scheme).configuration
    assert (data["scheme"], data["digest"]) == (scheme, configuration.digest)
    assert [(entry["id"], entry["name"]) for entry in data["audiences"]] == [
        (entry.id, entry.name) for entry in configuration.audiences
    ]
    assert all(entry["entry"] < len(data["nodes"]) + 2 for entry in data["audiences"])
    for entry, source in zip(data["experiences"], configuration.experiences, strict=True):
        assert (entry["id"], entry["name"]) == (source.id, source.name)
        assert (entry["audience"], entry["sticky"]) == (source.audience, source.sticky)
        assert entry["variants"] == source.highest_index + 1
        assert entry["traffic"] == source.traffic
        assert entry["pieces"][-1]["lastHash"] == 2**32 - 1


@each_scheme
def test_thresholds_are_those_of_the_explanation(scheme: str) -> None:
    explained = engine_of(scheme).explain({"stableId": "v"}, now=0).to_dict()["experiences"]
    for entry, other in zip(listing(scheme)["experiences"], explained, strict=True):
        assert entry["hashesIn"] == other["traffic"]["hashesIn"]
        assert entry["pieces"] == other["distribution"]["pieces"]


@each_scheme
def test_the_text_has_the_totals(scheme: str) -> None:
    data, text = listing(scheme), str(engine_of(scheme).explain_program())
    lines = text.splitlines()
    assert lines[0] == f"program of configuration {data['digest']}, scheme {scheme}"
    leaves = [sum(len(slot["leaves"]) for slot in data[key]) for key in ("slots", "eventSlots")]
    for title in (
        f"SLOTS: {len(data['slots'])}, leaves {leaves[0]}",
        f"EVENT SLOTS: {len(data['eventSlots'])}, leaves {leaves[1]}",
        f"COUNTERS: {len(data['counters'])}",
        f"AUDIENCES: {len(data['audiences'])}, decision nodes {len(data['nodes'])}",
        f"EXPERIENCES: {len(data['experiences'])}",
    ):
        assert lines.count(title) == 1
    assert sum(line.startswith("    leaf ") for line in lines) == sum(leaves)
    assert sum(line.startswith("  node ") for line in lines) == len(data["nodes"])
    assert sum(" starts at " in line for line in lines) == len(data["audiences"])


def test_a_listing_is_json() -> None:
    assert json.loads(json.dumps(listing(), allow_nan=False)) == listing()


def test_a_saved_program_has_the_same_listing() -> None:
    again = Engine.from_bytes(engine_of().to_bytes()).explain_program()
    assert again.to_dict() == listing()
    assert str(again) == str(engine_of().explain_program())


ADULT = {"all": [leaf("greaterThan", 5, key="age"), leaf("notEqual", "x", key="name")]}
URL = {"key": {"id": "context_page_url"}, "operator": "contains", "value": "/a"}
SMALL = document(
    [experience("e", "a", traffic=0.5, sticky=True), experience("f")],
    [audience("a", {"any": [ADULT, {"type": "page", "conditions": [URL]}]})],
)


def test_a_small_program_in_full() -> None:
    engine = Engine.from_dict(SMALL)
    assert str(engine.explain_program()).splitlines() == [
        f"program of configuration {engine.digest}, scheme murmur3",
        "",
        "SLOTS: 3, leaves 3",
        "  activity.000000",
        "    leaf 0: greaterThanInclusive 1",
        "  traits.age",
        "    leaf 1: greaterThanInclusive 5.000000000000001",
        "  traits.name",
        '    leaf 2: in ["x"]',
        "",
        "EVENT SLOTS: 1, leaves 1",
        "  context.page.url.or.properties.url",
        '    leaf 0: contains "/a"',
        "",
        "COUNTERS: 1",
        '  activity.000000: number of page events (context.page.url contains "/a")',
        "",
        "AUDIENCES: 1, decision nodes 3",
        "  node 2: leaf 0 ? TRUE : FALSE",
        "  node 3: leaf 2 ? node 2 : TRUE",
        "  node 4: leaf 1 ? node 3 : node 2",
        "  a starts at node 4",
        "",
        "EXPERIENCES: 2",
        "  e: audience a, in below 2147483648, ≤2147483647 → 0, ≤4294967295 → 1, sticky",
        "  f: audience everyone, in below 4294967295, ≤2147483647 → 0, ≤4294967295 → 1",
    ]


def test_constant_audiences_start_at_an_end() -> None:
    rules = [audience("a", {"any": []}), audience("b", {"all": []})]
    text = str(Engine.from_dict(document(audiences=rules)).explain_program())
    assert text.splitlines()[-4:-2] == ["  a starts at FALSE", "  b starts at TRUE"]

"""`to_native`: a native document that loads back to an equal configuration."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given, settings

from loading.builders import (
    LEAF,
    REPLACEMENT,
    VARIABLE,
    audience,
    experience,
    load,
    native,
    with_config,
    with_leaf,
    with_rules,
)
from loading.test_findings import CASES
from oracle.strategies import documents as valid_documents
from whichvariant.errors import ConfigurationError
from whichvariant.loading import Loaded, check_document, load_documents, parse_document, to_native


def assert_round_trip(loaded: Loaded) -> dict[str, Any]:
    """Write, encode, read again: the same configuration, and the same document from it."""
    written = to_native(loaded.configuration)
    for document in (
        check_document(written, "w"),
        parse_document(orjson.dumps(written), "w"),
        parse_document(msgpack.packb(written), "w"),
        parse_document(json.dumps(written).encode(), "w"),
    ):
        again = load_documents([document])
        assert again.configuration == loaded.configuration
        assert again.configuration.digest == loaded.configuration.digest
        for first, second in zip(
            again.configuration.experiences, loaded.configuration.experiences, strict=True
        ):
            assert first.extras == second.extras
        assert to_native(again.configuration) == written
    return written


@settings(deadline=None)
@given(valid_documents())
def test_generated_documents(document: dict[str, Any]) -> None:
    assert_round_trip(load(document))


@pytest.mark.parametrize("contents", [contents for _, _, contents in CASES])
def test_what_is_served_of_every_faulty_document(contents: tuple[Any, ...]) -> None:
    try:
        loaded = load(*contents, strict=False)
    except ConfigurationError:
        return
    assert_round_trip(loaded)


def test_names_everything() -> None:
    written = assert_round_trip(load(native(scheme="xxh64", mergetags=[{"nt_mergetag_id": "a"}])))
    assert written["format"] == "whichvariant/1"
    assert written["scheme"] == "xxh64"
    assert written["mergetags"] == [{"nt_mergetag_id": "a"}]
    assert written["experiences"][0]["nt_config"] == {
        "traffic": 1,
        "distribution": [0.5, 0.5],
        "sticky": False,
        "components": [
            {
                "type": "EntryReplacement",
                "baseline": {"id": "entryA"},
                "variants": [{"id": "entryB"}],
            },
            VARIABLE,
        ],
    }


@pytest.mark.parametrize(
    "leaf",
    [
        {"type": "identify", "key": "a.b", "operator": "equal", "value": 5},
        {"type": "identify", "key": "a", "operator": "equal", "value": "5"},
        {"type": "identify", "key": "a", "operator": "in", "value": ["5", 5, 0.1, True, "*"]},
        {"type": "identify", "key": "a", "operator": "equal", "value": "*"},
        {"type": "identify", "key": "a", "operator": "notContains", "value": "*"},
        {"type": "identify", "key": "a", "operator": "matches", "value": "^[*]$"},
        {"type": "identify", "key": "a", "operator": "lessThan", "value": 2**53 + 2},
        {"type": "identify", "key": "a", "operator": "lessThan", "value": 5e-324},
        {"type": "location", "key": "coordinates.latitude", "operator": "gt", "value": "52.5"},
        {"type": "session", "key": "landingPage.query.a.b", "operator": "exists"},
        {"type": "device", "operator": "equal", "value": "mobile"},
        {
            "type": "device",
            "conditions": [{"key": {"id": "type"}, "operator": "equal", "value": ""}] * 2,
        },
        {
            "type": "isReturningVisitor",
            "operator": "notEqual",
            "value": "true",
            "conditions": [{"key": {"id": "session_count"}, "operator": "gt", "value": 1}],
        },
        {"type": "page", "within": {"days": 1 / 3}},
        {"type": "page", "within": {"days": 999_999.999999}},
        {"type": "page", "within": {"days": 1.2e-8}},
        {"type": "track", "value": "*", "count": 0, "operator": "equal"},
        {"type": "track", "value": "**"},
        {"type": "screen", "value": ""},
        {
            "type": "screen",
            "value": "Home",
            "conditions": [
                {"key": {"id": i, "value": "a.b"}, "operator": "exists"}
                for i in (
                    "context_page_url",
                    "context_page_path",
                    "context_page_referrer",
                    "context_page_search",
                    "context_page_query",
                    "context_campaign_name",
                    "context_campaign_source",
                    "context_campaign_medium",
                    "context_campaign_term",
                    "context_campaign_content",
                    "property",
                    "page_property",
                )
            ],
        },
    ],
    ids=lambda leaf: f"{leaf['type']}-{leaf.get('operator', '')}-{str(leaf.get('value', ''))[:8]}",
)
def test_leaves(leaf: dict[str, Any]) -> None:
    assert_round_trip(load(with_leaf(**leaf)))
    assert_round_trip(load(with_rules({"not": {"any": [{"all": [leaf, LEAF]}, leaf]}})))


@pytest.mark.parametrize(
    "distribution",
    [
        [],
        [1],
        [0, 1],
        [1 / 3] * 3,
        [0.1] * 10,
        [0.9, 0.9, 0.9],
        [1.0, 1.0],
        [0.7, 0.1, 0.1, 0.1],
        [5e-324, 1],
        [1, 5e-324],
        [{"index": 0, "start": 0, "end": 0.5}, {"index": 1, "start": 0.5, "end": 1}],
        [{"index": 1, "start": 0, "end": 0.5}, {"index": 0, "start": 0.5, "end": 1}],
        [{"index": 0, "start": 0.25, "end": 0.5}],
        [{"index": 0, "start": 0, "end": 0.7}, {"index": 1, "start": 0.2, "end": 1}],
        [{"index": 0, "start": 0, "end": 1.0000000000000002}],
    ],
)
def test_distributions(distribution: list[Any]) -> None:
    assert_round_trip(load(with_config(distribution=distribution)))


def test_groups_at_the_limit_of_nesting() -> None:
    device = {
        "type": "device",
        "conditions": [{"key": {"id": "type"}, "operator": "notEqual", "value": "tv"}] * 3,
    }
    rules: dict[str, Any] = device
    for _ in range(63):
        rules = {"any": [rules]}
    assert_round_trip(load(with_rules(rules)))


def test_extras_are_carried() -> None:
    document = with_config(primaryMetric="m", scatteredDistribution=[{"index": 0}], x=None)
    written = assert_round_trip(load(document))
    assert written["experiences"][0]["nt_config"]["scatteredDistribution"] == [{"index": 0}]


def test_components_that_are_not_what_they_were() -> None:
    hidden = {**REPLACEMENT, "baseline": {"id": "gone", "hidden": True}}
    variants = [{"hidden": True}, {"id": "x", "hidden": True}, {"id": ""}]
    repeated = {**VARIABLE, "valueType": None, "variants": [{}, {"value": None}]}
    components = [hidden, {**REPLACEMENT, "type": None, "variants": variants}, repeated]
    written = assert_round_trip(load(with_config(components=components)))
    assert [len(c["variants"]) for c in written["experiences"][0]["nt_config"]["components"]] == [
        3,
        2,
    ]


def test_writing_leaves_the_configuration_alone() -> None:
    loaded = load(native(experiences=[experience()], audiences=[audience()]))
    before = loaded.configuration
    written = to_native(before)
    written["experiences"][0]["nt_config"]["components"].clear()
    written["audiences"].clear()
    assert to_native(before) == to_native(load(native()).configuration)

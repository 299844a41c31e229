"""Every finding code: one document that brings it about, and the path that it names."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest

from loading.builders import (
    CONFIG,
    LEAF,
    REPLACEMENT,
    VARIABLE,
    audience,
    audience_entry,
    delivery,
    experience,
    experience_entry,
    export,
    findings_of,
    native,
    with_component,
    with_config,
    with_leaf,
    with_rules,
)
from whichvariant.loading import load_documents, loader
from whichvariant.loading.codes import FINDING_CODES

CONFIGURATION_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "configuration.md"

RULES = "audiences[0].nt_rules"
CONFIG_PATH = "experiences[0].nt_config"
COMPONENT = f"{CONFIG_PATH}.components[0]"


def nested(levels: int) -> dict[str, Any]:
    rules = LEAF
    for _ in range(levels):
        rules = {"not": rules}
    return rules


def older() -> tuple[dict[str, Any], ...]:
    sys = {"updatedAt": "2023-01-01T00:00:00Z"}
    return (
        delivery(audience_entry(sys=sys, nt_name="old")),
        delivery(audience_entry(), experience_entry()),
    )


def query(name: str) -> list[dict[str, Any]]:
    key = {"id": "context_page_query", "value": name}
    return [{"key": key, "operator": "equal", "value": "x"}]


CASES: list[tuple[str, str, tuple[Any, ...]]] = [
    ("malformed-document", "audiences", (native(audiences={}),)),
    ("scheme-conflict", "scheme", (native(scheme="murmur3"), native(scheme="xxh64"))),
    ("unknown-scheme", "scheme", (native(scheme="sha1"),)),
    ("invalid-id", "audiences[0].nt_audience_id", (native(audiences=[audience("")]),)),
    ("missing-id", "experiences[0].nt_experience_id", (native(experiences=[experience(...)]),)),
    ("wrong-type", "audiences[0].nt_name", (native(audiences=[audience(nt_name=[])]),)),
    ("duplicate-audience", "audiences[1]", (native(audiences=[audience(), audience(nt_name="")]),)),
    (
        "duplicate-experience",
        "experiences[1]",
        (native(experiences=[experience(), experience(nt_name="")]),),
    ),
    (
        "duplicate-mergetag",
        "mergetags[1]",
        (native(mergetags=[{"nt_mergetag_id": "a"}, {"nt_mergetag_id": "a", "nt_name": "n"}]),),
    ),
    ("ambiguous-group", f"{RULES}.all[0]", (with_rules({"all": [{"any": [], "all": []}]}),)),
    ("unknown-group", f"{RULES}.all[0]", (with_rules({"all": [{"none": []}]}),)),
    ("too-deep", RULES + ".not" * 65, (with_rules(nested(65)),)),
    ("too-many-leaves", f"{RULES}.any[10000]", (with_rules({"any": [LEAF] * 10_001}),)),
    ("missing-rules", RULES, (native(audiences=[audience(nt_rules=None)]),)),
    ("unknown-rule-type", f"{RULES}.type", (with_leaf(type="weather"),)),
    ("missing-operator", f"{RULES}.operator", (with_leaf(type="identify", key="a"),)),
    ("unknown-operator", f"{RULES}.operator", (with_leaf(**{**LEAF, "operator": "like"}),)),
    ("unsupported-operator", f"{RULES}.operator", (with_leaf(type="page", operator="in"),)),
    ("missing-key", f"{RULES}.key", (with_leaf(type="identify", operator="exists"),)),
    (
        "missing-key",
        f"{RULES}.conditions[0].key.value",
        (with_leaf(type="page", conditions=query("")),),
    ),
    ("missing-key", f"{COMPONENT}.key", (with_component(**{**VARIABLE, "key": None}),)),
    ("malformed-key", f"{RULES}.key", (with_leaf(type="identify", key="a.", operator="exists"),)),
    ("unknown-location-key", f"{RULES}.key", (with_leaf(**{**LEAF, "key": "planet"}),)),
    (
        "unknown-session-key",
        f"{RULES}.key",
        (with_leaf(type="session", key="landingPage", operator="exists"),),
    ),
    (
        "unknown-condition",
        f"{RULES}.conditions[0].key.id",
        (with_leaf(type="device", conditions=query("x")),),
    ),
    ("missing-value", f"{RULES}.value", (with_leaf(type="track"),)),
    ("missing-value", f"{RULES}.value", (with_leaf(**{**LEAF, "value": None}),)),
    (
        "invalid-value",
        f"{RULES}.value",
        (with_leaf(type="isReturningVisitor", operator="equal", value="yes"),),
    ),
    (
        "invalid-regex",
        f"{RULES}.value",
        (with_leaf(**{**LEAF, "operator": "matches", "value": "("}),),
    ),
    ("not-a-list", f"{RULES}.value", (with_leaf(**{**LEAF, "operator": "in"}),)),
    ("not-a-number", f"{RULES}.value", (with_leaf(**{**LEAF, "operator": ">"}),)),
    ("invalid-count", f"{RULES}.count", (with_leaf(type="page", count="many"),)),
    ("invalid-within", f"{RULES}.within", (with_leaf(type="page", within={"weeks": 1}),)),
    (
        "dangling-audience",
        "experiences[0].nt_audience",
        (native(audiences=[]),),
    ),
    (
        "audience-withheld",
        "experiences[0].nt_audience",
        (native(audiences=[audience(nt_rules=5)]),),
    ),
    (
        "unknown-experience-type",
        "experiences[0].nt_type",
        (native(experiences=[experience(nt_type="nt_rollout")]),),
    ),
    ("out-of-range", f"{CONFIG_PATH}.traffic", (with_config(traffic=1.01),)),
    ("out-of-range", f"{CONFIG_PATH}.distribution[1]", (with_config(distribution=[0, 1.01]),)),
    (
        "out-of-range",
        f"{CONFIG_PATH}.distribution[0].end",
        (with_config(distribution=[{"index": 0, "start": 0, "end": 1.01}]),),
    ),
    (
        "reversed-segment",
        f"{CONFIG_PATH}.distribution[0]",
        (with_config(distribution=[{"index": 0, "start": 1, "end": 0}]),),
    ),
    (
        "too-many-variants",
        f"{COMPONENT}.variants",
        (with_component(**{**REPLACEMENT, "variants": [{"id": ""}] * 256}),),
    ),
    (
        "too-many-components",
        f"{CONFIG_PATH}.components",
        (with_config(components=[REPLACEMENT] * 1_001),),
    ),
    (
        "too-many-replacements",
        f"{CONFIG_PATH}.components",
        (
            with_config(
                components=[
                    {**REPLACEMENT, "baseline": {"id": f"b{n}"}, "variants": [{"id": "v"}] * 255}
                    for n in range(257)
                ]
            ),
        ),
    ),
    (
        "too-many-segments",
        f"{CONFIG_PATH}.distribution",
        (with_config(distribution=[{"index": 0, "start": 0, "end": 1}] * 513),),
    ),
    ("unknown-component-type", f"{COMPONENT}.type", (with_component(type="Video"),)),
    (
        "missing-baseline",
        f"{COMPONENT}.baseline",
        (with_component(**{**VARIABLE, "baseline": ...}),),
    ),
    (
        "missing-variants",
        f"{COMPONENT}.variants",
        (with_component(**{**REPLACEMENT, "variants": None}),),
    ),
    (
        "missing-variant-id",
        f"{COMPONENT}.variants[0].id",
        (with_component(**{**REPLACEMENT, "variants": [{"hidden": False}]}),),
    ),
    (
        "unknown-value-type",
        f"{COMPONENT}.valueType",
        (with_component(**{**VARIABLE, "valueType": "Array"}),),
    ),
    (
        "value-type-mismatch",
        f"{COMPONENT}.variants[0].value",
        (with_component(**{**VARIABLE, "variants": [{"value": 5}]}),),
    ),
    (
        "duplicate-baseline",
        f"{CONFIG_PATH}.components[1].baseline.id",
        (with_config(components=[REPLACEMENT] * 2),),
    ),
    ("empty-group", f"{RULES}.any", (with_rules({"any": []}),)),
    ("empty-list", f"{RULES}.value", (with_leaf(**{**LEAF, "operator": "in", "value": []}),)),
    (
        "empty-value",
        f"{RULES}.value",
        (with_leaf(**{**LEAF, "operator": "contains", "value": ""}),),
    ),
    (
        "entry-id-used",
        "items[0].fields.nt_audience_id",
        (delivery(audience_entry(nt_audience_id=...)),),
    ),
    (
        "hidden-variant-id",
        f"{COMPONENT}.variants[0].id",
        (with_component(**{**REPLACEMENT, "variants": [{"id": "x", "hidden": True}]}),),
    ),
    ("missing-config", CONFIG_PATH, (native(experiences=[experience(nt_config=...)]),)),
    ("missing-type", "experiences[0].nt_type", (native(experiences=[experience(nt_type=...)]),)),
    (
        "missing-value-type",
        f"{COMPONENT}.valueType",
        (with_component(**{**VARIABLE, "valueType": None}),),
    ),
    (
        "more-shares-than-variants",
        f"{CONFIG_PATH}.distribution",
        (with_config(distribution=[0.5, 0.25, 0.25]),),
    ),
    ("older-revision", "items[0].fields", older()),
    (
        "segment-gap",
        f"{CONFIG_PATH}.distribution",
        (with_config(distribution=[{"index": 1, "start": 0, "end": 0.5}]),),
    ),
    ("shares-sum", f"{CONFIG_PATH}.distribution", (with_config(distribution=[0.5, 0.4]),)),
    (
        "unpublished-changes",
        "entries[0].sys.version",
        (export(audience_entry(sys={"version": 9}), experience_entry()),),
    ),
    ("unused-audience", "audiences[0]", (native(experiences=[]),)),
    ("zero-count", f"{RULES}.count", (with_leaf(type="page", count=0),)),
    ("zero-traffic", f"{CONFIG_PATH}.traffic", (with_config(traffic=0),)),
]


@pytest.mark.parametrize(
    ("code", "path", "contents"), CASES, ids=[f"{code}-{path[-20:]}" for code, path, _ in CASES]
)
def test_a_code_and_its_path(code: str, path: str, contents: tuple[Any, ...]) -> None:
    found = [finding for finding in findings_of(*contents) if finding.code == code]
    assert [finding.path for finding in found] == [path]
    assert found[0].severity == FINDING_CODES[code].severity
    assert found[0].message
    assert found[0].source == (f"document {len(contents)}" if found[0].source else "") or (
        code == "older-revision" and found[0].source == "document 1"
    )


@pytest.mark.parametrize("noun", ["audiences", "experiences"])
def test_limits_of_the_whole(noun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, f"MAX_{noun.upper()}", 0)
    (finding,) = findings_of(native())
    assert (finding.code, finding.path) == (f"too-many-{noun}", "")


def test_every_code_has_a_case() -> None:
    limits = {"too-many-audiences", "too-many-experiences"}
    assert {code for code, _, _ in CASES} | limits == set(FINDING_CODES)


def test_nothing_is_said_about_a_sound_configuration() -> None:
    assert findings_of(native()) == ()
    assert findings_of(with_config(**CONFIG, primaryMetric="")) == ()


def test_the_table_is_the_one_in_the_docs() -> None:
    page = CONFIGURATION_PAGE.read_text(encoding="utf-8")
    section = page[page.index("\n## Findings") :]
    rows = re.findall(r"^\| `([a-z-]+)` \| (error, whole|error|warning) \| (.+) \|$", section, re.M)
    assert [
        (code, "error, whole" if known.whole else known.severity, known.meaning)
        for code, known in FINDING_CODES.items()
    ] == rows


def test_codes_are_kebab_case() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in FINDING_CODES)


def test_paths_quote_odd_keys() -> None:
    key = {"id": "property", "value": "a"}
    document = native(audiences=[audience(nt_rules={"any": [{"type": "page"}]})])
    document["audiences"][0]["nt_rules"]["any"][0]["conditions"] = [{"key": key}]
    (finding, _) = findings_of(document)
    assert finding.path == f"{RULES}.any[0].conditions[0].operator"


def test_load_documents_is_the_public_one() -> None:
    assert load_documents is loader.load_documents

"""The oracle against the facts of the contract: check values, hand-made answers, every table row.

What can be written as rows is in `rows.py`, where tests of the engine find it too.
"""

from __future__ import annotations

import ast
import json
import math
import pathlib
import random
from typing import Any

import mmh3
import pytest

from oracle.oracle import (
    CANONICAL,
    compare,
    drawn_index,
    draws,
    equal,
    evaluate,
    fmix64,
    holds,
    low_bytes,
    murmur3_x86_32,
    number_of,
    number_text,
    segments_of,
    text_of,
    timestamp_ms,
)
from oracle.preimage import stable_id_drawing
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
    leaf,
)
from oracle.strategies import NOW_MS, doubles, json_text, odd_json, seeded_case

DAY_MS = 86_400_000


def test_the_oracle_imports_nothing_of_the_package() -> None:
    tree = ast.parse((pathlib.Path(__file__).parent / "oracle.py").read_text())
    names = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    ]
    assert "re2" in names
    assert not [name for name in names if name.startswith("whichvariant")]


# --- bucketing -----------------------------------------------------------------------------------


def test_smhasher_verification_value() -> None:
    """SMHasher: hash the keys 0, 01, 012, … with seeds 256 - length, then hash the hashes."""
    hashes = b"".join(
        murmur3_x86_32(bytes(range(length)), 256 - length).to_bytes(4, "little")
        for length in range(256)
    )
    assert murmur3_x86_32(hashes, 0) == 0xB0F57EE3


@pytest.mark.parametrize(
    ("stable_id", "draw"), [("123", 0.1082723711403721), ("456", 0.6206237130380756)]
)
def test_check_values_of_the_distribution_draw(stable_id: str, draw: float) -> None:
    assert draws("murmur3", "experience1", stable_id)[1] == draw


def test_murmur3_agrees_with_the_mmh3_package() -> None:
    source = random.Random(1)
    for length in range(200):
        data = source.randbytes(length)
        assert murmur3_x86_32(data, 0) == mmh3.hash(data, 0, signed=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", b"abc"), ("zoë", b"zo\xeb"), ("\u0141", b"A"), ("🎈", b"\x3c\x88"), ("", b"")],
)
def test_the_low_byte_of_every_utf16_code_unit(text: str, expected: bytes) -> None:
    assert low_bytes(text) == expected


def test_xxh64_scheme() -> None:
    """fmix64 is MurmurHash3's; of equal ids the two hashes cancel and everything draws 0."""
    assert fmix64(0) == 0
    assert fmix64(1) == 0xB456BCFC34C2CB2C
    assert draws("xxh64", "same", "same") == (0.0, 0.0)
    traffic, distribution = draws("xxh64", "hero", "visitor-1")
    assert (traffic * 2**32).is_integer()
    assert (distribution * 2**32).is_integer()
    assert traffic < 1
    assert draws("xxh64", "visitor-1", "hero") == (traffic, distribution)


@pytest.mark.parametrize("wanted", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
@pytest.mark.parametrize("experience_id", ["a", "ab", "abc", "abcd", "zoë 🎈"])
def test_stable_ids_with_a_chosen_draw(experience_id: str, wanted: int) -> None:
    for place, kind in enumerate(["traffic", "distribution"]):
        stable_id = stable_id_drawing(kind, experience_id, wanted)
        assert draws("murmur3", experience_id, stable_id)[place] == wanted / 4294967295


def test_shares_are_summed_left_to_right_in_doubles() -> None:
    tenths = segments_of({"distribution": [0.1] * 10})
    assert tenths[-1] == (9, 0.8999999999999999, 0.9999999999999999)
    assert segments_of({"distribution": [1 / 3] * 3})[-1] == (2, 2 / 3, 1.0)
    assert segments_of({}) == [(0, 0.0, 0.5), (1, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("segments", "draw", "index"),
    [
        ([(0, 0.0, 0.5), (1, 0.5, 1.0)], 0.5, 0),  # both ends belong, the first segment wins
        ([(0, 0.0, 0.5), (1, 0.5, 1.0)], math.nextafter(0.5, 1), 1),
        ([(0, 0.0, 0.0), (1, 0.0, 1.0)], 0.0, 0),
        ([(1, 0.0, 0.2), (2, 0.4, 1.0)], 0.3, 0),  # in a gap
        ([(1, 0.0, 0.2)], 0.9, 0),
        ([(3, 0.0, 1.0), (2, 0.0, 1.0)], 0.9, 3),
        ([], 0.5, 0),
    ],
)
def test_the_first_segment_that_holds_the_draw(
    segments: list[tuple[int, float, float]], draw: float, index: int
) -> None:
    assert drawn_index(segments, draw) == index


@pytest.mark.parametrize(("hashed", "inside"), [(0xFFFFFFFE, True), (0xFFFFFFFF, False)])
def test_traffic_of_one_leaves_out_the_visitor_who_draws_one(hashed: int, inside: bool) -> None:
    """The draw is in [0, 1] inclusive and the comparison strict."""
    document = one_experience({"traffic": 1})
    profile = {"stableId": stable_id_drawing("traffic", "e", hashed)}
    assert bool(evaluate(document, profile)["experiences"]) is inside


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "text"), NUMBER_TEXTS)
def test_number_texts(number: float, text: str) -> None:
    assert number_text(float(number)) == text
    assert text_of(number) == text


@pytest.mark.parametrize(("value", "text"), VALUE_TEXTS)
def test_texts_of_values(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(("text", "number"), NUMERIC_TEXTS)
def test_numeric_texts(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(("value", "number"), OTHER_NUMBERS)
def test_numbers_of_other_values(value: Any, number: float | None) -> None:
    """A value that is neither number nor text is treated as its text, everywhere."""
    assert number_of(value) == number


# --- operators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right", "expected"), EQUALS)
def test_equal(left: Any, right: Any, expected: bool) -> None:
    assert equal(left, right) is expected


@pytest.mark.parametrize(("operator", "value", "true_for", "false_for"), COMPARISONS)
def test_every_operator(
    operator: str, value: Any, true_for: list[Any], false_for: list[Any]
) -> None:
    for attribute in true_for:
        assert compare(attribute, operator, value) is True, attribute
    for attribute in false_for:
        assert compare(attribute, operator, value) is False, attribute


def test_every_operator_is_covered() -> None:
    assert {row[0] for row in COMPARISONS} == set(CANONICAL.values())


@pytest.mark.parametrize(("operator", "names"), SYNONYM_ROWS)
def test_synonyms(operator: str, names: list[str]) -> None:
    found = {name for name, meaning in CANONICAL.items() if meaning == operator}
    assert found == {operator, *names}


# --- groups and leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize(("rules", "expected"), GROUPS)
def test_groups(rules: dict[str, Any], expected: bool) -> None:
    assert holds(rules, {}, None, [], NOW_MS) is expected


@pytest.mark.parametrize(("rule", "expected"), PROFILE_LEAVES)
def test_profile_leaves(rule: dict[str, Any], expected: bool) -> None:
    assert holds(rule, PROFILE, None, [], NOW_MS) is expected


@pytest.mark.parametrize("parent", [None, [], "text", 5, True])
def test_parents_of_the_wrong_type_make_everything_missing(parent: Any) -> None:
    profile = {"traits": parent, "location": parent, "session": parent}
    for rule in (
        leaf("identify", "plan", "notExists"),
        leaf("location", "city", "notExists"),
        leaf("session", "landingPage.query.q", "notExists"),
        leaf("isReturningVisitor", operator="notEqual", value=True),
    ):
        assert holds(rule, profile, None, [], NOW_MS)


@pytest.mark.parametrize(("rule", "true_for"), DEVICE_LEAVES)
def test_device_leaves(rule: dict[str, Any], true_for: list[str | None]) -> None:
    for device in ("desktop", "mobile", "tablet", "unknown", None):
        assert holds(rule, {}, device, [], NOW_MS) is (device in true_for), device


# --- activity ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "count"), COUNTS)
def test_activity_counts(rule: dict[str, Any], count: int) -> None:
    for operator, difference, expected in [
        ("equal", 0, True), ("equal", 1, False), ("notEqual", 0, False), ("notEqual", 1, True),
        ("greaterThan", 0, False), ("greaterThan", -1, True), ("lessThan", 1, True),
        ("lessThan", 0, False),
        ("greaterThanInclusive", 0, True), ("greaterThanInclusive", 1, False),
        ("lessThanInclusive", 0, True), ("lessThanInclusive", -1, False),
    ]:  # fmt: skip
        for wanted in (count + difference, str(count + difference)):
            whole = {**rule, "operator": operator, "count": wanted}
            assert holds(whole, {}, None, EVENTS, NOW_MS) is expected, (operator, wanted)


def test_activity_defaults_and_no_events() -> None:
    rule = {"type": "page"}
    assert holds(rule, {}, None, EVENTS, NOW_MS)
    assert not holds(rule, {}, None, [], NOW_MS)
    assert holds({**rule, "count": 0}, {}, None, [], NOW_MS)
    assert holds({**rule, "operator": "lessThan"}, {}, None, [], NOW_MS)


def test_null_in_context_is_present_and_hides_properties() -> None:
    event = {"type": "page", "context": {"page": {"path": None}}, "properties": {"path": "/"}}
    rule = leaf("page", conditions=[("context_page_path", "", "equal", "null")], count=1)
    assert holds(rule | {"operator": "equal"}, {}, None, [event], NOW_MS)


@pytest.mark.parametrize(
    ("age_ms", "counts"),
    [
        (7 * DAY_MS, True), (7 * DAY_MS + 1, False), (7 * DAY_MS - 1, True), (-DAY_MS, True),
        (0, True),
    ],
)  # fmt: skip
def test_windows(age_ms: int, counts: bool) -> None:
    now_ms = timestamp_ms("2026-01-08T00:00:00.000Z") + age_ms - 7 * DAY_MS
    rule = {"type": "page", "within": {"days": 7}}
    event = {"type": "page", "timestamp": "2026-01-01T00:00:00.000Z"}
    assert holds(rule, {}, None, [event], int(now_ms)) is counts
    assert holds(rule, {}, None, [{"type": "page"}], int(now_ms))  # without: counts as now


def test_timestamps() -> None:
    assert timestamp_ms("1970-01-01T00:00:00.000Z") == 0
    assert timestamp_ms("2022-10-10T14:36:51.262Z") == 1665412611262
    assert timestamp_ms("2022-10-10T16:36:51.262+02:00") == 1665412611262


# --- the answer ----------------------------------------------------------------------------------


def one_experience(config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A document with one experience, `e`."""
    return {"experiences": [{"nt_experience_id": "e", "nt_config": config, **fields}]}


def entry(baseline: str, *variants: str, **more: Any) -> dict[str, Any]:
    """An entry replacement."""
    return {"baseline": {"id": baseline, **more}, "variants": [{"id": one} for one in variants]}


def inline(key: str, baseline: Any, *variants: dict[str, Any]) -> dict[str, Any]:
    """An inline variable."""
    return {
        "type": "InlineVariable",
        "key": key,
        "valueType": "String",
        "baseline": {"value": baseline},
        "variants": list(variants),
    }


def test_the_documented_shape() -> None:
    document = {
        "audiences": [
            {
                "nt_audience_id": "berliners",
                "nt_rules": {"any": [{"all": [leaf("location", "city", "equal", "Berlin")]}]},
            }
        ],
        "experiences": [
            {
                "nt_experience_id": "hero",
                "nt_audience": "berliners",
                "nt_config": {
                    "traffic": 1,
                    "distribution": [0, 1],
                    "sticky": True,
                    "components": [
                        entry("entryA", "entryB"),
                        inline("headline", "Hello", {"value": "Hallo"}),
                    ],
                },
            }
        ],
    }
    assert evaluate(document, PROFILE) == {
        "audiences": ["berliners"],
        "experiences": [
            {
                "experienceId": "hero",
                "variantIndex": 1,
                "variants": {"entryA": "entryB"},
                "sticky": True,
            }
        ],
        "changes": [
            {
                "key": "headline",
                "type": "Variable",
                "value": "Hallo",
                "meta": {"experienceId": "hero", "variantIndex": 1},
            }
        ],
    }
    elsewhere = {**PROFILE, "location": {"city": "Bonn"}}
    nothing: dict[str, Any] = {"audiences": [], "experiences": [], "changes": []}
    assert evaluate(document, elsewhere) == nothing
    # The given audiences count instead of the rules; an unknown one decides nothing.
    given = {**elsewhere, "audiences": ["unknown", "berliners"]}
    assert evaluate(document, given) == nothing
    trusted = {**evaluate(document, PROFILE), "audiences": ["unknown", "berliners"]}
    assert evaluate(document, given, audiences="given") == trusted
    assert evaluate(document, PROFILE, audiences="given") == nothing


@pytest.mark.parametrize(
    ("components", "index", "variants"),
    [
        ([entry("A", "B")], 0, {"A": "A"}),
        ([entry("A", "B")], 1, {"A": "B"}),
        ([entry("A", "B")], 2, {"A": "A"}),
        ([entry("A", "")], 1, {"A": ""}),
        ([entry("A", "B"), entry("A", "C")], 1, {"A": "B"}),
        ([entry("A"), entry("A", "C")], 1, {"A": "A"}),
        ([entry("A", "B", hidden=True), entry("A", "C")], 1, {"A": "C"}),
        ([entry("A", "B", hidden=False)], 1, {"A": "B"}),
        ([entry("A", "B"), entry("C", "D", "E")], 2, {"A": "A", "C": "E"}),
        ([inline("k", "v", {"value": "w"})], 1, {}),
        ([], 1, {}),
    ],
)
def test_variants_of_a_record(
    components: list[dict[str, Any]], index: int, variants: dict[str, str]
) -> None:
    config = {
        "traffic": 1,
        "distribution": [{"index": index, "start": 0, "end": 1}],
        "components": components,
    }
    (found,) = evaluate(one_experience(config), {"stableId": "x"})["experiences"]
    assert found == {"experienceId": "e", "variantIndex": index, "variants": variants}


@pytest.mark.parametrize(("index", "values"), [(0, ["a", 0]), (1, ["a", 1]), (2, ["b", 0])])
def test_changes_fall_back_to_the_baseline(index: int, values: list[Any]) -> None:
    config = {
        "traffic": 1,
        "distribution": [{"index": index, "start": 0, "end": 1}],
        "components": [
            inline("one", "a", {}, {"value": "b"}),
            entry("A", "B"),
            inline("two", 0, {"value": 1}),
        ],
    }
    found = evaluate(one_experience(config), {"stableId": "x"})["changes"]
    meta = {"experienceId": "e", "variantIndex": index}
    assert found == [
        {"key": key, "type": "Variable", "value": value, "meta": meta}
        for key, value in zip(["one", "two"], values, strict=True)
    ]


@pytest.mark.parametrize(
    ("stored", "sticky", "index"),
    [(2, True, 2), (0, True, 0), (2, False, 1), (3, True, 1), (2.0, True, 2), (300, True, 1)],
)
def test_sticky_variants(stored: Any, sticky: bool, index: int) -> None:
    config = {"traffic": 1, "distribution": [0, 1], "sticky": sticky}
    config["components"] = [entry("A", "B", "C")]
    profile = {"stableId": "x", "stickyVariants": {"e": stored}}
    (found,) = evaluate(one_experience(config), profile)["experiences"]
    assert found["variantIndex"] == index
    assert found.get("sticky") is (True if sticky else None)


def test_sticky_variants_override_neither_traffic_nor_audience() -> None:
    profile = {"stableId": "x", "stickyVariants": {"e": 1}}
    assert evaluate(one_experience({"traffic": 0, "sticky": True}), profile)["experiences"] == []
    document = one_experience({"traffic": 1, "sticky": True}, nt_audience="nobody")
    document["audiences"] = [{"nt_audience_id": "nobody", "nt_rules": {"any": []}}]
    assert evaluate(document, profile)["experiences"] == []


def test_defaults_of_a_configuration() -> None:
    """Missing traffic is 0, missing distribution halves, no audience is everyone."""
    assert evaluate(one_experience({}), {"stableId": "x"})["experiences"] == []
    for fields in ({}, {"nt_audience": None}):
        document = one_experience({"traffic": 1}, **fields)
        for hashed, index in ((0x7FFFFFFF, 0), (0x80000000, 1)):
            profile = {"stableId": stable_id_drawing("distribution", "e", hashed)}
            assert evaluate(document, profile)["experiences"] == [
                {"experienceId": "e", "variantIndex": index, "variants": {}}
            ]


def test_order_is_case_insensitive_with_ties_by_code_point() -> None:
    ids = ["b", "1TF5", "a", "1lNQ", "A", "1hTt", "B", "ä", "Z"]
    everyone = {"all": []}
    document = {
        "audiences": [{"nt_audience_id": one, "nt_rules": everyone} for one in ids],
        "experiences": [{"nt_experience_id": one, "nt_config": {"traffic": 1}} for one in ids],
    }
    wanted = ["1hTt", "1lNQ", "1TF5", "A", "a", "B", "b", "Z", "ä"]
    answer = evaluate(document, {"stableId": "x"})
    assert answer["audiences"] == wanted
    assert [record["experienceId"] for record in answer["experiences"]] == wanted


def test_an_audience_may_be_a_link() -> None:
    link = {"sys": {"type": "Link", "linkType": "Entry", "id": "nobody"}}
    document = one_experience({"traffic": 1}, nt_audience=link)
    document["audiences"] = [{"nt_audience_id": "nobody", "nt_rules": {"any": []}}]
    assert evaluate(document, {"stableId": "x"})["experiences"] == []


# --- the generators ------------------------------------------------------------------------------


def test_generated_cases_are_interesting() -> None:
    """Most rules hold for some profiles and not for others, or a difference could hide."""
    seen: dict[str, set[bool]] = {}
    matched = possible = 0
    for seed in range(60):
        case = seeded_case(seed, visits=20)
        for visit in case.visits:
            answer = evaluate(
                case.document,
                visit.profile,
                device=visit.device,
                events=visit.events,
                now_ms=visit.now_ms,
            )
            possible += len(case.document["audiences"])
            matched += len(answer["audiences"])
            for audience in case.document["audiences"]:
                known = seen.setdefault(f"{seed} {audience['nt_audience_id']}", set())
                known.add(audience["nt_audience_id"] in answer["audiences"])
    assert 0.2 < matched / possible < 0.8
    assert sum(len(outcomes) == 2 for outcomes in seen.values()) / len(seen) > 0.5


def test_odd_json_means_the_same() -> None:
    for seed in range(30):
        for number, visit in enumerate(seeded_case(seed, visits=10).visits):
            text = odd_json(1000 * seed + number, visit.profile)
            assert doubles(json.loads(text)) == doubles(visit.profile)
            assert json.loads(json_text(visit.profile)) == visit.profile

"""Documents with values of wrong types anywhere: refused or loaded, but never a crash."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from loading.builders import (
    CONFIG,
    LEAF,
    REPLACEMENT,
    VARIABLE,
    audience,
    audience_entry,
    delivery,
    documents,
    experience,
    experience_entry,
    export,
    link,
    merge_tag_entry,
    native,
)
from loading.paths import leads_somewhere
from whichvariant.errors import ConfigurationError, DocumentError
from whichvariant.loading import (
    Document,
    Loaded,
    check_document,
    load_documents,
    parse_document,
    to_native,
)

CONDITION = {"key": {"id": "context_page_query", "value": "q"}, "operator": "gte", "value": "5"}
ALL_LEAVES = {
    "any": [
        {"all": [LEAF, {"type": "identify", "key": "a.b", "operator": "in", "value": ["x", 5]}]},
        {"not": {"type": "session", "key": "count", "operator": "lt", "value": 3}},
        {
            "type": "isReturningVisitor",
            "operator": "equal",
            "value": True,
            "conditions": [
                {"key": {"id": "session_count"}, "operator": "greaterThan", "value": "1"}
            ],
        },
        {
            "type": "device",
            "operator": "equal",
            "value": "",
            "conditions": [{"key": {"id": "type"}, "operator": "equal", "value": "mobile"}],
        },
        {
            "type": "track",
            "value": "signup",
            "count": "2",
            "operator": "gte",
            "within": {"days": 7},
            "conditions": [CONDITION],
        },
        {"type": "identify", "key": "mail", "operator": "matches", "value": "@example\\.org$"},
    ]
}
SEGMENTS = [{"index": 0, "start": 0, "end": 0.5}, {"index": 1, "start": 0.5, "end": 1}]
OBJECT = {
    "type": "InlineVariable",
    "key": "o",
    "valueType": "Object",
    "baseline": {"value": {"a": [1]}},
    "variants": [{"value": {"b": None}}],
}
ALL_CONFIG = {
    **CONFIG,
    "distribution": SEGMENTS,
    "components": [REPLACEMENT, VARIABLE, OBJECT],
    "primaryMetric": "m",
}
TAG = merge_tag_entry()["fields"]

NATIVE = native(
    scheme="murmur3",
    audiences=[audience("a1", nt_rules=ALL_LEAVES), audience("a2", nt_description="D")],
    experiences=[
        experience("e1", nt_audience="a1", nt_config=ALL_CONFIG),
        experience("e2", nt_audience=link("a2")),
        experience("e3", nt_audience=None),
    ],
    mergetags=[TAG],
)
ENTRIES = [
    audience_entry("x1", nt_audience_id="a1", nt_rules=ALL_LEAVES),
    audience_entry("x2", nt_audience_id="a2", sys={"version": 4}),
    experience_entry("y1", nt_experience_id="e1", nt_audience=link("x1"), nt_config=ALL_CONFIG),
    experience_entry("y2", nt_experience_id="e2", nt_audience=link("x2")),
    merge_tag_entry(),
]
LOCALES = [
    {"code": "en-US", "default": True, "fallbackCode": None},
    {"code": "de", "default": False, "fallbackCode": "en-US"},
]
BASES = [
    NATIVE,
    export(*ENTRIES, locales=LOCALES),
    delivery(*ENTRIES[2:], includes=ENTRIES[:3]),
    ENTRIES[0],
    ENTRIES[2],
]

WRONG = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 5, 0.5, 1.5, -0.0, 1e300, 2**53 + 1, 255, 256, "", "*", "5",
        "x", "a..b", ".", "(", "true", "equal", "in", "nt_experiment", "xxh64", "e1", "a1", "a2",
        "x" * 1025, "🎈" * 600, "\x00", [], [[]], [None], [5], ["x"], [{}], {}, {"sys": {}},
        {"type": "page"}, {"any": []}, {"all": [], "any": []}, {"not": {}}, {"id": "x"},
        {"value": 5}, {"days": 1e308}, {"index": 1, "start": 0, "end": 1}, link("a2"), LEAF,
        {"en-US": None}, {"en-US": {"any": 5}},
    ]
)  # fmt: skip
NOT_JSON = st.sampled_from(
    [math.nan, math.inf, b"x", {1}, object(), "\ud800", {5: 1}, 10**400, (1, 2), 2**70, LEAF.items]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


PLACES = [places(base) for base in BASES]


@st.composite
def mutated(draw: st.DrawFn, values: st.SearchStrategy[Any] = WRONG) -> dict[str, Any]:
    """A sound document with one to four values replaced, removed or repeated."""
    number = draw(st.integers(0, len(BASES) - 1))
    document = copy.deepcopy(BASES[number])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PLACES[number]))
        target: Any = document
        try:
            for step in path[:-1]:
                target = target[step]
            kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat"]))
            if kind == "replace":
                target[path[-1]] = copy.deepcopy(draw(values))
            elif kind == "remove":
                del target[path[-1]]
            elif isinstance(target, list):
                target.append(copy.deepcopy(target[path[-1]]))
        except (KeyError, IndexError, TypeError):
            continue  # An earlier replacement has taken the place away.
    return document


def documents_or_none(*contents: Any) -> list[Document] | None:
    try:
        return documents(*contents)
    except DocumentError:
        return None


def outcome(
    sources: list[Document], *, strict: bool
) -> Loaded | DocumentError | ConfigurationError:
    try:
        return load_documents(sources, strict=strict)
    except (DocumentError, ConfigurationError) as error:
        return error


@settings(max_examples=600, deadline=None)
@given(mutated())
@example({"format": "whichvariant/1", "experiences": [{"nt_config": {"components": [None]}}]})
def test_any_json(content: dict[str, Any]) -> None:
    before = copy.deepcopy(content)
    sources = documents_or_none(content)
    if sources is None:
        return
    strict, lenient = outcome(sources, strict=True), outcome(sources, strict=False)
    assert content == before

    for result in (strict, lenient):
        if isinstance(result, (Loaded, ConfigurationError)):
            for finding in result.findings:
                assert finding.source in {"document 1", ""}
                assert leads_somewhere(sources[0].data, unlocalised(content, finding.path))
    if isinstance(strict, Loaded):
        assert strict == lenient
        assert all(finding.severity == "warning" for finding in strict.findings)
    if isinstance(lenient, Loaded):
        # What is served is sound by itself: it loads strictly, to the same content.
        again = load_documents([check_document(to_native(lenient.configuration), "again")])
        assert again.configuration == lenient.configuration
        assert again.configuration.digest == lenient.configuration.digest


def unlocalised(content: dict[str, Any], path: str) -> str:
    """The path with the locale put back that paths of an export leave out."""
    if not isinstance(content.get("entries"), list) or ".fields." not in path:
        return path
    head, _, tail = path.partition(".fields.")
    name = tail.partition(".")[0].partition("[")[0]
    rest = tail[len(name) :]
    return f"{head}.fields.{name}.en-US{rest}" if rest else f"{head}.fields.{name}"


@settings(deadline=None)
@given(mutated(NOT_JSON | WRONG))
def test_anything_at_all(content: dict[str, Any]) -> None:
    for strict in (True, False):
        outcome([Document("made by hand", content)], strict=strict)


@settings(deadline=None)
@given(mutated(), mutated(), st.booleans())
def test_several_documents(first: Any, second: Any, strict: bool) -> None:
    sources = documents_or_none(first, second)
    if sources is not None:
        outcome(sources, strict=strict)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(b"\x81\xa9audiences\x90")
@example(b"\xde\x00\x01\xa9audiences\xdc\x00\x00")
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        assert isinstance(parse_document(data, "d").data, dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["audiences", "experiences", "items", "entries"]), JSON))
def test_any_object(content: dict[str, Any]) -> None:
    sources = documents_or_none(content)
    if sources is not None:
        outcome(sources, strict=False)


def test_the_bases_are_sound() -> None:
    for base in BASES[:3]:
        assert load_documents(documents(base)).findings == ()

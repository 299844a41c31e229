"""Each limit of docs/rules.md, "Limits": what is at the limit works, one beyond is refused."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from robustness.support import (
    FUZZ_SECONDS,
    NOW,
    as_json,
    audience,
    document,
    experience,
    nested,
    test,
)
from whichvariant import Engine
from whichvariant._core import coercion
from whichvariant.errors import ConfigurationError, DocumentError, EventError, ProfileError
from whichvariant.loading import documents as documents_module
from whichvariant.loading import loader as loader_module


def codes(content: Any) -> set[str]:
    """The codes of the errors that refuse a configuration; none when it loads."""
    try:
        Engine.from_dict(content)
    except ConfigurationError as error:
        return {finding.code for finding in error.findings if finding.severity == "error"}
    return set()


def ruled(rules: Any) -> dict[str, Any]:
    """A document with one audience."""
    return {"audiences": [{"nt_audience_id": "a0", "nt_rules": rules}]}


@pytest.mark.parametrize("kind", ["any", "all", "not"])
def test_nesting_of_groups(kind: str) -> None:
    rules: Any = test("k", "exists")
    for depth in range(1, 66):
        rules = {kind: rules if kind == "not" else [rules]}
        if depth >= 63:
            assert codes(ruled(rules)) == (set() if depth <= 64 else {"too-deep"})
    deepest = rules["not"] if kind == "not" else rules[kind][0]
    chosen = Engine.from_dict(ruled(deepest)).select({"stableId": "s", "traits": {"k": 1}})
    assert chosen.audiences == ["a0"]


def test_leaves_in_one_audience() -> None:
    leaves = [test(f"k{number}", "exists") for number in range(10_001)]
    assert codes(ruled({"any": leaves})) == {"too-many-leaves"}
    engine = Engine.from_dict(ruled({"any": leaves[:-1]}))
    assert engine.select({"stableId": "s", "traits": {"k9999": 1}}).audiences == ["a0"]
    assert engine.select({"stableId": "s", "traits": {"k10000": 1}}).audiences == []


def bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The limit, in a long run; a small one in its place otherwise, since 65,535 take seconds."""
    assert getattr(loader_module, name) == 65_535
    if FUZZ_SECONDS:
        return 65_535
    monkeypatch.setattr(loader_module, name, 300)
    return 300


def test_audiences(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = bounded("MAX_AUDIENCES", monkeypatch)
    audiences = [audience(number, test("k", "gt", number)) for number in range(limit + 1)]
    assert codes({"audiences": audiences}) == {"too-many-audiences"}
    engine = Engine.from_dict({"audiences": audiences[:-1]})
    assert len(engine.select({"stableId": "s", "traits": {"k": 1e9}}).audiences) == limit


def test_experiences(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = bounded("MAX_EXPERIENCES", monkeypatch)
    experiences = [
        experience(number, components=[], distribution=[1]) for number in range(limit + 1)
    ]
    assert codes({"experiences": experiences}) == {"too-many-experiences"}
    for scheme in ("murmur3", "xxh64"):
        engine = Engine.from_dict({"scheme": scheme, "experiences": experiences[:-1]})
        assert len(engine.select({"stableId": "s"}).experiences) == limit
        assert len(json.loads(engine.select_json(b'{"stableId":"s"}'))["experiences"]) == limit


def test_variants_of_one_experience() -> None:
    for count in (255, 256):
        variants = [{"id": f"v{number}"} for number in range(1, count + 1)]
        one = experience(0, components=[{"baseline": {"id": "b"}, "variants": variants}])
        shares = experience(0, components=[], distribution=[0] * count + [1])
        segment = {"index": count, "start": 0, "end": 1}
        segments = experience(0, components=[], distribution=[segment])
        for content in (one, shares, segments):
            wanted = set() if count == 255 else {"too-many-variants"}
            assert codes({"experiences": [content]}) == wanted
        if count == 255:
            sticky = {**one["nt_config"], "sticky": True}
            engine = Engine.from_dict({"experiences": [{**one, "nt_config": sticky}]})
            chosen = engine.select({"stableId": "s", "stickyVariants": {"e0": 255}})
            assert chosen.experiences[0]["variants"] == {"b": "v255"}


def test_components_of_one_experience() -> None:
    for count in (1000, 1001):
        components = [
            {"baseline": {"id": f"b{number}"}, "variants": [{"id": f"v{number}"}]}
            for number in range(count)
        ]
        wanted = set() if count == 1000 else {"too-many-components"}
        assert codes({"experiences": [experience(0, components=components)]}) == wanted


def test_components_times_variants() -> None:
    for count in (256, 257):
        components = [
            {"baseline": {"id": f"b{number}"}, "variants": [{"id": "v"}] * 255 * (number == 0)}
            for number in range(count)
        ]
        wanted = set() if count == 256 else {"too-many-replacements"}
        assert codes({"experiences": [experience(0, components=components)]}) == wanted


def test_segments_of_a_distribution() -> None:
    for count in (512, 513):
        segments = [
            {"index": number % 2, "start": number / count, "end": (number + 1) / count}
            for number in range(count)
        ]
        wanted = set() if count == 512 else {"too-many-segments"}
        assert codes({"experiences": [experience(0, distribution=segments)]}) == wanted


def test_segments_of_a_dotted_key() -> None:
    condition = {"key": {"id": "property"}, "operator": "exists"}
    for count in (63, 64):
        key = ".".join("a" * count)
        wanted = set() if count == 63 else {"malformed-key"}
        assert codes(ruled({"all": [test(key, "exists")]})) == wanted
        event = {**condition, "key": {"id": "property", "value": key}}
        assert codes(ruled({"all": [{"type": "page", "conditions": [event]}]})) == wanted
        if not wanted:
            engine = Engine.from_dict(ruled({"all": [test(key, "exists")]}))
            profile = {"stableId": "s", "traits": nested(63, key="a")}
            assert engine.select(profile).audiences == ["a0"]
            assert b'"a0"' in engine.select_json(as_json(profile))


@pytest.mark.parametrize("unit", ["x", "é", "日", "🎈"])
def test_ids(unit: str) -> None:
    units = len(unit.encode("utf-16-le")) // 2
    longest = unit * (1024 // units)
    for identifier, wanted in ((longest, set()), (longest + "x", {"invalid-id"})):
        content = document()
        content["experiences"][0]["nt_experience_id"] = identifier
        content["audiences"] = [{"nt_audience_id": identifier, "nt_rules": {"all": []}}]
        content["mergetags"] = [{"nt_mergetag_id": identifier, "nt_name": "n"}]
        assert codes(content) == wanted
        if not wanted:
            engine = Engine.from_dict(content)
            profile = {"stableId": "s", "stickyVariants": {identifier: 1}}
            chosen = engine.select(profile)
            assert chosen.audiences == [identifier]
            assert json.loads(engine.select_json(as_json(profile))) == chosen.to_dict()


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
@pytest.mark.parametrize("unit", ["x", "é", "日", "🎈"])
def test_stable_ids(scheme: str, unit: str) -> None:
    engine = Engine.from_dict(document(scheme=scheme))
    units = len(unit.encode("utf-16-le")) // 2
    longest = unit * (65_536 // units)
    for stable_id in ("", longest[:-1], longest):
        chosen = engine.select({"stableId": stable_id})
        text = as_json({"stableId": stable_id})
        assert json.loads(engine.select_json(text)) == chosen.to_dict()
    for form in ({"stableId": longest + "x"}, {"stableId": longest * 3}):
        with pytest.raises(ProfileError, match="longer than 65536"):
            engine.select(form)
        with pytest.raises(ProfileError, match="longer than 65536"):
            engine.select_json(as_json(form))


def test_bytes_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents_module.MAX_DOCUMENT_BYTES == 256 * 1024 * 1024
    monkeypatch.setattr(documents_module, "MAX_DOCUMENT_BYTES", 1000)
    text = as_json(document())
    assert Engine.from_bytes(text + b" " * (1000 - len(text)))
    with pytest.raises(DocumentError, match="larger"):
        Engine.from_bytes(text + b" " * (1001 - len(text)))


@pytest.mark.parametrize("key", [None, "k"])
def test_nesting_of_a_document(key: str | None) -> None:
    opening, closing = (b"[", b"]") if key is None else (b'{"k":', b"}")
    for depth in (255, 256, 257, 5000):
        content = {"experiences": [], "extra": nested(depth - 1, key=key)}
        inner = opening * (depth - 1) + b"1" + closing * (depth - 1)
        text = b'{"experiences":[],"extra":%s}' % inner
        if depth <= 256:
            assert Engine.from_dict(content).digest == Engine.from_bytes(text).digest
            continue
        with pytest.raises(DocumentError, match="deeper than 256"):
            Engine.from_dict(content)
        with pytest.raises(DocumentError, match=r"deeper than 256|depth limit|[Rr]ecursion"):
            Engine.from_bytes(text)


def test_values_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents_module.MAX_VALUES == 10_000_000
    monkeypatch.setattr(documents_module, "MAX_VALUES", 1000)
    # The two keys at the top count too.
    assert Engine.from_dict({"experiences": [], "extra": [0] * 998})
    with pytest.raises(DocumentError, match="more than 1,000 values"):
        Engine.from_dict({"experiences": [], "extra": [0] * 999})
    # JSON text is bounded by its length.
    assert Engine.from_bytes(as_json({"experiences": [], "extra": [0] * 999}))


def test_items_of_a_msgpack_list() -> None:
    for count in (1_000_000, 1_000_001):
        for extra in ([None] * count, dict.fromkeys(range(count))):
            data = msgpack.packb({"experiences": [], "extra": extra})
            if count == 1_000_000 and isinstance(extra, list):
                assert Engine.from_bytes(data)
            else:
                # Of the maps, the one within the limit has keys that are no texts.
                with pytest.raises(DocumentError):
                    Engine.from_bytes(data)


def test_days_of_a_window() -> None:
    for days, wanted in ((1_000_000, set()), (1_000_001, {"invalid-within"})):
        leaf = {"type": "page", "within": {"days": days}}
        assert codes(ruled({"all": [leaf]})) == wanted


def test_size_of_a_pattern() -> None:
    """RE2 bounds the memory of a compiled pattern: 8 MiB."""
    assert codes(ruled({"all": [test("k", "matches", "a{1000}")]})) == set()
    for pattern in (
        "((a{100}){100}){100}",
        "(?:(?:a{0,30}){0,30}){0,30}",
        "[à-\U0010ffff]{1000}" * 40,
    ):
        assert codes(ruled({"all": [test("k", "matches", pattern)]})) == {"invalid-regex"}


def test_bytes_of_a_profile() -> None:
    engine = Engine.from_dict(document())
    text = b'{"stableId":"s"}'
    size = 64 * 1024 * 1024
    assert engine.select_json(text + b" " * (size - len(text)))
    with pytest.raises(ProfileError, match="longer than"):
        engine.select_json(text + b" " * (size - len(text) + 1))


@pytest.mark.parametrize("key", ["other", "traits", "audiences"])
def test_nesting_of_a_profile(key: str) -> None:
    engine = Engine.from_dict(document(test("a.a", "exists")))
    for depth in (255, 256, 257):
        inner = nested(depth - 1, key="a") if key == "traits" else nested(depth - 1)
        text = json.dumps({"stableId": "s", key: inner}).encode()
        if depth <= 256:
            assert engine.select_json(text)
        else:
            with pytest.raises(ProfileError, match="nested too deeply"):
                engine.select_json(text)


def test_nesting_of_a_list_that_a_rule_reads() -> None:
    engine = Engine.from_dict(document(test("k", "exists")))
    for depth in (256, 257):
        profile = {"stableId": "s", "traits": {"k": nested(depth)}}
        if depth == 256:
            assert engine.select(profile).audiences == ["a0"]
        else:
            with pytest.raises(ProfileError, match="nested too deeply"):
                engine.select(profile)


def test_elements_of_a_list_that_a_rule_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coercion.MAX_ELEMENTS == 10_000_000
    monkeypatch.setattr(coercion, "MAX_ELEMENTS", 1001)
    engine = Engine.from_dict(document(test("k", "exists")))
    # The list itself counts, and null does not.
    for elements, ok in (([1] * 1000, True), ([1] * 1001, False), ([[1] * 10] * 90, True),
                         ([[1] * 10] * 91, False), ([None] * 5000, True)):  # fmt: skip
        profile = {"stableId": "s", "traits": {"k": elements}}
        if ok:
            assert engine.select(profile).audiences == ["a0"]
            continue
        with pytest.raises(ProfileError, match=r"traits\.k: more than"):
            engine.select(profile)


def test_events_in_one_call() -> None:
    engine = Engine.from_dict(document({"type": "track", "value": "a", "count": 100_000}))
    events = [{"type": "track", "event": "a"}] * 100_000
    assert engine.select({"stableId": "s"}, events=events).audiences == ["a0"]
    for profile in ({"stableId": "s"}, b'{"stableId":"s"}'):
        decide: Any = engine.select_json if isinstance(profile, bytes) else engine.select
        with pytest.raises(EventError, match="more than 100000 events"):
            decide(profile, events=[*events, events[0]])


def test_times() -> None:
    """As in JavaScript: 100 million days around 1970."""
    engine = Engine.from_dict(document({"type": "page", "within": {"days": 1}}))
    for moment, ok in ((8.64e15, True), (-8.64e15, True), (8.64e15 + 1, False), (-9e15, False)):
        for asked in (
            {"now": moment, "events": [{"type": "page"}]},
            {"now": NOW, "events": [{"type": "page", "timestamp": moment}]},
        ):
            if ok:
                assert engine.select({"stableId": "s"}, **asked)
            else:
                with pytest.raises(EventError, match="times that exist"):
                    engine.select({"stableId": "s"}, **asked)

"""Over a thousand broken profiles, events, devices and times: an answer or an `InputError`.

Profiles go in as Python objects and as JSON, and both must agree.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections import Counter
from typing import Any

import pytest

from robustness.support import (
    DEEP,
    EVENTS,
    JUNK,
    NOT_JSON,
    NOW,
    PROFILE,
    RICH,
    as_json,
    document,
    mutate,
    mutate_bytes,
    nested,
    rounds,
    test,
)
from whichvariant import Engine
from whichvariant.errors import EventError, InputError, ProfileError

ENGINES = [Engine.from_dict(RICH), Engine.from_dict({**RICH, "scheme": "xxh64"})]
TIMES: list[Any] = [
    None, NOW, 0, -1, 1e15, "2025-10-09T08:00:00Z", "2025-10-09", "now", "", float("nan"), True, [],
    8.64e15, 8.64e15 + 2, 1e300, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
    "\ud800", "2025-13-01", "٢٠٢٤-٠١-٠١", "2025-01-01" + "0" * 1000, object(), {}, b"2025-01-01",
]  # fmt: skip
DEVICES: list[Any] = [
    None, "desktop", "mobile", "unknown", "", "Mobile", 5, True, [], {}, b"mobile", "\ud800",
]  # fmt: skip
AUDIENCES = ["rules", "rules", "given"]

Outcome = tuple[str, Any]


def decide(engine: Engine, profile: Any, **asked: Any) -> Outcome:
    """The answer to a profile as objects, or which error; any error not of our own is raised."""
    try:
        return "answer", engine.select(profile, **asked).to_dict()
    except InputError as error:
        return type(error).__name__, error.path


def decide_json(engine: Engine, profile: bytes, **asked: Any) -> Outcome:
    """The same of a profile as JSON."""
    try:
        return "answer", json.loads(engine.select_json(profile, **asked))
    except InputError as error:
        return type(error).__name__, error.path


def test_the_bases_are_sound() -> None:
    for engine in ENGINES:
        for audiences in AUDIENCES:
            asked = {"events": EVENTS, "now": NOW, "audiences": audiences}
            answer = decide(engine, PROFILE, **asked)
            assert answer[0] == "answer"
            assert answer == decide_json(engine, as_json(PROFILE), **asked)


def test_mutated_profiles_both_ways() -> None:
    seen: Counter[str] = Counter()
    for rng in rounds(1500):
        profile = mutate(rng, PROFILE, JUNK)
        before = copy.deepcopy(profile)
        engine = rng.choice(ENGINES)
        asked = {"audiences": rng.choice(AUDIENCES), "device": "mobile"}
        by_object = decide(engine, profile, **asked)
        by_text = decide_json(engine, as_json(profile), **asked)
        assert by_object[0] == by_text[0]
        if by_object[0] == "answer":
            assert by_object == by_text
            assert engine.explain(profile, **asked).to_dict()
        elif not by_text[1].startswith("audiences"):
            # Which of two mistakes is named first is up to the order of keys; both name one.
            assert by_text[1]
        seen[by_object[0]] += 1
        assert profile == before
    assert min(seen["answer"], seen["ProfileError"]) > 100, seen


def test_mutated_profiles_with_what_is_not_json() -> None:
    for rng in rounds(800, first=100_000):
        profile = mutate(rng, PROFILE, NOT_JSON + DEEP)
        asked = {"audiences": rng.choice(AUDIENCES)}
        engine = rng.choice(ENGINES)
        if decide(engine, profile, **asked)[0] == "answer":
            engine.explain(profile, **asked)


def test_mutated_json() -> None:
    text = as_json(PROFILE)
    seen: Counter[str] = Counter()
    for rng in rounds(1500, first=200_000):
        data = mutate_bytes(rng, text)
        engine = rng.choice(ENGINES)
        asked = {"audiences": rng.choice(AUDIENCES)}
        outcome = decide_json(engine, data, **asked)
        for form in (bytearray(data), memoryview(data)):
            assert decide_json(engine, form, **asked) == outcome  # type: ignore[arg-type]
        seen[outcome[0]] += 1
    assert min(seen["answer"], seen["ProfileError"]) > 100, seen


def test_every_truncation() -> None:
    for profile in (as_json(PROFILE), json.dumps(PROFILE, indent=1).encode()):
        for length in range(len(profile)):
            assert decide_json(ENGINES[0], profile[:length])[0] == "ProfileError"


def test_every_byte_replaced() -> None:
    data = bytearray(as_json(PROFILE))
    for at, byte in enumerate(data):
        for foreign in (0, 0x22, 0x5C, 0x7B, 0x80, 0xFF):
            data[at] = foreign
            decide_json(ENGINES[0], data)  # type: ignore[arg-type]
        data[at] = byte


def test_mutated_events() -> None:
    seen: Counter[str] = Counter()
    for rng in rounds(1200, first=300_000):
        junk = rng.choice([JUNK, NOT_JSON + DEEP + [10**400, 10**5000]])
        events: Any = mutate(rng, EVENTS, junk) if rng.random() < 0.9 else rng.choice(junk)
        asked = {"events": events, "now": NOW}
        outcome = decide(ENGINES[0], PROFILE, **asked)
        assert outcome == decide_json(ENGINES[0], as_json(PROFILE), **asked)
        if outcome[0] != "answer":
            assert outcome[0] == "EventError"
            assert outcome[1].startswith("events")
        seen[outcome[0]] += 1
    assert min(seen["answer"], seen["EventError"]) > 100, seen


@pytest.mark.parametrize("now", TIMES)
def test_times(now: Any) -> None:
    for events in (EVENTS, [{**EVENTS[0], "timestamp": now}]):
        outcome = decide(ENGINES[0], PROFILE, events=events, now=now)
        assert outcome[0] == "answer" or (outcome[0] == "EventError" and outcome[1])
    # Without events nobody asks for the time.
    assert decide(ENGINES[0], PROFILE, now=now)[0] == "answer"


@pytest.mark.parametrize("device", DEVICES, ids=repr)
def test_devices(device: Any) -> None:
    known = device in (None, "desktop", "mobile", "tablet", "unknown")
    outcome = decide(ENGINES[0], PROFILE, device=device)
    assert outcome == decide_json(ENGINES[0], as_json(PROFILE), device=device)
    assert outcome[0] == ("answer" if known else "ProfileError")
    if not known:
        assert outcome[1] == "device"


@pytest.mark.parametrize("audiences", [None, "", "all", 5, b"given", [], "Given"])
def test_the_way_of_asking_is_the_callers_own(audiences: Any) -> None:
    """Not data of a visitor but a mistake in a program, so a plain ValueError."""
    with pytest.raises(ValueError, match="expected") as caught:
        ENGINES[0].select(PROFILE, audiences=audiences)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    "profile", [None, 5, "text", b"{}", [], [("stableId", "x")], object(), {1}, iter([])]
)
def test_what_is_no_profile_at_all(profile: Any) -> None:
    with pytest.raises(ProfileError, match="must be an object"):
        ENGINES[0].select(profile)
    if not isinstance(profile, (str, bytes)):
        with pytest.raises(ProfileError, match="must be bytes or str"):
            ENGINES[0].select_json(profile)


@pytest.mark.parametrize(
    "profile", [b"", b" ", b"null", b"5", b"[]", b'"x"', b"{", b"{}", b"{} {}", "\ud800", "", "{}"]
)
def test_what_is_no_profile_as_json(profile: Any) -> None:
    with pytest.raises(ProfileError):
        ENGINES[0].select_json(profile)


def test_deep_nesting() -> None:
    """100,000 deep: what no rule reads is not looked at in an object, and refused in JSON."""
    engine = Engine.from_dict(document(test("a.b", "exists"), test("list", "exists")))
    for deep in (nested(100_000), nested(100_000, key="a"), nested(100_000, key="b")):
        assert decide(engine, {"stableId": "s", "other": deep})[0] == "answer"
        assert decide(engine, {"stableId": "s", "traits": {"other": deep}})[0] == "answer"
        decide(engine, {"stableId": "s", "traits": {"a": deep}})
    profile = {"stableId": "s", "traits": {"list": nested(100_000)}}
    assert decide(engine, profile) == ("ProfileError", "traits.list")
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}")):
        deep_text = opening * 100_000 + b"1" + closing * 100_000
        for key in (b"traits", b"other", b"stickyVariants", b"audiences", b"stableId"):
            outcome = decide_json(engine, b'{"stableId":"s","%s":%s}' % (key, deep_text))
            assert outcome[0] == "ProfileError"


def test_huge_numbers() -> None:
    engine = Engine.from_dict(document(test("n", "gt", 5), test("other", "exists")))
    for number in (10**309, -(10**309), 10**400, float("inf"), float("nan")):
        profile = {"stableId": "s", "traits": {"n": number}}
        assert decide(engine, profile) == ("ProfileError", "traits.n")
        # The same where no rule reads it.
        assert decide(engine, {"stableId": "s", "traits": {"m": number}})[0] == "answer"
    for text in (b"1e400", b"-1e400", b"1" + b"0" * 309, b"9" * 1_000_000, b"1e99999999999999999"):
        profile_text = b'{"stableId":"s","traits":{"%s":%s}}'
        outcome = decide_json(engine, profile_text % (b"n", text))
        assert outcome == ("ProfileError", "traits.n")
        assert decide_json(engine, profile_text % (b"m", text))[0] == "answer"
    for text in (b"1e-400", b"0e999999999999", b"0." + b"0" * 1_000_000 + b"1", b"-0"):
        assert decide_json(engine, profile_text % (b"n", text))[0] == "answer"


@pytest.mark.parametrize("key", ["stableId", "traits", "location", "session", "stickyVariants"])
def test_lone_surrogates(key: str) -> None:
    engine = Engine.from_dict(RICH)
    for value in ("\ud800", {"\udfff": 1}, {"plan": "\udfff"}):
        outcome = decide(engine, {"stableId": "s", key: value})
        assert outcome[0] in {"answer", "ProfileError"}
    for escaped in (b'"\\ud800"', b'{"\\udfff":1}', b'{"plan":"\\ud83c"}', b'"\xed\xa0\x80"'):
        text = b'{"stableId":"s","%s":%s}' % (key.encode(), escaped)
        assert decide_json(engine, text)[0] == "ProfileError"


def test_a_stable_id_with_a_lone_surrogate_is_refused_everywhere() -> None:
    for engine in ENGINES:
        assert decide(engine, {"stableId": "a\ud800"}) == ("ProfileError", "stableId")


def test_errors_name_the_place() -> None:
    engine = Engine.from_dict(RICH)
    for profile, path in (
        ({"stableId": 5}, "stableId"),
        ({"stableId": None}, "stableId"),
        ({"stableId": "s", "traits": []}, "traits"),
        ({"stableId": "s", "traits": {"age": 10**400}}, "traits.age"),
        ({"stableId": "s", "location": "Berlin"}, "location"),
        ({"stableId": "s", "session": {"averageSessionLength": float("nan")}}, None),
        ({"stableId": "s", "stickyVariants": {"e0": "1"}}, "stickyVariants.e0"),
        ({"stableId": "s", "stickyVariants": []}, "stickyVariants"),
    ):
        with pytest.raises(ProfileError) as caught:
            engine.select(profile)
        assert caught.value.path == (path or "session.averageSessionLength")
        assert caught.value.path in str(caught.value)


def broken(engine: Engine) -> list[InputError]:
    errors: list[InputError] = []
    for profile, events in ((PROFILE, [5]), ({"stableId": 5}, None)):
        with pytest.raises((ProfileError, EventError)) as caught:
            engine.select(profile, events=events)
        errors.append(caught.value)
    return errors


def test_errors_survive_pickling() -> None:
    for error in broken(ENGINES[0]):
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is type(error)
        assert (copied.path, str(copied)) == (error.path, str(error))


def test_an_engine_works_after_every_error() -> None:
    """Nothing of a refused profile is left for the next one."""
    for engine in ENGINES:
        wanted = decide(engine, PROFILE, device="mobile", events=EVENTS, now=NOW)
        empty = decide(engine, {"stableId": "other"})
        for rng in rounds(200, first=400_000):
            decide(engine, mutate(rng, PROFILE, NOT_JSON), device="mobile", events=EVENTS, now=NOW)
            decide_json(engine, mutate_bytes(rng, as_json(PROFILE)))
            assert decide(engine, {"stableId": "other"}) == empty
        assert decide(engine, PROFILE, device="mobile", events=EVENTS, now=NOW) == wanted

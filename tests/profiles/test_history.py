"""The history: going back in time, bounding it, and counting for rules that are new."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from profiles.samples import (
    DAY,
    MINUTE,
    NOW,
    SETTINGS,
    at_place,
    engine_of,
    event,
    identify,
    nobody,
    page,
    seen,
    track,
    tracked,
    views,
)
from whichvariant.errors import HistoryUnavailable, RecordError
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.aggregate import MAX_TRAITS_BYTES, aggregate
from whichvariant.profiles.events import read_events
from whichvariant.profiles.history import (
    BASE,
    Row,
    decode_row,
    overfull,
    recounted,
    state_at,
    trim,
)
from whichvariant.profiles.identity import merge
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ActivityRules, ProfileSettings
from whichvariant.profiles.state import ProfileState, decode_state, encode_state, new_state

Json = Any
FEW = ProfileSettings(history_events=5)
RULES = engine_of(
    {"bought": tracked("buy", 1), "home": views(1, path="/"), "late": tracked("buy", 1, days=1)},
    {"e": 3},
)
OTHERS = engine_of({"looked": tracked("look", 1), "home": views(1, path="/")}, {"e": 1})


class Story:
    """A profile with its history, as a service would keep them."""

    def __init__(
        self,
        rules: ActivityRules = RULES,
        settings: ProfileSettings = SETTINGS,
        name: str = "somebody",
    ) -> None:
        self.rules = rules
        self.settings = settings
        self.state = new_state(name, 7, NOW)
        self.state.counted = rules.counters_digest
        self.rows: dict[int, bytes] = {}

    @property
    def sorted(self) -> list[Row]:
        return sorted(self.rows.items())

    def add(
        self, *events: Json, now_ms: int = NOW, located: Located | None = None, trimmed: bool = True
    ) -> Story:
        read = read_events(events, now_ms)
        step = aggregate(self.state, read, now_ms, self.rules, self.settings, located=located)
        self.state = step.state
        if step.row is not None:
            self.rows[self.state.kept.next - 1] = step.row
        if trimmed and overfull(self.state, self.settings):
            self.trim()
        return self

    def trim(self) -> None:
        bounded = trim(self.state, self.sorted, self.rules, self.settings)
        if bounded.drop:
            self.state = bounded.state
            self.rows = {n: row for n, row in self.rows.items() if n not in bounded.drop}
            self.rows[BASE] = bounded.base

    def at(self, at_ms: int, rules: ActivityRules | None = None) -> ProfileState | None:
        return state_at(self.state, self.sorted, at_ms, rules or self.rules, self.settings)

    def messages(self) -> int:
        return len(self.state.messages) // 8


def same(one: ProfileState | None, other: ProfileState) -> bool:
    """Whether all is the same but the history's extent, which the past does not have."""
    assert one is not None
    one, other = one.copy(), other.copy()
    one.kept = other.kept
    one.messages = other.messages
    return encode_state(one) == encode_state(other)


def some_events(seed: int, count: int) -> list[Json]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        at = NOW - chance.randrange(3 * DAY // MINUTE) * MINUTE
        made.append(
            chance.choice(
                [
                    page(f"/{number % 3 or ''}", at),
                    track(chance.choice(["buy", "look"]), at),
                    identify("", at, **{f"k{number % 4}": number}),
                    seen("e", number % 4, at),
                    at_place({"city": f"city-{number}"}, at),
                    event("group", at),
                ]
            )
        )
    return made


def in_requests(events: Sequence[Json], seed: int) -> list[list[Json]]:
    chance = random.Random(seed)
    rest = list(events)
    requests = []
    while rest:
        size = chance.randint(1, 4)
        requests.append(rest[:size])
        rest = rest[size:]
    return requests


# --- rows ----------------------------------------------------------------------------------------


def test_a_row_holds_what_came() -> None:
    events = [page(at=NOW - 5), track("buy", NOW - 9), identify("u", None, a=1)]
    located = Located({"city": "Bonn"}, {"en": "Bonn"})
    story = Story().add(*events, located=located)
    (row,) = story.sorted
    request = decode_row(row)
    assert (row[0], request.received_ms, request.located) == (1, NOW, located)
    assert [one.raw for one in request.events] == [events[1], events[0], events[2]]
    assert [one.at_ms for one in request.events] == [NOW - 9, NOW - 5, NOW]
    expected = read_events(events, NOW)
    assert [one.message for one in request.events] == [one.message for one in expected]
    assert Story().add(page()).sorted[0][1] != row[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x01\xc0",
        msgspec.msgpack.encode([NOW, None]),
        msgspec.msgpack.encode(["x", None, []]),
        msgspec.msgpack.encode([NOW, None, [5]]),
        msgspec.msgpack.encode([NOW, None, [{"type": "page"}]]),
        msgspec.msgpack.encode([NOW, None, [{**page(), "timestamp": "never"}]]),
        msgspec.msgpack.encode([NOW, [1], [page()]]),
        b"\x91" * 100_000,
        msgspec.msgpack.encode([NOW, None, [page()]])[:-1],
        msgspec.msgpack.encode([NOW, None, [page(message="é")]]).replace("é".encode(), b"\xff\xfe"),
    ],
)
def test_a_damaged_row_is_named(data: bytes) -> None:
    with pytest.raises(RecordError, match="history row 17"):
        decode_row((17, data))


def test_every_damaged_byte_is_a_row_or_an_error() -> None:
    story = Story().add(page(at="2026-01-01"), identify("u", NOW, a=1))
    ((number, data),) = story.sorted
    for place in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[place] ^= mask
            with contextlib.suppress(RecordError):
                decode_row((number, bytes(damaged)))


# --- going back ----------------------------------------------------------------------------------


def test_a_profile_as_it_was() -> None:
    story = Story().add(page("/", NOW - 90 * MINUTE), identify("", NOW - 50 * MINUTE, a=1))
    story.add(track("buy", NOW), identify("", NOW, a=2))
    assert story.at(NOW - 90 * MINUTE - 1) is None
    past = story.at(NOW - 90 * MINUTE)
    assert past is not None
    assert (past.traits, past.session and past.session.count) == ({}, 1)
    past = story.at(NOW - 1)
    assert past is not None
    assert (past.traits, past.session and past.session.count) == ({"a": 1}, 2)
    assert same(story.at(NOW), story.state)
    assert (past.id, past.stable_id, past.random) == ("somebody", "somebody", 7)


def test_a_late_event_counts_at_its_own_time() -> None:
    story = Story().add(identify("", NOW, a=2)).add(identify("", NOW - DAY, a=1))
    past = story.at(NOW - DAY)
    assert past is not None
    assert past.traits == {"a": 1}


def test_the_location_of_a_request_counts_from_its_part_that_had_happened() -> None:
    located = Located({"city": "Bonn"})
    story = Story().add(page(at=NOW - 9), page(at=NOW), located=located)
    past = story.at(NOW - 5)
    assert past is not None
    assert (past.location, past.location_ms) == ({"city": "Bonn"}, NOW - 9)


def test_the_past_may_have_had_more_traits_than_a_profile_may_have() -> None:
    half = "x" * (MAX_TRAITS_BYTES * 2 // 3)
    story = Story().add(identify("", NOW - 9, a=half)).add(identify("", NOW - 3, a=""))
    story.add(identify("", NOW - 8, b=half))
    past = story.at(NOW - 5)
    assert past is not None
    assert past.traits == {"a": half, "b": half}


@pytest.mark.parametrize("seed", range(30))
def test_now_is_the_last_moment_of_the_past(seed: int) -> None:
    story = Story(settings=FEW if seed % 2 else SETTINGS)
    for request in in_requests(some_events(seed, 40), seed):
        story.add(*request)
        assert same(story.at(NOW), story.state)


@pytest.mark.parametrize("seed", range(10))
def test_the_past_is_what_a_profile_with_those_events_would_be(seed: int) -> None:
    requests = in_requests(some_events(seed, 30), seed)
    story = Story()
    for request in requests:
        story.add(*request)
    for age in range(0, 73, 7):
        at_ms = NOW - age * 60 * MINUTE
        alone = Story()
        for request in requests:
            events = [made for made in request if made["timestamp"] <= at_ms]
            if events:
                alone.add(*events)
        past = story.at(at_ms)
        if not alone.rows:
            assert past is None
        else:
            assert same(past, alone.state)


# --- bounding ------------------------------------------------------------------------------------


def test_at_least_the_newest_are_kept_and_at_most_an_eighth_more() -> None:
    settings = ProfileSettings(history_events=16)
    story = Story(settings=settings)
    for number in range(100):
        story.add(page(at=NOW - 1000 + number))
        assert min(number + 1, 16) <= story.state.kept.events <= 18
        assert story.messages() == story.state.kept.events
        assert len(story.rows) == story.state.kept.events + (BASE in story.rows)


def test_a_row_goes_as_a_whole() -> None:
    story = Story(settings=FEW).add(*(page(at=NOW - 9) for _ in range(4)))
    story.add(page(at=NOW - 5), page(at=NOW - 5))
    assert story.state.kept.events == 6
    assert overfull(story.state, FEW)
    story.add(page(), page(), page())
    assert story.state.kept.events == 5
    assert sorted(story.rows) == [BASE, 2, 3]


def test_the_last_row_always_remains_and_alone_it_makes_no_base() -> None:
    story = Story(settings=FEW).add(*(page(at=NOW - 9) for _ in range(20)))
    assert sorted(story.rows) == [1]
    assert story.at(NOW - 10) is None
    story.add(page())
    assert sorted(story.rows) == [1, 2]
    story.add(*(page() for _ in range(5)))
    assert sorted(story.rows) == [BASE, 3]


def test_size_bounds_a_history_too() -> None:
    settings = ProfileSettings(history_size=1 << 14)
    story = Story(settings=settings)
    for number in range(40):
        story.add(track("buy", NOW - 100 + number, properties={"text": "x" * 1_500}))
        assert story.state.kept.size <= settings.history_size * 9 // 8
        assert story.state.kept.size == sum(
            len(data) for row, data in story.rows.items() if row != BASE
        )
    assert story.state.kept.events < 15
    assert same(story.at(NOW), story.state)
    story.add(track("buy", NOW, properties={"text": "x" * 100_000}))
    assert story.state.kept.events == 1


def test_before_the_newest_that_was_dropped_nothing_can_be_said() -> None:
    story = Story(settings=FEW)
    ages = [9, 3, 8, 7, 6, 5, 4]
    for age in ages:
        story.add(page(f"/{age}", NOW - age))
    # The rows of nine and of three are in the base.
    assert story.state.kept.since_ms == NOW - 3
    with pytest.raises(HistoryUnavailable, match=r"11:59:59\.997Z"):
        story.at(NOW - 4)
    assert same(story.at(NOW - 3), story.state)


def test_what_was_dropped_is_forgotten_as_a_message_but_counts() -> None:
    story = Story(settings=FEW)
    first = track("buy", NOW - 100)
    story.add(first)
    for _ in range(6):
        story.add(page("/x"))
    counts = event_counts(story.state, RULES, NOW)
    assert counts is not None
    assert sum(counts) == 2  # of all time and of late
    assert story.add(first).state.kept.events == 5
    counts = event_counts(story.state, RULES, NOW)
    assert counts is not None
    assert sum(counts) == 4


# --- counting for new rules ----------------------------------------------------------------------


def count_of(state: ProfileState, rules: ActivityRules, name: str) -> int:
    given = event_counts(state, rules, NOW)
    assert given is not None
    (number,) = [n for n in rules.counters_met(track(name)) if rules.counter_keys[n][1] is None]
    return given[number]


def test_new_questions_are_answered_from_what_is_kept() -> None:
    story = Story(RULES)
    for name in ("buy", "look", "look", "buy", "look"):
        story.add(track(name), page("/"))
    other = recounted(story.state, story.sorted, OTHERS, SETTINGS)
    assert other.counted == OTHERS.counters_digest
    assert count_of(other, OTHERS, "look") == 3
    alone = Story(OTHERS)
    for row in story.sorted:
        for one in decode_row(row).events:
            alone.add(one.raw)
    assert other.activity == alone.state.activity


def test_known_questions_keep_what_the_history_no_longer_has() -> None:
    story = Story(RULES, FEW)
    for _ in range(20):
        story.add(page("/"), track("look"))
    other = recounted(story.state, story.sorted, OTHERS, FEW)
    given = event_counts(other, OTHERS, NOW)
    assert given is not None
    (home,) = OTHERS.counters_met(page("/"))
    assert given[home] == 20
    assert count_of(other, OTHERS, "look") == story.state.kept.events / 2


def test_questions_that_are_not_asked_any_more_are_forgotten() -> None:
    story = Story(RULES).add(track("buy"), page("/"))
    nothing = engine_of()
    state = recounted(story.state, story.sorted, nothing, SETTINGS)
    assert (state.activity, state.counted) == ({}, 0)
    assert recounted(state, story.sorted, RULES, SETTINGS).activity == story.state.activity


@pytest.mark.parametrize("seed", range(10))
def test_the_past_of_new_rules_ends_where_they_stand_now(seed: int) -> None:
    story = Story(settings=FEW)
    for request in in_requests(some_events(seed, 30), seed):
        story.add(*request)
    now = recounted(story.state, story.sorted, OTHERS, FEW)
    past = story.at(NOW, OTHERS)
    assert past is not None
    assert past.activity == now.activity
    assert past.counted == OTHERS.counters_digest


def test_a_history_with_a_base_of_other_rules_is_bounded_by_the_new_ones() -> None:
    story = Story(settings=FEW)
    for request in in_requests(some_events(1, 30), 1):
        story.add(*request)
    story.rules = OTHERS
    story.state = recounted(story.state, story.sorted, OTHERS, FEW)
    for request in in_requests(some_events(2, 30), 2):
        story.add(*request)
    assert decode_state(story.rows[BASE]).counted == OTHERS.counters_digest
    past = story.at(NOW)
    assert past is not None
    assert past.activity == story.state.activity


# --- after a merge -------------------------------------------------------------------------------


def merged(one: Story, other: Story, now_ms: int = NOW) -> Story:
    result = merge(one.state, other.state, other.sorted, now_ms, one.settings)
    story = Story(one.rules, one.settings)
    story.state = result.state
    story.rows = {**one.rows, **dict(result.append)}
    return story


@pytest.mark.parametrize("seed", range(20))
def test_a_merged_history_begins_anew_and_can_be_bounded(seed: int) -> None:
    settings = FEW if seed % 2 else SETTINGS
    stories = []
    for number in range(2):
        story = Story(settings=settings, name=f"n{number}")
        for request in in_requests(some_events(seed * 2 + number, 12), seed):
            story.add(*request)
        stories.append(story)
    story = merged(*stories, now_ms=NOW + 5)
    assert same(story.at(NOW + 5), story.state)
    with pytest.raises(HistoryUnavailable):
        story.at(NOW + 4)
    assert story.messages() == story.state.kept.events
    for number in range(12):
        story.add(page(at=NOW + 10 + number), now_ms=NOW + 100)
        assert same(story.at(NOW + 100), story.state)
        assert story.messages() == story.state.kept.events
        new = recounted(story.state, story.sorted, OTHERS, settings)
        past = story.at(NOW + 100, OTHERS)
        assert past is not None
        assert past.activity == new.activity


def test_nobody_has_no_past() -> None:
    assert state_at(nobody(), [], NOW, RULES, SETTINGS) is None

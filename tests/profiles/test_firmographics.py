"""Traits that a provider has for a visitor's address: what becomes of them in a profile."""

from __future__ import annotations

from typing import Any

import pytest

from profiles.samples import DAY, MINUTE, NOW, SETTINGS, engine_of, event, identify, page, track
from whichvariant.profiles.aggregate import MAX_TRAITS_BYTES, Step, aggregate
from whichvariant.profiles.events import read_events
from whichvariant.profiles.firmographics import LIBRARY
from whichvariant.profiles.history import Row, decode_row, recounted, state_at, trim
from whichvariant.profiles.identity import merge
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, encode_state, new_state

RULES = engine_of({}, {})
ACME = {"albacross": {"name": "Acme", "employees": {"from": 11, "to": 50}}}
OTHER = {"albacross": {"name": "Other"}}


class Story:
    """A profile with its history, enriched."""

    def __init__(self) -> None:
        self.state = new_state("somebody", 7, NOW)
        self.state.counted = RULES.counters_digest
        self.rows: list[Row] = []

    def add(self, *events: Any, traits: Any = None, now_ms: int = NOW, **more: Any) -> Step:
        read = read_events(events, now_ms)
        step = aggregate(self.state, read, now_ms, RULES, SETTINGS, firmographics=traits, **more)
        self.state = step.state
        if step.row is not None:
            self.rows.append((self.state.kept.next - 1, step.row))
        return step

    def at(self, at_ms: int) -> ProfileState:
        past = state_at(self.state, self.rows, at_ms, RULES, SETTINGS)
        assert past is not None
        return past

    def events(self) -> list[Any]:
        return [one.raw for row in self.rows for one in decode_row(row).events]


def bare(state: ProfileState) -> bytes:
    """All of a state but the extent of its history."""
    one = state.copy()
    one.kept = new_state("", 0, 0).kept
    one.messages = b""
    return encode_state(one)


def test_they_become_traits_by_an_event() -> None:
    story = Story()
    story.add(page(at=NOW - 5), identify("", NOW - 3, plan="gold"), traits=ACME)
    assert story.state.traits == {"plan": "gold", **ACME}
    assert story.state.traits_ms["albacross"] == NOW - 3
    made = story.events()[-1]
    assert (made["type"], made["userId"], made["channel"]) == ("identify", "", "server")
    assert made["context"]["library"] == LIBRARY
    assert story.state.kept.events == 3
    assert len(story.state.messages) == 3 * 8
    assert bare(story.at(NOW)) == bare(story.state)
    assert story.at(NOW - 4).traits == {}


def test_the_same_again_adds_nothing() -> None:
    story = Story()
    story.add(page(), traits=ACME)
    story.add(page(), traits=ACME)
    story.add(page(), traits=None)
    story.add(page(), traits={})
    assert story.state.kept.events == 5
    story.add(page(), traits=OTHER)
    assert story.state.kept.events == 7
    assert story.state.traits == OTHER


def test_a_request_that_is_repeated_changes_nothing() -> None:
    story = Story()
    events = [page(), track("buy")]
    story.add(*events, traits=ACME)
    before = story.state
    for traits in (ACME, OTHER, None):
        step = story.add(*events, traits=traits)
        assert step.row is None
        assert step.state is before
    # The first attempt had nothing from the provider, the second would.
    story = Story()
    story.add(*events)
    assert story.add(*events, traits=ACME).row is None


def test_sessions_and_order_are_those_of_the_events() -> None:
    for events in (
        [page(at=NOW - 2 * DAY)],
        [page(at=NOW - 2 * DAY), event("component_click", NOW)],
        [page(at=NOW - 20 * MINUTE), page(at=NOW - 5 * MINUTE), event("group", NOW)],
    ):
        plain, enriched = Story(), Story()
        located = Located({"city": "Bonn"})
        plain.add(*events, located=located)
        enriched.add(*events, located=located, traits=ACME)
        assert enriched.state.session == plain.state.session
        assert enriched.state.location_ms == plain.state.location_ms
        assert enriched.state.traits == ACME
        assert bare(enriched.at(NOW)) == bare(enriched.state)
        times = [one.at_ms for one in decode_row(enriched.rows[0]).events]
        assert times == sorted(times)


def test_idle_events_enrich_nobody() -> None:
    story = Story()
    story.add(event("component_click"), event("alias"), traits=ACME)
    assert story.state.traits == {}
    assert story.state.session is None
    assert story.state.kept.events == 2


def test_the_newest_wins_by_the_time_of_its_request() -> None:
    story = Story()
    story.add(page(at=NOW), traits=ACME)
    story.add(page(at=NOW - DAY), traits=OTHER, now_ms=NOW + 1)
    assert story.state.traits == ACME
    story.add(identify("", NOW + 2, albacross="ours"), now_ms=NOW + 2)
    assert story.state.traits == {"albacross": "ours"}
    story.add(page(at=NOW + 3), traits=ACME, now_ms=NOW + 3)
    assert story.state.traits == ACME
    assert story.at(NOW + 2).traits == {"albacross": "ours"}
    assert story.at(NOW + 1).traits == ACME


def test_what_there_is_no_room_for_is_left_out() -> None:
    story = Story()
    story.add(identify(large="x" * (MAX_TRAITS_BYTES - 40)), traits=ACME)
    assert set(story.state.traits) == {"large"}
    assert story.state.kept.events == 1


def test_the_profile_shares_nothing_with_the_provider() -> None:
    traits = {"albacross": {"name": "Acme"}}
    story = Story()
    story.add(page(), traits=traits)
    traits["albacross"]["name"] = "changed"
    assert story.state.traits == {"albacross": {"name": "Acme"}}


def test_trimming_merging_and_counting_anew() -> None:
    story = Story()
    few = ProfileSettings(history_events=4)
    for number in range(8):
        at = NOW - DAY + number * MINUTE
        story.add(page(at=at), traits={"albacross": {"name": f"company {number}"}})
    trimmed = trim(story.state, story.rows, RULES, few)
    rows = [(0, trimmed.base), *(row for row in story.rows if row[0] not in trimmed.drop)]
    past = state_at(trimmed.state, rows, NOW, RULES, few)
    assert past is not None
    assert past.traits == {"albacross": {"name": "company 7"}}
    assert trimmed.state.kept.events * 8 == len(trimmed.state.messages)
    again = recounted(story.state, story.rows, RULES, SETTINGS)
    assert again.traits == story.state.traits
    known = Story()
    known.add(identify("", NOW - 2 * DAY, albacross="older", plan="gold"))
    merged = merge(known.state, story.state, story.rows, NOW, SETTINGS).state
    assert merged.traits == {"albacross": {"name": "company 7"}, "plan": "gold"}
    assert merged.kept.events * 8 == len(merged.messages)


@pytest.mark.parametrize("at", [0, -DAY, NOW - 10**12, "2026-01-01T00:00:00Z"])
def test_any_time_that_an_event_may_have(at: Any) -> None:
    story = Story()
    story.add(page(at=at), traits=ACME)
    assert story.state.traits == ACME
    assert bare(story.at(NOW)) == bare(story.state)

"""Sessions: when they begin and end, how long they are, where they landed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from profiles.samples import MINUTE, NOW, SECOND, SETTINGS, after, event, nobody, page, track
from whichvariant.profiles.session import join, session_object, touch
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import Session

Json = Any
HALF_HOUR = 30 * MINUTE


def session(*events: Json, settings: ProfileSettings = SETTINGS) -> Json:
    """The session after events, each of which is a request of its own."""
    state = after(*([one] for one in events), settings=settings)
    return session_object(state.session, state.stable_id)


def test_before_the_first_event_there_is_none() -> None:
    shown = session_object(nobody().session, "somebody")
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", shown["id"]
    )
    assert shown | {"id": ""} == {
        "id": "",
        "isReturningVisitor": False,
        "landingPage": {"path": "", "url": "", "query": {}, "referrer": "", "search": ""},
        "count": 0,
        "activeSessionLength": 0,
        "averageSessionLength": 0,
    }


@pytest.mark.parametrize(
    ("pause", "count"),
    [(0, 1), (1, 1), (HALF_HOUR - 1, 1), (HALF_HOUR, 2), (HALF_HOUR + 1, 2), (1000 * HALF_HOUR, 2)],
)
def test_thirty_minutes_without_an_event_end_a_session(pause: int, count: int) -> None:
    shown = session(page(at=NOW - pause), page(at=NOW))
    assert shown["count"] == count
    assert shown["isReturningVisitor"] is (count > 1)
    assert shown["activeSessionLength"] == (pause // 1000 if count == 1 else 0)


def test_the_pause_is_measured_from_the_last_event_and_not_from_the_first() -> None:
    ages = [80 * MINUTE, 55 * MINUTE, 27 * MINUTE, 0]
    shown = session(*(page(at=NOW - age) for age in ages))
    assert (shown["count"], shown["activeSessionLength"]) == (1, 80 * 60)


def test_the_same_in_one_request_as_in_several() -> None:
    events = [page(f"/{age}", NOW - age * MINUTE) for age in (200, 150, 149, 119, 30, 0)]
    together = after(events)
    assert together.session == after(*([one] for one in events)).session
    assert together.session is not None
    assert together.session.count == 5


def test_an_operator_may_set_the_pause() -> None:
    short = ProfileSettings(session_timeout_ms=10)
    assert session(page(at=NOW - 10), page(at=NOW), settings=short)["count"] == 2
    assert session(page(at=NOW - 9), page(at=NOW), settings=short)["count"] == 1


# --- late events ---------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [1, MINUTE, HALF_HOUR, 10_000 * MINUTE])
def test_a_late_event_neither_begins_nor_lengthens_a_session(age: int) -> None:
    on_time = session(track("a", NOW - 10 * MINUTE), track("b", NOW))
    late = session(track("a", NOW - 10 * MINUTE), track("b", NOW), track("c", NOW - age))
    assert late == on_time


def test_an_event_older_than_the_session_does_not_land_it() -> None:
    shown = session(track("a", NOW - MINUTE), page("/early", NOW - 2 * MINUTE))
    assert shown["landingPage"]["path"] == ""
    shown = session(page("/old", NOW - 90 * MINUTE), page("/new", NOW), page("/late", NOW - 1))
    assert shown["landingPage"]["path"] == "/new"


# --- landing pages -------------------------------------------------------------------------------


def test_the_landing_page_is_the_first_page_view_of_the_session() -> None:
    first = page("/first", NOW - 5 * MINUTE)
    first["properties"] |= {"query": {"q": "1"}, "referrer": "r", "search": "?q=1", "title": "T"}
    shown = session(track("a", NOW - 6 * MINUTE), first, page("/second", NOW))
    assert shown["landingPage"] == {
        "path": "/first",
        "url": "https://example.com/first",
        "query": {"q": "1"},
        "referrer": "r",
        "search": "?q=1",
    }


def test_a_late_page_view_inside_the_session_is_its_landing_page() -> None:
    shown = session(
        track("a", NOW - 9 * MINUTE),
        page("/second", NOW - 5 * MINUTE),
        page("/same-time", NOW - 5 * MINUTE),
        page("/first", NOW - 9 * MINUTE),
    )
    assert shown["landingPage"]["path"] == "/first"


def test_of_page_views_at_one_moment_the_first_counts() -> None:
    shown = session(page("/one", NOW), page("/two", NOW))
    assert shown["landingPage"]["path"] == "/one"


def test_every_session_has_its_own_landing_page_and_id() -> None:
    events = [page("/one", NOW - 40 * MINUTE), track("a", NOW)]
    one, two = session(events[0]), session(*events)
    assert two["landingPage"]["path"] == ""
    assert one["id"] != two["id"]
    assert session(*events, page("/three", NOW))["id"] == two["id"]


# --- lengths -------------------------------------------------------------------------------------


def test_lengths_are_seconds_and_the_mean_is_over_all_sessions() -> None:
    # Recorded of the hosted API: 18763 seconds in 10 sessions.
    state = Session(NOW, NOW + 763 * SECOND, 10, 18_000)
    shown = session_object(state, "v")
    assert shown["activeSessionLength"] == 763
    assert shown["averageSessionLength"] == 1876.3


def test_the_mean_as_sessions_come_and_go() -> None:
    events = []
    start = NOW - 1000 * MINUTE
    for number, length in enumerate([10, 0, 25, 29]):
        begun = start + number * 100 * MINUTE
        events += [page(at=begun), page(at=begun + length * MINUTE)]
    shown = session(*events)
    assert shown["count"] == 4
    assert shown["activeSessionLength"] == 29 * 60
    assert shown["averageSessionLength"] == (10 + 25 + 29) * 60 / 4
    assert type(shown["averageSessionLength"]) is int


@pytest.mark.parametrize(("length", "seconds"), [(999, 0), (1000, 1), (1999, 1), (60_001, 60)])
def test_lengths_are_whole_seconds(length: int, seconds: int) -> None:
    assert session(page(at=NOW - length), page(at=NOW))["activeSessionLength"] == seconds


# --- idle events ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alias", "group", "component_click", "component_hover"])
def test_events_that_change_nothing_have_no_session(kind: str) -> None:
    assert session(event(kind, NOW))["count"] == 0
    held = session(page(at=NOW - 40 * MINUTE), event(kind, NOW - 20 * MINUTE), page(at=NOW))
    assert held["count"] == 2


# --- sessions of two who become one --------------------------------------------------------------


def test_sessions_of_two_are_added_and_the_newer_goes_on() -> None:
    old = Session(0, 10_000, 3, 100, ("/old", "", {}, "", ""), 0)
    new = Session(20_000, 50_000, 2, 7, ("/new", "", {}, "", ""), 21_000)
    for one, other in ((old, new), (new, old)):
        both = join(one, other)
        assert both == Session(20_000, 50_000, 5, 117, ("/new", "", {}, "", ""), 21_000)
    assert old == Session(0, 10_000, 3, 100, ("/old", "", {}, "", ""), 0)


def test_of_sessions_that_end_together_the_first_goes_on() -> None:
    one, other = Session(0, 5_000), Session(2_000, 5_000)
    assert join(one, other) == Session(0, 5_000, 2, 3)
    assert join(one, None) == one
    assert join(None, other) == other
    assert join(None, None) is None


def test_what_goes_on_is_changed_and_what_begins_is_new() -> None:
    first = touch(None, 5, 10)
    assert touch(first, 14, 10) is first
    assert touch(first, 24, 10) is not first
    assert first == Session(5, 14)

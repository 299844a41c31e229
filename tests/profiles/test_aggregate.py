"""Events applied to a profile: traits, sticky choices, device, location, counters."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from profiles.samples import (
    DAY,
    LAPTOP,
    MINUTE,
    NOW,
    PHONE,
    SETTINGS,
    after,
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
from whichvariant.errors import EventError
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.aggregate import MAX_TRAITS_BYTES, aggregate
from whichvariant.profiles.events import read_events
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, encode_state

Json = Any
STICKY = engine_of(sticky={"e1": 1, "e2": 3})
RULES = engine_of(
    {
        "home": views(1, path="/"),
        "all": views(1),
        "bought": tracked("buy", 1),
        "of-late": tracked("buy", 1, days=1),
    },
    {"e1": 1, "e2": 3},
)

# --- traits --------------------------------------------------------------------------------------


def test_traits_merge_at_the_top_and_the_newest_wins_by_key() -> None:
    state = after(
        [identify("", NOW - 9, plan="free", address={"street": "A", "city": "B"}, a=1)],
        [identify("", NOW - 5, plan="pro", address={"street": "C"}, b=None)],
    )
    assert state.traits == {"plan": "pro", "address": {"street": "C"}, "a": 1, "b": None}


def test_newest_is_by_time_and_not_by_arrival() -> None:
    state = after(
        [identify("", NOW - 5, plan="pro")],
        [identify("", NOW - 9, plan="free", other=1)],
        [identify("", NOW - 5, plan="same moment, later arrival")],
    )
    assert state.traits == {"plan": "same moment, later arrival", "other": 1}
    assert state.traits_ms == {"plan": NOW - 5, "other": NOW - 9}


@pytest.mark.parametrize(
    "value", [0, -0.0, "", [], {}, None, False, 2**64 - 1, "\0", {"": {"": []}}]
)
def test_traits_are_any_json(value: Json) -> None:
    state = after([identify(k=value)])
    assert state.traits == {"k": value}


@pytest.mark.parametrize(
    "key", ["__proto__", "constructor", "", "\0", "a.b", "x" * 10_000, "\U0001f600"]
)
def test_hostile_keys_are_keys_like_others(key: str) -> None:
    made = identify("", NOW)
    made["traits"] = {key: 1}
    assert after([made]).traits == {key: 1}


def test_a_trait_is_the_profiles_own() -> None:
    made = identify("", NOW, k={"list": [1]})
    state = after([made])
    made["traits"]["k"]["list"].append(2)
    assert state.traits == {"k": {"list": [1]}}


def test_there_is_room_for_many_traits_and_an_end_to_it() -> None:
    many = {f"trait-{number}": number for number in range(10_000)}
    state = after([identify(**many)])
    assert state.traits == many
    before = encode_state(state)
    with pytest.raises(EventError) as caught:
        after([page(), identify("", NOW, big="x" * MAX_TRAITS_BYTES)], state=state)
    assert caught.value.path == "events[1].traits"
    assert encode_state(state) == before
    # What replaces something large may be large.
    state = after([identify("", NOW - 1, big="x" * 200_000)])
    state = after([identify("", NOW, big="y" * 200_000)], state=state)
    assert state.traits["big"][0] == "y"


# --- sticky choices ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experience", "index", "kept"),
    [
        ("e1", 0, {"e1": 0}),
        ("e1", 1, {"e1": 1}),
        ("e1", 1.0, {"e1": 1}),
        ("e1", 2, {}),
        ("e2", 3, {"e2": 3}),
        ("e2", 4, {}),
        ("e2", 2**70, {}),
        ("e3", 0, {}),
        ("", 0, {}),
        (None, 0, {}),
        ("e1", None, {}),
    ],
)
def test_a_component_event_locks_what_is_sticky_and_has_that_index(
    experience: str | None, index: Json, kept: Json
) -> None:
    state = after([seen(experience, index)], rules=STICKY)
    assert state.sticky == kept
    assert all(type(value) is int for value in state.sticky.values())


def test_experiences_that_are_not_sticky_lock_nothing() -> None:
    assert after([seen("e1", 1)]).sticky == {}


@pytest.mark.parametrize("kind", ["component_click", "component_hover", "track", "page"])
def test_only_component_events_lock(kind: str) -> None:
    fields = page()["properties"] if kind == "page" else {}
    made = event(kind, properties=fields, event="x", experienceId="e1", variantIndex=1)
    assert after([made], rules=STICKY).sticky == {}


def test_of_several_choices_the_newest_counts() -> None:
    state = after(
        [seen("e2", 1, NOW - 5), seen("e2", 2, NOW - 9)], [seen("e2", 3, NOW - 7)], rules=STICKY
    )
    assert state.sticky == {"e2": 1}


# --- device --------------------------------------------------------------------------------------


def with_agent(agent: str | None, at: int) -> Json:
    return page(at=at, context={"userAgent": agent})


def test_the_device_is_that_of_the_newest_event_with_a_user_agent() -> None:
    assert after([page()]).device is None
    state = after([with_agent(PHONE, NOW - 5)], [with_agent(LAPTOP, NOW - 9)], [page()])
    assert (state.device, state.device_ms) == ("mobile", NOW - 5)
    assert after([with_agent(LAPTOP, NOW)], [with_agent("", NOW)]).device == "desktop"
    assert after([with_agent(LAPTOP, NOW)], [with_agent(None, NOW)]).device == "desktop"


# --- messages ------------------------------------------------------------------------------------


def test_a_message_that_came_before_is_left_out() -> None:
    events = [page(), identify("", NOW, a=1), track("buy")]
    state = after(events, rules=RULES)
    step = aggregate(state, read_events(events[::-1], NOW + DAY), NOW + DAY, RULES, SETTINGS)
    assert step.state is state
    assert step.row is None


def test_of_a_message_that_comes_twice_at_once_the_first_by_time_counts() -> None:
    one = identify("", NOW, "m", a="later")
    other = identify("", NOW - 5, "m", a="earlier")
    state = after([one, other])
    assert state.traits == {"a": "earlier"}
    assert state.kept.events == 1


def test_a_hash_found_across_two_others_is_not_there() -> None:
    state = nobody()
    read = read_events([page(message="x")], NOW)
    found = read[0].message.to_bytes(8, "little")
    state.messages = b"1234" + found + b"5678"
    assert aggregate(state, read, NOW, RULES, SETTINGS).row is not None
    state.messages = b"1234" + found + b"5678" + found
    assert aggregate(state, read, NOW, RULES, SETTINGS).row is None


def test_events_that_change_nothing_are_kept_all_the_same() -> None:
    kinds = ["alias", "group", "component_click", "component_hover"]
    location = {"city": "Berlin", "countryCode": "DE"}
    state = after(
        [event(kind, context={"userAgent": PHONE, "location": location}) for kind in kinds],
        rules=RULES,
    )
    assert (state.session, state.device, state.location, state.activity) == (None, None, {}, {})
    assert state.kept.events == 4


# --- counters ------------------------------------------------------------------------------------


def counts(state: ProfileState, now: int = NOW) -> Json:
    return dict(zip(["home", "all", "bought", "of-late"], sorted_counts(state, now), strict=True))


def sorted_counts(state: ProfileState, now: int) -> list[int]:
    given = event_counts(state, RULES, now)
    assert given is not None
    # Counters are numbered as the program has them; what each counts tells a probe of its own.
    probes = [page("/"), page("/x"), track("buy", NOW)]
    met = [set(RULES.counters_met(probe)) for probe in probes]
    windows = [window for _, window in RULES.counter_keys]
    home = met[0] - met[1]
    every = met[0] & met[1]
    bought = {number for number in met[2] if windows[number] is None}
    of_late = met[2] - bought
    return [given[next(iter(one))] for one in (home, every, bought, of_late)]


def test_counters_count_what_meets_them() -> None:
    state = after(
        [page("/"), page("/x"), track("buy", NOW - DAY), track("buy", NOW - DAY - 1), track("no")],
        rules=RULES,
    )
    assert counts(state) == {"home": 1, "all": 2, "bought": 2, "of-late": 1}
    assert counts(state, NOW + DAY) == {"home": 1, "all": 2, "bought": 2, "of-late": 0}


def test_late_events_count() -> None:
    state = after([page("/", NOW)], [page("/", NOW - 400 * DAY)], rules=RULES)
    assert counts(state)["home"] == 2


def test_a_window_keeps_the_newest_times_and_no_more() -> None:
    settings = ProfileSettings(history_events=3)
    events = [track("buy", NOW - age) for age in (1, 5, 2, 4, 3)]
    state = after(*([one] for one in events), rules=RULES, settings=settings)
    (times,) = [times for times in state.activity.values() if isinstance(times, list)]
    assert times == [NOW - 3, NOW - 2, NOW - 1]
    assert counts(state) == {"home": 0, "all": 0, "bought": 5, "of-late": 3}


def test_without_counters_there_is_nothing_to_give() -> None:
    assert event_counts(after([page()]), STICKY, NOW) is None


# --- purity and order ----------------------------------------------------------------------------


def samples(at: list[int]) -> list[Json]:
    return [
        page("/", at[0], "m0", context={"userAgent": PHONE}),
        page("/x", at[1], "m1", context={"userAgent": LAPTOP}),
        identify("", at[2], "m2", a=1, b=1),
        identify("", at[3], "m3", b=2, c=2),
        track("buy", at[4], "m4"),
        seen("e2", 1, at[5], "m5"),
        seen("e2", 2, at[6], "m6"),
        at_place({"city": "Berlin", "countryCode": "DE"}, at[7], message="m7"),
    ]


@given(
    st.lists(st.integers(0, 200), min_size=8, max_size=8, unique=True),
    st.permutations(range(8)),
)
def test_events_of_a_request_in_any_order_give_one_profile(
    ages: list[int], order: list[int]
) -> None:
    events = samples([NOW - age * MINUTE for age in ages])
    expected = after(events, rules=RULES)
    shuffled = after([events[number] for number in order], rules=RULES)
    assert encode_state(shuffled) == encode_state(expected)


def test_every_order_of_a_few() -> None:
    events = samples([NOW - age for age in range(8)])[2:7]
    records = {
        encode_state(after(list(order), rules=RULES)) for order in itertools.permutations(events)
    }
    assert len(records) == 1


def test_nothing_that_is_handed_in_changes() -> None:
    state = after(samples([NOW - DAY + age for age in range(8)]), rules=RULES)
    before, copied = encode_state(state), copy.deepcopy(state)
    events = [{**made, "messageId": f"n{n}"} for n, made in enumerate(samples([NOW] * 8))]
    original = copy.deepcopy(events)
    changed = aggregate(state, read_events(events, NOW), NOW, RULES, SETTINGS)
    assert changed.row is not None
    assert encode_state(state) == before
    assert state == copied
    assert events == original
    assert encode_state(changed.state) != before
    with pytest.raises(EventError):
        after([*events, identify("", NOW, big="x" * MAX_TRAITS_BYTES)], state=state, rules=RULES)
    assert encode_state(state) == before


def test_the_sizes_of_events_are_limited() -> None:
    after([track("buy", properties={"text": "x" * 1_000_000})])
    with pytest.raises(EventError, match=r"^events\[1\]: \d+ bytes as msgpack, at most 1048576"):
        after([page(at=NOW), track("buy", NOW, properties={"text": "x" * (1 << 20)})])
    large = [track("buy", properties={"text": "x" * 1_000_000}) for _ in range(9)]
    with pytest.raises(EventError, match=r"^events: more than 8388608 bytes"):
        after(large)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "properties.deep[1].value"),
        (float("inf"), "properties.deep[1].value"),
        (10**400, "properties.deep[1].value"),
        ("\ud800", "properties.deep[1].value"),
        ({"\ud800": 1}, "properties.deep[1].value"),
        (b"", "properties.deep[1].value"),
        (object(), "properties.deep[1].value"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_path(value: Json, place: str) -> None:
    made = track("buy", NOW, properties={"deep": [0, {"value": value}]})
    with pytest.raises(EventError) as caught:
        after([page(at=NOW), made])
    assert caught.value.path == f"events[1].{place}"

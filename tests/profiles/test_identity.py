"""Ids that only a server can make, and two profiles that turn out to be one."""

from __future__ import annotations

from typing import Any

import pytest

from profiles.samples import (
    LAPTOP,
    NOW,
    PHONE,
    SETTINGS,
    after,
    at_place,
    engine_of,
    identify,
    page,
    seen,
    track,
    tracked,
)
from whichvariant import Namespace
from whichvariant.profiles.identity import is_own_id, make_id, merge, seed_of_key
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, decode_state, encode_state, new_state

Json = Any
HERE = Namespace("acme", "main")
SECRET = bytes(range(32))
SEED = b"0123456789abcdef"
OWN = make_id(HERE, SECRET, SEED)

# --- ids -----------------------------------------------------------------------------------------


def test_an_id_is_random_bytes_and_a_tag_for_them() -> None:
    assert len(OWN) == 64
    assert OWN.startswith(SEED.hex())
    assert is_own_id(HERE, SECRET, OWN)
    assert make_id(HERE, SECRET, SEED) == OWN
    # Written down, so that ids which were handed out stay known from release to release.
    assert OWN[32:] == "d97d28cf9de0dc37db9c74520c447c72"


@pytest.mark.parametrize("place", range(64))
def test_an_id_with_any_other_digit_is_forged(place: int) -> None:
    for digit in "0123456789abcdef":
        forged = OWN[:place] + digit + OWN[place + 1 :]
        assert is_own_id(HERE, SECRET, forged) is (forged == OWN)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "0" * 64,
        OWN.upper(),
        OWN[:-1],
        OWN + "0",
        OWN + "\0",
        f" {OWN[1:]}",
        f"{OWN[:62]} {OWN[-1]}",
        OWN[:32],
        OWN[32:] + OWN[:32],
        OWN.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        "\ud800" * 64,
        "é" * 64,
        "g" * 64,
        "user-1",
    ],
)
def test_other_texts_are_no_own_ids(forged: str) -> None:
    assert not is_own_id(HERE, SECRET, forged)


@pytest.mark.parametrize(
    "other",
    [
        Namespace("acme", "preview"),
        Namespace("other", "main"),
        Namespace("acmem", "ain"),
        Namespace("", "acmemain"),
        Namespace("main", "acme"),
        Namespace("acme\0", "main"),
    ],
)
def test_an_id_belongs_to_one_namespace(other: Namespace) -> None:
    assert not is_own_id(other, SECRET, OWN)
    assert seed_of_key(other, SECRET, "k") != seed_of_key(HERE, SECRET, "k")


def test_an_id_belongs_to_one_secret() -> None:
    assert not is_own_id(HERE, SECRET[::-1], OWN)
    assert seed_of_key(HERE, SECRET, "k") != seed_of_key(HERE, SECRET[::-1], "k")


def test_a_named_request_has_one_seed() -> None:
    keys = ["", "k", "K", "\0", "\ud800", "x" * 100_000, SEED.decode()]
    assert len({seed_of_key(HERE, SECRET, key) for key in keys}) == len(keys)
    assert seed_of_key(HERE, SECRET, "k") == seed_of_key(HERE, SECRET, "k")
    # Whoever may choose the name of a request cannot make it give the tag of a seed.
    seed = seed_of_key(HERE, SECRET, SEED.decode())
    assert seed.hex() != OWN[32:]


# --- merging -------------------------------------------------------------------------------------

RULES = engine_of(
    {"bought": tracked("buy", 1), "of-late": tracked("buy", 1, days=1)}, {"e": 3, "f": 1}
)


def person(name: str, *events: Json, settings: ProfileSettings = SETTINGS) -> ProfileState:
    state = new_state(name, len(name), NOW - len(name))
    state.counted = RULES.counters_digest
    return after(list(events), rules=RULES, state=state, settings=settings) if events else state


def one_of(
    survivor: ProfileState, source: ProfileState, settings: ProfileSettings = SETTINGS
) -> ProfileState:
    return merge(survivor, source, [], NOW, settings).state


def test_ids_and_choices_are_the_survivors() -> None:
    both = one_of(
        person("survivor", seen("e", 1, NOW - 9)), person("src", seen("e", 2, NOW), seen("f", 1))
    )
    assert (both.id, both.stable_id, both.random) == ("survivor", "survivor", 8)
    assert both.sticky == {"e": 1}
    assert both.sticky_ms == {"e": NOW - 9}


def test_traits_are_of_the_newest_event() -> None:
    both = one_of(
        person("s", identify("", NOW - 5, a=1, b=1, c=1)),
        person("t", identify("", NOW - 9, a=2, d=2), identify("", NOW - 1, b=2)),
    )
    assert both.traits == {"a": 1, "b": 2, "c": 1, "d": 2}
    assert both.traits_ms == {"a": NOW - 5, "b": NOW - 1, "c": NOW - 5, "d": NOW - 9}
    same_time = one_of(person("s", identify("", NOW, a=1)), person("t", identify("", NOW, a=2)))
    assert same_time.traits == {"a": 1}


def test_location_and_device_are_of_the_newest_event() -> None:
    berlin, paris = {"city": "Berlin"}, {"city": "Paris"}
    old = person("s", at_place(berlin, NOW - 9), page(at=NOW - 9, context={"userAgent": PHONE}))
    new = person("t", at_place(paris, NOW - 1), page(at=NOW - 1, context={"userAgent": LAPTOP}))
    for both in (one_of(old, new), one_of(new, old)):
        assert (both.location, both.location_ms) == (paris, NOW - 1)
        assert (both.device, both.device_ms) == ("desktop", NOW - 1)
    assert one_of(old, person("n")).location == berlin
    assert one_of(person("n"), old).device == "mobile"


def test_counters_are_added_and_windows_stay_bounded() -> None:
    few = ProfileSettings(history_events=3)
    one = person("s", *(track("buy", NOW - n) for n in (1, 4, 9)), settings=few)
    other = person("t", *(track("buy", NOW - n) for n in (2, 3)), settings=few)
    both = one_of(one, other, few)
    numbers = [value for value in both.activity.values() if isinstance(value, int)]
    times = [value for value in both.activity.values() if isinstance(value, list)]
    assert numbers == [5]
    assert times == [[NOW - 3, NOW - 2, NOW - 1]]
    assert one_of(person("n"), other).activity == other.activity


def test_nothing_of_the_two_changes() -> None:
    one = person("s", identify("", NOW, a={"b": 1}), track("buy"), seen("e", 1), page())
    other = person("t", identify("", NOW, c={"d": 1}), track("buy"), page())
    before = encode_state(one), encode_state(other)
    both = one_of(one, other)
    after([identify("", NOW + 1, a=1, c=1), track("buy")], rules=RULES, state=both)
    assert (encode_state(one), encode_state(other)) == before


def test_the_joint_history_begins_when_it_begins() -> None:
    one, other = person("s", page(at=NOW - 9)), person("t", page(at=NOW - 5))
    result = merge(one, other, [(0, b"base"), (4, b"four"), (7, b"seven")], NOW, SETTINGS)
    kept = result.state.kept
    numbers = [number for number, _ in result.append]
    assert numbers == [0, 2, 3]
    assert (kept.next, kept.fold, kept.events, kept.since_ms) == (4, 4, 2, NOW)
    assert kept.size == one.kept.size + other.kept.size
    assert result.state.messages == one.messages + other.messages
    assert result.state.created_ms == NOW - 1
    base = decode_state(result.append[0][1])
    assert base.messages == b""
    assert base.traits == result.state.traits


def test_a_clock_that_went_back_makes_no_gap() -> None:
    both = one_of(person("s", page(at=NOW)), person("t"))
    assert merge(person("s", page(at=NOW)), person("t"), [], NOW - 99, SETTINGS).state.kept == (
        both.kept
    )

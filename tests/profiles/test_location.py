"""Where a visitor is: who says so, who wins, and who is to find out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from profiles.samples import NOW, after, at_place, event, page
from whichvariant.errors import EventError
from whichvariant.profiles.events import read_events
from whichvariant.profiles.location import (
    Located,
    location_object,
    read_location,
    supplement,
    wants_location,
)

Json = Any
BERLIN = {"city": "Berlin", "country": "Germany", "countryCode": "DE"}
PARIS = {"city": "Paris", "country": "France", "countryCode": "FR"}
FULL = {
    **BERLIN,
    "coordinates": {"latitude": 52.5, "longitude": 13.4},
    "postalCode": "10115",
    "region": "Berlin",
    "regionCode": "BE",
    "continent": "EU",
    "timezone": "Europe/Berlin",
}


def test_every_field_comes_through() -> None:
    assert read_location(FULL, "l") == FULL
    assert after([at_place(FULL)]).location == FULL


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"city": "", "country": None, "coordinates": {}},
        {"coordinates": {"latitude": 1}},
        {"coordinates": {"latitude": 1, "longitude": None}},
        {"unknown": "x"},
    ],
)
def test_what_is_null_or_empty_says_nothing(given: Json) -> None:
    assert read_location(given, "l") == {}
    assert location_object(None) == {}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("Berlin", "o.l"),
        (5, "o.l"),
        ([], "o.l"),
        ({"city": 5}, "o.l.city"),
        ({"postalCode": 10115}, "o.l.postalCode"),
        ({"coordinates": {"latitude": "1"}}, "o.l.coordinates.latitude"),
        ({"coordinates": {"latitude": math.nan, "longitude": 1}}, "o.l.coordinates.latitude"),
        ({"coordinates": {"latitude": 1, "longitude": 1e400}}, "o.l.coordinates.longitude"),
        ({"coordinates": {"latitude": 1, "longitude": 10**400}}, "o.l.coordinates.longitude"),
        ({"city": "\ud800"}, "o.l.city"),
        ({"\ud800": 1}, "o.l"),
        ({"more": object()}, "o.l.more"),
        ({"city": "x" * (1 << 16)}, "o.l"),
        ({1: 2}, "o.l"),
    ],
)
def test_what_is_no_location_is_refused_with_its_path(given: Json, path: str) -> None:
    with pytest.raises(EventError) as caught:
        read_location(given, "o.l")
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("location", "more", "result"),
    [
        (BERLIN, {"city": "Köln"}, {**BERLIN, "city": "Köln"}),
        (BERLIN, {"postalCode": "1"}, {**BERLIN, "postalCode": "1"}),
        (BERLIN, PARIS, PARIS),
        (BERLIN, {"countryCode": "FR"}, {"countryCode": "FR"}),
        (BERLIN, {"country": "France"}, {"country": "France"}),
        (BERLIN, {"countryCode": "DE"}, BERLIN),
        (
            {"country": "Germany"},
            {"countryCode": "FR"},
            {"country": "Germany", "countryCode": "FR"},
        ),
        ({}, PARIS, PARIS),
        (PARIS, {}, PARIS),
    ],
)
def test_a_source_supplements_the_ones_before_it(location: Json, more: Json, result: Json) -> None:
    assert supplement(location, more) == result


@pytest.mark.parametrize("code", ["XX", "T1", "EU", "UK", "ZZ", "de", "DEU", "276", "Germany"])
def test_a_country_code_that_is_none_says_nothing(code: str) -> None:
    assert read_location({"city": "Tor", "countryCode": code}, "o.l") == {"city": "Tor"}
    assert after([at_place({**BERLIN, "countryCode": code})]).location == {
        "city": "Berlin",
        "country": "Germany",
    }


@pytest.mark.parametrize("code", ["DE", "XK", "unknown"])
def test_country_codes_that_the_sdks_read(code: str) -> None:
    assert read_location({"countryCode": code}, "o.l") == {"countryCode": code}


def test_an_event_wins_over_what_the_server_found_and_the_options_say() -> None:
    located = Located(BERLIN, {"en": "Berlin", "fr": "Berlin (fr)"})
    state = after([page()], located=located)
    assert (state.location, state.city_names) == (BERLIN, located.city_names)
    state = after([at_place({"city": "Bonn"})], located=located)
    assert (state.location, state.city_names) == ({**BERLIN, "city": "Bonn"}, {})
    state = after([at_place({"region": "Berlin"})], located=located)
    assert state.location == {**BERLIN, "region": "Berlin"}
    assert state.city_names == located.city_names
    assert after([at_place(PARIS)], located=located).location == PARIS


def test_the_newest_event_that_says_something_counts() -> None:
    state = after(
        [at_place(PARIS, NOW - 1), at_place(BERLIN, NOW - 9), at_place({}, NOW), page(at=NOW)]
    )
    assert state.location == PARIS


def test_a_late_request_does_not_replace_a_newer_location() -> None:
    state = after([at_place(PARIS, NOW - 5)], [at_place(BERLIN, NOW - 9)])
    assert state.location == PARIS
    state = after([at_place(PARIS, NOW - 5)], [at_place(BERLIN, NOW - 5)])
    assert state.location == BERLIN


def test_a_request_that_says_nothing_leaves_the_location_as_it_is() -> None:
    state = after([at_place(PARIS, NOW - 5)], [page()], [at_place({})], [at_place({"city": ""})])
    assert state.location == PARIS


def test_a_new_location_replaces_the_old_one_as_a_whole() -> None:
    state = after([at_place(FULL, NOW - 5)], [at_place({"city": "Bonn"})])
    assert state.location == {"city": "Bonn"}


# --- whether the server looks --------------------------------------------------------------------


def wants(*contexts: Json, features: tuple[str, ...] = ()) -> bool:
    events = [page(context=context) for context in contexts]
    return wants_location(read_events(events, NOW), features)


def library(version: str) -> Json:
    return {"library": {"name": "x", "version": version}}


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("3.13.0", True),
        ("3.13", True),
        ("3.13.999", True),
        ("2.99.0", True),
        ("0.1", True),
        ("v3.9.1", True),
        ("3.14.0-beta.1", False),
        ("3.14", False),
        ("3.14.0", False),
        ("3.100.0", False),
        ("4.0.0", False),
        ("10.0.0", False),
        ("3", False),
        ("", False),
        ("latest", False),
        ("x3.1", False),
        ("9" * 4_000 + ".1", False),
        ("9" * 5_000 + ".1", False),
        ("3." + "0" * 5_000 + "1", False),
        ("٣.١", False),
    ],
)
def test_old_libraries_are_located(version: str, wanted: bool) -> None:
    assert wants(library(version)) is wanted


def test_features_ask_and_an_empty_location_forbids() -> None:
    assert wants({}, features=("location",))
    assert wants({}, features=("ip-enrichment", "location"))
    assert not wants({}, features=("ip-enrichment",))
    assert not wants({}, {"location": {}}, features=("location",))
    assert not wants(library("3.0.0"), {"location": {"city": "", "coordinates": {}}})
    assert wants({"location": {"city": "Bonn"}}, features=("location",))
    assert wants({"location": None}, features=("location",))
    assert wants(library("4.0.0"), library("3.0.0"))


def test_events_that_change_nothing_say_nothing() -> None:
    assert after([event("alias", context={"location": PARIS})]).location == {}

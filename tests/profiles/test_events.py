"""What an event must have, where an error says it stands, and in which order events apply."""

from __future__ import annotations

import copy
import itertools
import math
import types
from datetime import UTC, datetime
from typing import Any

import pytest

from profiles.samples import NOW, event, identify, page, seen, track
from whichvariant.errors import EventError
from whichvariant.profiles.batch import read_batch
from whichvariant.profiles.events import MAX_EVENTS, check_key, read_events

Json = Any

SAMPLES: dict[str, Json] = {
    "page": page(),
    "track": track("buy"),
    "identify": identify("someone", plan="pro"),
    "screen": event("screen", properties={"name": "map"}),
    "component": seen("e", 1),
    "component_click": event("component_click"),
    "component_hover": event("component_hover"),
    "alias": event("alias"),
    "group": event("group"),
}

SHARED = ["type", "channel", "messageId", "context", "context.library"]
LIBRARY = ["context.library.name", "context.library.version"]
REQUIRED = {
    "page": [
        "properties",
        *(f"properties.{name}" for name in ("path", "query", "referrer", "search", "url")),
    ],
    "track": ["event", "properties"],
    "identify": ["userId", "traits"],
    "screen": ["properties", "properties.name"],
    "component": ["componentId"],
}
TEXTS = ["context.locale", "context.userAgent", "anonymousId"]


def put(target: Json, path: str, value: Json) -> Json:
    """A copy of an event with a value at a path; ``...`` takes away what is there."""
    target = copy.deepcopy(target)
    *way, last = path.split(".")
    at = target
    for step in way:
        at = at.setdefault(step, {})
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return target


def refusal(bad: Json, place: int = 0) -> EventError:
    events = [page() for _ in range(place)]
    with pytest.raises(EventError) as caught:
        read_events([*events, bad], NOW)
    return caught.value


# --- required fields -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_type_is_read(kind: str) -> None:
    (read,) = read_events([SAMPLES[kind]], NOW)
    assert read.raw is SAMPLES[kind]
    assert (read.at_ms, read.index) == (NOW, 0)


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in SAMPLES for path in [*SHARED, *LIBRARY, *REQUIRED.get(kind, [])]],
)
@pytest.mark.parametrize("place", [0, 3])
def test_what_is_missing_is_named(kind: str, path: str, place: int) -> None:
    error = refusal(put(SAMPLES[kind], path, ...), place)
    assert str(error) == f"events[{place}].{path}: missing"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (kind, path)
        for kind in SAMPLES
        for path in [*SHARED, *LIBRARY, *REQUIRED.get(kind, []), *TEXTS]
    ],
)
def test_what_is_of_another_type_is_named(kind: str, path: str) -> None:
    for value in (True, 1.5, [], [1], b"", object()):
        error = refusal(put(SAMPLES[kind], path, value), 2)
        assert error.path == f"events[2].{path}", error
        assert "expected" in str(error), error


@pytest.mark.parametrize("kind", ["page", "track", "identify"])
@pytest.mark.parametrize("path", [*SHARED, *LIBRARY])
def test_what_is_required_must_not_be_null(kind: str, path: str) -> None:
    assert refusal(put(SAMPLES[kind], path, None)).path == f"events[0].{path}"


@pytest.mark.parametrize(
    "path",
    ["timestamp", "anonymousId"]
    + ["context." + name for name in ("app", "campaign", "locale", "location", "page", "userAgent")]
    + ["context.campaign.name", "context.location.city", "context.location.coordinates"]
    + ["componentType", "experienceId", "variantIndex"],
)
def test_where_a_field_is_optional_null_is_as_good_as_absent(path: str) -> None:
    read_events([put(SAMPLES["component"], path, None)], NOW)


def test_nobody_is_named_by_null_and_by_an_empty_text() -> None:
    for user in ("", None):
        read_events([identify(user)], NOW)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("context.app", {"name": "x"}, "context.app.version"),
        ("context.page", {}, "context.page.path"),
        ("context.page.url", 5, "context.page.url"),
        ("context.campaign.source", 5, "context.campaign.source"),
        (
            "context.location.coordinates",
            {"latitude": "1"},
            "context.location.coordinates.latitude",
        ),
        ("context.location.postalCode", 10115, "context.location.postalCode"),
        ("context.location", "Berlin", "context.location"),
        ("properties.query", {"a": "1", "b": 2}, "properties.query.b"),
        ("properties.query", {"a": None}, "properties.query.a"),
        ("properties.query", {"a": ["1"]}, "properties.query.a"),
        ("properties.url", None, "properties.url"),
        ("context.page.url", None, "context.page.url"),
    ],
)
def test_paths_of_nested_values(path: str, value: Json, place: str) -> None:
    assert refusal(put(page(), path, value), 4).path == f"events[4].{place}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties.query", {1: "a"}),
        ("properties", {1: "a"}),
        ("context", {None: 1}),
        ("context.library", {(): 1}),
    ],
)
def test_a_key_that_is_no_text_is_named_by_what_holds_it(path: str, value: Json) -> None:
    error = refusal(put(page(), path, value))
    assert error.path == f"events[0].{path}", error
    assert "a key is no text" in str(error), error


def test_an_event_may_be_any_mapping() -> None:
    inner = types.MappingProxyType({"name": "n", "version": "1"})
    event_ = types.MappingProxyType({**page(), "context": {"library": inner}})
    (read,) = read_events([event_], NOW)
    assert read.fields.context.library.name == "n"


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["", "pages", "Page", "PAGE", " page", "page\0", "\ud800", "x" * 9999]
)
def test_unknown_types(kind: str) -> None:
    assert refusal({**page(), "type": kind}, 1).path == "events[1].type"


@pytest.mark.parametrize("channel", ["web", "mobile", "server", "client"])
def test_channels(channel: str) -> None:
    read_events([{**page(), "channel": channel}], NOW)


@pytest.mark.parametrize("channel", ["", "Web", "tv", "\ud800"])
def test_unknown_channels(channel: str) -> None:
    assert refusal({**page(), "channel": channel}).path == "events[0].channel"


@pytest.mark.parametrize("message", ["", "\ud800", "a\udfff"])
def test_messages_that_cannot_be_told_apart(message: str) -> None:
    error = refusal({**page(), "messageId": message})
    assert error.path == "events[0].messageId"


@pytest.mark.parametrize("message", ["\0", " ", "x" * 10_000, "__proto__", "\U0001f600"])
def test_messages_may_be_any_other_text(message: str) -> None:
    read_events([page(message=message)], NOW)


@pytest.mark.parametrize("index", [0, 1, 2.0, 65535, 2**70, None])
def test_variant_indexes(index: Json) -> None:
    read_events([seen("e", index)], NOW)


@pytest.mark.parametrize("index", [-1, 0.5, -0.5, math.nan, math.inf, -math.inf, True, "1", [], {}])
def test_what_is_no_variant_index(index: Json) -> None:
    assert refusal(seen("e", index)).path == "events[0].variantIndex"


@pytest.mark.parametrize("user", ["\ud800", "x" * 1025, "é" * 513, "\U0001f600" * 257])
def test_user_ids_that_are_no_keys(user: str) -> None:
    assert refusal(identify(user)).path == "events[0].userId"


@pytest.mark.parametrize("user", ["\0", "x" * 1024, "é" * 512, "__proto__", "\U0001f600" * 256])
def test_user_ids_may_be_any_other_text(user: str) -> None:
    read_events([identify(user)], NOW)
    assert check_key(user, "id") == user


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "at_ms"),
    [
        (NOW - 5, NOW - 5),
        (float(NOW - 5), NOW - 5),
        (NOW - 4.25, NOW - 5),
        (0, 0),
        (-1, -1),
        (-8_640_000_000_000_000, -8_640_000_000_000_000),
        ("2022-10-10T14:36:51.262Z", 1_665_412_611_262),
        ("2022-10-10T14:36:51.262", 1_665_412_611_262),
        ("2022-10-10T16:36:51.262+02:00", 1_665_412_611_262),
        ("2022-10-10T14:36:51.262999Z", 1_665_412_611_262),
        ("2022-10-10", 1_665_360_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000),
        (None, NOW),
        # What has not happened yet has just happened.
        (NOW + 1, NOW),
        (8_640_000_000_000_000, NOW),
        ("9999-12-31T23:59:59.999-14:00", NOW),
    ],
)
def test_times(stamp: Json, at_ms: int) -> None:
    (read,) = read_events([{**page(), "timestamp": stamp}], NOW)
    assert read.at_ms == at_ms


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "now",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "2022-13-01",
        "2022-02-30",
        "2022-10-10T25:00:00Z",
        "20221010",
        "1665412611262",
        "2022-10-10\0",
        "2022-10-10T14:36:51\ud800",
        "2022-10-10" * 10_000,
        8_640_000_000_000_001,
        -8_640_000_000_000_001,
        10**400,
        1e400,
        -1e400,
        math.nan,
        True,
        [],
        {},
        b"2022-10-10",
        datetime(2022, 10, 10, tzinfo=UTC),
    ],
)
def test_what_is_no_time(stamp: Json) -> None:
    error = refusal({**page(), "timestamp": stamp}, 1)
    assert error.path == "events[1].timestamp"
    assert len(str(error)) < 300


def test_events_apply_in_the_order_of_their_times_and_else_of_the_list() -> None:
    stamps = [NOW, None, NOW - 5, NOW + 5, NOW - 5, NOW - 9]
    read = read_events([page(at=stamp) for stamp in stamps], NOW)
    assert [one.index for one in read] == [5, 2, 4, 0, 1, 3]


def test_every_order_of_events_with_different_times_is_one() -> None:
    events = [page(at=NOW - age) for age in range(4)]
    orders = {
        tuple(one.message for one in read_events(order, NOW))
        for order in itertools.permutations(events)
    }
    assert len(orders) == 1


# --- lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [None, 5, "page", b"", {}, page(), iter([page()]), {1, 2}])
def test_what_is_no_list_of_events(events: Json) -> None:
    with pytest.raises(EventError) as caught:
        read_events(events, NOW)
    assert caught.value.path == "events"


@pytest.mark.parametrize("events", [range(3), [None], [5], ["page"], [[page()]], [page(), 0]])
def test_what_is_no_event(events: Json) -> None:
    with pytest.raises(EventError) as caught:
        read_events(events, NOW)
    assert caught.value.path.startswith("events")


def test_a_tuple_is_a_list() -> None:
    assert len(read_events((page(), page()), NOW)) == 2


def test_a_request_has_at_least_one_event_and_not_too_many() -> None:
    with pytest.raises(EventError, match="at least one"):
        read_events([], NOW)
    assert len(read_events([page()] * MAX_EVENTS, NOW)) == MAX_EVENTS
    with pytest.raises(EventError, match="1001 events, at most 1000"):
        read_events([page()] * (MAX_EVENTS + 1), NOW)


# --- batches -------------------------------------------------------------------------------------


def of(name: Json, made: Json) -> Json:
    return {**made, "anonymousId": name}


def test_a_batch_is_taken_apart_in_the_order_of_first_appearance() -> None:
    batch = read_batch(
        [of("b", page(at=NOW - 1)), of("a", page(at=NOW - 9)), of("b", page(at=NOW - 5))], NOW
    )
    assert list(batch) == ["b", "a"]
    assert [one.index for one in batch["b"]] == [2, 0]


def test_the_limits_of_a_batch() -> None:
    names = [f"p{number}" for number in range(51)]
    assert len(read_batch([of(names[n % 50], page()) for n in range(200)], NOW)) == 50
    with pytest.raises(EventError, match="events: 201 events, at most 200"):
        read_batch([of("a", page())] * 201, NOW)
    with pytest.raises(EventError, match="events: 51 profiles, at most 50"):
        read_batch([of(name, page()) for name in names], NOW)
    assert read_batch([of("a", identify("u"))] * 50 + [of("a", page())] * 150, NOW)
    with pytest.raises(EventError, match="events: 51 identify events, at most 50"):
        read_batch([of("a", identify("u"))] * 51, NOW)


@pytest.mark.parametrize("name", [..., None, "", "\ud800", "x" * 1025, 5, []])
def test_in_a_batch_every_event_names_its_profile(name: Json) -> None:
    bad = page() if name is ... else of(name, page())
    with pytest.raises(EventError) as caught:
        read_batch([of("a", page(at=NOW)), bad], NOW)
    assert caught.value.path == "events[1].anonymousId"

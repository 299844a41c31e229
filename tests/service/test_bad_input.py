"""Whatever comes in: an error of ours with a path, and nothing has changed."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
import math
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from profiles.samples import NOW, event, identify, page, place, seen, track
from service.requests import ENGINE, HERE, serve
from service.stores import dump
from whichvariant.errors import EventError, InputError, ProfileError, ServiceError
from whichvariant.service import Options
from whichvariant.service.inbox import Inbox
from whichvariant.store import MemoryStore, ProfileStore

Json = Any

FULL_CONTEXT = {
    "library": {"name": "l", "version": "3.1.0"},
    "app": {"name": "a", "version": "1"},
    "campaign": dict.fromkeys(("name", "source", "medium", "term", "content"), "c"),
    "locale": "de-DE",
    "location": {"city": "Köln", "coordinates": {"latitude": 1.0, "longitude": 2.0}},
    "page": place(),
    "userAgent": "Mozilla/5.0",
}
BODIES: list[Json] = [
    page("/", NOW, "m1", context=FULL_CONTEXT, anonymousId="a"),
    track("buy", NOW, "m2", properties={"list": [1, {"x": None}]}, anonymousId="a"),
    identify("user", NOW, "m3", plan={"deep": [True]}) | {"anonymousId": "b"},
    event("screen", NOW, "m4", properties={"name": "map"}, anonymousId="b"),
    seen("e1", 1, NOW, "m5") | {"anonymousId": "c"},
    event("group", NOW, "m6", anonymousId="c"),
]

NOT_JSON = [
    object(),
    b"bytes",
    {1, 2},
    1j,
    decimal.Decimal(1),
    uuid.UUID(int=1),
    dt.datetime(2022, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2022, 1, 1),  # noqa: DTZ001
    range(2),
    len,
    {1: 2},
    {None: 1},
    {(): 1},
]


def type_name(value: Any) -> str:
    """The id of a case: the same in every process, as a representation need not be."""
    return type(value).__name__


HOSTILE = [
    None,
    True,
    0,
    -1,
    2**53,
    10**30,
    10**400,
    0.5,
    math.nan,
    math.inf,
    1e308,
    "",
    "\0",
    "\ud800",
    "x" * 10_000,
    "9" * 5_000,
    "__proto__",
    "9999-12-31T23:59:59Z",
    "0000-01-01",
    [],
    [None],
    {},
    {"": {}},
    {"__proto__": {}},
    {"\ud800": 1},
    {"\0" * 10_000: "x"},
    *NOT_JSON,
]


def places(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))


def put(target: Json, path: tuple[Json, ...], value: Json) -> Json:
    if not path:
        return value
    target = copy.deepcopy(target)
    at = target
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return target


class Given:
    """A service with a profile, asked everything there is to ask about events."""

    def __init__(self, store: ProfileStore) -> None:
        self.store = store
        self.service = serve(store)
        self.inbox = Inbox(self.service, now_ms=lambda: NOW)
        self.own = ""

    async def begin(self) -> None:
        self.own = (await self.service.create(HERE, [identify("user")])).profile["id"]
        await self.service.upsert(HERE, [{**page(), "anonymousId": "a"}])

    async def check(self, events: Json, options: Options | None = None) -> int:
        """Ask; gives how often it was refused."""
        options = options or Options()
        refused = 0
        for request in (
            lambda: self.service.update(HERE, self.own, events, options),
            lambda: self.service.create(HERE, events, options, preflight=True),
            lambda: self.service.upsert(HERE, events),
            lambda: self.inbox.accept(HERE, events),
        ):
            before = await dump(self.store)
            try:
                await request()
            except (InputError, ServiceError) as error:
                refused += 1
                assert await dump(self.store) == before
                if isinstance(error, InputError):
                    assert error.path.startswith(("events", "options")), error
                str(error).encode("utf-8", "backslashreplace")
                assert len(error.path) < 1_000
        try:
            ENGINE.preflight(None, events, now=NOW)
        except EventError:
            refused += 1
        # Whatever was taken can be read, and put into JSON by who answers.
        answer = await self.service.get(HERE, self.own)
        json.dumps(answer.to_dict(), allow_nan=False)
        return refused


@pytest.mark.parametrize("number", range(len(BODIES)), ids=[body["type"] for body in BODIES])
async def test_anything_anywhere(number: int) -> None:
    asked = Given(MemoryStore())
    await asked.begin()
    body = BODIES[number]
    count = 0
    for path in places(body):
        for value in [..., *HOSTILE]:
            if not path and value is ...:
                continue
            count += 1
            changed = put(body, path, value)
            if isinstance(changed, dict) and path != ("messageId",):
                changed["messageId"] = f"m-{count}"
            await asked.check([changed])
            # What is taken piles up.
            if count % 50 == 0:
                asked = Given(MemoryStore())
                await asked.begin()


@pytest.mark.parametrize("events", [*HOSTILE, [[]], [{}], "events", b"", iter(())], ids=type_name)
async def test_anything_instead_of_events(store: ProfileStore, events: Json) -> None:
    asked = Given(store)
    await asked.begin()
    assert await asked.check(events) == 5


async def test_every_type_with_the_fields_of_the_others() -> None:
    asked = Given(MemoryStore())
    await asked.begin()
    for number, body in enumerate(BODIES):
        for kind in ("page", "track", "identify", "screen", "component", "alias", "x", ""):
            await asked.check([{**body, "type": kind, "messageId": f"{number}-{kind}"}])


async def test_large_properties(store: ProfileStore) -> None:
    asked = Given(store)
    await asked.begin()
    assert (
        await asked.check(
            [{**track("a", NOW, properties={"x": "x" * 1_000_000}), "anonymousId": "a"}]
        )
        == 0
    )
    assert (
        await asked.check(
            [{**track("a", NOW, properties={"x": "x" * (1 << 20)}), "anonymousId": "a"}]
        )
        == 5
    )
    many = {f"k{number}": [number] for number in range(200_000)}
    assert await asked.check([{**track("a", NOW, properties=many), "anonymousId": "a"}]) == 5


async def test_many_traits(store: ProfileStore) -> None:
    asked = Given(store)
    await asked.begin()
    traits = {f"trait {number}": number for number in range(10_000)}
    made = {**identify("", NOW), "traits": traits, "anonymousId": "a"}
    assert await asked.check([made]) == 0
    assert len((await asked.service.get(HERE, asked.own)).profile["traits"]) == 10_000
    traits = {f"trait {number}": "x" * 20 for number in range(20_000)}
    made = {**identify("", NOW), "traits": traits, "anonymousId": "a"}
    assert await asked.check([made]) == 4  # the inbox takes it, and rejects it later


@pytest.mark.parametrize("depth", [128, 1_000, 200_000])
@pytest.mark.parametrize("where", ["properties", "traits", "extra"])
async def test_deep_nesting(depth: int, where: str) -> None:
    asked = Given(MemoryStore())
    await asked.begin()
    value: Json = 1
    for number in range(depth):
        value = {"a": value} if number % 2 else [value]
    made = {
        "properties": track("x", NOW, properties={"v": value}),
        "traits": {**identify("", NOW), "traits": {"v": value}},
        "extra": page(at=NOW, extra=value),
    }[where]
    assert await asked.check([{**made, "anonymousId": "a"}]) == 5


async def test_counts_beyond_the_limits() -> None:
    asked = Given(MemoryStore())
    await asked.begin()
    assert await asked.check([{**page(), "anonymousId": "a"} for _ in range(201)]) == 2
    assert await asked.check([{**page(), "anonymousId": f"a{n}"} for n in range(51)]) == 2
    assert await asked.check([{**identify(), "anonymousId": "a"} for n in range(51)]) == 2
    assert await asked.check([{**page(), "anonymousId": "a"} for _ in range(1_001)]) == 5


@pytest.mark.parametrize(
    "key", ["__proto__", "\0", "a\0b", "x" * 1024, "é" * 512, "'; --", " ", "\U0001f600"]
)
async def test_hostile_keys_of_profiles(store: ProfileStore, key: str) -> None:
    service = serve(store)
    (profile,) = await service.upsert(HERE, [{**page(), "anonymousId": key}])
    assert profile["id"] == key
    other = (await service.create(HERE, [identify(f"{key[:500]}?")])).profile["id"]
    assert (await service.get(HERE, f"{key[:500]}?")).profile["id"] == other
    await service.delete(HERE, key)
    with pytest.raises(ServiceError):
        await service.get(HERE, key)


@pytest.mark.parametrize("key", ["\ud800", "x" * 1025, "é" * 513, ""])
async def test_keys_that_no_profile_has(store: ProfileStore, key: str) -> None:
    asked = Given(store)
    await asked.begin()
    refused = await asked.check([{**page(), "anonymousId": key}])
    assert refused == (5 if key == "\ud800" else 2)
    if key:
        assert await asked.check([{**identify(key), "anonymousId": "a"}]) == 5


@pytest.mark.parametrize(
    "location", [value for value in HOSTILE if value is not None], ids=type_name
)
async def test_any_location_in_options(location: Json) -> None:
    asked = Given(MemoryStore())
    await asked.begin()
    for value in (location, {"city": location}, {"coordinates": location}, {"more": location}):
        await asked.check([{**page(), "anonymousId": "a"}], Options(location=value))


@pytest.mark.parametrize("value", HOSTILE, ids=type_name)
def test_any_profile(value: Json) -> None:
    profile = {
        "id": "i",
        "stableId": "s",
        "random": 0.5,
        "traits": {"a": 1},
        "location": {"city": "Köln", "coordinates": {"latitude": 1.0, "longitude": 2.0}},
        "session": {
            "count": 2,
            "activeSessionLength": 3,
            "averageSessionLength": 4,
            "landingPage": place(),
        },
        "stickyVariants": {"e1": 1},
        "audiences": ["a"],
    }
    for path in places(profile):
        changed = put(profile, path, value)
        if changed is None:
            continue  # that is a new visitor
        for made in (page(), identify("", NOW, a=2)):
            try:
                answer = ENGINE.preflight(changed, [made], now=NOW)
            except ProfileError as error:
                assert len(error.path) < 1_000
            else:
                json.dumps(answer.to_dict(), allow_nan=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_json_of_any_kind_in_any_place(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    path = data.draw(st.sampled_from(list(places(body))))
    changed = put(body, path, data.draw(json_values))
    try:
        answer = ENGINE.preflight(None, [changed], now=NOW)
    except EventError as error:
        assert error.path.startswith("events")
    else:
        json.dumps(answer.to_dict(), allow_nan=False)

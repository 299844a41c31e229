"""The operations, one by one: what they answer, what they store, what they refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.small import audience, document
from profiles.samples import (
    DAY,
    MINUTE,
    NOW,
    at_place,
    engine_of,
    event,
    identify,
    page,
    seen,
    track,
    tracked,
    views,
)
from service.requests import ENGINE, HERE, NOWHERE, THERE, Clock, leads_to, refusal, serve, viewed
from service.stores import dump
from whichvariant import Engine, Namespace
from whichvariant.errors import (
    ConfigurationNotFound,
    EventError,
    HistoryUnavailable,
    NamespaceMismatch,
    ProfileNotFound,
)
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.service import Options, ProfileService, ServiceSettings
from whichvariant.store import MemoryStore, ProfileStore

Json = Any

# --- create, update, get -------------------------------------------------------------------------


async def test_a_profile_from_its_first_event_on(store: ProfileStore) -> None:
    clock = Clock()
    service = serve(store, clock)
    created = await service.create(HERE, [page("/landing")])
    profile = created.profile
    assert len(profile["id"]) == 64
    assert profile["stableId"] == profile["id"]
    assert 0 <= profile["random"] <= 1
    assert profile["session"]["count"] == 1
    assert profile["session"]["landingPage"]["path"] == "/landing"
    assert [one["experienceId"] for one in created.experiences] == ["e1", "e2"]
    assert "jurisdiction" not in profile
    assert "stickyVariants" not in profile
    clock.now += 31 * MINUTE
    updated = await service.update(HERE, profile["id"], [page(), seen("e2", 3)])
    assert updated.profile["session"]["count"] == 2
    assert updated.profile["stickyVariants"] == {"e2": 3}
    assert viewed(updated.profile) == 2
    assert updated.experiences[1]["variantIndex"] == 3
    assert updated.experiences[1]["sticky"] is True
    got = await service.get(HERE, profile["id"])
    assert got == updated
    assert got.to_dict() == updated.to_dict()


async def test_two_creates_make_two_profiles(store: ProfileStore) -> None:
    service = serve(store)
    events = [page()]
    ids = {(await service.create(HERE, events)).profile["id"] for _ in range(5)}
    assert len(ids) == 5


async def test_ids_that_nobody_made(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [page()])).profile["id"]
    before = await dump(store)
    forged = [own[:-1] + ("0" if own[-1] != "0" else "1"), "f" * 64, own.upper(), "x", "", "\ud800"]
    for key in [*forged, "x" * 2000, "\0", f"{own} ", "__proto__"]:
        for request in (
            service.update(HERE, key, [page()]),
            service.update(HERE, key, [page()], preflight=True),
            service.get(HERE, key),
            service.delete(HERE, key),
        ):
            assert await refusal(request) == "ProfileNotFound"
    assert await dump(store) == before


async def test_namespaces_never_meet(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [page(), identify("user")])).profile["id"]
    for key in (own, "user"):
        for request in (
            service.update(THERE, key, [page()]),
            service.get(THERE, key),
            service.delete(THERE, key),
        ):
            assert await refusal(request) == "NamespaceMismatch"
    # The same user there is somebody else.
    other = (await service.create(THERE, [identify("user", plan="pro")])).profile
    assert other["id"] != own
    assert (await service.get(HERE, "user")).profile["traits"] == {}
    assert (await service.get(THERE, "user")).profile["traits"] == {"plan": "pro"}
    # And so is a profile that an import puts at an id of here.
    preflight = (await service.create(HERE, [page()], preflight=True)).profile["id"]
    await service.upsert(THERE, [{**page(), "anonymousId": preflight}])
    assert (await service.update(HERE, preflight, [page()])).profile["id"] == preflight


async def test_no_configuration(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [page()])).profile["id"]
    for request in (
        service.create(NOWHERE, [page()]),
        service.update(NOWHERE, own, [page()]),
        service.get(NOWHERE, own),
        service.delete(NOWHERE, own),
        service.upsert(NOWHERE, [page()]),
        service.get(Namespace("\ud800", ""), own),
    ):
        assert await refusal(request) == "ConfigurationNotFound"
    assert ConfigurationNotFound.code == "ERR_CONFIG_NOT_FOUND"


@pytest.mark.parametrize("jurisdiction", ["US", "EU", None])
async def test_jurisdiction(jurisdiction: Json) -> None:
    settings = ServiceSettings(profiles=ProfileSettings(jurisdiction=jurisdiction))
    service = ProfileService(MemoryStore(), {HERE: ENGINE}, settings)
    profile = (await service.create(HERE, [page()])).profile
    assert profile.get("jurisdiction") == jurisdiction
    assert (jurisdiction is None) is ("jurisdiction" not in profile)


async def test_whoever_changes_an_answer_does_not_change_the_profile(store: ProfileStore) -> None:
    service = serve(store)
    events = [identify("", NOW, a={"b": [1]}), seen("e1", 1), at_place({"city": "Berlin"})]
    answer = await service.create(HERE, events)
    expected = (await service.get(HERE, answer.profile["id"])).profile
    for _ in range(2):
        answer.profile["traits"]["a"]["b"].append(2)
        answer.profile["traits"]["new"] = 1
        answer.profile["stickyVariants"]["e1"] = 0
        answer.profile["location"]["city"] = "Paris"
        answer.profile["session"]["landingPage"]["query"]["q"] = "1"
        answer = await service.update(HERE, answer.profile["id"], [event("group")])
        assert answer.profile == expected


async def test_what_a_caller_changes_afterwards_does_not_matter(store: ProfileStore) -> None:
    service = serve(store)
    made = identify("", NOW, a={"b": 1})
    own = (await service.create(HERE, [made, page()])).profile["id"]
    made["traits"]["a"]["b"] = 2
    assert (await service.get(HERE, own)).profile["traits"] == {"a": {"b": 1}}


# --- location and locale -------------------------------------------------------------------------


def found(location: Json, names: Json = None) -> Json:
    asked = []

    async def locate() -> Located | None:
        asked.append(1)
        return None if location is None else Located(location, names or {})

    return locate, asked


async def test_who_is_located_and_what_wins(store: ProfileStore) -> None:
    service = serve(store)
    berlin = {"city": "Berlin", "country": "Germany", "countryCode": "DE"}

    async def where(events: Json, **options: Json) -> Json:
        return (await service.create(HERE, events, Options(**options))).profile["location"]

    locate, asked = found(berlin)
    assert await where([page()], locate=locate) == {}
    assert not asked
    assert await where([page()], locate=locate, features=("location",)) == berlin
    assert len(asked) == 1
    old = page(context={"library": {"name": "x", "version": "3.1.0"}})
    assert await where([old], locate=locate) == berlin
    assert await where([old, page(context={"location": {}})], locate=locate) == {}
    options = {"city": "Bonn"}
    assert await where([old], locate=locate, location=options) == {**berlin, "city": "Bonn"}
    paris = {"city": "Paris", "countryCode": "FR"}
    assert await where([old], locate=locate, location=paris) == paris
    said = page(context={"location": {"region": "NRW"}})
    assert await where([old, said], locate=locate, location=options) == {
        **berlin, "city": "Bonn", "region": "NRW",
    }  # fmt: skip
    assert await where([old], locate=found(None)[0]) == {}
    assert await where([page()], location={"city": None}) == {}


async def test_locale_translates_the_answer_and_nothing_else(store: ProfileStore) -> None:
    engine = Engine.from_dict(
        document(
            audiences=[
                audience(
                    "g",
                    {"type": "location", "key": "country", "operator": "equal", "value": "Germany"},
                )
            ]
        )
    )
    service = serve(store, engines={HERE: engine})
    germany = {"country": "Germany", "countryCode": "DE", "city": "Cologne"}
    locate, _ = found(germany, {"en": "Cologne", "de": "Köln"})
    options = Options("de", features=("location",), locate=locate)
    profile = (await service.create(HERE, [page()], options)).profile
    assert profile["location"] == {"country": "Deutschland", "countryCode": "DE", "city": "Köln"}
    assert profile["audiences"] == ["g"]
    assert (await service.get(HERE, profile["id"])).profile["location"] == germany
    french = (await service.get(HERE, profile["id"], "fr")).profile["location"]
    assert (french["country"], french["city"]) == ("Allemagne", "Cologne")
    for locale in ("", "\0", "\ud800", "x" * 100_000, "../de", "de" * 30):
        assert (await service.get(HERE, profile["id"], locale)).profile["location"] == germany


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("Berlin", "options.location"),
        ({"city": 1}, "options.location.city"),
        ({"city": "\ud800"}, "options.location.city"),
        ({"coordinates": {"latitude": float("nan"), "longitude": 0}},
         "options.location.coordinates.latitude"),
    ],
)  # fmt: skip
async def test_a_location_that_is_none(location: Json, path: str) -> None:
    store = MemoryStore()
    with pytest.raises(EventError) as caught:
        await serve(store).create(HERE, [page()], Options(location=location))
    assert caught.value.path == path
    assert (await dump(store))[0] == []


# --- preflight -----------------------------------------------------------------------------------


async def test_a_page_rendered_on_a_server_comes_alive(store: ProfileStore) -> None:
    clock = Clock()
    service = serve(store, clock)
    before = await dump(store)
    events = [page("/landing", NOW - 5)]
    rendered = await service.create(HERE, events, preflight=True)
    own = rendered.profile["id"]
    assert await dump(store) == before
    assert await refusal(service.get(HERE, own)) == "ProfileNotFound"
    assert await refusal(service.delete(HERE, own)) == "ProfileNotFound"
    assert (await service.update(HERE, own, events, preflight=True)) == rendered
    assert await dump(store) == before
    clock.now += 900
    # Another process has nothing but the store.
    live = await serve(store, clock).update(HERE, own, events)
    assert live == rendered
    assert await leads_to(store, own) == own


async def test_a_preflight_of_an_update_is_the_update(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [page()])).profile["id"]
    known = (await service.create(HERE, [identify("known", plan="pro"), page()])).profile["id"]
    events = [page(), identify("known", a=1), seen("e1", 1), track("buy")]
    before = await dump(store)
    rendered = await service.update(HERE, own, events, preflight=True)
    assert await dump(store) == before
    assert rendered.profile["id"] == known
    assert await service.update(HERE, own, events) == rendered


async def test_preflights_of_an_engine_and_of_a_service_agree() -> None:
    service = serve(MemoryStore())
    location = {"city": "Köln", "countryCode": "DE"}
    events = [page("/x"), identify("", a=1), seen("e2", 2), track("buy"), page("/y")]
    options = Options(location=location)
    served = await service.create(HERE, events, options, preflight=True)
    ids = ("id", "stableId", "random")
    alone = ENGINE.preflight(None, events, location=location, now=NOW)
    assert without(alone.profile, *ids) == without(served.profile, *ids)
    # As the same visitor it is the same to the last choice.
    visitor = {name: served.profile[name] for name in ids}
    alone = ENGINE.preflight(visitor, events, location=location, now=NOW)
    assert alone == served


def without(profile: Json, *names: str) -> Json:
    left = {name: value for name, value in profile.items() if name not in names}
    session = {name: value for name, value in left["session"].items() if name != "id"}
    return {**left, "session": session}


async def test_an_engine_goes_on_from_a_profile_of_the_api() -> None:
    clock = Clock()
    service = serve(MemoryStore(), clock)
    created = await service.create(
        HERE, [page("/landing", NOW - MINUTE), identify("", NOW, a=1, b={"c": 1}), seen("e2", 2)]
    )
    more = [identify("", a=2), seen("e1", 1)]
    expected = await service.update(HERE, created.profile["id"], more, preflight=True)
    alone = ENGINE.preflight(created.profile, more, now=NOW)
    # The shape does not have what counters know.
    assert without(alone.profile, "audiences") == without(expected.profile, "audiences")
    assert alone.experiences == expected.experiences


# --- time travel ---------------------------------------------------------------------------------


async def test_a_profile_as_it_was(store: ProfileStore) -> None:
    clock = Clock(NOW - 3 * DAY)
    engine = engine_of({"late": views(1, days=1), "bought": tracked("buy", 1)})
    service = serve(store, clock, engines={HERE: engine})
    own = (await service.create(HERE, [page(), identify("user", a=1)])).profile["id"]
    clock.now = NOW
    now = await service.update(HERE, own, [track("buy"), identify("", a=2)])
    assert (await service.get(HERE, own, at=NOW)) == now
    past = (await service.get(HERE, "user", at="2026-10-29T12:00:00Z")).profile
    assert (past["traits"], past["audiences"], past["session"]["count"]) == ({"a": 1}, ["late"], 1)
    past = (await service.get(HERE, own, at=NOW - DAY)).profile
    assert (past["traits"], past["audiences"]) == ({"a": 1}, [])
    with pytest.raises(ProfileNotFound, match="did not exist yet"):
        await service.get(HERE, own, at=NOW - 4 * DAY)
    later = (await service.get(HERE, own, at=NOW + 90 * DAY)).profile
    assert later["audiences"] == ["bought"]
    for at in ("", "yesterday", float("nan"), [], True, 1e400, 10**400):
        with pytest.raises(EventError, match=r"^at: "):
            await service.get(HERE, own, at=at)


async def test_where_the_past_ends(store: ProfileStore) -> None:
    service = serve(store, history=3)
    own = (await service.create(HERE, [page(at=NOW - 100)])).profile["id"]
    for age in (90, 80, 70, 60):
        await service.update(HERE, own, [page(at=NOW - age)])
    assert viewed((await service.get(HERE, own, at=NOW - 90)).profile) == 2
    with pytest.raises(HistoryUnavailable, match=r"11:59:59\.910Z"):
        await service.get(HERE, own, at=NOW - 91)
    assert HistoryUnavailable.code == "ERR_INVALID_DATA"


async def test_the_past_while_the_present_goes_on(store: ProfileStore) -> None:
    service = serve(store, history=5)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]

    async def change() -> None:
        for _ in range(50):
            await service.update(HERE, own, [page(at=NOW)])

    async def look() -> None:
        for _ in range(50):
            views_ = viewed((await service.get(HERE, own, at=NOW)).profile)
            assert views_ >= 1
            await asyncio.sleep(0)

    await asyncio.gather(change(), look(), look())
    assert viewed((await service.get(HERE, own, at=NOW)).profile) == 32


# --- configurations ------------------------------------------------------------------------------


async def test_a_configuration_published_later_sees_what_happened_before(
    store: ProfileStore,
) -> None:
    engines = {HERE: engine_of({"bought": tracked("buy", 1)})}
    service = serve(store, engines=engines)
    own = (await service.create(HERE, [track("buy"), track("look"), track("look")])).profile["id"]
    engines[HERE] = engine_of({"looked": tracked("look", 2), "thrice": tracked("look", 3)})
    before = await dump(store)
    assert (await service.get(HERE, own)).profile["audiences"] == ["looked"]
    assert await dump(store) == before
    answer = await service.update(HERE, own, [track("look"), track("buy")])
    assert answer.profile["audiences"] == ["looked", "thrice"]
    engines[HERE] = engine_of({"bought": tracked("buy", 2)})
    assert (await service.get(HERE, own)).profile["audiences"] == ["bought"]


async def test_sticky_choices_follow_the_configuration(store: ProfileStore) -> None:
    engines = {HERE: engine_of(sticky={"e": 3})}
    service = serve(store, engines=engines)
    own = (await service.create(HERE, [seen("e", 3)])).profile["id"]
    assert (await service.get(HERE, own)).experiences[0]["variantIndex"] == 3
    engines[HERE] = engine_of(sticky={"e": 1})
    answer = await service.update(HERE, own, [seen("e", 2)])
    assert answer.profile["stickyVariants"] == {"e": 3}
    assert answer.experiences[0]["variantIndex"] in (0, 1)


# --- batches -------------------------------------------------------------------------------------


def of(key: str, made: Json) -> Json:
    return {**made, "anonymousId": key}


async def test_a_batch_makes_profiles_where_it_says(store: ProfileStore) -> None:
    service = serve(store)
    profiles = await service.upsert(
        HERE, [of("b", page()), of("a", identify("user", x=1)), of("b", page())]
    )
    assert [(one["id"], one["stableId"]) for one in profiles] == [("b", "b"), ("a", "a")]
    assert (viewed(profiles[0]), profiles[1]["traits"]) == (2, {"x": 1})
    assert 0 <= profiles[0]["random"] <= 1
    again = await service.upsert(HERE, [of("user", page()), of("a", page())])
    assert [(one["id"], viewed(one)) for one in again] == [("a", 2), ("a", 2)]


async def test_a_batch_is_applied_as_a_whole_or_not_at_all(store: ProfileStore) -> None:
    service = serve(store)
    await service.upsert(HERE, [of("gone", page())])
    await service.delete(HERE, "gone")
    before = await dump(store)
    with pytest.raises(ProfileNotFound, match=r"events\[1\]\.anonymousId: the profile was deleted"):
        await service.upsert(HERE, [of("a", page()), of("gone", page()), of("b", page())])
    with pytest.raises(EventError, match=r"events\[1\]\.traits"):
        await service.upsert(HERE, [of("a", page()), of("b", identify("", x="x" * (1 << 19)))])
    assert await dump(store) == before


async def test_answers_of_a_batch_whose_profiles_become_one(store: ProfileStore) -> None:
    service = serve(store)
    await service.upsert(HERE, [of("a", identify("user-a")), of("b", identify("user-b"))])
    profiles = await service.upsert(
        HERE, [of("a", page()), of("user-a", identify("user-b")), of("b", page())]
    )
    assert [one["id"] for one in profiles] == ["b", "b", "b"]
    assert [viewed(one) for one in profiles] == [2, 2, 2]
    for key in ("a", "b", "user-a", "user-b"):
        assert await leads_to(store, key) == "b"


async def test_a_batch_at_an_id_of_a_preflight_is_that_profile(store: ProfileStore) -> None:
    service = serve(store)
    rendered = (await service.create(HERE, [page()], preflight=True)).profile
    (profile,) = await service.upsert(HERE, [of(rendered["id"], page())])
    assert (profile["id"], profile["random"]) == (rendered["id"], rendered["random"])


async def test_errors_are_the_apis() -> None:
    assert ProfileNotFound.code == "ERR_PROFILE_NOT_FOUND"
    assert NamespaceMismatch.code == "ERR_NAMESPACE_MISMATCH"

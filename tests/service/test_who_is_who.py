"""User ids, profiles that turn out to be one, and profiles that are deleted."""

from __future__ import annotations

import pytest

from profiles.samples import NOW, identify, page
from service.requests import HERE, leads_to, refusal, serve, viewed
from service.stores import dump
from whichvariant.errors import EventError
from whichvariant.profiles.aggregate import MAX_TRAITS_BYTES
from whichvariant.store import ProfileStore


async def test_a_user_id_is_another_name(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [identify("user")])).profile["id"]
    assert (await service.update(HERE, "user", [page()])).profile["id"] == own
    assert (await service.get(HERE, "user")).profile["id"] == own
    assert await store.aliases(HERE, own) == ["user"]
    await service.update(HERE, own, [identify("user"), identify(own), identify("user-2")])
    assert await store.aliases(HERE, own) == ["user", "user-2"]


async def test_two_who_turn_out_to_be_one(store: ProfileStore) -> None:
    service = serve(store)
    one = (await service.create(HERE, [page(), identify("user", NOW - 5, a=1, b=1)])).profile
    two = (await service.create(HERE, [page(), page(), identify("other", NOW - 3, b=2)])).profile
    merged = (await service.update(HERE, two["id"], [identify("user", c=3)])).profile
    assert (merged["id"], merged["stableId"]) == (one["id"], one["stableId"])
    assert merged["traits"] == {"a": 1, "b": 2, "c": 3}
    assert (merged["session"]["count"], viewed(merged)) == (2, 3)
    for key in (one["id"], two["id"], "user", "other"):
        assert (await service.get(HERE, key)).profile == merged
    assert await store.history(HERE, two["id"]) == []
    # Who was merged away may be merged on.
    three = (await service.create(HERE, [identify("third"), page()])).profile
    merged = (await service.update(HERE, two["id"], [identify("third")])).profile
    assert merged["id"] == three["id"]
    for key in (one["id"], two["id"], three["id"], "user", "other", "third"):
        assert await leads_to(store, key) == three["id"]
    assert viewed(merged) == 4


async def test_a_chain_in_one_request(store: ProfileStore) -> None:
    service = serve(store)
    ids = [
        (await service.create(HERE, [page(), identify(f"user-{number}")])).profile["id"]
        for number in range(4)
    ]
    events = [identify(f"user-{number}") for number in (1, 2, 3, 0)]
    merged = (await service.update(HERE, ids[0], [*events, page()])).profile
    assert merged["id"] == ids[3]
    assert (viewed(merged), merged["session"]["count"]) == (5, 4)
    for key in [*ids, *(f"user-{number}" for number in range(4))]:
        assert await leads_to(store, key) == ids[3]
    assert len((await dump(store))[0]) == 1


async def test_a_new_visitor_who_is_known_leaves_no_trace(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [identify("user"), page()])).profile["id"]
    created = (await service.create(HERE, [page(), identify("user")])).profile
    assert created["id"] == own
    assert (created["session"]["count"], viewed(created)) == (1, 2)
    assert (await dump(store))[1] == [(HERE, ("user", "alias", own, 0))]
    # An id that somebody has already leads on.
    handed_out = (await service.create(HERE, [page()], preflight=True)).profile["id"]
    assert (await service.update(HERE, handed_out, [identify("user")])).profile["id"] == own
    assert (await service.get(HERE, handed_out)).profile["id"] == own


async def test_a_message_that_comes_twice_identifies_once(store: ProfileStore) -> None:
    service = serve(store)
    await service.create(HERE, [identify("b")])
    events = [identify("a", NOW - 5, "m"), identify("b", NOW, "m")]
    own = (await service.create(HERE, events)).profile["id"]
    assert await store.aliases(HERE, own) == ["a"]
    await service.update(HERE, own, [identify("c", NOW, "m")])
    assert await store.aliases(HERE, own) == ["a"]
    assert await leads_to(store, "b") != own


async def test_user_ids_have_an_end(store: ProfileStore) -> None:
    service = serve(store, aliases_per_profile=3)
    created = (await service.create(HERE, [identify("u0"), identify("u1")])).profile
    before = await dump(store)
    with pytest.raises(EventError) as caught:
        await service.update(HERE, created["id"], [page(), identify("u2"), identify("u3")])
    assert caught.value.path == "events[2].userId"
    assert await dump(store) == before
    await service.update(HERE, created["id"], [identify("u2"), identify("u1")])
    # Names that came by way of somebody else in the same request count.
    with pytest.raises(EventError):
        await service.create(HERE, [identify("v0"), identify("v1"), identify("u0"), identify("w")])


async def test_a_merge_does_not_make_more_traits_than_there_may_be(store: ProfileStore) -> None:
    service = serve(store)
    half = "x" * (MAX_TRAITS_BYTES * 2 // 3)
    await service.create(HERE, [identify("user", a=half)])
    own = (await service.create(HERE, [identify("", b=half)])).profile["id"]
    before = await dump(store)
    with pytest.raises(EventError) as caught:
        await service.update(HERE, own, [page(), identify("user")])
    assert caught.value.path == "events[1].traits"
    assert await dump(store) == before
    await service.update(HERE, own, [identify("", b="")])
    assert (await service.update(HERE, own, [identify("user")])).profile["id"] != own


# --- deletion ------------------------------------------------------------------------------------


async def test_what_is_deleted_is_gone_with_all_its_names(store: ProfileStore) -> None:
    service = serve(store)
    one = (await service.create(HERE, [identify("user"), page()])).profile["id"]
    two = (await service.create(HERE, [identify("other"), page()])).profile["id"]
    await service.update(HERE, two, [identify("user")])
    await service.delete(HERE, "other")
    for key in (one, two, "user", "other"):
        assert await refusal(service.get(HERE, key)) == "ProfileNotFound"
        assert await refusal(service.update(HERE, key, [page()])) == "ProfileNotFound"
        assert await refusal(service.delete(HERE, key)) == "ProfileNotFound"
        assert await store.history(HERE, key) == []
    for key in (one, two):
        refused = refusal(service.upsert(HERE, [{**page(), "anonymousId": key}]))
        assert await refused == "ProfileNotFound"
    again = (await service.create(HERE, [identify("user"), identify(one), page()])).profile
    assert again["id"] not in (one, two)
    assert viewed(again) == 1
    assert await store.aliases(HERE, again["id"]) == ["user"]


async def test_a_preflights_id_does_not_come_back_either(store: ProfileStore) -> None:
    service = serve(store)
    own = (await service.create(HERE, [page()], preflight=True)).profile["id"]
    await service.update(HERE, own, [page()])
    await service.delete(HERE, own)
    assert await refusal(service.update(HERE, own, [page()])) == "ProfileNotFound"

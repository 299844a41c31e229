"""Doing things twice, and in another order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from profiles.samples import DAY, MINUTE, NOW, at_place, event, identify, page, seen, track
from service.requests import HERE, Clock, serve
from service.stores import dump
from whichvariant.profiles.state import ProfileState, decode_state
from whichvariant.service import ProfileService
from whichvariant.store import MemoryStore, ProfileStore

Json = Any


def some_event(chance: random.Random, number: int) -> Json:
    at = NOW - number - chance.choice([0, 5, 5 * MINUTE, 40 * MINUTE, 2 * DAY])
    return chance.choice(
        [
            page(f"/{number % 3 or ''}", at),
            track("buy", at),
            identify("", at, **{f"k{number % 4}": number}),
            identify(f"user-{number % 5}", at, who=number),
            seen("e2", number % 4, at),
            at_place({"city": f"city-{number}"}, at),
            event("alias", at),
        ]
    )


class Log:
    """Requests as callers sent them, each of which can be sent again."""

    def __init__(self, seed: int, length: int) -> None:
        chance = random.Random(seed)
        self.requests: list[tuple[str, str, list[Json]]] = []
        names = ["create-0"]
        for number in range(length):
            events = [some_event(chance, number * 9 + n) for n in range(chance.randint(1, 4))]
            kind = chance.choice(["create", "update", "update", "update", "batch"])
            if kind == "create" or not number:
                names.append(f"create-{number}")
                self.requests.append(("create", f"create-{number}", events))
            elif kind == "update":
                self.requests.append(("update", chance.choice(names), events))
            else:
                keys = ["batch-0", "batch-1", "user-0"]
                events = [{**made, "anonymousId": chance.choice(keys)} for made in events]
                self.requests.append(("batch", "", events))
        self.requests[0] = ("create", "create-0", self.requests[0][2])

    async def send(self, service: ProfileService, number: int) -> None:
        kind, name, events = self.requests[number]
        if kind == "batch":
            await service.upsert(HERE, events)
        else:
            # An update of a profile whose id its client has from the create request.
            await service.create(HERE, events, idempotency_key=name)


@pytest.mark.parametrize("seed", range(6))
async def test_replaying_any_prefix_changes_no_byte(store: ProfileStore, seed: int) -> None:
    clock = Clock()
    service = serve(store, clock)
    log = Log(seed, 24)
    for number in range(len(log.requests)):
        await log.send(service, number)
        before = await dump(store)
        clock.now += 1_000
        again = serve(store, clock) if number % 2 else service
        for earlier in range(number + 1):
            await log.send(again, earlier)
            assert await dump(store) == before, (number, earlier)
    # And backwards.
    for earlier in reversed(range(len(log.requests))):
        await log.send(service, earlier)
    assert await dump(store) == before


async def test_a_replay_is_answered_with_the_profile_as_it_is(store: ProfileStore) -> None:
    service = serve(store)
    events = [page(at=NOW - 9), identify("user", NOW - 9, a=1)]
    created = await service.create(HERE, events, idempotency_key="k")
    own = created.profile["id"]
    assert await service.create(HERE, events, idempotency_key="k") == created
    updated = await service.update(HERE, own, [identify("", a=2), page("/x")])
    assert await service.create(HERE, events, idempotency_key="k") == updated
    assert await service.update(HERE, "user", events) == updated
    other = await service.create(HERE, [page()], idempotency_key="l")
    assert other.profile["id"] != own


async def test_a_create_is_repeated_after_a_merge(store: ProfileStore) -> None:
    service = serve(store)
    known = (await service.create(HERE, [identify("user")])).profile["id"]
    events = [page(), identify("user")]
    first = await service.create(HERE, events, idempotency_key="k")
    assert first.profile["id"] == known
    before = await dump(store)
    assert await service.create(HERE, events, idempotency_key="k") == first
    assert await dump(store) == before


async def test_a_preflight_of_a_named_create(store: ProfileStore) -> None:
    service = serve(store)
    before = await dump(store)
    rendered = await service.create(HERE, [page(at=NOW)], preflight=True, idempotency_key="k")
    assert await dump(store) == before
    live = await service.create(HERE, [page(at=NOW)], idempotency_key="k")
    assert live.profile["id"] == rendered.profile["id"]


async def test_a_retry_that_brings_something_new(store: ProfileStore) -> None:
    service = serve(store)
    one, two = page(at=NOW), track("buy", NOW)
    own = (await service.create(HERE, [one])).profile["id"]
    await service.update(HERE, own, [two, one, two])
    assert len(await store.history(HERE, own)) == 2
    answer = await service.get(HERE, own)
    assert answer.profile["audiences"] == ["bought", "views-1"]


@pytest.mark.parametrize("seed", range(20))
async def test_events_in_any_order_within_a_request_give_the_same(seed: int) -> None:
    chance = random.Random(seed)
    events = [some_event(chance, number) for number in range(10)]
    times = chance.sample(range(3 * DAY), 10)
    events = [{**made, "timestamp": NOW - at} for made, at in zip(events, times, strict=True)]
    orders = [events, events[::-1], *(chance.sample(events, 10) for _ in range(4))]
    states: list[ProfileState] = []
    for order in orders:
        store = MemoryStore()
        service = serve(store)
        await service.upsert(HERE, [{**made, "anonymousId": "v"} for made in order])
        ((_, row),) = (await dump(store))[0]
        states.append(decode_state(row.record))
        states[-1].random = 0
    assert all(one == states[0] for one in states)

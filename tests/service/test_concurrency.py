"""Many at once: nothing is lost, nothing counts twice, nobody is stuck."""

from __future__ import annotations

import asyncio
import pathlib
import random
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from profiles.samples import NOW, identify, page
from service.requests import HERE, leads_to, refusal, serve, viewed
from service.stores import Yielding, dump
from whichvariant.errors import ProfileOverload, ServiceError, StoreConflict
from whichvariant.profiles.history import decode_row
from whichvariant.profiles.state import decode_state
from whichvariant.service import ProfileService
from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore, Transaction
from whichvariant.store.postgres import PostgresStore

Json = Any


@pytest.fixture(params=["memory", "embedded", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[ProfileStore]:
    """A store of each kind, with other tasks between any two of its answers."""
    made: ProfileStore
    if request.param == "postgres":
        made = asyncio.run(PostgresStore.open(request.getfixturevalue("dsn")))
    else:
        made = Yielding() if request.param == "memory" else EmbeddedStore.open(tmp_path / "p.db")
    yield made
    asyncio.run(made.close())


async def messages(store: ProfileStore, key: str) -> list[str]:
    """The messages in the history of the profile with this id."""
    rows = await store.history(HERE, key)
    return [
        one.raw["messageId"]
        for number, data in rows
        if number
        for one in decode_row((number, data)).events
    ]


async def test_many_update_one_profile_and_nothing_is_lost(store: ProfileStore) -> None:
    service = serve(store, waiting_per_profile=64)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]
    await asyncio.gather(*(service.update(HERE, own, [page(at=NOW)]) for _ in range(63)))
    assert viewed((await service.get(HERE, own)).profile) == 64
    assert len(set(await messages(store, own))) == 64


async def test_by_any_of_its_names(store: ProfileStore) -> None:
    service = serve(store, waiting_per_profile=64)
    own = (await service.create(HERE, [page(at=NOW), identify("user")])).profile["id"]
    requests: list[Coroutine[Any, Any, Any]] = []
    for number in range(63):
        key = (own, "user")[number % 2]
        if number % 3:
            requests.append(service.update(HERE, key, [page(at=NOW)]))
        else:
            requests.append(service.upsert(HERE, [{**page(at=NOW), "anonymousId": key}]))
    await asyncio.gather(*requests)
    assert viewed((await service.get(HERE, own)).profile) == 64


async def test_several_services_on_one_store(store: ProfileStore) -> None:
    services = [serve(store, waiting_per_profile=64, attempts=64) for _ in range(3)]
    own = (await services[0].create(HERE, [page(at=NOW)])).profile["id"]

    async def burst(service: ProfileService) -> None:
        for _ in range(21):
            await service.update(HERE, own, [page(at=NOW)])

    await asyncio.gather(*(burst(service) for service in services))
    for service in services:
        assert viewed((await service.get(HERE, own)).profile) == 64
        answer = await service.update(HERE, own, [page(at=NOW)], preflight=True)
        assert viewed(answer.profile) == 64


async def test_what_a_process_remembers_is_never_an_answer_when_it_is_old(
    store: ProfileStore,
) -> None:
    one, other = serve(store), serve(store)
    first = page(at=NOW)
    own = (await one.create(HERE, [first])).profile["id"]
    await other.update(HERE, own, [page(at=NOW)])
    # Nothing new, so nothing is written that could show how old it is.
    assert viewed((await one.update(HERE, own, [first])).profile) == 2
    await other.update(HERE, own, [page(at=NOW)])
    assert viewed((await one.update(HERE, own, [page(at=NOW)])).profile) == 4
    await other.delete(HERE, own)
    assert await refusal(one.update(HERE, own, [first])) == "ProfileNotFound"
    assert await refusal(one.update(HERE, own, [page()])) == "ProfileNotFound"
    # Merged away by the other.
    own = (await one.create(HERE, [page(at=NOW)])).profile["id"]
    known = (await other.create(HERE, [identify("known"), page(at=NOW)])).profile["id"]
    await other.update(HERE, own, [identify("known")])
    answer = await one.update(HERE, own, [page(at=NOW)])
    assert (answer.profile["id"], viewed(answer.profile)) == (known, 3)


async def test_more_than_may_wait_are_refused_and_change_nothing(store: ProfileStore) -> None:
    service = serve(store, waiting_per_profile=3)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]
    outcomes = await asyncio.gather(
        *(service.update(HERE, own, [page(at=NOW)]) for _ in range(10)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, ProfileOverload)]
    assert len(refused) == 6
    assert refused[0].code == "ERR_PROFILE_OVERLOAD"
    assert viewed((await service.get(HERE, own)).profile) == 5
    # Reads and preflights wait for nobody.
    await service.update(HERE, own, [page()], preflight=True)


class Contested(MemoryStore):
    """A store where somebody else is always faster."""

    commits = 0

    async def commit(self, transaction: Transaction) -> None:
        self.commits += 1
        raise StoreConflict("k", "somebody else was faster")


async def test_who_loses_every_race_is_refused() -> None:
    store = Contested()
    service = serve(store, attempts=4)
    assert await refusal(service.create(HERE, [page()])) == "ProfileOverload"
    assert store.commits in (4, 5)
    await service.create(HERE, [page()], preflight=True)


# --- cancellation --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_is_cancelled_the_rest_goes_on(seed: int) -> None:
    chance = random.Random(seed)
    store = Yielding()
    service = serve(store, waiting_per_profile=100)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]
    tasks = []
    for number in range(60):
        made = page(at=NOW, message=f"c-{number}")
        tasks.append(asyncio.create_task(service.update(HERE, own, [made])))
        if chance.random() < 0.5:
            for _ in range(chance.randint(0, 6)):
                await asyncio.sleep(0)
            chance.choice(tasks).cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    done = {f"c-{n}" for n, one in enumerate(outcomes) if not isinstance(one, BaseException)}
    stored = await messages(store, own)
    assert len(stored) == len(set(stored))
    assert done <= set(stored)
    # What was cancelled may have happened, and then only as a whole.
    await asyncio.wait_for(service.update(HERE, own, [page(at=NOW)]), 5)
    ((_, row),) = (await dump(store))[0]
    state = decode_state(row.record)
    assert state.kept.events == len(stored) + 1
    assert set(state.activity.values()) == {len(stored) + 1}


async def test_cancelled_in_a_file(store: ProfileStore) -> None:
    service = serve(store, waiting_per_profile=100)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]
    for delay in (0, 0, 0.0005, 0.001, 0.002):
        tasks = [asyncio.create_task(service.update(HERE, own, [page(at=NOW)])) for _ in range(9)]
        await asyncio.sleep(delay)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    stored = await messages(store, own)
    assert len(stored) == len(set(stored)) >= 21
    assert viewed((await service.get(HERE, own)).profile) >= 16


# --- deletes and merges --------------------------------------------------------------------------


async def test_deletes_race_updates(store: ProfileStore) -> None:
    services = [serve(store), serve(store)]
    for number in range(15):
        own = (await services[0].create(HERE, [page(at=NOW), identify(f"u{number}")])).profile["id"]
        outcomes = await asyncio.gather(
            *(refusal(services[n % 2].update(HERE, own, [page(at=NOW)])) for n in range(3)),
            refusal(services[1].delete(HERE, f"u{number}")),
            *(refusal(services[n % 2].update(HERE, own, [page(at=NOW)])) for n in range(3)),
            refusal(services[0].delete(HERE, own)),
        )
        assert set(outcomes) <= {"none", "ProfileNotFound"}
        assert sorted([outcomes[3], outcomes[7]]) == ["ProfileNotFound", "none"]
        assert await leads_to(store, own) is None
        assert await leads_to(store, f"u{number}") is None
        assert await store.history(HERE, own) == []
    assert (await dump(store))[0] == []


async def test_two_are_born_at_one_id(store: ProfileStore) -> None:
    services = [serve(store), serve(store)]
    own = (await services[0].create(HERE, [page(at=NOW)], preflight=True)).profile["id"]
    answers = await asyncio.gather(
        *(services[n % 2].update(HERE, own, [page(at=NOW)]) for n in range(8))
    )
    assert {answer.profile["random"] for answer in answers} == {answers[0].profile["random"]}
    assert viewed((await services[0].get(HERE, own)).profile) == 8


async def test_two_claim_one_user_id(store: ProfileStore) -> None:
    services = [serve(store), serve(store)]
    for number in range(10):
        events = [page(at=NOW), identify(f"user-{number}")]
        made = [page(at=NOW)], [page(at=NOW)], [page(at=NOW)]
        ids = [(await services[0].create(HERE, list(one))).profile["id"] for one in made]
        requests = []
        for n, own in enumerate(ids):
            mine = [{**one, "messageId": f"{n}-{i}"} for i, one in enumerate(events)]
            requests.append(services[n % 2].update(HERE, own, mine))
        await asyncio.gather(*requests)
        owners = {await leads_to(store, key) for key in [*ids, f"user-{number}"]}
        assert len(owners) == 1
        profile = (await services[0].get(HERE, ids[0])).profile
        assert (viewed(profile), profile["session"]["count"]) == (6, 3)


@pytest.mark.parametrize("seed", range(6))
async def test_merges_race_merges(store: ProfileStore, seed: int) -> None:
    chance = random.Random(seed)
    services = [serve(store, attempts=200, waiting_per_profile=200) for _ in range(2)]
    users = [f"user-{number}" for number in range(5)]
    ids = []
    for number in range(8):
        events = [page(at=NOW, message=f"born-{number}")]
        ids.append((await services[0].create(HERE, events)).profile["id"])
    sent = {f"born-{number}" for number in range(8)}
    requests = []
    for number in range(40):
        made = [
            page(at=NOW, message=f"view-{number}"),
            identify(chance.choice(users), NOW, f"who-{number}"),
        ]
        sent |= {f"view-{number}", f"who-{number}"}
        key = chance.choice(ids)
        requests.append(services[number % 2].update(HERE, key, made))
    await asyncio.gather(*requests)
    profiles, names, *_ = await dump(store)
    alive = {row.id for _, row in profiles}
    # Every name leads to exactly one profile that lives, and no id is lost.
    assert all(name.kind in ("alias", "forward") and name.id in alive for _, name in names)
    assert alive | {name.key for _, name in names if name.kind == "forward"} == set(ids)
    stored = [message for key in alive for message in await messages(store, key)]
    assert sorted(stored) == sorted(sent)
    counts = 0
    sessions = 0
    for _, row in profiles:
        state = decode_state(row.record)
        assert state.session is not None
        counts += sum(value for value in state.activity.values() if isinstance(value, int))
        sessions += state.session.count
        assert len(state.messages) == 8 * state.kept.events
    assert (counts, sessions) == (48, 8)


async def test_merges_race_deletes(store: ProfileStore) -> None:
    services = [serve(store, attempts=100), serve(store, attempts=100)]
    for number in range(15):
        user = f"user-{number}"
        known = (await services[0].create(HERE, [page(at=NOW), identify(user)])).profile["id"]
        own = (await services[0].create(HERE, [page(at=NOW)])).profile["id"]
        merge, delete = await asyncio.gather(
            refusal(services[0].update(HERE, own, [identify(user)])),
            refusal(services[1].delete(HERE, known if number % 2 else own)),
        )
        assert {merge, delete} <= {"none", "ProfileNotFound"}
        ends = {await leads_to(store, key) for key in (known, own, user)}
        assert len(ends - {None}) <= 1
        if number % 2:
            assert await leads_to(store, known) is None
    for _, name in (await dump(store))[1]:
        if name.kind != "tombstone":
            assert await leads_to(store, name.id) == name.id


async def test_a_crowd(store: ProfileStore) -> None:
    """Everything at once; only errors of ours, and what remains is sound."""
    chance = random.Random(9)
    services = [serve(store, attempts=50), serve(store, attempts=50)]
    keys = [f"batch-{number}" for number in range(4)]
    own = (await services[0].create(HERE, [page()], preflight=True)).profile["id"]
    keys.append(own)

    async def one(number: int) -> None:
        service = services[number % 2]
        key = chance.choice(keys)
        events = [page(at=NOW), identify(f"user-{number % 6}")]
        kind = chance.randrange(6)
        try:
            if kind == 0:
                await service.delete(HERE, key)
            elif kind == 1:
                await service.upsert(
                    HERE, [{**e, "anonymousId": chance.choice(keys)} for e in events]
                )
            elif kind == 2:
                await service.get(HERE, key, at=NOW)
            else:
                await service.update(HERE, key, events, preflight=kind == 3)
        except ServiceError:
            pass

    await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(300))), 60)
    profiles, names, *_ = await dump(store)
    alive = {row.id for _, row in profiles}
    assert all(name.kind == "tombstone" or name.id in alive for _, name in names)
    for _, row in profiles:
        stored = await messages(store, row.id)
        state = decode_state(row.record)
        assert len(set(stored)) == len(stored) == state.kept.events == len(state.messages) // 8

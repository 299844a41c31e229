"""Batches that are applied later: once each, by whoever comes first, or moved aside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
from typing import Any

import msgspec
import pytest

from profiles.samples import NOW, identify, page
from service.requests import ENGINE, HERE, NOWHERE, THERE, Clock, leads_to, refusal, serve, viewed
from service.stores import dump
from whichvariant import Engine, Namespace
from whichvariant.errors import (
    ConfigurationUnavailable,
    EventError,
    ProfileOverload,
    StoreClosed,
    StoreConflict,
    StoreDamaged,
    StoreRefused,
)
from whichvariant.service import ProfileService, ServiceSettings
from whichvariant.service.inbox import Inbox, Processed
from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore, Transaction

Json = Any


def of(key: str, made: Json) -> Json:
    return {**made, "anonymousId": key}


def inbox_of(
    store: ProfileStore, clock: Clock | None = None, owner: str | None = None, **limits: Json
) -> Inbox:
    clock = clock or Clock()
    return Inbox(serve(store, clock, **limits), owner, now_ms=clock)


async def left(store: ProfileStore) -> int:
    return sum(one.inbox for one in (await store.stats()).namespaces)


async def views_of(store: ProfileStore, key: str) -> int:
    return viewed((await serve(store).get(HERE, key)).profile)


# --- once ----------------------------------------------------------------------------------------


async def test_a_batch_is_accepted_and_then_applied(store: ProfileStore) -> None:
    clock = Clock()
    inbox = inbox_of(store, clock)
    first = await inbox.accept(HERE, [of("a", page("/landing")), of("b", page())])
    second = await inbox.accept(HERE, [of("a", page()), of("a", identify("user", x=1))])
    assert second > first
    assert (await dump(store))[0] == []
    clock.now += 5_000
    assert await inbox.process() == Processed(2, 0, 0)
    assert await inbox.process() == Processed(0, 0, 0)
    assert await left(store) == 0
    profile = (await inbox.service.get(HERE, "user")).profile
    assert (profile["id"], viewed(profile), profile["traits"]) == ("a", 2, {"x": 1})
    # It happened when it was received.
    answer = await inbox.service.get(HERE, "a", at=NOW)
    assert viewed(answer.profile) == 2


async def test_several_owners_apply_each_batch_once(store: ProfileStore) -> None:
    inboxes = [inbox_of(store, owner=f"owner-{number}") for number in range(3)]
    for number in range(48):
        await inboxes[0].accept(HERE, [of(f"p{number % 5}", page(at=NOW)), of("all", page(at=NOW))])
    done = Processed(0, 0, 0)
    while await left(store):
        some = await asyncio.gather(*(inbox.process(7) for inbox in inboxes))
        done = Processed(*(sum(parts) for parts in zip(done, *some, strict=True)))
    assert done.rejected == 0
    assert done.applied == 48
    rows = await store.history(HERE, "all")
    assert len([row for row in rows if row.sequence]) == 48
    counts = [len(await store.history(HERE, f"p{number}")) for number in range(5)]
    assert sum(counts) == 48


async def test_a_lease_that_ends_while_its_owner_is_at_work(store: ProfileStore) -> None:
    clock = Clock()
    one, other = inbox_of(store, clock, "one"), inbox_of(store, clock, "other")
    await one.accept(HERE, [of("a", page())])
    (item,) = await store.claim("one", 9, one.service.settings.lease_ms, clock.now)
    assert await other.process() == Processed(0, 0, 0)
    clock.now += one.service.settings.lease_ms
    assert await other.process() == Processed(1, 0, 0)
    before = await dump(store)
    # The first owner comes to it at last.
    assert await one._one(item) == "applied"
    assert await dump(store) == before
    assert await views_of(store, "a") == 1


async def test_whoever_dies_in_between_has_changed_nothing(store: ProfileStore) -> None:
    clock = Clock()
    inbox = inbox_of(store, clock)
    await inbox.accept(HERE, [of("a", page()), of("b", page())])
    before = await dump(store)
    task = asyncio.create_task(inbox.process())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if await left(store):
        assert await dump(store) == before
    clock.now += inbox.service.settings.lease_ms
    await inbox_of(store, clock).process()
    assert await views_of(store, "a") == await views_of(store, "b") == 1


async def test_a_profile_whose_id_is_the_number_of_the_batch(store: ProfileStore) -> None:
    clock = Clock()
    inbox = inbox_of(store, clock)
    sequence = await inbox.accept(HERE, [of("x", page())])
    await inbox.process()
    name = str(sequence + 1)
    assert await inbox.accept(HERE, [of(name, page(at=NOW))]) == sequence + 1
    other = serve(store, clock)
    await asyncio.gather(
        inbox.process(), *(other.upsert(HERE, [of(name, page(at=NOW))]) for _ in range(5))
    )
    clock.now += inbox.service.settings.lease_ms
    await inbox.process()
    assert await left(store) == 0
    assert await views_of(store, name) == 6


async def test_a_race_for_such_a_profile_is_not_taken_for_one_for_the_batch() -> None:
    store = Contested()
    store.races = 0
    store.key = "1"
    inbox = inbox_of(store)
    await inbox.service.upsert(HERE, [of("1", page(at=NOW))])
    assert await inbox.accept(HERE, [of("1", page(at=NOW))]) == 1
    store.races = 2
    assert await inbox.process() == Processed(1, 0, 0)
    assert await left(store) == 0
    assert await views_of(store, "1") == 2
    # It really is gone, and there is such a profile.
    await inbox.service.upsert(HERE, [of("2", page())])
    await inbox.accept(HERE, [of("2", page())])
    (item,) = await store.claim(inbox.owner, 1, 1, NOW)
    await store.reject(2, "by somebody else", NOW)
    assert await inbox._one(item) == "postponed"


async def test_batches_at_once_about_one_profile_by_several_names(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    await inbox.service.upsert(HERE, [of("a", identify("user"))])
    for number in range(20):
        await inbox.accept(HERE, [of(("a", "user")[number % 2], page(at=NOW))])
    while await left(store):
        await inbox.process()
    assert len([row for row in await store.history(HERE, "a") if row.sequence]) == 21


# --- moved aside ---------------------------------------------------------------------------------


async def reasons(store: ProfileStore) -> list[str]:
    return [item.reason for item in await store.rejected()]


async def test_batches_that_cannot_be_accepted(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    before = await dump(store)
    big = [of("a", page(extra="x" * 1_000_000)) for _ in range(9)]
    for events, path in (
        ([page()], "events[0].anonymousId"),
        ([of("a", {**page(), "type": "x"})], "events[0].type"),
        ([of("a", page(extra=float("nan")))], "events[0].extra"),
        ([of("a", page(extra="x" * (1 << 20)))], "events[0]"),
        (big, "events"),
        ([of("a", page())] * 201, "events"),
        ([], "events"),
    ):
        with pytest.raises(EventError) as caught:
            await inbox.accept(HERE, events)
        assert caught.value.path == path
    assert await dump(store) == before


async def test_an_unknown_namespace_is_rejected_later(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    await inbox.accept(NOWHERE, [of("a", page())])
    await inbox.accept(HERE, [of("a", page())])
    assert await inbox.process() == Processed(1, 1, 0)
    (reason,) = await reasons(store)
    assert reason.startswith("ConfigurationNotFound: no configuration for organization 'nobody'")


class Coming:
    """Deciders of which one cannot be loaded yet."""

    def __init__(self) -> None:
        self.missing = {THERE}

    def __call__(self, namespace: Namespace) -> Engine | None:
        if namespace in self.missing:
            raise ConfigurationUnavailable("the configuration could not be loaded yet")
        return {HERE: ENGINE, THERE: ENGINE}.get(namespace)


@pytest.mark.parametrize("told", [True, False])
async def test_batches_wait_for_a_configuration_however_long_it_takes(
    store: ProfileStore, told: bool
) -> None:
    coming, clock = Coming(), Clock()
    service = ProfileService(store, coming, ServiceSettings(inbox_attempts=2), now_ms=clock)
    inbox = Inbox(service, now_ms=clock, unavailable=(lambda: coming.missing) if told else tuple)
    for number in range(3):
        await inbox.accept(THERE, [of("a", page(at=NOW + number))])
    await inbox.accept(HERE, [of("b", page())])
    assert (await inbox.process()).applied == 1
    for _ in range(5):
        done = await inbox.process()
        assert (done.applied, done.rejected) == (0, 0)
        # Those that are known to wait are not even looked at, so that they bar nobody.
        assert done.postponed == (0 if told else 3)
        clock.now += service.settings.lease_ms
    assert await left(store) == 3
    coming.missing.clear()
    assert await inbox.process() == Processed(3, 0, 0)
    assert viewed((await service.get(THERE, "a")).profile) == 3


async def test_many_that_wait_do_not_hold_up_others(store: ProfileStore) -> None:
    coming, clock = Coming(), Clock()
    service = ProfileService(store, coming, now_ms=clock)
    inbox = Inbox(service, now_ms=clock, unavailable=lambda: coming.missing)
    for _ in range(20):
        await inbox.accept(THERE, [of("a", page(at=NOW))])
    await inbox.accept(HERE, [of("b", page())])
    assert await inbox.process(4) == Processed(1, 0, 0)
    coming.missing.clear()
    # None of them was counted as an attempt.
    (item,) = await store.claim("other", 1, 1, clock.now)
    assert item.attempts == 1


async def test_what_waits_survives_a_restart_without_its_configuration(
    tmp_path: pathlib.Path,
) -> None:
    coming = Coming()
    for attempt in range(3):
        async with contextlib.AsyncExitStack() as stack:
            store = EmbeddedStore.open(tmp_path / "profiles.db")
            stack.push_async_callback(store.close)
            service = ProfileService(store, coming, now_ms=Clock())
            inbox = Inbox(service, now_ms=Clock(), unavailable=lambda: coming.missing)
            if attempt == 0:
                await inbox.accept(THERE, [of("a", page(at=NOW))])
            if attempt == 2:
                coming.missing.clear()
                assert await inbox.process() == Processed(1, 0, 0)
                assert viewed((await service.get(THERE, "a")).profile) == 1
            else:
                assert await inbox.process() == Processed(0, 0, 0)
                assert await left(store) == 1


async def test_what_grows_too_large_is_rejected(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    await inbox.accept(HERE, [of("a", identify("", x="x" * 200_000))])
    await inbox.accept(HERE, [of("b", page()), of("a", identify("", y="y" * 200_000))])
    assert await inbox.process() == Processed(1, 1, 0)
    assert (await reasons(store))[0].startswith("EventError: events[1].traits: ")
    assert await leads_to(store, "b") is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91\x01",
        b"\x91" * 100_000,
        b"\x91\x81\xa1a\xa2\xff\xfe",
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode([5]),
        msgspec.msgpack.encode([{}]),
        msgspec.msgpack.encode([{"anonymousId": []}]),
        msgspec.msgpack.encode([{"anonymousId": 5}]),
        msgspec.msgpack.encode([{1: 2}]),
        msgspec.msgpack.encode({"a": 1}),
        msgspec.msgpack.encode([of("a", page())])[:-1],
        msgspec.msgpack.encode([of("", page())]),
    ],
)
async def test_poison_is_rejected_and_the_rest_goes_on(store: ProfileStore, payload: bytes) -> None:
    inbox = inbox_of(store)
    await store.enqueue(HERE, payload, NOW)
    await inbox.accept(HERE, [of("a", page())])
    assert await inbox.process() == Processed(1, 1, 0)
    (reason,) = await reasons(store)
    assert "Error: " in reason
    assert await views_of(store, "a") == 1


class Troubled(MemoryStore):
    """A store where writes about one profile fail."""

    error: Exception = StoreDamaged("the page is damaged")
    failing = "bad"

    async def commit(self, transaction: Transaction) -> None:
        if any(put.id == self.failing for put in transaction.puts):
            raise self.error
        await super().commit(transaction)


async def test_what_the_store_refuses_is_rejected_at_once() -> None:
    store = Troubled()
    store.error = StoreRefused("the record has 99 bytes; the limit is 9")
    inbox = inbox_of(store)
    await inbox.accept(HERE, [of("bad", page())])
    assert await inbox.process() == Processed(0, 1, 0)
    assert (await reasons(store))[0].startswith("StoreRefused: the record has 99 bytes")


@pytest.mark.parametrize("error", [StoreDamaged("the page is damaged"), RuntimeError("a bug")])
async def test_what_always_fails_does_not_come_back_for_ever(error: Exception) -> None:
    store = Troubled()
    store.error = error
    clock = Clock()
    inbox = inbox_of(store, clock, inbox_attempts=3)
    await inbox.accept(HERE, [of("bad", page())])
    await inbox.accept(HERE, [of("good", page())])
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            await inbox.process()
        assert await left(store) == 1
        assert await views_of(store, "good") == 1
        clock.now += inbox.service.settings.lease_ms
    assert await inbox.process() == Processed(0, 1, 0)
    (reason,) = await reasons(store)
    assert reason == f"gave up after 3 attempts: {type(error).__name__}: {error}"
    # Put back when the trouble is over, it is applied.
    store.failing = ""
    assert await store.requeue([1]) == 1
    assert await inbox.process() == Processed(1, 0, 0)
    assert await views_of(store, "bad") == 1


async def test_a_store_that_recovers_in_time_loses_nothing() -> None:
    store = Troubled()
    clock = Clock()
    inbox = inbox_of(store, clock)
    await inbox.accept(HERE, [of("bad", page())])
    with pytest.raises(StoreDamaged):
        await inbox.process()
    store.failing = ""
    assert await inbox.process() == Processed(0, 0, 0)
    clock.now += inbox.service.settings.lease_ms
    assert await inbox.process() == Processed(1, 0, 0)


class Contested(MemoryStore):
    """A store where somebody else is faster for a while."""

    races = 10**9
    key = "a"

    async def commit(self, transaction: Transaction) -> None:
        self.races -= 1
        if self.races >= 0:
            raise StoreConflict(self.key, "somebody else was faster")
        await super().commit(transaction)


async def test_what_loses_races_is_tried_again_and_at_last_rejected() -> None:
    store = Contested()
    inbox = inbox_of(store, attempts=2, inbox_attempts=3)
    await inbox.accept(HERE, [of("a", page())])
    assert await inbox.process() == Processed(0, 0, 1)
    assert await inbox.process() == Processed(0, 0, 1)
    assert await inbox.process() == Processed(0, 1, 0)
    assert await reasons(store) == ["gave up after 3 attempts"]
    store.races = 3
    await inbox.accept(HERE, [of("a", page())])
    assert await inbox.process() == Processed(0, 0, 1)
    assert await inbox.process() == Processed(1, 0, 0)


async def test_events_of_deleted_profiles_are_dropped(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    await inbox.service.upsert(HERE, [of("gone", page())])
    await inbox.accept(HERE, [of("gone", page()), of("stays", page())])
    await inbox.accept(HERE, [of("gone", page())])
    await inbox.service.delete(HERE, "gone")
    assert await inbox.process() == Processed(2, 0, 0)
    assert await leads_to(store, "gone") is None
    assert await views_of(store, "stays") == 1
    assert await left(store) == 0


# --- running -------------------------------------------------------------------------------------


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_it_runs_until_it_is_stopped(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    stop = asyncio.Event()
    running = asyncio.create_task(inbox.run(stop, idle_s=60))

    async def empty() -> bool:
        return not await left(store)

    for number in range(5):
        await inbox.accept(HERE, [of("a", page(at=NOW))])
        await until(empty)
        assert await views_of(store, "a") == number + 1
    stop.set()
    await asyncio.wait_for(running, 5)
    await inbox.accept(HERE, [of("a", page())])
    await asyncio.sleep(0.02)
    assert await left(store) == 1


async def test_it_notices_what_others_accept(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    stop = asyncio.Event()
    running = asyncio.create_task(inbox.run(stop, idle_s=0.01))
    await asyncio.sleep(0.03)
    await inbox_of(store).accept(HERE, [of("a", page())])

    async def empty() -> bool:
        return not await left(store)

    await until(empty)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert await views_of(store, "a") == 1


async def test_what_was_begun_is_finished_before_it_stops(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    for number in range(30):
        await inbox.accept(HERE, [of(f"p{number}", page())])
    stop = asyncio.Event()
    running = asyncio.create_task(inbox.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert await left(store) in (0, 30)
    assert len([task for task in asyncio.all_tasks() if not task.done()]) == 1


async def test_a_store_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Troubled()
    clock = Clock()
    inbox = inbox_of(store, clock)
    await inbox.accept(HERE, [of("bad", page("/secret-of-a-visitor"))])
    stop = asyncio.Event()
    running = asyncio.create_task(inbox.run(stop, idle_s=0.001))
    await asyncio.sleep(0.02)
    store.failing = ""
    clock.now += inbox.service.settings.lease_ms

    async def empty() -> bool:
        return not await left(store)

    await until(empty)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert "the inbox could not be processed" in caplog.text
    assert "secret" not in caplog.text


async def test_a_closed_store_ends_it() -> None:
    store = MemoryStore()
    inbox = inbox_of(store)
    running = asyncio.create_task(inbox.run(asyncio.Event(), idle_s=0.001))
    await asyncio.sleep(0.01)
    await store.close()
    with pytest.raises(StoreClosed):
        await asyncio.wait_for(running, 5)


async def test_what_visitors_sent_is_not_logged(
    store: ProfileStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    inbox = inbox_of(store)
    await store.enqueue(HERE, msgspec.msgpack.encode([of("a", {**page(), "type": "secret"})]), NOW)
    await inbox.process()
    assert "secret" in (await reasons(store))[0]
    assert "secret" not in caplog.text


async def test_overload_of_a_profile_is_not_the_batchs_fault(store: ProfileStore) -> None:
    inbox = inbox_of(store, waiting_per_profile=0)
    service: ProfileService = inbox.service
    await inbox.accept(HERE, [of("a", page(at=NOW))])
    async with service._turns.of([(HERE, "a")]):
        # A client is told to come back; a batch that nobody waits for waits for its turn.
        processing = asyncio.create_task(inbox.process())
        assert await refusal(service.upsert(HERE, [of("a", page())])) == ProfileOverload.__name__
        await asyncio.sleep(0.02)
        assert not processing.done()
    assert await processing == Processed(1, 0, 0)


async def test_namespaces_are_kept_apart(store: ProfileStore) -> None:
    inbox = inbox_of(store)
    await inbox.accept(HERE, [of("a", page())])
    await inbox.accept(THERE, [of("a", page())])
    assert await inbox.process() == Processed(2, 0, 0)
    assert await views_of(store, "a") == 1

"""A service that is killed: what it answered is kept, whole, and every batch is applied once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pathlib
import random
import time

import pytest

from service.crash_service import ALL_KEPT, SPACE, engine, run_service
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.history import BASE, decode_row
from whichvariant.profiles.state import decode_state
from whichvariant.service import ProfileService
from whichvariant.service.inbox import Inbox
from whichvariant.service.settings import ServiceSettings
from whichvariant.store import ProfileStore
from whichvariant.store.opening import open_store
from whichvariant.store.postgres_target import is_postgres

KILLS = max(3, int(os.environ.get("WHICHVARIANT_KILLS", "200")) // 10)


def run_until_killed(name: str, run: int, after_s: float) -> list[tuple[str, str]]:
    """What a process said before it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "service.crash_service"])
    listening, saying = context.Pipe(duplex=False)
    process = context.Process(target=run_service, args=(name, run, saying))
    process.start()
    saying.close()
    said = []
    try:
        said.append(listening.recv())
        deadline = time.monotonic() + after_s
        while (left := deadline - time.monotonic()) > 0:
            if listening.poll(left):
                said.append(listening.recv())
        process.kill()
        while True:
            said.append(listening.recv())
    except (EOFError, OSError):
        pass
    finally:
        process.kill()
        process.join()
        listening.close()
    assert process.exitcode == -9, "the service ended by itself"
    return said


async def messages_kept(store: ProfileStore) -> list[str]:
    """Every `messageId` in every history; each profile is what its history makes it."""
    rules = engine()
    kept = []
    for space, row in await store.scan(limit=10**6):
        state = decode_state(row.record)
        bought = 0
        sequences = []
        for part in await store.history(space, row.id):
            if part.sequence == BASE:
                continue
            sequences.append(part.sequence)
            for event in decode_row(part).events:
                kept.append(event.fields.message_id)
                bought += event.raw["type"] == "track"
        assert sequences == list(range(state.kept.first, state.kept.next))
        assert event_counts(state, rules, 2**50) == [bought]
        assert len(state.messages) == 8 * state.kept.events
    return kept


async def check(name: str, updated: set[str], accepted: set[str]) -> None:
    """After a restart: first what is there, then, with the inbox empty, everything."""
    async with await open_store(name) as store:
        kept = await messages_kept(store)
        assert len(kept) == len(set(kept)), "an event was applied twice"
        for message in updated:
            assert {message, f"{message}-b"} <= set(kept), "an answered update is lost"
        settings = ServiceSettings(profiles=ALL_KEPT, lease_ms=1)
        service = ProfileService(store, {SPACE: engine()}, settings)
        inbox = Inbox(service)
        while (await store.stats()).namespaces and any(
            space.inbox for space in (await store.stats()).namespaces
        ):
            done = await inbox.process()
            assert done.rejected == 0
            if not any(done):
                await asyncio.sleep(0.01)  # held by the one that was killed
        kept = await messages_kept(store)
        assert len(kept) == len(set(kept)), "a batch was applied twice"
        for message in accepted:
            parts = {f"{message}-{k}" for k in range(3)}
            assert parts <= set(kept), "an accepted batch is lost"
        whole = {
            name.rsplit("-", 1)[0] for name in kept if name.count("-") == 2 and name[-1] != "b"
        }
        for message in whole:
            assert {f"{message}-{k}" for k in range(3)} <= set(kept), "half a batch was applied"
        assert await store.verify() == []


@pytest.fixture(params=["embedded", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """The name of a store that several processes can open."""
    embedded = request.param == "embedded"
    return str(tmp_path / "profiles.db") if embedded else request.getfixturevalue("dsn")


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_service_keeps_what_it_answered(place: str, seed: int) -> None:
    chance = random.Random(seed)
    # A connection takes longer than opening a file.
    slower = 4 if is_postgres(place) else 1
    runs = KILLS // 2 // slower + 1
    updated: set[str] = set()
    accepted: set[str] = set()
    for run in range(runs):
        for what, message in run_until_killed(place, run, slower * chance.uniform(0.01, 0.25)):
            if what == "updated":
                updated.add(message)
            elif what == "accepted":
                accepted.add(message)
        if run % 3 == 2 or run == runs - 1:
            asyncio.run(check(place, updated, accepted))
    assert updated
    assert accepted

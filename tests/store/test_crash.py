"""Killed at any moment: what was acknowledged is there, nothing is half there, nothing is twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pathlib
import pickle
import random
import time
from typing import Any

import asyncpg
import pytest
from tests.postgres import within

from store.crash_writer import CONSUMERS, WRITERS, space_of, write_until_killed
from whichvariant.store import MemoryStore, ProfileStore, Transaction
from whichvariant.store.opening import open_store
from whichvariant.store.postgres_target import is_postgres

# A new store now and then: making one can be interrupted as well.
STORES = 10
KILLS_PER_STORE = int(os.environ.get("WHICHVARIANT_KILLS", "200")) // STORES
LONGEST_S = 0.15


def run_until_killed(
    name: str, seed: int, after_s: float, *, opened: bool = False
) -> list[tuple[Any, ...]]:
    """What a process said before it was killed; with ``opened`` not before it had the store."""
    # A server that has imported everything forks the writers: that takes milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "whichvariant.store"])
    listening, saying = context.Pipe(duplex=False)
    process = context.Process(target=write_until_killed, args=(name, seed, saying))
    process.start()
    saying.close()
    said = []
    try:
        said.append(pickle.loads(listening.recv_bytes()))
        if opened:
            said.append(pickle.loads(listening.recv_bytes()))
        deadline = time.monotonic() + after_s
        while (left := deadline - time.monotonic()) > 0:
            if listening.poll(left):
                said.append(pickle.loads(listening.recv_bytes()))
        process.kill()
        while True:
            said.append(pickle.loads(listening.recv_bytes()))
    except (EOFError, OSError):
        pass  # OSError: the last message is a part of one, which tells nothing
    finally:
        process.kill()
        process.join()
        listening.close()
    assert process.exitcode == -9, "the writer ended by itself"
    return said


async def of_space(store: ProfileStore, task: str) -> Any:
    space = space_of(task)
    profiles = await store.scan(space, limit=10**6)
    return (
        profiles,
        await store.scan_names(space, limit=10**6),
        [await store.history(space, row.id) for _, row in profiles],
    )


class Account:
    """What must be in a store, from what its writers said."""

    def __init__(self) -> None:
        self.model = MemoryStore()
        self.enqueued: dict[int, bytes] = {}
        self.attempted: set[bytes] = set()
        self.acknowledged = 0
        self.undecided = 0

    async def check(self, store: ProfileStore, said: list[tuple[Any, ...]]) -> None:
        begun: dict[str, Transaction] = {}
        for kind, *rest in said:
            if kind == "begin":
                begun[rest[0]] = rest[1]
            elif kind == "done":
                task, transaction = rest
                assert begun.pop(task) == transaction
                await self.apply(transaction)
                self.acknowledged += 1
            elif kind == "enqueueing":
                self.attempted.add(rest[0])
            elif kind == "enqueued":
                self.enqueued[rest[1]] = rest[0]
        tasks = [f"writer {at}" for at in range(WRITERS)]
        for task in tasks + [f"consumer {at}" for at in range(CONSUMERS)]:
            there = await of_space(store, task)
            if there != await of_space(self.model, task):
                # What was begun and not acknowledged is there, then, and all of it.
                assert task in begun, task
                await self.apply(begun[task])
                self.undecided += 1
                assert there == await of_space(self.model, task), task

    async def apply(self, transaction: Transaction) -> None:
        # The inbox is accounted for by sequence numbers, and not in the model.
        await self.model.commit(transaction._replace(finishes=()))

    async def check_inbox(self, store: ProfileStore) -> None:
        """Each item is either waiting or in one ledger, once."""
        processed: dict[int, bytes] = {}
        for at in range(CONSUMERS):
            for row in await store.history(space_of(f"consumer {at}"), "ledger"):
                assert row.sequence not in processed
                processed[row.sequence] = row.data
        items = await store.claim("check", 10**6, 1, 10**12)
        await store.release([item.sequence for item in items], "check")
        waiting = {item.sequence: item.payload for item in items}
        assert not waiting.keys() & processed.keys()
        everything = {**waiting, **processed}
        for sequence, token in self.enqueued.items():
            assert everything[sequence] == token
        assert set(everything.values()) <= self.attempted
        assert len(set(everything.values())) == len(everything)


@pytest.mark.parametrize("number", range(STORES))
def test_killed_at_any_moment(path: pathlib.Path, number: int) -> None:
    kill_writers(str(path), number, KILLS_PER_STORE, LONGEST_S)


def test_killed_at_any_moment_on_postgresql(dsn: str) -> None:
    """The server lives on, and with it, for a while, what a killed process had asked of it."""
    name = within(dsn, application_name="crash writer")
    kill_writers(name, 77, KILLS_PER_STORE, 3 * LONGEST_S, opened=True)


async def nobody_left(dsn: str) -> None:
    """Wait until the server has noticed that a process is gone, and has ended what it asked for."""
    connection = await asyncpg.connect(within(dsn, application_name="looking"))
    try:
        for _ in range(3000):
            left = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crash writer'"
            )
            if left == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the server still serves a process that is gone")
    finally:
        await connection.close()


def kill_writers(
    name: str, number: int, kills: int, longest_s: float, *, opened: bool = False
) -> None:
    """Kill writers of one store so often, and account for all that they said after each time."""
    chance = random.Random(number)
    account = Account()
    seen = 0

    async def check(said: list[tuple[Any, ...]], thorough: bool) -> None:
        if is_postgres(name):
            await nobody_left(name.partition("&application_name")[0])
        async with await open_store(name) as store:
            await account.check(store, said)
            await account.check_inbox(store)
            if thorough:
                assert await store.verify() == []

    for kill in range(kills):
        said = run_until_killed(
            name, number * 1000 + kill + 1, chance.uniform(0, longest_s), opened=opened
        )
        seen += ("opened",) in said
        asyncio.run(check(said, thorough=kill % 5 == 4))
    assert seen > kills // 2
    assert account.acknowledged > 20 * kills
    assert len(account.enqueued) > kills

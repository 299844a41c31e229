"""A process that writes until it is killed, and says what it is about to do and what was done.

Every task has a namespace of its own, so that whoever listens can follow each of them by itself:
of a task that was killed, one transaction at most is neither acknowledged nor undone for sure.
"""

from __future__ import annotations

import asyncio
import pickle
import random
from multiprocessing.connection import Connection
from typing import Any

from whichvariant.store import (
    Erase,
    HistoryRow,
    Link,
    Merge,
    Namespace,
    ProfileStore,
    Put,
    Transaction,
)
from whichvariant.store.opening import open_store

WRITERS = 6
PRODUCERS = 2
CONSUMERS = 2
LEASE_MS = 50


def space_of(task: str) -> Namespace:
    return Namespace("crash", task)


def write_until_killed(name: str, seed: int, pipe: Connection) -> None:
    pipe.send_bytes(pickle.dumps(("started",)))
    asyncio.run(_write(name, seed, pipe))


async def _write(name: str, seed: int, pipe: Connection) -> None:
    store = await open_store(name)

    def say(*message: Any) -> None:
        pipe.send_bytes(pickle.dumps(message))

    say("opened")
    await asyncio.gather(
        *(
            _change(store, f"writer {at}", random.Random(f"{seed} {at}"), say)
            for at in range(WRITERS)
        ),
        *(_produce(store, f"producer {at}", seed, say) for at in range(PRODUCERS)),
        *(_consume(store, f"consumer {at}", f"{seed} {at}", say) for at in range(CONSUMERS)),
    )


async def _commit(store: ProfileStore, task: str, transaction: Transaction, say: Any) -> None:
    say("begin", task, transaction)
    await store.commit(transaction)
    say("done", task, transaction)


async def _change(store: ProfileStore, task: str, chance: random.Random, say: Any) -> None:
    space = space_of(task)
    versions = {row.id: row.version for _, row in await store.scan(space)}
    made = f"{chance.getrandbits(64):x}"
    number = 0
    while True:
        number += 1
        kind = chance.random()
        record = chance.randbytes(chance.choice((10, 500, 2000, 12_000)))
        ids = chance.sample(sorted(versions), min(2, len(versions)))
        rows = (HistoryRow(number, record[:100]), HistoryRow(0, record[:10]))
        if len(ids) < 2 or (kind < 0.3 and len(versions) < 8):
            fresh = f"{made} {number}"
            transaction = Transaction(
                space,
                (Put(fresh, record, 0, number, rows),),
                (Link(f"alias {fresh}", fresh),) if kind < 0.1 else (),
            )
            versions[fresh] = 1
        elif kind < 0.7:
            first, second = ids
            puts = [Put(first, record, versions[first], number, rows, range(1, number - 3))]
            versions[first] += 1
            if kind < 0.5:
                puts.append(Put(second, record, versions[second], number))
                versions[second] += 1
            transaction = Transaction(space, tuple(puts))
        elif kind < 0.85:
            source, into = ids
            transaction = Transaction(
                space,
                (Put(into, record, versions[into], number, rows),),
                merges=(Merge(source, versions.pop(source), into),),
            )
            versions[into] += 1
        else:
            gone = ids[0]
            transaction = Transaction(space, erases=(Erase(gone, versions.pop(gone), number),))
        await _commit(store, task, transaction, say)


async def _produce(store: ProfileStore, task: str, seed: int, say: Any) -> None:
    number = 0
    while True:
        number += 1
        token = f"{task} {seed} {number}".encode()
        say("enqueueing", token)
        sequence = await store.enqueue(space_of(task), token, number)
        say("enqueued", token, sequence)
        await asyncio.sleep(0.001)


async def _consume(store: ProfileStore, task: str, owner: str, say: Any) -> None:
    """Note each item in the history of a ledger, by its sequence number."""
    space = space_of(task)
    version = 0
    for _, row in await store.scan(space):
        version = row.version
    # Each process begins after the leases of the one before have ended.
    now_ms = int(owner.partition(" ")[0]) * LEASE_MS * 10
    while True:
        now_ms += 1
        for item in await store.claim(owner, 3, LEASE_MS, now_ms):
            row = HistoryRow(item.sequence, item.payload)
            put = Put("ledger", b"", version, 1, (row,))
            await _commit(store, task, Transaction(space, (put,), finishes=(item.sequence,)), say)
            version += 1
        await asyncio.sleep(0.001)

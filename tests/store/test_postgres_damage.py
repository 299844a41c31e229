"""Rows that are not what was written: never served, and named by ``verify``."""

from __future__ import annotations

import asyncpg
import pytest

from store.shorthands import HERE, erase, link, merge, put
from whichvariant.errors import StoreDamaged
from whichvariant.store import HistoryRow, ProfileStore
from whichvariant.store.postgres import PostgresStore

DAMAGE = {
    "a record": ("UPDATE wv_keys SET record = 'y' WHERE key = 'p'", "profile 'p'"),
    "a version": ("UPDATE wv_keys SET version = 7 WHERE key = 'p'", "profile 'p'"),
    "a time": ("UPDATE wv_keys SET at_ms = 7 WHERE key = 'p'", "profile 'p'"),
    "a moved row": (
        (
            "WITH gone AS (DELETE FROM wv_keys WHERE key = 'p' RETURNING record, seal) "
            "UPDATE wv_keys SET record = gone.record, seal = gone.seal FROM gone WHERE key = 'q'"
        ),
        "profile 'q'",
    ),
    "no record": ("UPDATE wv_keys SET record = NULL WHERE key = 'p'", "profile 'p'"),
    "history": ("UPDATE wv_history SET data = 'y' WHERE profile = 'p'", "history of profile 'p'"),
    "history of another": (
        "UPDATE wv_history SET profile = 'q' WHERE profile = 'p'",
        "history of profile 'q'",
    ),
    "an alias": ("UPDATE wv_keys SET profile = 'q' WHERE key = 'alias'", "key 'alias'"),
    "a forward": ("UPDATE wv_keys SET kind = 1 WHERE key = 'merged'", "key 'merged'"),
    "a tombstone": ("UPDATE wv_keys SET at_ms = 1 WHERE key = 'gone'", "key 'gone'"),
    "an alias to nobody": ("DELETE FROM wv_keys WHERE key = 'p'", "leads to no profile"),
    "an item": ("UPDATE wv_inbox SET payload = 'y'", "of inbox"),
    "a rejected item": ("UPDATE wv_rejected SET payload = 'y'", "of rejected"),
    "a namespace": ("UPDATE wv_namespaces SET organization = 'other'", "namespace"),
    "the secret": ("UPDATE wv_meta SET value = 'y'", "secret"),
}
READING = {
    "a record": lambda store: store.find(HERE, "p"),
    "a version": lambda store: store.find(HERE, "alias"),
    "a time": lambda store: store.scan(),
    "a moved row": lambda store: store.find(HERE, "q"),
    "no record": lambda store: store.find(HERE, "p"),
    "history": lambda store: store.history(HERE, "p"),
    "history of another": lambda store: store.history(HERE, "q"),
    "an alias": lambda store: store.find(HERE, "alias"),
    "a forward": lambda store: store.find(HERE, "merged"),
    "a tombstone": lambda store: store.find(HERE, "gone"),
    "an alias to nobody": lambda store: store.find(HERE, "alias"),
    "an item": lambda store: store.claim("one", 9, 10, 1),
    "a rejected item": lambda store: store.rejected(),
    "a namespace": lambda store: store.scan(),
}


async def filled(store: ProfileStore) -> None:
    await put(store, "p", b"x", append=(HistoryRow(1, b"x"),))
    await put(store, "q", b"x")
    await put(store, "merged")
    await put(store, "gone")
    await link(store, "alias", "p")
    await merge(store, "merged", "p")
    await erase(store, "gone", 1, 5)
    for _ in range(2):
        last = await store.enqueue(HERE, b"x", 1)
    await store.reject(last, "why", 1)


@pytest.mark.parametrize("kind", DAMAGE)
async def test_damage_is_found_and_not_served(dsn: str, kind: str) -> None:
    statement, place = DAMAGE[kind]
    async with await PostgresStore.open(dsn) as store:
        await filled(store)
        assert await store.verify() == []
        connection = await asyncpg.connect(dsn)
        secret = await connection.fetchval("SELECT value FROM wv_meta WHERE name = 'secret'")
        try:
            await connection.execute(statement)
            found = await store.verify()
            assert any(place in str(one) for one in found), found
            if kind in READING:
                # As a store that was opened since: what it knows of namespaces, it has read.
                async with await PostgresStore.open(dsn) as other:
                    with pytest.raises(StoreDamaged):
                        await READING[kind](other)
        finally:
            await connection.execute("UPDATE wv_meta SET value = $1", secret)
            await connection.close()


async def test_one_damaged_row_does_not_bar_others(dsn: str) -> None:
    async with await PostgresStore.open(dsn) as store:
        await filled(store)
        await store.enqueue(HERE, b"sound", 1)
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE wv_keys SET record = 'y' WHERE key = 'p'")
        await connection.execute("UPDATE wv_inbox SET payload = 'y' WHERE payload = 'x'")
        await connection.close()
        assert (await store.find(HERE, "q")) is not None
        assert [item.payload for item in await store.claim("one", 9, 10, 1)] == [b"sound"]


async def test_progress_is_told(dsn: str) -> None:
    async with await PostgresStore.open(dsn) as store:
        await filled(store)
        seen: list[tuple[int, int]] = []
        assert await store.verify(lambda done, total: seen.append((done, total))) == []
        assert seen[-1][0] == seen[-1][1] > 5
        assert sorted(seen) == seen

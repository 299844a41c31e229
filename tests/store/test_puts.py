"""Many writes at once do what each of them does alone."""

from __future__ import annotations

import asyncio
import pathlib
import random

import pytest
from tests.store.shorthands import HERE, HOSTILE, THERE

from whichvariant.errors import StoreConflict
from whichvariant.store import EmbeddedStore, HistoryRow, Link, MemoryStore, Put, Transaction
from whichvariant.store.postgres import PostgresStore
from whichvariant.store.postgres_changes import mentioned
from whichvariant.store.protocol import Erase, Merge, ProfileStore
from whichvariant.store.sqlite_puts import runs

KEYS = [*HOSTILE, *(f"p{number}" for number in range(40))]


def transactions(generator: random.Random, versions: dict[tuple[object, str], int]) -> list:
    """A group of writes, most of them of one profile; some expect what does not hold."""
    group = []
    for _ in range(generator.randint(1, 60)):
        namespace = HERE if generator.random() < 0.9 else THERE
        key = generator.choice(KEYS)
        expects = versions.get((namespace, key), 0)
        if generator.random() < 0.1:
            expects = generator.randint(0, 3)
        record = generator.randbytes(generator.choice([0, 1, 300, 9000]))
        rows = tuple(
            HistoryRow(generator.choice([0, 1, 2, 2**62]), generator.randbytes(at))
            for at in range(generator.randint(0, 2))
        )
        drop = (1,) if generator.random() < 0.05 else ()
        updated_ms = generator.choice([0, 1, -(2**62), 2**62])
        put = Put(key, record, expects, updated_ms, rows, drop)
        what = generator.random()
        if what < 0.85:
            group.append(Transaction(namespace, puts=(put,)))
        elif what < 0.9:
            group.append(Transaction(namespace, links=(Link(generator.choice(KEYS), key),)))
        elif what < 0.95:
            into = generator.choice(KEYS)
            group.append(Transaction(namespace, merges=(Merge(key, expects, into),)))
        else:
            group.append(Transaction(namespace, erases=(Erase(key, expects, 5),)))
        versions[namespace, key] = expects + 1
    return group


async def outcomes(store: ProfileStore, group: list, *, together: bool) -> list[str | None]:
    """What became of each write; ``together`` hands them over before any is answered."""
    if together:
        answers = await asyncio.gather(*map(store.commit, group), return_exceptions=True)
    else:
        answers = [
            (await asyncio.gather(store.commit(one), return_exceptions=True))[0] for one in group
        ]
    for answer in answers:
        assert answer is None or isinstance(answer, StoreConflict), answer
    return [None if answer is None else str(answer) for answer in answers]


async def content(store: ProfileStore) -> object:
    """All of a store, in order."""
    profiles = await store.scan()
    histories = [await store.history(namespace, row.id) for namespace, row in profiles]
    return profiles, histories, await store.scan_names()


@pytest.mark.parametrize("seed", range(30))
async def test_a_group_is_its_writes_in_their_order(tmp_path: pathlib.Path, seed: int) -> None:
    alone = MemoryStore()
    async with EmbeddedStore.open(tmp_path / "profiles.db") as store:
        generator = random.Random(seed)
        versions: dict[tuple[object, str], int] = {}
        for _ in range(6):
            group = transactions(generator, versions)
            expected = await outcomes(alone, group, together=False)
            assert await outcomes(store, group, together=True) == expected
            assert await content(store) == await content(alone)
            for namespace, row in await store.scan():
                versions[namespace, row.id] = row.version
        assert await store.verify() == []


@pytest.mark.parametrize("seed", range(10))
async def test_a_group_of_different_profiles_is_its_writes(dsn: str, seed: int) -> None:
    """PostgreSQL keeps no order of what comes at once; where no key is named twice, none shows."""
    alone = MemoryStore()
    async with await PostgresStore.open(dsn) as store:
        generator = random.Random(seed)
        versions: dict[tuple[object, str], int] = {}
        for _ in range(6):
            group, named = [], set()
            for one in transactions(generator, versions):
                keys = {(one.namespace, key.decode()) for key in mentioned(one)}
                if not keys & named:
                    named |= keys
                    group.append(one)
            expected = await outcomes(alone, group, together=False)
            assert await outcomes(store, group, together=True) == expected
            assert await content(store) == await content(alone)
            versions = {(space, row.id): row.version for space, row in await store.scan()}
        assert await store.verify() == []


def test_runs_keep_the_order_and_are_of_different_profiles() -> None:
    def put(key: str, namespace: object = HERE, **more: object) -> Transaction:
        return Transaction(namespace, puts=(Put(key, b"", 0, 1, **more),))  # type: ignore[arg-type]

    link = Transaction(HERE, links=(Link("l", "a"),))
    group = [put("a"), put("b"), put("c"), put("a"), link, put("d"), put("e"), put("f", THERE)]
    found = list(runs(group))
    assert [one for run in found for one in run] == group
    assert [len(run) for run in found] == [3, 1, 1, 1, 1, 1]
    assert [len(run) for run in runs([put("a"), put("b", drop=(1,)), put("c"), put("d")])] == [
        1
    ] * 4

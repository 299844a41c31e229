"""Copies between kinds of stores: whole, resumable, verified."""

from __future__ import annotations

import pathlib
import random

import pytest
from tests.postgres import schema

from store.shorthands import HERE, HOSTILE, THERE, erase, everything, link, merge, put
from whichvariant.errors import StoreError
from whichvariant.store import Bury, HistoryRow, Namespace, ProfileStore, Transaction
from whichvariant.store.copying import copy_store, row_store, store_digest
from whichvariant.store.opening import open_store
from whichvariant.store.rows import Batch, RowStore

KINDS = ["embedded", "postgres"]


@pytest.fixture(params=[(one, other) for one in KINDS for other in KINDS], ids="-".join)
def places(request: pytest.FixtureRequest, tmp_path: pathlib.Path):
    """Names of two stores."""
    with schema() as one, schema() as other:
        names = [
            dsn if kind == "postgres" else str(tmp_path / f"{number}.db")
            for number, (kind, dsn) in enumerate(zip(request.param, (one, other), strict=True))
        ]
        yield names


async def filled(name: str) -> RowStore:
    """A store with something of every kind in it."""
    store = await open_store(name)
    chance = random.Random(1)
    for at, key in enumerate(HOSTILE):
        rows = tuple(HistoryRow(chance.choice([0, at, 2**62]), b"%d" % at) for _ in range(at % 3))
        await put(store, key, chance.randbytes(at * 100), append=rows, updated_ms=at - 5)
        await put(store, key, b"", 1, updated_ms=2**62, drop=(0,))
        await put(store, f"there {key}"[:200], b"t", space=THERE)
        await link(store, f"alias {at}", key)
    for number in range(520):
        await put(store, f"p{number}", b"%d" % number, append=(HistoryRow(number, b"e"),))
    await merge(store, "a", "A", 2)
    await erase(store, "é", 2, 77)
    await store.commit(Transaction(Namespace("\0", "😀"), burials=(Bury("gone", 5),)))
    for number in range(5):
        await store.enqueue(THERE, b"payload %d" % number, number)
    await store.claim("somebody", 2, 10**6, 10)
    await store.reject(2, "why\0", 9)
    last = await store.enqueue(THERE, b"", 1)
    await store.commit(Transaction(HERE, finishes=(last,)))
    return row_store(store, name)


async def numbered(store: ProfileStore) -> int:
    return await store.enqueue(HERE, b"", 1)


async def test_a_copy_holds_the_same(places: list[str]) -> None:
    one, two = places
    async with await filled(one) as source:
        expected = await everything(source)
        async with await open_store(two, unfinished=True) as made:
            target = row_store(made, two)
            copied = await copy_store(source, target, two)
            assert not copied.resumed
            assert copied.digest == await store_digest(source)
            assert copied.digest.profiles == expected[-1][1].profiles + expected[-1][2].profiles
            assert await everything(target) == expected
            assert target.secret == source.secret
    async with await open_store(two) as target, await open_store(one) as source:
        assert target.secret == source.secret
        assert await target.verify() == []
        claimed = [await store.claim("new", 9, 10, 10**9) for store in (source, target)]
        assert claimed[0] == claimed[1]
        assert await numbered(target) == await numbered(source)


class Killed(Exception):
    pass


class Dying:
    """A store that fails at the n-th batch, before or after it is written."""

    def __init__(self, store: RowStore, batches: int, *, after: bool) -> None:
        self._store = store
        self._left = batches
        self._after = after

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def write_rows(self, batch: Batch, mark: str) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Killed
        await self._store.write_rows(batch, mark)
        if self._left < 0:
            raise Killed


async def test_a_copy_goes_on_where_it_stopped(places: list[str]) -> None:
    one, two = places
    async with await filled(one) as source:
        for attempt in range(20):
            async with await open_store(two, unfinished=True) as made:
                dying = Dying(row_store(made, two), attempt // 2, after=attempt % 2 == 1)
                try:
                    copied = await copy_store(source, dying, two)
                except Killed:
                    pass
                else:
                    break
            # Nobody takes it for a store meanwhile.
            with pytest.raises(StoreError, match="was not finished"):
                await open_store(two)
        assert copied.resumed
        assert attempt >= 4
        async with await open_store(two) as target:
            assert await everything(target) == await everything(source)
            assert await target.verify() == []


async def test_what_is_no_place_for_a_copy(places: list[str]) -> None:
    one, two = places
    async with await open_store(one) as source, await open_store(two) as target:
        await put(source, "p")
        await put(target, "q")
        before = await everything(target)
        with pytest.raises(StoreError, match="not empty"):
            await copy_store(row_store(source, one), row_store(target, two), two)
        assert await everything(target) == before


async def test_the_copy_of_another_store_is_not_gone_on_with(places: list[str]) -> None:
    one, two = places
    async with await open_store(one) as source, await open_store(two) as made:
        await put(source, "p")
        target = row_store(made, two)
        with pytest.raises(Killed):
            await copy_store(row_store(source, one), Dying(target, 0, after=False), two)
        await row_store(source, one).begin_copy(b"x" * 32, "")
        with pytest.raises(StoreError, match="of another store"):
            await copy_store(row_store(source, one), target, two)


async def test_a_source_that_is_written_to_is_noticed(places: list[str]) -> None:
    one, two = places
    async with await open_store(one) as source, await open_store(two, unfinished=True) as made:
        await put(source, "p")
        target = row_store(made, two)
        late = Late(row_store(source, one), 0, after=False)
        with pytest.raises(StoreError, match="somebody has written"):
            await copy_store(late, target, two)
        assert await target.mark()


class Late(Dying):
    """A source to which somebody writes when all of it seems to have been read."""

    async def last_sequence(self) -> int:
        await put(self._store, "a late one")
        return await self._store.last_sequence()


async def test_digests_tell_any_difference(tmp_path: pathlib.Path) -> None:
    seen = set()
    changes = [
        lambda store: put(store, "p"),
        lambda store: put(store, "p", b"2", 1),
        lambda store: put(store, "p", b"2", 2),
        lambda store: put(store, "p", b"2", 3, append=(HistoryRow(1, b""),)),
        lambda store: link(store, "a", "p"),
        lambda store: store.enqueue(HERE, b"", 1),
        lambda store: store.reject(1, "", 1),
        lambda store: erase(store, "p", 4),
    ]
    async with await open_store(str(tmp_path / "p.db")) as store:
        for change in changes:
            await change(store)
            seen.add((await store_digest(row_store(store, "p"))).digest)
    assert len(seen) == len(changes)


async def test_a_store_in_memory_is_not_copied() -> None:
    async with await open_store("memory") as store:
        with pytest.raises(StoreError, match="memory"):
            row_store(store, "memory")

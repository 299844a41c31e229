"""The embedded store's file: its version, its copies, its space, and what is left of the erased."""

# ruff: noqa: ASYNC240 - nothing else runs in the event loop

from __future__ import annotations

import asyncio
import os
import pathlib
import secrets
import sys
from typing import Any

import apsw
import apsw.sqlite_extra
import pytest

from store.shorthands import HERE, erase, everything, link, merge, put
from whichvariant.errors import StoreError, StoreForeign
from whichvariant.store import EmbeddedStore, HistoryRow, Put, Transaction, sqlite_file

# ---- versions ------------------------------------------------------------------------------------


async def test_a_newer_store_is_left_alone(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "SCHEMA_VERSION", 7)
        async with EmbeddedStore.open(path) as store:
            await put(store, "p")
    with pytest.raises(StoreForeign, match="version is 7, this release knows 1"):
        EmbeddedStore.open(path)


async def test_an_older_store_is_upgraded_once(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedStore.open(path) as store:
        await put(store, "p")
        before = await everything(store)
    called = []

    def upgrade(connection: apsw.Connection) -> None:
        called.append(connection.pragma("user_version"))
        connection.execute(f"CREATE TABLE added{called[-1]}(x)")

    monkeypatch.setattr(sqlite_file, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", {1: upgrade, 2: upgrade})
    for _ in range(2):
        async with EmbeddedStore.open(path) as store:
            assert await everything(store) == before
            assert (await store.stats()).schema_version == 3
    assert called == [1, 2]


async def test_a_failed_upgrade_changes_nothing(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedStore.open(path) as store:
        await put(store, "p")

    def upgrade(connection: apsw.Connection) -> None:
        connection.execute("DROP TABLE profiles")
        raise apsw.SQLError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "SCHEMA_VERSION", 2)
        patch.setattr(sqlite_file, "MIGRATIONS", {1: upgrade})
        with pytest.raises(StoreError, match="broken"):
            EmbeddedStore.open(path)
    async with EmbeddedStore.open(path) as store:
        assert len(await store.scan()) == 1


@pytest.mark.parametrize("version", ["3.52.9", "3.9.0", "2.99"])
def test_an_old_sqlite_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    with pytest.raises(StoreError, match=r"3\.53\.0 or later"):
        EmbeddedStore.open(path)
    assert not path.exists()


def test_an_apsw_without_checksums_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise apsw.sqlite_extra.NotAvailable

    monkeypatch.setattr(apsw, "vfs_names", lambda: ["unix"])
    monkeypatch.setattr(apsw.sqlite_extra, "load", missing)
    with pytest.raises(StoreError, match="cksumvfs"):
        EmbeddedStore.open(path)


def test_other_users_of_sqlite_keep_their_default() -> None:
    sqlite_file.require_sqlite()
    assert apsw.vfs_names()[0] == "unix"


# ---- copies --------------------------------------------------------------------------------------


async def test_a_copy_made_while_writing_is_consistent(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Both profiles of a pair always have the same number, in the copies too."""
    copies = [tmp_path / f"copy {at}.db" for at in range(4)]
    async with EmbeddedStore.open(path) as store:
        written = 0

        async def write() -> None:
            nonlocal written
            while True:
                value = b"%d" % written
                puts = tuple(Put(key, value * 500, written, 1) for key in ("one", "two"))
                await store.commit(Transaction(HERE, puts))
                written += 1

        writer = asyncio.create_task(write())
        seen = []
        for copy in copies:
            await asyncio.sleep(0.02)
            before = written
            await store.backup(copy)
            seen.append((before, written))
        writer.cancel()
    for copy, (before, after) in zip(copies, seen, strict=True):
        async with EmbeddedStore.open(copy, create=False) as restored:
            assert await restored.verify() == []
            assert restored.secret == store.secret
            one, two = (row for _, row in await restored.scan())
            assert one.version == two.version
            assert one.record == two.record
            assert before <= one.version <= after + 1


async def test_a_copy_is_restored(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "copies" / "profiles.db"
    copy.parent.mkdir()
    async with EmbeddedStore.open(path) as store:
        for key in "abc":
            await put(store, key, append=(HistoryRow(1, b"x" * 20_000),))
        await link(store, "alias", "a")
        await merge(store, "a", "b")
        await erase(store, "c")
        await store.enqueue(HERE, b"waiting", 1)
        before = await everything(store)
        await store.backup(copy)
        await put(store, "later")
        with pytest.raises(StoreError, match="already"):
            await store.backup(copy)
    os.replace(copy, path)
    async with EmbeddedStore.open(path) as store:
        assert await everything(store) == before
        await put(store, "later")
        assert await store.verify() == []
    assert os.listdir(copy.parent) == []


async def test_a_copy_that_fails_leaves_nothing(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        with pytest.raises(StoreError):
            await store.backup(tmp_path / "no such folder" / "copy.db")
        with pytest.raises(StoreError, match="already"):
            await store.backup(path)
        assert len([name for name in os.listdir(tmp_path) if "partial" in name]) == 0


# ---- space ---------------------------------------------------------------------------------------


async def test_compacting_gives_space_back(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        for at in range(100):
            await put(store, f"{at}", bytes(30_000))
        await store.compact()
        full = os.path.getsize(path)
        for at in range(0, 100, 2):
            await erase(store, f"{at}")
        assert (await store.stats()).free_bytes > full // 3
        await store.compact()
        assert os.path.getsize(path) < full * 0.6
        assert (await store.stats()).free_bytes == 0
        assert await store.verify() == []
        assert len(await store.scan()) == 50


async def test_rebuilding_keeps_everything(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        for at in range(300):
            await put(store, f"{at}", secrets.token_bytes(2000), append=(HistoryRow(1, b"h"),))
        for at in range(300):
            if at % 3:
                await erase(store, f"{at}")
        await store.compact()
        before = await everything(store)
        stepwise = os.path.getsize(path)
        await store.compact(rebuild=True)
        assert os.path.getsize(path) <= stepwise
        assert await everything(store) == before
        assert await store.verify() == []
        await put(store, "again")
    async with EmbeddedStore.open(path) as store:
        assert await store.verify() == []


async def test_the_log_does_not_grow_for_ever(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        versions = dict.fromkeys(range(8), 0)

        async def write(key: int) -> None:
            for _ in range(200):
                await put(store, f"{key}", secrets.token_bytes(20_000), versions[key])
                versions[key] += 1

        await asyncio.gather(*map(write, versions))
        files = (await store.stats()).files
        assert files[f"{store.path}-wal"] < 16 * 1024 * 1024
        assert files[store.path] < 2 * 1024 * 1024


async def test_nothing_is_kept_of_items_that_are_finished(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        sequences = [await store.enqueue(HERE, b"x", 1) for _ in range(4)]
        await store.claim("me", 4, 1, 1)
        await store.commit(Transaction(HERE, finishes=tuple(sequences[:2])))
        await store.reject(sequences[2], "why", 1)
        connection = sqlite_file.open_reader(store.path, cache_bytes=1 << 20)
        assert connection.execute("SELECT sequence FROM claims").get == sequences[3]
        connection.close()


# ---- what is left of the erased ------------------------------------------------------------------


def occurrences(folder: pathlib.Path, mark: bytes) -> int:
    return sum(
        entry.read_bytes().count(mark) for entry in folder.iterdir() if "-shm" not in entry.name
    )


@pytest.mark.parametrize("size", [40, 400, 3000, 20_000])
async def test_nothing_is_left_of_the_erased(path: pathlib.Path, size: int) -> None:
    """Neither in the file nor in the log: of records, history, aliases, payloads."""
    mark = b"MARKED-FOR-ERASURE"
    filler = mark.ljust(size, b".")

    def put_of(key: str, record: bytes, version: int = 0) -> Transaction:
        row = HistoryRow(version, record[: size // 2 + len(mark)])
        return Transaction(HERE, (Put(key, record, version, 1, (row,)),))

    async with EmbeddedStore.open(path) as store:
        for at in range(120):
            record = filler if at % 3 == 0 else b"kept".ljust(size, b".")
            await store.commit(put_of(f"profile {at}", record))
            if at % 3 == 0:
                await link(store, f"{mark.decode()} {at}", f"profile {at}")
        for at in range(0, 120, 3):
            # A record that shrinks and grows leaves pieces of itself in more than one place.
            await store.commit(put_of(f"profile {at}", filler * 2, 1))
            await store.commit(put_of(f"profile {at}", filler, 2))
        sequence = await store.enqueue(HERE, filler, 1)
        assert occurrences(path.parent, mark) > 100
        await store.reject(sequence, "why", 1)
        await store.discard([sequence])
        for at in range(0, 120, 3):
            await erase(store, f"profile {at}", expects=3)
        log = path.with_name(f"{path.name}-wal")
        for _ in range(100):
            if log.stat().st_size == 0:
                break
            await asyncio.sleep(0.05)
        # Where a page was split, a copy may be left in a gap.
        assert occurrences(path.parent, mark) <= 3
        await store.compact(rebuild=True)
        assert occurrences(path.parent, mark) == 0
        assert await store.verify() == []


async def test_secrets_of_stores_differ(tmp_path: pathlib.Path) -> None:
    made: list[Any] = [EmbeddedStore.open(tmp_path / f"{at}.db") for at in range(3)]
    assert len({store.secret for store in made}) == 3
    for store in made:
        await store.close()


def test_the_package_alone_does_not_load_sqlite() -> None:
    code = "import sys, whichvariant; sys.exit('apsw' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0

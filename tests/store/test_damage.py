"""Bytes that change on the disk: found out, named, never served."""

# ruff: noqa: ASYNC240 - nothing else runs in the event loop

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import random
import shutil
import sqlite3
from typing import Any

import pytest

from store.shorthands import HERE, everything, link, merge, put
from whichvariant.errors import StoreDamaged, StoreError, StoreForeign
from whichvariant.store import EmbeddedStore, HistoryRow, Transaction, group_commit
from whichvariant.store.wal import examine_log

PAGE = 8192
SALT_BYTES = slice(8, 16)


@pytest.fixture(autouse=True)
def logs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, the log is not emptied while a test looks at it."""
    monkeypatch.setattr(group_commit, "_SCRUB_AFTER_S", 600)


async def fill(path: pathlib.Path, count: int = 60) -> Any:
    """A store with some of everything; all that can be seen of it."""
    chance = random.Random(1)
    async with EmbeddedStore.open(path) as store:
        for at in range(count):
            record = chance.randbytes(chance.choice((300, 3000, 30_000)))
            await put(store, f"profile {at}", record, append=(HistoryRow(1, record[:900]),))
            await link(store, f"alias {at}", f"profile {at}")
        for at in range(0, count, 7):
            await merge(store, f"profile {at}", f"profile {at + 1}")
        await store.enqueue(HERE, chance.randbytes(20_000), 1)
        return await everything(store)


def flip(path: pathlib.Path, offset: int, mask: int = 0x10) -> None:
    with open(path, "r+b") as stream:
        stream.seek(offset)
        before = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([before ^ mask]))


async def observe(path: pathlib.Path, count: int = 60) -> dict[str, Any]:
    """Every answer that a store gives, or that it said damage instead."""
    answers: dict[str, Any] = {}
    try:
        store = EmbeddedStore.open(path, create=False)
    except (StoreDamaged, StoreForeign) as error:
        return {"open": type(error)}
    async with store:
        for at in range(count):
            for key in (f"profile {at}", f"alias {at}"):
                for ask in (store.find, store.history, store.aliases):
                    try:
                        answers[f"{ask.__name__} {key}"] = await ask(HERE, key)
                    except StoreDamaged as error:
                        answers[f"{ask.__name__} {key}"] = type(error)
        found = await store.verify()
        answers["verify"] = found
    return answers


def test_a_flipped_byte_anywhere_is_never_served(path: pathlib.Path) -> None:
    asyncio.run(fill(path))
    sound = asyncio.run(observe(path))
    assert sound["verify"] == []
    pages = os.path.getsize(path) // PAGE
    kept = path.with_suffix(".kept")
    shutil.copy(path, kept)
    chance = random.Random(2)
    # Every byte of the header that matters on its own, and one of each page.
    offsets = [*range(0, 100, 3), 20, *(at * PAGE + chance.randrange(PAGE) for at in range(pages))]
    seen = 0
    for offset in offsets:
        shutil.copy(kept, path)
        flip(path, offset)
        answers = asyncio.run(observe(path))
        if "open" in answers:
            continue
        page = offset // PAGE + 1
        assert any(one.place == f"page {page}" for one in answers["verify"]), offset
        for question, answer in answers.items():
            if question != "verify":
                assert answer in (sound[question], StoreDamaged), (offset, question)
                seen += answer is StoreDamaged
    assert seen > pages


async def test_damage_is_named_with_its_profile(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        for at in range(30):
            await put(store, f"profile {at}", b"mark %02d" % at * 100)
    flip(path, path.read_bytes().index(b"mark 17") + 50)
    async with EmbeddedStore.open(path) as store:
        with pytest.raises(StoreDamaged, match="verify"):
            await store.find(HERE, "profile 17")
        places = {one.place for one in await store.verify()}
        assert "profile 'profile 17'" in places
        assert any(place.startswith("page ") for place in places)
        assert "profile 'profile 0'" not in places
        # Others can be read, written, and are not kept from it by whoever asks for that one.
        results = await asyncio.gather(
            put(store, "profile 17", b"new", 1),
            put(store, "profile 1", b"new", 1),
            put(store, "other", b"new"),
            return_exceptions=True,
        )
        assert isinstance(results[0], StoreDamaged)
        assert results[1:] == [None, None]
        with pytest.raises(StoreError):
            await store.backup(path.with_suffix(".copy"))
    assert not path.with_suffix(".copy").exists()


async def test_a_log_that_changes_in_use_is_never_served(path: pathlib.Path) -> None:
    """Pages of the log have no checksum that is looked at before they are moved into the file."""
    async with EmbeddedStore.open(path) as store:
        for at in range(40):
            await put(store, f"profile {at}", b"mark %02d" % at * 100)
            await link(store, f"alias {at}", f"profile {at}")
        log = path.with_name(f"{path.name}-wal")
        content = log.read_bytes()
        for at in range(40):
            offset = -1
            while (offset := content.find(b"mark %02d" % at * 10, offset + 1)) >= 0:
                flip(log, offset + 3)
        reader = await asyncio.to_thread(_find_all, store)
        assert set(reader) == {StoreDamaged}
        assert any("log" in one.place for one in await store.verify())


def _find_all(store: EmbeddedStore) -> list[Any]:
    async def find(key: str) -> Any:
        try:
            return await store.find(HERE, key)
        except StoreDamaged as error:
            return type(error)

    async def all_of_them() -> list[Any]:
        return [await find(f"{kind} {at}") for at in range(40) for kind in ("profile", "alias")]

    return asyncio.run(all_of_them())


# ---- logs that are left behind -------------------------------------------------------------------


async def abandoned(path: pathlib.Path, writes: int = 10) -> tuple[bytes, bytes]:
    """A file and its log, as a power loss leaves them."""
    async with EmbeddedStore.open(path) as store:
        for at in range(writes):
            await put(store, f"profile {at}", b"x" * 9000)
        return path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()


def put_back(folder: pathlib.Path, content: tuple[bytes, bytes]) -> pathlib.Path:
    folder.mkdir()
    path = folder / "profiles.db"
    path.write_bytes(content[0])
    path.with_name("profiles.db-wal").write_bytes(content[1])
    return path


def frames(log: bytes) -> list[tuple[int, int]]:
    """Offset and commit mark of every frame of the log's last generation."""
    return [
        (at, int.from_bytes(log[at + 4 : at + 8], "big"))
        for at in range(32, len(log) - 24, PAGE + 24)
        if log[at : at + 24][SALT_BYTES] == log[16:24]
    ]


async def count(path: pathlib.Path) -> int:
    async with EmbeddedStore.open(path, create=False) as store:
        assert await store.verify() == []
        return len(await store.scan())


async def test_a_log_is_replayed(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    content = await abandoned(path)
    assert await count(put_back(tmp_path / "again", content)) == 10


async def test_a_torn_end_loses_what_was_not_acknowledged(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = await abandoned(path)
    commits = [at for at, mark in frames(content[1]) if mark]
    begin, end = commits[-2] + PAGE + 24, commits[-1] + PAGE + 24
    for at in range(begin, end, 3001):
        cut = put_back(tmp_path / f"cut {at}", (content[0], content[1][:at]))
        assert await count(cut) == 9
        torn = put_back(tmp_path / f"torn {at}", content)
        flip(torn.with_name("profiles.db-wal"), at)
        assert await count(torn) == 9


async def test_damage_before_acknowledged_writes_is_not_passed_over(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = await abandoned(path)
    commits = [at for at, mark in frames(content[1]) if mark]
    chance = random.Random(3)
    offsets = [*range(0, 32, 3), *(chance.randrange(32, commits[-2]) for _ in range(40))]
    for offset in offsets:
        damaged = put_back(tmp_path / f"at {offset}", content)
        flip(damaged.with_name("profiles.db-wal"), offset)
        with pytest.raises(StoreDamaged, match="restored from a backup"):
            EmbeddedStore.open(damaged)


def test_a_log_of_the_standard_library_is_understood(tmp_path: pathlib.Path) -> None:
    """The same format, from another SQLite, with other page sizes and several generations."""
    for page in (512, 4096, 65536):
        path = tmp_path / f"{page}.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA page_size = {page}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 7")
        connection.execute("CREATE TABLE t(x)")
        for _ in range(50):
            connection.execute("INSERT INTO t VALUES (randomblob(700))")
            assert examine_log(f"{path}-wal") is None
        flip(pathlib.Path(f"{path}-wal"), 24)
        assert examine_log(f"{path}-wal") is not None
        connection.close()
    assert examine_log(str(tmp_path / "none-wal")) is None


# ---- files that are something else ---------------------------------------------------------------


@pytest.mark.parametrize("content", [b"x", b"hello" * 1000, bytes(5000), b"SQLite format 3\0"])
def test_something_else_is_left_alone(path: pathlib.Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreForeign):
        EmbeddedStore.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("page", [4096, PAGE])
def test_another_database_is_left_alone(path: pathlib.Path, page: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA page_size = {page}")
    connection.execute("CREATE TABLE t(x)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreForeign):
        EmbeddedStore.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("lost", [1, PAGE, 5 * PAGE + 100])
async def test_a_truncated_file(path: pathlib.Path, lost: int) -> None:
    before = await fill(path)
    os.truncate(path, os.path.getsize(path) - lost)
    try:
        store = EmbeddedStore.open(path)
    except StoreDamaged:
        return
    async with store:
        assert await store.verify() != []
        # A cut through the checksum of the last page leaves everything that counts.
        with contextlib.nullcontext() if lost == 1 else pytest.raises(StoreDamaged):
            assert await everything(store) == before


async def test_an_interrupted_making_is_made_up_for(path: pathlib.Path) -> None:
    path.touch()
    async with EmbeddedStore.open(path) as store:
        await store.commit(Transaction(HERE))
    with pytest.raises(StoreError, match="no such file"):
        EmbeddedStore.open(path.with_name("other"), create=False)

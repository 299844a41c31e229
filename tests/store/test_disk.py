"""What the disk does not let happen: no room, no permission; and when it is told to sync."""

# ruff: noqa: ASYNC240 - nothing else runs in the event loop

from __future__ import annotations

import asyncio
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator

import pytest

from store.shorthands import HERE, put
from whichvariant.errors import StoreError, StoreFull
from whichvariant.store import EmbeddedStore, HistoryRow, ProfileRow

RECORD = os.urandom(20_000)


# ---- no room -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode != 0:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk(small_disk: pathlib.Path) -> None:
    path = small_disk / "profiles.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    async with EmbeddedStore.open(path) as store:
        written = []
        for at in range(1000):
            results = await asyncio.gather(
                *(put(store, f"{at} {each}", RECORD) for each in range(3)), return_exceptions=True
            )
            written += [f"{at} {each}" for each in range(3) if results[each] is None]
            if any(results):
                assert all(isinstance(one, StoreFull) for one in results if one)
                break
        else:
            pytest.fail("the disk is larger than it should be")

        async def check() -> None:
            assert sorted(row.id for _, row in await store.scan()) == sorted(written)
            assert await store.verify() == []

        assert len(written) > 10
        await check()
        with pytest.raises(StoreError):
            await store.backup(small_disk / "copy")
        assert not [name for name in os.listdir(small_disk) if "copy" in name]
        ballast.unlink()
        await put(store, "again", RECORD)
        written.append("again")
        await check()
    async with EmbeddedStore.open(path) as store:
        await check()


async def test_a_log_that_fills_the_disk_is_emptied(small_disk: pathlib.Path) -> None:
    async with EmbeddedStore.open(small_disk / "profiles.db") as store:
        for version in range(3):
            await put(store, "p", RECORD, version)
    # What is there can be overwritten without any more room, however often.
    async with EmbeddedStore.open(small_disk / "profiles.db") as store:
        for version in range(3, 600):
            await put(store, "p", RECORD, version)
        assert (await store.stats()).trouble == ""
        assert await store.verify() == []


async def test_a_limit_on_file_sizes(path: pathlib.Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with EmbeddedStore.open(path) as store:
        await put(store, "before", RECORD)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
        try:
            written = 1
            failure: StoreError | None = None
            while failure is None and written < 100:
                try:
                    await put(store, str(written), RECORD)
                except StoreError as error:
                    failure = error
                else:
                    written += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert isinstance(failure, StoreFull)
        assert len(await store.scan()) == written > 2
        await put(store, "after", RECORD)
        assert await store.verify() == []


# ---- no permission -------------------------------------------------------------------------------

# Python itself may lie where only its owner can read it, so that all is imported first.
UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os, sys
from whichvariant.store import *
from whichvariant.store.sqlite_file import require_sqlite
require_sqlite()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
READ_ONLY = """
    from whichvariant.errors import StoreReadOnly
    HERE = Namespace("acme", "main")

    async def main():
        path = sys.argv[1]
        store = EmbeddedStore.open(path)
        row = await store.find(HERE, "p")
        assert row == ProfileRow("p", 1, 1, b"r"), row
        assert await store.history(HERE, "p") == [(1, b"h")]
        assert len(store.secret) == 32
        for call in (
            store.commit(Transaction(HERE, (Put("q", b"", 0, 1),))),
            store.enqueue(HERE, b"", 1),
            store.claim("me", 1, 1, 1),
            store.compact(),
        ):
            try:
                await call
            except StoreReadOnly as error:
                assert path in str(error)
            else:
                raise AssertionError("it was written")
        assert await store.verify() == []
        assert (await store.stats()).namespaces[0].profiles == 1
        if len(sys.argv) > 2:
            await store.backup(sys.argv[2])
        await store.close()
        print("fine")

    asyncio.run(main())
"""


def run_unprivileged(*arguments: str, program: str = READ_ONLY) -> str:
    """As somebody to whom permissions apply."""
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED + textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """A folder that everybody can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


async def test_a_file_that_may_only_be_read(open_folder: pathlib.Path) -> None:
    path = open_folder / "profiles.db"
    async with EmbeddedStore.open(path) as store:
        await put(store, "p", append=(HistoryRow(1, b"h"),))
    path.chmod(0o444)
    open_folder.chmod(0o777)
    copy = open_folder / "copy.db"
    assert run_unprivileged(str(path), str(copy)) == "fine\n"
    open_folder.chmod(0o555)
    assert run_unprivileged(str(path)) == "fine\n"
    path.chmod(0o666)
    assert run_unprivileged(str(path)) == "fine\n"
    path.chmod(0o600)
    assert "StoreReadOnly" in run_unprivileged(str(path))


async def test_reading_beside_one_that_writes(open_folder: pathlib.Path) -> None:
    path = open_folder / "profiles.db"
    async with EmbeddedStore.open(path) as store:
        path.chmod(0o644)
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).chmod(0o644)
        await put(store, "p", append=(HistoryRow(1, b"h"),))
        assert run_unprivileged(str(path)) == "fine\n"


async def test_a_folder_that_is_not_there(path: pathlib.Path) -> None:
    with pytest.raises(StoreError):
        EmbeddedStore.open(path / "further" / "profiles.db")
    with pytest.raises(StoreError):
        EmbeddedStore.open(path.parent)


async def test_only_its_owner_can_read_a_new_store(path: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        async with EmbeddedStore.open(path) as store:
            await put(store, "p")
            await store.backup(path.with_name("copy.db"))
            modes = {name: os.stat(path.parent / name).st_mode & 0o777 for name in BESIDE}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(BESIDE, 0o600)
    assert sorted(os.listdir(path.parent)) == ["copy.db", "profiles.db", "profiles.db-lock"]


BESIDE = ["profiles.db", "profiles.db-wal", "profiles.db-shm", "profiles.db-lock", "copy.db"]


# ---- the order of writes -------------------------------------------------------------------------

# Killing a process loses nothing that the system has in its cache, so that a missing sync would not
# show. Here every call to the file system is noted, below the checksums of pages.
SYNC_ORDER = """
    import asyncio, sys
    import apsw
    calls = []

    class File(apsw.VFSFile):
        def __init__(self, filename, flags):
            self.name = filename.filename() if isinstance(filename, apsw.URIFilename) else filename
            super().__init__("unix", filename, flags)
        def xWrite(self, data, offset):
            calls.append(("write", self.name[-4:]))
            super().xWrite(data, offset)
        def xSync(self, flags):
            super().xSync(flags)
            calls.append(("sync", self.name[-4:]))

    class Noting(apsw.VFS):
        def __init__(self):
            super().__init__("noting", "unix")
        def xOpen(self, name, flags):
            return File(name, flags)

    noting = Noting()
    apsw.set_default_vfs("noting")
    from whichvariant.store import *
    from whichvariant.store import group_commit
    HERE = Namespace("acme", "main")
    group_commit._CHECKPOINT_PAGES = 50

    async def main():
        store = EmbeddedStore.open(sys.argv[1])
        settle = group_commit._settle
        def noting_settle(requests):
            calls.append(("answer", len(requests)))
            settle(requests)
        group_commit._settle = noting_settle
        async def write(task):
            for at in range(30):
                await store.commit(Transaction(HERE, (Put(f"{task} {at}", bytes(9000), 0, 1),)))
        await asyncio.gather(*map(write, range(4)))
        await store.close()
        synced, answers, checkpoints, log_synced = True, 0, 0, True
        for what, where in calls:
            if what == "answer":
                # What is acknowledged is on the disk, in the log.
                assert log_synced, "acknowledged before it was synced"
                answers += 1
            elif where == "-wal":
                log_synced = what == "sync"
            elif what == "write" and answers:
                # What goes into the file is on the disk in the log before.
                assert log_synced, "moved before it was synced"
                checkpoints += 1
        assert answers >= 30, answers
        assert checkpoints > 20, checkpoints
        print("fine")

    asyncio.run(main())
"""


def test_nothing_is_acknowledged_before_it_is_synced(path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SYNC_ORDER), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr


async def test_what_was_written_is_what_is_read(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        await put(store, "p", RECORD)
    async with EmbeddedStore.open(path, create=False) as store:
        assert await store.find(HERE, "p") == ProfileRow("p", 1, 1, RECORD)

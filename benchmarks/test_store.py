"""The raw store beside bare SQLite doing the same to the same bytes.

Measured by the wall clock: what a durable write waits for is the disk. A row is seconds an
operation; its ratio is to the bare row of the same pass, which the disk has treated alike.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import report
from whichvariant.errors import StoreConflict
from whichvariant.store import EmbeddedStore, Namespace, Put, Transaction

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)

GROUP = "store"
BARE_SINGLE = "bare SQLite, a write at a time"
SINGLE = "store, a write at a time"
BARE_GROUPED = "bare SQLite, 32 writes a transaction"
GROUPED = "store, 32 callers"
BARE_READ = "bare SQLite, warm read"
READ = "store, warm read"
TWO = "store, read-modify-write in two processes"

NAMESPACE = Namespace("bench", "main")
CALLERS = 32
PROFILES = 1_024
RECORD = os.urandom(2_048)
IDS = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(PROFILES)]
SECONDS = 1.0


class Bare:
    """What one would write without us: a table by id, a version checked by the update."""

    def __init__(self, path: pathlib.Path) -> None:
        self.connection = apsw.Connection(str(path))
        for name, value in (
            ("page_size", 8192),
            ("journal_mode", "WAL"),
            ("synchronous", "FULL"),
            ("cache_size", -32 * 1024),
        ):
            self.connection.pragma(name, value)
        self.connection.execute(
            "CREATE TABLE profiles(id TEXT PRIMARY KEY, version INTEGER, record BLOB)"
        )
        self._execute = self.connection.cursor().execute
        self._execute("BEGIN")
        for key in IDS:
            self._execute("INSERT INTO profiles VALUES (?, 1, ?)", (key, RECORD))
        self._execute("COMMIT")
        self.versions = dict.fromkeys(IDS, 1)
        self._following = itertools.cycle(IDS)

    def write(self, count: int) -> None:
        """So many updates in one durable transaction."""
        self._execute("BEGIN IMMEDIATE")
        for key in itertools.islice(self._following, count):
            self._execute(
                "UPDATE profiles SET version = version + 1, record = ? "
                "WHERE id = ? AND version = ?",
                (RECORD, key, self.versions[key]),
            )
            assert self.connection.changes() == 1
            self.versions[key] += 1
        self._execute("COMMIT")

    def read(self, key: str) -> Any:
        return self._execute("SELECT version, record FROM profiles WHERE id = ?", (key,)).get


class Subject:
    """A store with the same profiles, and an event loop to ask it in."""

    def __init__(self, path: pathlib.Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.store = EmbeddedStore.open(path)
        self.versions = dict.fromkeys(IDS, 0)
        self.loop.run_until_complete(self.write_each(IDS))

    async def write_each(self, ids: list[str]) -> None:
        await asyncio.gather(*(self.write(key) for key in ids))

    async def write(self, key: str) -> None:
        put = Put(key, RECORD, self.versions[key], 1)
        await self.store.commit(Transaction(NAMESPACE, (put,)))
        self.versions[key] += 1

    async def write_after_each_other(self, ids: list[str]) -> None:
        for key in ids:
            await self.write(key)

    async def write_as_callers(self, ids: list[str]) -> None:
        callers = (self.write_after_each_other(ids[at::CALLERS]) for at in range(CALLERS))
        await asyncio.gather(*callers)

    async def read_each(self, ids: list[str]) -> None:
        for key in ids:
            await self.store.find(NAMESPACE, key)

    def close(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    made = Bare(tmp_path_factory.mktemp("bare") / "profiles.db")
    yield made
    made.connection.close()


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    made = Subject(tmp_path_factory.mktemp("store") / "profiles.db")
    yield made
    made.close()


@pytest.mark.parametrize("row", [BARE_SINGLE, SINGLE, BARE_GROUPED, GROUPED, BARE_READ, READ])
@pytest.mark.parametrize("number", range(report.PASSES))
def test_store(  # noqa: PLR0917 - fixtures
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    bare: Bare,
    subject: Subject,
    number: int,
    row: str,
) -> None:
    """One row in one pass; the rows of a pass stand close together in time."""
    run = subject.loop.run_until_complete
    calls: dict[str, tuple[Callable[[], object], int]] = {
        BARE_SINGLE: (lambda: [bare.write(1) for _ in range(100)], 100),
        SINGLE: (lambda: run(subject.write_after_each_other(IDS[:100])), 100),
        BARE_GROUPED: (lambda: [bare.write(CALLERS) for _ in range(32)], PROFILES),
        GROUPED: (lambda: run(subject.write_as_callers(IDS)), PROFILES),
        BARE_READ: (lambda: [bare.read(key) for key in IDS], PROFILES),
        READ: (lambda: run(subject.read_each(IDS)), PROFILES),
    }
    call, count = calls[row]
    benchmark.group = GROUP
    benchmark.pedantic(call, rounds=7, warmup_rounds=1)
    if benchmark.stats is not None:  # there are none under --benchmark-disable
        each = benchmark.stats.stats.median / count
        benchmark.extra_info["operations_per_second"] = 1 / each
        record(GROUP, row, each)


def modify(path: str, seconds: float, offset: int, start: Any, answers: Any) -> None:
    """Read, change and write profiles for a while; how many, in a process of its own."""

    async def run() -> int:
        async with EmbeddedStore.open(path) as store:
            start.wait()
            end = time.perf_counter() + seconds

            async def caller(number: int) -> int:
                done = 0
                ids = itertools.cycle(IDS[(number + offset) * PROFILES // CALLERS % PROFILES :])
                while time.perf_counter() < end:
                    row: Any = await store.find(NAMESPACE, next(ids))
                    put = Put(row.id, row.record, row.version, 1)
                    try:
                        await store.commit(Transaction(NAMESPACE, (put,)))
                    except StoreConflict:
                        continue
                    done += 1
                return done

            return sum(await asyncio.gather(*map(caller, range(CALLERS))))

    answers.put(asyncio.run(run()))


@pytest.mark.parametrize("number", range(2))
def test_two_processes(
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    subject: Subject,
    number: int,
) -> None:
    """Two processes with 32 callers each, on the same profiles."""
    # On a busy machine a process may not get its turn for a while.
    seconds = SECONDS
    context = multiprocessing.get_context("spawn")

    def run() -> float:
        start = context.Barrier(2)
        answers = context.Queue()
        processes = [
            context.Process(
                target=modify, args=(subject.store.path, seconds, at * 16, start, answers)
            )
            for at in range(2)
        ]
        for process in processes:
            process.start()
        done = sum(answers.get() for _ in processes)
        for process in processes:
            process.join()
        return done / seconds

    rate = benchmark.pedantic(run, rounds=1)
    assert rate > 0
    # What the others wrote is not in this process's account of versions.
    for key in IDS:
        row: Any = subject.loop.run_until_complete(subject.store.find(NAMESPACE, key))
        subject.versions[key] = row.version
    if benchmark.stats is not None:
        benchmark.extra_info["operations_per_second"] = rate
        record(GROUP, TWO, 1 / rate)

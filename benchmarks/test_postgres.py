"""The service on PostgreSQL, beside bare transactions of the same size through the same driver.

Measured by the wall clock, in turns within a pass: what one waits for is the server and its disk,
which all rows share. The server waits for its disk at every commit, as in production, and shares
the processors with those who ask it, which in production it does not.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture
from tests.postgres import PostgresServer, execute

from benchmarks import postgres_rows, report
from benchmarks.test_profiles import (
    CALLERS,
    NAMESPACE,
    NOW,
    PROFILES,
    engine,
    filled,
    page_event,
    rate,
)
from whichvariant import Namespace
from whichvariant.service import ProfileService
from whichvariant.store import HistoryRow, Put, Transaction
from whichvariant.store.postgres import PostgresStore

SECONDS = 2.0
_TABLE = """
    CREATE TABLE bare (id BYTEA PRIMARY KEY, version BIGINT NOT NULL, record BYTEA NOT NULL)
    WITH (fillfactor = 80)
"""
_BARE = """
    UPDATE bare SET version = version + 1, record = $2 WHERE id = $1 AND version = $3
    RETURNING version
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module alone that keeps what it promises."""
    made = PostgresServer(["shared_buffers=128MB", "max_connections=200"])
    yield made
    made.remove()


async def bare_rate(dsn: str, ids: list[str], size: int, seconds: float) -> float:
    """Transactions a second, by callers that have a connection each.

    Each writes as many bytes as an update of a profile does, all of them in one row.
    """
    connections = [await asyncpg.connect(dsn) for _ in range(CALLERS)]
    record = os.urandom(size)
    versions = dict.fromkeys(ids, 1)
    idle = list(connections)
    statements = {one: await one.prepare(_BARE) for one in connections}

    async def write(number: int) -> None:
        key = ids[number % PROFILES]
        connection = idle.pop()
        version = await statements[connection].fetchval(key.encode(), record, versions[key])
        assert version is not None
        versions[key] = version
        idle.append(connection)

    try:
        return await rate(seconds, CALLERS, write)
    finally:
        for connection in connections:
            await connection.close()


async def measured(
    dsn: str, seconds: float, first: int, wait: Callable[[], object]
) -> dict[str, float]:
    """Rates of one process; ``wait`` lets several of them begin each row together."""
    async with await PostgresStore.open(dsn) as store:
        service = ProfileService(store, {NAMESPACE: engine()})
        ids = await filled(service)
        found = await store.find(NAMESPACE, ids[0])
        rows = await store.history(NAMESPACE, ids[0])
        size = len(found.record)  # type: ignore[union-attr]
        record, row = os.urandom(size), os.urandom(len(rows[-1].data) // 2)
        connection = await asyncpg.connect(dsn)
        await connection.executemany(
            "INSERT INTO bare VALUES ($1, 1, $2)", [(key.encode(), record) for key in ids]
        )
        await connection.close()
        raw = Namespace("raw", str(first))
        versions = dict.fromkeys(ids, 0)

        async def write(number: int) -> None:
            key = ids[number % PROFILES]
            versions[key] += 1
            history = (HistoryRow(versions[key], row),)
            put = Put(key, record, versions[key] - 1, NOW, history)
            await store.commit(Transaction(raw, (put,)))

        async def update(number: int) -> None:
            await service.update(NAMESPACE, ids[number % PROFILES], [page_event(first + number)])

        await rate(0.1, CALLERS, write)
        rates = {}
        wait()
        rates[postgres_rows.BARE] = await bare_rate(dsn, ids, size + len(row), seconds)
        for name, call in ((postgres_rows.STORE, write), (postgres_rows.UPDATE, update)):
            wait()
            rates[name] = await rate(seconds, CALLERS, call)
        return rates


def _process(dsn: str, seconds: float, first: int, barrier: Any, answers: Any) -> None:
    # As a server does; see whichvariant.server.serving.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers.put(runner.run(measured(dsn, seconds, first, barrier.wait)))


@functools.cache
def _context() -> Any:
    return multiprocessing.get_context("spawn")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", range(report.PASSES))
def test_postgres(
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    server: PostgresServer,
    number: int,
    processes: int,
) -> None:
    """Durable updates by one or two processes, each with visitors of its own."""
    seconds = SECONDS if benchmark.enabled else 0.05
    name = f"bench_{number}_{processes}"
    execute(server.dsn(), f"CREATE SCHEMA {name}")
    dsn = server.dsn(search_path=name)
    execute(dsn, _TABLE)
    rates: dict[str, float] = {}

    def run() -> None:
        barrier, answers = _context().Barrier(processes, timeout=60), _context().Queue()
        started = [
            _context().Process(
                target=_process, args=(dsn, seconds, (at + 2) * 10**9, barrier, answers)
            )
            for at in range(processes)
        ]
        for process in started:
            process.start()
        for _ in started:
            for row, value in answers.get(timeout=120).items():
                rates[row] = rates.get(row, 0.0) + value
        for process in started:
            process.join()

    benchmark.pedantic(run, rounds=1)
    execute(server.dsn(), f"DROP SCHEMA {name} CASCADE")
    assert all(value > 0 for value in rates.values())
    if benchmark.enabled:
        for row, value in rates.items():
            record(postgres_rows.GROUPS[processes], row, 1 / value)

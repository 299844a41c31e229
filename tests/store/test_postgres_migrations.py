"""The tables' versions: up, down, interrupted, two at once, too old and too new."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from tests.postgres import connected, schema

from store.shorthands import everything, put
from whichvariant.errors import StoreDamaged, StoreError, StoreForeign
from whichvariant.store.postgres import PostgresStore, migrate_database
from whichvariant.store.postgres_migrations import Step, Versions, migrate, plan, read_versions
from whichvariant.store.postgres_schema import MIGRATIONS, SCHEMA_VERSION, Migration


@pytest.fixture
def empty() -> Iterator[str]:
    """A schema without tables."""
    with schema() as dsn:
        yield dsn


async def tables_of(connection: asyncpg.Connection) -> list[tuple[str, ...]]:
    """All there is in the schema: tables and indexes with their options, columns."""
    relations = await connection.fetch(
        "SELECT relname, relkind::text, reloptions::text FROM pg_class "
        "WHERE relnamespace = current_schema()::regnamespace ORDER BY 1"
    )
    columns = await connection.fetch(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = current_schema() ORDER BY 1, 2"
    )
    return [*map(tuple, relations), *map(tuple, columns)]


def test_versions_are_without_gaps() -> None:
    assert [one.version for one in MIGRATIONS] == list(range(1, SCHEMA_VERSION + 1))
    assert all(1 <= one.needs <= one.version for one in MIGRATIONS)


async def test_every_step_up_and_down_again(empty: str) -> None:
    async with connected(empty) as connection:
        seen = [await tables_of(connection)]
        for version in range(1, SCHEMA_VERSION + 1):
            assert (await migrate(connection, "db", version)).version == version
            seen.append(await tables_of(connection))
        assert len({str(one) for one in seen}) == len(seen)
        for version in reversed(range(SCHEMA_VERSION)):
            assert (await migrate(connection, "db", version)).version == version
            assert await tables_of(connection) == seen[version]


async def test_an_empty_database_is_made_a_store(empty: str) -> None:
    with pytest.raises(StoreError, match="whichvariant store migrate"):
        await PostgresStore.open(empty, create=False)
    one, two = await asyncio.gather(PostgresStore.open(empty), PostgresStore.open(empty))
    async with one, two:
        assert one.secret == two.secret
        assert len(one.secret) == 32
        assert (await one.stats()).schema_version == SCHEMA_VERSION


async def test_migrations_at_once_wait_for_each_other(empty: str) -> None:
    taken: list[Step] = []
    found = await asyncio.gather(*(migrate_database(empty, report=taken.append) for _ in range(6)))
    assert {one.version for one in found} == {SCHEMA_VERSION}
    assert [step.migration.version for step in taken] == list(range(1, SCHEMA_VERSION + 1))


async def test_an_old_store_is_not_served_before_it_was_migrated(empty: str) -> None:
    async with connected(empty) as connection:
        await migrate(connection, "db", 1)
        with pytest.raises(StoreError, match=r"version 1.*needs 2.*'whichvariant store migrate"):
            await PostgresStore.open(empty)
        await migrate(connection, "db")
    await (await PostgresStore.open(empty)).close()


async def test_profiles_outlive_migrations(empty: str) -> None:
    async with await PostgresStore.open(empty) as store:
        await put(store, "p", b"x")
        before = await everything(store)
        with pytest.raises(StoreError, match="would lose"):
            await migrate_database(empty, 0)
        # While the store is open, as servers are.
        await migrate_database(empty, 1)
        await put(store, "q")
        await migrate_database(empty)
        await put(store, "r")
    async with await PostgresStore.open(empty) as store:
        assert (await everything(store))[0][0] == before[0][0]
        assert await store.verify() == []


async def test_a_dry_run_changes_nothing(empty: str) -> None:
    steps: list[Step] = []
    found = await migrate_database(empty, dry_run=True, report=steps.append)
    assert found == Versions(0, 0)
    assert sum(len(step.statements) for step in steps) > 8
    async with connected(empty) as connection:
        assert await tables_of(connection) == []


WIDER = Migration(
    SCHEMA_VERSION + 1,
    "an index",
    ("CREATE INDEX CONCURRENTLY IF NOT EXISTS wv_extra ON wv_keys (at_ms)",),
    ("DROP INDEX CONCURRENTLY IF EXISTS wv_extra",),
    needs=1,
    online=True,
)
BREAKING = Migration(
    SCHEMA_VERSION + 2,
    "another column",
    ("ALTER TABLE wv_keys ADD COLUMN extra BIGINT", "SELECT broken"),
    ("ALTER TABLE wv_keys DROP COLUMN extra",),
    needs=SCHEMA_VERSION + 2,
)


async def test_newer_tables(empty: str) -> None:
    """What this release does not notice does not keep it from working; what it would, does."""
    async with await PostgresStore.open(empty) as store, connected(empty) as connection:
        await migrate(connection, "db", migrations=(*MIGRATIONS, WIDER))
        await put(store, "p")
        await (await PostgresStore.open(empty)).close()
        fine = BREAKING._replace(up=BREAKING.up[:1])
        await migrate(connection, "db", migrations=(*MIGRATIONS, WIDER, fine))
        with pytest.raises(StoreForeign, match="newer release"):
            await PostgresStore.open(empty)
        with pytest.raises(StoreForeign, match="newer release"):
            await migrate_database(empty)
        await migrate(connection, "db", SCHEMA_VERSION, migrations=(*MIGRATIONS, WIDER, fine))
    async with await PostgresStore.open(empty) as store:
        assert [row.id for _, row in await store.scan()] == ["p"]


async def test_a_step_that_fails_leaves_nothing_and_can_be_repeated(empty: str) -> None:
    async with connected(empty) as connection:
        every = (*MIGRATIONS, WIDER, BREAKING)
        with pytest.raises(asyncpg.UndefinedColumnError):
            await migrate(connection, "db", migrations=every)
        assert (await read_versions(connection)).version == WIDER.version
        assert not any("extra" in row for row in await tables_of(connection) if len(row) == 4)
    async with connected(empty) as connection:
        # An online step that was interrupted before it was noted is taken again.
        await connection.execute(f"DELETE FROM wv_migrations WHERE version = {WIDER.version}")
        await migrate(connection, "db", migrations=(*MIGRATIONS, WIDER))
        assert (await read_versions(connection)).version == WIDER.version


def test_other_databases_skip_what_is_not_for_them() -> None:
    steps = plan(Versions(0, 0), SCHEMA_VERSION, "CockroachDB", MIGRATIONS)
    skipped = [step for step in steps if step.skipped]
    assert [step.migration.name for step in skipped] == ["room for updates"]
    assert all(step.statements == () for step in skipped)
    assert "not for this database" in str(skipped[0])


async def test_there_is_no_such_version(empty: str) -> None:
    with pytest.raises(StoreError, match="no version 99"):
        await migrate_database(empty, 99)


async def test_a_damaged_secret_is_not_used(empty: str) -> None:
    await (await PostgresStore.open(empty)).close()
    async with connected(empty) as connection:
        await connection.execute("UPDATE wv_meta SET value = 'x' || value WHERE name = 'secret'")
    with pytest.raises(StoreDamaged, match="secret"):
        await PostgresStore.open(empty)


async def test_no_such_database(empty: str) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        await PostgresStore.open(empty.replace("/postgres?", "/nowhere?"))

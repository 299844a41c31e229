"""Bringing the tables of a database to a version, up or down, and telling which one they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import asyncpg

from whichvariant.clock import now_ms, random_bytes
from whichvariant.errors import StoreDamaged, StoreError, StoreForeign
from whichvariant.store.postgres_schema import MIGRATIONS, Migration
from whichvariant.store.seals import holds, secret_seal

# "wvps" in ASCII, as in the embedded store's header: what everybody who migrates locks.
_LOCK: Final = 0x77767073
_RECORD: Final = """\
CREATE TABLE IF NOT EXISTS wv_migrations (
    version BIGINT PRIMARY KEY,
    needs BIGINT NOT NULL,
    name TEXT NOT NULL,
    applied_ms BIGINT NOT NULL
)"""
COMMAND: Final = "whichvariant store migrate --store URL"


class Versions(NamedTuple):
    """``version`` of a database's tables, 0 for none, and what a program must know at least."""

    version: int
    needs: int


class Step(NamedTuple):
    """One migration in one direction. ``skipped``: this kind of database does without."""

    migration: Migration
    upwards: bool
    skipped: bool

    @property
    def statements(self) -> tuple[str, ...]:
        """The SQL, in its order."""
        if self.skipped:
            return ()
        return self.migration.up if self.upwards else self.migration.down

    def __str__(self) -> str:
        after = self.migration.version if self.upwards else self.migration.version - 1
        what = f"{self.migration.name}{' (not for this database)' if self.skipped else ''}"
        return f"to version {after}: {'' if self.upwards else 'without '}{what}"


async def read_versions(connection: asyncpg.Connection) -> Versions:
    """What the tables are, as far as the search path leads to any."""
    if await connection.fetchval("SELECT to_regclass('wv_migrations')") is None:
        return Versions(0, 0)
    row = await connection.fetchrow("SELECT max(version), max(needs) FROM wv_migrations")
    return Versions(row[0] or 0, row[1] or 0)


async def kind_of(connection: asyncpg.Connection) -> str:
    """What kind of database it is: ``PostgreSQL``, or how another one calls itself."""
    version: str = await connection.fetchval("SELECT version()")
    if "-YB-" in version:
        return "YugabyteDB"
    return version.partition(" ")[0]


def check_versions(
    found: Versions, name: str, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Raise unless a server of this release can work with such tables.

    Raises:
        StoreForeign: a newer release made them so that this one cannot.
        StoreError: they are older than this release needs.
    """
    known = migrations[-1].version
    if found.needs > known:
        raise StoreForeign(
            f"{name}: a newer release made these tables (they need version {found.needs}, "
            f"this release knows {known})"
        )
    if found.version < known:
        raise StoreError(
            f"{name}: the tables are of version {found.version}, and this release needs {known}: "
            f"run '{COMMAND}' first"
        )


def plan(found: Versions, to: int, kind: str, migrations: Sequence[Migration]) -> list[Step]:
    """The steps from what was found to version ``to``."""
    up = [Step(one, True, _skips(one, kind)) for one in migrations if found.version < one.version]
    down = [Step(one, False, _skips(one, kind)) for one in reversed(migrations)]
    return [step for step in up if step.migration.version <= to] + [
        step for step in down if to < step.migration.version <= found.version
    ]


def _skips(migration: Migration, kind: str) -> bool:
    return migration.only not in ("", kind)


async def migrate(
    connection: asyncpg.Connection,
    name: str,
    to: int | None = None,
    *,
    dry_run: bool = False,
    report: Callable[[Step], object] = lambda step: None,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> Versions:
    """Bring the tables to version ``to``, by default to the newest that this release knows.

    Two at once are safe: the second one waits, and finds nothing left to do. ``report`` is told of
    each step before it is taken; with ``dry_run`` that is all that happens. What is interrupted
    goes on where it stopped.

    Raises:
        StoreForeign: a newer release made the tables.
        StoreError: there is no such version, or going down would lose profiles.
    """
    known = migrations[-1].version
    goal = known if to is None else to
    if not 0 <= goal <= known:
        raise StoreError(f"{name}: there is no version {goal}; this release knows 0 to {known}")
    async with _Lock(connection):
        found = await read_versions(connection)
        if found.version > known:
            raise StoreForeign(
                f"{name}: a newer release made these tables (version {found.version}, "
                f"this release knows {known}); only that one can change them"
            )
        kind = await kind_of(connection)
        steps = plan(found, goal, kind, migrations)
        if steps and goal == 0 and await _holds_keys(connection):
            raise StoreError(
                f"{name}: going down to version 0 would lose what is stored; "
                "drop the tables yourself if that is meant"
            )
        for step in steps:
            report(step)
            if not dry_run:
                await _take(connection, step)
        return await read_versions(connection)


async def _take(connection: asyncpg.Connection, step: Step) -> None:
    migration = step.migration
    if migration.online:
        for statement in step.statements:
            await connection.execute(statement)
        await _note(connection, step)
        return
    async with connection.transaction():
        for statement in step.statements:
            await connection.execute(statement)
        if migration.version == 1 and step.upwards:
            secret = random_bytes(32)
            await connection.execute(
                "INSERT INTO wv_meta VALUES ('secret', $1, $2)", secret, secret_seal(secret)
            )
        await _note(connection, step)


async def _note(connection: asyncpg.Connection, step: Step) -> None:
    migration = step.migration
    if step.upwards:
        await connection.execute(_RECORD)
        await connection.execute(
            "INSERT INTO wv_migrations VALUES ($1, $2, $3, $4)",
            migration.version,
            migration.needs,
            migration.name,
            now_ms(),
        )
        return
    await connection.execute("DELETE FROM wv_migrations WHERE version = $1", migration.version)
    if migration.version == 1:
        await connection.execute("DROP TABLE wv_migrations")


async def _holds_keys(connection: asyncpg.Connection) -> bool:
    found = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM wv_keys) OR EXISTS (SELECT 1 FROM wv_inbox) "
        "OR EXISTS (SELECT 1 FROM wv_rejected)"
    )
    return bool(found)


class _Lock:
    """What lets only one session of a database migrate, as long as it lives."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        # A lock of the session and not of a transaction, because online steps have none.
        await self._connection.execute("SET lock_timeout = 0")
        await self._connection.execute(f"SELECT pg_advisory_lock({_LOCK})")

    async def __aexit__(self, *what: object) -> None:
        if not self._connection.is_closed() and not self._connection.is_in_transaction():
            await self._connection.execute(f"SELECT pg_advisory_unlock({_LOCK})")


async def read_secret(connection: asyncpg.Connection, name: str) -> bytes:
    """The store's secret.

    Raises: StoreDamaged: it is not what was made.
    """
    row = await connection.fetchrow("SELECT value, seal FROM wv_meta WHERE name = 'secret'")
    if row is None or not holds(row[1], secret_seal, row[0]):
        raise StoreDamaged(f"{name}: the store's secret is damaged")
    return bytes(row[0])

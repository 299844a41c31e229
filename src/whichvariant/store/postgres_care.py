"""Counting, checking and tending a whole PostgreSQL store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.store.postgres_changes import ALIAS, FORWARD, PROFILE, TOMBSTONE
from whichvariant.store.postgres_migrations import read_versions
from whichvariant.store.postgres_schema import TABLES
from whichvariant.store.protocol import Damage, NamespaceStats, Progress, Pulse, StoreStats
from whichvariant.store.seals import (
    entry_seal,
    event_seal,
    holds,
    inbox_seal,
    namespace_seal,
    secret_seal,
)

_ROWS = 1000
# Counting a large table takes as long as reading it.
_LONG_S = 86_400.0


async def count_everything(connection: asyncpg.Connection, trouble: str) -> StoreStats:
    """What ``stats`` gives, as of one moment. In place of files there are tables."""
    sizes = await _sizes_bytes(connection)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL statement_timeout = 0")
        spaces = {
            number: Namespace(
                organization.decode(errors="backslashreplace"),
                environment.decode(errors="backslashreplace"),
            )
            for number, organization, environment in await connection.fetch(
                "SELECT number, organization, environment FROM wv_namespaces"
            )
        }
        counts: Counter[tuple[int, int | str]] = Counter()
        for number, kind, count in await connection.fetch(
            "SELECT namespace, kind, count(*) FROM wv_keys GROUP BY namespace, kind",
            timeout=_LONG_S,
        ):
            counts[number, kind] = count
        for table in ("inbox", "rejected"):
            for number, count in await connection.fetch(
                f"SELECT namespace, count(*) FROM wv_{table} GROUP BY namespace",
                timeout=_LONG_S,
            ):
                counts[number, table] = count
        versions = await read_versions(connection)
        version: str = await connection.fetchval("SELECT version()")
    rows = sorted(
        NamespaceStats(
            spaces.get(number, Namespace(f"number {number}", "?")),
            counts[number, PROFILE],
            counts[number, ALIAS],
            counts[number, FORWARD],
            counts[number, TOMBSTONE],
            counts[number, "inbox"],
            counts[number, "rejected"],
        )
        for number in {number for number, _ in counts}
    )
    engine = " ".join(version.replace(",", " ").split()[:2])
    return StoreStats(tuple(rows), sizes, 0, engine, versions.version, trouble)


async def _sizes_bytes(connection: asyncpg.Connection) -> dict[str, int]:
    """How large each table is, with its indexes, where the database can tell."""
    try:
        rows = await connection.fetch(
            "SELECT t.name, pg_total_relation_size(to_regclass(t.name)) "
            "FROM unnest($1::text[]) AS t(name)",
            list(TABLES),
        )
    except asyncpg.PostgresError:
        return {}
    return {name: size for name, size in rows if size is not None}


async def feel_pulse(connection: asyncpg.Connection, trouble: str) -> Pulse:
    """What ``pulse`` gives."""
    size_bytes = sum((await _sizes_bytes(connection)).values())
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM wv_inbox), "
        "(SELECT received_ms FROM wv_inbox ORDER BY sequence LIMIT 1), "
        "(SELECT count(*) FROM wv_rejected)"
    )
    return Pulse(row[0], row[1], row[2], size_bytes, trouble)


async def compact(connection: asyncpg.Connection, *, rebuild: bool) -> None:
    """Let the space of what was deleted be used again; or write every table anew, locked."""
    for table in TABLES:
        await connection.execute(f"VACUUM ({'FULL, ' if rebuild else ''}ANALYZE) {table}")


class Verification:
    """Reads every row of every table and notes what is damaged."""

    def __init__(self, connection: asyncpg.Connection, progress: Progress | None) -> None:
        self._connection = connection
        self._progress = progress
        self._done = 0
        self._total = 0
        self.found: list[Damage] = []

    async def run(self) -> None:
        """Look at all there is, as of one moment."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            for table in TABLES:
                count = await self._connection.fetchval(f"SELECT count(*) FROM {table}")
                self._total += count
            await self._check_secret()
            await self._check("wv_namespaces", ("number",), _NAMESPACE, _namespace_of)
            await self._check("wv_keys", ("namespace", "key"), _KEY, _key_of)
            await self._check_ends()
            await self._check("wv_history", ("namespace", "profile", "sequence"), _EVENT, _event_of)
            await self._check("wv_inbox", ("sequence",), _ITEM, _item_of("inbox"))
            await self._check("wv_rejected", ("sequence",), _ITEM, _item_of("rejected"))

    async def _check_secret(self) -> None:
        row = await self._connection.fetchrow(
            "SELECT value, seal FROM wv_meta WHERE name = 'secret'"
        )
        if row is None or not holds(row[1], secret_seal, row[0]):
            self.found.append(Damage("secret", "it is not what was made with the store"))
        self._advance(1)

    async def _check(
        self,
        table: str,
        key: tuple[str, ...],
        columns: str,
        look: Callable[[Any], tuple[str, bool]],
    ) -> None:
        """Go through a table by its key; ``look`` names a row and says whether it is sound."""
        order = ", ".join(key)
        places = ", ".join(f"${at + 2}" for at in range(len(key)))
        first = f"SELECT {order}, {columns} FROM {table} ORDER BY {order} LIMIT $1"
        more = (
            f"SELECT {order}, {columns} FROM {table} WHERE ({order}) > ({places}) "
            f"ORDER BY {order} LIMIT $1"
        )
        rows = await self._connection.fetch(first, _ROWS)
        while rows:
            for row in rows:
                place, sound = look(row)
                if not sound:
                    self.found.append(Damage(place, "its seal is broken"))
            self._advance(len(rows))
            rows = await self._connection.fetch(more, _ROWS, *rows[-1][: len(key)])

    async def _check_ends(self) -> None:
        """Names that lead to no profile, and histories of nobody."""
        for namespace, key in await self._connection.fetch(
            "SELECT k.namespace, k.key FROM wv_keys AS k WHERE k.kind <> 0 AND k.kind <> 3 "
            "AND NOT EXISTS (SELECT 1 FROM wv_keys AS p "
            "WHERE p.namespace = k.namespace AND p.key = k.profile AND p.kind = 0)"
        ):
            self.found.append(Damage(_key(namespace, key), "it leads to no profile"))
        for namespace, key in await self._connection.fetch(
            "SELECT DISTINCT h.namespace, h.profile FROM wv_history AS h "
            "WHERE NOT EXISTS (SELECT 1 FROM wv_keys AS p "
            "WHERE p.namespace = h.namespace AND p.key = h.profile AND p.kind = 0)"
        ):
            self.found.append(Damage(f"history of {_key(namespace, key)}", "it is nobody's"))

    def _advance(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


_NAMESPACE = "organization, environment, seal"
_KEY = "kind, version, at_ms, seal, profile, record"
_EVENT = "seal, data"
_ITEM = "namespace, received_ms, seal, payload"


def _namespace_of(row: Any) -> tuple[str, bool]:
    number, organization, environment, seal = row
    sound = holds(seal, namespace_seal, number, organization, environment)
    return f"namespace {number}", sound


def _key_of(row: Any) -> tuple[str, bool]:
    namespace, key, kind, version, at_ms, seal, profile, record = row
    content = (namespace, key, kind, version, at_ms, profile, record)
    noun = "profile" if kind == PROFILE else "key"
    sound = kind in (PROFILE, ALIAS, FORWARD, TOMBSTONE) and holds(seal, entry_seal, *content)
    return f"{noun} {_shown(key)}", sound


def _event_of(row: Any) -> tuple[str, bool]:
    namespace, profile, sequence, seal, data = row
    sound = holds(seal, event_seal, namespace, profile, sequence, data)
    return f"history of profile {_shown(profile)}", sound


def _item_of(table: str) -> Callable[[Any], tuple[str, bool]]:
    def look(row: Any) -> tuple[str, bool]:
        sequence, namespace, received_ms, seal, payload = row
        sound = holds(seal, inbox_seal, namespace, received_ms, payload)
        return f"item {sequence} of {table}", sound

    return look


def _shown(key: bytes) -> str:
    return repr(key.decode(errors="backslashreplace"))


def _key(namespace: int, key: bytes) -> str:
    return f"key {_shown(key)} of namespace {namespace}"

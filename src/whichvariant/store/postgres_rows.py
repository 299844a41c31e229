"""A PostgreSQL store's rows as they are, for copies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreDamaged
from whichvariant.store.postgres_changes import ALIAS, FORWARD, PROFILE, TOMBSTONE
from whichvariant.store.postgres_commits import APPEND, new_stamp
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.postgres_spaces import Spaces
from whichvariant.store.protocol import HistoryRow, InboxItem, ProfileRow
from whichvariant.store.rows import Batch
from whichvariant.store.seals import (
    entry_seal,
    event_seal,
    holds,
    inbox_seal,
    secret_seal,
)

_MARK = "copying"
_KINDS = {"alias": ALIAS, "forward": FORWARD, "tombstone": TOMBSTONE}

_HISTORIES = """
    SELECT profile, sequence, seal, data FROM wv_history
    WHERE namespace = $1 AND profile = ANY($2::bytea[]) ORDER BY profile, sequence
"""
_INBOX = """
    SELECT sequence, namespace, received_ms, seal, attempts, payload FROM wv_inbox
    WHERE sequence > $1 ORDER BY sequence LIMIT $2
"""
_SET_META = """
    INSERT INTO wv_meta (name, value, seal) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, seal = excluded.seal
"""


async def read_mark(connection: asyncpg.Connection) -> str:
    """The mark of a store into which something is being copied."""
    value = await connection.fetchval("SELECT value FROM wv_meta WHERE name = $1", _MARK)
    return "" if value is None else value.decode()


async def histories_of(
    connections: Connections, number: int, rows: Sequence[ProfileRow]
) -> dict[str, tuple[HistoryRow, ...]]:
    """The histories of profiles of one namespace, by their ids."""
    keys = [row.id.encode() for row in rows]
    found = await connections.run(lambda connection, _: connection.fetch(_HISTORIES, number, keys))
    histories = {}
    for key, group in groupby(found, key=lambda row: row[0]):
        events = []
        for _, sequence, seal, data in group:
            if not holds(seal, event_seal, number, key, sequence, data):
                shown = key.decode(errors="backslashreplace")
                raise StoreDamaged(f"the history of the profile {shown!r} is damaged in the store")
            events.append(HistoryRow(sequence, data))
        histories[key.decode()] = tuple(events)
    return histories


async def read_items(
    connections: Connections, spaces: Spaces, after: int, limit: int
) -> list[InboxItem]:
    """Items of the inbox as they lie there."""
    rows = await connections.run(lambda connection, _: connection.fetch(_INBOX, after, limit))
    items = []
    for sequence, number, received_ms, seal, attempts, payload in rows:
        if not holds(seal, inbox_seal, number, received_ms, payload):
            raise StoreDamaged(f"item {sequence} of the inbox is damaged in the store")
        space = await spaces.space(connections, number)
        items.append(InboxItem(sequence, space, payload, received_ms, attempts))
    return items


async def last_sequence(connection: asyncpg.Connection) -> int:
    """The last number that the inbox has given out."""
    last, used = await connection.fetchrow("SELECT last_value, is_called FROM wv_inbox_sequence")
    return int(last) if used else 0


async def is_empty(connection: asyncpg.Connection) -> bool:
    """Whether nothing was ever written."""
    for table in ("wv_keys", "wv_history", "wv_inbox", "wv_rejected"):
        if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table})"):
            return False
    return await last_sequence(connection) == 0


async def begin_copy(connection: asyncpg.Connection, secret: bytes, mark: str) -> None:
    """Take over a secret and carry a mark."""
    async with connection.transaction():
        await connection.execute(_SET_META, "secret", secret, secret_seal(secret))
        await connection.execute(_SET_META, _MARK, mark.encode(), 0)


async def end_copy(connection: asyncpg.Connection) -> None:
    """Carry no mark any more."""
    await connection.execute("DELETE FROM wv_meta WHERE name = $1", _MARK)


async def write_rows(
    connection: asyncpg.Connection, numbers: dict[Namespace, int], batch: Batch, mark: str
) -> None:
    """Write rows and the new mark in one transaction. What is there already is left as it is.

    ``numbers`` has every namespace of the batch.
    """
    stamp = new_stamp()
    keys: list[tuple[Any, ...]] = []
    events: dict[int, list[tuple[bytes, int, int, bytes]]] = {}
    for space, row, history in batch.profiles:
        number, key = numbers[space], row.id.encode()
        entry = (PROFILE, row.version, row.updated_ms, None, row.record)
        keys.append((number, key, *entry, entry_seal(number, key, *entry), stamp))
        events.setdefault(number, []).extend(
            (key, at, event_seal(number, key, at, data), data) for at, data in history
        )
    for space, name in batch.names:
        number, key = numbers[space], name.key.encode()
        led = name.id.encode() if name.kind != "tombstone" else None
        names = (_KINDS[name.kind], 0, name.at_ms, led, None)
        keys.append((number, key, *names, entry_seal(number, key, *names), stamp))
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO wv_keys "
            "(namespace, key, kind, version, at_ms, profile, record, seal, stamp) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            keys,
        )
        for number, rows in events.items():
            if rows:
                await connection.execute(APPEND, number, *zip(*rows, strict=True))
        await _write_items(connection, numbers, batch)
        if batch.last_sequence > await last_sequence(connection):
            await connection.execute("SELECT setval('wv_inbox_sequence', $1)", batch.last_sequence)
        await connection.execute(_SET_META, _MARK, mark.encode(), 0)


async def _write_items(
    connection: asyncpg.Connection, numbers: dict[Namespace, int], batch: Batch
) -> None:
    await connection.executemany(
        "INSERT INTO wv_inbox (sequence, namespace, received_ms, seal, attempts, made_ms, "
        "until_ms, payload) VALUES ($1, $2, $3, $4, $5, 0, 0, $6) ON CONFLICT DO NOTHING",
        [
            (
                item.sequence,
                numbers[item.namespace],
                item.received_ms,
                inbox_seal(numbers[item.namespace], item.received_ms, item.payload),
                item.attempts,
                item.payload,
            )
            for item in batch.inbox
        ],
    )
    await connection.executemany(
        "INSERT INTO wv_rejected (sequence, namespace, received_ms, seal, attempts, rejected_ms, "
        "reason, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        [
            (
                item.sequence,
                numbers[item.namespace],
                item.received_ms,
                inbox_seal(numbers[item.namespace], item.received_ms, item.payload),
                item.attempts,
                item.rejected_ms,
                item.reason.encode(),
                item.payload,
            )
            for item in batch.rejected
        ],
    )

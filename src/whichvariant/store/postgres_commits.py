"""Transactions of any kind, each in a transaction of the server.

First come the locks, in one order for everybody: items of the inbox, then profiles by their keys.
What is free cannot be locked; that nobody else takes it meanwhile is the primary key's business,
and where somebody does, everything begins anew. No lock is waited for after that but those of rows
that are being inserted, in their order, so that nobody waits for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from whichvariant.clock import random_bytes
from whichvariant.errors import StoreConflict, StoreUnavailable
from whichvariant.store.postgres_changes import Changes, Entry, dissolved, mentioned
from whichvariant.store.protocol import Transaction
from whichvariant.store.seals import entry_seal, event_seal

_FINISH = "DELETE FROM wv_inbox WHERE sequence = ANY($1::bigint[]) RETURNING sequence"

_LOCK = """
    SELECT key, kind, version, at_ms, profile FROM wv_keys
    WHERE namespace = $1 AND key = ANY($2::bytea[]) AND kind = 0
    ORDER BY key FOR UPDATE
"""
_READ = """
    SELECT key, kind, version, at_ms, profile FROM wv_keys
    WHERE namespace = $1 AND key = ANY($2::bytea[])
"""
_NAMES = """
    SELECT key, kind, version, at_ms, profile FROM wv_keys
    WHERE namespace = $1 AND profile = ANY($2::bytea[]) AND profile IS NOT NULL
"""
_STAMPED = """
    SELECT EXISTS (
        SELECT 1 FROM wv_keys WHERE namespace = $1 AND key = ANY($2::bytea[]) AND stamp = $3
    )
"""

_DELETE = "DELETE FROM wv_keys WHERE namespace = $1 AND key = ANY($2::bytea[])"

_GIVEN = """
    unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[],
        $9::bytea[]) AS g(key, kind, version, at_ms, seal, profile, record)
"""
_INSERT = f"""
    INSERT INTO wv_keys (namespace, key, kind, version, at_ms, seal, stamp, profile, record)
    SELECT $1, g.key, g.kind, g.version, g.at_ms, g.seal, $2, g.profile, g.record
    FROM {_GIVEN} ORDER BY g.key
    ON CONFLICT (namespace, key) DO NOTHING RETURNING key
"""
_UPDATE = f"""
    UPDATE wv_keys AS k SET kind = g.kind, version = g.version, at_ms = g.at_ms, seal = g.seal,
        stamp = $2, profile = g.profile, record = g.record
    FROM {_GIVEN} WHERE k.namespace = $1 AND k.key = g.key RETURNING k.key
"""

_WIPE = "DELETE FROM wv_history WHERE namespace = $1 AND profile = ANY($2::bytea[])"
_DROP = """
    DELETE FROM wv_history AS h
    USING unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS g(profile, first, last, step)
    WHERE h.namespace = $1 AND h.profile = g.profile
        AND h.sequence BETWEEN g.first AND g.last AND (h.sequence - g.first) % g.step = 0
"""
APPEND = """
    INSERT INTO wv_history (namespace, profile, sequence, seal, data)
    SELECT $1, g.profile, g.sequence, g.seal, g.data
    FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[])
        AS g(profile, sequence, seal, data)
    ON CONFLICT (namespace, profile, sequence)
    DO UPDATE SET seal = excluded.seal, data = excluded.data
"""


def new_stamp() -> int:
    """A number that tells one write from all others."""
    return int.from_bytes(random_bytes(8), "little", signed=True)


class _Row(NamedTuple):
    """A row of ``wv_keys`` as it is handed to a statement."""

    key: bytes
    kind: int
    version: int
    at_ms: int
    seal: int
    profile: bytes | None
    record: bytes | None


class _TakenMeanwhileError(Exception):
    """Somebody took a key that was free when it was looked at."""


class Commit:
    """One transaction on its way, which may take several attempts.

    ``namespace`` is the number of the transaction's namespace.
    """

    def __init__(self, namespace: int, transaction: Transaction) -> None:
        self._namespace = namespace
        self._transaction = transaction
        self._stamp = new_stamp()
        # Keys that an earlier attempt was about to write: if it did, their rows have our stamp.
        self._written: list[bytes] = []

    async def attempt(self, connection: asyncpg.Connection, doubt: bool) -> None:
        """Do it. With ``doubt`` an earlier attempt may have done it already.

        Raises:
            StoreConflict: an expectation does not hold; nothing was applied.
            StoreUnavailable: an expectation does not hold any more, perhaps because it was applied.
        """
        while True:
            try:
                async with connection.transaction(isolation="read_committed"):
                    if doubt and await self._is_done(connection):
                        return
                    await self._apply(connection)
                return
            except _TakenMeanwhileError:
                continue
            except StoreConflict as conflict:
                if not doubt:
                    raise
                # What the attempt before had begun may have come through since we looked.
                if await self._is_done(connection):
                    return
                raise StoreUnavailable(
                    "the connection was lost during a commit, and what it wrote cannot be told "
                    f"from what others wrote since: {conflict}"
                ) from conflict

    async def _is_done(self, connection: asyncpg.Connection) -> bool:
        done: bool = await connection.fetchval(
            _STAMPED, self._namespace, self._written, self._stamp
        )
        return done

    async def _apply(self, connection: asyncpg.Connection) -> None:
        transaction, namespace = self._transaction, self._namespace
        items: list[int] = []
        if transaction.finishes:
            found = await connection.fetch(_FINISH, sorted(transaction.finishes))
            items = [row[0] for row in found]
        before = await self._read(connection)
        changes = Changes(transaction, before, items)
        self._written = changes.changed
        if changes.wiped:
            await connection.execute(_WIPE, namespace, sorted(changes.wiped))
        if changes.drops:
            await connection.execute(_DROP, namespace, *zip(*changes.drops, strict=True))
        await self._write_keys(connection, changes)
        rows = [
            (profile, sequence, event_seal(namespace, profile, sequence, data), data)
            for profile, history in sorted(changes.history.items())
            for sequence, data in sorted(history.items())
        ]
        if rows:
            await connection.execute(APPEND, namespace, *zip(*rows, strict=True))

    async def _read(self, connection: asyncpg.Connection) -> dict[bytes, Entry]:
        """Lock the profiles that are spoken of, and read all that matters."""
        namespace = self._namespace
        keys = mentioned(self._transaction)
        before: dict[bytes, Entry] = {}
        if not keys:
            return before
        for key, *columns in await connection.fetch(_LOCK, namespace, keys):
            before[key] = Entry(*columns)
        left = [key for key in keys if key not in before]
        if left:
            for key, *columns in await connection.fetch(_READ, namespace, left):
                before[key] = Entry(*columns)
        sources = dissolved(self._transaction)
        if sources:
            # Whoever attaches a name to a profile has locked it, so there will be no more of them.
            for key, *columns in await connection.fetch(_NAMES, namespace, sources):
                before[key] = Entry(*columns)
        return before

    async def _write_keys(self, connection: asyncpg.Connection, changes: Changes) -> None:
        before, after = changes.before, changes.after
        gone = [key for key in changes.changed if key not in after]
        if gone:
            await connection.execute(_DELETE, self._namespace, gone)
        changed = [key for key in changes.changed if key in before and key in after]
        await self._write(connection, _UPDATE, changed, after)
        new = [key for key in changes.changed if key not in before]
        await self._write(connection, _INSERT, new, after)

    async def _write(
        self,
        connection: asyncpg.Connection,
        statement: str,
        keys: Sequence[bytes],
        after: dict[bytes, Entry],
    ) -> None:
        if not keys:
            return
        namespace = self._namespace
        rows = []
        for key in keys:
            entry = after[key]
            seal = entry_seal(namespace, key, *entry)
            rows.append(_Row(key, *entry[:3], seal, *entry[3:]))
        written = await connection.fetch(
            statement, namespace, self._stamp, *zip(*rows, strict=True)
        )
        if len(written) != len(keys):
            raise _TakenMeanwhileError

"""The inbox in PostgreSQL: claimed by many without waiting for each other, finished once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreDamaged
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.postgres_spaces import Spaces
from whichvariant.store.protocol import CLOCK_TOLERANCE_MS, InboxItem, RejectedItem
from whichvariant.store.seals import holds, inbox_seal

_ENQUEUE = """
    INSERT INTO wv_inbox (namespace, received_ms, seal, attempts, made_ms, until_ms, payload)
    VALUES ($1, $2, $3, 0, 0, 0, $4) RETURNING sequence
"""
# A claim that seems to have been made in the future is from before the clock was put back. What
# somebody else is claiming at this moment is passed over, and not waited for.
_CLAIM = """
    WITH free AS (
        SELECT sequence FROM wv_inbox
        WHERE (owner IS NULL OR until_ms <= $2 OR made_ms > $3)
            AND namespace <> ALL($5::bigint[])
        ORDER BY sequence LIMIT $6 FOR UPDATE SKIP LOCKED
    )
    UPDATE wv_inbox AS i SET owner = $1, made_ms = $2, until_ms = $4, attempts = i.attempts + 1
    FROM free WHERE i.sequence = free.sequence
    RETURNING i.sequence, i.namespace, i.payload, i.received_ms, i.attempts, i.seal
"""
_HAS_FREE = """
    SELECT EXISTS (
        SELECT 1 FROM wv_inbox
        WHERE (owner IS NULL OR until_ms <= $1 OR made_ms > $2)
            AND namespace <> ALL($3::bigint[])
    )
"""
_RELEASE = "UPDATE wv_inbox SET owner = NULL WHERE sequence = ANY($1::bigint[]) AND owner = $2"
_REJECT = """
    WITH gone AS (
        DELETE FROM wv_inbox WHERE sequence = $1
        RETURNING sequence, namespace, received_ms, seal, attempts, payload
    )
    INSERT INTO wv_rejected
        (sequence, namespace, received_ms, seal, attempts, rejected_ms, reason, payload)
    SELECT sequence, namespace, received_ms, seal, attempts, $2, $3, payload FROM gone
"""
_REJECTED = """
    SELECT sequence, namespace, payload, received_ms, attempts, reason, rejected_ms, seal
    FROM wv_rejected WHERE sequence > $1 ORDER BY sequence LIMIT $2
"""
_REQUEUE = """
    WITH gone AS (
        DELETE FROM wv_rejected WHERE sequence = ANY($1::bigint[])
        RETURNING sequence, namespace, received_ms, seal, payload
    )
    INSERT INTO wv_inbox
        (sequence, namespace, received_ms, seal, attempts, made_ms, until_ms, payload)
    SELECT sequence, namespace, received_ms, seal, 0, 0, 0, payload FROM gone
    RETURNING sequence
"""
_DISCARD = "DELETE FROM wv_rejected WHERE sequence = ANY($1::bigint[]) RETURNING sequence"


class Queue:
    """The inbox, for one event loop."""

    def __init__(self, connections: Connections, spaces: Spaces) -> None:
        self._connections = connections
        self._spaces = spaces

    async def enqueue(self, namespace: Namespace, payload: bytes, received_ms: int) -> int:
        number = await self._spaces.numbered(self._connections, namespace)
        seal = inbox_seal(number, received_ms, payload)
        rows = await self._once(_ENQUEUE, number, received_ms, seal, payload)
        sequence: int = rows[0][0]
        return sequence

    async def claim(
        self, owner: bytes, limit: int, lease_ms: int, now_ms: int, skip: Collection[Namespace]
    ) -> list[InboxItem]:
        numbers = [await self._spaces.number(self._connections, space) for space in skip]
        skipped = [number for number in numbers if number is not None]
        latest_ms = now_ms + CLOCK_TOLERANCE_MS
        # Usually there is nothing, and then nothing needs to be written.
        free = await self._again(_HAS_FREE, now_ms, latest_ms, skipped)
        if limit <= 0 or not free[0][0]:
            return []
        until_ms = now_ms + lease_ms
        rows = await self._once(
            _CLAIM, owner, now_ms, latest_ms, until_ms, skipped, min(limit, 1_000_000)
        )
        items = []
        damaged: StoreDamaged | None = None
        for sequence, number, payload, received_ms, attempts, seal in sorted(
            rows, key=lambda row: row[0]
        ):
            if not holds(seal, inbox_seal, number, received_ms, payload):
                # It stays claimed for the lease, so that it does not bar those behind it.
                damaged = StoreDamaged(f"item {sequence} of the inbox is damaged in the store")
                continue
            space = await self._spaces.space(self._connections, number)
            items.append(InboxItem(sequence, space, payload, received_ms, attempts))
        if damaged is not None and not items:
            raise damaged
        return items

    async def release(self, sequences: Sequence[int], owner: bytes) -> None:
        await self._again(_RELEASE, list(sequences), owner)

    async def reject(self, sequence: int, reason: str, now_ms: int) -> None:
        # Once more is no harm: it is not there any more.
        await self._again(_REJECT, sequence, now_ms, reason.encode())

    async def rejected(self, after: int, limit: int) -> list[RejectedItem]:
        rows = await self._again(_REJECTED, after, min(max(0, limit), 1 << 31))
        items = []
        for sequence, number, payload, received_ms, attempts, reason, rejected_ms, seal in rows:
            if not holds(seal, inbox_seal, number, received_ms, payload):
                raise StoreDamaged(f"the rejected item {sequence} is damaged in the store")
            space = await self._spaces.space(self._connections, number)
            said = reason.decode(errors="backslashreplace")
            items.append(
                RejectedItem(sequence, space, payload, received_ms, attempts, said, rejected_ms)
            )
        return items

    async def requeue(self, sequences: Sequence[int]) -> int:
        return len(await self._once(_REQUEUE, list(sequences)))

    async def discard(self, sequences: Sequence[int]) -> int:
        return len(await self._once(_DISCARD, list(sequences)))

    async def _again(self, statement: str, *arguments: Any) -> list[Any]:
        """A statement that may happen twice."""

        async def work(connection: asyncpg.Connection, doubt: bool) -> list[Any]:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows

        return await self._connections.run(work)

    async def _once(self, statement: str, *arguments: Any) -> list[Any]:
        """A statement that must not happen twice."""

        async def work(connection: asyncpg.Connection, doubt: bool) -> list[Any]:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows

        return await self._connections.run(work, repeatable=False)

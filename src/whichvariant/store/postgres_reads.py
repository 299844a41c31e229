"""What the PostgreSQL store reads of profiles and keys; every row is checked against its seal."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Literal

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreDamaged, StoreError
from whichvariant.store.limits import check_namespace, key_bytes
from whichvariant.store.postgres_changes import ALIAS, FORWARD, PROFILE, TOMBSTONE
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.postgres_spaces import Spaces
from whichvariant.store.protocol import (
    Elsewhere,
    Found,
    HistoryRow,
    Name,
    Place,
    ProfileRow,
    Tombstone,
)
from whichvariant.store.seals import entry_seal, event_seal, holds

_COLUMNS = "key, kind, version, at_ms, seal, profile, record"
_FIND = f"SELECT {_COLUMNS} FROM wv_keys WHERE namespace = $1 AND key = $2"
_FIND_MANY = f"SELECT {_COLUMNS} FROM wv_keys WHERE namespace = $1 AND key = ANY($2::bytea[])"
# A name and the profile it leads to, as of one moment.
_FOLLOW = """
    SELECT k.key, k.kind, k.version, k.at_ms, k.seal, k.profile, k.record,
        p.key, p.kind, p.version, p.at_ms, p.seal, p.profile, p.record
    FROM wv_keys AS k LEFT JOIN wv_keys AS p ON p.namespace = k.namespace AND p.key = k.profile
    WHERE k.namespace = $1 AND k.key = $2
"""
_ELSEWHERE = """
    SELECT n.number FROM wv_namespaces AS n WHERE EXISTS (
        SELECT 1 FROM wv_keys AS k WHERE k.namespace = n.number AND k.key = $1 AND k.kind <> 3
    )
"""
_HISTORY = """
    SELECT sequence, seal, data FROM wv_history
    WHERE namespace = $1 AND profile = $2 ORDER BY sequence
"""
_ALIASES = f"""
    SELECT {_COLUMNS} FROM wv_keys
    WHERE namespace = $1 AND profile = $2 AND profile IS NOT NULL ORDER BY key
"""
_SCAN = f"""
    SELECT {_COLUMNS} FROM wv_keys
    WHERE namespace = $1 AND key > $2 AND kind = 0 ORDER BY key LIMIT $3
"""
_SCAN_NAMES = """
    SELECT k.key, k.kind, k.version, k.at_ms, k.seal, k.profile, k.record, p.kind
    FROM wv_keys AS k LEFT JOIN wv_keys AS p ON p.namespace = k.namespace AND p.key = k.profile
    WHERE k.namespace = $1 AND k.key > $2 AND k.kind <> 0 ORDER BY k.key LIMIT $3
"""
_KINDS: dict[int, Literal["alias", "forward", "tombstone"]] = {
    ALIAS: "alias",
    FORWARD: "forward",
    TOMBSTONE: "tombstone",
}
# Look-ups on their way at once, and in one statement.
_GROUPS = 3
_GROUP = 128


def profile_of(namespace: int, row: Any) -> ProfileRow:
    """A profile from its row.

    Raises: StoreDamaged: it is not what was written.
    """
    key, kind, version, at_ms, seal, profile, record = row
    content = (namespace, key, kind, version, at_ms, profile, record)
    if kind != PROFILE or not holds(seal, entry_seal, *content):
        raise StoreDamaged(f"the profile {_text(key)!r} is damaged in the store")
    return ProfileRow(key.decode(), version, at_ms, record)


def check_name(namespace: int, row: Any) -> None:
    """Raise StoreDamaged where the row of an alias, forward or tombstone is not what was written.

    It has its columns up to the record.
    """
    key, kind, version, at_ms, seal, profile, record = row
    content = (namespace, key, kind, version, at_ms, profile, record)
    if not holds(seal, entry_seal, *content) or (profile is None) != (kind == TOMBSTONE):
        raise StoreDamaged(f"the key {_text(key)!r} is damaged in the store")


class Reads:
    """What one event loop reads."""

    def __init__(self, connections: Connections, spaces: Spaces) -> None:
        self._connections = connections
        self._spaces = spaces
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, bytes, asyncio.Future[Any]]] = deque()
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- profiles --------------------------------------------------------------------------------

    async def find(self, namespace: Namespace, key: str) -> Found:
        encoded = key_bytes(key)
        while True:
            number = self._spaces.known(namespace)
            if number is None:
                number = await self._number(namespace)
            row = None if number is None else await self._row(number, encoded)
            if number is not None and row is not None:
                break
            others = await self._elsewhere(encoded)
            if namespace not in others:
                return Elsewhere(others) if others else None
            # It was made here since it was looked for.
        kind = row[1]
        if kind == PROFILE:
            return profile_of(number, row)
        check_name(number, row)
        if kind == TOMBSTONE:
            return Tombstone(row[3])
        both = await self._fetch(_FOLLOW, number, encoded)
        if not both:
            return await self.find(namespace, key)
        row = both[0][:7]
        if row[1] == PROFILE:
            return profile_of(number, row)
        check_name(number, row)
        if row[1] == TOMBSTONE:
            return Tombstone(row[3])
        if both[0][7] is None or both[0][8] != PROFILE:
            raise StoreDamaged(f"the key {key!r} leads to no profile in the store")
        return profile_of(number, both[0][7:])

    async def _elsewhere(self, key: bytes) -> tuple[Namespace, ...]:
        """The namespaces in which a key leads to a profile, in their order."""
        found = await self._fetch(_ELSEWHERE, key)
        spaces = [await self._spaces.space(self._connections, row[0]) for row in found]
        return tuple(sorted(spaces))

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        key = key_bytes(profile_id)
        number = await self._number(namespace)
        if number is None:
            return []
        rows = await self._fetch(_HISTORY, number, key)
        for sequence, seal, data in rows:
            if not holds(seal, event_seal, number, key, sequence, data):
                raise StoreDamaged(
                    f"the history of the profile {profile_id!r} is damaged in the store"
                )
        return [HistoryRow(sequence, data) for sequence, _, data in rows]

    async def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        key = key_bytes(profile_id)
        number = await self._number(namespace)
        if number is None:
            return []
        rows = await self._fetch(_ALIASES, number, key)
        for row in rows:
            check_name(number, row)
        return [row[0].decode() for row in rows if row[1] == ALIAS]

    # ---- everything ------------------------------------------------------------------------------

    async def scan(
        self, namespace: Namespace | None, after: Place | None, limit: int
    ) -> list[tuple[Namespace, ProfileRow]]:
        found: list[tuple[Namespace, ProfileRow]] = []
        for space, number, start in await self._spaces_from(namespace, after):
            left = _limit(limit) - len(found)
            if left <= 0:
                break
            rows = await self._fetch(_SCAN, number, start, left)
            found += [(space, profile_of(number, row)) for row in rows]
        return found

    async def scan_names(
        self, namespace: Namespace | None, after: Place | None, limit: int
    ) -> list[tuple[Namespace, Name]]:
        found: list[tuple[Namespace, Name]] = []
        for space, number, start in await self._spaces_from(namespace, after):
            left = _limit(limit) - len(found)
            if left <= 0:
                break
            for row in await self._fetch(_SCAN_NAMES, number, start, left):
                check_name(number, row[:7])
                key, kind, _, at_ms, _, profile = row[:6]
                if profile is not None and row[7] != PROFILE:
                    raise StoreDamaged(f"the key {_text(key)!r} is damaged in the store")
                leads_to = "" if profile is None else profile.decode()
                found.append((space, Name(key.decode(), _KINDS[kind], leads_to, at_ms)))
        return found

    async def _spaces_from(
        self, namespace: Namespace | None, after: Place | None
    ) -> list[tuple[Namespace, int, bytes]]:
        """Namespaces to scan in their order, with their numbers and the key to begin behind."""
        if namespace is not None:
            check_namespace(namespace)
        return [
            (space, number, after[1].encode() if after and space == after[0] else b"")
            for space, number in await self._spaces.every(self._connections)
            if namespace in (None, space) and (after is None or space >= after[0])
        ]

    # ---- statements ------------------------------------------------------------------------------

    async def _number(self, namespace: Namespace) -> int | None:
        check_namespace(namespace)
        return await self._spaces.number(self._connections, namespace)

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        async def work(connection: asyncpg.Connection, doubt: bool) -> list[Any]:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows

        return await self._connections.run(work)

    def _row(self, namespace: int, key: bytes) -> asyncio.Future[Any]:
        """One row by its key, read together with what else the loop looks for at once."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((namespace, key, future))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)
        return future

    def _begin(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._tasks) < _GROUPS:
            task = self._loop.create_task(self._serve(), name="store: finds")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()
        if not self._loop.is_closed():
            self._begin()

    async def _serve(self) -> None:
        if not self._waiting:
            return
        number = self._waiting[0][0]
        futures: dict[bytes, list[asyncio.Future[Any]]] = {}
        rest = []
        while self._waiting and len(futures) < _GROUP:
            one = self._waiting.popleft()
            if one[0] != number:
                rest.append(one)
            else:
                futures.setdefault(one[1], []).append(one[2])
        self._waiting.extendleft(reversed(rest))
        every = [future for several in futures.values() for future in several]
        try:
            if len(futures) == 1:
                rows = await self._fetch(_FIND, number, next(iter(futures)))
            else:
                rows = await self._fetch(_FIND_MANY, number, list(futures))
        except asyncio.CancelledError:
            for future in every:
                future.cancel()
            raise
        except StoreError as error:
            for future in every:
                if not future.done():
                    future.set_exception(error)
            return
        there = {row[0]: row for row in rows}
        for key, several in futures.items():
            for future in several:
                if not future.done():
                    future.set_result(there.get(key))


def _limit(limit: int) -> int:
    return min(max(0, limit), 1 << 31)


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")

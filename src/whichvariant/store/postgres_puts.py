"""Many writes of one profile each, gathered from what an event loop does at once.

Each of them is a transaction of its own: it is one row that is written if its version is still the
one that was expected, and rows of history with it. One statement does that for many of them, and
says which; so one that meets a conflict fails alone, and one round trip and one wait for the disk
are shared by all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import asyncpg

from whichvariant.errors import StoreClosed, StoreError, StoreReadOnly, StoreUnavailable
from whichvariant.store.postgres_changes import PROFILE, Entry, unexpected
from whichvariant.store.postgres_commits import new_stamp
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.protocol import Put, Transaction
from whichvariant.store.seals import entry_seal, event_seal

_GROUP = 64
_GROUP_BYTES = 1 << 20
# Groups on their way at once. What arrives meanwhile is in the next ones, which are the larger for
# it; but while one waits for the disk, another one can be prepared.
_GROUPS = 3
_LARGEST_VERSION = 2**63 - 2

_GIVEN = """
    unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
        AS g(key, version, at_ms, seal, record)
"""
_UPDATED = f"""
    UPDATE wv_keys AS k SET version = g.version, at_ms = g.at_ms, seal = g.seal, stamp = $2,
        record = g.record
    FROM {_GIVEN}
    WHERE k.namespace = $1 AND k.key = g.key AND k.kind = 0 AND k.version = g.version - 1
    RETURNING k.key
"""
_INSERTED = f"""
    INSERT INTO wv_keys (namespace, key, kind, version, at_ms, seal, stamp, record)
    SELECT $1, g.key, 0, g.version, g.at_ms, g.seal, $2, g.record FROM {_GIVEN} ORDER BY g.key
    ON CONFLICT (namespace, key) DO NOTHING RETURNING key
"""
# Where the rows of history belong to others than were written, they are left out.
_WITH_HISTORY = """
    WITH written AS ({0}), appended AS (
        INSERT INTO wv_history (namespace, profile, sequence, seal, data)
        SELECT $1, h.profile, h.sequence, h.seal, h.data
        FROM unnest($8::bytea[], $9::bigint[], $10::bigint[], $11::bytea[])
            AS h(profile, sequence, seal, data)
        WHERE h.profile = ANY(ARRAY(SELECT key FROM written))
        ON CONFLICT (namespace, profile, sequence)
        DO UPDATE SET seal = excluded.seal, data = excluded.data
    )
    SELECT key FROM written
"""
_STATEMENTS = {
    (False, False): _INSERTED,
    (False, True): _WITH_HISTORY.format(_INSERTED),
    (True, False): _UPDATED,
    (True, True): _WITH_HISTORY.format(_UPDATED),
}
_LOOK = """
    SELECT key, kind, version, at_ms, stamp FROM wv_keys
    WHERE namespace = $1 AND key = ANY($2::bytea[])
"""


def only_put(transaction: Transaction) -> Put | None:
    """The one profile that a transaction writes, where it does nothing else that takes more."""
    if len(transaction.puts) != 1 or transaction.count(()) != len(transaction) - 2:
        return None
    put = transaction.puts[0]
    return None if put.drop or not 0 <= put.expects <= _LARGEST_VERSION else put


class _Waiting(NamedTuple):
    namespace: int
    key: bytes
    put: Put
    future: asyncio.Future[None]


class Puts:
    """What waits to be written by one event loop."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, namespace: int, put: Put) -> asyncio.Future[None]:
        """Write a profile with one of the next groups; the future has the outcome."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(_Waiting(namespace, put.id.encode(), put, future))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)
        return future

    async def finish(self) -> None:
        """Wait until everything was written that was submitted."""
        while self._waiting or self._tasks:
            self._begin()
            await asyncio.wait(self._tasks)

    def _begin(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._tasks) < _GROUPS:
            task = self._loop.create_task(self._serve(self._take()), name="store: puts")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()
        if not self._loop.is_closed():
            self._begin()

    def _take(self) -> list[_Waiting]:
        """The next group: of one namespace, all new or all known, each profile once."""
        first = self._waiting.popleft()
        group, keys, size = [first], {first.key}, len(first.put.record)
        rest: list[_Waiting] = []
        while self._waiting and len(group) < _GROUP and size < _GROUP_BYTES:
            one = self._waiting.popleft()
            alike = (one.put.expects == 0) == (first.put.expects == 0)
            if one.namespace != first.namespace or not alike or one.key in keys:
                rest.append(one)
                # What waits for the same profile keeps its place behind this.
                keys.add(one.key)
                continue
            keys.add(one.key)
            size += len(one.put.record) + sum([len(row.data) for row in one.put.append])
            group.append(one)
        self._waiting.extendleft(reversed(rest))
        return group

    async def _serve(self, group: list[_Waiting]) -> None:
        stamp = new_stamp()
        try:
            await self._write(group, stamp)
        except (StoreClosed, StoreReadOnly) as error:
            _fail(group, error)
        except StoreError as error:
            if len(group) == 1 or not await self._one_by_one(group, stamp):
                _fail(group, error)
        except BaseException as error:
            # The loop is at its end, or there is a mistake in here: nobody may wait for ever.
            _fail(group, error)
            if not isinstance(error, asyncio.CancelledError):
                raise

    async def _one_by_one(self, group: list[_Waiting], stamp: int) -> bool:
        """One profile's trouble, such as a lock that is held, is not the others'.

        ``stamp`` is that of the attempt to write them together, which may have come through.
        """
        if self._connections.is_away:
            return False
        for one in group:
            try:
                await self._write([one], stamp, tried=True)
            except StoreError as error:
                _fail([one], error)
        return True

    async def _write(self, group: list[_Waiting], stamp: int, *, tried: bool = False) -> None:
        """Write a group and answer everybody in it. ``tried``: perhaps it was written before.

        Raises:
            StoreError: and nobody was answered.
        """
        group = sorted(group, key=lambda one: one.key)
        statement, arguments = _statement(group, stamp)
        namespace = group[0].namespace

        async def work(connection: asyncpg.Connection, doubt: bool) -> dict[bytes, Exception]:
            rows = await connection.fetch(statement, *arguments)
            written = {row[0] for row in rows}
            left = [one for one in group if one.key not in written]
            if not left:
                return {}
            unsure = doubt or tried
            found = await connection.fetch(_LOOK, namespace, [one.key for one in left])
            there = {row[0]: (Entry(*row[1:4]), row[4]) for row in found}
            return {
                one.key: outcome
                for one in left
                if (outcome := _outcome(one, there.get(one.key), stamp, unsure)) is not None
            }

        outcomes = await self._connections.run(work)
        for one in group:
            if one.future.done():  # cancelled
                continue
            outcome = outcomes.get(one.key)
            if outcome is None:
                one.future.set_result(None)
            else:
                one.future.set_exception(outcome)


def _statement(group: list[_Waiting], stamp: int) -> tuple[str, tuple[object, ...]]:
    namespace = group[0].namespace
    keys, versions, times, seals, records = [], [], [], [], []
    profiles: list[bytes] = []
    sequences: list[int] = []
    marks: list[int] = []
    data: list[bytes] = []
    for _, key, put, _ in group:
        version = put.expects + 1
        keys.append(key)
        versions.append(version)
        times.append(put.updated_ms)
        seals.append(entry_seal(namespace, key, PROFILE, version, put.updated_ms, None, put.record))
        records.append(put.record)
        # Of two with the same number the later one counts.
        for sequence, row in dict(put.append).items():
            profiles.append(key)
            sequences.append(sequence)
            marks.append(event_seal(namespace, key, sequence, row))
            data.append(row)
    statement = _STATEMENTS[group[0].put.expects > 0, bool(profiles)]
    arguments = (namespace, stamp, keys, versions, times, seals, records)
    if profiles:
        return statement, (*arguments, profiles, sequences, marks, data)
    return statement, arguments


def _outcome(
    one: _Waiting, there: tuple[Entry, int] | None, stamp: int, doubt: bool
) -> Exception | None:
    """What to say of a profile that the statement did not write; None if it is written after all.

    With ``doubt``, because an earlier attempt may have written it, in its own time.
    """
    expects = one.put.expects
    entry = None if there is None else there[0]
    if doubt and there is not None:
        if there[0].kind == PROFILE and there[0].version == expects + 1:
            if there[1] == stamp:
                return None
        elif there[0].kind != PROFILE or there[0].version > expects + 1:
            return StoreUnavailable(
                f"the connection was lost while {one.put.id!r} was written, and others have "
                "written it since: it cannot be told whether this write came through"
            )
    return unexpected(one.key, entry, expects)


def _fail(group: list[_Waiting], error: BaseException) -> None:
    for one in group:
        if one.future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            one.future.cancel()
        else:
            one.future.set_exception(error)

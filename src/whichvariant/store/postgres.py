"""The store for several machines: a PostgreSQL database.

Every event loop that uses a store has its own connections, made when they are needed. Writes of one
profile go through ``postgres_puts``, everything else that a transaction can be through
``postgres_commits``. docs/postgresql.md says what is guaranteed, and how to run it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreClosed, StoreError, StoreReadOnly
from whichvariant.store.limits import (
    check_data,
    check_integer,
    check_namespace,
    check_sequences,
    check_transaction,
    key_bytes,
    reason_text,
)
from whichvariant.store.postgres_care import (
    Verification,
    compact,
    count_everything,
    feel_pulse,
)
from whichvariant.store.postgres_commits import Commit
from whichvariant.store.postgres_inbox import Queue
from whichvariant.store.postgres_migrations import (
    COMMAND,
    Step,
    Versions,
    check_versions,
    migrate,
    read_secret,
    read_versions,
)
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.postgres_puts import Puts, only_put
from whichvariant.store.postgres_reads import Reads
from whichvariant.store.postgres_rows import (
    begin_copy,
    end_copy,
    histories_of,
    is_empty,
    last_sequence,
    read_items,
    read_mark,
    write_rows,
)
from whichvariant.store.postgres_spaces import Spaces
from whichvariant.store.postgres_target import Target, read_target, shown
from whichvariant.store.protocol import (
    CLOCK_TOLERANCE_MS,
    Damage,
    Found,
    HistoryRow,
    InboxItem,
    Name,
    Place,
    ProfileRow,
    Progress,
    Pulse,
    RejectedItem,
    StoreStats,
    Transaction,
)
from whichvariant.store.rows import Batch, Kept, check_whole

T = TypeVar("T")


class _Here:
    """What one event loop has of a store."""

    def __init__(self, target: Target, spaces: Spaces) -> None:
        self.loop = asyncio.get_running_loop()
        self.connections = Connections(target)
        self.puts = Puts(self.connections)
        self.reads = Reads(self.connections, spaces)
        self.queue = Queue(self.connections, spaces)
        self._busy = 0
        self._quiet: asyncio.Future[None] | None = None
        # An event loop ends its generators before it closes: that is how we learn of its end.
        self._guard = self._watch()
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    async def _watch(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.connections.close("the event loop has ended")

    def __enter__(self) -> Self:
        """Something begins, which closing has to wait for."""
        self._busy += 1
        return self

    def __exit__(self, *what: object) -> None:
        self._busy -= 1
        if self._busy == 0 and self._quiet is not None:
            self._quiet.set_result(None)

    async def finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Bring a write to its end, even if whoever waits for it is cancelled."""
        self._busy += 1
        task = self.loop.create_task(work, name="store: write")
        task.add_done_callback(self._leave)
        return await asyncio.shield(task)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self.__exit__()
        if not task.cancelled():
            task.exception()  # whoever waits for it has been told, or does not wait any more

    async def close(self, why: str) -> None:
        """Finish what was begun, refuse the rest."""
        if self._busy:
            self._quiet = self.loop.create_future()
            await self._quiet
        await self.puts.finish()
        await self.connections.close(why)
        await self._guard.aclose()


class PostgresStore:
    """``ProfileStore`` in a PostgreSQL database. Made by ``open``.

    Any number of stores, in any number of processes and machines, may be open on one database. A
    store may be used from several event loops, each in a thread of its own.
    """

    def __init__(self, target: Target, secret: bytes) -> None:
        """For ``open``."""
        self._target = target
        self._secret = secret
        self._spaces = Spaces()
        self._unusable = ""
        self._gate = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _Here] = {}
        _open_stores.add(self)

    @classmethod
    async def open(cls, dsn: str, *, create: bool = True, unfinished: bool = False) -> Self:
        """Open the store in a database, or make its tables if ``create`` and there are none.

        ``dsn`` is a URL as PostgreSQL's own programs take it, with parameters of ours that
        docs/postgresql.md lists. Tables of an older release are left as they are. ``unfinished``
        opens a store into which a copy has not come to its end.

        Raises:
            StoreForeign: a newer release made the tables.
            StoreDamaged: the store's secret is damaged.
            StoreReadOnly: there are no tables, and the role may not make any.
            StoreError: there is no such database, or there are no tables and not ``create``, or
                they are older than this release.
        """
        target = read_target(dsn)
        connections = Connections(target)

        async def look(connection: asyncpg.Connection, doubt: bool) -> bytes:
            found = await read_versions(connection)
            if found.version == 0:
                if not create:
                    raise StoreError(
                        f"{target.shown}: there is no store in this database: "
                        f"make one with '{COMMAND}'"
                    )
                try:
                    found = await migrate(connection, target.shown)
                except asyncpg.InsufficientPrivilegeError as error:
                    raise StoreReadOnly(
                        f"{target.shown}: there is no store in this database, and this role may "
                        f"not make one: run '{COMMAND}' with one that may"
                    ) from error
            check_versions(found, target.shown)
            if not unfinished:
                check_whole(await read_mark(connection), target.shown)
            return await read_secret(connection, target.shown)

        try:
            secret = await connections.run(look)
        finally:
            await connections.close("opened")
        return cls(target, secret)

    @property
    def secret(self) -> bytes:
        return self._secret

    @property
    def target(self) -> str:
        """The database's URL, without passwords."""
        return self._target.shown

    # ---- reading ---------------------------------------------------------------------------------

    async def find(self, namespace: Namespace, key: str) -> Found:
        with self._here() as here:
            return await here.reads.find(namespace, key)

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        with self._here() as here:
            return await here.reads.history(namespace, profile_id)

    async def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        with self._here() as here:
            return await here.reads.aliases(namespace, profile_id)

    async def rejected(self, after: int = 0, limit: int = 100) -> list[RejectedItem]:
        check_sequences((after,))
        with self._here() as here:
            return await here.queue.rejected(after, limit)

    async def scan(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, ProfileRow]]:
        with self._here() as here:
            return await here.reads.scan(namespace, after, limit)

    async def scan_names(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, Name]]:
        with self._here() as here:
            return await here.reads.scan_names(namespace, after, limit)

    async def stats(self) -> StoreStats:
        with self._here() as here:
            trouble = here.connections.trouble
            return await here.connections.run(
                lambda connection, _: count_everything(connection, trouble)
            )

    async def pulse(self) -> Pulse:
        with self._here() as here:
            trouble = here.connections.trouble
            return await here.connections.run(lambda connection, _: feel_pulse(connection, trouble))

    # ---- writing ---------------------------------------------------------------------------------

    async def commit(self, transaction: Transaction) -> None:
        check_transaction(transaction)
        with self._here() as here:
            number = self._spaces.known(transaction.namespace)
            if number is None:
                number = await self._spaces.numbered(here.connections, transaction.namespace)
            put = only_put(transaction)
            if put is not None:
                await here.puts.submit(number, put)
            else:
                await here.finished(here.connections.run(Commit(number, transaction).attempt))

    async def enqueue(self, namespace: Namespace, payload: bytes, received_ms: int) -> int:
        check_namespace(namespace)
        check_data(payload, "the payload")
        check_integer(received_ms, "the time of receipt,")
        with self._here() as here:
            return await here.finished(here.queue.enqueue(namespace, payload, received_ms))

    async def claim(
        self,
        owner: str,
        limit: int,
        lease_ms: int,
        now_ms: int,
        skip: Collection[Namespace] = (),
    ) -> list[InboxItem]:
        encoded = key_bytes(owner)
        check_integer(now_ms + lease_ms, "the end of the lease,")
        check_integer(now_ms + CLOCK_TOLERANCE_MS, "the time of the claim,")
        with self._here() as here:
            return await here.finished(here.queue.claim(encoded, limit, lease_ms, now_ms, skip))

    async def release(self, sequences: Sequence[int], owner: str) -> None:
        check_sequences(sequences)
        encoded = key_bytes(owner)
        with self._here() as here:
            await here.finished(here.queue.release(sequences, encoded))

    async def reject(self, sequence: int, reason: str, now_ms: int) -> None:
        check_sequences((sequence, now_ms))
        with self._here() as here:
            await here.finished(here.queue.reject(sequence, reason_text(reason), now_ms))

    async def requeue(self, sequences: Sequence[int]) -> int:
        check_sequences(sequences)
        with self._here() as here:
            return await here.finished(here.queue.requeue(sequences))

    async def discard(self, sequences: Sequence[int]) -> int:
        check_sequences(sequences)
        with self._here() as here:
            return await here.finished(here.queue.discard(sequences))

    # ---- rows as they are, for copies ------------------------------------------------------------

    async def read_profiles(self, after: Place | None, limit: int) -> list[Kept]:
        with self._here() as here:
            found = await here.reads.scan(None, after, limit)
            kept = []
            for space, group in groupby(found, key=lambda one: one[0]):
                rows = [row for _, row in group]
                number = await self._spaces.numbered(here.connections, space)
                histories = await histories_of(here.connections, number, rows)
                kept += [Kept(space, row, histories.get(row.id, ())) for row in rows]
            return kept

    async def read_inbox(self, after: int, limit: int) -> list[InboxItem]:
        with self._here() as here:
            return await read_items(here.connections, self._spaces, after, limit)

    async def last_sequence(self) -> int:
        with self._here() as here:
            return await here.connections.run(lambda connection, _: last_sequence(connection))

    async def is_empty(self) -> bool:
        with self._here() as here:
            return await here.connections.run(lambda connection, _: is_empty(connection))

    async def mark(self) -> str:
        with self._here() as here:
            return await here.connections.run(lambda connection, _: read_mark(connection))

    async def begin_copy(self, secret: bytes, mark: str) -> None:
        with self._here() as here:
            await here.connections.run(lambda connection, _: begin_copy(connection, secret, mark))
        self._secret = secret

    async def write_rows(self, batch: Batch, mark: str) -> None:
        with self._here() as here:
            spaces = {kept.namespace for kept in batch.profiles} | {one[0] for one in batch.names}
            spaces |= {item.namespace for item in batch.inbox}
            spaces |= {item.namespace for item in batch.rejected}
            numbers = {
                space: await self._spaces.numbered(here.connections, space) for space in spaces
            }
            # Once more is no harm: what is there already is left as it is.
            await here.connections.run(
                lambda connection, _: write_rows(connection, numbers, batch, mark)
            )

    async def end_copy(self) -> None:
        with self._here() as here:
            await here.connections.run(lambda connection, _: end_copy(connection))

    # ---- care ------------------------------------------------------------------------------------

    async def compact(self, *, rebuild: bool = False) -> None:
        with self._here() as here:
            async with here.connections.alone() as connection:
                await compact(connection, rebuild=rebuild)

    async def verify(self, progress: Progress | None = None) -> list[Damage]:
        with self._here() as here:
            async with here.connections.alone() as connection:
                verification = Verification(connection, progress)
                await verification.run()
                return verification.found

    async def backup(self, path: str | os.PathLike[str]) -> None:
        self._here()
        raise StoreError(
            f"a database is not copied to {os.fspath(path)}: use pg_dump, or the server's own "
            "backups (docs/operations.md); 'whichvariant store copy' makes a file of it"
        )

    async def close(self) -> None:
        with self._gate:
            if self._unusable:
                return
            why = self._unusable = f"{self._target.shown}: the store was closed"
            loops, self._loops = self._loops, {}
        _open_stores.discard(self)
        running = asyncio.get_running_loop()
        for loop, here in loops.items():
            if loop is running:
                await here.close(why)
            elif loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(here.close(why), loop)
                # That loop may come to its end at this moment.
                with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(elsewhere), 30)
            elif not loop.is_closed():
                here.connections.terminate(why)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ---- event loops -----------------------------------------------------------------------------

    def _here(self) -> _Here:
        """What the running event loop has of this store."""
        if self._unusable:
            raise StoreClosed(self._unusable)
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is not None:
            return here
        with self._gate:
            for ended in [one for one in self._loops if one.is_closed()]:
                del self._loops[ended]
            here = self._loops[loop] = _Here(self._target, self._spaces)
        return here

    def _abandon(self) -> None:
        """In a forked process: leave everything to the parent, whose it is."""
        self._unusable = (
            f"{self._target.shown}: the store was opened before this process was forked; "
            "open it again in the new process"
        )
        # The connections must not be said good-bye to from here. So nothing is ever freed.
        for here in self._loops.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(here))


async def migrate_database(
    dsn: str,
    to: int | None = None,
    *,
    dry_run: bool = False,
    report: Callable[[Step], object] = lambda step: None,
) -> Versions:
    """Bring a database's tables to a version, by default the newest; see ``migrate``.

    Raises:
        StoreError: they cannot be, or the database cannot be reached.
    """
    connections = Connections(read_target(dsn))
    try:
        async with connections.alone() as connection:
            return await migrate(connection, shown(dsn), to, dry_run=dry_run, report=report)
    finally:
        await connections.close("migrated")


_open_stores: weakref.WeakSet[PostgresStore] = weakref.WeakSet()
# A store's lock must not be held by a thread that the new process does not have.
_held_for_fork: list[threading.Lock] = []


def _before_fork() -> None:
    for store in list(_open_stores):
        store._gate.acquire()
        _held_for_fork.append(store._gate)


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    for store in list(_open_stores):
        store._abandon()
    _open_stores.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

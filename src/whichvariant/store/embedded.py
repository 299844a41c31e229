"""The default store: one SQLite file, for all processes of one machine.

Reads run on the thread of whoever asks, on a connection of that thread, and take microseconds.
Writes go to one thread, which commits many of them at once (``group_commit``). docs/storage.md says
what is guaranteed, and what is beside the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import apsw

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreClosed, StoreDamaged, StoreError, StoreReadOnly
from whichvariant.store.file_lock import HAS_FLOCK
from whichvariant.store.group_commit import GroupCommit
from whichvariant.store.limits import (
    check_data,
    check_integer,
    check_namespace,
    check_sequences,
    check_transaction,
    key_bytes,
    reason_text,
)
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
from whichvariant.store.sqlite_copy import copy_file
from whichvariant.store.sqlite_errors import store_error
from whichvariant.store.sqlite_file import open_file, open_reader
from whichvariant.store.sqlite_reads import Reads
from whichvariant.store.sqlite_rows import (
    RowWrites,
    is_empty,
    last_sequence,
    read_items,
    read_mark,
)
from whichvariant.store.sqlite_writes import Arrival, ClaimRequest, Rejection, Writes
from whichvariant.store.verification import verify_file

DEFAULT_CACHE_BYTES: Final = 32 * 1024 * 1024
# Pages that compacting cuts off under one lock: a few milliseconds.
_COMPACT_PAGES: Final = 256


class EmbeddedStore:
    """``ProfileStore`` in a file. Made by ``open``.

    Several processes may have the same file open, and several stores of one process. A store may
    be used from several event loops, each in a thread of its own.
    """

    def __init__(self, path: str | os.PathLike[str], create: bool, cache_bytes: int) -> None:
        """For ``open``."""
        if not HAS_FLOCK:
            raise StoreError("a store in a file needs a POSIX system, such as Linux or macOS")
        opened = open_file(path, create=create, cache_bytes=cache_bytes)
        self._path = opened.path
        self._secret = opened.secret
        self._immutable = opened.immutable
        self._lock = opened.lock
        self._connection = opened.writer
        self._cache_bytes = cache_bytes
        self._unusable = ""
        self._local = threading.local()
        self._readers: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._numbers: dict[Namespace, int] = {}
        self._writes: Writes | None = None
        self._group: GroupCommit | None = None
        if opened.writer is not None:
            assert opened.lock is not None
            self._writes = Writes(opened.writer, self._numbers)
            self._group = GroupCommit(
                opened.path,
                opened.writer,
                opened.lock,
                self._writes.begin,
                self._note_settled,
                self._writes.transact,
                self._writes.transact_each,
            )
        _open_stores.add(self)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        unfinished: bool = False,
    ) -> Self:
        """Open the store at ``path``, or make one there if ``create`` and there is none.

        ``cache_bytes`` is for each thread that uses the store. Where file or folder cannot be
        written, the store can be read. ``unfinished`` opens a store into which a copy has not come
        to its end. Blocks for milliseconds, longer after a crash.

        Raises:
            StoreForeign: the file is something else, or a newer release made it.
            StoreDamaged: the file or its log is damaged where everything depends on it.
            StoreError: there is no file, or it cannot be opened.
        """
        store = cls(path, create, cache_bytes)
        if not unfinished:
            try:
                with store._reading() as reads:
                    check_whole(read_mark(reads), store.path)
            except BaseException:
                store._close()
                raise
        return store

    @property
    def secret(self) -> bytes:
        return self._secret

    @property
    def path(self) -> str:
        """The store's file, as an absolute path without links."""
        return self._path

    # ---- reading ---------------------------------------------------------------------------------

    async def find(self, namespace: Namespace, key: str) -> Found:
        # As _reading does, without the cost of a context manager: this is what happens most.
        reads: Reads | None = getattr(self._local, "reads", None)
        if reads is None or self._unusable:
            with self._reading() as reads:
                return reads.find(namespace, key)
        try:
            return reads.find(namespace, key)
        except (apsw.Error, OSError) as error:
            raise store_error(error, self._path, reads.connection) from error

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        with self._reading() as reads:
            return reads.history(namespace, profile_id)

    async def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        with self._reading() as reads:
            return reads.aliases(namespace, profile_id)

    async def rejected(self, after: int = 0, limit: int = 100) -> list[RejectedItem]:
        check_sequences((after,))
        with self._reading() as reads:
            return reads.rejected(after, limit)

    async def scan(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, ProfileRow]]:
        with self._reading() as reads:
            return reads.scan(namespace, after, limit)

    async def scan_names(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, Name]]:
        with self._reading() as reads:
            return reads.scan_names(namespace, after, limit)

    async def stats(self) -> StoreStats:
        self._check_usable()
        trouble = "" if self._group is None else self._group.trouble

        def count() -> StoreStats:
            with self._reading() as reads:
                return reads.stats(self._path, trouble)

        return await asyncio.to_thread(count)

    async def pulse(self) -> Pulse:
        self._check_usable()
        trouble = "" if self._group is None else self._group.trouble

        def count() -> Pulse:
            with self._reading() as reads:
                return reads.pulse(self._path, trouble)

        # A long queue takes a while to count.
        return await asyncio.to_thread(count)

    # ---- writing ---------------------------------------------------------------------------------

    async def commit(self, transaction: Transaction) -> None:
        check_transaction(transaction)
        group, writes = self._writing()
        await group.submit(writes.transact, transaction)

    async def enqueue(self, namespace: Namespace, payload: bytes, received_ms: int) -> int:
        check_namespace(namespace)
        check_data(payload, "the payload")
        check_integer(received_ms, "the time of receipt,")
        group, writes = self._writing()
        arrival = Arrival(namespace, payload, received_ms)
        sequence: int = await group.submit(writes.enqueue, arrival)
        return sequence

    async def claim(
        self,
        owner: str,
        limit: int,
        lease_ms: int,
        now_ms: int,
        skip: Collection[Namespace] = (),
    ) -> list[InboxItem]:
        key_bytes(owner)
        check_integer(now_ms + lease_ms, "the end of the lease,")
        check_integer(now_ms + CLOCK_TOLERANCE_MS, "the time of the claim,")
        group, writes = self._writing()
        # Usually there is nothing, and then nobody who writes needs to be disturbed.
        with self._reading() as reads:
            skipped = reads.namespace_numbers(skip)
            if limit <= 0 or not reads.has_free_items(now_ms, skipped):
                return []
        request = ClaimRequest(owner, min(limit, 1_000_000), lease_ms, now_ms, skipped)
        claimed: list[tuple[int, int]] = await group.submit(writes.claim, request)
        items = []
        damaged: StoreError | None = None
        for sequence, attempts in claimed:
            try:
                with self._reading() as reads:
                    item = reads.item(sequence, attempts)
            except StoreDamaged as error:
                # It stays claimed for the lease, so that it does not bar those behind it.
                damaged = error
                continue
            if item is not None:
                items.append(item)
        if damaged is not None and not items:
            raise damaged
        return items

    async def release(self, sequences: Sequence[int], owner: str) -> None:
        check_sequences(sequences)
        key_bytes(owner)
        group, writes = self._writing()
        await group.submit(writes.release, (tuple(sequences), owner))

    async def reject(self, sequence: int, reason: str, now_ms: int) -> None:
        check_sequences((sequence, now_ms))
        group, writes = self._writing()
        await group.submit(writes.reject, Rejection(sequence, reason_text(reason), now_ms))

    async def requeue(self, sequences: Sequence[int]) -> int:
        check_sequences(sequences)
        group, writes = self._writing()
        moved: int = await group.submit(writes.requeue, tuple(sequences))
        return moved

    async def discard(self, sequences: Sequence[int]) -> int:
        check_sequences(sequences)
        group, writes = self._writing()
        deleted: int = await group.submit(writes.discard, tuple(sequences))
        return deleted

    # ---- rows as they are, for copies ------------------------------------------------------------

    async def read_profiles(self, after: Place | None, limit: int) -> list[Kept]:
        with self._reading() as reads:
            return [
                Kept(space, row, tuple(reads.history(space, row.id)))
                for space, row in reads.scan(None, after, limit)
            ]

    async def read_inbox(self, after: int, limit: int) -> list[InboxItem]:
        with self._reading() as reads:
            return read_items(reads, after, limit)

    async def last_sequence(self) -> int:
        with self._reading() as reads:
            return last_sequence(reads)

    async def is_empty(self) -> bool:
        with self._reading() as reads:
            return is_empty(reads)

    async def mark(self) -> str:
        with self._reading() as reads:
            return read_mark(reads)

    async def begin_copy(self, secret: bytes, mark: str) -> None:
        await self._write_rows(lambda rows: rows.begin_copy, (secret, mark))
        self._secret = secret

    async def write_rows(self, batch: Batch, mark: str) -> None:
        await self._write_rows(lambda rows: rows.write_rows, (batch, mark))

    async def end_copy(self) -> None:
        await self._write_rows(lambda rows: rows.end_copy, None)

    async def _write_rows(
        self, method: Callable[[RowWrites], Callable[[Any], None]], argument: Any
    ) -> None:
        group, writes = self._writing()
        await group.submit(method(RowWrites(writes)), argument)

    # ---- care ------------------------------------------------------------------------------------

    async def compact(self, *, rebuild: bool = False) -> None:
        group, writes = self._writing()
        if rebuild:
            await group.submit(writes.rebuild, None, alone=True)
        while await group.submit(writes.give_back, _COMPACT_PAGES) > 0:
            pass
        await group.submit(group.scrub, None, alone=True)

    async def verify(self, progress: Progress | None = None) -> list[Damage]:
        self._check_usable()
        return await asyncio.to_thread(
            verify_file, self._path, self._lock, self._immutable, progress
        )

    async def backup(self, path: str | os.PathLike[str]) -> None:
        self._check_usable()
        await asyncio.to_thread(copy_file, self._path, path, self._immutable)

    async def close(self) -> None:
        if self._unusable:
            return
        self._unusable = f"{self._path}: the store was closed"
        _open_stores.discard(self)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._group is not None:
            self._group.end()
        for reader in list(self._readers):
            # One that another thread is reading with right now is closed with that thread.
            with contextlib.suppress(apsw.ThreadingViolationError):
                reader.close()
        if self._connection is not None:
            assert self._lock is not None
            # The last one to close empties the log and removes the files beside the store's.
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            try:
                with self._lock:
                    self._connection.close()
            except (apsw.Error, OSError) as error:
                raise store_error(error, self._path, None) from error
            finally:
                self._lock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ---- connections -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Reads]:
        """This thread's connection for reading, with errors of our tree."""
        self._check_usable()
        reads: Reads | None = getattr(self._local, "reads", None)
        try:
            if reads is None:
                connection = open_reader(
                    self._path, cache_bytes=self._cache_bytes, immutable=self._immutable
                )
                self._readers.add(connection)
                reads = self._local.reads = Reads(connection, self._numbers)
            yield reads
        except (apsw.Error, OSError) as error:
            connection_or_none = None if reads is None else reads.connection
            raise store_error(error, self._path, connection_or_none) from error

    def _writing(self) -> tuple[GroupCommit, Writes]:
        self._check_usable()
        if self._group is None or self._writes is None:
            raise StoreReadOnly(f"{self._path}: the file or its folder cannot be written")
        return self._group, self._writes

    def _check_usable(self) -> None:
        if self._unusable:
            raise StoreClosed(self._unusable)

    def _note_settled(self, committed: bool) -> None:
        """On the writing thread, after each transaction."""
        assert self._writes is not None
        assert self._group is not None
        self._writes.settled(committed)
        if committed and self._writes.erased:
            self._writes.erased = False
            self._group.scrub_soon()

    def _abandon(self) -> None:
        """In a forked process: leave everything to the parent, whose it is."""
        self._unusable = (
            f"{self._path}: the store was opened before this process was forked; "
            "open it again in the new process"
        )
        if self._lock is not None:
            self._lock.close()
        # SQLite must not be asked for anything here any more, not even to let go: threads that do
        # not exist in this process may have held its mutexes. So nothing is ever freed.
        for kept in (*self._readers, self._connection):
            if kept is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


_open_stores: weakref.WeakSet[EmbeddedStore] = weakref.WeakSet()
_held_for_fork: list[threading.Lock] = []


def _before_fork() -> None:
    """Wait until no writing thread is inside of SQLite.

    The new process would inherit SQLite's mutexes as they are, but not the thread that releases
    them, and could not open a store of its own.
    """
    for store in list(_open_stores):
        if store._group is not None:
            store._group.in_use.acquire()
            _held_for_fork.append(store._group.in_use)


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


def _after_fork_in_child() -> None:
    _held_for_fork.clear()
    for store in list(_open_stores):
        store._abandon()
    _open_stores.clear()


if hasattr(os, "register_at_fork"):  # where nothing forks there is none
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )

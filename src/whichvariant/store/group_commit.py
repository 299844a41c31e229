"""Many writes, one transaction, one fsync.

An fsync takes about as long as twenty writes, and nobody is told of a write before it is on the
disk. So one thread takes everything that waits, writes it in one transaction, and answers everybody
at once; what arrives meanwhile is the next group.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import apsw

from whichvariant.errors import StoreClosed, StoreConflict, StoreError, StoreFull
from whichvariant.store.file_lock import FileLock
from whichvariant.store.sqlite_errors import store_error
from whichvariant.store.sqlite_file import BUSY_MS

# About as many requests make one transaction. More would not save anything, and would keep the
# first ones waiting.
_GROUP = 512
# Pages of the log after which they are moved into the file.
_CHECKPOINT_PAGES = 1000
# The log, which still has what was erased, is emptied as soon as nothing was written for so long,
# or after so many groups; and tried again so when somebody was reading from it.
_SCRUB_AFTER_S = 0.5
_SCRUB_AFTER_GROUPS = 200
_SCRUB_BUSY_MS = 20


class Request:
    """One thing to do with the connection, and who waits for it.

    ``work(argument)`` either does all of it or raises ``StoreConflict`` and has done nothing. With
    ``alone`` it runs outside of any transaction.
    """

    __slots__ = ("alone", "argument", "error", "future", "result", "work")

    def __init__(
        self,
        work: Callable[[Any], Any],
        argument: Any,
        future: asyncio.Future[Any],
        alone: bool = False,
    ) -> None:
        self.work = work
        self.argument = argument
        self.future = future
        self.alone = alone
        self.result: Any = None
        self.error: Exception | None = None


class GroupCommit:
    """The thread that writes, and the only user of the writing connection.

    ``begin`` is called at the start of each transaction with the group's arguments, ``settled``
    after it with whether it was committed. Requests for ``single`` are handed to ``each`` as far as
    they stand next to each other: it does what ``single`` does for each argument in turn, and gives
    None or the conflict of each.
    """

    def __init__(  # noqa: PLR0917 - what a store hands to its only thread
        self,
        path: str,
        connection: apsw.Connection,
        lock: FileLock,
        begin: Callable[[list[Any]], None],
        settled: Callable[[bool], None],
        single: Callable[[Any], None],
        each: Callable[[list[Any]], list[StoreConflict | None]],
    ) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._begin = begin
        self._settled = settled
        self._single = single
        self._each = each
        self._queue: queue.SimpleQueue[list[Request] | None] = queue.SimpleQueue()
        # What tasks asked for in the present turn of their event loop. Each hand-over may wake the
        # thread, which then wants the interpreter's lock while the loop has more to do.
        self._asked: dict[asyncio.AbstractEventLoop, list[Request]] = {}
        self._cursor = connection.cursor()
        self._log_pages = 0
        self._checkpoint_at = _CHECKPOINT_PAGES
        # A process that died may have left something of the erased in the log.
        self._scrub_due = True
        self._groups_since = 0
        self.trouble = ""
        # Held while this thread is inside of SQLite.
        self.in_use = threading.Lock()
        # Closing and submitting must not cross: what comes after the end would wait for ever.
        self._gate = threading.Lock()
        self._ended = False
        connection.set_wal_hook(self._note_log_pages)
        self._thread = threading.Thread(target=self._run, name="whichvariant-store", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[Any], Any], argument: Any, alone: bool = False
    ) -> asyncio.Future[Any]:
        """Queue a request of the running event loop; its future has the answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        request = Request(work, argument, future, alone)
        with self._gate:
            if self._ended:
                raise StoreClosed("the store was closed")
            asked = self._asked.get(loop)
            if asked is None:
                self._asked[loop] = [request]
                loop.call_soon(self._hand_over, loop)
            else:
                asked.append(request)
        return future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._gate:
            asked = self._asked.pop(loop, None)
            if asked is not None:
                self._queue.put(asked)

    def end(self) -> None:
        """Do what is queued and stop; waits for it. The connection is free afterwards."""
        with self._gate:
            ended, self._ended = self._ended, True
            if not ended:
                for asked in self._asked.values():
                    self._queue.put(asked)
                self._asked.clear()
                self._queue.put(None)
        self._thread.join()

    def scrub_soon(self) -> None:
        """Empty the log once there is time: it has what was erased. For the thread itself."""
        if not self._scrub_due:
            self._scrub_due = True
            self._groups_since = 0

    def scrub(self, _: object = None) -> bool:
        """Move all of the log into the file and cut it off. False: somebody reads from it."""
        # Everybody who writes waits meanwhile, so this must not wait for whoever reads.
        self._connection.set_busy_timeout(_SCRUB_BUSY_MS)
        try:
            self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return False
        finally:
            self._connection.set_busy_timeout(BUSY_MS)
        self._scrub_due = False
        return True

    # ---- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        group: list[Request] = []
        try:
            while not self._run_once(group):
                # The requests' records must not live until the next group.
                group = []
        finally:
            # Should this thread ever fail, then nobody waits for it.
            with self._gate:
                self._ended = True
                for asked in self._asked.values():
                    group.extend(asked)
                self._asked.clear()
            self._take_more(group)
            for request in group:
                request.error = StoreError(f"{self._path}: the writing thread has ended")
            answer(group)

    def _run_once(self, group: list[Request]) -> bool:
        """Wait for a group and write it. True: it was the last."""
        try:
            first = self._queue.get(timeout=_SCRUB_AFTER_S if self._scrub_due else None)
        except queue.Empty:
            with contextlib.suppress(OSError), self._lock, self.in_use:
                self._tend(self.scrub)
            return False
        if first is None:
            return True
        group.extend(first)
        last = self._serve(group)
        group.clear()
        return last

    def _serve(self, group: list[Request]) -> bool:
        """Write a group and what has joined it meanwhile. True: the end was among it."""
        try:
            self._lock.acquire()
        except OSError as error:
            for request in group:
                request.error = store_error(error, self._path, None)
            answer(group)
            return False
        self.in_use.acquire()
        try:
            # Waiting for the lock may have taken a while.
            last = self._take_more(group)
            self._write(group)
            answer(group)
            self._groups_since += 1
            if self._scrub_due and self._groups_since >= _SCRUB_AFTER_GROUPS:
                self._groups_since = 0
                self._tend(self.scrub)
            elif self._log_pages >= self._checkpoint_at:
                self._tend(self._checkpoint)
            return last
        finally:
            self.in_use.release()
            self._lock.release()

    def _take_more(self, group: list[Request]) -> bool:
        """Add what waits. True: the end was among it."""
        while len(group) < _GROUP:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                return False
            if more is None:
                return True
            group.extend(more)
        return False

    def _write(self, group: list[Request]) -> None:
        together = [request for request in group if not request.alone]
        if together:
            self._write_together(together)
        for request in group:
            if request.alone:
                try:
                    request.result = request.work(request.argument)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is their answer
                    request.error = self._fail(error)

    def _write_together(self, group: list[Request], log_is_empty: bool = False) -> None:
        try:
            self._transact(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers' answer
            failure = self._fail(error)
            if isinstance(failure, StoreFull) and not log_is_empty and self._tend(self.scrub):
                # It was the log that took the room.
                self._write_together(group, log_is_empty=True)
            elif len(group) == 1:
                group[0].error = failure
            else:
                # One request's trouble, such as a damaged page, is not the others'.
                for request in group:
                    self._write_together([request], log_is_empty)

    def _transact(self, group: list[Request]) -> None:
        execute = self._cursor.execute
        execute("BEGIN IMMEDIATE")
        self._begin([request.argument for request in group])
        waiting: list[Request] = []
        for request in group:
            request.error = None
            if request.work == self._single:
                waiting.append(request)
                continue
            self._do_each(waiting)
            waiting = []
            try:
                request.result = request.work(request.argument)
            except StoreConflict as conflict:
                request.error = conflict
        self._do_each(waiting)
        execute("COMMIT")
        self._settled(True)

    def _do_each(self, requests: list[Request]) -> None:
        if requests:
            outcomes = self._each([request.argument for request in requests])
            for request, outcome in zip(requests, outcomes, strict=True):
                request.error = outcome

    def _fail(self, error: Exception) -> Exception:
        """Take back what was begun; the error that callers get."""
        if isinstance(error, apsw.Error | OSError):
            # Before anything else is asked of the connection: it knows the system's error number.
            error = store_error(error, self._path, self._connection)
        self._settled(False)
        if self._connection.in_transaction:
            try:
                self._cursor.execute("ROLLBACK")
            except apsw.Error as another:
                self.trouble = f"taking back a transaction: {another}"
        return error

    def _checkpoint(self) -> bool:
        # If somebody reads an older state, the log goes on growing; then wait as long again.
        self._checkpoint_at = self._log_pages + _CHECKPOINT_PAGES
        self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
        return True

    def _tend(self, task: Callable[[], bool]) -> bool:
        """Do what nobody waits for. If it fails, the log keeps what it has; ``trouble`` says it."""
        try:
            done = task()
            self.trouble = ""
            return done
        except (apsw.Error, OSError) as error:
            self.trouble = f"emptying the log: {store_error(error, self._path, self._connection)}"
            return False

    def _note_log_pages(self, connection: apsw.Connection, schema: str, pages: int) -> int:
        if pages < self._log_pages:  # the log was begun anew
            self._checkpoint_at = _CHECKPOINT_PAGES
        self._log_pages = pages
        return apsw.SQLITE_OK


def answer(group: list[Request]) -> None:
    """Give every caller of a group its result, with one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Request]] = {}
    for request in group:
        loops.setdefault(request.future.get_loop(), []).append(request)
    for loop, requests in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, requests)
        except RuntimeError:
            # The loop was closed while its tasks waited: nobody is left to be told.
            continue


def _settle(requests: list[Request]) -> None:
    for request in requests:
        if request.future.done():  # cancelled
            continue
        if request.error is None:
            request.future.set_result(request.result)
        else:
            request.future.set_exception(request.error)

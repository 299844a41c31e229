"""Workers: this process alone, or with others that share nothing but their progress."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from whichvariant.errors import ReplayError
from whichvariant.replay.batches import Keys
from whichvariant.replay.work import Job, Stopped, Worker

Tick = Callable[[int, int], None]
"""Called with the records and bytes read so far."""

_TICK_S = 0.1
_CLAIM_S = 10.0
_MOST_WORKERS = 256

Task = tuple[int, Mapping[int, Keys]]
"""A unit, and what to leave out of it."""


def default_workers() -> int:
    """As many as this process may use processors."""
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


class _Local:
    """The progress of this very process."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._records = 0
        self._bytes = 0

    def advanced(self, records: int, n_bytes: int) -> None:
        self._records += records
        self._bytes += n_bytes
        self._tick(self._records, self._bytes)

    def must_stop(self) -> bool:
        return False


class _Shared:
    """Progress in memory that processes share: records and bytes of each, and a flag to stop."""

    def __init__(self, cells: Any, place: int) -> None:
        self._cells = cells
        self._place = 1 + 2 * place

    def advanced(self, records: int, n_bytes: int) -> None:
        self._cells[self._place] += records
        self._cells[self._place + 1] += n_bytes

    def must_stop(self) -> bool:
        return bool(self._cells[0])


class _Here(_Shared):
    """The part of this process among others, which it looks after between its batches."""

    def __init__(self, cells: Any, place: int, look: Callable[[], bool]) -> None:
        super().__init__(cells, place)
        self._look = look

    def must_stop(self) -> bool:
        return self._look()


def run_tasks(job: Job, tasks: Sequence[Task], workers: int, tick: Tick) -> None:
    """Do all of ``tasks``; the parts are on disk then.

    Raises
    ------
    KeyboardInterrupt
        The run was interrupted; units that were done stay done.
    ReplayError
        A worker process has died.
    WhichVariantError, OSError
        What a unit came to grief with; the others that were under way are stopped.
    """
    workers = min(workers, len(tasks), _MOST_WORKERS)
    if workers <= 1:
        worker = Worker(job, _Local(tick))
        for unit, excluded in tasks:
            worker.run(unit, excluded)
        return
    # Not forked: threads of this process, Arrow's for one, would leave their locks behind.
    context = multiprocessing.get_context("spawn")
    cells = context.RawArray("q", 1 + 2 * workers)
    places = context.Value("i", 1)
    claims = context.Array("b", len(tasks))
    with (
        _Interrupts() as interrupts,
        ProcessPoolExecutor(
            workers - 1,
            mp_context=context,
            initializer=_begin,
            initargs=(job, cells, places, claims),
        ) as pool,
    ):
        try:
            futures = {pool.submit(_do, number, *task) for number, task in enumerate(tasks)}

            def look() -> bool:
                """Whether some worker came to grief."""
                interrupts.check()
                tick(sum(cells[1::2]), sum(cells[2::2]))
                return any(
                    future.done() and not future.cancelled() and future.exception() is not None
                    for future in futures
                )

            # One of the workers is this process: it has work to do before another has started.
            # The others begin at the front, so this one takes from the back.
            here = Worker(job, _Here(cells, 0, look))
            with suppress(Stopped):
                for number in reversed(range(len(tasks))):
                    if _claim(claims, number):
                        here.run(*tasks[number])
            while futures:
                done, futures = wait(futures, _TICK_S, FIRST_COMPLETED)
                look()
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise ReplayError(
                "a worker process died, perhaps for want of memory; what is done is kept"
                " where the run has a directory to resume from"
            ) from error
        finally:
            # For whatever reason we leave: nobody begins another unit, and those under way end.
            cells[0] = 1
            pool.shutdown(cancel_futures=True)


class _Interrupts:
    """SIGINT while a pool is at work: noted, and raised only where `check` is called.

    Raised at any moment, it could strike where `concurrent.futures` has taken some of its locks
    and not yet promised to give them back, and then the pool never ends.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._noted: tuple[int, Any] | None = None

    def __enter__(self) -> Self:
        # Python calls handlers in the main thread alone, so no other is ever interrupted.
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            if error is None:
                self.check()

    def _note(self, number: int, frame: Any) -> None:
        self._noted = (number, frame)

    def check(self) -> None:
        """Do what there is to be done about an interrupt that came: as a rule, raise it."""
        noted, self._noted = self._noted, None
        if noted is not None:
            self._before(*noted)


_worker: Worker | None = None
_claims: Any = None


def _begin(job: Job, cells: Any, places: Any, claims: Any) -> None:
    """Set a worker process up. Interrupts are for the process that started it to handle."""
    global _worker, _claims  # noqa: PLW0603  # a pool has no other place for what its workers keep
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with places.get_lock():
        place = places.value
        places.value += 1
    _worker = Worker(job, _Shared(cells, place))
    _claims = claims


def _claim(claims: Any, number: int) -> bool:
    """Whether a task is the caller's to do. A pool hands tasks out too early to tell by that."""
    lock = claims.get_lock()
    if not lock.acquire(timeout=_CLAIM_S):
        # Whoever holds it was killed at this very moment, of which the pool will tell.
        return False
    try:
        mine = not claims[number]
        claims[number] = 1
    finally:
        lock.release()
    return mine


def _do(number: int, unit: int, excluded: Mapping[int, Keys]) -> None:
    assert _worker is not None
    if _claim(_claims, number):
        _worker.run(unit, excluded)

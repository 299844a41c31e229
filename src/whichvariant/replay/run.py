"""`replay`: what a configuration would do to the visitors there are."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from whichvariant import clock
from whichvariant.atomic_write import atomic_file
from whichvariant.errors import ReplayError
from whichvariant.profiles.times import parse_time
from whichvariant.replay.assignments import AssignmentFormat
from whichvariant.replay.duplicates import across_runs, digest_of
from whichvariant.replay.explaining import explain_samples
from whichvariant.replay.partial import SAMPLES, Partial
from whichvariant.replay.places import Places
from whichvariant.replay.plan import Plan
from whichvariant.replay.pool import Task, default_workers, run_tasks
from whichvariant.replay.report import Report, RunFacts
from whichvariant.replay.sources import Source
from whichvariant.replay.state import State, keys_path, partial_path, rejects_path
from whichvariant.replay.work import Job

if TYPE_CHECKING:
    from whichvariant.engine import Engine

_SMALL_BYTES = 32 << 20
"""Less than this is done here before another process would have started."""


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a replay is. ``total_bytes`` is None where the end is not known."""

    records: int
    bytes: int
    total_bytes: int | None
    seconds: float


OnAdvance = Callable[[Advance], None]


def replay(
    old: Engine | Literal["stored"] | None,
    new: Engine,
    source: Any,
    *,
    workers: int | None = None,
    now: int | datetime | str | None = None,
    strict: bool = False,
    deduplicate: bool = True,
    samples: int = SAMPLES,
    explain: bool = True,
    resume: str | os.PathLike[str] | None = None,
    rejects: str | os.PathLike[str] | None = None,
    assignments: str | os.PathLike[str] | None = None,
    assignment_format: AssignmentFormat = "parquet",
    names: tuple[str | None, str | None] = (None, None),
    progress: OnAdvance | None = None,
) -> Report:
    """What publishing ``new`` instead of ``old`` would do to the visitors in ``source``.

    Parameters
    ----------
    old
        The configuration that serves now; ``"stored"`` for what each record says its visitor got
        (its ``experiences``, as a response of the API has); None to see what ``new`` alone gives.
    new
        The configuration in question.
    source
        Path or paths of files, directories, globs, ``-`` for standard input; a `Source`; or Arrow
        tables, record batches or an iterable of them. docs/replay.md lists the formats.
    workers
        How many processes read units of the source. By default one for each processor, and none
        but this one for a small source. The result does not depend on it.
    now
        For rules with windows: milliseconds since the epoch, an aware datetime, or ISO 8601. By
        default the clock, once for the whole run; a resumed run keeps the time it began with.
    strict
        Stop at the first record that is refused, instead of counting it.
    deduplicate
        Count a visitor (stable id) once: the first record of the source counts.
    samples
        How many visitors to name of each cell of each transition matrix, at most 5.
    explain
        Explain the first sample of each cell: reads the records it came from once more.
    resume
        A directory that keeps what is done. A run that was interrupted or killed goes on from
        there, with the same result.
    rejects
        A file for the records that were refused: NDJSON with file, record, line, reason and text.
    assignments, assignment_format
        A directory for who gets what, a file for each unit of work: parquet, arrow or ndjson.
    names
        What the report calls the old and new configuration.
    progress
        Called now and then, from this thread.

    Returns
    -------
    Report
        Exact counts. Equal configurations, visitors and time give an equal `Report.digest`,
        however the visitors are stored, ordered, divided, or the run was interrupted.

    Raises
    ------
    SourceError
        A file is missing, damaged, cut off, lacks ``stableId``, or is of no known format; or, if
        ``strict``, a record was refused.
    ReplayError
        The directory to resume from belongs to another run or is in use, or a worker died.
    OSError
        Something cannot be written. Nothing half-written is left under its final name.
    KeyboardInterrupt
        The run was interrupted; what is done is kept where there is a directory to resume from.
    """
    if not 0 <= samples <= SAMPLES:
        raise ValueError(f"samples={samples!r}: expected 0 to {SAMPLES}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers!r}: expected at least 1")
    found = _source_of(source)
    with ExitStack() as stack:
        state = stack.enter_context(_kept_state(resume, found))
        stored_facts = state.stored() or {}
        kept_now = stored_facts.get("now", clock.now_ms())
        at = parse_time(kept_now if now is None else now)
        job = Job(
            None if old == "stored" else old,
            new,
            found,
            state.directory,
            at,
            stored=old == "stored",
            strict=strict,
            keep_rejects=rejects is not None,
            deduplicate=deduplicate,
            samples=samples,
            assignments=None if assignments is None else os.fspath(assignments),
            assignment_format=assignment_format,
        )
        if assignments is not None:
            Path(assignments).mkdir(parents=True, exist_ok=True)
        state.claim(_facts(job))
        run = _Run(job, job.plan(), state, workers, progress)
        total = run.to_end()
        places = Places(found, total)
        if rejects is not None:
            _join_rejects(rejects, job, places)
        explanations = {}
        if explain and samples:
            explanations = explain_samples(job, run.plan, total, run.workers)
        return Report(
            run.plan, total, places, run.facts(), names=names, now=at, explanations=explanations
        )


class _Run:
    """One run, from what is kept to the whole."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        state: State,
        workers: int | None,
        progress: OnAdvance | None,
    ) -> None:
        self.job = job
        self.plan = plan
        self.workers = self._chosen_workers(workers)
        self._state = state
        self._progress = progress
        self._started = datetime.now(UTC)
        self._start_s = time.monotonic()
        self._resumed = 0
        self._read = 0

    def _chosen_workers(self, workers: int | None) -> int:
        source = self.job.source
        if not source.rereadable or source.tables:
            return 1
        small = source.bytes is not None and source.bytes < _SMALL_BYTES
        chosen = (1 if small else default_workers()) if workers is None else workers
        return min(chosen, len(source.units))

    def to_end(self) -> Partial:
        """Do what is left to do; the whole."""
        units = range(len(self.job.source.units))
        directory = self._state.directory
        todo: list[Task] = [(unit, {}) for unit in units if not self._state.is_done(unit)]
        self._resumed = len(units) - len(todo)
        self._do(todo)
        again = {}
        if self.job.deduplicate and self.job.source.rereadable:
            again = across_runs((unit, keys_path(directory, unit)) for unit in units)
            self._do(
                [
                    (unit, excluded)
                    for unit, excluded in sorted(again.items())
                    if not self._state.is_done(unit, digest_of(excluded))
                ]
            )
        total = Partial.empty(self.plan)
        for unit in units:
            path = partial_path(directory, unit, digest_of(again.get(unit, {})))
            with open(path, "rb") as stream:
                total.add(Partial.from_bytes(stream.read(), self.plan))
        return total

    def _do(self, tasks: list[Task]) -> None:
        source = self.job.source
        total = source.bytes
        if total is not None:
            total = sum(source.unit_bytes(source.units[unit]) for unit, _ in tasks)
        counted = 0

        def tick(records: int, n_bytes: int) -> None:
            nonlocal counted
            counted = records
            if self._progress is not None:
                seconds = time.monotonic() - self._start_s
                self._progress(Advance(self._read + records, n_bytes, total, seconds))

        if tasks:
            run_tasks(self.job, tasks, self.workers, tick)
        self._read += counted

    def facts(self) -> RunFacts:
        """What the report says about the run itself."""
        seconds = time.monotonic() - self._start_s
        return RunFacts(
            self._started,
            seconds,
            self._read,
            self.workers,
            self._resumed,
            len(self.job.source.units),
        )


class _TemporaryState(State):
    """A state that nobody resumes from."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="whichvariant-replay-")
        super().__init__(self._folder.name)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


def _kept_state(resume: str | os.PathLike[str] | None, source: Source) -> State:
    if resume is None:
        return _TemporaryState()
    if not source.rereadable or source.tables:
        raise ReplayError("only a replay of files can be resumed")
    return State(resume)


def _source_of(source: Any) -> Source:
    if isinstance(source, Source):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Source.of(source)
    if hasattr(source, "to_batches") or hasattr(source, "schema"):
        return Source.of_tables([source])
    if isinstance(source, Iterable):
        parts = list(source)
        if all(isinstance(part, (str, os.PathLike)) for part in parts):
            return Source.of(parts)
        if all(hasattr(part, "schema") for part in parts):
            return Source.of_tables(parts)
    raise TypeError("source: expected paths, a Source, or Arrow tables")


def _facts(job: Job) -> dict[str, Any]:
    """What a kept state belongs to."""
    return {
        "version": 2,
        "old": "stored" if job.stored else job.old and job.old.digest,
        "new": job.new.digest,
        "source": job.source.identity(),
        "now": job.now,
        "options": [
            job.deduplicate,
            job.keep_rejects,
            job.samples,
            job.assignments and os.path.abspath(job.assignments),
            job.assignment_format,
        ],
    }


def _join_rejects(path: str | os.PathLike[str], job: Job, places: Places) -> None:
    """One file of what all units refused, with places in the files instead of in units."""
    with atomic_file(path) as out:
        for unit in range(len(job.source.units)):
            kept = rejects_path(job.directory, unit)
            with open(kept, "rb") as stream:
                for line in stream:
                    fields = orjson.loads(line)
                    del fields["unit"]
                    place = places.of(unit, fields["record"], fields["line"])
                    fields = {"file": place.file, **fields}
                    fields.update(record=place.record, line=place.line)
                    out.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))

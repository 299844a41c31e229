"""What a worker does with one unit: read, decide, count, and keep the part on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson

from whichvariant.atomic_write import atomic_file
from whichvariant.columns import Intake
from whichvariant.errors import SourceError
from whichvariant.replay.assignments import AssignmentFormat, open_part, part_path
from whichvariant.replay.batches import Batch, Keys, StoredSide
from whichvariant.replay.columns_read import columns_read
from whichvariant.replay.duplicates import UnitKeys, digest_of, write_runs
from whichvariant.replay.first_records import FirstRecords
from whichvariant.replay.partial import MOST_REFUSALS, SAMPLES, Refusal, UnitFacts
from whichvariant.replay.plan import Plan
from whichvariant.replay.reading import CHUNK_BYTES, ROWS, Decided, RefusedRecord, UnitReader
from whichvariant.replay.sources import Source
from whichvariant.replay.state import keys_path, partial_path, rejects_path
from whichvariant.replay.stored import StoredSelections
from whichvariant.replay.tally import Tally

if TYPE_CHECKING:
    from whichvariant.engine import Engine


class Stopped(Exception):  # noqa: N818  # it is no error
    """The run was interrupted between two batches."""


class Progress(Protocol):
    """Where a worker tells how far it is, and is told to stop."""

    def advanced(self, records: int, n_bytes: int) -> None:
        """So many more records and bytes."""
        ...

    def must_stop(self) -> bool:
        """Whether the run was interrupted."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker has to know. It crosses to other processes."""

    old: Engine | None
    new: Engine
    source: Source
    directory: str
    now: int
    stored: bool = False
    strict: bool = False
    keep_rejects: bool = False
    deduplicate: bool = True
    samples: int = SAMPLES
    assignments: str | None = None
    assignment_format: AssignmentFormat = "parquet"

    def plan(self) -> Plan:
        """How to count."""
        return Plan(self.old, self.new, stored=self.stored)


class Worker:
    """Does one unit after the other. Not to be shared between threads."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self._job = job
        self._progress = progress
        self.plan = job.plan()
        self._stored = StoredSelections(job.new) if job.stored else None
        self._columns: Callable[[Any], list[str] | None] = columns_read(self.plan)

    def run(self, number: int, excluded: Mapping[int, Keys] | None = None) -> None:
        """Do one unit, without the visitors in ``excluded`` (by run); its part is on disk then.

        Raises
        ------
        SourceError
            The source cannot be read; or, strictly, a record was refused.
        OSError
            The part cannot be written.
        Stopped
            The run was interrupted; nothing of the unit is kept.
        """
        _UnitWork(self._job, self.plan, self._progress, self._stored, self._columns).run(
            number, excluded or {}
        )


@dataclass(slots=True)
class _Refusals:
    """What was refused in one unit: counted, the first ones kept, all written if wanted."""

    job: Job
    unit: int
    progress: Progress
    count: int = 0
    first: list[Refusal] = field(default_factory=list)
    stream: Any = None

    def advanced(self, records: int, n_bytes: int) -> None:
        self.progress.advanced(records, n_bytes)

    def refused(self, record: RefusedRecord) -> None:
        reason = str(record.error)
        refusal = Refusal(self.unit, record.record, record.line, record.offset, reason)
        if self.job.strict:
            raise _refused_strictly(self.job.source, refusal)
        self.count += 1
        if len(self.first) < MOST_REFUSALS:
            self.first.append(refusal)
        if self.stream is not None:
            self.stream.write(_reject_line(refusal, record.data))


class _UnitWork:
    """One unit, once."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        progress: Progress,
        stored: StoredSelections | None,
        columns: Callable[[Any], list[str] | None],
    ) -> None:
        self._job = job
        self._plan = plan
        self._progress = progress
        self._stored = stored
        self._columns = columns

    def run(self, number: int, excluded: Mapping[int, Keys]) -> None:
        job = self._job
        engines = [job.new] if job.old is None else [job.new, job.old]
        unit = job.source.units[number]
        refusals = _Refusals(job, number, self._progress)
        tally = Tally(self._plan, number, samples=job.samples)
        keys = UnitKeys(excluded, endless=not job.source.rereadable)
        with ExitStack() as stack:
            if job.keep_rejects:
                path = rejects_path(job.directory, number)
                refusals.stream = stack.enter_context(atomic_file(path))
            intake = Intake(*engines, rows=ROWS, now=job.now)
            writer = None
            if job.assignments is not None:
                empty = self._batch(intake.evaluate())
                part = part_path(job.assignments, number, job.assignment_format)
                writer = stack.enter_context(open_part(part, job.assignment_format, empty))
            reader = UnitReader(
                job.source,
                unit,
                intake,
                refusals,
                columns=self._columns,
                keep_data=self._stored is not None,
                reuse=True,
            )
            taken = 0
            firsts = FirstRecords()
            for decided in reader:
                if self._progress.must_stop():
                    raise Stopped
                batch, taken = self._decided(decided, reader, intake, refusals, taken)
                if job.deduplicate and batch.new.n_rows:
                    batch = batch.take(keys.first(batch.keys, int(batch.records[0])))
                tally.add(batch)
                if decided.table is not None and batch.new.n_rows:
                    firsts.keep(decided.table, int(decided.records[0]), tally.take_firsts())
                if writer is not None and batch.new.n_rows:
                    writer.add(batch)
        partial = tally.finish()
        wanted = {record for _, record in partial.first_samples()}
        partial.records = {(number, at): data for at, data in firsts.packed(wanted).items()}
        partial.duplicates = keys.duplicates
        partial.refusals = refusals.first
        partial.units[number] = UnitFacts(
            reader.records, refusals.count, reader.lines, reader.bytes
        )
        if job.deduplicate and not excluded:
            write_runs(keys_path(job.directory, number), keys.runs())
        # The part comes last: where it is, the unit is done.
        with atomic_file(partial_path(job.directory, number, digest_of(excluded))) as stream:
            stream.write(partial.to_bytes())

    def _batch(self, results: tuple[Any, ...]) -> Batch:
        new, old = results[0], results[1] if len(results) > 1 else None
        if self._stored is not None:
            old = StoredSide(np.full(new.variants.shape, new.absent, new.variants.dtype))
        return Batch.of(old, new)

    def _decided(
        self,
        decided: Decided,
        reader: UnitReader,
        intake: Intake,
        refusals: _Refusals,
        taken: int,
    ) -> tuple[Batch, int]:
        """Both sides of what was decided, and how many records were taken by then."""
        batch = self._batch(decided.results)
        batch = Batch(batch.old, batch.new, batch.keys, decided.records)
        if self._stored is None:
            return batch, taken
        old, refused = self._stored.of(reader.file.format, decided, batch.new, taken)
        for row, error in refused.items():
            refusals.refused(RefusedRecord(int(decided.records[row]), None, None, None, error))
        batch = Batch(old, batch.new, batch.keys, decided.records)
        keep = np.ones(batch.new.n_rows, np.bool_)
        keep[list(refused)] = False
        return batch.take(keep), intake.records


def _refused_strictly(source: Source, refusal: Refusal) -> SourceError:
    unit = source.units[refusal.unit]
    file = source.files[unit.file]
    if refusal.line is not None:
        place = f"line {_lines_before(file.name, unit.start) + refusal.line:,}"
    else:
        place = f"record {refusal.record:,}"
        if unit.start:
            place += f" from {unit.start:,} on"
    return SourceError(refusal.reason, source=file.name, place=place)


def _lines_before(path: str, start: int) -> int:
    """How many lines of a file begin before the byte ``start``."""
    lines = 0
    last = b"\n"
    with open(path, "rb") as stream:
        while start > 0 and (chunk := stream.read(min(start, CHUNK_BYTES))):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
            start -= len(chunk)
    return lines + (last != b"\n")


def _reject_line(refusal: Refusal, data: bytes | None) -> bytes:
    fields: dict[str, Any] = {
        "unit": refusal.unit,
        "record": refusal.record,
        "line": refusal.line,
        "reason": refusal.reason,
    }
    if data is not None:
        try:
            fields["text"] = data.decode()
        except UnicodeDecodeError:
            fields["hex"] = data.hex()
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

"""Why the first sample of each cell gets what it gets: its record, read again and explained."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import orjson

from whichvariant.columns import Intake
from whichvariant.columns.requests import Request, request_of
from whichvariant.errors import InputError, WhichVariantError
from whichvariant.replay.columns_read import columns_read
from whichvariant.replay.first_records import request_in
from whichvariant.replay.formats import open_stream, reading
from whichvariant.replay.partial import Cell, Partial, Sample
from whichvariant.replay.plan import Plan
from whichvariant.replay.reading import Lines, RefusedRecord, UnitReader
from whichvariant.replay.sources import Source
from whichvariant.replay.stored import parsed_record, records_in
from whichvariant.replay.work import Job

if TYPE_CHECKING:
    from whichvariant.engine import Engine
    from whichvariant.explanation import Explanation

Explanations = dict[Cell, dict[str, Any]]


def explain_samples(job: Job, plan: Plan, total: Partial, threads: int = 1) -> Explanations:
    """For each cell, what each side says about its first sample; units are read by ``threads``.

    Nothing where the source cannot be read twice.
    """
    if not job.source.rereadable:
        return {}
    wanted: dict[int, set[int]] = {}
    firsts: dict[Cell, Sample] = {}
    requests: dict[tuple[int, int], Request] = {}
    for at, data in total.records.items():
        with suppress(InputError):
            requests[at] = request_of(msgpack.unpackb(data))
    for cell, samples in total.samples.items():
        first = firsts[cell] = samples[0]
        if (first.unit, first.record) not in requests:
            wanted.setdefault(first.unit, set()).add(first.record)

    def read(unit: int) -> list[tuple[int, Any]]:
        return list(_records(job, plan, unit, wanted[unit]))

    # What is left is read once more. Decoding tables releases the interpreter lock.
    with ThreadPoolExecutor(threads) as pool:
        for unit, found in zip(wanted, pool.map(read, wanted), strict=True):
            for record, value in found:
                with suppress(InputError):
                    requests[unit, record] = request_of(value)
    explained: dict[tuple[int, int], dict[str, Explanation | None]] = {}
    result: Explanations = {}
    for cell, sample in firsts.items():
        at = sample.unit, sample.record
        if at not in requests:
            continue
        if at not in explained:
            explained[at] = {
                "old": _explain(job.old, requests[at], job.now),
                "new": _explain(job.new, requests[at], job.now),
            }
        identifier = plan.pairs[cell[0]].id
        result[cell] = {side: _part_of(whole, identifier) for side, whole in explained[at].items()}
    return result


def _explain(engine: Engine | None, request: Request, now: int) -> Explanation | None:
    if engine is None:
        return None
    return engine.explain(request.profile, device=request.device, events=request.events, now=now)


def _part_of(whole: Explanation | None, identifier: str) -> dict[str, Any] | None:
    """What an explanation says about one experience, with the rule of its audience."""
    part = None if whole is None else whole.experience_part(identifier)
    if part is None:
        return None
    keys = ("outcome", "audience", "traffic", "distribution", "sticky", "variantIndex")
    return {key: part[key] for key in keys if key in part}


# ---- records again -------------------------------------------------------------------------------


class _Quiet:
    """Nobody wants to know."""

    def advanced(self, records: int, n_bytes: int) -> None:
        """Nothing."""

    def refused(self, record: RefusedRecord) -> None:
        """Nothing: it was counted when the unit was read."""


def _records(job: Job, plan: Plan, unit: int, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    """Some records of a unit as JSON values, by their numbers."""
    source = job.source
    form = source.files[source.units[unit].file].format
    if source.tables or form in ("parquet", "arrow", "arrow-stream"):
        yield from _rows(job, plan, unit, wanted)
    elif form == "ndjson":
        yield from _lines(source, unit, wanted)
    else:
        intake = Intake(job.new, now=job.now)
        reader = UnitReader(source, source.units[unit], intake, _Quiet(), keep_data=True)
        first = 0
        last = max(wanted)
        for decided in reader:
            if any(first <= number < intake.records for number in wanted):
                values = records_in(form, decided.data, job.new)
                for number, value in enumerate(values, first):
                    if number in wanted:
                        with suppress(ValueError):
                            yield number, parsed_record(form, value)
            first = intake.records
            if first > last:
                return


def _lines(source: Source, unit: int, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    part = source.units[unit]
    file = source.files[part.file]
    last = max(wanted)
    number = 0
    rest = b""
    with reading(file.name), open_stream(file.name, file.compression) as stream:
        lines = stream if file.compression else Lines(stream, part.start, part.stop)
        while number <= last:
            chunk = lines.read(1 << 20)
            whole = (rest + chunk).split(b"\n")
            rest = whole.pop() if chunk else b""
            for line in whole:
                if not line or line.isspace():
                    continue
                if number in wanted:
                    with suppress(orjson.JSONDecodeError):
                        yield number, orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
                number += 1
            if not chunk:
                return


def _rows(job: Job, plan: Plan, unit: int, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    source = job.source
    # Of tables every row is a record. What no rule reads explains nothing.
    intake = Intake(job.new, now=job.now)
    reader = UnitReader(source, source.units[unit], intake, _Quiet(), columns=columns_read(plan))
    numbers = np.array(sorted(wanted), np.int64)
    first = 0
    for table in reader.tables():
        low, high = np.searchsorted(numbers, (first, first + table.num_rows))
        for number in numbers[low:high].tolist():
            with suppress(WhichVariantError, ValueError):
                yield number, request_in(table.slice(number - first, 1))
        first += table.num_rows
        if high == len(numbers):
            return

"""A million profiles: columns beside what a user would write instead, and `select` in a loop.

Everything counts processor time of the process, all threads together, so that a library with
threads of its own has no advantage; only the row of two threads is timed by the clock. What is slow
is timed on the first rows of the crowd (`ROWS`), and the report says seconds a profile. Before
anything is timed, all have to give the same variants for a sample.
"""

from __future__ import annotations

import functools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import report
from benchmarks.columns.arrays import DuckEngine, NumpyEngine, PolarsEngine
from benchmarks.columns.crowd import Crowd, crowd, value_at
from whichvariant import Engine
from whichvariant.columns import Intake

CHUNK = 16_384
# All of the crowd, but for what is not compared at this number, and what would take minutes on W3.
ROWS = {
    "W1": {report.FROM_ORJSON: 100_000, report.FROM_LINES: 200_000},
    "W2": {report.FROM_ORJSON: 100_000, report.FROM_LINES: 200_000},
    "W3": {report.LOOP: 32_768, report.NUMPY: 32_768, report.POLARS: 32_768, report.DUCKDB: 32_768,
           report.FROM_ORJSON: 32_768, report.FROM_LINES: 65_536},
}  # fmt: skip


@functools.cache
def crowd_of(name: str, count: int) -> Crowd:
    return crowd(name, count)


class Subject:
    """One workload with a crowd, and everybody who decides it."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="whichvariant-crowd-")
        self.folder = pathlib.Path(self._folder.name)
        self.crowd = crowd_of(name, count)
        document = self.crowd.subject.document
        self.engine = Engine.from_dict(document)
        self.numpy = NumpyEngine(document)
        self.polars = PolarsEngine(document)
        self.duck = DuckEngine(document)
        self.check()

    def check(self) -> None:
        """All give what `select` gives, for a sample."""
        n = min(500, self.crowd.count)
        batch = one_batch(self.crowd.table.slice(0, n))
        wanted = self.engine.select_columns(batch).variants
        ids = self.engine.program.experience_ids
        for row in range(n):
            chosen = {
                one["experienceId"]: one["variantIndex"]
                for one in self.engine.select(self.crowd.profile(row)).experiences
            }
            assert [chosen.get(one, 255) for one in ids] == wanted[:, row].tolist()
        assert (self.numpy.select(batch) == wanted).all()
        frame = self.polars.pl.from_arrow(batch)
        assert (self.polars.select(frame, batch) == wanted).all()
        assert (self.duck.select(pa.table(batch), batch) == wanted).all()
        end = len(b"\n".join(self.crowd.lines.split(b"\n", n)[:n])) + 1
        assert (from_lines(self.engine, self.crowd.lines[:end])[0].variants == wanted).all()
        assert (from_orjson(self, self.crowd.lines[:end])[0].variants == wanted).all()

    def row(self, row: str, count: int) -> Callable[[], Any]:
        """What is timed for one row of the report, on the first ``count`` profiles."""
        table = self.crowd.table.slice(0, count)
        batches = [one_batch(table.slice(start, CHUNK)) for start in range(0, count, CHUNK)]
        whole = one_batch(table)
        if row == report.COLUMNS:
            return lambda: all_batches(self.engine, batches)
        if row == report.TWO_THREADS:
            return lambda: two_threads(self.engine, batches)
        if row == report.LOOP:
            profiles = [self.crowd.profile(number) for number in range(count)]
            return lambda: each(self.engine.select, profiles)
        if row == report.NUMPY:
            return lambda: each(self.numpy.select, batches)
        if row == report.POLARS:
            frame = self.polars.pl.from_arrow(table)
            return lambda: self.polars.select(frame, whole)
        if row == report.DUCKDB:
            return lambda: self.duck.select(table, whole)
        if row == report.FROM_PARQUET:
            path = self.folder / f"{self.name}-{count}.parquet"
            pq.write_table(table, path, row_group_size=1 << 17)
            return lambda: from_parquet(self, path)
        lines = self.crowd.lines
        if count < self.crowd.count:
            lines = b"\n".join(lines.split(b"\n", count)[:count]) + b"\n"
        if row == report.FROM_LINES:
            return lambda: from_lines(self.engine, lines)
        return lambda: from_orjson(self, lines)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def all_batches(engine: Engine, batches: list[pa.RecordBatch]) -> int:
    intake = Intake(engine)
    rows = 0
    for batch in batches:
        intake.feed_arrow(batch)
        rows += intake.evaluate()[0].n_rows
    return rows


def each(call: Callable[[Any], Any], items: list[Any]) -> None:
    # Results are let go, here as of columns: to keep a million selections costs more than they.
    for item in items:
        call(item)


def two_threads(engine: Engine, batches: list[pa.RecordBatch]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    half = (len(batches) + 1) // 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: all_batches(engine, part), [batches[:half], batches[half:]]))


def from_lines(engine: Engine, lines: bytes) -> list[Any]:
    intake = Intake(engine, rows=CHUNK)
    view = memoryview(lines)
    found = []
    while view:
        view = view[intake.feed(view) :]
        found += intake.evaluate()
    return found


def from_orjson(subject: Subject, lines: bytes) -> list[Any]:
    """orjson, and then each attribute that rules read into a list of its own."""
    paths = [path.split(".") for path in subject.crowd.paths]
    every = lines.splitlines()
    intake = Intake(subject.engine)
    kind = pa.map_(pa.string(), pa.int32())
    found = []
    for start in range(0, len(every), CHUNK):
        lists: list[list[Any]] = [[] for _ in paths]
        ids = []
        sticky = []
        for line in every[start : start + CHUNK]:
            profile = orjson.loads(line)
            ids.append(profile["stableId"])
            choices = profile.get("stickyVariants")
            sticky.append(None if choices is None else list(choices.items()))
            for path, values in zip(paths, lists, strict=True):
                value = profile
                for key in path:
                    value = value.get(key)
                    if value is None:
                        break
                values.append(value)
        columns = dict(zip(subject.crowd.paths, map(pa.array, lists), strict=True))
        columns |= {"stableId": pa.array(ids), "stickyVariants": pa.array(sticky, kind)}
        intake.feed_arrow(pa.record_batch(columns))
        found += intake.evaluate()
    return found


def from_parquet(subject: Subject, path: pathlib.Path) -> int:
    texts = [
        path for path in subject.crowd.paths
        if isinstance(next((found for one in subject.crowd.profiles[:500]
                            if (found := value_at(one, path)) is not None), None), str)
    ]  # fmt: skip
    file = pq.ParquetFile(path, read_dictionary=texts)
    intake = Intake(subject.engine)
    rows = 0
    for group in range(file.num_row_groups):
        # Whole row groups: batches out of the reader cost several times as much as slices.
        for batch in file.read_row_group(group, use_threads=False).to_batches(CHUNK):
            intake.feed_arrow(batch)
            rows += intake.evaluate()[0].n_rows
    return rows


@functools.cache
def subject_of(name: str, count: int) -> Subject:
    return Subject(name, count)


@pytest.mark.parametrize("row", report.CROWD_ROWS)
@pytest.mark.parametrize("name", report.WORKLOADS)
@pytest.mark.parametrize("number", range(3))
def test_columns(
    request: pytest.FixtureRequest,
    record: Callable[[str, str, float], None],
    number: int,
    name: str,
    row: str,
) -> None:
    """One row of one workload in one pass."""
    timed = not request.config.getoption("benchmark_disable")
    total = int(os.environ.get("WHICHVARIANT_CROWD", "1000000")) if timed else 2000
    if not timed and number:
        return
    subject = subject_of(name, total)
    count = min(total, ROWS[name].get(row, total))
    call = subject.row(row, count)
    clock = time.perf_counter if row == report.TWO_THREADS else time.process_time
    start = clock()
    call()
    seconds = (clock() - start) / count
    if timed:
        record(f"crowd {name}", row, seconds)
        if row == report.COLUMNS:
            # Once more by the clock, for the comparison with two threads.
            begun = time.perf_counter()
            call()
            record(f"crowd {name}", report.ONE_THREAD, (time.perf_counter() - begun) / count)
    assert np.isfinite(seconds)

"""Who gets what, as files: one for each unit of work, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import orjson

from whichvariant.atomic_write import atomic_file
from whichvariant.columns import ColumnsResult
from whichvariant.replay.batches import Batch, StoredSide

AssignmentFormat: TypeAlias = Literal["parquet", "arrow", "ndjson"]

ASSIGNMENT_FORMATS: tuple[AssignmentFormat, ...] = ("parquet", "arrow", "ndjson")


class Writer(Protocol):
    """Takes batches."""

    def add(self, batch: Batch) -> None:
        """Write all rows of ``batch``."""
        ...


def part_path(directory: str | os.PathLike[str], unit: int, form: AssignmentFormat) -> Path:
    """The file of one unit."""
    return Path(directory) / f"part-{unit:06d}.{form}"


@contextmanager
def open_part(path: Path, form: AssignmentFormat, empty: Batch) -> Iterator[Writer]:
    """Write the assignments of one unit to ``path``; ``empty`` is a batch without rows.

    Columns: ``stableId``, ``new.<experience id>`` and, with an old side, ``old.<experience id>``:
    variant indices, null for who gets no record. NDJSON has them as
    ``{"stableId", "new": {id: index}, "old": {...}}``.

    Raises
    ------
    OSError
        The directory or the disk refused; there is no file then.
    """
    with atomic_file(path) as stream:
        if form == "ndjson":
            yield _Lines(stream)
            return
        import pyarrow as pa

        schema = as_arrow(empty).schema
        sink = pa.PythonFile(stream, "w")
        if form == "arrow":
            with pa.ipc.new_file(sink, schema) as writer:
                yield _Arrow(writer)
        else:
            import pyarrow.parquet as pq

            with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
                yield _Arrow(writer)


class _Arrow:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, batch: Batch) -> None:
        self._writer.write_batch(as_arrow(batch))


class _Lines:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def add(self, batch: Batch) -> None:
        ids = batch.new.stable_ids()
        new = _by_row(batch.new, batch.new)
        old = None if batch.old is None else _by_row(batch.old, batch.new)
        for row, identifier in enumerate(ids):
            record: dict[str, Any] = {"stableId": identifier, "new": new[row]}
            if old is not None:
                record["old"] = old[row]
            self._stream.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def as_arrow(batch: Batch) -> Any:
    """The assignments of a batch as a record batch."""
    import pyarrow as pa

    whole = batch.new.to_arrow()
    arrays, names = [whole.column(0)], ["stableId"]
    for side, result in (("new", batch.new), ("old", batch.old)):
        if result is None:
            continue
        engine = (result if isinstance(result, ColumnsResult) else batch.new).engine
        for number, identifier in enumerate(engine.program.experience_ids):
            column = result.variants[number]
            arrays.append(pa.array(column, mask=column == np.iinfo(column.dtype).max))
            names.append(f"{side}.{identifier}")
    return pa.RecordBatch.from_arrays(arrays, names)


def _by_row(result: ColumnsResult | StoredSide, new: ColumnsResult) -> list[dict[str, int]]:
    # Stored selections are in terms of the new side's experiences.
    engine = (result if isinstance(result, ColumnsResult) else new).engine
    ids = engine.program.experience_ids
    absent = np.iinfo(result.variants.dtype).max
    rows: list[dict[str, int]] = [{} for _ in range(result.variants.shape[1])]
    for identifier, column in zip(ids, result.variants, strict=True):
        for row in np.flatnonzero(column != absent).tolist():
            rows[row][identifier] = int(column[row])
    if isinstance(result, StoredSide):
        for row, identifier, index in result.others:
            rows[row][identifier] = index
    return rows

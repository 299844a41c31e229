"""A replay on Spark. Needs the extra ``spark``, and Java.

::

    from whichvariant.replay.spark import replay_frame

    report = replay_frame(old, new, spark.read.parquet("s3://bucket/profiles/"))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from whichvariant.replay.partial import SAMPLES
from whichvariant.replay.partitions import COLUMNS, PartitionCounter, Row, replay_partitions
from whichvariant.replay.report import Report

if TYPE_CHECKING:
    from whichvariant.engine import Engine

_SCHEMA = ", ".join(f"{name} binary" for name in COLUMNS)


def replay_frame(
    old: Engine | Literal["stored"] | None,
    new: Engine,
    frame: Any,
    *,
    now: int | datetime | str | None = None,
    deduplicate: bool = True,
    samples: int = SAMPLES,
    names: tuple[str | None, str | None] = (None, None),
) -> Report:
    """What `whichvariant.replay.replay` finds, for the rows of a Spark data frame.

    ``frame`` has the columns of a table of profiles: ``stableId``, ``traits`` and so on
    (docs/replay.md). Each partition is counted where it is; what comes to the driver is its counts,
    and 16 bytes for each visitor. The report has the digest of a replay anywhere else.

    Raises
    ------
    SourceError
        A column is missing or cannot be used; Spark wraps it in an error of its own.
    """

    def run(counter: PartitionCounter) -> Iterable[Row]:
        counted = frame.mapInArrow(_counting(counter), _SCHEMA)
        return [row.asDict() for row in counted.collect()]

    return replay_partitions(
        old, new, run, now=now, deduplicate=deduplicate, samples=samples, names=names
    )


def _counting(counter: PartitionCounter) -> Any:
    """A function over the batches of a partition that gives the one row they count to."""

    def count(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        row = counter.of(batches)
        columns = {name: pa.array([value], pa.binary()) for name, value in row.items()}
        yield pa.RecordBatch.from_pydict(columns)

    return count

"""A replay on Ray Data. Needs the extra ``ray``.

::

    import ray
    from whichvariant.replay.ray_data import replay_dataset

    report = replay_dataset(old, new, ray.data.read_parquet("s3://bucket/profiles/"))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from whichvariant.replay.partial import SAMPLES
from whichvariant.replay.partitions import PartitionCounter, Row, replay_partitions
from whichvariant.replay.report import Report

if TYPE_CHECKING:
    from whichvariant.engine import Engine

BATCH_ROWS = 1 << 17
"""Rows that a task counts at a time: enough for what is done once a batch to cost nothing."""


def replay_dataset(
    old: Engine | Literal["stored"] | None,
    new: Engine,
    dataset: Any,
    *,
    now: int | datetime | str | None = None,
    deduplicate: bool = True,
    samples: int = SAMPLES,
    batch_rows: int = BATCH_ROWS,
    names: tuple[str | None, str | None] = (None, None),
) -> Report:
    """What `whichvariant.replay.replay` finds, for the rows of a `ray.data.Dataset`.

    ``dataset`` has the columns of a table of profiles: ``stableId``, ``traits`` and so on
    (docs/replay.md). The report has the digest of a replay of the same visitors anywhere else.

    Raises
    ------
    SourceError
        A column is missing or cannot be used; Ray wraps it in an error of its own.
    """

    def run(counter: PartitionCounter) -> Iterable[Row]:
        counted = dataset.map_batches(
            _Counting(counter), batch_format="pyarrow", batch_size=batch_rows
        )
        rows: list[Mapping[str, Any]] = counted.take_all()
        return rows

    return replay_partitions(
        old, new, run, now=now, deduplicate=deduplicate, samples=samples, names=names
    )


class _Counting:
    """A batch as the one row that it counts to."""

    def __init__(self, counter: PartitionCounter) -> None:
        self._counter = counter
        # Ray names the operation after this.
        self.__name__ = "whichvariant_replay"

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        row = self._counter.of([table])
        return pa.table({name: pa.array([value], pa.binary()) for name, value in row.items()})

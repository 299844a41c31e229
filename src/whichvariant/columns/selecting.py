"""Tables and frames of profiles through one engine: what `Engine.select_columns` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from whichvariant import clock
from whichvariant.columns.intake import ROWS, evaluate_tables
from whichvariant.columns.result import BLOCK_ROWS, ColumnsResult, arrays_for

if TYPE_CHECKING:
    from whichvariant.engine import Engine

MAX_THREADS = 64


def select_columns(
    engine: Engine,
    profiles: Any,
    *,
    now: int | datetime | str | None = None,
    threads: int = 1,
) -> ColumnsResult:
    """`Engine.select_columns`, which has the description."""
    import pyarrow as pa

    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"threads={threads!r}: expected 1 to {MAX_THREADS}")
    if now is None:
        now = clock.now_ms()
    batches = [
        batch.slice(start, ROWS)
        for table in _tables(profiles)
        for batch in _batches(table)
        for start in range(0, batch.num_rows, ROWS)
    ]
    if not batches:
        # No rows decide nothing, but there is still a shape to answer with.
        batches = [pa.RecordBatch.from_pydict({"stableId": pa.array([], pa.string())})]
    rows = [batch.num_rows for batch in batches]
    starts = np.cumsum([0, *rows]).tolist()
    arrays = None
    if not any(n % BLOCK_ROWS for n in rows[:-1]):
        arrays = arrays_for(engine, starts[-1])
    parts = min(threads, len(batches))
    bounds = [len(batches) * part // parts for part in range(parts + 1)]

    def decide(part: int) -> list[ColumnsResult]:
        low, high = bounds[part], bounds[part + 1]
        return evaluate_tables(engine, batches[low:high], now, arrays, starts[low])

    if parts == 1:
        return ColumnsResult.join(decide(0), arrays)
    with ThreadPoolExecutor(parts) as pool:
        found = pool.map(decide, range(parts))
        return ColumnsResult.join([result for results in found for result in results], arrays)


def _batches(table: Any) -> list[Any]:
    batches: list[Any] = table.to_batches()
    return batches


def _tables(profiles: Any) -> Iterator[Any]:
    """``profiles`` as Arrow tables, one after the other."""
    import pyarrow as pa

    if isinstance(profiles, pa.Table):
        yield profiles
    elif isinstance(profiles, pa.RecordBatch):
        yield pa.Table.from_batches([profiles])
    elif (package := type(profiles).__module__.partition(".")[0]) == "polars":
        # A lazy frame has to be collected; its owner knows how.
        if not hasattr(profiles, "to_arrow"):
            raise TypeError(f"a polars {type(profiles).__name__}: collect it first")
        yield profiles.to_arrow()
    elif package == "pandas":
        yield pandas_table(profiles)
    elif hasattr(profiles, "__arrow_c_stream__"):
        yield pa.table(profiles)
    elif isinstance(profiles, Iterable) and not isinstance(profiles, (str, bytes, dict)):
        for batch in profiles:
            yield from _tables(batch)
    else:
        raise TypeError(
            "profiles: expected an Arrow table or record batch, a polars or pandas frame, or an "
            f"iterable of them, got {type(profiles).__name__}"
        )


def pandas_table(frame: Any) -> Any:
    """A pandas frame as an Arrow table. ProfileError for a column of values of several types."""
    import pyarrow as pa

    from whichvariant.errors import ProfileError

    arrays = []
    for name in frame.columns:
        try:
            arrays.append(pa.array(frame[name], from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise ProfileError(str(name), f"not a column of one type: {error}") from None
    return pa.table(arrays, [str(name) for name in frame.columns])

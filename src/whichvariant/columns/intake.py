"""Profiles from bytes or Arrow into columns, batch after batch, for one or several engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgpack
import orjson

from whichvariant import clock
from whichvariant._core.columns import Columns
from whichvariant._core.evaluate_columns import ColumnEvaluator
from whichvariant._core.evaluate_one import MAX_PROFILE_BYTES
from whichvariant._core.layout import Layout
from whichvariant._core.record_reader import RecordReader
from whichvariant.columns.arrow import fill
from whichvariant.columns.requests import request_of
from whichvariant.columns.result import Arrays, ColumnsResult
from whichvariant.errors import EventError, InputError, ProfileError

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Buffer

    from whichvariant.engine import Engine

Form: TypeAlias = Literal["ndjson", "json", "msgpack"]

ROWS = 16_384
"""Rows of a batch. Large enough that what is done once a batch costs nothing."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that some engine refuses, and so is left out.

    ``record`` is its number in the source, from 0; ``line`` its line, from 1, None where the source
    has no lines; ``offset`` and ``length`` are bytes of the source; ``error`` says why.
    """

    record: int
    line: int | None
    offset: int
    length: int
    error: InputError


class Intake:
    """Reads profiles into a batch of columns and lets one or several engines decide it.

    A record is taken when every engine takes it: when `Engine.select_json` does with the same
    bytes, or `Engine.select` with what msgpack holds. All engines see the same rows.

    Not to be shared between threads: each makes its own. `feed` and `evaluate` release the
    interpreter lock, but for patterns, events, and lists that rules read.

    Parameters
    ----------
    engines
        At least one.
    rows
        How many profiles a batch holds at most.
    now
        For rules with a window: milliseconds since the epoch, an aware datetime, or ISO 8601. By
        default the moment at which the intake is made.
    """

    def __init__(
        self, *engines: Engine, rows: int = ROWS, now: int | datetime | str | None = None
    ) -> None:
        if not engines:
            raise ValueError("an intake needs an engine")
        self.engines = engines
        self._now = clock.now_ms() if now is None else now
        for engine in engines:
            # A moment that is none shall not wait for the first event.
            engine.count_events([{"type": "alias"}], now=self._now)
        self._columns = Columns(Layout([engine.program for engine in engines]))
        self._reader = RecordReader(self._columns, rows, self._count)
        self._evaluators = [
            ColumnEvaluator(self._columns, number) for number in range(len(engines))
        ]
        self._form: Form = "ndjson"

    def _count(self, events: Any) -> list[list[int]] | None:
        try:
            return [engine.count_events(events, now=self._now) for engine in self.engines]
        except EventError:
            return None

    # ---- reading ------------------------------------------------------------------------------

    def begin(self, form: Form) -> None:
        """Start with another source. Rows that wait to be evaluated stay.

        ``ndjson``: one record a line; ``json``: one array of records, or one record; ``msgpack``:
        one map behind the other.
        """
        self._reader.begin(form)
        self._form = form

    def feed(self, data: Buffer, *, final: bool = True) -> int:
        """Read complete records of ``data`` until the batch is full; how many bytes were read.

        What is left of ``data`` has to come again, with more behind it. ``final`` says that the
        source ends with ``data``: then its last record is complete, whatever it looks like.
        """
        return self._reader.feed(data, final)

    def feed_arrow(self, table: pa.Table | pa.RecordBatch) -> None:
        """All rows of a table as the batch, whatever their number. The batch has to be empty.

        Raises
        ------
        ProfileError
            A column has a type or value that cannot be used; ``path`` is the column, and the
            message names the row.
        """
        if self.n_rows:
            raise ValueError("there are rows that were not evaluated")
        try:
            fill(self._columns, table, self._count, self.reason)
        except BaseException:
            self._columns.clear()
            raise

    @property
    def n_rows(self) -> int:
        """How many rows wait to be evaluated."""
        return self._columns.n_rows

    @property
    def full(self) -> bool:
        """Whether the batch has no room for another row."""
        return self._reader.full

    @property
    def records(self) -> int:
        """How many records of the source were read, refused ones included."""
        return self._reader.records

    @property
    def offset(self) -> int:
        """How many bytes of the source were read."""
        return self._reader.offset

    # ---- deciding -----------------------------------------------------------------------------

    def evaluate(
        self, arrays: Sequence[Arrays] | None = None, first_row: int = 0
    ) -> tuple[ColumnsResult, ...]:
        """Decide the batch, for each engine, and empty it.

        ``arrays`` has room for more rows than these (`arrays_for`), for each engine: the batch is
        written there, from ``first_row`` on, in whole blocks of 1,024 rows.
        """
        table = self._columns.id_table()
        rooms = [(None, None)] * len(self.engines) if arrays is None else arrays
        results = tuple(
            ColumnsResult(engine, *evaluator.evaluate(*room, first_row), table)
            for engine, evaluator, room in zip(self.engines, self._evaluators, rooms, strict=True)
        )
        self._columns.clear()
        return results

    # ---- what was refused ---------------------------------------------------------------------

    def take_rejected(self) -> list[Rejected]:
        """The records that were refused since the last call."""
        found = []
        for record, line, offset, data, length, reason in self._reader.take_rejected():
            error: InputError
            if reason is not None:
                error = ProfileError("", reason)
            elif data is None:
                error = ProfileError("", f"longer than {MAX_PROFILE_BYTES} bytes")
            else:
                error = self.reason(data, self._form)
            found.append(Rejected(record, line or None, offset, length, error))
        return found

    def reason(self, data: bytes, form: Form = "ndjson") -> InputError:
        """Why a record is refused: the error that the first engine to refuse it raises."""
        try:
            if form == "msgpack":
                self._select(_unpack(data))
            else:
                self._select_json(data)
        except InputError as error:
            return error
        return ProfileError("", "not accepted")

    def _select_json(self, data: bytes) -> None:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            # The engine says where it is broken.
            value = None
        if value is None or request_of(value).profile is value:
            for engine in self.engines:
                engine.select_json(data)
        else:
            self._select(value)

    def _select(self, value: Any) -> None:
        request = request_of(value)
        for engine in self.engines:
            engine.select(
                request.profile, device=request.device, events=request.events, now=self._now
            )


def _unpack(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=False, use_list=True)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise ProfileError("", f"not usable as msgpack: {error}") from None


def evaluate_tables(
    engine: Engine,
    tables: Sequence[Any],
    now: int | datetime | str | None,
    arrays: Arrays | None,
    first_row: int,
) -> list[ColumnsResult]:
    """One result for each of ``tables``.

    They may share ``arrays``, with more tables than these, the first of which has its first row at
    ``first_row``: what is written there once needs not be copied. Then all tables but the last of
    all have whole blocks of rows.
    """
    intake = Intake(engine, now=now)
    results: list[ColumnsResult] = []
    for table in tables:
        intake.feed_arrow(table)
        if arrays is None:
            results += intake.evaluate()
        else:
            results += intake.evaluate([arrays], first_row)
        first_row += table.num_rows
    return results

"""One unit of a source, decided batch by batch in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whichvariant.columns import ColumnsResult, Intake
from whichvariant.columns.result import arrays_for
from whichvariant.errors import InputError, SourceError
from whichvariant.replay.columns_read import dictionary_columns, is_selected
from whichvariant.replay.formats import Stream, open_stream, reading
from whichvariant.replay.sources import Source, SourceFile, Unit

ROWS = 16_384
CHUNK_BYTES = 1 << 20
_CHUNK_LIMIT = 80 << 20  # a record has at most 64 MiB
_GROUP_LIMIT = 64 << 20

Results = tuple[ColumnsResult, ...]


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that is left out; numbers count within the unit. ``data`` is what it was."""

    record: int
    line: int | None
    offset: int | None
    data: bytes | None
    error: InputError


@dataclass(slots=True)
class Decided:
    """A batch as it comes out of the intake. ``records`` are numbers within the unit.

    ``table`` holds the rows, where they came as Arrow; ``data`` the bytes that they were read from,
    where somebody asked for them.
    """

    results: Results
    records: NDArray[np.uint64]
    table: Any = None
    data: bytes = b""


class Watcher(Protocol):
    """Who is told how reading goes on."""

    def advanced(self, records: int, n_bytes: int) -> None:
        """So many more records and bytes of the file were read."""
        ...

    def refused(self, record: RefusedRecord) -> None:
        """A record was left out."""
        ...


class UnitReader:
    """Reads one unit through ``intake``, and counts what it meets.

    With ``reuse`` each batch takes the memory of the results of the one before.
    """

    def __init__(
        self,
        source: Source,
        unit: Unit,
        intake: Intake,
        watcher: Watcher,
        *,
        columns: Callable[[Any], list[str] | None] | None = None,
        keep_data: bool = False,
        reuse: bool = False,
    ) -> None:
        self.source = source
        self.unit = unit
        self.file: SourceFile = source.files[unit.file]
        self.records = 0
        self.lines: int | None = None
        self.bytes = 0
        self._intake = intake
        self._watcher = watcher
        self._columns = columns
        self._keep_data = keep_data
        # Memory that is new to the process costs as much as what it takes to fill it.
        self._arrays = [arrays_for(engine, ROWS) for engine in intake.engines] if reuse else None

    def __iter__(self) -> Iterator[Decided]:
        """The batches, in order.

        Raises
        ------
        SourceError
            The file cannot be read, or no further.
        """
        if self.source.tables:
            yield from self._tables(self.tables())
        elif self.file.format in ("ndjson", "json", "msgpack"):
            with reading(self.file.name, self._place()), self._stream() as stream:
                yield from self._bytes(stream)
        else:
            with reading(self.file.name):
                yield from self._tables(self.tables())

    def _place(self) -> str:
        if self.unit.stop is None and self.unit.start == 0:
            return ""
        return f"from byte {self.unit.start:,}" if self.file.format == "ndjson" else ""

    # ---- bytes ----------------------------------------------------------------------------------

    @contextmanager
    def _stream(self) -> Iterator[Stream]:
        if self.source.standard_input is not None:
            yield self.source.standard_input.stream()
            return
        with open_stream(self.file.name, self.file.compression) as stream:
            if self.file.format == "ndjson" and not self.file.compression:
                yield Lines(stream, self.unit.start, self.unit.stop)
            else:
                yield stream

    def _bytes(self, stream: Stream) -> Iterator[Decided]:
        intake = self._intake
        intake.begin(self.file.format)  # type: ignore[arg-type]  # one of the three
        buffer = bytearray()
        base = 0  # where the buffer starts
        ended = False
        self.lines = 0 if self.file.format == "ndjson" else None
        kept: list[bytes] = []
        while not ended:
            try:
                chunk = stream.read(CHUNK_BYTES)
            except (OSError, ValueError) as error:
                place = f"after byte {base + len(buffer):,}"
                if self.file.compression:
                    place += " of what was compressed"
                raise SourceError(str(error), source=self.file.name, place=place) from error
            ended = not chunk
            if self.lines is not None:
                self.lines += chunk.count(b"\n")
                if ended and buffer and not buffer.endswith(b"\n"):
                    self.lines += 1
            buffer += chunk
            self.bytes += len(chunk)
            used = 0
            while True:
                with memoryview(buffer)[used:] as view:
                    taken = intake.feed(view, final=ended)
                if self._keep_data:
                    kept.append(bytes(buffer[used : used + taken]))
                used += taken
                self._refuse(buffer, base)
                if not intake.full:
                    break
                yield self._decide(b"".join(kept))
                kept.clear()
            del buffer[:used]
            base += used
            if len(buffer) > _CHUNK_LIMIT:
                raise SourceError(
                    "one record of more than 64 MiB",
                    source=self.file.name,
                    place=f"at byte {base:,}",
                )
            self._advance(intake.records, len(chunk))
        if intake.n_rows:
            yield self._decide(b"".join(kept))

    def _decide(self, data: bytes) -> Decided:
        results = self._intake.evaluate(self._arrays)
        return Decided(results, results[0].records, data=data)

    def _refuse(self, buffer: bytearray, base: int) -> None:
        for rejected in self._intake.take_rejected():
            start = rejected.offset - base
            self._watcher.refused(
                RefusedRecord(
                    rejected.record,
                    rejected.line,
                    rejected.offset,
                    bytes(buffer[start : start + rejected.length]),
                    rejected.error,
                )
            )

    def _advance(self, records: int, n_bytes: int) -> None:
        """Tell the watcher how many records of the unit there were by now."""
        self._watcher.advanced(records - self.records, n_bytes)
        self.records = records

    # ---- Arrow ----------------------------------------------------------------------------------

    def tables(self) -> Iterator[Any]:
        """The unit as Arrow tables and record batches, undecided. Not for bytes.

        Raises
        ------
        SourceError
            The file cannot be read, or no further.
        """
        import pyarrow as pa

        if self.source.tables:
            yield self.source.tables[self.unit.number]
            return
        name = self.file.name
        with reading(name):
            if self.file.format == "arrow-stream":
                stream: Any
                if self.source.standard_input is not None:
                    stream = pa.PythonFile(self.source.standard_input.stream(), "r")
                elif self.file.compression:
                    stream = pa.CompressedInputStream(pa.OSFile(name), self.file.compression)
                else:
                    stream = pa.OSFile(name)
                with stream:
                    with pa.ipc.open_stream(stream) as batches:
                        yield from batches
                    # What is behind the last batch may tell that something was cut off.
                    while stream.read(CHUNK_BYTES):
                        pass
                return
            with self._seekable() as path:
                if self.file.format == "arrow":
                    with pa.memory_map(path) as memory:
                        file = pa.ipc.open_file(memory)
                        stop = file.num_record_batches if self.unit.stop is None else self.unit.stop
                        for number in range(self.unit.start, stop):
                            yield file.get_batch(number)
                else:
                    yield from self._parquet(path)

    def _parquet(self, path: str) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            names = self._columns(file.schema_arrow) if self._columns else None
        stop = metadata.num_row_groups if self.unit.stop is None else self.unit.stop
        texts = [] if names is None else dictionary_columns(metadata, names)
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
            for group in range(self.unit.start, stop):
                with reading(self.file.name, f"row group {group}"):
                    if _decoded_bytes(metadata, group, names) <= _GROUP_LIMIT:
                        # Much faster than in pieces, but all of the group is in memory.
                        table = file.read_row_group(group, columns=names, use_threads=False)
                        yield from table.to_batches(ROWS)
                    else:
                        yield from file.iter_batches(
                            ROWS, row_groups=[group], columns=names, use_threads=False
                        )

    @contextmanager
    def _seekable(self) -> Iterator[str]:
        """A path that can be read at any place: of a compressed file, what it holds."""
        stdin = self.source.standard_input
        if stdin is None and not self.file.compression:
            yield self.file.name
            return
        with tempfile.NamedTemporaryFile(prefix="whichvariant-") as copy:
            if stdin is not None:
                _copy(stdin.stream(), copy)
            else:
                with open_stream(self.file.name, self.file.compression) as stream:
                    _copy(stream, copy)
            copy.flush()
            yield copy.name

    def _tables(self, tables: Any) -> Iterator[Decided]:
        size = self.source.unit_bytes(self.unit)
        for table in tables:
            for start in range(0, table.num_rows, ROWS):
                part = table.slice(start, ROWS)
                first = self.records
                for offset, accepted in self._accepted(part, first):
                    results = self._intake.evaluate(self._arrays)
                    records = results[0].records + np.uint64(first + offset)
                    yield Decided(results, records, table=accepted)
                self.records += part.num_rows
                self._watcher.advanced(part.num_rows, 0)
        self.bytes = size
        self._watcher.advanced(0, size)

    def _accepted(self, table: Any, first: int) -> Iterator[tuple[int, Any]]:
        """Feed ``table``, whole or in the parts around rows that are refused.

        SourceError when the columns themselves are what is wrong.
        """
        try:
            self._intake.feed_arrow(table)
        except InputError as error:
            try:
                self._intake.feed_arrow(table.slice(0, 0))
                self._intake.evaluate()
            except InputError as wrong:
                raise SourceError(str(wrong), source=self.file.name) from wrong
            if table.num_rows == 1:
                self._watcher.refused(RefusedRecord(first, None, None, None, error))
                return
            half = table.num_rows // 2
            yield from self._accepted(table.slice(0, half), first)
            for offset, accepted in self._accepted(table.slice(half), first + half):
                yield half + offset, accepted
            return
        yield 0, table


def _decoded_bytes(metadata: Any, group: int, names: list[str] | None) -> int:
    """About how many bytes the columns ``names`` of a row group take in memory."""
    found = metadata.row_group(group)
    # A dictionary keeps repeated texts small, in the file and in memory: four bytes a row.
    least = 4 * found.num_rows
    return sum(
        max(column.total_uncompressed_size, least)
        for column in (found.column(number) for number in range(found.num_columns))
        if names is None or is_selected(column.path_in_schema, names)
    )


def _copy(stream: Stream, file: IO[bytes]) -> None:
    while chunk := stream.read(CHUNK_BYTES):
        file.write(chunk)


class Lines:
    """The lines of a file that begin at bytes ``start`` to ``stop`` (excluded, None for the end).

    A line belongs to the range that its first byte is in, so ranges that meet share no line.
    """

    def __init__(self, file: Any, start: int, stop: int | None) -> None:
        self._file = file
        self._stop = stop
        self._at = start  # of the file, where the next chunk begins
        self._head = b""
        self._over = False
        if start:
            # The line that holds the byte before is not ours.
            file.seek(start - 1)
            self._at = start - 1
            self._over = not self._find_line() or (stop is not None and self._at >= stop)

    def _find_line(self) -> bool:
        """Go to behind the next line feed; False when there is none."""
        while chunk := self._file.read(CHUNK_BYTES):
            end = chunk.find(b"\n")
            if end >= 0:
                self._at += end + 1
                self._head = chunk[end + 1 :]
                return True
            self._at += len(chunk)
        return False

    def read(self, size: int, /) -> bytes:
        """Some of the range, none at its end."""
        if self._over:
            return b""
        chunk: bytes = self._head or self._file.read(size)
        self._head = b""
        if self._stop is not None and self._at + len(chunk) >= self._stop:
            # The last line is the one that holds the last byte of the range.
            end = chunk.find(b"\n", max(self._stop - 1 - self._at, 0))
            if end >= 0:
                self._over = True
                chunk = chunk[: end + 1]
        self._at += len(chunk)
        return chunk

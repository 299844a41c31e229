"""Where records stand in their files, from where they stand in units."""

from __future__ import annotations

from dataclasses import dataclass

from whichvariant.replay.formats import Format
from whichvariant.replay.partial import Partial
from whichvariant.replay.sources import Source


@dataclass(frozen=True, slots=True)
class Place:
    """A record: its file, its number in it from 0, and its line from 1 where it has one."""

    file: str | None
    record: int | None
    line: int | None


@dataclass(slots=True)
class FileFacts:
    """What was met in one file."""

    name: str
    format: Format
    compression: str | None
    bytes: int | None
    records: int = 0
    rejected: int = 0


class Places:
    """Made from the facts of all units, since a unit does not know what stands before it."""

    def __init__(self, source: Source, total: Partial) -> None:
        self._source = source
        self._before: dict[int, tuple[int, int | None]] = {}
        self._blank: set[int] = set()
        self.files = [
            FileFacts(file.name, file.format, file.compression, file.size) for file in source.files
        ]
        lines: list[int | None] = [0] * len(source.files)
        for number, unit in enumerate(source.units):
            facts = total.units[number]
            file = self.files[unit.file]
            self._before[number] = file.records, lines[unit.file]
            file.records += facts.records
            file.rejected += facts.rejected
            before = lines[unit.file]
            lines[unit.file] = (
                None if before is None or facts.lines is None else before + facts.lines
            )
            if facts.lines != facts.records:
                # Blank lines, or none at all: a record's number does not tell its line.
                self._blank.add(number)

    def of(self, unit: int, record: int, line: int | None = None) -> Place:
        """The place of a record of a unit, both counted within it."""
        records_before, lines_before = self._before[unit]
        if line is None and unit not in self._blank:
            line = record + 1
        if line is not None:
            line = None if lines_before is None else lines_before + line
        return Place(
            self._source.files[self._source.units[unit].file].name, records_before + record, line
        )

    def offset(self, unit: int, offset: int | None) -> int | None:
        """The byte of the file at a byte of a unit; None within what is compressed."""
        part = self._source.units[unit]
        file = self._source.files[part.file]
        if offset is None or file.compression or unit not in self._before:
            return None
        # A range of lines begins somewhere behind its first byte.
        return offset if part.start == 0 else None

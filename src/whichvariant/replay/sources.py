"""Where profiles come from: files, divided into units of work that can be read on their own."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import xxhash

from whichvariant.errors import SourceError
from whichvariant.replay.formats import (
    STDIN,
    STDIN_NAME,
    Compression,
    Format,
    StandardInput,
    detect,
    is_profiles_name,
    reading,
)

UNIT_BYTES = 64 << 20
"""About how many bytes of a file are one unit of work."""

UNIT_ROWS = 1 << 18
"""Parquet may hold a million profiles in so many bytes: then this is about a unit's rows."""

_MOST_BY_ROWS = 64
"""Each unit leaves a part of the report behind, so rows alone do not make more of one file."""

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file. ``size`` in bytes and ``modified_ns`` are None for standard input and tables."""

    name: str
    format: Format
    compression: Compression | None
    size: int | None
    modified_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a file that one worker reads from start to end.

    ``start`` and ``stop`` are bytes of lines (NDJSON), row groups (Parquet) or record batches
    (Arrow files); ``stop`` is None for the end.
    """

    number: int
    file: int
    start: int = 0
    stop: int | None = None


@dataclass(slots=True)
class Source:
    """Files of profiles, in order, and the units that they are read in, in order.

    What comes first counts first: where a visitor stands more than once, the first record does.
    """

    files: list[SourceFile]
    units: list[Unit]
    standard_input: StandardInput | None = None
    tables: Sequence[Any] = ()

    @classmethod
    def of(
        cls,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        form: Format | None = None,
        unit_bytes: int = UNIT_BYTES,
    ) -> Source:
        """Files, directories (searched through), globs, or ``-`` for standard input.

        A directory's files are taken by name, in the order of names; names that say nothing, and
        those that begin with a dot or underscore, are left out. ``form`` is the format of all.

        Raises
        ------
        SourceError
            A file is missing or unreadable, its format unknown, or there are no files.
        """
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        names = [os.fspath(path) for path in paths]
        source = cls([], [])
        if STDIN in names:
            if len(names) > 1:
                raise SourceError("standard input cannot be read beside files", source=STDIN_NAME)
            source.standard_input = StandardInput()
            found = source.standard_input
            source.files = [SourceFile(STDIN_NAME, form or found.format(), found.compression, None)]
            source.units = [Unit(0, 0)]
            return source
        for name in names:
            for path in _files_of(name):
                source._add(path, form, unit_bytes)
        if not source.files:
            raise SourceError("there are no profiles", source=", ".join(names))
        return source

    @classmethod
    def of_tables(cls, tables: Sequence[Any]) -> Source:
        """Arrow tables or record batches in memory, a unit each."""
        files = [SourceFile("<table>", "arrow", None, None)]
        return cls(files, [Unit(number, 0) for number in range(len(tables))], tables=tables)

    def _add(self, path: str, format_: Format | None, unit_bytes: int) -> None:
        with reading(path):
            status = os.stat(path)
        found, compression = detect(path)
        file = SourceFile(path, format_ or found, compression, status.st_size, status.st_mtime_ns)
        number = len(self.files)
        self.files.append(file)
        bounds = [0, None] if compression else _bounds(file, unit_bytes)
        for start, stop in pairwise(bounds):
            self.units.append(Unit(len(self.units), number, start or 0, stop))

    @property
    def rereadable(self) -> bool:
        """Whether a unit can be read twice, and by another process."""
        return self.standard_input is None

    @property
    def bytes(self) -> int | None:
        """Bytes of all files, None where that is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def unit_bytes(self, unit: Unit) -> int:
        """About how many bytes of its file a unit is; 0 where that is not known."""
        file = self.files[unit.file]
        if file.size is None:
            return 0
        if file.format == "ndjson" and file.compression is None:
            return (file.size if unit.stop is None else unit.stop) - unit.start
        return file.size // sum(other.file == unit.file for other in self.units)

    def identity(self) -> str:
        """32 hexadecimal digits: the same files, unchanged, divided in the same way."""
        facts = [
            [os.path.abspath(file.name), file.format, file.size, file.modified_ns]
            for file in self.files
        ]
        units = [[unit.file, unit.start, unit.stop] for unit in self.units]
        return xxhash.xxh3_128_hexdigest(repr([facts, units]).encode())


def _files_of(name: str) -> list[str]:
    """The files that an argument means."""
    if not os.path.exists(name) and _GLOB & set(name):
        matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise SourceError("no file matches", source=name)
        return [path for match in matches for path in _files_of(match)]
    with reading(name):
        mode = os.stat(name).st_mode
    if not stat.S_ISDIR(mode):
        return [name]
    found = []
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "_")))
        found += [
            os.path.join(folder, file)
            for file in sorted(files)
            if not file.startswith((".", "_")) and is_profiles_name(file)
        ]
    if not found:
        raise SourceError("the directory has no files of profiles", source=name)
    return found


def _bounds(file: SourceFile, unit_bytes: int) -> list[int | None]:
    """Where the units of an uncompressed file begin, and None for its end."""
    assert file.size is not None
    if file.format == "ndjson":
        n = max(round(file.size / unit_bytes), 1)
        return [file.size * part // n for part in range(n)] + [None]
    least = 1
    if file.format == "parquet":
        import pyarrow.parquet as pq

        with reading(file.name), pq.ParquetFile(file.name) as parquet:
            groups = parquet.metadata.num_row_groups
            least = min(round(parquet.metadata.num_rows / UNIT_ROWS), _MOST_BY_ROWS)
    elif file.format == "arrow":
        import pyarrow as pa

        with reading(file.name), pa.memory_map(file.name) as memory:
            groups = pa.ipc.open_file(memory).num_record_batches
    else:
        return [0, None]
    # A unit is some row groups: one that is large, or several that are small.
    n = min(max(round(file.size / unit_bytes), least, 1), max(groups, 1))
    return [groups * part // n for part in range(n)] + [None]

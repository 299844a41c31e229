"""What a file of profiles is, by its name and else by its content, and reading its bytes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import IO, Any, Literal, Protocol, TypeAlias

import orjson

from whichvariant.errors import SourceError

Format: TypeAlias = Literal["ndjson", "json", "msgpack", "parquet", "arrow", "arrow-stream"]
Compression: TypeAlias = Literal["gzip", "zstd"]

FORMATS: tuple[Format, ...] = ("ndjson", "json", "msgpack", "parquet", "arrow", "arrow-stream")

STDIN = "-"
STDIN_NAME = "<stdin>"

_BY_SUFFIX: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".jsonlines": "ndjson",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrows": "arrow-stream",
}
# These names are used for two things each; the content tells which.
_AMBIGUOUS = {".json", ".arrow", ".feather", ".ipc"}
_COMPRESSED: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}

SUFFIXES = (*_BY_SUFFIX, *sorted(_AMBIGUOUS))
"""Names that end so, perhaps with ``.gz`` or ``.zst`` behind, are profiles in a directory."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_LOOK = 1 << 16
_MAP_STARTS = {*range(0x80, 0x90), 0xDE, 0xDF}


class Stream(Protocol):
    """Bytes that are read once, front to back."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        ...


def is_profiles_name(name: str) -> bool:
    """Whether a file in a directory is taken for profiles."""
    suffix, _ = _suffix_of(name)
    return suffix in SUFFIXES


def _suffix_of(name: str) -> tuple[str, Compression | None]:
    """The ending that names the format, and the compression that is named behind it."""
    path = PurePath(name.lower())
    compression = _COMPRESSED.get(path.suffix)
    return (PurePath(path.stem) if compression else path).suffix, compression


def detect(path: str) -> tuple[Format, Compression | None]:
    """The format and compression of a file.

    Raises
    ------
    SourceError
        It cannot be read, or is nothing that is known.
    """
    suffix, _ = _suffix_of(path)
    format_ = _BY_SUFFIX.get(suffix)
    with reading(path):
        with open(path, "rb") as file:
            head = file.read(4)
        # A file that was decompressed without being renamed is still readable, and vice versa.
        compression = _compression_of(head)
        if format_ is not None:
            return format_, compression
        with open_stream(path, compression) as stream:
            return format_of(read_some(stream, _LOOK), path), compression


def _compression_of(head: bytes) -> Compression | None:
    if head.startswith(_GZIP):
        return "gzip"
    return "zstd" if head.startswith(_ZSTD) else None


def format_of(head: bytes, name: str) -> Format:
    """The format of something that begins with ``head``; SourceError for nothing known."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    if head.startswith(b"\xff\xff\xff\xff"):
        return "arrow-stream"
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        line = text.partition(b"\n")[0]
        return (
            "ndjson" if _is_json(line) or len(line) == len(text) == _LOOK else _lines_or_one(text)
        )
    if head and head[0] in _MAP_STARTS:
        return "msgpack"
    if not text:
        return "ndjson"  # nothing at all: no profiles
    raise SourceError(
        "neither JSON, msgpack, Parquet nor Arrow; name the format if it is", source=name
    )


def _lines_or_one(text: bytes) -> Format:
    """A first line that is no JSON: broken among others, or the beginning of one object?"""
    lines = text.split(b"\n")[1:50]
    return (
        "ndjson" if any(line.lstrip()[:1] == b"{" and _is_json(line) for line in lines) else "json"
    )


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def read_some(stream: Stream, size: int) -> bytes:
    """The first ``size`` bytes, fewer only at the end."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextmanager
def open_stream(path: str, compression: Compression | None) -> Iterator[Any]:
    """The bytes of a file, decompressed.

    OSError, also for what cannot be decompressed; `reading` makes it a `SourceError`.
    """
    if compression is None:
        with open(path, "rb", buffering=0) as file:
            yield file
        return
    import pyarrow as pa

    with pa.OSFile(path, "rb") as file, pa.CompressedInputStream(file, compression) as stream:
        yield stream


@contextmanager
def reading(name: str, place: str = "") -> Iterator[None]:
    """Tell what goes wrong inside as a `SourceError` of the file ``name``."""
    import pyarrow as pa

    try:
        yield
    except SourceError:
        raise
    except pa.ArrowException as error:
        raise SourceError(_first_line(error), source=name, place=place) from error
    except OSError as error:
        message = error.strerror or _first_line(error)
        raise SourceError(message, source=name, place=place) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class StandardInput:
    """Standard input: looked at to find its format, then read from the start, once."""

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self._raw: Any = stream or sys.stdin.buffer
        head = read_some(self._raw, 4)
        self.compression = _compression_of(head)
        self._stream: Any = _Chained(head, self._raw)
        if self.compression:
            import pyarrow as pa

            with reading(STDIN_NAME):
                self._stream = pa.CompressedInputStream(
                    pa.PythonFile(self._stream, "r"), self.compression
                )
        with reading(STDIN_NAME):
            self._head = read_some(self._stream, _LOOK)

    def format(self) -> Format:
        """What the content looks like."""
        return format_of(self._head, STDIN_NAME)

    def stream(self) -> Stream:
        """The bytes, decompressed, from the start. Once only."""
        return _Chained(self._head, self._stream)


class _Chained(io.RawIOBase):
    """Some bytes, and then the rest of a stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as asked for, fewer only at the end: Arrow does not ask twice."""
        part, self._head = self._head[:size], self._head[size:]
        return part + read_some(self._rest, size - len(part)) if len(part) < size else part

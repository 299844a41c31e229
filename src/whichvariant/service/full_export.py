"""The full format: everything a store holds of profiles, as one stream of msgpack.

The stream is a sequence of frames ``[seal, payload]``. A payload is a msgpack array that begins
with its kind; its seal is the xxh3-64 of its bytes, so that nothing damaged is ever believed. In
order:

- ``["whichvariant-profiles", version, made_ms, record_version]``
- ``["tombstone", organization, environment, key, at_ms]``
- ``["profile", organization, environment, id, updated_ms, record, [[sequence, data]…], [alias…]]``
- ``["forward", organization, environment, key, into]``
- ``["end", {kind: how many}, digest]``: the xxh3-128 over all payloads before it. A stream that
  does not end with it is cut off.

Tombstones come first and forwards last: a profile that is erased while a store in use is exported
is then at worst missing, and does not come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgpack
import msgspec
from xxhash import xxh3_64_intdigest, xxh3_128

from whichvariant.errors import DocumentError
from whichvariant.profiles.state import SCHEMA

FORMAT: Final = "whichvariant-profiles"
VERSION: Final = 1

FIRST_BYTE: Final = b"\x92"
"""Every frame begins with it, and no JSON does: it opens an array of two in msgpack."""

_CHUNK = 1 << 20
_MOST = 2**32 - 1
"""The longest frame, which is what a length in msgpack can say."""


class Readable(Protocol):
    """What a stream is read from: a binary file, for example."""

    def read(self, limit: int, /) -> bytes:
        """Up to so many bytes; none at the end."""
        ...


class Tombstone(msgspec.Struct, array_like=True, frozen=True, tag="tombstone"):
    """An id that was erased."""

    organization: str
    environment: str
    key: str
    at_ms: int


class Profile(msgspec.Struct, array_like=True, frozen=True, tag="profile"):
    """A profile with its history rows and aliases."""

    organization: str
    environment: str
    id: str
    updated_ms: int
    record: bytes
    rows: tuple[tuple[int, bytes], ...]
    aliases: tuple[str, ...]


class Forward(msgspec.Struct, array_like=True, frozen=True, tag="forward"):
    """An id that was merged away, and the profile that it leads to."""

    organization: str
    environment: str
    key: str
    into: str


class _End(msgspec.Struct, array_like=True, frozen=True, tag="end"):
    counts: dict[str, int]
    digest: bytes


class _Header(msgspec.Struct, array_like=True, frozen=True, tag=FORMAT):
    version: int
    made_ms: int
    record_version: int


Entry: TypeAlias = Tombstone | Profile | Forward

_KINDS: dict[type, Literal["tombstone", "profile", "forward"]] = {
    Tombstone: "tombstone",
    Profile: "profile",
    Forward: "forward",
}

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Entry | _End | _Header] = msgspec.msgpack.Decoder(
    Entry | _End | _Header
)


class Writer:
    """Writes a stream, the header at once. ``finish`` makes it whole."""

    def __init__(self, write: Callable[[bytes], object], made_ms: int) -> None:
        self._write = write
        self._digest = xxh3_128()
        self._counts: Counter[str] = Counter()
        self._frame(_encode(_Header(VERSION, made_ms, SCHEMA)))

    def add(self, entry: Entry) -> None:
        """Write one entry."""
        self._counts[_KINDS[type(entry)]] += 1
        self._frame(_encode(entry))

    def finish(self) -> None:
        """Write the end."""
        self._frame(_encode(_End(dict(self._counts), self._digest.digest())))

    def _frame(self, payload: bytes) -> None:
        self._digest.update(payload)
        self._write(_encode([xxh3_64_intdigest(payload), payload]))


def read_entries(stream: Readable, source: str = "") -> Iterator[Entry]:
    """The entries of a stream, as they are read; nothing but the current one is kept.

    Raises
    ------
    DocumentError
        It is no such stream, of a newer version, damaged, or cut off; with ``source``, its name.
        What came before was as it was written.
    """
    digest = xxh3_128()
    counts: Counter[str] = Counter()
    payloads = _payloads(stream, source)
    first = next(payloads, b"")
    digest.update(first)
    header = _decoded(first, source) if first else None
    if not isinstance(header, _Header):
        raise DocumentError("not an export of profiles", source=source)
    if header.version != VERSION or header.record_version > SCHEMA:
        raise DocumentError(
            f"a newer release made this export (its version is {header.version}, that of its"
            f" records {header.record_version}; this release reads {VERSION} and {SCHEMA})",
            source=source,
        )
    for number, payload in enumerate(payloads, 1):
        entry = _decoded(payload, source)
        if isinstance(entry, _End):
            if entry.counts != counts or entry.digest != digest.digest():
                raise DocumentError("the export is damaged: entries are missing", source=source)
            if next(payloads, None) is not None:
                raise DocumentError("something follows the end of the export", source=source)
            return
        if isinstance(entry, _Header):
            raise DocumentError(f"entry {number} is another export's header", source=source)
        digest.update(payload)
        counts[_KINDS[type(entry)]] += 1
        yield entry
    raise DocumentError(f"the export is cut off after {counts.total():,} entries", source=source)


def check_stream(stream: Readable, source: str = "") -> None:
    """Read a stream to its end; DocumentError as `read_entries`, before anything is used."""
    for _ in read_entries(stream, source):
        pass


def _payloads(stream: Readable, source: str) -> Iterator[bytes]:
    # Nothing but pairs of a number and bytes is even built.
    unpacker = msgpack.Unpacker(
        max_buffer_size=_MOST, max_array_len=2, max_map_len=0, max_ext_len=0, max_str_len=0
    )
    while chunk := stream.read(_CHUNK):
        unpacker.feed(chunk)
        while True:
            try:
                frame: Any = unpacker.unpack()
            except msgpack.OutOfData:
                break
            except (msgpack.UnpackException, ValueError) as error:
                raise DocumentError("the export is damaged: no msgpack", source=source) from error
            match frame:
                case [int(seal), bytes(payload)] if seal == xxh3_64_intdigest(payload):
                    yield payload
                case _:
                    raise DocumentError("the export is damaged", source=source)


def _decoded(payload: bytes, source: str) -> Entry | _Header | _End:
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DocumentError(f"the export is damaged: {error}", source=source) from error

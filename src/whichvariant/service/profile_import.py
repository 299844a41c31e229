"""Profiles into a store, in bounded memory: from lines of JSON, or from a full export.

The lines may be profiles in the API's shape, which is the way here from the hosted API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from whichvariant.columns.requests import numbered_lines
from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import DocumentError, InputError, RecordError, StoreConflict, StoreRefused
from whichvariant.profiles.state import decode_state
from whichvariant.service import full_export
from whichvariant.service.profile_lines import LINE_LIMIT, Incoming, read_line
from whichvariant.store.protocol import (
    Bury,
    Forward,
    HistoryRow,
    Link,
    ProfileRow,
    ProfileStore,
    Put,
    Tombstone,
    Transaction,
)

Progress: TypeAlias = Callable[[int], object]
"""Called now and then with how many entries are done."""

Report: TypeAlias = Callable[[str, str], object]
"""Called with a place, and with what is wrong there."""

_TOGETHER = 64
"""Entries that are written at once, so that they share an fsync."""

_TOGETHER_BYTES = 16 << 20
_ATTEMPTS = 16


@dataclass(slots=True)
class Imported:
    """What became of the entries of an import.

    ``profiles`` are new, ``replaced`` were there before, ``existing`` were there and stay as they
    are, ``erased`` were deleted here once and do not come back. ``bad`` entries could not be used,
    or not wholly; a profile that lacks a user id is both new and bad.
    """

    profiles: int = 0
    replaced: int = 0
    existing: int = 0
    erased: int = 0
    aliases: int = 0
    forwards: int = 0
    tombstones: int = 0
    bad: int = 0
    entries: int = 0


async def import_profiles(
    store: ProfileStore,
    stream: BinaryIO,
    now_ms: int,
    *,
    into: Namespace | None = None,
    default: Namespace | None = None,
    replace: bool = False,
    strict: bool = False,
    source: str = "",
    report: Report | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Store the profiles of a stream: a full export, or profiles one on each line.

    Each profile is stored as a whole or not at all, and those that are there already are left as
    they are, so an import that was interrupted is simply repeated.

    Parameters
    ----------
    stream
        Binary. A full export that can be rewound is checked to its end before anything is stored;
        from a pipe, what precedes the damage is.
    now_ms
        The time of the import, for profiles that do not say when they were last written.
    into
        Where everything goes, whatever the entries say.
    default
        Where a line goes that says nothing.
    replace
        Overwrite profiles that have the same id, history included. User ids that they have here
        stay theirs.
    strict
        Stop at the first bad entry, with DocumentError. A few after it may be stored already.
    source
        The name of the stream, for messages.
    report
        Called for each bad entry with its place, such as ``profiles.ndjson:17``, and the reason.

    Raises
    ------
    DocumentError
        A full export is damaged, cut off, or of a newer version; or ``strict``.
    """
    run = _Import(
        store=store, into=into, default=default, replace=replace, strict=strict, report=report
    )
    first = stream.read(1)
    if first == full_export.FIRST_BYTE:
        if stream.seekable():
            start = stream.tell() - 1
            stream.seek(start)
            full_export.check_stream(stream, source)
            stream.seek(start)
            first = b""
        await run.entries(_full_entries(_Joined(first, stream), source), progress)
    else:
        await run.entries(_lines(_Joined(first, stream), source, now_ms), progress)
    return run.done


class _Problem(Exception):  # noqa: N818 (never leaves this module)
    """Why an entry cannot be used, or not wholly."""


_Item: TypeAlias = Incoming | full_export.Tombstone | full_export.Forward
_Placed: TypeAlias = tuple[str, int, _Item | InputError | RecordError]
"""Where an entry stands, its size in bytes, and what it is or why it cannot be used."""


@dataclass(slots=True, kw_only=True)
class _Import:
    """One import: writes entries, a few at a time, and counts."""

    store: ProfileStore
    into: Namespace | None
    default: Namespace | None
    replace: bool
    strict: bool
    report: Report | None
    done: Imported = field(default_factory=Imported)

    async def entries(self, entries: Iterator[_Placed], progress: Progress | None) -> None:
        """Write them all. Those that lead to profiles wait until the profiles are there."""
        together: list[_Placed] = []
        size = 0
        kind: type | None = None
        for entry in entries:
            broken = isinstance(entry[2], InputError | RecordError)
            full = len(together) == _TOGETHER or size > _TOGETHER_BYTES
            if full or type(entry[2]) is not kind or (broken and self.strict):
                await self._write(together, progress)
                together, size = [], 0
            kind = type(entry[2])
            together.append(entry)
            size += entry[1]
        await self._write(together, progress)

    async def _write(self, together: Sequence[_Placed], progress: Progress | None) -> None:
        outcomes = await asyncio.gather(
            *(self._one(item) for _, _, item in together), return_exceptions=True
        )
        for (place, _, _), outcome in zip(together, outcomes, strict=True):
            self.done.entries += 1
            if outcome is None:
                continue
            if not isinstance(outcome, _Problem | InputError | RecordError | StoreRefused):
                raise outcome
            self.done.bad += 1
            if self.strict:
                raise DocumentError(str(outcome), source=place)
            if self.report is not None:
                self.report(place, str(outcome))
        if progress is not None and together:
            progress(self.done.entries)

    async def _one(self, item: _Item | InputError | RecordError) -> None:
        if isinstance(item, Incoming):
            await self._profile(item)
        elif isinstance(item, full_export.Tombstone):
            await self._tombstone(item)
        elif isinstance(item, full_export.Forward):
            await self._forward(item)
        else:
            raise item

    async def _profile(self, item: Incoming) -> None:
        namespace = self.into or item.namespace or self.default
        if namespace is None:
            raise _Problem("nothing says to which organization and environment it belongs")
        for _ in range(_ATTEMPTS):
            found = await self.store.find(namespace, item.id)
            if isinstance(found, Tombstone):
                self.done.erased += 1
                return
            present = isinstance(found, ProfileRow)
            # An alias or a merged-away id is that of another profile, which is not to be replaced.
            if isinstance(found, ProfileRow) and not (self.replace and found.id == item.id):
                self.done.existing += 1
                return
            free, taken = await self._aliases(namespace, item)
            drop: tuple[int, ...] = ()
            if present:
                rows = await self.store.history(namespace, item.id)
                drop = tuple(row.sequence for row in rows)
            version = found.version if isinstance(found, ProfileRow) else 0
            put = Put(item.id, item.record, version, item.updated_ms, item.rows, drop)
            links = tuple(Link(alias, item.id) for alias in free)
            try:
                await self.store.commit(Transaction(namespace, puts=(put,), links=links))
            except StoreConflict:
                continue
            if present:
                self.done.replaced += 1
            else:
                self.done.profiles += 1
            self.done.aliases += len(free)
            if taken:
                raise _Problem(
                    f"the profile {item.id!r} lacks the user id {taken[0]!r}, which is taken here"
                )
            return
        raise _Problem(f"{_ATTEMPTS} attempts met changes by others")

    async def _aliases(self, namespace: Namespace, item: Incoming) -> tuple[list[str], list[str]]:
        """The user ids that are free for a profile, and those that others have."""
        free, taken = [], []
        for alias in item.aliases:
            found = await self.store.find(namespace, alias)
            if isinstance(found, Tombstone) or (
                isinstance(found, ProfileRow) and found.id != item.id
            ):
                taken.append(alias)
            elif not isinstance(found, ProfileRow):
                free.append(alias)
        return free, taken

    async def _tombstone(self, item: full_export.Tombstone) -> None:
        namespace = self.into or Namespace(item.organization, item.environment)
        try:
            await self.store.commit(Transaction(namespace, burials=(Bury(item.key, item.at_ms),)))
        except StoreConflict:
            if isinstance(await self.store.find(namespace, item.key), Tombstone):
                self.done.existing += 1
                return
            raise _Problem(f"{item.key!r} was deleted there but leads to a profile here") from None
        self.done.tombstones += 1

    async def _forward(self, item: full_export.Forward) -> None:
        namespace = self.into or Namespace(item.organization, item.environment)
        try:
            await self.store.commit(
                Transaction(namespace, forwards=(Forward(item.key, item.into),))
            )
        except StoreConflict as conflict:
            if conflict.key == item.key:
                self.done.existing += 1
                return
            raise _Problem(
                f"{item.key!r} was merged into {item.into!r}, which is no profile here"
            ) from None
        self.done.forwards += 1


# ---- reading ------------------------------------------------------------------------------------


class _Joined:
    """A stream with what was read of it already before it. Only what is needed here."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = first
        self._stream = stream

    def read(self, limit: int) -> bytes:
        first, self._first = self._first, b""
        return first + self._stream.read(limit)

    def readline(self, limit: int) -> bytes:
        first, self._first = self._first, b""
        return first if first == b"\n" else first + self._stream.readline(limit)


def _full_entries(stream: full_export.Readable, source: str) -> Iterator[_Placed]:
    for number, entry in enumerate(full_export.read_entries(stream, source), 1):
        place = f"{source}: entry {number}" if source else f"entry {number}"
        if not isinstance(entry, full_export.Profile):
            yield place, 0, entry
            continue
        size = len(entry.record) + sum(len(data) for _, data in entry.rows)
        yield place, size, _checked(entry)


def _checked(entry: full_export.Profile) -> Incoming | RecordError:
    try:
        state = decode_state(entry.record)
    except RecordError as error:
        return error
    if state.id != entry.id:
        return RecordError(f"the record of {entry.id!r} is that of {state.id!r}")
    return Incoming(
        Namespace(entry.organization, entry.environment),
        entry.id,
        entry.record,
        tuple(HistoryRow(*row) for row in entry.rows),
        entry.aliases,
        entry.updated_ms,
    )


def _lines(stream: _Joined, source: str, now_ms: int) -> Iterator[_Placed]:
    for number, raw in numbered_lines(stream, LINE_LIMIT):
        place = f"{source}:{number}" if source else f"line {number}"
        try:
            item: Incoming | InputError = read_line(raw, now_ms)
        except InputError as error:
            item = error
        yield place, len(raw), item

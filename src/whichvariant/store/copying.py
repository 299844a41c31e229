"""From one store into another, all of it, and the proof that it is all of it.

What has arrived is written together with a mark that says how far it goes; so a copy that was
killed goes on where it stopped, and a store that is not whole yet is no store for anybody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreError
from whichvariant.store.protocol import ProfileStore
from whichvariant.store.rows import Batch, RowStore

_ROWS: Final = 500
_BATCH_BYTES: Final = 4 << 20
_DIGEST_BYTES: Final = 16
_KINDS: Final = ("profiles", "names", "inbox", "rejected")

CopyProgress: TypeAlias = Callable[[str, int, int], object]
"""Called with what is going on, how many rows of all are done, and how many there are."""

_encode = msgspec.msgpack.Encoder().encode


class _Mark(msgspec.Struct):
    """How far a copy has come. ``source`` is the digest of the source's secret."""

    source: str
    kind: str
    place: Any = None


class StoreDigest(NamedTuple):
    """A digest of everything in a store, and how much that is."""

    digest: str
    profiles: int
    history: int
    names: int
    inbox: int
    rejected: int

    @property
    def rows(self) -> int:
        """Of all kinds; those of histories are their profiles'."""
        return self.profiles + self.names + self.inbox + self.rejected


class Copied(NamedTuple):
    """What a copy has done. ``resumed``: it went on where another one had stopped."""

    digest: StoreDigest
    resumed: bool


def row_store(store: ProfileStore, name: str) -> RowStore:
    """The same store, whose rows can be copied.

    Raises: StoreError: they cannot.
    """
    if not hasattr(store, "read_profiles"):
        raise StoreError(f"{name}: a store in memory can neither be copied nor copied into")
    return cast("RowStore", store)


async def store_digest(
    store: RowStore, progress: CopyProgress = lambda what, done, total: None
) -> StoreDigest:
    """The digest of all that a store holds, whatever kind of store it is.

    Of the secret, profiles with versions, times and histories, aliases, forwards, tombstones, the
    inbox and what was rejected. Nobody may write meanwhile, or it is the digest of no moment.
    """
    whole = hashlib.blake2b(_encode(("secret", store.secret)), digest_size=_DIGEST_BYTES)
    counts = dict.fromkeys((*_KINDS, "history"), 0)
    total = await _total(store)
    done = 0
    for kind in _KINDS:
        async for _, batch in _batches(store, kind, None):
            for kept in batch.profiles:
                whole.update(_encode((kind, *kept)))
                counts["history"] += len(kept.history)
            for namespace, name in batch.names:
                whole.update(_encode((kind, namespace, *name)))
            for row in (*batch.inbox, *batch.rejected):
                whole.update(_encode((kind, *row)))
            counts[kind] += _size(batch)
            done += _size(batch)
            progress("reading", done, total)
    return StoreDigest(
        whole.hexdigest(),
        counts["profiles"],
        counts["history"],
        counts["names"],
        counts["inbox"],
        counts["rejected"],
    )


async def copy_store(
    source: RowStore,
    target: RowStore,
    name: str,
    progress: CopyProgress = lambda what, done, total: None,
) -> Copied:
    """Copy everything, or what is left of it after an earlier attempt, and verify it.

    ``name`` is the target's, for messages. The source is only read; nobody may write to it.

    Raises:
        StoreError: the target holds something else, or in the end not the same: then the source
            has changed meanwhile, and the mark stays.
    """
    origin = hashlib.blake2b(source.secret, digest_size=_DIGEST_BYTES).hexdigest()
    begun = await target.mark()
    if begun:
        mark = msgspec.json.decode(begun, type=_Mark)
        if mark.source != origin:
            raise StoreError(f"{name}: it is the unfinished copy of another store")
    elif await target.is_empty():
        mark = _Mark(origin, _KINDS[0])
        await target.begin_copy(source.secret, _text(mark))
    else:
        raise StoreError(f"{name}: it is not empty; a copy needs a store of its own")
    total = await _total(source)
    done = await _total(target)
    for kind in _KINDS[_KINDS.index(mark.kind) :]:
        start = mark.place if kind == mark.kind else None
        async for place, batch in _batches(source, kind, start):
            await target.write_rows(batch, _text(_Mark(origin, kind, place)))
            done += _size(batch)
            progress("copying", min(done, total), total)
    last = await source.last_sequence()
    await target.write_rows(Batch(last_sequence=last), _text(_Mark(origin, _KINDS[-1], 2**63 - 1)))
    expected = await store_digest(source, lambda _, at, of: progress("reading the source", at, of))
    found = await store_digest(target, lambda _, at, of: progress("reading the copy", at, of))
    if found != expected:
        raise StoreError(
            f"{name}: it does not hold what the source holds ({found.digest}, not "
            f"{expected.digest}): somebody has written to the source. Stop the servers, empty the "
            "target, and copy again"
        )
    await target.end_copy()
    return Copied(found, bool(begun))


async def _batches(store: RowStore, kind: str, start: Any) -> AsyncIterator[tuple[Any, Batch]]:
    """Everything of one kind behind a place, in the order of all stores: (place, rows)."""
    place: Any = start
    if kind in ("inbox", "rejected"):
        place = start or 0
        while True:
            if kind == "inbox":
                batch = Batch(inbox=await store.read_inbox(place, _ROWS))
                rows: Any = batch.inbox
            else:
                batch = Batch(rejected=await store.rejected(place, _ROWS))
                rows = batch.rejected
            if not rows:
                return
            place = rows[-1].sequence
            yield place, batch
    after = None if place is None else (Namespace(*place[0]), place[1])
    limit = _ROWS
    while True:
        if kind == "profiles":
            profiles = await store.read_profiles(after, limit)
            if not profiles:
                return
            after = (profiles[-1].namespace, profiles[-1].row.id)
            batch = Batch(profiles=profiles)
            # Histories may be long: as many profiles as fill a batch, and no fewer than one.
            size = sum(_bytes(kept.row.record, kept.history) for kept in profiles)
            limit = max(1, min(_ROWS, _BATCH_BYTES * len(profiles) // max(1, size)))
        else:
            names = await store.scan_names(after=after, limit=_ROWS)
            if not names:
                return
            after = (names[-1][0], names[-1][1].key)
            batch = Batch(names=names)
        yield after, batch


def _bytes(record: bytes, history: tuple[tuple[int, bytes], ...]) -> int:
    return len(record) + sum([len(data) for _, data in history])


async def _total(store: RowStore) -> int:
    return sum(sum(row[1:]) for row in (await store.stats()).namespaces)


def _size(batch: Batch) -> int:
    return len(batch.profiles) + len(batch.names) + len(batch.inbox) + len(batch.rejected)


def _text(mark: _Mark) -> str:
    return msgspec.json.encode(mark).decode()

"""A store that forgets: for tests, trials and preflights, and the model of what every store does.

Everything is in dicts and nothing is clever, because the other stores are compared with this one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

from whichvariant.clock import random_bytes
from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreClosed, StoreConflict, StoreError
from whichvariant.store.limits import (
    check_data,
    check_integer,
    check_namespace,
    check_sequences,
    check_transaction,
    key_bytes,
    reason_text,
)
from whichvariant.store.protocol import (
    CLOCK_TOLERANCE_MS,
    Damage,
    Elsewhere,
    Erase,
    Found,
    HistoryRow,
    InboxItem,
    Merge,
    Name,
    NamespaceStats,
    Place,
    ProfileRow,
    Progress,
    Pulse,
    Put,
    RejectedItem,
    StoreStats,
    Tombstone,
    Transaction,
)

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(slots=True)
class _Space:
    """One namespace: profiles and their histories by id, all other keys by themselves."""

    profiles: dict[str, ProfileRow] = field(default_factory=dict)
    histories: dict[str, dict[int, bytes]] = field(default_factory=dict)
    names: dict[str, Name] = field(default_factory=dict)


@dataclass(slots=True)
class _Claim:
    owner: str
    made_ms: int
    until_ms: int
    held: bool
    attempts: int


class _Changes:
    """Changes of dicts that can be taken back."""

    def __init__(self) -> None:
        self._inverses: list[Callable[[], object]] = []

    def put(self, mapping: MutableMapping[_K, _V], key: _K, value: _V) -> None:
        if key in mapping:
            before = mapping[key]
            self._inverses.append(lambda: mapping.__setitem__(key, before))
        else:
            self._inverses.append(lambda: mapping.__delitem__(key))
        mapping[key] = value

    def delete(self, mapping: MutableMapping[_K, _V], key: _K) -> None:
        before = mapping.pop(key)
        self._inverses.append(lambda: mapping.__setitem__(key, before))

    def take_back(self) -> None:
        for inverse in reversed(self._inverses):
            inverse()


class MemoryStore:
    """``ProfileStore`` in the memory of this process."""

    def __init__(self) -> None:
        self._secret = random_bytes(32)
        self._spaces: dict[Namespace, _Space] = {}
        self._inbox: dict[int, InboxItem] = {}
        self._claims: dict[int, _Claim] = {}
        self._rejected: dict[int, RejectedItem] = {}
        self._last_sequence = 0
        self._closed = False
        # No method awaits anything, so tasks of one event loop cannot come between. Threads can.
        self._lock = threading.Lock()

    @property
    def secret(self) -> bytes:
        return self._secret

    # ---- profiles --------------------------------------------------------------------------------

    async def find(self, namespace: Namespace, key: str) -> Found:
        self._check_open()
        key_bytes(key)
        check_namespace(namespace)
        with self._lock:
            space = self._spaces.get(namespace, _Space())
            name = space.names.get(key)
            if name is not None and name.kind == "tombstone":
                return Tombstone(name.at_ms)
            row = space.profiles.get(key if name is None else name.id)
            if row is not None:
                return row
            others = sorted(
                other
                for other, there in self._spaces.items()
                if key in there.profiles
                or (key in there.names and there.names[key].kind != "tombstone")
            )
            return Elsewhere(tuple(others)) if others else None

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        self._check_open()
        key_bytes(profile_id)
        check_namespace(namespace)
        with self._lock:
            rows = self._spaces.get(namespace, _Space()).histories.get(profile_id, {})
            return [HistoryRow(sequence, rows[sequence]) for sequence in sorted(rows)]

    async def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        self._check_open()
        key_bytes(profile_id)
        check_namespace(namespace)
        with self._lock:
            names = self._spaces.get(namespace, _Space()).names.values()
            return sorted(
                name.key for name in names if name.kind == "alias" and name.id == profile_id
            )

    async def commit(self, transaction: Transaction) -> None:
        self._check_open()
        check_transaction(transaction)
        with self._lock:
            changes = _Changes()
            try:
                self._apply(transaction, changes)
            except StoreConflict:
                changes.take_back()
                raise

    def _apply(self, transaction: Transaction, changes: _Changes) -> None:
        space = self._spaces.setdefault(transaction.namespace, _Space())
        for put in transaction.puts:
            _put(space, put, changes)
        for link in transaction.links:
            _expect_free(space, link.alias)
            _expect_profile(space, link.id)
            changes.put(space.names, link.alias, Name(link.alias, "alias", link.id, 0))
        for merge in transaction.merges:
            _merge(space, merge, changes)
        for erase in transaction.erases:
            _erase(space, erase, changes)
        for forward in transaction.forwards:
            _expect_free(space, forward.source)
            _expect_profile(space, forward.into)
            changes.put(
                space.names, forward.source, Name(forward.source, "forward", forward.into, 0)
            )
        for burial in transaction.burials:
            _expect_free(space, burial.id)
            changes.put(space.names, burial.id, Name(burial.id, "tombstone", "", burial.at_ms))
        for sequence in transaction.finishes:
            if sequence not in self._inbox:
                raise StoreConflict(str(sequence), "the inbox has no such item (any more)")
            changes.delete(self._inbox, sequence)
            if sequence in self._claims:
                changes.delete(self._claims, sequence)

    # ---- the inbox -------------------------------------------------------------------------------

    async def enqueue(self, namespace: Namespace, payload: bytes, received_ms: int) -> int:
        self._check_open()
        check_namespace(namespace)
        check_data(payload, "the payload")
        check_integer(received_ms, "the time of receipt,")
        with self._lock:
            self._last_sequence += 1
            item = InboxItem(self._last_sequence, namespace, payload, received_ms, 0)
            self._inbox[item.sequence] = item
            return item.sequence

    async def claim(
        self,
        owner: str,
        limit: int,
        lease_ms: int,
        now_ms: int,
        skip: Collection[Namespace] = (),
    ) -> list[InboxItem]:
        self._check_open()
        key_bytes(owner)
        check_integer(now_ms + lease_ms, "the end of the lease,")
        with self._lock:
            free = (
                item
                for sequence, item in sorted(self._inbox.items())
                if item.namespace not in skip and self._is_free(sequence, now_ms)
            )
            taken = []
            for item in list(islice(free, max(0, limit))):
                before = self._claims.get(item.sequence)
                attempts = 1 if before is None else before.attempts + 1
                self._claims[item.sequence] = _Claim(
                    owner, now_ms, now_ms + lease_ms, True, attempts
                )
                taken.append(item._replace(attempts=attempts))
            return taken

    def _is_free(self, sequence: int, now_ms: int) -> bool:
        claim = self._claims.get(sequence)
        return (
            claim is None
            or not claim.held
            or claim.until_ms <= now_ms
            or claim.made_ms > now_ms + CLOCK_TOLERANCE_MS
        )

    async def release(self, sequences: Sequence[int], owner: str) -> None:
        self._check_open()
        check_sequences(sequences)
        with self._lock:
            for sequence in sequences:
                claim = self._claims.get(sequence)
                if claim is not None and claim.owner == owner:
                    claim.held = False

    async def reject(self, sequence: int, reason: str, now_ms: int) -> None:
        self._check_open()
        check_sequences((sequence, now_ms))
        with self._lock:
            item = self._inbox.pop(sequence, None)
            if item is not None:
                claim = self._claims.pop(sequence, None)
                self._rejected[sequence] = RejectedItem(
                    sequence,
                    item.namespace,
                    item.payload,
                    item.received_ms,
                    0 if claim is None else claim.attempts,
                    reason_text(reason),
                    now_ms,
                )

    async def rejected(self, after: int = 0, limit: int = 100) -> list[RejectedItem]:
        self._check_open()
        with self._lock:
            following = sorted(sequence for sequence in self._rejected if sequence > after)
            return [self._rejected[sequence] for sequence in following[: max(0, limit)]]

    async def requeue(self, sequences: Sequence[int]) -> int:
        self._check_open()
        check_sequences(sequences)
        with self._lock:
            items = [self._rejected.pop(one) for one in sequences if one in self._rejected]
            for item in items:
                self._inbox[item.sequence] = InboxItem(
                    item.sequence, item.namespace, item.payload, item.received_ms, 0
                )
            return len(items)

    async def discard(self, sequences: Sequence[int]) -> int:
        self._check_open()
        check_sequences(sequences)
        with self._lock:
            return sum(self._rejected.pop(one, None) is not None for one in sequences)

    # ---- everything ------------------------------------------------------------------------------

    async def scan(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, ProfileRow]]:
        self._check_open()
        if namespace is not None:
            check_namespace(namespace)
        with self._lock:
            every = (
                (space, row.id, row)
                for space, there in self._spaces.items()
                for row in there.profiles.values()
            )
            return [(space, row) for space, _, row in _page(every, namespace, after, limit)]

    async def scan_names(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, Name]]:
        self._check_open()
        if namespace is not None:
            check_namespace(namespace)
        with self._lock:
            every = (
                (space, name.key, name)
                for space, there in self._spaces.items()
                for name in there.names.values()
            )
            return [(space, name) for space, _, name in _page(every, namespace, after, limit)]

    async def stats(self) -> StoreStats:
        self._check_open()
        with self._lock:
            waiting = [item.namespace for item in self._inbox.values()]
            refused = [item.namespace for item in self._rejected.values()]
            rows = []
            for namespace in sorted({*self._spaces, *waiting, *refused}):
                space = self._spaces.get(namespace, _Space())
                kinds = [name.kind for name in space.names.values()]
                row = NamespaceStats(
                    namespace,
                    len(space.profiles),
                    kinds.count("alias"),
                    kinds.count("forward"),
                    kinds.count("tombstone"),
                    waiting.count(namespace),
                    refused.count(namespace),
                )
                if any(row[1:]):
                    rows.append(row)
            return StoreStats(tuple(rows), {}, 0, "memory", 0)

    async def pulse(self) -> Pulse:
        self._check_open()
        with self._lock:
            oldest = min((item.received_ms for item in self._inbox.values()), default=None)
            return Pulse(len(self._inbox), oldest, len(self._rejected), 0)

    async def compact(self, *, rebuild: bool = False) -> None:
        self._check_open()

    async def verify(self, progress: Progress | None = None) -> list[Damage]:
        self._check_open()
        if progress is not None:
            progress(1, 1)
        return []

    async def backup(self, path: str | os.PathLike[str]) -> None:
        self._check_open()
        raise StoreError(f"a store in memory cannot be copied to {os.fspath(path)}: export it")

    async def close(self) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store was closed")


def _expect_free(space: _Space, key: str) -> None:
    if key in space.profiles:
        raise StoreConflict(key, "there is a profile with this id")
    if key in space.names:
        raise StoreConflict(key, f"there is {_ARTICLE[space.names[key].kind]} with this key")


_ARTICLE = {"alias": "an alias", "forward": "a forward", "tombstone": "a tombstone"}


def _expect_profile(space: _Space, profile_id: str) -> ProfileRow:
    if profile_id not in space.profiles:
        raise StoreConflict(profile_id, "there is no profile with this id")
    return space.profiles[profile_id]


def _expect_version(space: _Space, profile_id: str, expects: int) -> ProfileRow:
    row = _expect_profile(space, profile_id)
    if row.version != expects:
        raise StoreConflict(profile_id, f"the profile is at version {row.version}, not {expects}")
    return row


def _put(space: _Space, put: Put, changes: _Changes) -> None:
    if put.expects == 0:
        _expect_free(space, put.id)
    else:
        _expect_version(space, put.id, put.expects)
    row = ProfileRow(put.id, put.expects + 1, put.updated_ms, put.record)
    changes.put(space.profiles, put.id, row)
    # A range may be long, but tells at once what is in it.
    drop = put.drop if isinstance(put.drop, range) else set(put.drop)
    history = space.histories.get(put.id, {})
    rows = {sequence: data for sequence, data in history.items() if sequence not in drop}
    for appended in put.append:
        rows[appended.sequence] = appended.data
    changes.put(space.histories, put.id, rows)


def _merge(space: _Space, merge: Merge, changes: _Changes) -> None:
    _expect_version(space, merge.source, merge.expects)
    _expect_profile(space, merge.into)
    if merge.source == merge.into:
        raise StoreConflict(merge.source, "a profile cannot be merged into itself")
    changes.delete(space.profiles, merge.source)
    changes.delete(space.histories, merge.source)
    for name in list(space.names.values()):
        if name.id == merge.source:
            changes.put(space.names, name.key, name._replace(id=merge.into))
    changes.put(space.names, merge.source, Name(merge.source, "forward", merge.into, 0))


def _erase(space: _Space, erase: Erase, changes: _Changes) -> None:
    _expect_version(space, erase.id, erase.expects)
    changes.delete(space.profiles, erase.id)
    changes.delete(space.histories, erase.id)
    for name in list(space.names.values()):
        if name.id == erase.id and name.kind == "alias":
            changes.delete(space.names, name.key)
        elif name.id == erase.id:
            changes.put(space.names, name.key, Name(name.key, "tombstone", "", erase.at_ms))
    changes.put(space.names, erase.id, Name(erase.id, "tombstone", "", erase.at_ms))


def _page(
    every: Iterable[tuple[Namespace, str, _V]],
    namespace: Namespace | None,
    after: Place | None,
    limit: int,
) -> list[tuple[Namespace, str, _V]]:
    chosen = [
        one
        for one in every
        if (namespace is None or one[0] == namespace) and (after is None or one[:2] > after)
    ]
    chosen.sort(key=lambda one: one[:2])
    return chosen[: max(0, limit)]

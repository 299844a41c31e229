"""What a store of profiles promises, whichever it is.

A store knows nothing of profiles but their keys: records, history and payloads are bytes to it. In
one namespace a key is at most one of four things:

- the id of a profile, which has a row, a history and aliases;
- an alias that leads to a profile;
- a forward: the id of a profile that was merged away, which leads to the one it was merged into;
- a tombstone: the id of a profile that was erased, which nothing can be written to any more.

Methods are coroutines because a store may be behind a network. A store may be used from several
tasks, and from several event loops that run in threads of their own.

Where the rules come from: SEMANTICS section 5 (identity, deletion).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self, TypeAlias

from whichvariant.contracts.namespace import Namespace

KEY_LIMIT_BYTES = 1024
"""The most that a key, or either part of a namespace, takes in UTF-8; none of them may be empty."""

DATA_LIMIT_BYTES = 16 * 1024 * 1024
"""The most that one record, one row of history or one payload of the inbox takes."""

CLOCK_TOLERANCE_MS = 60_000
"""How far in the future a claim may seem to have been made, before we say the clock went back."""


class ProfileRow(NamedTuple):
    """A profile as it is stored. ``version`` is 1 at the first write and one more at each other."""

    id: str
    version: int
    updated_ms: int
    record: bytes


class Tombstone(NamedTuple):
    """The key belonged to a profile that was erased."""

    deleted_ms: int


class Elsewhere(NamedTuple):
    """The key is unknown here but leads to a profile in these other namespaces, in their order."""

    namespaces: tuple[Namespace, ...]


Found: TypeAlias = ProfileRow | Tombstone | Elsewhere | None


class HistoryRow(NamedTuple):
    """One row of a profile's history. ``sequence`` is 0 or more, and unique within the profile."""

    sequence: int
    data: bytes


class Put(NamedTuple):
    """Write one profile's row, and change its history with it.

    ``expects`` is the version that the profile must have, 0 that the key must be free: no profile,
    alias, forward or tombstone of the namespace. What ``drop`` names leaves the history first
    (sequences that are not there are no error), then ``append`` is written, over what has the same
    sequence.
    """

    id: str
    record: bytes
    expects: int
    updated_ms: int
    append: tuple[HistoryRow, ...] = ()
    drop: tuple[int, ...] | range = ()


class Link(NamedTuple):
    """Let ``alias``, which must be a free key, lead to the profile ``id``, which must exist."""

    alias: str
    id: str


class Merge(NamedTuple):
    """Dissolve the profile ``source``, which must be at version ``expects``, in ``into``.

    Its row and history vanish. Its aliases and forwards lead to ``into`` from now on, and
    ``source`` itself becomes a forward to it. ``into`` must be another profile; its version does
    not change (a ``Put`` of the same transaction may write what became of it).
    """

    source: str
    expects: int
    into: str


class Erase(NamedTuple):
    """Erase the profile ``id``, which must be at version ``expects``.

    Row, history, aliases and forwards vanish. Tombstones remain for ``id`` and for every forward;
    aliases leave nothing, so that they can be attached again.
    """

    id: str
    expects: int
    at_ms: int


class Forward(NamedTuple):
    """Let the key ``source`` be a forward to the profile ``into``; for imports. It must be free."""

    source: str
    into: str


class Bury(NamedTuple):
    """Put a tombstone at a key that must be free; for imports."""

    id: str
    at_ms: int


class Transaction(NamedTuple):
    """Writes of one namespace that happen together or not at all.

    They happen in the order of the fields, each seeing what the ones before it did: a ``Link`` may
    lead to a profile that a ``Put`` of the same transaction makes. ``finishes`` are sequence
    numbers of the inbox, whichever namespace the items belong to: each must still be there, and is
    gone with this transaction.
    """

    namespace: Namespace
    puts: tuple[Put, ...] = ()
    links: tuple[Link, ...] = ()
    merges: tuple[Merge, ...] = ()
    erases: tuple[Erase, ...] = ()
    forwards: tuple[Forward, ...] = ()
    burials: tuple[Bury, ...] = ()
    finishes: tuple[int, ...] = ()


class InboxItem(NamedTuple):
    """Something that waits to be processed. ``attempts`` counts its claims, this one included."""

    sequence: int
    namespace: Namespace
    payload: bytes
    received_ms: int
    attempts: int


class RejectedItem(NamedTuple):
    """Something of the inbox that could not be processed, and why."""

    sequence: int
    namespace: Namespace
    payload: bytes
    received_ms: int
    attempts: int
    reason: str
    rejected_ms: int


class Name(NamedTuple):
    """A key that is no profile's id, as ``scan_names`` lists them.

    ``id`` is the profile that an alias or a forward leads to, and "" for a tombstone. ``at_ms`` is
    when a tombstone's profile was erased, and 0 for the others.
    """

    key: str
    kind: Literal["alias", "forward", "tombstone"]
    id: str
    at_ms: int


Place: TypeAlias = tuple[Namespace, str]
"""Where a scan goes on: the namespace and the key of the last one seen."""


class NamespaceStats(NamedTuple):
    """How many there are in one namespace."""

    namespace: Namespace
    profiles: int
    aliases: int
    forwards: int
    tombstones: int
    inbox: int
    rejected: int


class StoreStats(NamedTuple):
    """What a store holds.

    ``namespaces`` are in their order, only those that hold something. ``files`` are sizes in bytes
    by path, or by table where a store is in a database; none where it has neither. ``engine`` names
    what is underneath, with its version. ``schema_version`` is that of the layout of tables, not
    that of records. ``free_bytes`` is what ``compact`` would give back. ``trouble`` says what went
    wrong lately without failing a request, such as a checkpoint for which the disk had no room;
    normally "".
    """

    namespaces: tuple[NamespaceStats, ...]
    files: dict[str, int]
    free_bytes: int
    engine: str
    schema_version: int
    trouble: str = ""


class Pulse(NamedTuple):
    """What a store can say of itself in no time, to be asked again and again.

    ``waiting`` counts the items of the inbox, claimed ones included; ``oldest_ms`` is when the
    oldest of them was received, None if there is none. ``rejected`` counts what could not be
    processed. ``size_bytes`` is that of the files or tables, 0 where a store has none. ``trouble``
    is as in `StoreStats`.
    """

    waiting: int
    oldest_ms: int | None
    rejected: int
    size_bytes: int
    trouble: str = ""


class Damage(NamedTuple):
    """One thing that ``verify`` found. ``place`` is a page, a profile, a key or a table."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


Progress: TypeAlias = Callable[[int, int], object]
"""Called now and then with what is done and what there is in all, in steps of no fixed unit."""


class ProfileStore(Protocol):
    """A store of profiles.

    Every method raises ``StoreClosed`` after ``close`` (and in a process that was forked after the
    store was opened), ``StoreRefused`` for a key that is empty, has lone surrogates or is longer
    than ``KEY_LIMIT_BYTES``, and for data beyond ``DATA_LIMIT_BYTES``; ``StoreDamaged`` where
    stored bytes are not what was written, which is never served; ``StoreReadOnly`` for a write that
    the file's permissions forbid, ``StoreFull`` for one that the disk has no room for, and
    ``StoreError``, the base of all these, for any other failure of the medium.

    After ``StoreConflict``, ``StoreRefused``, ``StoreReadOnly`` and ``StoreFull`` nothing was
    applied. After any other error of a write, and after its task was cancelled, it may or may not
    have been; versions tell.
    """

    @property
    def secret(self) -> bytes:
        """32 random bytes, made with the store and the same for every process that opens it."""
        ...

    async def find(self, namespace: Namespace, key: str) -> Found:
        """What a key is here: a profile's own id, an alias, or an id that was merged away.

        A row's ``id`` is that of the profile that the key leads to. None: the key is nowhere.
        """
        ...

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        """The history of the profile with exactly this id, ascending; empty if there is none.

        It may be newer than a row that was found before; the version tells.
        """
        ...

    async def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        """The aliases of the profile with exactly this id, ascending; empty if there is none."""
        ...

    async def commit(self, transaction: Transaction) -> None:
        """Apply all of a transaction; durable when this returns.

        Raises:
            StoreConflict: an expectation did not hold; nothing was applied. ``key`` is the key.
        """
        ...

    async def enqueue(self, namespace: Namespace, payload: bytes, received_ms: int) -> int:
        """Put something into the inbox, durably. Returns its sequence number, never used twice."""
        ...

    async def claim(
        self,
        owner: str,
        limit: int,
        lease_ms: int,
        now_ms: int,
        skip: Collection[Namespace] = (),
    ) -> list[InboxItem]:
        """Take up to ``limit`` items of the inbox that nobody holds, oldest first.

        Items of the namespaces in ``skip`` are left where they are.
        They are ``owner``'s until ``now_ms + lease_ms``; then anyone can claim them, as also when
        the clock has gone back behind the claim by more than ``CLOCK_TOLERANCE_MS``. A lease only
        saves work: what makes it exactly once is that a transaction *finishes* an item.
        """
        ...

    async def release(self, sequences: Sequence[int], owner: str) -> None:
        """Give back items before their lease ends. Those that ``owner`` does not hold stay."""
        ...

    async def reject(self, sequence: int, reason: str, now_ms: int) -> None:
        """Move an item from the inbox to the rejected ones. If it is not there, nothing happens."""
        ...

    async def rejected(self, after: int = 0, limit: int = 100) -> list[RejectedItem]:
        """Rejected items with sequence numbers above ``after``, ascending, ``limit`` at most."""
        ...

    async def requeue(self, sequences: Sequence[int]) -> int:
        """Put rejected items back into the inbox, as if never attempted. Returns how many."""
        ...

    async def discard(self, sequences: Sequence[int]) -> int:
        """Delete rejected items for good. Returns how many."""
        ...

    async def scan(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, ProfileRow]]:
        """The next profiles, by (namespace, id) in the order of code points.

        Of one namespace, or with None of all. Go on with ``after=(namespace, row.id)`` of the last;
        an empty list ends it. What is written meanwhile may or may not be seen.
        """
        ...

    async def scan_names(
        self, namespace: Namespace | None = None, after: Place | None = None, limit: int = 1000
    ) -> list[tuple[Namespace, Name]]:
        """The next aliases, forwards and tombstones, by (namespace, key), as ``scan`` does."""
        ...

    async def stats(self) -> StoreStats:
        """How much there is. Counts everything, so it takes a while for a large store."""
        ...

    async def pulse(self) -> Pulse:
        """What monitoring asks for: it proves that the store answers, and looks at no profile."""
        ...

    async def compact(self, *, rebuild: bool = False) -> None:
        """Give the space of what was deleted back to the file system.

        In steps between which others can write; or with ``rebuild`` in one piece, writing
        everything anew, which takes more time and room, packs it more densely, and is what leaves
        no trace of what was erased.
        """
        ...

    async def verify(self, progress: Progress | None = None) -> list[Damage]:
        """Read everything and name what is damaged. Nothing is repaired, and nothing is raised."""
        ...

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy, while the store is in use. It appears under its name complete.

        Raises:
            StoreError: there is a file of that name already, it could not be written, or this kind
                of store has no file.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, refuse the rest. Closing twice is no error."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

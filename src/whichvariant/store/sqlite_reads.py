"""What a store reads, on one connection. Nothing that fails its seal is handed out.

A statement whose rows are all fetched has ended, so that no connection keeps an old state of the
file alive. Several statements that have to agree stand in one transaction.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import apsw

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreDamaged
from whichvariant.store.limits import check_namespace, key_bytes
from whichvariant.store.protocol import (
    CLOCK_TOLERANCE_MS,
    Elsewhere,
    Found,
    HistoryRow,
    InboxItem,
    Name,
    NamespaceStats,
    Place,
    ProfileRow,
    Pulse,
    RejectedItem,
    StoreStats,
    Tombstone,
)
from whichvariant.store.seals import (
    history_seal,
    holds,
    inbox_seal,
    name_seal,
    namespace_seal,
    profile_seal,
)
from whichvariant.store.sqlite_writes import ALIAS, FORWARD, FREE_ITEMS, TOMBSTONE

_KINDS: dict[int, Literal["alias", "forward", "tombstone"]] = {
    ALIAS: "alias",
    FORWARD: "forward",
    TOMBSTONE: "tombstone",
}

_FIND = (
    "SELECT number, version, updated_ms, seal, record FROM profiles WHERE id = ? AND namespace = ?"
)
_FIND_NUMBER = (
    "SELECT id, namespace, version, updated_ms, seal, record FROM profiles WHERE number = ?"
)


class Reads:
    """The reading statements of one connection. Only one thread uses them.

    ``numbers`` are the namespaces that are known to be in the file, shared by all connections.
    Methods raise apsw's errors, and ``StoreDamaged`` where a seal is broken.
    """

    def __init__(self, connection: apsw.Connection, numbers: dict[Namespace, int]) -> None:
        self.connection = connection
        # Rows are Any: what their columns are is known from the schema, or found out by the seal.
        self._execute: Callable[..., Any] = connection.cursor().execute
        self._numbers = numbers
        self._namespaces: dict[int, Namespace] = {}

    # ---- profiles --------------------------------------------------------------------------------

    def find(self, namespace: Namespace, key: str) -> Found:
        encoded = key_bytes(key)
        number = self._numbers.get(namespace)
        if number is not None:
            row = self._execute(_FIND, (encoded, number)).get
            if row is not None:
                profile, version, updated_ms, seal, record = row
                content = (profile, encoded, number, version, updated_ms, record)
                if not holds(seal, profile_seal, *content):
                    raise _damaged_profile(key)
                return ProfileRow(key, version, updated_ms, record)
        check_namespace(namespace)
        with self._snapshot():
            return self._find_slowly(namespace, key, encoded)

    def _find_slowly(self, namespace: Namespace, key: str, encoded: bytes) -> Found:
        number = self._number(namespace)
        if number is not None:
            # It may have been made since it was looked for.
            own = self._execute(
                "SELECT number FROM profiles WHERE id = ? AND namespace = ?", (encoded, number)
            ).get
            if own is not None:
                return self._profile(own, number, key, encoded)
            row = self._execute(
                "SELECT kind, profile, at_ms, seal FROM names WHERE key = ? AND namespace = ?",
                (encoded, number),
            ).get
            if row is not None:
                kind, profile, at_ms, seal = row
                if not holds(seal, name_seal, encoded, number, kind, profile, at_ms):
                    raise StoreDamaged(f"the key {key!r} is damaged in the store")
                if kind == TOMBSTONE:
                    return Tombstone(at_ms)
                return self._profile(profile, number, key, None)
        others = self._execute(
            "SELECT namespace FROM profiles WHERE id = ?1 UNION "
            "SELECT namespace FROM names WHERE key = ?1 AND kind != ?2",
            (encoded, TOMBSTONE),
        ).fetchall()
        if not others:
            return None
        return Elsewhere(tuple(sorted(self._namespace(other) for (other,) in others)))

    def _profile(
        self, profile: int, namespace: int, key: str, expected: bytes | None
    ) -> ProfileRow:
        row = self._execute(_FIND_NUMBER, (profile,)).get
        if row is None:
            raise StoreDamaged(f"the key {key!r} leads to no profile in the store")
        own_id, there, version, updated_ms, seal, record = row
        sealed = holds(seal, profile_seal, profile, own_id, there, version, updated_ms, record)
        if not sealed or there != namespace or expected not in (None, own_id):
            raise _damaged_profile(key)
        return ProfileRow(own_id.decode(), version, updated_ms, record)

    def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        with self._snapshot():
            number = self._profile_number(namespace, profile_id)
            if number is None:
                return []
            rows = self._execute(
                "SELECT sequence, data, seal FROM history WHERE profile = ? ORDER BY sequence",
                (number,),
            ).fetchall()
        for sequence, data, seal in rows:
            if not holds(seal, history_seal, number, sequence, data):
                raise StoreDamaged(f"the history of the profile {id!r} is damaged in the store")
        return [HistoryRow(sequence, data) for sequence, data, _ in rows]

    def aliases(self, namespace: Namespace, profile_id: str) -> list[str]:
        with self._snapshot():
            number = self._profile_number(namespace, profile_id)
            if number is None:
                return []
            rows = self._execute(
                "SELECT key, namespace, kind, at_ms, seal FROM names WHERE profile = ? "
                "ORDER BY key",
                (number,),
            ).fetchall()
        for key, there, kind, at_ms, seal in rows:
            if not holds(seal, name_seal, key, there, kind, number, at_ms):
                raise StoreDamaged(f"a key of the profile {id!r} is damaged in the store")
        return [key.decode() for key, _, kind, _, _ in rows if kind == ALIAS]

    def _profile_number(self, namespace: Namespace, profile_id: str) -> int | None:
        encoded = key_bytes(profile_id)
        check_namespace(namespace)
        space = self._number(namespace)
        if space is None:
            return None
        number: int | None = self._execute(
            "SELECT number FROM profiles WHERE id = ? AND namespace = ?", (encoded, space)
        ).get
        return number

    # ---- the inbox -------------------------------------------------------------------------------

    def namespace_numbers(self, namespaces: Iterable[Namespace]) -> str:
        """The numbers of those namespaces that are in the file, as a JSON list."""
        numbers = (self._number(namespace) for namespace in namespaces)
        return f"[{','.join(str(number) for number in numbers if number is not None)}]"

    def has_free_items(self, now_ms: int, skip: str) -> bool:
        """Whether there is something to claim in other namespaces than those in ``skip``."""
        free = self._execute(
            f"SELECT 1 {FREE_ITEMS} LIMIT 1",
            {"now_ms": now_ms, "tolerance_ms": CLOCK_TOLERANCE_MS, "skip": skip},
        ).get
        return free is not None

    def item(self, sequence: int, attempts: int) -> InboxItem | None:
        """One item of the inbox; None if it is not there any more."""
        row = self._execute(
            "SELECT namespace, received_ms, seal, payload FROM inbox WHERE sequence = ?",
            (sequence,),
        ).get
        if row is None:
            return None
        number, received_ms, seal, payload = row
        if not holds(seal, inbox_seal, number, received_ms, payload):
            raise StoreDamaged(f"item {sequence} of the inbox is damaged in the store")
        return InboxItem(sequence, self._namespace(number), payload, received_ms, attempts)

    def rejected(self, after: int, limit: int) -> list[RejectedItem]:
        rows = self._execute(
            "SELECT sequence, namespace, payload, received_ms, attempts, reason, rejected_ms, seal "
            "FROM rejected WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, _limit(limit)),
        ).fetchall()
        items = []
        for sequence, number, payload, received_ms, attempts, reason, rejected_ms, seal in rows:
            if not holds(seal, inbox_seal, number, received_ms, payload):
                raise StoreDamaged(f"the rejected item {sequence} is damaged in the store")
            items.append(
                RejectedItem(
                    sequence,
                    self._namespace(number),
                    payload,
                    received_ms,
                    attempts,
                    reason,
                    rejected_ms,
                )
            )
        return items

    # ---- everything ------------------------------------------------------------------------------

    def scan(
        self, namespace: Namespace | None, after: Place | None, limit: int
    ) -> list[tuple[Namespace, ProfileRow]]:
        with self._snapshot():
            found: list[tuple[Namespace, ProfileRow]] = []
            for space, number, start in self._spaces_from(namespace, after):
                # The index is in this order; the plus keeps SQLite from sorting all of a namespace.
                rows = self._execute(
                    "SELECT number, id, version, updated_ms, seal, record FROM profiles "
                    "WHERE id > ? AND +namespace = ? ORDER BY id LIMIT ?",
                    (start, number, _limit(limit) - len(found)),
                ).fetchall()
                for profile, own_id, version, updated_ms, seal, record in rows:
                    content = (profile, own_id, number, version, updated_ms, record)
                    if not holds(seal, profile_seal, *content):
                        raise _damaged_profile(own_id.decode(errors="backslashreplace"))
                    found.append((space, ProfileRow(own_id.decode(), version, updated_ms, record)))
                if len(found) >= limit:
                    break
            return found

    def scan_names(
        self, namespace: Namespace | None, after: Place | None, limit: int
    ) -> list[tuple[Namespace, Name]]:
        with self._snapshot():
            found: list[tuple[Namespace, Name]] = []
            for space, number, start in self._spaces_from(namespace, after):
                rows = self._execute(
                    "SELECT key, kind, profile, at_ms, names.seal, profiles.id "
                    "FROM names LEFT JOIN profiles ON profiles.number = names.profile "
                    "WHERE key > ? AND +names.namespace = ? ORDER BY key LIMIT ?",
                    (start, number, _limit(limit) - len(found)),
                ).fetchall()
                for key, kind, profile, at_ms, seal, led in rows:
                    sealed = holds(seal, name_seal, key, number, kind, profile, at_ms)
                    if not sealed or (led is None) != (kind == TOMBSTONE):
                        shown = key.decode(errors="backslashreplace")
                        raise StoreDamaged(f"the key {shown!r} is damaged in the store")
                    leads_to = "" if led is None else led.decode()
                    found.append((space, Name(key.decode(), _KINDS[kind], leads_to, at_ms)))
                if len(found) >= limit:
                    break
            return found

    def _spaces_from(
        self, namespace: Namespace | None, after: Place | None
    ) -> list[tuple[Namespace, int, bytes]]:
        """Namespaces to scan in their order, with their numbers and the key to begin behind."""
        if namespace is not None:
            check_namespace(namespace)
        rows = self._execute("SELECT number FROM namespaces").fetchall()
        spaces = sorted((self._namespace(number), number) for (number,) in rows)
        return [
            (space, number, after[1].encode() if after and space == after[0] else b"")
            for space, number in spaces
            if namespace in (None, space) and (after is None or space >= after[0])
        ]

    def stats(self, path: str, trouble: str) -> StoreStats:
        """Counts, and sizes of files that are there."""
        with self._snapshot():
            profiles = self._count("profiles")
            names = {kind: self._count("names", f"WHERE kind = {kind}") for kind in _KINDS}
            inbox = self._count("inbox")
            rejected = self._count("rejected")
            numbers = {
                number
                for counts in (profiles, *names.values(), inbox, rejected)
                for number in counts
            }
            rows = sorted(
                NamespaceStats(
                    self._namespace(number),
                    profiles[number],
                    names[ALIAS][number],
                    names[FORWARD][number],
                    names[TOMBSTONE][number],
                    inbox[number],
                    rejected[number],
                )
                for number in numbers
            )
            free = self.connection.pragma("freelist_count") * self.connection.pragma("page_size")
            version = self.connection.pragma("user_version")
        files = _sizes_bytes(path)
        engine = f"SQLite {apsw.sqlite_lib_version()}"
        return StoreStats(tuple(rows), files, free, engine, version, trouble)

    def pulse(self, path: str, trouble: str) -> Pulse:
        """How long the queue is, and how large the files."""
        with self._snapshot():
            waiting = self._execute("SELECT count(*) FROM inbox").get
            # The oldest by number: the time is no key, and to read it everywhere takes long.
            oldest = self._execute("SELECT received_ms FROM inbox ORDER BY sequence LIMIT 1").get
            rejected = self._execute("SELECT count(*) FROM rejected").get
        return Pulse(waiting, oldest, rejected, sum(_sizes_bytes(path).values()), trouble)

    def _count(self, table: str, condition: str = "") -> Counter[int]:
        rows = self._execute(
            f"SELECT namespace, count(*) FROM {table} {condition} GROUP BY namespace"
        ).fetchall()
        return Counter(dict(rows))

    # ---- namespaces ------------------------------------------------------------------------------

    def _number(self, namespace: Namespace) -> int | None:
        number = self._numbers.get(namespace)
        if number is None:
            names = (namespace.organization.encode(), namespace.environment.encode())
            row = self._execute(
                "SELECT number, seal FROM namespaces WHERE organization = ? AND environment = ?",
                names,
            ).get
            if row is None:
                return None
            number, seal = row
            if not holds(seal, namespace_seal, number, *names):
                raise StoreDamaged(f"the namespace {'/'.join(namespace)} is damaged in the store")
            self._numbers[namespace] = number
        return number

    def _namespace(self, number: int) -> Namespace:
        known = self._namespaces.get(number)
        if known is None:
            row = self._execute(
                "SELECT organization, environment, seal FROM namespaces WHERE number = ?",
                (number,),
            ).get
            if row is None or not holds(row[2], namespace_seal, number, row[0], row[1]):
                raise StoreDamaged(f"the namespace of number {number} is damaged in the store")
            known = Namespace(row[0].decode(), row[1].decode())
            self._namespaces[number] = known
        return known

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """One state of the file for all statements in it."""
        self._execute("BEGIN")
        try:
            yield
        finally:
            # Nothing was written, so there is nothing to keep; an error may have ended it already.
            if self.connection.in_transaction:
                self._execute("ROLLBACK")


def _limit(limit: int) -> int:
    # A negative limit would be none to SQLite.
    return min(max(0, limit), 1 << 31)


def _damaged_profile(key: str) -> StoreDamaged:
    return StoreDamaged(f"the profile {key!r} is damaged in the store")


def _sizes_bytes(path: str) -> dict[str, int]:
    """Sizes of the store's files, by path."""
    sizes = {}
    for beside in (path, f"{path}-wal", f"{path}-shm", f"{path}-lock"):
        with contextlib.suppress(FileNotFoundError):
            sizes[beside] = os.stat(beside).st_size
    return sizes

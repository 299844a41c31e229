"""An embedded store's rows as they are, for copies."""

from __future__ import annotations

from typing import Any

from whichvariant.errors import StoreDamaged
from whichvariant.store.protocol import InboxItem
from whichvariant.store.rows import Batch
from whichvariant.store.seals import (
    history_seal,
    inbox_seal,
    name_seal,
    profile_seal,
    secret_seal,
)
from whichvariant.store.sqlite_reads import Reads
from whichvariant.store.sqlite_writes import ALIAS, FORWARD, TOMBSTONE, Writes

MARK = "copying"
_KINDS = {"alias": ALIAS, "forward": FORWARD, "tombstone": TOMBSTONE}
_SET_META = "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)"


def read_items(reads: Reads, after: int, limit: int) -> list[InboxItem]:
    """Items of the inbox as they lie there, with their numbers above ``after``."""
    rows: list[Any] = reads.connection.execute(
        "SELECT inbox.sequence, coalesce(claims.attempts, 0) "
        "FROM inbox LEFT JOIN claims USING (sequence) "
        "WHERE inbox.sequence > ? ORDER BY inbox.sequence LIMIT ?",
        (after, limit),
    ).fetchall()
    items = [reads.item(sequence, attempts) for sequence, attempts in rows]
    return [item for item in items if item is not None]


def last_sequence(reads: Reads) -> int:
    """The last number that the inbox has given out."""
    last = reads.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'").get
    return last if isinstance(last, int) else 0


def is_empty(reads: Reads) -> bool:
    """Whether nothing was ever written."""
    for table in ("profiles", "names", "history", "inbox", "rejected"):
        if reads.connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").get:
            return False
    return last_sequence(reads) == 0


def read_mark(reads: Reads) -> str:
    """The mark of a store into which something is being copied."""
    value: Any = reads.connection.execute("SELECT value FROM meta WHERE name = ?", (MARK,)).get
    return "" if value is None else bytes(value).decode()


class RowWrites:
    """Statements of the writing connection; each method runs inside one of its transactions."""

    def __init__(self, writes: Writes) -> None:
        self._execute = writes.execute
        self._number_of = writes.number_now

    def begin_copy(self, argument: tuple[bytes, str]) -> None:
        """Take over a secret and carry a mark."""
        secret, mark = argument
        self._execute(_SET_META, ("secret", secret, secret_seal(secret)))
        self._execute(_SET_META, (MARK, mark.encode(), 0))

    def end_copy(self, _: object = None) -> None:
        """Carry no mark any more."""
        self._execute("DELETE FROM meta WHERE name = ?", (MARK,))

    def write_rows(self, argument: tuple[Batch, str]) -> None:
        """Write rows and the new mark. What is there already is left as it is."""
        batch, mark = argument
        self._write_profiles(batch)
        for space, name in batch.names:
            number, key = self._number_of(space), name.key.encode()
            kind = _KINDS[name.kind]
            profile = None
            if kind != TOMBSTONE:
                profile = self._profile(number, name.id.encode())
                if profile is None:
                    raise StoreDamaged(f"the key {name.key!r} leads to no profile in the source")
            seal = name_seal(key, number, kind, profile, name.at_ms)
            self._execute(
                "INSERT OR IGNORE INTO names VALUES (?, ?, ?, ?, ?, ?)",
                (key, number, kind, profile, name.at_ms, seal),
            )
        self._write_items(batch)
        if batch.last_sequence:
            self._execute(
                "INSERT INTO sqlite_sequence(name, seq) SELECT 'inbox', 0 "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'inbox')"
            )
            self._execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'inbox'",
                (batch.last_sequence,),
            )
        self._execute(_SET_META, (MARK, mark.encode(), 0))

    def _write_profiles(self, batch: Batch) -> None:
        last = self._execute("SELECT coalesce(max(number), 0) FROM profiles").get
        for space, row, history in batch.profiles:
            namespace, key = self._number_of(space), row.id.encode()
            if self._profile(namespace, key) is not None:
                continue
            last += 1
            content = (last, key, namespace, row.version, row.updated_ms)
            seal = profile_seal(*content, row.record)
            self._execute(
                "INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?)", (*content, seal, row.record)
            )
            for sequence, data in history:
                self._execute(
                    "INSERT INTO history VALUES (?, ?, ?, ?)",
                    (last, sequence, history_seal(last, sequence, data), data),
                )

    def _profile(self, namespace: int, key: bytes) -> int | None:
        number: int | None = self._execute(
            "SELECT number FROM profiles WHERE id = ? AND namespace = ?", (key, namespace)
        ).get
        return number

    def _write_items(self, batch: Batch) -> None:
        for item in batch.inbox:
            namespace = self._number_of(item.namespace)
            seal = inbox_seal(namespace, item.received_ms, item.payload)
            self._execute(
                "INSERT OR IGNORE INTO inbox VALUES (?, ?, ?, ?, ?)",
                (item.sequence, namespace, item.received_ms, seal, item.payload),
            )
            if item.attempts:
                self._execute(
                    "INSERT OR IGNORE INTO claims VALUES (?, NULL, 0, 0, ?)",
                    (item.sequence, item.attempts),
                )
        for one in batch.rejected:
            namespace = self._number_of(one.namespace)
            self._execute(
                "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    one.sequence,
                    namespace,
                    one.received_ms,
                    one.attempts,
                    one.rejected_ms,
                    one.reason,
                    inbox_seal(namespace, one.received_ms, one.payload),
                    one.payload,
                ),
            )

"""What a store writes, statement by statement, inside a transaction that ``GroupCommit`` began.

The usual write, one profile and one row of history, makes do with three of them; many such writes
at once go through ``sqlite_puts``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import apsw

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreConflict
from whichvariant.store.protocol import (
    CLOCK_TOLERANCE_MS,
    Erase,
    Merge,
    Put,
    Transaction,
)
from whichvariant.store.seals import (
    history_seal,
    inbox_seal,
    name_seal,
    namespace_seal,
    profile_seal,
)
from whichvariant.store.sqlite_puts import put_together, runs

ALIAS, FORWARD, TOMBSTONE = 1, 2, 3
_ARTICLE = {ALIAS: "an alias", FORWARD: "a forward", TOMBSTONE: "a tombstone"}


class Arrival(NamedTuple):
    """Something for the inbox."""

    namespace: Namespace
    payload: bytes
    received_ms: int


class ClaimRequest(NamedTuple):
    """The arguments of ``claim``. ``skip`` is a JSON list of the numbers of namespaces."""

    owner: str
    limit: int
    lease_ms: int
    now_ms: int
    skip: str


class Rejection(NamedTuple):
    """The arguments of ``reject``."""

    sequence: int
    reason: str
    now_ms: int


# A claim that seems to have been made in the future is from before the clock was put back.
FREE_ITEMS = """
    FROM inbox LEFT JOIN claims USING (sequence)
    WHERE (claims.owner IS NULL OR until_ms <= :now_ms OR made_ms > :now_ms + :tolerance_ms)
    AND inbox.namespace NOT IN (SELECT value FROM json_each(:skip))
"""


class Writes:
    """The statements of one writing connection. Only its thread uses them.

    ``numbers`` has the namespaces that are known to be in the file; other threads read it.
    """

    def __init__(self, connection: apsw.Connection, numbers: dict[Namespace, int]) -> None:
        self._connection = connection
        # Rows are Any: what their columns are is known from the schema.
        self.execute: Callable[..., Any] = connection.cursor().execute
        self._numbers = numbers
        self._new_numbers: dict[Namespace, int] = {}
        self._next_profile = 0
        self.erased = False

    # ---- around transactions ---------------------------------------------------------------------

    def begin(self, arguments: list[Any]) -> None:
        """At the start of a transaction: number the namespaces that are new.

        Before any request, because one that is taken back must not take a number with it that
        another one uses.
        """
        self._next_profile = 0
        for argument in arguments:
            if isinstance(argument, Transaction | Arrival):
                self.number_now(argument.namespace)

    def settled(self, committed: bool) -> None:
        """After a transaction."""
        if committed:
            self._numbers.update(self._new_numbers)
        self._new_numbers.clear()

    def _number(self, namespace: Namespace) -> int:
        names = (namespace.organization.encode(), namespace.environment.encode())
        known = self.execute(
            "SELECT number FROM namespaces WHERE organization = ? AND environment = ?", names
        ).get
        if known is None:
            known = self.execute("SELECT coalesce(max(number), 0) + 1 FROM namespaces").get
            self.execute(
                "INSERT INTO namespaces VALUES (?, ?, ?, ?)",
                (known, *names, namespace_seal(known, *names)),
            )
        assert isinstance(known, int)
        return known

    def _number_of(self, namespace: Namespace) -> int:
        number = self._numbers.get(namespace)
        return self._new_numbers[namespace] if number is None else number

    def number_now(self, namespace: Namespace) -> int:
        """The number of a namespace, which it gets in this transaction if it has none."""
        if namespace not in self._numbers and namespace not in self._new_numbers:
            self._new_numbers[namespace] = self._number(namespace)
        return self._number_of(namespace)

    # ---- transactions ----------------------------------------------------------------------------

    def transact(self, transaction: Transaction) -> None:
        """Apply a transaction, or raise ``StoreConflict`` and leave everything as it was."""
        namespace = self._number_of(transaction.namespace)
        if len(transaction.puts) == 1 and transaction.count(()) == len(transaction) - 2:
            # It has one expectation, which is checked before anything is written.
            self._put(namespace, transaction.puts[0])
            return
        self.execute("SAVEPOINT request")
        try:
            self._apply(namespace, transaction)
        except StoreConflict:
            self.execute("ROLLBACK TO request")
            # Numbers that were given out since are free again, but none is used twice meanwhile.
            self.execute("RELEASE request")
            raise
        self.execute("RELEASE request")

    def transact_each(self, transactions: Sequence[Transaction]) -> list[StoreConflict | None]:
        """As ``transact`` for each in turn. Gives, for each, None or why it was not applied."""
        answers: list[StoreConflict | None] = []
        for run in runs(transactions):
            again: Sequence[int] = range(len(run))
            outcomes: list[StoreConflict | None] = [None] * len(run)
            if len(run) > 1:
                namespace = self._number_of(run[0].namespace)
                puts = [transaction.puts[0] for transaction in run]
                again = put_together(self.execute, namespace, puts, self._next_number)
            for place in again:
                try:
                    self.transact(run[place])
                except StoreConflict as conflict:
                    outcomes[place] = conflict
            answers += outcomes
        return answers

    def _apply(self, namespace: int, transaction: Transaction) -> None:
        for put in transaction.puts:
            self._put(namespace, put)
        for link in transaction.links:
            self._attach(namespace, link.alias, ALIAS, link.id)
        for merge in transaction.merges:
            self._merge(namespace, merge)
        for erase in transaction.erases:
            self._erase(namespace, erase)
        for forward in transaction.forwards:
            self._attach(namespace, forward.source, FORWARD, forward.into)
        for burial in transaction.burials:
            self._expect_free(namespace, burial.id)
            self._add_name(namespace, burial.id.encode(), TOMBSTONE, None, burial.at_ms)
        for sequence in transaction.finishes:
            self.execute("DELETE FROM inbox WHERE sequence = ?", (sequence,))
            if self._connection.changes() == 0:
                raise StoreConflict(str(sequence), "the inbox has no such item (any more)")
            self.execute("DELETE FROM claims WHERE sequence = ?", (sequence,))

    def _put(self, namespace: int, put: Put) -> None:
        key = put.id.encode()
        version = put.expects + 1
        if put.expects == 0:
            self._expect_free(namespace, put.id)
            number = self._next_number()
            seal = profile_seal(number, key, namespace, version, put.updated_ms, put.record)
            self.execute(
                "INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, key, namespace, version, put.updated_ms, seal, put.record),
            )
        else:
            number = self._expect_version(namespace, put.id, put.expects)
            seal = profile_seal(number, key, namespace, version, put.updated_ms, put.record)
            self.execute(
                "UPDATE profiles SET version = ?, updated_ms = ?, seal = ?, record = ? "
                "WHERE number = ?",
                (version, put.updated_ms, seal, put.record, number),
            )
        if put.drop:
            self._drop(number, put.drop)
        for sequence, data in put.append:
            self.execute(
                "INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?)",
                (number, sequence, history_seal(number, sequence, data), data),
            )

    def _drop(self, number: int, drop: Sequence[int]) -> None:
        if isinstance(drop, range) and abs(drop.step) == 1:
            first, last = sorted((drop[0], drop[-1]))
            self.execute(
                "DELETE FROM history WHERE profile = ? AND sequence BETWEEN ? AND ?",
                (number, first, last),
            )
            return
        for sequence in drop:
            self.execute(
                "DELETE FROM history WHERE profile = ? AND sequence = ?", (number, sequence)
            )

    def _merge(self, namespace: int, merge: Merge) -> None:
        source = self._expect_version(namespace, merge.source, merge.expects)
        into = self._expect_profile(namespace, merge.into)
        if source == into:
            raise StoreConflict(merge.source, "a profile cannot be merged into itself")
        self._delete_profile(source)
        for key, kind, at_ms in self.execute(
            "SELECT key, kind, at_ms FROM names WHERE profile = ?", (source,)
        ).fetchall():
            self.execute(
                "UPDATE names SET profile = ?, seal = ? WHERE key = ? AND namespace = ?",
                (into, name_seal(key, namespace, kind, into, at_ms), key, namespace),
            )
        self._add_name(namespace, merge.source.encode(), FORWARD, into, 0)

    def _erase(self, namespace: int, erase: Erase) -> None:
        number = self._expect_version(namespace, erase.id, erase.expects)
        self._delete_profile(number)
        self.execute("DELETE FROM names WHERE profile = ? AND kind = ?", (number, ALIAS))
        forwards = self.execute("SELECT key FROM names WHERE profile = ?", (number,)).fetchall()
        for (key,) in forwards:
            self.execute(
                "UPDATE names SET kind = ?, profile = NULL, at_ms = ?, seal = ? "
                "WHERE key = ? AND namespace = ?",
                (
                    TOMBSTONE,
                    erase.at_ms,
                    name_seal(key, namespace, TOMBSTONE, None, erase.at_ms),
                    key,
                    namespace,
                ),
            )
        self._add_name(namespace, erase.id.encode(), TOMBSTONE, None, erase.at_ms)
        self.erased = True

    def _delete_profile(self, number: int) -> None:
        self.execute("DELETE FROM history WHERE profile = ?", (number,))
        self.execute("DELETE FROM profiles WHERE number = ?", (number,))

    def _attach(self, namespace: int, key: str, kind: int, profile_id: str) -> None:
        self._expect_free(namespace, key)
        number = self._expect_profile(namespace, profile_id)
        self._add_name(namespace, key.encode(), kind, number, 0)

    def _add_name(
        self, namespace: int, key: bytes, kind: int, profile: int | None, at_ms: int
    ) -> None:
        seal = name_seal(key, namespace, kind, profile, at_ms)
        self.execute(
            "INSERT INTO names VALUES (?, ?, ?, ?, ?, ?)",
            (key, namespace, kind, profile, at_ms, seal),
        )

    # ---- expectations ----------------------------------------------------------------------------

    def _expect_free(self, namespace: int, key: str) -> None:
        taken = self.execute(
            "SELECT 0 FROM profiles WHERE id = ?1 AND namespace = ?2 "
            "UNION ALL SELECT kind FROM names WHERE key = ?1 AND namespace = ?2",
            (key.encode(), namespace),
        ).get
        if taken is not None:
            article = _ARTICLE.get(taken)
            known = f"{article} with this key" if article else "a profile with this id"
            raise StoreConflict(key, f"there is {known}")

    def _expect_profile(self, namespace: int, profile_id: str) -> int:
        number = self.execute(
            "SELECT number FROM profiles WHERE id = ? AND namespace = ?",
            (profile_id.encode(), namespace),
        ).get
        if number is None:
            raise StoreConflict(profile_id, "there is no profile with this id")
        assert isinstance(number, int)
        return number

    def _expect_version(self, namespace: int, profile_id: str, expects: int) -> int:
        row = self.execute(
            "SELECT number, version FROM profiles WHERE id = ? AND namespace = ?",
            (profile_id.encode(), namespace),
        ).get
        if row is None:
            raise StoreConflict(profile_id, "there is no profile with this id")
        if row[1] != expects:
            raise StoreConflict(profile_id, f"the profile is at version {row[1]}, not {expects}")
        assert isinstance(row[0], int)
        return row[0]

    def _next_number(self) -> int:
        """A number for a new profile. A new transaction asks the file, a later profile does not."""
        if self._next_profile == 0:
            last = self.execute("SELECT coalesce(max(number), 0) FROM profiles").get
            assert isinstance(last, int)
            self._next_profile = last
        self._next_profile += 1
        return self._next_profile

    # ---- the inbox -------------------------------------------------------------------------------

    def enqueue(self, arrival: Arrival) -> int:
        """Put something into the inbox; its sequence number."""
        namespace = self._number_of(arrival.namespace)
        self.execute(
            "INSERT INTO inbox(namespace, received_ms, seal, payload) VALUES (?, ?, ?, ?)",
            (
                namespace,
                arrival.received_ms,
                inbox_seal(namespace, arrival.received_ms, arrival.payload),
                arrival.payload,
            ),
        )
        return self._connection.last_insert_rowid()

    def claim(self, request: ClaimRequest) -> list[tuple[int, int]]:
        """Take free items; (sequence, attempts) of each. Their payloads are read elsewhere."""
        free: list[tuple[int, int]] = self.execute(
            f"SELECT inbox.sequence, coalesce(attempts, 0) + 1 {FREE_ITEMS}"
            "ORDER BY inbox.sequence LIMIT :limit",
            {
                "now_ms": request.now_ms,
                "tolerance_ms": CLOCK_TOLERANCE_MS,
                "skip": request.skip,
                "limit": max(0, request.limit),
            },
        ).fetchall()
        until_ms = request.now_ms + request.lease_ms
        for sequence, attempts in free:
            self.execute(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)",
                (sequence, request.owner, request.now_ms, until_ms, attempts),
            )
        return free

    def release(self, argument: tuple[Sequence[int], str]) -> None:
        """Give back what an owner holds; how often it was claimed stays known."""
        sequences, owner = argument
        for sequence in sequences:
            self.execute(
                "UPDATE claims SET owner = NULL WHERE sequence = ? AND owner = ?",
                (sequence, owner),
            )

    def reject(self, rejection: Rejection) -> None:
        """Move an item to the rejected ones."""
        sequence, reason, now_ms = rejection
        self.execute(
            "INSERT INTO rejected SELECT inbox.sequence, namespace, received_ms, "
            "coalesce(attempts, 0), ?, ?, seal, payload "
            "FROM inbox LEFT JOIN claims USING (sequence) WHERE inbox.sequence = ?",
            (now_ms, reason, sequence),
        )
        self.execute("DELETE FROM inbox WHERE sequence = ?", (sequence,))
        self.execute("DELETE FROM claims WHERE sequence = ?", (sequence,))

    def requeue(self, sequences: Sequence[int]) -> int:
        """Move rejected items back."""
        moved = 0
        for sequence in sequences:
            self.execute(
                "INSERT INTO inbox SELECT sequence, namespace, received_ms, seal, payload "
                "FROM rejected WHERE sequence = ?",
                (sequence,),
            )
            self.execute("DELETE FROM rejected WHERE sequence = ?", (sequence,))
            moved += self._connection.changes()
        return moved

    def discard(self, sequences: Sequence[int]) -> int:
        """Delete rejected items."""
        deleted = 0
        for sequence in sequences:
            self.execute("DELETE FROM rejected WHERE sequence = ?", (sequence,))
            deleted += self._connection.changes()
        self.erased = self.erased or deleted > 0
        return deleted

    # ---- space -----------------------------------------------------------------------------------

    def give_back(self, pages: int) -> int:
        """Cut up to so many free pages off the file; how many are left."""
        self.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
        left = self._connection.pragma("freelist_count")
        assert isinstance(left, int)
        return left

    def rebuild(self, _: object = None) -> None:
        """Write all of the file anew; outside of any transaction.

        SQLite overwrites what is deleted, but where it splits a page it may leave copies of rows in
        the gap between the remaining ones.
        """
        # On the disk, because it may be more than there is memory.
        self._connection.pragma("temp_store", "FILE")
        try:
            self.execute("VACUUM")
        finally:
            self._connection.pragma("temp_store", "MEMORY")

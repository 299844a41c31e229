"""What a transaction makes of the rows it touches, computed before any of them is written.

All rows that matter are read and locked first. Then the transaction happens here, in the order that
the protocol gives, and what has changed in the end is written in few statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from whichvariant.errors import StoreConflict
from whichvariant.store.protocol import Erase, Merge, Put, Transaction

PROFILE, ALIAS, FORWARD, TOMBSTONE = 0, 1, 2, 3
_NAMED = {
    PROFILE: "a profile with this id",
    ALIAS: "an alias with this key",
    FORWARD: "a forward with this key",
    TOMBSTONE: "a tombstone with this key",
}
NO_PROFILE = "there is no profile with this id"
NO_ITEM = "the inbox has no such item (any more)"


class Entry(NamedTuple):
    """A row of ``wv_keys``. ``record`` is None where it was not read, as well."""

    kind: int
    version: int
    at_ms: int
    profile: bytes | None = None
    record: bytes | None = None


class Drop(NamedTuple):
    """Rows of one profile's history to delete: every ``step``-th from ``first`` to ``last``."""

    profile: bytes
    first: int
    last: int
    step: int


def conflict(key: bytes, message: str) -> StoreConflict:
    """The conflict over a key."""
    return StoreConflict(key.decode(), message)


def taken(key: bytes, kind: int) -> StoreConflict:
    """The conflict over a key that should be free."""
    return conflict(key, f"there is {_NAMED[kind]}")


def unexpected(key: bytes, entry: Entry | None, expects: int) -> StoreConflict:
    """The conflict over a profile that is not at the version that was expected, or not there."""
    if expects == 0 and entry is not None:
        return taken(key, entry.kind)
    if entry is None or entry.kind != PROFILE:
        return conflict(key, NO_PROFILE)
    return wrong_version(key, entry, expects)


def wrong_version(key: bytes, entry: Entry, expects: int) -> StoreConflict:
    """The conflict over a profile that is at another version."""
    return conflict(key, f"the profile is at version {entry.version}, not {expects}")


def mentioned(transaction: Transaction) -> list[bytes]:
    """Every key that a transaction speaks of, ascending."""
    keys = {put.id for put in transaction.puts}
    for link in transaction.links:
        keys |= {link.alias, link.id}
    for merge in transaction.merges:
        keys |= {merge.source, merge.into}
    keys |= {erase.id for erase in transaction.erases}
    for forward in transaction.forwards:
        keys |= {forward.source, forward.into}
    keys |= {burial.id for burial in transaction.burials}
    return sorted(key.encode() for key in keys)


def dissolved(transaction: Transaction) -> list[bytes]:
    """The profiles whose names will lead elsewhere, or nowhere."""
    ids = {merge.source for merge in transaction.merges}
    return sorted(key.encode() for key in ids | {erase.id for erase in transaction.erases})


class Changes:
    """A transaction, applied to the rows that were read.

    ``before`` has every key that `mentioned` gives, as far as there is a row, and every name of
    the profiles that `dissolved` gives; ``items`` are the numbers of those ``finishes`` that are
    in the inbox.

    Raises:
        StoreConflict: an expectation does not hold.
    """

    def __init__(
        self, transaction: Transaction, before: dict[bytes, Entry], items: Iterable[int]
    ) -> None:
        self.before = before
        self.after = dict(before)
        self.wiped: set[bytes] = set()
        self.drops: list[Drop] = []
        self.history: dict[bytes, dict[int, bytes]] = {}
        for put in transaction.puts:
            self._put(put)
        for link in transaction.links:
            self._lead(link.alias.encode(), ALIAS, link.id.encode())
        for merge in transaction.merges:
            self._merge(merge)
        for erase in transaction.erases:
            self._erase(erase)
        for forward in transaction.forwards:
            self._lead(forward.source.encode(), FORWARD, forward.into.encode())
        for burial in transaction.burials:
            key = burial.id.encode()
            self._expect_free(key)
            self.after[key] = Entry(TOMBSTONE, 0, burial.at_ms)
        left = set(items)
        for sequence in transaction.finishes:
            if sequence not in left:
                raise StoreConflict(str(sequence), NO_ITEM)
            left.remove(sequence)

    @property
    def changed(self) -> list[bytes]:
        """Keys whose rows are to be written or deleted, ascending."""
        keys = self.before.keys() | self.after.keys()
        return sorted(key for key in keys if self.before.get(key) != self.after.get(key))

    # ---- one thing each --------------------------------------------------------------------------

    def _put(self, put: Put) -> None:
        key = put.id.encode()
        if put.expects == 0:
            self._expect_free(key)
        else:
            self._expect_version(key, put.expects)
        self.after[key] = Entry(PROFILE, put.expects + 1, put.updated_ms, None, put.record)
        rows = self.history.setdefault(key, {})
        if put.drop:
            for sequence in [sequence for sequence in rows if sequence in put.drop]:
                del rows[sequence]
            if put.expects:
                self.drops += _drops(key, put.drop)
        rows.update(put.append)

    def _lead(self, key: bytes, kind: int, profile: bytes) -> None:
        self._expect_free(key)
        self._expect_profile(profile)
        self.after[key] = Entry(kind, 0, 0, profile)

    def _merge(self, merge: Merge) -> None:
        source, into = merge.source.encode(), merge.into.encode()
        self._expect_version(source, merge.expects)
        self._expect_profile(into)
        if source == into:
            raise conflict(source, "a profile cannot be merged into itself")
        self._wipe(source)
        for key in self._names_of(source):
            self.after[key] = self.after[key]._replace(profile=into)
        self.after[source] = Entry(FORWARD, 0, 0, into)

    def _erase(self, erase: Erase) -> None:
        gone = erase.id.encode()
        self._expect_version(gone, erase.expects)
        self._wipe(gone)
        for key in self._names_of(gone):
            if self.after[key].kind == ALIAS:
                del self.after[key]
            else:
                self.after[key] = Entry(TOMBSTONE, 0, erase.at_ms)
        self.after[gone] = Entry(TOMBSTONE, 0, erase.at_ms)

    def _names_of(self, profile: bytes) -> list[bytes]:
        return [key for key, entry in self.after.items() if entry.profile == profile]

    def _wipe(self, profile: bytes) -> None:
        self.history.pop(profile, None)
        if profile in self.before:
            self.wiped.add(profile)

    # ---- expectations ----------------------------------------------------------------------------

    def _expect_free(self, key: bytes) -> None:
        entry = self.after.get(key)
        if entry is not None:
            raise taken(key, entry.kind)

    def _expect_profile(self, key: bytes) -> Entry:
        entry = self.after.get(key)
        if entry is None or entry.kind != PROFILE:
            raise conflict(key, NO_PROFILE)
        return entry

    def _expect_version(self, key: bytes, expects: int) -> None:
        entry = self._expect_profile(key)
        if entry.version != expects:
            raise wrong_version(key, entry, expects)


def _drops(key: bytes, drop: tuple[int, ...] | range) -> list[Drop]:
    if isinstance(drop, range):
        first, last = sorted((drop[0], drop[-1]))
        return [Drop(key, first, last, abs(drop.step))]
    return [Drop(key, sequence, sequence, 1) for sequence in sorted(set(drop))]

"""What no store takes, checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterable

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreRefused
from whichvariant.store.protocol import (
    DATA_LIMIT_BYTES,
    KEY_LIMIT_BYTES,
    Put,
    Transaction,
)

# What an 8-byte signed integer holds, which is what every database has.
INTEGER_LIMIT = 2**63 - 1

# Characters of the reason for which an item was rejected; the rest is cut off.
REASON_LIMIT = 2000


def key_bytes(key: str) -> bytes:
    """The UTF-8 of a key.

    Raises:
        StoreRefused: it is empty, has lone surrogates, or is longer than ``KEY_LIMIT_BYTES``.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise StoreRefused(f"the key {key[:64]!r} has lone surrogates, which no text has") from None
    if not 0 < len(encoded) <= KEY_LIMIT_BYTES:
        if not encoded:
            raise StoreRefused("a key must not be empty")
        raise StoreRefused(
            f"the key {key[:64]!r}… has {len(encoded)} bytes in UTF-8; "
            f"the limit is {KEY_LIMIT_BYTES}"
        )
    return encoded


def check_namespace(namespace: Namespace) -> None:
    """Raise ``StoreRefused`` where a part of a namespace is no key."""
    key_bytes(namespace.organization)
    key_bytes(namespace.environment)


def check_data(data: bytes, noun: str) -> None:
    """Raise ``StoreRefused`` for more than ``DATA_LIMIT_BYTES``; ``noun`` says of what."""
    if len(data) > DATA_LIMIT_BYTES:
        raise StoreRefused(f"{noun} has {len(data)} bytes; the limit is {DATA_LIMIT_BYTES}")


def check_integer(value: int, noun: str) -> None:
    """Raise ``StoreRefused`` for an integer that does not fit into 8 bytes with a sign."""
    if not -INTEGER_LIMIT <= value <= INTEGER_LIMIT:
        raise StoreRefused(f"{noun} {value} does not fit into 8 bytes")


def check_sequences(sequences: Iterable[int]) -> None:
    """Raise ``StoreRefused`` where one is no sequence number that could have been given out."""
    for sequence in sequences:
        check_integer(sequence, "the sequence number")


def reason_text(reason: str) -> str:
    """A reason as it is kept: of bounded length, and text even where it quotes what is none."""
    return reason[:REASON_LIMIT].encode(errors="backslashreplace").decode()


def check_transaction(transaction: Transaction) -> None:
    """Raise ``StoreRefused`` where a transaction says something that no store takes.

    Afterwards it can fail only because of what is stored, or because of the medium.
    """
    check_namespace(transaction.namespace)
    for put in transaction.puts:
        _check_put(put)
    if len(transaction) - transaction.count(()) == 2 and transaction.puts:
        return  # the usual one: nothing but a namespace and puts
    for link in transaction.links:
        key_bytes(link.alias)
        key_bytes(link.id)
    for merge in transaction.merges:
        key_bytes(merge.source)
        key_bytes(merge.into)
    for erase in transaction.erases:
        key_bytes(erase.id)
        check_integer(erase.at_ms, "the time of an erasure,")
    for forward in transaction.forwards:
        key_bytes(forward.source)
        key_bytes(forward.into)
    for burial in transaction.burials:
        key_bytes(burial.id)
        check_integer(burial.at_ms, "the time of an erasure,")
    check_sequences(transaction.finishes)


def _check_put(put: Put) -> None:
    key_bytes(put.id)
    if len(put.record) > DATA_LIMIT_BYTES:
        check_data(put.record, f"the record of {put.id[:64]!r}")
    check_integer(put.updated_ms, "the time of an update,")
    for row in put.append:
        if not 0 <= row.sequence <= INTEGER_LIMIT:
            raise StoreRefused(f"the history's sequence number {row.sequence} is out of range")
        check_data(row.data, f"a row of the history of {put.id[:64]!r}")
    drop = put.drop
    if drop and not 0 <= min(drop[0], drop[-1]) <= max(drop[0], drop[-1]) <= INTEGER_LIMIT:
        raise StoreRefused(f"the history's sequence numbers {drop!r:.64} are out of range")

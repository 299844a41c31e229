"""Many writes of one profile each, in a few SQL statements together.

Every SQL statement gives up the interpreter's lock and has to get it back from a busy event loop,
which may take milliseconds; so the fewer a group has, the better, whatever their own time. All
values of a group go in as one array of byte strings: SQLite's ``carray`` gives one value a row, so
the numbers of a row stand before its data, as text of a fixed width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw
import orjson

from whichvariant.errors import StoreError
from whichvariant.store.protocol import Put, Transaction
from whichvariant.store.seals import history_seal, profile_seal

_FEWEST = 3
# What is put together is in memory twice.
_MOST_BYTES = 4 << 20

_FIND = """
    SELECT json_group_array(json_array(k.rowid, p.number, p.version, n.kind))
    FROM carray(?1) AS k
    LEFT JOIN profiles AS p ON p.id = k.value AND p.namespace = ?2
    LEFT JOIN names AS n ON n.key = k.value AND n.namespace = ?2
"""

_WRITE = """
    INSERT INTO profiles(number, id, namespace, version, updated_ms, seal, record)
    SELECT
        CAST(substr(value, 1, 20) AS INTEGER),
        substr(value, 85, CAST(substr(value, 81, 4) AS INTEGER)),
        ?2,
        CAST(substr(value, 21, 20) AS INTEGER),
        CAST(substr(value, 41, 20) AS INTEGER),
        CAST(substr(value, 61, 20) AS INTEGER),
        substr(value, 85 + CAST(substr(value, 81, 4) AS INTEGER))
    FROM carray(?1) WHERE true
    ON CONFLICT(number) DO UPDATE SET
        version = excluded.version,
        updated_ms = excluded.updated_ms,
        seal = excluded.seal,
        record = excluded.record
"""
_PROFILE = b"%020d%020d%020d%020d%04d%b%b"

_APPEND = """
    INSERT OR REPLACE INTO history
    SELECT
        CAST(substr(value, 1, 20) AS INTEGER),
        CAST(substr(value, 21, 20) AS INTEGER),
        CAST(substr(value, 41, 20) AS INTEGER),
        substr(value, 61)
    FROM carray(?1)
"""
_HISTORY = b"%020d%020d%020d%b"


def put_together(
    execute: Callable[..., Any],
    namespace: int,
    puts: Sequence[Put],
    next_number: Callable[[], int],
) -> list[int]:
    """Write profiles of one namespace whose keys differ and that drop nothing of their history.

    Gives the places of those that were *not* written, because what they expect does not hold.
    """
    keys = tuple([put.id.encode() for put in puts])
    found: str = execute(_FIND, (apsw.carray(keys), namespace)).get
    left: list[int] = []
    rows: list[bytes] = []
    history: list[bytes] = []
    for rowid, known, stored, kind in orjson.loads(found):
        place = rowid - 1
        put = puts[place]
        if kind is not None or (stored or 0) != put.expects:
            left.append(place)
            continue
        key, version = keys[place], put.expects + 1
        number = next_number() if known is None else known
        seal = profile_seal(number, key, namespace, version, put.updated_ms, put.record)
        rows.append(_PROFILE % (number, version, put.updated_ms, seal, len(key), key, put.record))
        history += [
            _HISTORY % (number, sequence, history_seal(number, sequence, data), data)
            for sequence, data in put.append
        ]
    if rows:
        execute(_WRITE, (apsw.carray(tuple(rows)), namespace))
    if history:
        execute(_APPEND, (apsw.carray(tuple(history)),))
    if len(rows) + len(left) != len(puts):
        raise StoreError("the file's index of profiles gave other rows than it was asked for")
    return left


def runs(transactions: Sequence[Transaction]) -> Iterator[list[Transaction]]:
    """Transactions in their order, in runs: one alone, or several for ``put_together``."""
    run: list[Transaction] = []
    keys: set[str] = set()
    size = 0
    for transaction in transactions:
        put = _only_put(transaction)
        if run and (
            put is None
            or put.id in keys
            or transaction.namespace != run[0].namespace
            or size > _MOST_BYTES
        ):
            yield from _finished(run)
            run, keys, size = [], set(), 0
        if put is None:
            yield [transaction]
            continue
        run.append(transaction)
        keys.add(put.id)
        size += len(put.record) + sum([len(row.data) for row in put.append])
    yield from _finished(run)


def _finished(run: list[Transaction]) -> Iterator[list[Transaction]]:
    if len(run) >= _FEWEST:
        yield run
    else:
        for transaction in run:
            yield [transaction]


def _only_put(transaction: Transaction) -> Put | None:
    """The one profile that a transaction writes, where it does nothing else."""
    if len(transaction.puts) != 1 or transaction.count(()) != len(transaction) - 2:
        return None
    put = transaction.puts[0]
    return None if put.drop else put

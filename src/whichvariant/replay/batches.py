"""Batches of decided visitors as a replay counts them: both sides, keys, rows that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whichvariant._core.visitors import visitor_keys
from whichvariant.columns import ColumnsResult

if TYPE_CHECKING:
    from whichvariant.columns.result import Variants

Keys = NDArray[np.uint64]
"""128-bit keys of visitors, [2, n]: high halves, low halves."""


@dataclass(frozen=True, slots=True)
class StoredSide:
    """What records say their visitors got: an index for each experience of the new configuration.

    ``others`` are selections of experiences that it lacks: (row, experience id, index).
    """

    variants: Variants
    others: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, decided by both sides. ``records`` are numbers within the unit."""

    old: ColumnsResult | StoredSide | None
    new: ColumnsResult
    keys: Keys
    records: NDArray[np.uint64]

    @classmethod
    def of(cls, old: ColumnsResult | StoredSide | None, new: ColumnsResult) -> Batch:
        """The rows of ``new``, which are those of ``old``."""
        return cls(old, new, keys_of(new), new.records)

    def take(self, keep: NDArray[np.bool_]) -> Batch:
        """Only some of the rows."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        old = self.old
        if isinstance(old, ColumnsResult):
            old = take_rows(old, rows)
        elif old is not None:
            places = {int(row): number for number, row in enumerate(rows)}
            others = tuple(
                (places[row], identifier, index)
                for row, identifier, index in old.others
                if row in places
            )
            old = StoredSide(_columns(old.variants, rows), others)
        return Batch(old, take_rows(self.new, rows), self.keys[:, rows], self.records[rows])


def keys_of(result: ColumnsResult) -> Keys:
    """The keys of all rows."""
    starts, ids = result.id_buffers
    return visitor_keys(starts, np.frombuffer(ids, np.uint8))


def take_rows(result: ColumnsResult, rows: NDArray[np.intp]) -> ColumnsResult:
    """The result for some of its rows, in ascending order."""
    starts, ids = result.id_buffers
    chosen = [ids[starts[row] : starts[row + 1]] for row in rows]
    new_starts = np.zeros(len(rows) + 1, np.uint64)
    np.cumsum([len(text) for text in chosen], out=new_starts[1:])
    bits = np.unpackbits(
        np.ascontiguousarray(result.audiences).view(np.uint8),
        axis=1,
        bitorder="little",
        count=result.n_rows,
    )[:, rows]
    words = (len(rows) + 63) // 64
    packed = np.zeros((len(bits), 8 * words), np.uint8)
    packed[:, : (len(rows) + 7) // 8] = np.packbits(bits, axis=1, bitorder="little")
    places = np.full(result.n_rows, -1, np.int64)
    places[rows] = np.arange(len(rows))
    held = np.stack([*result.sticky, result.drawn], axis=1)
    held = held[places[held[:, 0]] >= 0]
    held[:, 0] = places[held[:, 0]]
    return ColumnsResult(
        result.engine,
        _columns(result.variants, rows),
        packed.view(np.uint64),
        held,
        (new_starts, b"".join(chosen), result.records[rows]),
    )


def _columns(variants: Variants, rows: NDArray[np.intp]) -> Variants:
    # Indexing alone would leave the rows side by side, which nobody who reads columns expects.
    if variants.dtype == np.uint8:
        return np.ascontiguousarray(variants[:, rows], np.uint8)
    return np.ascontiguousarray(variants[:, rows], np.uint16)

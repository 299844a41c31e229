"""Counting batches into the report of a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichvariant._core.pair_tallies import count_common, tally_pairs
from whichvariant._core.visitors import count_shown
from whichvariant.columns import ColumnsResult
from whichvariant.replay.batches import Batch, StoredSide
from whichvariant.replay.cells import CellLayout
from whichvariant.replay.partial import SAMPLES, Partial, Sample
from whichvariant.replay.plan import CAUSES, Pair, Plan, Spot

Rows = NDArray[Any]

_AUDIENCE, _TRAFFIC, _STICKY, _DISTRIBUTION, _NEW, _REMOVED, _UNKNOWN = range(len(CAUSES))
_NONE = np.iinfo(np.uint64).max


class Tally:
    """Counts the batches of one unit into a `Partial`."""

    def __init__(self, plan: Plan, unit: int, *, samples: int = SAMPLES) -> None:
        self.plan = plan
        self.unit = unit
        self.partial = Partial.empty(plan)
        self._layout = CellLayout(plan)
        counts = self.partial.counts
        self._views = plan.views(counts)
        self._totals = self._views["totals"][0]
        self._cells = plan.stretch(counts, "cells")
        self._held_old = plan.stretch(counts, "held_old")
        self._held_new = plan.stretch(counts, "held_new")
        self._others = [
            (spot, self._views[name][number]) for name, number, spot in self._layout.others
        ]
        # The smallest keys of every cell; rows of earlier batches stand for their place in _kept.
        n_cells = len(self._cells)
        self._smallest = np.full((n_cells, samples), _NONE, np.uint64)
        self._rows = np.full((n_cells, samples), -1, np.int64)
        self._kept: list[Sample] = []
        self._firsts: list[int] = []
        # Who was in on neither side is no sample of anything.
        self._smallest[self._layout.first + self._layout.sizes - 1] = 0

    def add(self, batch: Batch) -> None:
        """Count every row of ``batch``."""
        n = batch.new.n_rows
        if n == 0:
            return
        old = _Side(batch.old, n)
        new = _Side(batch.new, n)
        moved = np.zeros(n, np.uint8)
        changed = np.zeros(n, np.uint8)
        self._count_pairs(batch, old=old, new=new, moved=moved, changed=changed)
        if isinstance(batch.old, StoredSide):
            for row, identifier, index in batch.old.others:
                by_index = self.partial.others.setdefault(identifier, {})
                by_index[index] = by_index.get(index, 0) + 1
                moved[row] = 1
        for spot, table in self._others:
            _count_spot(spot, table, old, new, changed)
        self._count_audiences(batch)
        _count_overlap(self._views["overlap_old"][0], old, self.plan.experiments_old)
        _count_overlap(self._views["overlap_new"][0], new, self.plan.experiments_new)
        self._totals += (n, int(moved.sum()), int(np.count_nonzero(changed)))
        self._add_digests(batch)

    def _add_digests(self, batch: Batch) -> None:
        add = ColumnsResult.add_digests
        partial = self.partial
        partial.new_digest = add(partial.new_digest, batch.new.digest())
        if isinstance(batch.old, ColumnsResult):
            partial.old_digest = add(partial.old_digest, batch.old.digest())
        partial.input_digest = add(
            partial.input_digest, (_sum(batch.keys[0]) << 64) + _sum(batch.keys[1])
        )

    # ---- experiences ----------------------------------------------------------------------------

    def _count_pairs(
        self,
        batch: Batch,
        *,
        old: _Side,
        new: _Side,
        moved: NDArray[np.uint8],
        changed: NDArray[np.uint8],
    ) -> None:
        layout = self._layout
        before, after = _sides_of_one_width(old, new)
        keys = np.ascontiguousarray(batch.keys[0])
        counts = np.empty(len(self._cells), np.int64)
        tally_pairs(
            before,
            after,
            layout.pairs,
            keys,
            _ascending(keys),
            counts,
            layout.shown_apart,
            self._smallest,
            self._rows,
            moved,
            changed,
        )
        self._cells += counts
        self._keep_samples(batch)
        for side, held, first in (
            (old, self._held_old, layout.held_old),
            (new, self._held_new, layout.held_new),
        ):
            if isinstance(side.result, ColumnsResult) and len(side.result.sticky[0]):
                _, experiences, indices = side.result.sticky
                held[...] += np.bincount(first[experiences] + indices, minlength=len(held))
        if old.result is None:
            return
        movers = np.where(layout.is_move, counts, 0)
        for number in np.flatnonzero(np.add.reduceat(movers, layout.first)).tolist():
            pair = self.plan.pairs[number]
            causes = self._views["causes"][number]
            of_pair = movers[layout.first[number] :][: layout.sizes[number]]
            if pair.old is None:
                causes[_NEW] += of_pair.reshape(causes.shape[1:])
            elif pair.new is None:
                causes[_REMOVED] += of_pair.reshape(causes.shape[1:])
            else:
                columns = _of_one_width(old.column(pair.old), new.column(pair.new))
                self._count_causes(
                    causes, pair, before=columns[0], after=columns[1], old=old, new=new
                )

    def _count_causes(
        self, causes: Rows, pair: Pair, *, before: Rows, after: Rows, old: _Side, new: _Side
    ) -> None:
        """Give every mover the cause: the first step of the evaluation at which sides differ."""
        absent = np.iinfo(before.dtype).max
        rows = np.flatnonzero(before != after)
        was, is_ = before[rows], after[rows]
        out = (was == absent) | (is_ == absent)
        held = old.is_held(pair.old, rows) != new.is_held(pair.new, rows)
        cause = np.where(out, _TRAFFIC, np.where(held, _STICKY, _DISTRIBUTION))
        matched_new = new.matched(pair.new, pair.audience_new)[rows]
        if isinstance(old.result, StoredSide):
            # Who came in was out for a reason that is not stored.
            cause[was == absent] = _UNKNOWN
            cause[(is_ == absent) & ~matched_new] = _AUDIENCE
        else:
            matched_old = old.matched(pair.old, pair.audience_old)[rows]
            cause[matched_old != matched_new] = _AUDIENCE
        _, n_rows, n_columns = causes.shape
        row = np.minimum(was, n_rows - 1).astype(np.int64)
        column = np.minimum(is_, n_columns - 1).astype(np.int64)
        flat = (cause * n_rows + row) * n_columns + column
        causes += np.bincount(flat, minlength=causes.size).reshape(causes.shape)

    def _keep_samples(self, batch: Batch) -> None:
        """Note who the rows of this batch are; their numbers then stand for places in _kept."""
        for cell, place in np.argwhere(self._rows >= 0).tolist():
            row = int(self._rows[cell, place])
            self._kept.append(
                Sample(
                    int(self._smallest[cell, place]),
                    batch.new.stable_id(row),
                    self.unit,
                    int(batch.records[row]),
                )
            )
            self._rows[cell, place] = -1 - len(self._kept)
            if place == 0:
                self._firsts.append(int(batch.records[row]))

    def take_firsts(self) -> list[int]:
        """The records that have become the first sample of a cell since the last call."""
        firsts, self._firsts = self._firsts, []
        return sorted(set(firsts))

    def finish(self) -> Partial:
        """The part, with its samples."""
        layout = self._layout
        for cell, place in np.argwhere(self._rows < -1).tolist():
            sample = self._kept[-2 - int(self._rows[cell, place])]
            number = int(np.searchsorted(layout.first, cell, "right")) - 1
            at = divmod(cell - int(layout.first[number]), self.plan.pairs[number].n_new + 1)
            self.partial.samples.setdefault((number, *at), []).append(sample)
        np.add.at(self.partial.counts, layout.shown_at, self._cells[layout.shown_of])
        return self.partial

    # ---- audiences ------------------------------------------------------------------------------

    def _count_audiences(self, batch: Batch) -> None:
        layout = self._layout
        is_ = _chosen_rows(batch.new.audiences, layout.audiences_new)
        was = np.zeros_like(is_)
        if isinstance(batch.old, ColumnsResult):
            was = _chosen_rows(batch.old.audiences, layout.audiences_old)
        for column, bits in enumerate((was, is_, is_ & ~was, was & ~is_)):
            self._views["audiences"][0][:, column] += np.bitwise_count(bits).sum(
                axis=1, dtype=np.int64
            )


class _Side:
    """One side of a batch: columns of indices, and what is asked of them more than once."""

    def __init__(self, result: ColumnsResult | StoredSide | None, n: int) -> None:
        self.result = result
        self._n = n
        self._matched: dict[int, NDArray[np.bool_]] = {}

    def column(self, experience: int | None) -> Rows:
        """The index of each row; the highest value of the type for none."""
        if self.result is None or experience is None:
            return np.full(self._n, 255, np.uint8)
        column: Rows = self.result.variants[experience]
        return column

    def matched(self, experience: int | None, audience: int) -> NDArray[np.bool_]:
        """Whether the experience's audience holds each row."""
        if audience not in self._matched:
            assert isinstance(self.result, ColumnsResult)
            assert experience is not None
            self._matched[audience] = self.result.matched(experience)
        return self._matched[audience]

    def is_held(self, experience: int | None, rows: Rows) -> NDArray[np.bool_]:
        """Whether each of ``rows`` keeps a stored choice."""
        marks = np.zeros(self._n, np.bool_)
        if experience is not None and isinstance(self.result, ColumnsResult):
            held, experiences, _ = self.result.sticky
            marks[held[experiences == experience]] = True
        held_rows: NDArray[np.bool_] = marks[rows]
        return held_rows


def _sides_of_one_width(old: _Side, new: _Side) -> tuple[Rows | None, Rows]:
    """The columns of both sides, all as uint8, or all as uint16 if some are."""
    assert new.result is not None
    if old.result is None:
        return None, new.result.variants
    return _of_one_width(old.result.variants, new.result.variants)


def _ascending(keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The rows in the order of their keys, equal keys in the order of rows."""
    order = np.argsort(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(keys, kind="stable")
    return order.astype(np.uint32)


def _chosen_rows(bits: NDArray[np.uint64], numbers: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Some rows of ``bits``; no bits for the number -1."""
    chosen = np.zeros((len(numbers), bits.shape[1]), np.uint64)
    there = numbers >= 0
    chosen[there] = bits[numbers[there]]
    return chosen


def _of_one_width(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both columns as uint8, or both as uint16 if one is."""
    if before.dtype == after.dtype:
        return before, after
    return _wide(before), _wide(after)


def _wide(column: Rows) -> Rows:
    if column.dtype == np.uint16:
        return column
    return np.where(column == 255, np.uint16(0xFFFF), column.astype(np.uint16))


def _count_spot(
    spot: Spot, table: Rows, old: _Side, new: _Side, changed: NDArray[np.uint8]
) -> None:
    """Count what is shown in one place, before and after: [old code, new code]."""
    is_compared = old.result is not None
    before_of = spot.old if is_compared else spot.new
    old = old if is_compared else new
    if len(before_of) <= 1 and len(spot.new) <= 1:
        before, codes_before = _only(before_of, old)
        after, codes_after = _only(spot.new, new)
        before, after = _of_one_width(before, after)
        count_shown(before, codes_before, after, codes_after, table, changed)
        return
    shown = _shown(spot.new, new)
    was_shown = shown if not is_compared else _shown(before_of, old)
    np.logical_or(changed, was_shown != shown, out=changed, casting="unsafe")
    pairs = was_shown.astype(np.int64) * len(spot.shown) + shown
    table += np.bincount(pairs, minlength=table.size).reshape(table.shape)


def _only(experiences: Sequence[tuple[int, Rows]], side: _Side) -> tuple[Rows, Rows]:
    """The column of the one experience that has a spot, and its codes."""
    if not experiences:
        return side.column(None), np.zeros(1, np.uint16)
    number, codes = experiences[0]
    return side.column(number), codes


def _shown(experiences: Sequence[tuple[int, Rows]], side: _Side) -> Rows:
    """Codes of what each row is shown: that of the first selected experience that has the spot."""
    shown: Rows | None = None
    for number, codes in reversed(experiences):
        column = side.column(number)
        mine = codes[column]
        if shown is not None:
            mine = np.where(column == np.iinfo(column.dtype).max, shown, mine)
        shown = mine
    return np.zeros(side._n, np.uint16) if shown is None else shown


def _count_overlap(table: Rows, side: _Side, experiments: Sequence[int]) -> None:
    """Count who is in two experiments at once; the diagonal counts who is in one."""
    if len(experiments) == 0 or side.result is None or isinstance(side.result, StoredSide):
        return
    variants = side.result.variants[list(experiments)]
    bits = np.packbits(variants != np.iinfo(variants.dtype).max, axis=1)
    words = np.zeros((len(bits), (bits.shape[1] + 7) // 8 * 8), np.uint8)
    words[:, : bits.shape[1]] = bits
    count_common(words.view(np.uint64), table)


def _sum(values: Rows) -> int:
    """The exact sum of 64-bit numbers, of which there may be 2**32."""
    low = int((values & np.uint64(0xFFFFFFFF)).sum())
    return (int((values >> np.uint64(32)).sum()) << 32) + low

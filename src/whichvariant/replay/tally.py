"""Counting batches into the report of a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichvariant._core.visitors import count_shown, tally
from whichvariant.columns import ColumnsResult
from whichvariant.replay.batches import Batch, StoredSide
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
        self._views = plan.views(self.partial.counts)
        self._totals = self._views["totals"][0]
        # The smallest keys of every cell; rows of earlier batches stand for their place in _kept.
        shapes = [view.shape for view in self._views["cells"]]
        self._smallest = [np.full((*shape, samples), _NONE, np.uint64) for shape in shapes]
        self._rows = [np.full((*shape, samples), -1, np.int64) for shape in shapes]
        self._kept: list[Sample] = []
        if samples:
            for smallest in self._smallest:
                # Who was in on neither side is no sample of anything.
                smallest[-1, -1, :] = 0

    def add(self, batch: Batch) -> None:
        """Count every row of ``batch``."""
        n = batch.new.n_rows
        if n == 0:
            return
        old = _Side(batch.old, n)
        new = _Side(batch.new, n)
        moved = np.zeros(n, np.uint8)
        changed = np.zeros(n, np.uint8)
        for number, pair in enumerate(self.plan.pairs):
            self._count_pair(number, pair, batch=batch, old=old, new=new, moved=moved)
        if isinstance(batch.old, StoredSide):
            for row, identifier, index in batch.old.others:
                by_index = self.partial.others.setdefault(identifier, {})
                by_index[index] = by_index.get(index, 0) + 1
                moved[row] = 1
        for spots, counts in (
            (self.plan.entries, self._views["entries"]),
            (self.plan.variables, self._views["variables"]),
        ):
            for spot, table in zip(spots, counts, strict=True):
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

    def _count_pair(
        self,
        number: int,
        pair: Pair,
        *,
        batch: Batch,
        old: _Side,
        new: _Side,
        moved: NDArray[np.uint8],
    ) -> None:
        before, after = _of_one_width(old.column(pair.old), new.column(pair.new))
        rows = self._rows[number]
        counts = np.zeros_like(self._views["cells"][number])
        tally(before, after, batch.keys[0], counts, self._smallest[number], rows, moved)
        self._views["cells"][number][...] += counts
        if (rows >= 0).any():
            self._keep_samples(rows, self._smallest[number], batch)
        for side, kept, e in (
            (old, self._views["held_old"][number], pair.old),
            (new, self._views["held_new"][number], pair.new),
        ):
            held = side.held_indices(e)
            if len(held):
                kept[...] += np.bincount(held, minlength=len(kept))
        if old.result is None:
            return
        movers = counts.copy()
        shared = min(pair.n_old, pair.n_new)
        movers[range(shared), range(shared)] = 0
        movers[-1, -1] = 0
        if not movers.any():
            return
        causes = self._views["causes"][number]
        if pair.old is None:
            causes[_NEW] += movers
        elif pair.new is None:
            causes[_REMOVED] += movers
        else:
            self._count_causes(causes, pair, before=before, after=after, old=old, new=new)

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

    def _keep_samples(self, rows: Rows, smallest: Rows, batch: Batch) -> None:
        """Note who the rows of this batch are; their numbers then stand for places in _kept."""
        for place in np.argwhere(rows >= 0):
            at = tuple(place.tolist())
            row = int(rows[at])
            self._kept.append(
                Sample(
                    int(smallest[at]),
                    batch.new.stable_id(row),
                    self.unit,
                    int(batch.records[row]),
                )
            )
            rows[at] = -1 - len(self._kept)

    def finish(self) -> Partial:
        """The part, with its samples."""
        for number, rows in enumerate(self._rows):
            for place in np.argwhere(rows < -1):
                a, b, _ = at = tuple(place.tolist())
                sample = self._kept[-2 - int(rows[at])]
                self.partial.samples.setdefault((number, a, b), []).append(sample)
        return self.partial

    # ---- audiences ------------------------------------------------------------------------------

    def _count_audiences(self, batch: Batch) -> None:
        table = self._views["audiences"][0]
        old = batch.old.audiences if isinstance(batch.old, ColumnsResult) else None
        new = batch.new.audiences
        nobody = np.zeros((new.shape[1]), np.uint64)
        for number, pair in enumerate(self.plan.audiences):
            was = nobody if pair.old is None or old is None else old[pair.old]
            is_ = nobody if pair.new is None else new[pair.new]
            table[number] += (_ones(was), _ones(is_), _ones(is_ & ~was), _ones(was & ~is_))


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

    def held_indices(self, experience: int | None) -> Rows:
        """The indices of the stored choices that hold for an experience."""
        if experience is None or not isinstance(self.result, ColumnsResult):
            return np.empty(0, np.int64)
        _, experiences, indices = self.result.sticky
        held: Rows = indices[experiences == experience]
        return held

    def is_held(self, experience: int | None, rows: Rows) -> NDArray[np.bool_]:
        """Whether each of ``rows`` keeps a stored choice."""
        marks = np.zeros(self._n, np.bool_)
        if experience is not None and isinstance(self.result, ColumnsResult):
            held, experiences, _ = self.result.sticky
            marks[held[experiences == experience]] = True
        held_rows: NDArray[np.bool_] = marks[rows]
        return held_rows


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
    present = words.view(np.uint64)
    for number, mine in enumerate(present):
        table[number, number:] += np.bitwise_count(mine & present[number:]).sum(
            axis=1, dtype=np.int64
        )


def _ones(words: Rows) -> int:
    return int(np.bitwise_count(words).sum())


def _sum(values: Rows) -> int:
    """The exact sum of 64-bit numbers, of which there may be 2**32."""
    low = int((values & np.uint64(0xFFFFFFFF)).sum())
    return (int((values >> np.uint64(32)).sum()) << 32) + low

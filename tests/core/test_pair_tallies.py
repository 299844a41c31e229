"""Pairs of columns counted with samples, beside counting row by row in Python."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from whichvariant._core.pair_tallies import count_common, tally_pairs

MOST = np.iinfo(np.uint64).max
SIZES = [(2, 3), (3, 2), (0, 2), (2, 0), (4, 4), (64, 2), (15, 15), (15, 16), (255, 0), (0, 255)]


def columns(random, kind, sizes, n):
    """Indices that are rare and frequent, and absence."""
    absent = np.iinfo(kind).max
    found = np.full((len(sizes), n), absent, kind)
    for number, size in enumerate(sizes):
        choices = [*range(size), *([absent] * 3), *([0] * 9 if size else [])]
        found[number] = random.choice(choices, n)
    return found


class Totals:
    """What `tally_pairs` counts, and the same in Python."""

    def __init__(self, sizes: list[tuple[int, int]], n_samples: int) -> None:
        self.sizes = sizes
        cells = sum((a + 1) * (b + 1) for a, b in sizes)
        self.pairs = np.array([(i, i, a, b) for i, (a, b) in enumerate(sizes)], np.int32)
        self.counts = np.zeros(cells, np.int64)
        self.smallest = np.full((cells, n_samples), MOST, np.uint64)
        self.rows = np.full((cells, n_samples), -1, np.int64)
        self.n_samples = n_samples

    def add(self, before: Any, after: Any, keys: Any, apart: Any) -> tuple[Any, Any]:
        n = after.shape[1]
        counts = np.full(len(self.counts), 77, np.int64)
        moved, changed = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        order = np.argsort(keys, kind="stable").astype(np.uint32)
        tally_pairs(
            before, after, self.pairs, keys, order, counts, apart, self.smallest, self.rows,
            moved, changed,
        )  # fmt: skip
        self.counts += counts
        return moved, changed


def cells_of(sizes, before, after):
    """For each pair and row: the cell, and whether the row moves."""
    first = 0
    for number, (a, b) in enumerate(sizes):
        old = np.minimum(before[number], a).astype(np.int64)
        new = np.minimum(after[number], b).astype(np.int64)
        is_move = np.where(old < a, old, -1) != np.where(new < b, new, -1)
        yield first + old * (b + 1) + new, is_move
        first += (a + 1) * (b + 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("lengths", [[1, 63, 64, 65], [5000, 3, 17000]])
def test_cells_moves_and_samples(kind, lengths):
    random = np.random.default_rng(len(lengths))
    totals = Totals(SIZES, 3)
    before_all, after_all, keys_all = [], [], []
    apart = random.choice([0, 0, 0, 1], len(totals.counts)).astype(np.uint8)
    for n in lengths:
        before = columns(random, kind, [a for a, _ in SIZES], n)
        after = columns(random, kind, [b for _, b in SIZES], n)
        keys = random.integers(0, 1 << 63, n, np.uint64)
        moved, changed = totals.add(before, after, keys, apart)
        found = list(cells_of(SIZES, before, after))
        assert moved.tolist() == np.any([m for _, m in found], axis=0).tolist()
        assert changed.tolist() == np.any([apart[c] for c, _ in found], axis=0).tolist()
        # The rows of samples are rows of this batch, with these very keys.
        for cell, place in np.argwhere(totals.rows >= 0).tolist():
            row = int(totals.rows[cell, place])
            assert keys[row] == totals.smallest[cell, place]
            assert any(int(c[row]) == cell for c, _ in found)
        totals.rows[totals.rows >= 0] = -2
        before_all.append(before)
        after_all.append(after)
        keys_all.append(keys)
    before, after = np.concatenate(before_all, axis=1), np.concatenate(after_all, axis=1)
    keys = np.concatenate(keys_all)
    wanted: Counter[int] = Counter()
    members: dict[int, list[int]] = {}
    for cells, _ in cells_of(SIZES, before, after):
        wanted.update(cells.tolist())
        for cell, key in zip(cells.tolist(), keys.tolist(), strict=True):
            members.setdefault(cell, []).append(key)
    assert {cell: n for cell, n in enumerate(totals.counts.tolist()) if n} == wanted
    for cell, smallest in enumerate(totals.smallest.tolist()):
        kept = sorted(members.get(cell, []))[: totals.n_samples]
        assert smallest == kept + [MOST] * (totals.n_samples - len(kept))


def test_a_side_without_an_experience_is_absent():
    after = np.array([[0, 1, 255, 1]], np.uint8)
    keys = np.arange(4, dtype=np.uint64)
    order = np.arange(4, dtype=np.uint32)
    for pair, wanted in (((-1, 0, 0, 2), [1, 2, 1]), ((0, -1, 2, 0), [1, 2, 1])):
        counts = np.zeros(3, np.int64)
        smallest, rows = np.full((3, 1), MOST, np.uint64), np.full((3, 1), -1, np.int64)
        moved, changed = np.zeros(4, np.uint8), np.zeros(4, np.uint8)
        tally_pairs(
            None if pair[0] < 0 else after, after, np.array([pair], np.int32), keys, order, counts,
            np.zeros(3, np.uint8), smallest, rows, moved, changed,
        )  # fmt: skip
        assert counts.tolist() == wanted
        assert moved.tolist() == [1, 1, 0, 1]
        assert rows.ravel().tolist() == [0, 1, 2]


def test_equal_keys_stay_in_the_order_of_rows():
    totals = Totals([(1, 1)], 2)
    column = np.zeros((1, 40), np.uint8)
    totals.add(column, column, np.full(40, 9, np.uint64), np.zeros(4, np.uint8))
    assert totals.rows[0].tolist() == [0, 1]
    totals = Totals([(1, 1)], 2)
    totals.add(column[:, :5], column[:, :5], np.full(5, 9, np.uint64), np.zeros(4, np.uint8))
    assert totals.rows[0].tolist() == [0, 1]


def test_no_samples_and_no_rows():
    totals = Totals([(1, 1)], 0)
    column = np.zeros((1, 4), np.uint8)
    totals.add(column, column, np.zeros(4, np.uint64), np.zeros(4, np.uint8))
    totals.add(column[:, :0], column[:, :0], np.zeros(0, np.uint64), np.zeros(4, np.uint8))
    assert totals.counts.tolist() == [4, 0, 0, 0]


def test_shapes_have_to_agree():
    column = np.zeros((1, 4), np.uint8)
    keys = np.zeros(4, np.uint64)
    order = np.arange(4, dtype=np.uint32)
    marks = np.zeros(4, np.uint8)

    def tally(before=column, pair=(0, 0, 1, 1), order=order, samples=4, n=4):
        tally_pairs(
            before, column, np.array([pair], np.int32), keys, order, np.zeros(4, np.int64),
            np.zeros(n, np.uint8), np.zeros((samples, 1), np.uint64),
            np.zeros((4, 1), np.int64), marks, marks,
        )  # fmt: skip

    tally()
    for message, wrong in (
        ("row", {"before": column[:, :3]}),
        ("row", {"order": order + 1}),
        ("pair", {"pair": (1, 0, 1, 1)}),
        ("pair", {"pair": (0, 1, 1, 1)}),
        ("pair", {"pair": (0, 0, -1, 1)}),
        ("samples", {"pair": (0, 0, 2, 1)}),
        ("samples", {"samples": 3}),
        ("samples", {"n": 3}),
        ("side by side", {"before": np.zeros((1, 8), np.uint8)[:, ::2]}),
    ):
        with pytest.raises(ValueError, match=message):
            tally(**wrong)


@pytest.mark.parametrize("n_words", [0, 1, 7, 8, 9, 256])
def test_common_bits(n_words):
    random = np.random.default_rng(n_words)
    bits = random.integers(0, MOST, (5, n_words), np.uint64, endpoint=True)
    counts = np.ones((5, 5), np.int64)
    count_common(bits, counts)
    for one, other in np.ndindex(5, 5):
        common = int(np.bitwise_count(bits[one] & bits[other]).sum())
        assert counts[one, other] == (1 + common if other >= one else 1)
    with pytest.raises(ValueError, match="count"):
        count_common(bits, counts[:4])

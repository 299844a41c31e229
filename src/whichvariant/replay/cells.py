"""The cells of all transition matrices side by side, and what follows from their counts alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whichvariant.replay.plan import Plan, Spot

Name = Literal["entries", "variables"]


class CellLayout:
    """Where the cells of each pair of experiences begin among all, and what they stand for.

    Attributes
    ----------
    pairs : ndarray of int32, [pair, 4]
        The experience before and after, -1 for none, and how many indices each has.
    first, sizes : ndarrays of int64, [pair]
        The first cell of each pair, and how many it has.
    is_move : ndarray of bool, [cell]
        Whether index and absence differ before and after.
    held_old, held_new : ndarrays of int64, [experience of that side]
        Where its held choices are counted among those of all pairs.
    audiences_old, audiences_new : ndarrays of intp, [audience pair]
        The number of the audience on that side, -1 for none.
    shown_of, shown_at : ndarrays of int64
        A spot that one pair alone fills needs no rows: the count of cell ``shown_of`` is part of
        the count at ``shown_at`` in the vector of the plan.
    shown_apart : ndarray of uint8, [cell]
        1 where such a spot shows something else after than before.
    others : list of (name, number, spot)
        The spots that several pairs fill.
    """

    def __init__(self, plan: Plan) -> None:
        sides = [(pair.old, pair.new, pair.n_old, pair.n_new) for pair in plan.pairs]
        self.pairs = np.array(
            [(-1 if old is None else old, -1 if new is None else new, n_old, n_new)
             for old, new, n_old, n_new in sides],
            np.int32,
        ).reshape(-1, 4)  # fmt: skip
        rows, columns = self.pairs[:, 2].astype(np.int64) + 1, self.pairs[:, 3].astype(np.int64) + 1
        self.sizes = rows * columns
        self.first = np.cumsum(self.sizes) - self.sizes
        self.is_move = np.concatenate(
            [np.zeros(0, np.bool_), *(_moves(n_old, n_new) for _, _, n_old, n_new in sides)]
        )
        self.held_old = _by_number(self.pairs[:, 0], np.cumsum(rows) - rows)
        self.held_new = _by_number(self.pairs[:, 1], np.cumsum(columns) - columns)
        self.audiences_old = _numbers(pair.old for pair in plan.audiences)
        self.audiences_new = _numbers(pair.new for pair in plan.audiences)
        self._route_spots(plan)

    def _route_spots(self, plan: Plan) -> None:
        self.shown_apart = np.zeros(len(self.is_move), np.uint8)
        self.others: list[tuple[Name, int, Spot]] = []
        of = [np.zeros(0, np.int64)]
        at = [np.zeros(0, np.int64)]
        names: tuple[tuple[Name, list[Spot]], ...] = (
            ("entries", plan.entries),
            ("variables", plan.variables),
        )
        for name, spots in names:
            start = plan.start(name)
            for number, spot in enumerate(spots):
                n = len(spot.shown)
                pair = self._only_pair(plan, spot)
                if pair is None:
                    self.others.append((name, number, spot))
                else:
                    old, new = self._codes(plan, spot, pair)
                    cells = np.arange(self.first[pair], self.first[pair] + self.sizes[pair])
                    of.append(cells)
                    at.append(start + old * n + new)
                    self.shown_apart[cells] |= old != new
                start += n * n
        self.shown_of = np.concatenate(of)
        self.shown_at = np.concatenate(at)

    def _only_pair(self, plan: Plan, spot: Spot) -> int | None:
        """The pair whose experiences alone have a spot, on either side; None for several."""
        old = spot.old if plan.against != "nothing" else []
        if len(old) > 1 or len(spot.new) > 1:
            return None
        pairs = {int(np.flatnonzero(self.pairs[:, 0] == number)[0]) for number, _ in old}
        pairs |= {int(np.flatnonzero(self.pairs[:, 1] == number)[0]) for number, _ in spot.new}
        return pairs.pop() if len(pairs) == 1 else None

    def _codes(
        self, plan: Plan, spot: Spot, pair: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What a spot shows before and after in each cell of its pair, as codes."""
        n_old, n_new = self.pairs[pair, 2:].tolist()
        after = np.tile(_shown(spot.new, n_new), n_old + 1)
        if plan.against == "nothing":
            return after, after
        return np.repeat(_shown(spot.old, n_old), n_new + 1), after


def _shown(experiences: list[tuple[int, NDArray[np.uint16]]], n: int) -> NDArray[np.int64]:
    """The codes of ``n`` indices of the only experience, and of none at the end."""
    codes = np.zeros(n + 1, np.int64)
    if experiences:
        codes[:n] = experiences[0][1][:n]
    return codes


def _moves(n_old: int, n_new: int) -> NDArray[np.bool_]:
    moves = np.ones((n_old + 1, n_new + 1), np.bool_)
    same = range(min(n_old, n_new))
    moves[same, same] = False
    moves[-1, -1] = False
    return moves.ravel()


def _by_number(numbers: NDArray[np.int32], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """``values`` in the order of ``numbers``, without those of -1."""
    found = np.zeros(int(numbers.max(initial=-1)) + 1, np.int64)
    found[numbers[numbers >= 0]] = values[numbers >= 0]
    return found


def _numbers(numbers: Iterable[int | None]) -> NDArray[np.intp]:
    return np.array([-1 if number is None else number for number in numbers], np.intp)

"""From who is eligible to what is seen, with exact probabilities.

A draw is a 32-bit hash, taken for uniform, and independent of every other draw. Traffic and
distribution are counts of hashes (docs/allocation.md), so the probability of an outcome is a whole
number of 2^64ths. Experiences whose ids the scheme reads as the same bytes have the same draws;
they are decided together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from typing import TypeAlias

from whichvariant._core.hashing import count_below, low_bytes
from whichvariant.combinations.page import Page
from whichvariant.compiler.buckets import HASHES, pieces
from whichvariant.contracts import Scheme
from whichvariant.errors import TooManyCombinations

Selected: TypeAlias = tuple[tuple[int, int], ...]
"""(experience number, index) of the experiences that are selected, ascending."""

_MOST_STATES = 200_000
_DRAWS = HASHES * HASHES
_NOBODY = 1 << 30  # the rank of a place that no selected experience fills


@dataclass(frozen=True, slots=True)
class _Chain:
    """Selected experiences, the last ones first."""

    before: _Chain | None
    selected: Selected


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way a page can look: its probability, and selected experiences that lead to it."""

    probability: Fraction
    selected: Selected


@dataclass(frozen=True, slots=True)
class _Split:
    """What draws say about one experience: hashes below ``traffic`` are in; ends and indices."""

    number: int
    traffic: int
    ends: tuple[tuple[int, int], ...]
    sticky: bool
    highest_index: int

    def index_at(self, h: int) -> int:
        return next(index for last, index in self.ends if h <= last)


class Outcomes:
    """What visitors can see on ``page``, given for which of its experiences they are eligible."""

    def __init__(self, page: Page) -> None:
        self._page = page
        configuration = page.configuration
        scheme = configuration.scheme
        by_draw: dict[bytes, list[_Split]] = {}
        for number in page.experiences:
            experience = configuration.experiences[number]
            split = _Split(
                number,
                count_below(scheme, experience.traffic),
                tuple(pieces(scheme, experience.distribution)),
                experience.sticky,
                experience.highest_index,
            )
            if split.traffic:
                by_draw.setdefault(_read_as(scheme, experience.id), []).append(split)
        self._groups = list(by_draw.values())
        self.drawn = frozenset(split.number for group in self._groups for split in group)
        """Numbers of the experiences that let anybody in."""
        # Of every experience: the places where it is a candidate, its rank there, and its codes.
        self._where: dict[int, list[tuple[int, int, tuple[int, ...]]]] = {}
        for position, place in enumerate(page.places):
            for rank, (number, codes) in enumerate(place.candidates):
                self._where.setdefault(number, []).append((position, rank, codes))

    def of(self, eligible: frozenset[int]) -> dict[tuple[int, ...], Outcome]:
        """Every reachable tuple of codes, one a place, with its outcome.

        Probability 0 is what only a stored choice of a sticky experience can bring about.
        """
        groups = [
            members
            for group in self._groups
            if (members := [split for split in group if split.number in eligible])
        ]
        states: dict[tuple[tuple[int, int], ...], tuple[int, _Chain | None]] = {
            ((_NOBODY, 0),) * len(self._page.places): (1, None)
        }
        for position, group in enumerate(groups):
            later = self._ranks_of(split for rest in groups[position + 1 :] for split in rest)
            drawn = list(_outcomes_of(group))
            after: dict[tuple[tuple[int, int], ...], tuple[int, _Chain | None]] = {}
            for state, (weight, chain) in states.items():
                for selected, more in drawn:
                    reached = self._after(state, selected, later)
                    known = after.get(reached)
                    total = weight * more
                    if known is None:
                        after[reached] = total, _Chain(chain, selected)
                    elif not known[0]:
                        # What can be drawn is a better example than what can only be stored.
                        after[reached] = total, _Chain(chain, selected) if total else known[1]
                    else:
                        after[reached] = known[0] + total, known[1]
                if len(after) > _MOST_STATES:
                    raise TooManyCombinations(
                        f"more than {_MOST_STATES:,} combinations: fewer entries have fewer"
                    )
            states = after
        whole = _DRAWS ** len(groups)
        return {
            tuple(code for _, code in state): Outcome(Fraction(weight, whole), _unchained(chain))
            for state, (weight, chain) in states.items()
        }

    def _ranks_of(self, splits: Iterable[_Split]) -> list[int]:
        """Per place: the best rank of these experiences."""
        best = [_NOBODY] * len(self._page.places)
        for split in splits:
            for place, rank, _ in self._where.get(split.number, ()):
                best[place] = min(best[place], rank)
        return best

    def _after(
        self,
        state: tuple[tuple[int, int], ...],
        selected: Selected,
        later: Sequence[int],
    ) -> tuple[tuple[int, int], ...]:
        places = list(state)
        for number, index in selected:
            for place, rank, codes in self._where[number]:
                if rank < places[place][0]:
                    places[place] = rank, codes[index]
        # A rank is only of interest while something better can come.
        return tuple(
            (rank if best < rank else -1, code)
            for (rank, code), best in zip(places, later, strict=True)
        )


def _read_as(scheme: Scheme, identifier: str) -> bytes:
    """What of an experience's id its draws depend on."""
    return low_bytes(identifier) if scheme == "murmur3" else identifier.encode()


def _unchained(chain: _Chain | None) -> Selected:
    found: list[tuple[int, int]] = []
    while chain is not None:
        found += chain.selected
        chain = chain.before
    return tuple(sorted(found))


def _outcomes_of(group: Sequence[_Split]) -> Iterator[tuple[Selected, int]]:
    """What one pair of draws can select of experiences that share it, with counts of hash pairs."""
    found: dict[Selected, int] = {}
    let_in: dict[tuple[_Split, ...], int] = {}
    for low, high in pairwise(sorted({0, HASHES, *(split.traffic for split in group)})):
        inside = tuple(split for split in group if low < split.traffic)
        let_in[inside] = let_in.get(inside, 0) + high - low
    ends = sorted({-1, *(last for split in group for last, _ in split.ends)})
    for inside, hashes in let_in.items():
        for before, last in pairwise(ends):
            selected = tuple((split.number, split.index_at(last)) for split in inside)
            found[selected] = found.get(selected, 0) + hashes * (last - before)
    for inside in let_in:
        # A stored choice may be any index that a sticky experience has.
        for before, last in pairwise(ends):
            del before
            held = (
                range(split.highest_index + 1) if split.sticky else (split.index_at(last),)
                for split in inside
            )
            for indices in product(*held):
                numbers = (split.number for split in inside)
                found.setdefault(tuple(zip(numbers, indices, strict=True)), 0)
    return iter(found.items())

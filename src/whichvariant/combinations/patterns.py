"""Which audiences can match together: every pattern that some visitor can have, with an example.

Rules become formulas over leaves. Slot by slot, the cells that one attribute can be in decide its
leaves, and what is left of all formulas is carried on, once for each different remainder. Slots are
independent of one another, with one exception: an attribute below another one (``traits.a.b``,
``traits.a``) is there only where the upper one is an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from whichvariant import clock
from whichvariant._core.evaluate_one import Evaluator
from whichvariant.combinations.cells import MISSING, Cell, Slot
from whichvariant.combinations.formulas import TRUE, Formulas
from whichvariant.compiler import build_program, compile_tables
from whichvariant.compiler.compilation import Numbering
from whichvariant.compiler.decisions import comparison_leaf
from whichvariant.compiler.leaves import Leaf
from whichvariant.contracts import (
    Audience,
    Configuration,
    Counter,
    CounterTest,
    Not,
    Path,
    Rule,
    Test,
)
from whichvariant.errors import EventError, ProfileError, TooManyCombinations
from whichvariant.profiles.times import parse_time

_MOST_STEPS = 400_000

Remainders: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """What to hand to `Engine.select` for a visitor with a pattern; ``stableId`` is left open."""

    profile: dict[str, Any]
    device: str | None
    counts: list[int] | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Audiences of a page that match together, all others of the page not matching.

    ``share`` is the part of visitors who have it, None where nobody said. ``proven`` tells that
    some visitor does: the kernel has decided so for ``example``, or for somebody of a sample.
    """

    audiences: tuple[str, ...]
    share: Fraction | None
    proven: bool
    example: Example | None


@dataclass(frozen=True, slots=True)
class _Link:
    """How a state was come to: one slot in one cell, and what was before."""

    before: _Link | None
    path: Path
    witness: Any


_States: TypeAlias = dict[Remainders, _Link | None]


def find_patterns(
    engine: Evaluator, configuration: Configuration, audiences: Sequence[int], limit: int
) -> dict[frozenset[int], tuple[bool, Example | None]]:
    """The sets of ``audiences`` (numbers in ``configuration``) that can match together.

    All that can are found. To each belongs whether the kernel has confirmed it, and for whom.

    Raises
    ------
    TooManyCombinations
        There are more than ``limit``, or finding them takes too long.
    """
    search = _Search(configuration, [configuration.audiences[number] for number in audiences])
    found = {}
    for remainders, link in search.run(limit).items():
        pattern = frozenset(
            number for number, left in zip(audiences, remainders, strict=True) if left == TRUE
        )
        example = search.example(link)
        matching = set(_ask(engine, example))
        proven = all(
            (configuration.audiences[number].id in matching) == (number in pattern)
            for number in audiences
        )
        found[pattern] = proven, example if proven else None
    return found


def _ask(evaluator: Evaluator, example: Example) -> list[str]:
    """The audiences of an example."""
    profile = {"stableId": "", **example.profile}
    return evaluator.select(profile, device=example.device, counts=example.counts).audiences


class _Search:
    """One search, over the leaves of some audiences."""

    def __init__(self, configuration: Configuration, audiences: Sequence[Audience]) -> None:
        self._counters = Numbering(configuration).counters
        self._formulas = Formulas()
        self._numbers: dict[Leaf, int] = {}
        self._comparisons: list[Rule] = []
        self._start = tuple(
            self._formulas.of_rule(audience.rule, self._leaf_of) for audience in audiences
        )
        self._steps = 0
        asking = frozenset().union(*(self._formulas.leaves(one) for one in self._start))
        by_path: dict[Path, dict[int, Leaf]] = {}
        for leaf, number in self._numbers.items():
            # A leaf that no formula depends on was simplified away.
            if number in asking:
                by_path.setdefault(leaf.path, {})[number] = leaf
        self._probe = _KernelProbe(self._comparisons, self._counters)
        self._slots = {path: Slot(path, by_path[path], self._probe) for path in sorted(by_path)}
        self._below: dict[Path, list[Path]] = {path: [] for path in self._slots}
        tops: list[Path] = []
        for path in self._slots:
            above = next(
                (path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in self._slots), None
            )
            (tops if above is None else self._below[above]).append(path)
        # What leaves few possibilities comes first.
        self._tops = sorted(tops, key=lambda path: (len(self._slots[path].cells), path))

    def _leaf_of(self, comparison: Test | CounterTest) -> tuple[int, bool]:
        leaf, negated = comparison_leaf(comparison, self._counters)
        number = self._numbers.setdefault(leaf, len(self._numbers))
        if number == len(self._comparisons):
            self._comparisons.append(Not(comparison) if negated else comparison)
        return number, negated

    # ---- walking --------------------------------------------------------------------------------

    def run(self, limit: int) -> _States:
        """Every pattern, as a formula TRUE or FALSE for each audience."""
        states: _States = {self._start: None}
        for path in self._tops:
            states = self._with_slot(path, states)
        if len(states) > limit:
            raise TooManyCombinations(
                f"{len(states):,} patterns of audiences, more than {limit:,}: fewer entries, or a"
                " higher limit"
            )
        return states

    def _with_slot(self, path: Path, states: _States) -> _States:
        slot = self._slots[path]
        after = self._with_cells(slot, slot.cells, states)
        if not self._below[path]:
            return after
        # Either there is no object, and nothing below, or there is one.
        for below in self._all_below(path):
            after = self._with_cells(self._slots[below], self._slots[below].cells[:1], after)
        objects = self._with_cells(slot, [Cell({}, self._probe(path, {}))], states)
        for below in self._below[path]:
            objects = self._with_slot(below, objects)
        return {**objects, **after}

    def _all_below(self, path: Path) -> Iterator[Path]:
        for below in self._below[path]:
            yield below
            yield from self._all_below(below)

    def _with_cells(self, slot: Slot, cells: Sequence[Cell], states: _States) -> _States:
        """All that is left of ``states`` when the slot is in any of ``cells``."""
        masks = slot.masks(cells)
        whole = (1 << len(cells)) - 1
        memos: dict[int, tuple[dict[int, bool], dict[int, int]]] = {}
        result: _States = {}
        for state, link in states.items():
            for remainders, mask in self._explore(state, whole, masks, memos):
                if remainders not in result:
                    witness = cells[(mask & -mask).bit_length() - 1].witness
                    result[remainders] = _Link(link, slot.path, witness)
        return result

    def _explore(
        self,
        start: Remainders,
        whole: int,
        masks: Mapping[int, tuple[int, int]],
        memos: dict[int, tuple[dict[int, bool], dict[int, int]]],
    ) -> Iterator[tuple[Remainders, int]]:
        """What can be left of ``start``, each with the cells (as bits) that lead to it.

        Leaves are tried only where a formula still depends on them, and only as the cells allow.
        """
        formulas = self._formulas
        stack = [(start, whole)]
        seen = {(start, whole)}
        while stack:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise TooManyCombinations(
                    "the audiences of this page depend on one another in too many ways to list;"
                    " fewer entries have fewer audiences"
                )
            state, mask = stack.pop()
            if mask not in memos:
                memos[mask] = _decided(masks, mask), {}
            known, memo = memos[mask]
            state = tuple(formulas.restrict(one, known, memo) for one in state)
            leaf = next(
                (n for one in state for n in sorted(formulas.leaves(one)) if n in masks), None
            )
            if leaf is None:
                yield state, mask
                continue
            for value in (False, True):
                rest = mask & masks[leaf][value]
                left = tuple(formulas.restrict(one, {leaf: value}) for one in state)
                if rest and (left, rest) not in seen:
                    seen.add((left, rest))
                    stack.append((left, rest))

    # ---- examples -------------------------------------------------------------------------------

    def example(self, link: _Link | None) -> Example:
        """The visitor whose slots are in the cells that led to a state."""
        values: list[tuple[Path, Any]] = []
        while link is not None:
            values.append((link.path, link.witness))
            link = link.before
        return visitor(reversed(values), len(self._counters))


def _decided(masks: Mapping[int, tuple[int, int]], mask: int) -> dict[int, bool]:
    """The leaves of which all cells in ``mask`` say the same."""
    return {
        leaf: bool(true & mask)
        for leaf, (false, true) in masks.items()
        if not (false & mask and true & mask)
    }


def visitor(values: Iterable[tuple[Path, Any]], n_counters: int) -> Example:
    """A visitor with these values; of two paths the upper one comes first."""
    profile: dict[str, Any] = {}
    device = None
    counts = [0] * n_counters
    for path, value in values:
        if value is MISSING:
            continue
        if path[0] == "activity":
            counts[int(path[1])] = value
        elif path[0] == "device":
            device = value
        else:
            place = profile
            for segment in path[:-1]:
                place = place.setdefault(segment, {})
            place[path[-1]] = {} if value == {} else value
    return Example(profile, device, counts if any(counts) else None)


class _KernelProbe:
    """A program with an audience for every leaf, to ask which leaves are true of a value."""

    def __init__(self, comparisons: Sequence[Rule], counters: Mapping[Counter, int]) -> None:
        audiences = tuple(
            Audience(f"{number:06d}", rule) for number, rule in enumerate(comparisons)
        )
        configuration = Configuration("murmur3", audiences, (), (), "")
        own = Numbering(configuration).counters
        self._counters = {number: own[c] for c, number in counters.items() if c in own}
        self._evaluator = Evaluator(
            build_program(compile_tables(configuration)),
            ProfileError,
            EventError,
            clock.now_ms,
            parse_time,
        )
        self._known: dict[tuple[Path, str], frozenset[int]] = {}

    def __call__(self, path: Path, value: Any) -> frozenset[int]:
        known = (path, repr(value))
        if known not in self._known:
            # The counters of the probe have numbers of their own.
            if path[0] == "activity":
                path = ("activity", str(self._counters[int(path[1])]))
            example = visitor([(path, value)], len(self._counters))
            self._known[known] = frozenset(map(int, _ask(self._evaluator, example)))
        return self._known[known]

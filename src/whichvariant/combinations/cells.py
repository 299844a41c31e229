"""What one attribute can be to the leaves that read it: its cells.

A *cell* is a set of values of which the same leaves are true. The cells of a slot cover all values
there are, the missing one included. A cell has a value for an example, its *witness*, and what is
true of that value is asked of the kernel: nothing here compares.

Exact, with a witness for each cell, are slots whose leaves are thresholds, equality, lists and
existence; text operations too, as long as no leaf of the slot reads numbers. Otherwise cells can be
more than there are: a pattern (`matches`) may be true or false of every text that no other leaf
names, and of a text that spells a number every number is thought possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

from whichvariant._core.leaf_table import OPERATIONS, numeric_text
from whichvariant.combinations.texts import Word, words
from whichvariant.compiler.leaves import Leaf
from whichvariant.contracts import Path


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""The witness of an attribute that is not there."""

_DEVICES = ("desktop", "mobile", "tablet", "unknown")
_NAMES = {number: name for name, number in OPERATIONS.items()}
_TEXT_OPERATIONS = frozenset(("contains", "startsWith", "endsWith"))
_THRESHOLDS = frozenset(("greaterThanInclusive", "lessThan"))
_LARGEST = math.nextafter(math.inf, 0)
_LARGEST_COUNT = 1 << 53


@dataclass(frozen=True, slots=True)
class Cell:
    """Values of which the leaves ``true`` are true; those in ``open`` may be either."""

    witness: Any
    true: frozenset[int]
    open: frozenset[int] = frozenset()


class Slot:
    """One attribute path, its leaves by number, and its cells, the missing one first.

    An activity counter is never missing.
    """

    def __init__(self, path: Path, leaves: Mapping[int, Leaf], probe: Probe) -> None:
        self.path = path
        self.leaves = frozenset(leaves)
        found: dict[tuple[frozenset[int], frozenset[int]], Cell] = {}
        for cell in _Reader(path, leaves, probe).cells():
            found.setdefault((cell.true, cell.open), cell)
        self.cells = list(found.values())

    def masks(self, cells: Sequence[Cell]) -> dict[int, tuple[int, int]]:
        """For each leaf: the cells, as bits, in which it can be false, and can be true."""
        masks = {}
        for leaf in self.leaves:
            false = true = 0
            for number, cell in enumerate(cells):
                if leaf in cell.open:
                    false |= 1 << number
                    true |= 1 << number
                elif leaf in cell.true:
                    true |= 1 << number
                else:
                    false |= 1 << number
            masks[leaf] = false, true
        return masks


class Probe(Protocol):
    """Asks the kernel which leaves of one path are true of a value."""

    def __call__(self, path: Path, value: Any) -> frozenset[int]:
        """The numbers of the leaves that are true."""
        ...


class _Reader:
    """The cells of one slot."""

    def __init__(self, path: Path, leaves: Mapping[int, Leaf], probe: Probe) -> None:
        self._path = path
        self._probe = probe
        operations = {number: _NAMES[leaf.operation] for number, leaf in leaves.items()}
        self._patterns = frozenset(n for n, name in operations.items() if name == "matches")
        self._text_leaves = [n for n, name in operations.items() if name in _TEXT_OPERATIONS]
        self._operations: list[Any] = [(operations[n], leaves[n].text) for n in self._text_leaves]
        members = [member for leaf in leaves.values() for member in leaf.members]
        self._members = sorted({text for kind, text, _ in members if kind == 0})
        numbers = {number for kind, _, number in members if kind == 1}
        numbers |= {leaf.threshold for n, leaf in leaves.items() if operations[n] in _THRESHOLDS}
        self._reads_numbers = bool(numbers)
        # A number equals a text that spells it.
        spelt = [numeric_text(member) for member in self._members]
        numbers |= {number for number in spelt if number is not None}
        self._numbers = sorted(number for number in numbers if math.isfinite(number))

    def cells(self) -> Iterator[Cell]:
        if self._path[0] == "activity":
            for count in self._counts():
                yield self._exactly(count)
            return
        yield self._exactly(MISSING)
        if self._path == ("device", "type"):
            for device in _DEVICES:
                yield self._exactly(device)
            return
        for member in self._members:
            yield self._exactly(member)
        for number in self._numbers:
            yield self._exactly(number)
        if self._operations:
            yield from self._texts_and_numbers()
            return
        yield Cell(*self._any_text(self._other_text()))
        for number in self._between():
            yield Cell(*self._any_text(number))
        for number in (*self._numbers, *self._between()):
            yield Cell(*self._any_text(self._spelt(number)))

    def _exactly(self, value: Any) -> Cell:
        return Cell(value, self._probe(self._path, value))

    def _any_text(self, value: Any) -> tuple[Any, frozenset[int], frozenset[int]]:
        """The cell of values that are as ``value`` but to patterns."""
        return value, self._probe(self._path, value) - self._patterns, self._patterns

    # ---- with text operations -------------------------------------------------------------------

    def _texts_and_numbers(self) -> Iterator[Cell]:
        found = words(self._members, self._operations, numeric=self._reads_numbers)
        if found is None:
            # Too many to list: all text operations are open, whatever the number.
            loose = self._patterns | frozenset(self._text_leaves)
            for value in self._numeric_values():
                yield Cell(value, self._probe(self._path, value) - loose, loose)
            return
        for word in found:
            if not word.numeric:
                yield Cell(*self._any_text(word.text))
        for word in found:
            if word.numeric:
                yield from self._spelt_like(word)

    def _spelt_like(self, word: Word) -> Iterator[Cell]:
        """Any number, or one that is too large, in a spelling that has the truths of ``word``."""
        loose = self._patterns | frozenset(self._text_leaves)
        truths = frozenset(
            leaf for leaf, true in zip(self._text_leaves, word.truths, strict=True) if true
        )
        own = self._probe(self._path, word.text) - self._patterns
        for value in self._numeric_values():
            true = self._probe(self._path, value) - loose | truths
            yield Cell(word.text if true == own else value, true, self._patterns)

    # ---- values to ask about --------------------------------------------------------------------

    def _numeric_values(self) -> Iterator[Any]:
        """Everything that thresholds and equality with numbers tell apart in a text or a number.

        The numbers that leaves name are left out as numbers: only one text is theirs.
        """
        yield self._other_text()
        yield from self._between()
        for number in (*self._numbers, *self._between()):
            yield self._spelt(number)

    def _between(self) -> list[float]:
        """A number from every stretch that the numbers of leaves leave, ends included."""
        numbers = self._numbers
        if not numbers:
            return [1]
        found = []
        if numbers[0] > -_LARGEST:
            found.append(_simple(-math.inf, numbers[0]))
        for low, high in pairwise(numbers):
            if math.nextafter(low, math.inf) < high:
                found.append(_simple(low, high))
        if numbers[-1] < _LARGEST:
            found.append(_simple(numbers[-1], math.inf))
        return found

    def _counts(self) -> list[int]:
        """Counts of events that differ to the leaves."""
        near = (math.floor(number) + step for number in self._numbers for step in (-1, 0, 1, 2))
        return sorted({0, *(count for count in near if 0 <= count <= _LARGEST_COUNT)})

    def _other_text(self) -> str:
        """A text that is no member and spells no number."""
        text = "-"
        while text in self._members:
            text += "-"
        return text

    def _spelt(self, number: float) -> str:
        """A text outside the members that spells ``number``."""
        sign, digits = ("-", repr(-number)) if number < 0 else ("", repr(number))
        text = sign + digits
        while text in self._members:
            digits = "0" + digits
            text = sign + digits
        return text


def _simple(low: float, high: float) -> float:
    """A number strictly between two, as short as is easily found."""
    if low == -math.inf:
        candidates = [float(math.ceil(high) - 1), math.nextafter(high, low)]
    else:
        candidates = [float(math.floor(low) + 1), low / 2 + high / 2, math.nextafter(low, high)]
    found = next(n for n in candidates if low < n < high and abs(n) <= _LARGEST)
    return int(found) if found.is_integer() and abs(found) < _LARGEST_COUNT else found

"""Which text comparisons can be true of one text at once.

`contains`, `startsWith`, `endsWith` and equality with given texts are regular, so the texts that
agree about all of them are found by walking one automaton for all. Nothing here decides for a
visitor: every vector comes with a text, and what the kernel says about that text is what counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

TextOperation: TypeAlias = tuple[Literal["contains", "startsWith", "endsWith"], str]

_MOST_STATES = 20_000
_MOST_WORDS = 1_000

_DEAD = -1

# States of numeric text (docs/rules.md) and where characters lead from them. A text that is spelt
# as a number may still be too large for one.
_START, _SIGN, _WHOLE, _POINT, _FRACTION, _E, _E_SIGN, _EXPONENT = range(8)
_NUMERIC: dict[int, dict[str, int]] = {
    _START: {"s": _SIGN, "d": _WHOLE, ".": _POINT},
    _SIGN: {"d": _WHOLE, ".": _POINT},
    _WHOLE: {"d": _WHOLE, ".": _FRACTION, "e": _E},
    _POINT: {"d": _FRACTION},
    _FRACTION: {"d": _FRACTION, "e": _E},
    _E: {"s": _E_SIGN, "d": _EXPONENT},
    _E_SIGN: {"d": _EXPONENT},
    _EXPONENT: {"d": _EXPONENT},
}
_NUMERIC_ENDS = {_WHOLE, _FRACTION, _EXPONENT}


@dataclass(frozen=True, slots=True)
class Word:
    """A shortest text of its kind: which operations are true of it, and whether it spells a number.

    ``numeric`` is False where nobody asked.
    """

    text: str
    truths: tuple[bool, ...]
    numeric: bool


def words(
    members: Collection[str], operations: Sequence[TextOperation], *, numeric: bool
) -> list[Word] | None:
    """One text for every vector of ``operations`` that a text outside ``members`` can have.

    With ``numeric`` texts that spell a number are told apart from others. None when there are too
    many vectors to list.
    """
    machines = [_Machine(*operation) for operation in operations]
    trie = _Trie(members)
    alphabet = _alphabet([*members, *(needle for _, needle in operations)], numeric=numeric)
    start = (0, tuple(machine.start for machine in machines), _START if numeric else _DEAD)
    seen = {start}
    queue = deque([(start, "")])
    found: dict[tuple[tuple[bool, ...], bool], Word] = {}
    while queue:
        (place, states, number), text = queue.popleft()
        if not trie.is_member(place):
            truths = tuple(
                machine.accepts(state) for machine, state in zip(machines, states, strict=True)
            )
            is_numeric = number in _NUMERIC_ENDS
            found.setdefault((truths, is_numeric), Word(text, truths, is_numeric))
            if len(found) > _MOST_WORDS:
                return None
        for char in alphabet:
            after = (
                trie.step(place, char),
                tuple(
                    machine.step(state, char)
                    for machine, state in zip(machines, states, strict=True)
                ),
                _NUMERIC.get(number, {}).get(_kind_of(char), _DEAD),
            )
            if after not in seen:
                seen.add(after)
                if len(seen) > _MOST_STATES:
                    return None
                queue.append((after, text + char))
    return list(found.values())


def _kind_of(char: str) -> str:
    if char in "0123456789":
        return "d"
    return {"+": "s", "-": "s", "E": "e"}.get(char, char)


def _alphabet(texts: Iterable[str], *, numeric: bool) -> list[str]:
    """The characters that something asks for, and one that stands for all others."""
    used = dict.fromkeys(char for text in texts for char in text)
    if numeric:
        # Digits that nobody asks for are all alike, and so on.
        for kind in ("5123467890", ".", "+-", "eE"):
            free = next((char for char in kind if char not in used), None)
            if free is not None:
                used[free] = None
    taken = {*used, *"0123456789+-.eE"}
    candidates = [*"xyzwvutsrqponmlkjihgfdcba", *map(chr, range(0x4E00, 0x4E00 + len(taken) + 1))]
    return [*used, next(char for char in candidates if char not in taken)]


class _Machine:
    """The automaton of one operation. States are how much of the needle was met."""

    def __init__(self, operation: str, needle: str) -> None:
        self._needle = needle
        self._operation = operation
        self._steps: dict[tuple[int, str], int] = {}
        self.start = 0

    def accepts(self, state: int) -> bool:
        return state == len(self._needle)

    def step(self, state: int, char: str) -> int:
        if state == _DEAD or (self._operation != "endsWith" and self.accepts(state)):
            return state
        after = self._steps.get((state, char))
        if after is None:
            after = self._steps[state, char] = self._next(state, char)
        return after

    def _next(self, state: int, char: str) -> int:
        if self._operation == "startsWith":
            return state + 1 if self._needle[state] == char else _DEAD
        # The longest start of the needle that what was met so far ends with.
        met = self._needle[:state] + char
        return next(
            length
            for length in range(min(len(met), len(self._needle)), -1, -1)
            if met.endswith(self._needle[:length])
        )


class _Trie:
    """Where a text stands among given ones."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._members: set[int] = set()
        for text in texts:
            place = 0
            for char in text:
                place = self._next[place].setdefault(char, len(self._next))
                if place == len(self._next):
                    self._next.append({})
            self._members.add(place)

    def is_member(self, place: int) -> bool:
        return place in self._members

    def step(self, place: int, char: str) -> int:
        return _DEAD if place == _DEAD else self._next[place].get(char, _DEAD)

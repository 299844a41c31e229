"""Is there an order in which it could have happened, one operation after the other?

The search of Wing and Gong with the memory that Lowe and Porcupine added: operations are put in an
order one by one, each of those that could be next being tried; a set of operations done together
with the state they led to is looked at once only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple, TypeVar

State = TypeVar("State", bound=Hashable)

NEVER = math.inf
"""When an operation ended whose end nobody knows of."""


class Spell(NamedTuple):
    """When an operation was asked for, and when its answer was there, in seconds.

    ``required`` says that it happened, between the two. Without that it may have happened at any
    time after it was asked for, or never; ``ended`` is `NEVER` then.
    """

    began: float
    ended: float
    required: bool = True


class Verdict(NamedTuple):
    """What came of a search.

    ``order`` has the operations in the order that was found, those that never happened left out.
    Where there is none it is the longest that was, and ``stuck`` are the operations each of which
    could have been next, but that its answer says otherwise.
    """

    outcome: Literal["linearizable", "contradiction", "undecided"]
    order: tuple[int, ...]
    stuck: tuple[int, ...] = ()


def find_order(
    spells: Sequence[Spell],
    initial: State,
    step: Callable[[State, int], State | None],
    settled: Callable[[State, int], bool] | None = None,
    most_steps: int = 300_000,
) -> Verdict:
    """Look for an order of operations that agrees with time and with every answer.

    ``step`` gives the state after an operation, by its number in ``spells``, or None where the
    operation's answer is another one than it would have got in that state. An operation that is
    not required is only tried where it changes the state: otherwise it may as well never happen.

    ``settled`` tells whether an operation has no answer that could be wrong, changes nothing in a
    state, and will change nothing in any that may follow. Such a one is put next as soon as it can
    be, and nothing else is tried there: it could be put there in any order that is one.
    """
    numbers = sorted(range(len(spells)), key=lambda number: spells[number].began)
    ordered = [spells[number] for number in numbers]
    required = sum(1 << place for place, spell in enumerate(ordered) if spell.required)
    steps = 0
    done = 0
    state = initial
    seen = {(done, state)}
    path: list[tuple[int, int, State, list[int]]] = []

    def next_ones() -> list[int]:
        places = _next_ones(ordered, done)
        if settled is not None:
            for place in places:
                if ordered[place].required and settled(state, numbers[place]):
                    return [place]
        return places

    candidates = next_ones()
    best: tuple[int, ...] = ()
    stuck: tuple[int, ...] = tuple(candidates)
    while done & required != required:
        advanced = False
        while candidates:
            place = candidates.pop()
            steps += 1
            if steps > most_steps:
                return Verdict("undecided", _named(numbers, best), _named(numbers, stuck))
            after = step(state, numbers[place])
            if after is None or (not ordered[place].required and after == state):
                continue
            both = (done | 1 << place, after)
            if both in seen:
                continue
            seen.add(both)
            path.append((place, done, state, candidates))
            done, state = both
            candidates = next_ones()
            if len(path) > len(best):
                best = tuple(entry[0] for entry in path)
                stuck = tuple(candidates)
            advanced = True
            break
        if advanced:
            continue
        if not path:
            return Verdict("contradiction", _named(numbers, best), _named(numbers, stuck))
        _, done, state, candidates = path.pop()
    return Verdict("linearizable", _named(numbers, tuple(entry[0] for entry in path)))


def _next_ones(ordered: Sequence[Spell], done: int) -> list[int]:
    """What can be next: all that were asked for before any of those that are left ended.

    The last one is tried first: of those that must have happened the one that ended first, and
    those that may never have happened after all others.
    """
    first_end = NEVER
    places = []
    place = _lowest_clear(done)
    while place < len(ordered):
        spell = ordered[place]
        if spell.began > first_end:
            break
        if not done >> place & 1:
            places.append(place)
            if spell.required:
                first_end = min(first_end, spell.ended)
        place += 1
    places = [place for place in places if ordered[place].began <= first_end]
    places.sort(key=lambda place: (not ordered[place].required, ordered[place].ended), reverse=True)
    return places


def _lowest_clear(bits: int) -> int:
    return ((bits + 1) & ~bits).bit_length() - 1


def _named(numbers: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    return tuple(numbers[place] for place in places)

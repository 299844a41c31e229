"""The search: histories of one register and of one counter, made by hand and at random."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from tests.cluster.linearizable import NEVER, Spell, find_order


class Did(NamedTuple):
    """A write of ``value`` to a register, or a read that saw it."""

    began: float
    ended: float
    kind: str
    value: int

    @property
    def spell(self) -> Spell:
        return Spell(self.began, self.ended, self.ended != NEVER)


def explained(history: Sequence[Did]) -> str:
    def step(state: int, number: int) -> int | None:
        did = history[number]
        if did.kind == "write":
            return did.value
        return state if state == did.value else None

    return find_order([did.spell for did in history], 0, step).outcome


def write(value: int, began: float, ended: float = NEVER) -> Did:
    return Did(began, ended, "write", value)


def read(value: int, began: float, ended: float) -> Did:
    return Did(began, ended, "read", value)


FINE = {
    "nothing": [],
    "one after the other": [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)],
    "read meanwhile, before": [write(1, 0, 10), read(0, 1, 2)],
    "read meanwhile, after": [write(1, 0, 10), read(1, 1, 2), read(1, 3, 4)],
    "two writes at once": [write(1, 0, 10), write(2, 1, 9), read(1, 11, 12)],
    "two writes at once, the other way": [write(1, 0, 10), write(2, 1, 9), read(2, 11, 12)],
    "unknown, and it happened": [write(1, 0), read(0, 1, 2), read(1, 50, 51)],
    "unknown, and it did not": [write(1, 0), read(0, 1, 2), read(0, 50, 51)],
    "unknown, late, over what came after it": [
        write(1, 0), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6),
    ],
    "answers cross": [write(1, 0, 4), read(1, 1, 6), read(0, 2, 3)],
}  # fmt: skip
WRONG = {
    "lost update": [write(1, 0, 1), read(0, 2, 3)],
    "stale read": [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(1, 6, 7)],
    "read before it was written": [read(1, 0, 1), write(1, 2, 3)],
    "out of thin air": [write(1, 0, 1), read(7, 2, 3)],
    "back again": [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)],
    "two who disagree": [
        write(1, 0, 20), write(2, 0, 20), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6),
    ],
    "unknown, but once only": [
        write(1, 0), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6), write(2, 7, 8), read(1, 9, 10),
    ],
    "unknown cannot happen before it was asked for": [read(1, 0, 1), write(1, 2)],
}  # fmt: skip


@pytest.mark.parametrize("history", FINE.values(), ids=FINE)
def test_what_can_be_explained(history: list[Did]) -> None:
    assert explained(history) == "linearizable"


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_what_cannot(history: list[Did]) -> None:
    assert explained(history) == "contradiction"


def by_brute_force(history: Sequence[Did]) -> bool:
    """Every order of every choice of what happened at all."""
    unknown = [number for number, did in enumerate(history) if did.ended == NEVER]
    known = [number for number, did in enumerate(history) if did.ended != NEVER]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *chosen]):
                if in_time(history, order) and replayed(history, order):
                    return True
    return False


def in_time(history: Sequence[Did], order: Sequence[int]) -> bool:
    return all(
        history[later].ended >= history[earlier].began
        for earlier, later in itertools.combinations(order, 2)
    )


def replayed(history: Sequence[Did], order: Sequence[int]) -> bool:
    value = 0
    for number in order:
        if history[number].kind == "write":
            value = history[number].value
        elif history[number].value != value:
            return False
    return True


def random_history(generator: random.Random) -> list[Did]:
    history = []
    for _ in range(generator.randrange(1, 7)):
        began = generator.uniform(0, 5)
        ended = began + generator.uniform(0, 3)
        if generator.random() < 0.5:
            unknown = generator.random() < 0.3
            history.append(write(generator.randrange(3), began, NEVER if unknown else ended))
        else:
            history.append(read(generator.randrange(3), began, ended))
    return history


def test_it_finds_what_trying_everything_finds() -> None:
    generator = random.Random(20)
    outcomes = {True: 0, False: 0}
    for _ in range(1500):
        history = random_history(generator)
        expected = by_brute_force(history)
        assert (explained(history) == "linearizable") == expected, history
        outcomes[expected] += 1
    assert min(outcomes.values()) > 200


def test_the_order_is_one() -> None:
    history = FINE["unknown, late, over what came after it"]

    def step(state: int, number: int) -> int | None:
        did = history[number]
        return did.value if did.kind == "write" or did.value == state else None

    verdict = find_order([did.spell for did in history], 0, step)
    assert verdict.order == (1, 2, 0, 3)


def test_it_says_where_it_stuck() -> None:
    history = [write(1, 0, 1), read(1, 2, 3), read(2, 4, 5)]

    def step(state: int, number: int) -> int | None:
        did = history[number]
        return did.value if did.kind == "write" or did.value == state else None

    verdict = find_order([did.spell for did in history], 0, step)
    assert (verdict.outcome, verdict.order, verdict.stuck) == ("contradiction", (0, 1), (2,))


def test_there_is_an_end_to_searching() -> None:
    """Increments of nobody's and a read that none of them explains: 2 to the 16 ways."""
    spells = [Spell(0, NEVER, required=False) for _ in range(16)] + [Spell(1, 2)]

    def step(state: Any, number: int) -> Any:
        return None if number == 16 else state | 1 << number

    assert find_order(spells, 0, step, most_steps=5_000).outcome == "undecided"

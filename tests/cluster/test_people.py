"""Histories of groups, made by hand: what the checker has to accept, and what it must not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.cluster.checking import check
from tests.cluster.linearizable import NEVER
from tests.cluster.operations import (
    UNKNOWN,
    Action,
    Answer,
    Batch,
    Delete,
    GroupHistory,
    Kind,
    Operation,
    Preflight,
    Read,
    Said,
    Seen,
    Update,
)

KINDS: list[Kind] = ["own", "own", "given", "user"]
A, B, GIVEN, USER = range(4)
GONE = Answer(gone=True)
DRAINED = 100.0


def saw(key: int, *marks: int, count: int | None = None, locked: int = 0) -> Answer:
    """An answer with one profile: its marks, the newest of which is the last one given."""
    bits = sum(1 << mark for mark in marks)
    last = marks[-1] if marks else UNKNOWN
    return Answer((Seen(key, bits, len(marks) if count is None else count, last, locked),))


def says(key: int, mark: int, user: int | None = None, at_ms: int | None = None) -> Said:
    return Said(key, mark, 1000 * mark if at_ms is None else at_ms, user)


def did(
    began: float, ended: float, action: Action, answer: Answer | None = None, attempt: int = 1
) -> Operation:
    return Operation(0, 0, 0, attempt, began, ended, action, answer)


def update(
    began: float, ended: float, said: Said, answer: Answer | None = None, attempt: int = 1
) -> Operation:
    return did(began, ended, Update(said), answer, attempt)


def read(began: float, ended: float, key: int, answer: Answer) -> Operation:
    return did(began, ended, Read(key), answer)


def outcome(operations: Sequence[Operation]) -> str:
    group = GroupHistory(0, KINDS, ["a", "b", "given", "user"], list(operations))
    findings = check([group], DRAINED).findings
    return findings[0].outcome if findings else "fine"


def imported(began: float, ended: float, *said: Said) -> Operation:
    return did(began, ended, Batch(said, waits=True))


FIRST = update(0, 1, says(A, 0), saw(A, 0))
SECOND = update(2, 3, says(B, 1), saw(B, 1))
NAMED = update(4, 5, says(A, 2, USER), saw(A, 0, 2))
MERGED = update(6, 7, says(B, 3, USER), saw(A, 0, 1, 2, 3))
TO_MERGE = [FIRST, SECOND, NAMED, MERGED]

FINE = {
    "a profile comes to be": [read(-2, -1, A, GONE), FIRST, read(2, 3, A, saw(A, 0))],
    "late news do not win": [
        FIRST, update(2, 3, says(A, 1, at_ms=-1000), Answer((Seen(A, 0b11, 2, 0, 0),))),
    ],
    "merged": [*TO_MERGE, read(8, 9, B, saw(A, 0, 1, 2, 3)), read(8, 9, USER, saw(A, 0, 1, 2, 3))],
    "a repetition does nothing": [
        update(0, NEVER, says(A, 0)), update(1, 2, says(A, 0), saw(A, 0), attempt=2),
        read(3, 4, A, saw(A, 0)),
    ],
    "unknown and done": [FIRST, update(2, NEVER, says(A, 1)), read(5, 6, A, saw(A, 0, 1))],
    "unknown and not done": [FIRST, update(2, NEVER, says(A, 1)), read(5, 6, A, saw(A, 0))],
    "unknown and done late": [
        FIRST, update(2, NEVER, says(A, 1)), read(3, 4, A, saw(A, 0)), read(5, 6, A, saw(A, 0, 1)),
    ],
    "gone for good": [*TO_MERGE, did(8, 9, Delete(B), Answer()), read(10, 11, A, GONE),
                      read(10, 11, B, GONE), read(10, 11, USER, GONE),
                      update(12, 13, says(A, 4), GONE)],
    "the user comes back": [*TO_MERGE, did(8, 9, Delete(B), Answer()),
                            did(10, 11, Batch((says(GIVEN, 4, USER),), waits=False),
                                Answer((Seen(GIVEN, 0b10000, 1, 4, UNKNOWN),))),
                            read(12, 13, USER, saw(GIVEN, 4))],
    "a preflight leaves nothing": [
        FIRST, did(2, 3, Preflight(says(A, 1)), saw(A, 0, 1)), read(4, 5, A, saw(A, 0)),
    ],
    "accepted, done after a while": [
        FIRST, imported(2, 3, says(A, 1), says(GIVEN, 2)), read(4, 5, A, saw(A, 0)),
        read(6, 7, A, saw(A, 0, 1)), read(8, 9, GIVEN, saw(GIVEN, 2)),
    ],
    "a batch about somebody deleted": [
        FIRST, did(2, 3, Delete(A), Answer()), imported(4, 5, says(A, 1), says(GIVEN, 2)),
        did(6, 7, Batch((says(A, 3), says(GIVEN, 4)), waits=False), GONE),
        read(110, 111, GIVEN, saw(GIVEN, 2)),
    ],
    "asked too early, done when there was somebody": [
        update(0, NEVER, says(GIVEN, 0)), update(1, 2, says(GIVEN, 0), GONE, attempt=2),
        imported(3, 4, says(GIVEN, 1)), read(5, 6, GIVEN, saw(GIVEN, 1)),
        read(7, 8, GIVEN, Answer((Seen(GIVEN, 0b11, 2, 1, 0),))),
    ],
    "late, when the user is somebody else": [
        FIRST, SECOND, NAMED, update(5, NEVER, says(USER, 4)),
        update(6, 7, says(USER, 4), saw(A, 0, 2, 4), attempt=2), did(8, 9, Delete(A), Answer()),
        update(10, 11, says(B, 5, USER), saw(B, 1, 5)),
        read(12, 13, B, Answer((Seen(B, 0b110010, 3, 5, 0),))),
    ],
    "born by what nobody saw, and deleted": [
        did(0, NEVER, Batch((says(GIVEN, 0),), waits=False)), did(1, 2, Delete(GIVEN), Answer()),
        read(3, 4, GIVEN, GONE),
    ],
    "many who came too late": [
        FIRST, did(2, 3, Delete(A), Answer()),
        *(imported(4, 5, says(A, mark)) for mark in range(1, 40)),
        *(update(4, NEVER, says(A, mark)) for mark in range(40, 80)),
        read(6, 7, A, GONE), update(8, 9, says(B, 90), saw(B, 90)),
    ],
    "a deletion that nobody knows of": [
        FIRST, did(2, NEVER, Delete(A)), read(3, 4, A, saw(A, 0)), read(5, 6, A, GONE),
    ],
}  # fmt: skip

WRONG = {
    "lost update": [FIRST, update(2, 3, says(A, 1), saw(A, 0, 1)), read(4, 5, A, saw(A, 0))],
    "lost update, seen in the next": [
        FIRST, update(2, 3, says(A, 1), saw(A, 0, 1)), update(4, 5, says(A, 2), saw(A, 0, 2)),
    ],
    "two updates, each without the other": [
        FIRST, update(2, 4, says(A, 1), saw(A, 0, 1)), update(2, 4, says(A, 2), saw(A, 0, 2)),
    ],
    "stale read": [FIRST, SECOND, NAMED, read(6, 7, A, saw(A, 0))],
    "done twice": [FIRST, update(2, 3, says(A, 1), saw(A, 0, 1, count=3))],
    "a repetition done twice": [
        update(0, NEVER, says(A, 0)), update(1, 2, says(A, 0), saw(A, 0), attempt=2),
        read(3, 4, A, saw(A, 0, count=2)),
    ],
    "refused, but done": [FIRST, read(4, 5, A, saw(A, 0, 1))],
    "older news win": [
        FIRST, update(2, 3, says(A, 1, at_ms=-1000), Answer((Seen(A, 0b11, 2, 1, 0),))),
    ],
    "half a merge": [*TO_MERGE, read(8, 9, A, saw(A, 0, 2, 3))],
    "merged away and still there": [*TO_MERGE, read(8, 9, B, saw(B, 1))],
    "merged away and gone": [*TO_MERGE, read(8, 9, B, GONE)],
    "merged into nobody": [FIRST, SECOND, NAMED, update(6, 7, says(B, 3, USER), saw(B, 1, 3))],
    "back from the dead": [
        FIRST, did(2, 3, Delete(A), Answer()), update(4, 5, says(A, 1), saw(A, 1)),
    ],
    "deleted and still there": [FIRST, did(2, 3, Delete(A), Answer()), read(4, 5, A, saw(A, 0))],
    "deleted what was not there": [did(0, 1, Delete(A), Answer())],
    "a preflight that stays": [
        FIRST, did(2, 3, Preflight(says(A, 1)), saw(A, 0, 1)), read(4, 5, A, saw(A, 0, 1)),
    ],
    "accepted and lost": [
        FIRST, imported(2, 3, says(A, 1)), read(110, 111, A, saw(A, 0)),
    ],
    "accepted and done twice": [
        FIRST, imported(2, 3, says(A, 1)), read(110, 111, A, saw(A, 0, 1, count=3)),
    ],
    "half a batch": [
        FIRST, imported(2, 3, says(A, 1), says(GIVEN, 2)), read(4, 5, A, saw(A, 0, 1)),
        read(6, 7, GIVEN, GONE),
    ],
    "another variant": [FIRST, read(2, 3, A, saw(A, 0, locked=2))],
    "many who came too late, and one who is lost": [
        FIRST, did(2, 3, Delete(A), Answer()),
        *(imported(4, 5, says(A, mark)) for mark in range(1, 40)),
        *(update(4, NEVER, says(A, mark)) for mark in range(40, 80)),
        read(6, 7, A, GONE), update(8, 9, says(B, 90), saw(B, 90)), read(10, 11, B, GONE),
    ],
    "unknown, done, and undone": [
        FIRST, update(2, NEVER, says(A, 1)), read(3, 4, A, saw(A, 0, 1)), read(5, 6, A, saw(A, 0)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("operations", FINE.values(), ids=FINE)
def test_what_can_be_explained(operations: list[Operation]) -> None:
    assert outcome(operations) == "fine"


@pytest.mark.parametrize("operations", WRONG.values(), ids=WRONG)
def test_what_cannot(operations: list[Operation]) -> None:
    assert outcome(operations) == "contradiction"

"""Defects put into a history that really happened: the checker has to find each of them.

Each is one that a broken store, or a server that keeps something to itself, would show.
"""

from __future__ import annotations

import asyncio
import copy
import pathlib
import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.cluster.checking import order_of
from tests.cluster.linearizable import NEVER
from tests.cluster.operations import (
    Answer,
    Batch,
    GroupHistory,
    Operation,
    Preflight,
    Read,
    Seen,
    Update,
)
from tests.cluster.run import Kept, Plan, carry_out

SEED = 5
TRIES = 40


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A history with few groups, so that there is much to each."""
    folder = tmp_path_factory.mktemp("recorded")
    plan = Plan("embedded", 4.0, SEED, profiles=60, clients=16, pause_s=0.01, faults=False)
    outcome, history = asyncio.run(carry_out(plan, folder))
    assert outcome.findings == []
    assert outcome.operations > 300
    return history


def without(seen: Seen, mark: int) -> Seen:
    if not seen.marks >> mark & 1:
        return seen
    return replace(seen, marks=seen.marks & ~(1 << mark), count=seen.count - 1)


def seen_as(
    group: GroupHistory, change: Callable[[Operation, Seen], Seen], after: float
) -> list[Operation]:
    """The operations, with what answers show from a moment on changed."""
    operations = []
    for one in group.operations:
        if one.answer is not None and one.began > after:
            shown = tuple(change(one, seen) for seen in one.answer.seen)
            one = replace(one, answer=replace(one.answer, seen=shown))  # noqa: PLW2901
        operations.append(one)
    return operations


def is_plain(one: Operation) -> bool:
    """An update that was done, of which the answer shows a profile that does not merge."""
    action = one.action
    return (
        isinstance(action, Update)
        and action.said.user is None
        and one.answer is not None
        and bool(one.answer.seen)
    )


def shows(one: Operation, mark: int) -> bool:
    return one.answer is not None and any(seen.marks >> mark & 1 for seen in one.answer.seen)


def lost_update(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """An acknowledged update that nobody sees any more."""
    one = generator.choice(group.operations)
    if not is_plain(one):
        return None
    mark = one.marks[0]
    changed = seen_as(group, lambda _, seen: without(seen, mark), one.ended)
    return changed if changed != group.operations else None


def lost_import(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """A batch that was accepted, and never applied to profiles that are there to the end."""
    one = generator.choice(group.operations)
    if not isinstance(one.action, Batch) or not one.action.waits or one.ended == NEVER:
        return None
    marks = one.marks
    last = max(group.operations, key=lambda other: other.began)
    if not any(shows(other, mark) for other in (last,) for mark in marks):
        return None

    def change(_: Operation, seen: Seen) -> Seen:
        for mark in marks:
            seen = without(seen, mark)
        return seen

    changed = seen_as(group, change, -NEVER)
    return changed if changed != group.operations else None


def done_twice(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """An update that counts twice from some moment on."""
    one = generator.choice(group.operations)
    if not is_plain(one):
        return None
    mark = one.marks[0]

    def change(_: Operation, seen: Seen) -> Seen:
        return replace(seen, count=seen.count + 1) if seen.marks >> mark & 1 else seen

    return seen_as(group, change, one.began - 1)


def stale_read(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """A read that shows what the same key showed before an update that was done long ago."""
    place = generator.randrange(len(group.operations))
    one = group.operations[place]
    if not isinstance(one.action, Read | Preflight) or one.answer is None or not one.answer.seen:
        return None
    key = one.action.key if isinstance(one.action, Read) else one.action.said.key
    for update in group.operations:
        if is_plain(update) and isinstance(update.action, Update) and update.ended < one.began:
            mark = update.marks[0]
            if update.action.said.key == key and shows(one, mark):
                shown = without(one.answer.seen[0], mark)
                operations = list(group.operations)
                operations[place] = replace(one, answer=Answer((shown,)))
                return operations
    return None


def two_in_the_wrong_order(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """Two updates, the second after the first was answered, that took each other's place."""
    plain = [one for one in group.operations if is_plain(one)]
    for first in plain:
        for second in plain:
            if first.ended < second.began and shows(second, first.marks[0]):
                early, late = first.marks[0], second.marks[0]
                if generator.random() < 0.7:
                    continue
                operations = []
                for one in group.operations:
                    answer = one.answer
                    if one is first:
                        assert answer is not None
                        both = replace(
                            answer.seen[0],
                            marks=answer.seen[0].marks | 1 << late,
                            count=answer.seen[0].count + 1,
                        )
                        one = replace(one, answer=Answer((both,)))  # noqa: PLW2901
                    elif one is second:
                        assert answer is not None
                        one = replace(  # noqa: PLW2901
                            one, answer=Answer((without(answer.seen[0], early),))
                        )
                    operations.append(one)
                return operations
    return None


def gone_for_one(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """A server that does not find a profile that is there."""
    place = generator.randrange(len(group.operations))
    one = group.operations[place]
    if not isinstance(one.action, Read) or one.answer is None or not one.answer.seen:
        return None
    if not any(
        other.began < one.began and other.answer is not None and other.ended < one.began
        and isinstance(other.action, Update) and other.action.said.key == one.action.key
        and other.answer.seen for other in group.operations
    ):  # fmt: skip
        return None
    operations = list(group.operations)
    operations[place] = replace(one, answer=Answer(gone=True))
    return operations


def refused_but_done(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """An update that a client was told would not happen, and that others see."""
    place = generator.randrange(len(group.operations))
    one = group.operations[place]
    if not is_plain(one) or one.attempt > 1:
        return None
    rest = group.operations[:place] + group.operations[place + 1 :]
    return rest if any(shows(other, one.marks[0]) for other in rest) else None


def other_variant(group: GroupHistory, generator: random.Random) -> list[Operation] | None:
    """A variant that nobody was locked to."""
    place = generator.randrange(len(group.operations))
    one = group.operations[place]
    if not isinstance(one.action, Read) or one.answer is None or not one.answer.seen:
        return None
    locked = {
        said.locks
        for other in group.operations
        if isinstance(other.action, Update | Batch)
        for said in (other.action.said if isinstance(other.action, Batch) else (other.action.said,))
    }
    free = {1, 2, 3, 9} - locked
    operations = list(group.operations)
    seen = replace(one.answer.seen[0], locked=max(free))
    operations[place] = replace(one, answer=Answer((seen,)))
    return operations


DEFECTS = [
    lost_update, lost_import, done_twice, stale_read, two_in_the_wrong_order, gone_for_one,
    refused_but_done, other_variant,
]  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_is_found(
    kept: Kept, defect: Callable[[GroupHistory, random.Random], list[Operation] | None]
) -> None:
    generator = random.Random(SEED)
    tried = 0
    for _ in range(50 * TRIES):
        group = generator.choice(kept.groups)
        changed = defect(group, generator)
        if changed is None:
            continue
        broken = copy.copy(group)
        broken.operations = changed
        verdict, _ = order_of(broken, kept.drained)
        assert verdict.outcome == "contradiction", (group.number, verdict)
        tried += 1
        if tried == TRIES:
            break
    assert tried >= TRIES // 2


def test_without_a_defect_there_is_nothing_to_find(kept: Kept, tmp_path: pathlib.Path) -> None:
    for group in kept.groups:
        assert order_of(group, kept.drained)[0].outcome == "linearizable"

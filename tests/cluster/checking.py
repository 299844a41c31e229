"""Whether a history could have happened on one machine, with one request after the other.

Groups are independent of each other, so each is searched by itself. Before that, what answers show
narrows down when requests without an answer took effect, which keeps the search short:

- Marks stay for as long as a profile does, and survive merges. So a request whose mark any answer
  shows was carried out before that answer came. (Not if it is about a user id: that may change
  hands, and who repeated the request may have been served before it.)
- For the same reason it was carried out after every answer was asked for that was got by the very
  key it is about and does not show its mark.
- A request without an answer, whose marks no answer shows, may as well never have happened, unless
  it made a profile or told of a user, and a deletion followed. Nor need reads that nobody heard.
- A request that has no answer and finds all of its sayings heard already, or their profiles gone,
  will change nothing later either.

None of this assumes anything of the server: whatever an answer shows, the search has to explain.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.cluster.linearizable import NEVER, Spell, Verdict, find_order
from tests.cluster.operations import (
    Batch,
    Delete,
    GroupHistory,
    Operation,
    Preflight,
    Read,
    Said,
    Update,
)
from tests.cluster.people import People, after, heard, nobody


class Finding(NamedTuple):
    """A group whose history cannot be explained, or could not within the limit."""

    group: int
    outcome: str
    text: str


class Checked(NamedTuple):
    """What a whole history came to. ``counts`` are numbers of requests by kind and outcome."""

    findings: tuple[Finding, ...]
    groups: int
    operations: int
    counts: dict[str, int]


def check(groups: Iterable[GroupHistory], drained: float = NEVER) -> Checked:
    """Check all groups. ``drained`` is when everything accepted had been applied."""
    findings = []
    counts: collections.Counter[str] = collections.Counter()
    number = operations = 0
    for group in groups:
        number += 1
        operations += len(group.operations)
        for operation in group.operations:
            counts[_kind_of(operation)] += 1
        verdict, considered = order_of(group, drained)
        if verdict.outcome != "linearizable":
            text = describe(group, considered, verdict)
            findings.append(Finding(group.number, verdict.outcome, text))
    return Checked(tuple(findings), number, operations, dict(counts))


def order_of(group: GroupHistory, drained: float = NEVER) -> tuple[Verdict, list[Operation]]:
    """The search for one group, and the operations that it considered, by their numbers in it."""
    considered, spells = _narrowed(group, drained)
    kinds = group.kinds

    def step(people: People, number: int) -> People | None:
        operation = considered[number]
        # Of a repeated batch of which nothing is left to do the profiles are read one by one.
        heard = None if _is_repeated_batch(operation) else operation.answer
        return after(people, kinds, operation.action, heard)

    def settled(people: People, number: int) -> bool:
        operation = considered[number]
        sayings = _sayings(operation)
        unanswered = operation.answer is None and bool(sayings)
        return unanswered and all(heard(people, kinds, said) for said in sayings)

    return find_order(spells, nobody(kinds), step, settled), considered


def _narrowed(group: GroupHistory, drained: float) -> tuple[list[Operation], list[Spell]]:
    shown: dict[int, float] = {}
    lacking: dict[int, list[tuple[float, int]]] = collections.defaultdict(list)
    there: dict[int, float] = {}
    for operation in group.operations:
        if operation.answer is None:
            continue
        together = 0
        for seen in operation.answer.seen:
            together |= seen.marks
        for mark in _bits(together):
            shown[mark] = min(shown.get(mark, NEVER), operation.ended)
        if isinstance(operation.action, Preflight) or not operation.answer.seen:
            continue
        for key in _keys_of(operation):
            there[key] = min(there.get(key, NEVER), operation.ended)
        if not isinstance(operation.action, Batch):
            lacking[_keys_of(operation)[0]].append((operation.began, together))
    deletes = any(isinstance(one.action, Delete) for one in group.operations)
    considered, spells = [], []
    for operation in group.operations:
        spell = _spell_of(operation, drained)
        if spell.ended == NEVER or (isinstance(operation.action, Batch) and operation.action.waits):
            spell = _with_marks(group, operation, spell, shown, lacking)
        may_matter = any(mark in shown for mark in operation.marks) or (
            deletes and _may_leave_more_than_marks(operation, there)
        )
        if spell.required or may_matter:
            considered.append(operation)
            spells.append(spell)
    return considered, spells


def _may_leave_more_than_marks(operation: Operation, there: dict[int, float]) -> bool:
    """Whether it may have made a profile or told of a user; or it is a deletion."""
    if isinstance(operation.action, Delete):
        return True
    return any(
        said.user is not None or there.get(said.key, NEVER) > operation.began
        for said in _sayings(operation)
    )


def _spell_of(operation: Operation, drained: float) -> Spell:
    if isinstance(operation.action, Batch) and operation.action.waits and operation.known:
        return Spell(operation.began, drained)
    return Spell(operation.began, operation.ended, operation.known)


def _with_marks(
    group: GroupHistory,
    operation: Operation,
    spell: Spell,
    shown: dict[int, float],
    lacking: dict[int, list[tuple[float, int]]],
) -> Spell:
    ended = min((shown[mark] for mark in operation.marks if mark in shown), default=NEVER)
    by_user = any(group.kinds[said.key] == "user" for said in _sayings(operation))
    if ended == NEVER or by_user:
        return spell
    began = spell.began
    for said in _sayings(operation):
        if group.kinds[said.key] != "user" and said.mark in shown:
            without = [at for at, marks in lacking[said.key] if not marks >> said.mark & 1]
            began = max([began, *without])
    if began >= ended:
        # Repeated when it had been carried out, or the history cannot be explained anyway.
        return spell
    return Spell(began, min(ended, spell.ended))


def _sayings(operation: Operation) -> Sequence[Said]:
    if isinstance(operation.action, Update):
        return (operation.action.said,)
    if isinstance(operation.action, Batch):
        return operation.action.said
    return ()


def _keys_of(operation: Operation) -> tuple[int, ...]:
    action = operation.action
    if isinstance(action, Read | Delete):
        return (action.key,)
    if isinstance(action, Preflight):
        return (action.said.key,)
    return tuple(said.key for said in _sayings(operation))


def _is_repeated_batch(operation: Operation) -> bool:
    return isinstance(operation.action, Batch) and operation.attempt > 1


def _bits(number: int) -> Iterable[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def _kind_of(operation: Operation) -> str:
    action = operation.action
    kind = type(action).__name__.lower()
    if isinstance(action, Batch):
        kind = "import" if action.waits else "batch"
    elif isinstance(action, Update) and action.said.user is not None:
        kind = "identify"
    if operation.answer is not None and operation.answer.gone:
        return f"{kind}: not found"
    return f"{kind}: {'done' if operation.known else 'unknown'}"


# ---- telling people -----------------------------------------------------------------------------


def describe(group: GroupHistory, considered: Sequence[Operation], verdict: Verdict) -> str:
    """The end of the longest order that was found, and what could not follow it."""
    kinds = group.kinds
    people = nobody(kinds)
    for number in verdict.order:
        people = after(people, kinds, considered[number].action, None) or people
    lines = [f"group {group.number}, keys {list(zip(kinds, group.texts, strict=True))}"]
    lines += [f"  in order: {_line(considered[number])}" for number in verdict.order[-12:]]
    lines.append(f"  then: {people}")
    lines += [f"  none of these can be next: {_line(considered[n])}" for n in verdict.stuck]
    return "\n".join(lines)


def _line(operation: Operation) -> str:
    return (
        f"{operation.began:.4f}-{operation.ended:.4f} client {operation.client} server "
        f"{operation.server} attempt {operation.attempt}: {operation.action} -> {operation.answer}"
    )

"""What a group of profiles is, said as simply as it can be: for one request after the other.

Written from docs/profiles.md. A profile is a set of marks, a counter, a register that the newest
saying wins by its own time, and the variant that it is locked to. Around that stands who is who:
which key leads to which profile, which are gone, which were never there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.cluster.operations import (
    UNKNOWN,
    Action,
    Answer,
    Batch,
    Delete,
    Kind,
    Preflight,
    Read,
    Said,
    Seen,
    Update,
)

NOTHING = -1
TOMBSTONE = -2
_LONG_AGO = -1


class Person(NamedTuple):
    """One profile."""

    marks: int = 0
    hits: int = 0
    last: int = UNKNOWN
    last_ms: int = _LONG_AGO
    locked: int = 0
    locked_ms: int = _LONG_AGO


class People(NamedTuple):
    """A group: the profile that each key leads to, by the key of its id, and the profiles."""

    leads_to: tuple[int, ...]
    persons: tuple[Person | None, ...]


def nobody(kinds: Sequence[Kind]) -> People:
    """A group of which nothing is known yet."""
    return People((NOTHING,) * len(kinds), (None,) * len(kinds))


def after(
    people: People, kinds: Sequence[Kind], action: Action, answer: Answer | None
) -> People | None:
    """The group after a request; None where the request would have been answered otherwise."""
    work = _Work(people, kinds)
    given = work.carry_out(action)
    if answer is not None and not _agrees(given, answer):
        return None
    return people if isinstance(action, Read | Preflight) else work.people()


def heard(people: People, kinds: Sequence[Kind], said: Said) -> bool:
    """Whether a saying changes nothing, now or at any time that follows.

    By a user id it may: that may lead to somebody else some day, to whom it would be news.
    """
    found = people.leads_to[said.key]
    if kinds[said.key] == "user" or found == NOTHING:
        return False
    person = None if found == TOMBSTONE else people.persons[found]
    return person is None or bool(person.marks >> said.mark & 1)


def _agrees(given: Answer, told: Answer) -> bool:
    if given.gone != told.gone or len(given.seen) != len(told.seen):
        return False
    return all(
        mine == theirs or (theirs.locked == UNKNOWN and _unlocked(mine) == theirs)
        for mine, theirs in zip(given.seen, told.seen, strict=True)
    )


def _unlocked(seen: Seen) -> Seen:
    return Seen(seen.id, seen.marks, seen.count, seen.last, UNKNOWN)


_GONE = Answer(gone=True)


class _Work:
    def __init__(self, people: People, kinds: Sequence[Kind]) -> None:
        self._leads_to = list(people.leads_to)
        self._persons = list(people.persons)
        self._kinds = kinds

    def people(self) -> People:
        return People(tuple(self._leads_to), tuple(self._persons))

    def carry_out(self, action: Action) -> Answer:
        if isinstance(action, Batch):
            return self._batch(action)
        if isinstance(action, Update | Preflight):
            key = action.said.key
            found = self._leads_to[key]
            if found == NOTHING and self._kinds[key] in {"own", "made"}:
                # Its holder has it from us; it is made by the first who comes back with it.
                found = key
            if found < 0:
                return _GONE
            return Answer((self._seen(self._say(found, action.said)),))
        found = self._leads_to[action.key]
        if found < 0:
            return _GONE
        if isinstance(action, Delete):
            self._bury(found)
            return Answer()
        return Answer((self._seen(found),))

    def _batch(self, action: Batch) -> Answer:
        ends = []
        if not action.waits and TOMBSTONE in {self._leads_to[said.key] for said in action.said}:
            return _GONE
        for said in action.said:
            found = self._leads_to[said.key]
            if found == TOMBSTONE:
                continue
            ends.append(self._say(said.key if found == NOTHING else found, said))
        return Answer(tuple(self._seen(self._leads_to[person]) for person in ends))

    def _say(self, person: int, said: Said) -> int:
        """A saying happens to a profile. Gives the profile that it is afterwards."""
        known = self._persons[person]
        me = known or Person()
        if said.user is not None and not me.marks >> said.mark & 1:
            owner = self._leads_to[said.user]
            if owner == NOTHING:
                self._leads_to[said.user] = person
            elif owner != person:
                self._become(person, known, owner)
                person = owner
                me = self._persons[owner] or Person()
        self._leads_to[person] = person
        self._persons[person] = _told(me, said)
        return person

    def _become(self, person: int, known: Person | None, owner: int) -> None:
        self._leads_to[person] = owner
        if known is None:
            return
        survivor = self._persons[owner]
        assert survivor is not None
        newer = known.last_ms > survivor.last_ms
        self._persons[owner] = survivor._replace(
            marks=survivor.marks | known.marks,
            hits=survivor.hits + known.hits,
            last=known.last if newer else survivor.last,
            last_ms=max(known.last_ms, survivor.last_ms),
        )
        self._persons[person] = None
        self._leads_to = [owner if found == person else found for found in self._leads_to]

    def _bury(self, person: int) -> None:
        self._persons[person] = None
        for key, found in enumerate(self._leads_to):
            if found == person:
                # User ids can be attached again, the profile's own ids never come back.
                self._leads_to[key] = NOTHING if self._kinds[key] == "user" else TOMBSTONE

    def _seen(self, person: int) -> Seen:
        me = self._persons[person]
        assert me is not None
        return Seen(person, me.marks, me.hits, me.last, me.locked)


def _told(me: Person, said: Said) -> Person:
    """A profile after a saying that it may have heard already."""
    if me.marks >> said.mark & 1:
        return me
    newest = said.at_ms >= me.last_ms
    locks = said.locks is not None and said.at_ms >= me.locked_ms
    return Person(
        me.marks | 1 << said.mark,
        me.hits + 1,
        said.mark if newest else me.last,
        max(said.at_ms, me.last_ms),
        said.locks if locks and said.locks is not None else me.locked,
        said.at_ms if locks else me.locked_ms,
    )

"""What clients asked for, what they were told, and when: the vocabulary of a history.

Profiles are looked at in *groups*: a handful of keys whose profiles may merge with each other and
with no others. Within its group a key is a number, and so is everything that is said of a profile.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from tests.cluster.linearizable import NEVER

Kind: TypeAlias = Literal["own", "made", "given", "user"]
"""What a key is: an id that a preflight gave; that of a profile that a request made; an id of the
caller's own, for batches; a user id."""

UNKNOWN = -1


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What a request says of one profile, in events with identifiers and a time of their own.

    ``mark`` is the number of the saying in its group: whoever repeats a request repeats that. It
    becomes a trait of its own, the value of a trait that all sayings write, and one tracked event.
    ``user`` is the key of the user whom it names, ``locks`` the variant that it says was seen.
    """

    key: int
    mark: int
    at_ms: int
    user: int | None = None
    locks: int | None = None


class Update(msgspec.Struct, frozen=True, tag="update"):
    """One profile is to change."""

    said: Said


class Preflight(msgspec.Struct, frozen=True, tag="preflight"):
    """What an update would come to."""

    said: Said


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """Several profiles are to change, all or none; ``waits``: some time after this is answered."""

    said: tuple[Said, ...]
    waits: bool


class Read(msgspec.Struct, frozen=True, tag="read"):
    """A profile is asked for."""

    key: int


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """A profile is to be gone for good."""

    key: int


Action: TypeAlias = Update | Preflight | Batch | Read | Delete


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A profile as an answer shows it.

    ``id`` is the key of its id. ``marks`` has a bit for every saying whose trait is there, and
    ``count`` is the number of tracked events: the two differ if something was applied twice.
    ``last`` is the mark in the trait that all write, `UNKNOWN` without one. ``locked`` is the
    variant of the sticky experience, `UNKNOWN` in answers that have none.
    """

    id: int
    marks: int
    count: int
    last: int
    locked: int


class Answer(msgspec.Struct, frozen=True):
    """What a client was told: the profiles, or that there is none (``gone``)."""

    seen: tuple[Seen, ...] = ()
    gone: bool = False


class Operation(msgspec.Struct, frozen=True):
    """One request and what became of it.

    Times are seconds of one monotonic clock. ``ended`` is `NEVER` where no answer came: then the
    request may have been carried out at any time, or not at all. ``answer`` is None where nothing
    was said that could be wrong. ``attempt`` counts repetitions of one request, from 1.
    """

    group: int
    client: int
    server: int
    attempt: int
    began: float
    ended: float
    action: Action
    answer: Answer | None = None

    @property
    def known(self) -> bool:
        """Whether it was acknowledged."""
        return self.ended != NEVER

    @property
    def marks(self) -> tuple[int, ...]:
        """The sayings that it may leave on profiles."""
        if isinstance(self.action, Update):
            return (self.action.said.mark,)
        if isinstance(self.action, Batch):
            return tuple(said.mark for said in self.action.said)
        return ()


class GroupHistory(msgspec.Struct):
    """Everything that happened to one group. ``kinds`` and ``texts`` are its keys."""

    number: int
    kinds: list[Kind]
    texts: list[str]
    operations: list[Operation] = []

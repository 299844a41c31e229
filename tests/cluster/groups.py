"""The groups that a load is about: their keys, what is to be said next, and what was recorded."""

from __future__ import annotations

import random

from tests.cluster.configuration import MOST_HITS, VARIANTS
from tests.cluster.operations import (
    Action,
    Batch,
    Delete,
    GroupHistory,
    Kind,
    Preflight,
    Read,
    Said,
    Update,
)

OWN, GIVEN, USERS = 2, 3, 2
PROFILES_PER_GROUP = OWN + GIVEN
_MOST_DELETES = 2
_MOST_MADE = 3
# As many as can be told apart, less a few repetitions that count as new ones.
MOST_MARKS = MOST_HITS - 10

WEIGHTS: dict[str, float] = {
    "update": 36,
    "identify": 9,
    "read": 22,
    "preflight": 4,
    "batch": 9,
    "import": 12,
    "make": 5,
    "delete": 1.5,
}


class Group:
    """One group under load. ``ready`` once the ids that preflights give are there."""

    def __init__(self, number: int, tag: str, first_ms: int) -> None:
        self.number = number
        self.tag = tag
        self.history = GroupHistory(number, [], [])
        self.ready = False
        self.marks = 0
        self._first_ms = first_ms
        self._deletes = 0
        self._keys: dict[str, int] = {}

    def open(self, own: list[str]) -> None:
        """Begin with these ids of preflights."""
        for text in own:
            self.key_of(text, "own")
        for number in range(GIVEN):
            self.key_of(f"given-{self.tag}-{number}", "given")
        for number in range(USERS):
            self.key_of(f"user-{self.tag}-{number}", "user")
        self.ready = True

    def key_of(self, text: str, kind: Kind | None = None) -> int:
        """The number of a key. New ones have to say what they are; KeyError for unknown ones."""
        if kind is not None and text not in self._keys:
            self._keys[text] = len(self._keys)
            self.history.kinds.append(kind)
            self.history.texts.append(text)
        return self._keys[text]

    @property
    def exhausted(self) -> bool:
        """Whether nothing more can be said of it."""
        return self.marks >= MOST_MARKS

    def first_action(self, generator: random.Random) -> Action:
        """One batch about every profile that it begins with."""
        keys = self._of("own", "given")
        return Batch(tuple(self.saying(generator, key) for key in keys), waits=False)

    def next_action(self, generator: random.Random) -> Action | None:
        """What a client asks for next; None: a new profile."""
        names = list(WEIGHTS)
        kind = generator.choices(names, list(WEIGHTS.values()))[0]
        if kind == "make":
            return None if self._count("made") < _MOST_MADE else Read(self._any(generator))
        if kind == "delete":
            if self._deletes >= _MOST_DELETES:
                return Read(self._any(generator))
            self._deletes += 1
            return Delete(self._any(generator))
        if kind == "read":
            return Read(self._any(generator))
        if kind == "preflight":
            return Preflight(self.saying(generator, self._any(generator)))
        if kind in {"batch", "import"}:
            keys = self._some(generator, generator.choice((1, 2, 2, 3)))
            waits = kind == "import"
            named = generator.randrange(len(keys)) if generator.random() < 0.2 else None
            return Batch(
                tuple(
                    self.saying(generator, key, names_user=number == named)
                    for number, key in enumerate(keys)
                ),
                waits,
            )
        key = self._any(generator)
        return Update(self.saying(generator, key, names_user=kind == "identify"))

    def saying(self, generator: random.Random, key: int, *, names_user: bool = False) -> Said:
        """Something new to say of a profile, at a time of its own. Some of it comes late."""
        mark = self.marks
        self.marks += 1
        late_ms = generator.choice((0, 0, 0, 0, 3_500, 20_500))
        user = generator.choice(self._of("user")) if names_user else None
        locks = generator.randrange(1, VARIANTS) if generator.random() < 0.2 else None
        return Said(key, mark, self._first_ms + 1_000 * mark - late_ms, user, locks)

    def _of(self, *kinds: Kind) -> list[int]:
        return [key for key, kind in enumerate(self.history.kinds) if kind in kinds]

    def _count(self, kind: Kind) -> int:
        return self.history.kinds.count(kind)

    def _any(self, generator: random.Random) -> int:
        return generator.randrange(len(self.history.kinds))

    def _some(self, generator: random.Random, count: int) -> list[int]:
        # A batch would make a profile of a user id that leads nowhere.
        keys = self._of("own", "made", "given")
        return generator.sample(keys, min(count, len(keys)))

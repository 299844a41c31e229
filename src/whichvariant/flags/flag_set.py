"""All flags of an engine, and asking for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from whichvariant.contracts import Experience, InlineVariable
from whichvariant.engine import Engine
from whichvariant.flags.context import Visitor
from whichvariant.flags.flag import (
    NOBODY,
    Choice,
    Flag,
    draws,
    experience_choice,
    nobodys,
    reason_of,
    variable_choice,
)


class FlagSet:
    """The flags of one engine. Immutable, like the engine.

    Keys of inline variables come first: an experience whose id is one is no flag by its id.

    Flags are made when they are first asked for; of a large configuration most never are.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.digest = engine.digest
        self._configuration = engine.configuration
        self._audiences = {one.id: one for one in self._configuration.audiences}
        numbers = {one: number for number, one in enumerate(engine.program.experience_ids)}
        self._first_record: list[int] = []
        total = 0
        for number in range(len(numbers)):
            self._first_record.append(total)
            total += engine.program.highest_index(number) + 1
        self._numbered = [(numbers[one.id], one) for one in self._configuration.experiences]
        self._numbered.sort(key=lambda pair: pair[0])
        self._deciding: dict[str, list[tuple[int, Experience]]] = {}
        for number, experience in self._numbered:
            for key in _keys(experience):
                self._deciding.setdefault(key, []).append((number, experience))
        self._variables = frozenset(self._deciding)
        for number, experience in self._numbered:
            if experience.id not in self._variables:
                self._deciding[experience.id] = [(number, experience)]
        self._flags: dict[str, Flag] = {}

    # ---- what there is ------------------------------------------------------------------------

    def find(self, key: str) -> Flag | None:
        """The flag of a key; None if the configuration does not speak of it."""
        flag = self._flags.get(key)
        if flag is None and key in self._deciding:
            flag = self._flags[key] = self._make(key)
        return flag

    def keys(self) -> list[str]:
        """All keys: inline variables, then experiences."""
        return list(self._deciding)

    def __iter__(self) -> Iterator[Flag]:
        return (self._flags.get(key) or self._made(key) for key in self._deciding)

    def __len__(self) -> int:
        return len(self._deciding)

    def changed_since(self, before: FlagSet) -> list[str]:
        """The keys of flags that are new, gone, or decided otherwise, sorted."""
        changed = before._deciding.keys() ^ self._deciding.keys()
        for key in before._deciding.keys() & self._deciding.keys():
            if before._parts(key) != self._parts(key):
                changed.add(key)
        return sorted(changed)

    # ---- asking -------------------------------------------------------------------------------

    def choose(self, flag: Flag, visitor: Visitor) -> Choice:
        """What a flag is for a visitor. ProfileError, EventError as `Engine.select`."""
        if not flag.among:
            return flag.choices[NOBODY]
        record = self.engine.first_record(
            visitor.profile,
            flag.among,
            device=visitor.device,
            events=visitor.events,
            counts=visitor.counts,
        )
        return flag.choices[record]

    def choose_all(self, visitor: Visitor) -> Iterator[tuple[Flag, Choice]]:
        """What every flag is for a visitor, from one selection."""
        selection = self.engine.select(
            visitor.profile, device=visitor.device, events=visitor.events, counts=visitor.counts
        )
        chosen = {one["experienceId"]: one["variantIndex"] for one in selection.experiences}
        ids = self.engine.program.experience_ids
        records = {
            number: self._first_record[number] + chosen[ids[number]]
            for number, _ in self._numbered
            if ids[number] in chosen
        }
        for flag in self:
            first = next((records[one] for one in flag.among if one in records), NOBODY)
            yield flag, flag.choices[first]

    # ---- making them --------------------------------------------------------------------------

    def _made(self, key: str) -> Flag:
        flag = self.find(key)
        assert flag is not None
        return flag

    def _make(self, key: str) -> Flag:
        # Nobody is in at traffic 0: such an experience decides nothing.
        deciding = [pair for pair in self._deciding[key] if pair[1].traffic > 0]
        choices = {NOBODY: nobodys([experience for _, experience in deciding], self.digest)}
        for position, (number, experience) in enumerate(deciding):
            reason = reason_of(experience, position)
            for index in range(self.engine.program.highest_index(number) + 1):
                choices[self._first_record[number] + index] = (
                    variable_choice(key, experience, index, reason, self.digest)
                    if key in self._variables
                    else experience_choice(experience, index, reason, self.digest)
                )
        return Flag(
            key,
            tuple(number for number, _ in deciding),
            MappingProxyType(choices),
            any(draws(experience) for _, experience in deciding),
            self._parts(key),
        )

    def _parts(self, key: str) -> tuple[Any, ...]:
        return (
            self._configuration.scheme,
            *(
                (experience, self._audiences.get(experience.audience or ""))
                for _, experience in self._deciding[key]
            ),
        )


def _keys(experience: Experience) -> Sequence[str]:
    """The keys of an experience's inline variables, each once, in order."""
    found: Mapping[str, None] = {
        component.key: None
        for component in experience.components
        if isinstance(component, InlineVariable)
    }
    return list(found)

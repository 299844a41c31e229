"""What two configurations have in common, and where everything that is counted stands.

All counts of a replay are one vector of integers, so that reports of parts add up by adding
vectors. A `Plan` says which stretch of it counts what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from whichvariant.columns.result import is_wide
from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Audience,
    Configuration,
    CounterTest,
    EntryReplacement,
    Experience,
    InlineVariable,
    JsonValue,
    Not,
    Rule,
)
from whichvariant.contracts.configuration import id_order
from whichvariant.loading.digest import canonical_value, content_of

if TYPE_CHECKING:
    from whichvariant.engine import Engine

Against = Literal["configuration", "stored", "nothing"]

CAUSES = ("audience", "traffic", "sticky", "distribution", "new", "removed", "unknown")
"""Why a visitor moved in an experience. Each mover has one: see docs/replay.md."""

Counts = NDArray[np.int64]

_MOST_STORED_INDEX = 63
"""The highest index that stored selections may have; what has more is rejected."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One experience on both sides. A number is None where that side lacks the experience.

    ``n_old`` and ``n_new`` are how many indices each side has, 0 for none.
    """

    id: str
    old: int | None
    new: int | None
    n_old: int
    n_new: int
    audience_old: int
    audience_new: int


@dataclass(frozen=True, slots=True)
class AudiencePair:
    """One audience on both sides."""

    id: str
    old: int | None
    new: int | None


@dataclass(slots=True)
class Spot:
    """A baseline entry or variable, and what can be shown in its place.

    ``shown`` are the things by code, 0 being what is shown when no experience is selected. For each
    side: the experiences that have the spot, in the API's order, each with its codes by index.
    """

    name: str
    shown: list[Any]
    old: list[tuple[int, NDArray[np.uint16]]] = field(default_factory=list)
    new: list[tuple[int, NDArray[np.uint16]]] = field(default_factory=list)


class Plan:
    """How a replay of ``old`` against ``new`` counts.

    ``old`` is None for no old side at all; with ``stored`` the old side is what records say, in
    terms of the new configuration's experiences.
    """

    def __init__(self, old: Engine | None, new: Engine, *, stored: bool = False) -> None:
        self.old = old
        self.new = new
        self.against: Against = (
            "stored" if stored else "configuration" if old is not None else "nothing"
        )
        self.new_configuration = new.configuration
        self.old_configuration: Configuration | None = None
        if old is not None:
            self.old_configuration = old.configuration
        self.pairs = self._pair_experiences()
        self.audiences = self._pair_audiences()
        self.entries = self._spots(_entry_codes)
        self.variables = self._spots(_variable_codes)
        self.experiments_old = _experiments(self.old_configuration)
        self.experiments_new = _experiments(self.new_configuration)
        self._lay_out()

    # ---- both sides ---------------------------------------------------------------------------

    def _pair_experiences(self) -> list[Pair]:
        new = {e.id: (i, e) for i, e in enumerate(self.new_configuration.experiences)}
        audiences_new = {a.id: i for i, a in enumerate(self.new_configuration.audiences)}
        old: Mapping[str, tuple[int, Experience]] = {}
        audiences_old: Mapping[str, int] = {}
        if self.old_configuration is not None:
            old = {e.id: (i, e) for i, e in enumerate(self.old_configuration.experiences)}
            audiences_old = {a.id: i for i, a in enumerate(self.old_configuration.audiences)}
        pairs = []
        for identifier in sorted({*old, *new}, key=id_order):
            number_old, before = old.get(identifier, (None, None))
            number_new, after = new.get(identifier, (None, None))
            n_old = 0 if before is None else before.highest_index + 1
            n_new = 0 if after is None else after.highest_index + 1
            if self.against == "stored":
                number_old, n_old = number_new, max(n_new, _MOST_STORED_INDEX + 1)
            pairs.append(
                Pair(
                    identifier,
                    number_old,
                    number_new,
                    n_old,
                    n_new,
                    _audience_of(before, audiences_old),
                    _audience_of(after, audiences_new),
                )
            )
        return pairs

    def _pair_audiences(self) -> list[AudiencePair]:
        new = {a.id: i for i, a in enumerate(self.new_configuration.audiences)}
        old: dict[str, int] = {}
        if self.old_configuration is not None:
            old = {a.id: i for i, a in enumerate(self.old_configuration.audiences)}
        return [
            AudiencePair(identifier, old.get(identifier), new.get(identifier))
            for identifier in sorted({*old, *new}, key=id_order)
        ]

    def _spots(self, codes_of: Any) -> list[Spot]:
        """Baselines or variables of both sides, with the codes of what each index shows."""
        spots: dict[str, Spot] = {}
        known: dict[str, dict[str, int]] = {}
        sides: list[tuple[str, Configuration | None]] = [
            ("old", self.old_configuration),
            ("new", self.new_configuration),
        ]
        if self.against == "stored":
            # What stored indices showed is told by the new configuration, for want of another.
            sides[0] = ("old", self.new_configuration)
        for side, configuration in sides:
            experiences = () if configuration is None else configuration.experiences
            # As wide as the indices of the whole side are (`ColumnsResult.variants`).
            wide = is_wide(experience.highest_index for experience in experiences)
            for number, experience in enumerate(experiences):
                for name, default, by_index in codes_of(experience):
                    spot = spots.setdefault(name, Spot(name, [default]))
                    codes = known.setdefault(name, {_identity(default): 0})
                    table = np.zeros(1 << 16 if wide else 256, np.uint16)
                    for index, value in enumerate(by_index):
                        key = _identity(value)
                        if key not in codes:
                            codes[key] = len(spot.shown)
                            spot.shown.append(value)
                        table[index] = codes[key]
                    # A stored index beyond the variants shows the baseline, as index 0 does.
                    table[len(by_index) : len(table) - 1] = table[0]
                    (spot.old if side == "old" else spot.new).append((number, table))
        return [spots[name] for name in sorted(spots, key=id_order)]

    # ---- the vector ---------------------------------------------------------------------------

    def _lay_out(self) -> None:
        n = 0
        self._slices: dict[str, list[tuple[int, tuple[int, ...]]]] = {}

        def put(name: str, shapes: Iterable[tuple[int, ...]]) -> None:
            nonlocal n
            places = []
            for shape in shapes:
                places.append((n, shape))
                n += int(np.prod(shape))
            self._slices[name] = places

        cells = [(pair.n_old + 1, pair.n_new + 1) for pair in self.pairs]
        put("totals", [(len(TOTALS),)])
        put("cells", cells)
        put("causes", [(len(CAUSES), *shape) for shape in cells])
        put("held_old", [(shape[0],) for shape in cells])
        put("held_new", [(shape[1],) for shape in cells])
        put("audiences", [(len(self.audiences), 4)])
        put("entries", [(len(spot.shown), len(spot.shown)) for spot in self.entries])
        put("variables", [(len(spot.shown), len(spot.shown)) for spot in self.variables])
        put("overlap_old", [(len(self.experiments_old), len(self.experiments_old))])
        put("overlap_new", [(len(self.experiments_new), len(self.experiments_new))])
        self.size = n

    def views(self, counts: Counts) -> dict[str, list[Counts]]:
        """The stretches of ``counts`` by name, each in its shape; they share its memory."""
        return {
            name: [
                counts[start : start + int(np.prod(shape))].reshape(shape)
                for start, shape in places
            ]
            for name, places in self._slices.items()
        }

    def start(self, name: str) -> int:
        """Where the stretches of a name begin in the vector."""
        places = self._slices[name]
        return places[0][0] if places else 0

    def stretch(self, counts: Counts, name: str) -> Counts:
        """All stretches of a name, one behind the other; they share the memory of ``counts``."""
        size = sum(int(np.prod(shape)) for _, shape in self._slices[name])
        return counts[self.start(name) : self.start(name) + size]

    @cached_property
    def windows(self) -> bool:
        """Whether any rule counts back from *now*."""
        configurations = (self.old_configuration, self.new_configuration)
        return any(
            _has_window(audience.rule)
            for configuration in configurations
            if configuration is not None
            for audience in configuration.audiences
        )

    def is_edited(self, kind: Literal["audience", "experience"], identifier: str) -> bool:
        """Whether both configurations have it, and define it differently."""
        if self.old_configuration is None:
            return False
        contents = []
        for configuration in (self.old_configuration, self.new_configuration):
            entities: Sequence[Audience | Experience] = (
                configuration.audiences if kind == "audience" else configuration.experiences
            )
            contents += [content_of(e) for e in entities if e.id == identifier]
        return len(contents) == 2 and contents[0] != contents[1]


TOTALS = ("counted", "moved", "changed")
"""What the first stretch of the vector counts: visitors."""


class NotSet:
    """No selected experience sets a variable: the site's own default shows."""


NOT_SET = NotSet()


def _identity(value: JsonValue | NotSet) -> str:
    return "" if isinstance(value, NotSet) else "=" + canonical_value(value)


def _audience_of(experience: Experience | None, numbers: Mapping[str, int]) -> int:
    if experience is None or experience.audience is None:
        return -1
    return numbers[experience.audience]


def _entry_codes(experience: Experience) -> Iterable[tuple[str, Any, list[Any]]]:
    seen: set[str] = set()
    for component in experience.components:
        # Of two components with one baseline the first counts.
        if isinstance(component, EntryReplacement) and component.baseline not in seen:
            seen.add(component.baseline)
            yield (
                component.baseline,
                component.baseline,
                _by_index(experience, component.baseline, component.variants),
            )


def _variable_codes(experience: Experience) -> Iterable[tuple[str, Any, list[Any]]]:
    seen: set[str] = set()
    for component in experience.components:
        if isinstance(component, InlineVariable) and component.key not in seen:
            seen.add(component.key)
            yield (
                component.key,
                NOT_SET,
                _by_index(experience, component.baseline, component.variants),
            )


def _by_index(experience: Experience, baseline: Any, variants: Sequence[Any]) -> list[Any]:
    """What each index shows; the baseline where the component has no such variant."""
    missing = experience.highest_index - len(variants)
    return [baseline, *variants, *([baseline] * missing)]


def _experiments(configuration: Configuration | None) -> list[int]:
    """The experiences that split visitors: at least two indices have a share of the draw."""
    if configuration is None:
        return []
    return [
        number
        for number, experience in enumerate(configuration.experiences)
        if len({s.index for s in experience.distribution if s.end > s.start}) > 1
    ]


def _has_window(rule: Rule) -> bool:
    match rule:
        case AnyOf(rules) | AllOf(rules):
            return any(_has_window(inner) for inner in rules)
        case Not(inner):
            return _has_window(inner)
        case CounterTest(counter, _, _):
            return counter.within_ms is not None
        case _:
            return False

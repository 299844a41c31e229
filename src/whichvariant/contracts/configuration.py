"""A whole configuration: audiences, experiences, merge tags, and the bucketing scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from whichvariant.contracts.rules import Rule

JsonValue: TypeAlias = Any
"""A JSON value as Python has it: str, int, float, bool, None, list, dict with str keys."""

Scheme: TypeAlias = Literal["murmur3", "xxh64"]

_EMPTY: Mapping[str, JsonValue] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Audience:
    """`nt_audience`: an id and the rule that decides who belongs (SEMANTICS section 3)."""

    id: str
    rule: Rule
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of the distribution draw, ends included; the first that holds the draw wins."""

    index: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class EntryReplacement:
    """Replaces a content entry: ``baseline``, ``variants`` are entry ids, "" the empty variant."""

    baseline: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InlineVariable:
    """Sets one keyed value. A variant that has no value of its own repeats ``baseline`` here."""

    key: str
    value_type: Literal["String", "Number", "Boolean", "Object"] | None
    baseline: JsonValue
    variants: tuple[JsonValue, ...]


Component: TypeAlias = EntryReplacement | InlineVariable


@dataclass(frozen=True, slots=True)
class Experience:
    """`nt_experience`: who may see it, how visitors are split, and what each variant shows.

    ``audience`` is an audience id, None for everyone. ``traffic`` is in [0, 1]. ``distribution``
    holds the segments of the draw; from a list of shares they are its cumulative sums (SEMANTICS
    section 1). Components with a hidden baseline are already left out. ``extras`` are keys of
    `nt_config` that are carried, not used.
    """

    id: str
    audience: str | None
    traffic: float
    distribution: tuple[Segment, ...]
    sticky: bool
    components: tuple[Component, ...]
    type: Literal["nt_experiment", "nt_personalization"] | None = None
    name: str = ""
    description: str = ""
    extras: Mapping[str, JsonValue] = field(default_factory=lambda: _EMPTY, compare=False)

    @property
    def highest_index(self) -> int:
        """The highest variant index this experience has, by its distribution or its components."""
        by_distribution = max((segment.index for segment in self.distribution), default=0)
        by_components = max((len(component.variants) for component in self.components), default=0)
        return max(by_distribution, by_components)


@dataclass(frozen=True, slots=True)
class MergeTag:
    """`nt_mergetag`: a path into the profile, and what to show where it leads nowhere."""

    id: str
    name: str = ""
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that decides, validated. Each tuple is ordered as the API orders ids.

    ``digest`` is 32 hexadecimal digits over the whole content (XXH3-128 of a canonical form); it
    does not depend on the source format, key order, or the order of entries.
    """

    scheme: Scheme
    audiences: tuple[Audience, ...]
    experiences: tuple[Experience, ...]
    merge_tags: tuple[MergeTag, ...]
    digest: str


def id_order(identifier: str) -> tuple[str, str]:
    """Sort key of ids in answers: case-insensitive, ties by code point (SEMANTICS section 4)."""
    return identifier.lower(), identifier

"""Rules in the forms that other engines want, and what a peer is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.prepared import NEGATIONS, path_of

Json = Any

Decisions = list[tuple[str, int]]
"""(experience id, variant index) of every experience that a visitor takes part in."""


@dataclass
class Peer:
    """One engine, loaded with a workload.

    ``prepare(profile)`` gives the visitor in the plain form that the engine's users would hold, and
    is not timed. ``decide(prepared)`` makes all decisions and is timed. ``read(result)`` reads
    them out of what it returned, for the check, and is not timed. ``does`` says what a call does.
    """

    does: str
    prepare: Callable[[Mapping[str, Json]], Any]
    decide: Callable[[Any], Any]
    read: Callable[[Any], Decisions]
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Leaf:
    """One comparison. ``operator`` is a positive one; ``negated`` is true when missing."""

    path: str
    operator: str
    value: Json
    negated: bool

    @property
    def opposite(self) -> Leaf:
        """The leaf that is true exactly when this one is not."""
        return Leaf(self.path, self.operator, self.value, not self.negated)


@dataclass
class Inexact:
    """Counts the leaves that a peer cannot express, by what was put in their place."""

    leaves: Counter[str] = field(default_factory=Counter)

    def note(self, what: str) -> None:
        """One more leaf of this kind."""
        self.leaves[what] += 1


def leaf_of(rule: Mapping[str, Json]) -> Leaf:
    """A leaf of a native rule with its attribute's dotted path in the profile."""
    operator = rule["operator"]
    value = rule.get("value")
    positive = NEGATIONS.get(operator, operator)
    return Leaf(".".join(path_of(rule)), positive, value, operator in NEGATIONS)


def kind_of(rule: Mapping[str, Json]) -> tuple[str, list[Mapping[str, Json]]]:
    """``any``, ``all``, ``not`` or ``leaf``, and the children."""
    for kind in ("any", "all"):
        if kind in rule:
            return kind, rule[kind]
    return ("not", [rule["not"]]) if "not" in rule else ("leaf", [])


def alternatives(rule: Mapping[str, Json], negate: bool = False) -> list[list[Leaf]]:
    """The rule as an OR of ANDs of leaves, for engines without nesting."""
    kind, children = kind_of(rule)
    if kind == "leaf":
        leaf = leaf_of(rule)
        return [[leaf.opposite if negate else leaf]]
    if kind == "not":
        return alternatives(children[0], not negate)
    parts = [alternatives(child, negate) for child in children]
    if (kind == "any") != negate:
        return [one for part in parts for one in part]
    return [list(itertools.chain(*product)) for product in itertools.product(*parts)]


def with_presence(conjunctions: list[list[Leaf]]) -> list[list[Leaf]]:
    """For engines where a negative comparison fails on a missing attribute: "or it is missing"."""
    result = []
    for conjunction in conjunctions:
        choices = [
            [leaf, Leaf(leaf.path, "exists", None, True)]
            if leaf.negated and leaf.operator != "exists"
            else [leaf]
            for leaf in conjunction
        ]
        result.extend(list(one) for one in itertools.product(*choices))
    return result


def flattened(profile: Mapping[str, Json]) -> dict[str, Json]:
    """Traits, location and session as one level of dotted names."""

    def walk(prefix: str, value: Json) -> Iterator[tuple[str, Json]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(f"{prefix}.{key}", inner)
        else:
            yield prefix, value

    return {
        name: value
        for part in ("traits", "location", "session")
        for name, value in walk(part, profile[part])
    }


def split_points(config: Mapping[str, Json], total: int) -> list[tuple[int, int]]:
    """Where each variant's stretch begins and ends, out of a total; traffic is not applied."""
    ends = [round(total * end) for end in itertools.accumulate(config["distribution"])]
    ends[-1] = total
    return list(zip([0, *ends], ends, strict=False))


def weights(config: Mapping[str, Json], total: int) -> list[int]:
    """Whole weights of the variants with traffic applied; what is left to the total is nobody's."""
    inside = round(config["traffic"] * total)
    return [end - start for start, end in split_points(config, inside)]

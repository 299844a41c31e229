"""Audience rules after loading: a tree of groups over tests, with every synonym already resolved.

Meaning of each test: docs/rules.md (SEMANTICS section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""Where an attribute lives, e.g. ``("traits", "address", "city")``.

In a profile the first segment is ``traits``, ``location``, ``session`` or ``device`` (only
``("device", "type")``). In an event it is ``context`` or ``properties``.
"""

Operator: TypeAlias = Literal[
    "equal",
    "notEqual",
    "in",
    "notIn",
    "contains",
    "notContains",
    "startsWith",
    "endsWith",
    "matches",
    "greaterThan",
    "greaterThanInclusive",
    "lessThan",
    "lessThanInclusive",
    "exists",
    "notExists",
]

Operand: TypeAlias = str | float | tuple[str | float, ...] | None
"""What an attribute is compared with.

``in`` and ``notIn`` have a tuple, ``exists`` and ``notExists`` have None, the ordering operators a
float, the text operators (``contains`` … ``matches``) a str, ``equal`` and ``notEqual`` a str or a
float. Booleans have become ``"true"`` and ``"false"``; ``*`` has become ``exists``.
"""


@dataclass(frozen=True, slots=True)
class Test:
    """One attribute compared with one operand.

    ``path`` is read first; ``fallback`` (only in conditions on events) where ``path`` is missing.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    path: Path
    operator: Operator
    operand: Operand
    fallback: Path | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """Events of one type that meet all conditions, within a window. Equal counters count once.

    ``name`` is the track event's ``event`` or the screen's ``properties.name``; None is any.
    ``within_ms`` is the window's length in milliseconds; None is unbounded.
    """

    event_type: Literal["page", "track", "screen"]
    name: str | None
    conditions: tuple[Test, ...]
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class CounterTest:
    """A counter's value compared with a number of events.

    The operator is ``equal``, ``notEqual`` or an ordering one.
    """

    counter: Counter
    operator: Operator
    operand: float


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when at least one rule is. Empty: nobody."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every rule is. Empty: everybody."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True when the rule is not."""

    rule: Rule


Rule: TypeAlias = AnyOf | AllOf | Not | Test | CounterTest

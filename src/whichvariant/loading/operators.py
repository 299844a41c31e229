"""The one table of operator names: the vendor's, ours, and the synonyms that are accepted [policy].

Everything else is refused as ``unknown-operator`` (SEMANTICS section 3, docs/rules.md "Operators").
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from whichvariant.contracts import Operator

SYNONYMS: Final[dict[Operator, tuple[str, ...]]] = {
    "equal": ("equals", "eq", "is", "==", "==="),
    "notEqual": ("notEquals", "ne", "neq", "isNot", "!=", "!=="),
    "in": ("isIn", "oneOf"),
    "notIn": ("isNotIn", "noneOf"),
    "contains": ("includes",),
    "notContains": ("doesNotContain", "notIncludes"),
    "startsWith": ("beginsWith",),
    "endsWith": (),
    "matches": ("regex", "matchesRegex"),
    "greaterThan": ("gt", ">"),
    "greaterThanInclusive": ("gte", "greaterThanOrEqual", ">="),
    "lessThan": ("lt", "<"),
    "lessThanInclusive": ("lte", "lessThanOrEqual", "<="),
    "exists": ("isSet",),
    "notExists": ("isNotSet", "doesNotExist"),
}
"""Canonical operator to the other names it goes by."""

OPERATORS: Final = MappingProxyType(
    {name: operator for operator, names in SYNONYMS.items() for name in (operator, *names)}
)
"""Every accepted name, case-sensitive, to its canonical operator."""

ORDERING: Final[frozenset[Operator]] = frozenset(
    {"greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"}
)
"""Operators that need two numbers."""

COUNTING: Final[frozenset[Operator]] = ORDERING | {"equal", "notEqual"}
"""Operators that compare a number of events."""

WILDCARD: Final[dict[Operator, Operator]] = {
    "equal": "exists",
    "contains": "exists",
    "startsWith": "exists",
    "endsWith": "exists",
    "notEqual": "notExists",
    "notContains": "notExists",
}
"""What an operator becomes when its whole value is ``*``: any value present."""

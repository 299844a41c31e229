"""Comparisons, deduplicated and numbered by slot.

A *leaf* is one positive comparison on one attribute path; a *slot* is one path. Negative operators
are the same leaf with the branches of the decision graph swapped. Order within a slot is what
`_core/leaves.pxd` asks for: thresholds ascending, then equality, text operations, patterns,
existence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from whichvariant._core.leaf_table import OPERATIONS
from whichvariant.contracts import Operand, Operator, Path, Test

Members: TypeAlias = tuple[tuple[int, str, float], ...]
"""The elements of an `in` leaf, sorted: texts as (0, text, 0.0), numbers as (1, "", number)."""

_NEGATED: dict[Operator, Operator] = {
    "notEqual": "equal",
    "notIn": "in",
    "notContains": "contains",
    "notExists": "exists",
}


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """One positive comparison, in the order in which leaves are numbered.

    ``threshold`` is only meaningful for the ordering operations, ``text`` for the text operations,
    ``members`` for `in`.
    """

    path: Path
    operation: int
    threshold: float = 0.0
    text: str = ""
    members: Members = ()


def leaf_of(path: Path, operator: Operator, operand: Operand) -> tuple[Leaf, bool]:
    """The leaf that decides a comparison, and whether its answer has to be negated."""
    positive = _NEGATED.get(operator, operator)
    negated = positive is not operator
    if positive in ("equal", "in"):
        elements: tuple[Any, ...] = operand if isinstance(operand, tuple) else (operand,)
        members = sorted({_member(element) for element in elements})
        return Leaf(path, OPERATIONS["in"], members=tuple(members)), negated
    if positive == "exists":
        return Leaf(path, OPERATIONS["exists"]), negated
    if positive in ("contains", "startsWith", "endsWith", "matches"):
        return Leaf(path, OPERATIONS[positive], text=str(operand)), negated
    # Adding 0.0 turns -0.0 into 0.0. There is no double between a number and the next, so
    # "greater than t" and "at least the next double after t" are the same comparison.
    threshold = float(operand) + 0.0  # type: ignore[arg-type]
    if positive in ("greaterThan", "lessThanInclusive"):
        threshold = math.nextafter(threshold, math.inf)
    operation = "greaterThanInclusive" if positive.startswith("greater") else "lessThan"
    return Leaf(path, OPERATIONS[operation], threshold=threshold), negated


def leaf_of_condition(test: Test) -> tuple[Leaf, bool]:
    """The leaf of a condition on an event.

    An event's attribute may have a second place to look; the core takes both in one path, with an
    empty segment between the alternatives.
    """
    path = test.path if test.fallback is None else (*test.path, "", *test.fallback)
    return leaf_of(path, test.operator, test.operand)


def _member(element: str | float) -> tuple[int, str, float]:
    if isinstance(element, str):
        return 0, element, 0.0
    return 1, "", float(element) + 0.0


class LeafNumbers:
    """All leaves of a program, numbered; ``paths`` are its slots."""

    def __init__(self, leaves: Iterable[Leaf], paths: Iterable[Path] = ()) -> None:
        self.leaves = sorted(set(leaves))
        self.paths = sorted({leaf.path for leaf in self.leaves} | set(paths))
        self.number = {leaf: number for number, leaf in enumerate(self.leaves)}

    def tables(self) -> dict[str, Any]:
        """What `_core.program.LeafTable` is built from."""
        slots = {path: slot for slot, path in enumerate(self.paths)}
        return {
            "paths": [list(path) for path in self.paths],
            "slot": np.array([slots[leaf.path] for leaf in self.leaves], "<u4").tobytes(),
            "op": np.array([leaf.operation for leaf in self.leaves], "u1").tobytes(),
            "number": np.array([leaf.threshold for leaf in self.leaves], "<f8").tobytes(),
            "operands": [_operand(leaf) for leaf in self.leaves],
        }


def _operand(leaf: Leaf) -> Any:
    if leaf.operation == OPERATIONS["in"]:
        return [text if kind == 0 else number for kind, text, number in leaf.members]
    if leaf.operation in _TEXT_OPERATIONS:
        return leaf.text
    return None


_TEXT_OPERATIONS = frozenset(
    OPERATIONS[name] for name in ("contains", "startsWith", "endsWith", "matches")
)

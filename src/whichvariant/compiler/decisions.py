"""Audience rules as decision graphs.

A rule becomes nodes ``{leaf, low, high}``: go to ``high`` when the leaf is true, to ``low`` when it
is not, until FALSE or TRUE is reached. Every node leads only to earlier ones, so every walk ends,
and equal nodes are one. An OR hands its false side on to the next alternative, an AND its true
side, a NOT swaps the two: a graph is as large as its rule has leaves, whatever the nesting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from whichvariant.compiler.leaves import Leaf, leaf_of
from whichvariant.contracts import AllOf, AnyOf, Counter, CounterTest, Not, Rule, Test

FALSE = 0
TRUE = 1


def comparisons(rule: Rule) -> Iterator[Test | CounterTest]:
    """All comparisons in a rule, left to right."""
    if isinstance(rule, (Test, CounterTest)):
        yield rule
    elif isinstance(rule, Not):
        yield from comparisons(rule.rule)
    else:
        for part in rule.rules:
            yield from comparisons(part)


def counter_path(number: int) -> tuple[str, str]:
    """The slot of an activity counter."""
    return "activity", f"{number:06d}"


def comparison_leaf(
    comparison: Test | CounterTest, counters: dict[Counter, int]
) -> tuple[Leaf, bool]:
    """The leaf of one comparison of a rule, and whether its answer is negated."""
    if isinstance(comparison, CounterTest):
        path = counter_path(counters[comparison.counter])
        return leaf_of(path, comparison.operator, comparison.operand)
    return leaf_of(comparison.path, comparison.operator, comparison.operand)


class DecisionGraph:
    """Collects the nodes of many rules."""

    def __init__(self, numbers: dict[Leaf, int], counters: dict[Counter, int]) -> None:
        self._numbers = numbers
        self._counters = counters
        self._nodes: list[tuple[int, int, int]] = [(0, FALSE, FALSE), (0, TRUE, TRUE)]
        self._known: dict[tuple[int, int, int], int] = {}
        self._entries: list[int] = []

    def add(self, rule: Rule) -> int:
        """Add an audience's rule; its entry node."""
        entry = self._build(rule, TRUE, FALSE)
        self._entries.append(entry)
        return entry

    def _build(self, rule: Rule, high: int, low: int) -> int:
        """A node that leads to ``high`` where the rule holds and to ``low`` where it does not."""
        if isinstance(rule, AnyOf):
            for part in reversed(rule.rules):
                low = self._build(part, high, low)
            return low
        if isinstance(rule, AllOf):
            for part in reversed(rule.rules):
                high = self._build(part, high, low)
            return high
        if isinstance(rule, Not):
            return self._build(rule.rule, low, high)
        leaf, negated = comparison_leaf(rule, self._counters)
        if negated:
            high, low = low, high
        if high == low:
            return high
        node = (self._numbers[leaf], low, high)
        number = self._known.get(node)
        if number is None:
            number = self._known[node] = len(self._nodes)
            self._nodes.append(node)
        return number

    def tables(self) -> dict[str, Any]:
        """What `_core.program.Program` is built from."""
        nodes = np.array(self._nodes, "<u4")
        return {
            "leaf": np.ascontiguousarray(nodes[:, 0]).tobytes(),
            "low": np.ascontiguousarray(nodes[:, 1]).tobytes(),
            "high": np.ascontiguousarray(nodes[:, 2]).tobytes(),
            "entry": np.array(self._entries, "<u4").tobytes(),
        }

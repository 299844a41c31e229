"""Rules as formulas over leaves, simplified as leaves become known.

Equal formulas are one number, so that what is left of several rules can be compared at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from whichvariant.contracts import AnyOf, CounterTest, Not, Rule, Test

FALSE = 0
TRUE = 1

_AND = 0
_OR = 1
_LITERAL = 2

_Node: TypeAlias = tuple[int, tuple[int, ...], int]
"""(_LITERAL, (leaf,), whether it has to be true), or (_AND or _OR, parts ascending, 0)."""


class Formulas:
    """All formulas of one enumeration. FALSE and TRUE are the numbers 0 and 1."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = [(-1, (), 0), (-1, (), 1)]
        self._numbers: dict[_Node, int] = {}
        self._leaves: list[frozenset[int]] = [frozenset(), frozenset()]

    def leaves(self, formula: int) -> frozenset[int]:
        """The leaves on which a formula still depends."""
        return self._leaves[formula]

    def of_rule(self, rule: Rule, leaf_of: Callable[[Test | CounterTest], tuple[int, bool]]) -> int:
        """The formula of a rule; ``leaf_of`` gives a comparison's leaf, and whether negated."""
        return self._of_rule(rule, leaf_of, wanted=True)

    def _of_rule(
        self,
        rule: Rule,
        leaf_of: Callable[[Test | CounterTest], tuple[int, bool]],
        *,
        wanted: bool,
    ) -> int:
        if isinstance(rule, Not):
            return self._of_rule(rule.rule, leaf_of, wanted=not wanted)
        if isinstance(rule, (Test, CounterTest)):
            leaf, negated = leaf_of(rule)
            return self._node((_LITERAL, (leaf,), int(wanted is not negated)), frozenset((leaf,)))
        parts = [self._of_rule(part, leaf_of, wanted=wanted) for part in rule.rules]
        return self._group(_OR if isinstance(rule, AnyOf) is wanted else _AND, parts)

    def _node(self, node: _Node, leaves: frozenset[int]) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self._nodes)
            self._nodes.append(node)
            self._leaves.append(leaves)
        return number

    def _group(self, kind: int, parts: Iterable[int]) -> int:
        """A conjunction or disjunction, simplified."""
        neutral, absorbing = (TRUE, FALSE) if kind == _AND else (FALSE, TRUE)
        found: set[int] = set()
        literals: dict[int, int] = {}
        for part in parts:
            if part == absorbing:
                return absorbing
            if part == neutral:
                continue
            node = self._nodes[part]
            # A group within a group of its kind is no group of its own.
            for one in node[1] if node[0] == kind else (part,):
                found.add(one)
                operation, content, wanted = self._nodes[one]
                if operation == _LITERAL and literals.setdefault(content[0], wanted) != wanted:
                    return absorbing
        if not found:
            return neutral
        if len(found) == 1:
            return found.pop()
        ordered = tuple(sorted(found))
        leaves = frozenset().union(*(self._leaves[one] for one in ordered))
        return self._node((kind, ordered, 0), leaves)

    def restrict(
        self, formula: int, known: Mapping[int, bool], memo: dict[int, int] | None = None
    ) -> int:
        """What is left of a formula when some leaves are known. ``memo`` belongs to ``known``."""
        if self._leaves[formula].isdisjoint(known):
            return formula
        if memo is None:
            memo = {}
        result = memo.get(formula)
        if result is None:
            kind, content, wanted = self._nodes[formula]
            if kind == _LITERAL:
                result = int(known[content[0]] is bool(wanted))
            else:
                result = self._group(kind, [self.restrict(one, known, memo) for one in content])
            memo[formula] = result
        return result

"""Decision graphs, walked here step by step, say what the rules say (compiler/decisions.py)."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from whichvariant.compiler.decisions import (
    FALSE,
    TRUE,
    DecisionGraph,
    comparison_leaf,
    comparisons,
    counter_path,
)
from whichvariant.compiler.leaves import LeafNumbers
from whichvariant.contracts import AllOf, AnyOf, Counter, CounterTest, Not, Rule, Test

Answers = dict[str, bool]
"""Which traits are present."""

NAMES = "abcdefgh"
PAGES = Counter("page", None, (), None)
TRACKS = Counter("track", "bought", (), 5)


def present(name: str) -> Test:
    return Test(("traits", name), "exists", None)


def absent(name: str) -> Test:
    return Test(("traits", name), "notExists", None)


class Graph:
    """The graph of some rules, read back from its tables."""

    def __init__(self, *rules: Rule) -> None:
        every = [comparison for rule in rules for comparison in comparisons(rule)]
        counters = {PAGES: 0, TRACKS: 1}
        self.leaves = LeafNumbers(comparison_leaf(one, counters)[0] for one in every)
        graph = DecisionGraph(self.leaves.number, counters)
        self.added = [graph.add(rule) for rule in rules]
        tables = graph.tables()
        self.leaf, self.low, self.high, self.entry = (
            np.frombuffer(tables[name], "<u4").tolist() for name in ("leaf", "low", "high", "entry")
        )

    @property
    def inner(self) -> int:
        """How many nodes there are besides the two ends."""
        return len(self.leaf) - 2

    def walk(self, number: int, answers: Answers) -> bool:
        node = self.entry[number]
        while node > TRUE:
            name = self.leaves.leaves[self.leaf[node]].path[-1]
            node = (self.high if answers[name] else self.low)[node]
        return bool(node == TRUE)


def random_rule(source: Random, depth: int) -> Rule:
    kind = source.randrange(6) if depth else 0
    if kind < 2:
        return source.choice([present, absent])(source.choice(NAMES))
    if kind == 2:
        return Not(random_rule(source, depth - 1))
    parts = tuple(random_rule(source, depth - 1) for _ in range(source.choice([0, 1, 2, 2, 3, 5])))
    return AnyOf(parts) if kind < 5 else AllOf(parts)


def holds(rule: Rule, answers: Answers) -> bool:
    """The rule as it reads."""
    if isinstance(rule, AnyOf):
        return any(holds(part, answers) for part in rule.rules)
    if isinstance(rule, AllOf):
        return all(holds(part, answers) for part in rule.rules)
    if isinstance(rule, Not):
        return not holds(rule.rule, answers)
    return answers[rule.path[-1]] == (rule.operator == "exists")


def every_answer(names: str) -> list[Answers]:
    return [
        {name: bool(bits >> place & 1) for place, name in enumerate(names)}
        for bits in range(1 << len(names))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_answers_as_the_rule(seed: int) -> None:
    """For all 256 combinations of eight traits, three rules in one graph."""
    source = Random(seed)
    rules = [random_rule(source, depth) for depth in (2, 4, 6)]
    graph = Graph(*rules)
    for answers in every_answer(NAMES):
        for number, rule in enumerate(rules):
            assert graph.walk(number, answers) == holds(rule, answers), (rule, answers)


@pytest.mark.parametrize("seed", range(60))
def test_a_graph_has_at_most_one_node_a_comparison(seed: int) -> None:
    """Whatever the nesting: nothing is expanded."""
    rule = random_rule(Random(seed), 7)
    assert Graph(rule).inner <= len(list(comparisons(rule)))


@pytest.mark.parametrize("seed", range(60))
def test_nodes_lead_only_to_earlier_ones(seed: int) -> None:
    graph = Graph(random_rule(Random(seed), 6), random_rule(Random(-seed), 6))
    for node in range(2, len(graph.leaf)):
        assert max(graph.low[node], graph.high[node]) < node
    nodes = list(zip(graph.leaf, graph.low, graph.high, strict=True))[2:]
    assert len(set(nodes)) == len(nodes)
    assert all(low != high for _, low, high in nodes)


def test_size_is_linear_where_a_normal_form_would_explode() -> None:
    """20 alternatives in each of 20 groups: 400 nodes, not 20 to the 20th."""
    groups = tuple(AnyOf(tuple(present(f"t{n}_{k}") for k in range(20))) for n in range(20))
    assert Graph(AllOf(groups)).inner == 400
    assert Graph(AnyOf(tuple(AllOf(group.rules) for group in groups))).inner == 400


def test_equal_rules_share_all_nodes() -> None:
    rule = AllOf((present("a"), AnyOf((present("b"), absent("c")))))
    once = Graph(rule)
    thrice = Graph(rule, present("d"), rule)
    assert thrice.inner == once.inner + 1
    assert thrice.entry[0] == thrice.entry[2]


def test_equal_ends_of_rules_share_their_nodes() -> None:
    """An AND is built from its end, so rules with a common end have it once."""
    first = AllOf((present("a"), present("c"), present("d")))
    second = AllOf((present("b"), present("c"), present("d")))
    assert Graph(first, second).inner == 4


def test_a_negation_costs_nothing() -> None:
    graph = Graph(present("a"), Not(present("a")), absent("a"))
    assert graph.inner == 2
    assert graph.entry[1] == graph.entry[2] != graph.entry[0]
    assert Graph(Not(Not(present("a"))), present("a")).inner == 1


def test_add_gives_the_entry() -> None:
    graph = Graph(present("a"), AnyOf(()), AllOf(()))
    assert graph.added == graph.entry == [2, FALSE, TRUE]


@pytest.mark.parametrize(
    ("rule", "entry"),
    [
        (AnyOf(()), FALSE),
        (AllOf(()), TRUE),
        (Not(AnyOf(())), TRUE),
        (Not(AllOf(())), FALSE),
        (AnyOf((AnyOf(()), AllOf((AnyOf(()),)))), FALSE),
        (AllOf((present("a"), AnyOf(()))), FALSE),
        (AnyOf((AllOf(()), present("a"))), TRUE),
        (AllOf((AnyOf(()), present("a"))), FALSE),
        (AnyOf((present("a"), AllOf(()))), TRUE),
    ],
)
def test_constants(rule: Rule, entry: int) -> None:
    """Empty groups are no nodes, and nothing is asked whose answer cannot matter."""
    assert {holds(rule, answers) for answers in every_answer("a")} == {entry == TRUE}
    assert Graph(rule).entry == [entry]


def test_no_rules() -> None:
    graph = Graph()
    assert (graph.leaf, graph.low, graph.high, graph.entry) == ([0, 0], [0, 1], [0, 1], [])


# --- comparisons ---------------------------------------------------------------------------------


def test_comparisons_come_left_to_right() -> None:
    rule = AnyOf(
        (present("b"), Not(AllOf((absent("a"), present("b")))), CounterTest(PAGES, "equal", 1))
    )
    expected = [present("b"), absent("a"), present("b"), CounterTest(PAGES, "equal", 1)]
    assert list(comparisons(rule)) == expected


def test_a_counter_is_a_slot() -> None:
    counters = {PAGES: 0, TRACKS: 12}
    leaf, negated = comparison_leaf(CounterTest(TRACKS, "notEqual", 3.0), counters)
    assert leaf.path == counter_path(12) == ("activity", "000012")
    assert negated
    assert leaf.members == ((1, "", 3.0),)


@pytest.mark.parametrize("numbers", [(9, 10), (99, 100), (99_999, 100_000)])
def test_counter_slots_sort_by_their_number(numbers: Any) -> None:
    assert counter_path(numbers[0]) < counter_path(numbers[1])

"""A configuration in, the tables of a program out.

The tables are a dict of plain values and little-endian buffers, so that a program can be saved as
it stands:

``scheme``, ``experience_ids``, ``audience_ids``
    As in the configuration, in the API's order.
``leaves``, ``event_leaves``
    Comparisons on the profile and on events (`compiler.leaves`).
``counters``
    ``[event type, name or None, [[event leaf, wanted byte], ...], window in ms or None]``.
``graph``
    Decision nodes and the entry of every audience (`compiler.decisions`).
``lanes``, ``experiences``
    Hash states, thresholds and pieces (`compiler.buckets`).
``records``
    JSON of every record and change (`compiler.templates`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from whichvariant._core.program import Program
from whichvariant.compiler.buckets import experience_tables, lane_tables
from whichvariant.compiler.decisions import (
    DecisionGraph,
    comparison_leaf,
    comparisons,
    counter_path,
)
from whichvariant.compiler.leaves import LeafNumbers, leaf_of_condition
from whichvariant.compiler.templates import record_tables, shared_objects
from whichvariant.contracts import Configuration, Counter, CounterTest


class Numbering:
    """Which number every counter and leaf of a configuration has. Depends on nothing else."""

    def __init__(self, configuration: Configuration) -> None:
        everything = [
            comparison
            for audience in configuration.audiences
            for comparison in comparisons(audience.rule)
        ]
        self.counters: dict[Counter, int] = {}
        for comparison in everything:
            if isinstance(comparison, CounterTest):
                self.counters.setdefault(comparison.counter, len(self.counters))
        self.leaves = LeafNumbers(
            (comparison_leaf(comparison, self.counters)[0] for comparison in everything),
            paths=[counter_path(number) for number in self.counters.values()],
        )
        self.event_leaves = LeafNumbers(
            leaf_of_condition(condition)[0]
            for counter in self.counters
            for condition in counter.conditions
        )


def compile_tables(configuration: Configuration) -> dict[str, Any]:
    """The tables of the program that decides ``configuration``."""
    numbering = Numbering(configuration)
    graph = DecisionGraph(numbering.leaves.number, numbering.counters)
    for audience in configuration.audiences:
        graph.add(audience.rule)
    audience_numbers = {
        audience.id: number for number, audience in enumerate(configuration.audiences)
    }
    experiences = configuration.experiences
    return {
        "scheme": configuration.scheme,
        "experience_ids": [experience.id for experience in experiences],
        "audience_ids": list(audience_numbers),
        "leaves": numbering.leaves.tables(),
        "event_leaves": numbering.event_leaves.tables(),
        "counters": [_counter_table(counter, numbering) for counter in numbering.counters],
        "graph": graph.tables(),
        "lanes": lane_tables(configuration.scheme, experiences),
        "experiences": experience_tables(configuration.scheme, experiences, audience_numbers),
        "records": record_tables(experiences),
    }


def build_program(tables: dict[str, Any]) -> Program:
    """The program of ``tables``. ValueError (or KeyError, TypeError) when they are not sound."""
    records = tables["records"]
    return Program(
        tables,
        _compile_pattern,
        shared_objects(records["json"]),
        shared_objects(records["change_json"]),
    )


def compile_program(configuration: Configuration) -> Program:
    """The program that decides ``configuration``."""
    return build_program(compile_tables(configuration))


def _counter_table(counter: Counter, numbering: Numbering) -> list[Any]:
    conditions = []
    for condition in counter.conditions:
        leaf, negated = leaf_of_condition(condition)
        conditions.append([numbering.event_leaves.number[leaf], 0 if negated else 1])
    return [counter.event_type, counter.name, conditions, counter.within_ms]


@lru_cache(maxsize=1024)
def _compile_pattern(pattern: str) -> Any:
    # Loaded here because most configurations have no pattern, and RE2 is a large library.
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)

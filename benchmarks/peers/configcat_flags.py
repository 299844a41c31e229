"""A workload's experiences as ConfigCat's settings: targeting rules over flat attributes.

Within a rule all conditions have to hold, and the first rule that does decides, so that rules are
an OR of ANDs. A condition on a missing attribute fails, negated or not, and none asks for presence:
contexts say ``MISSING`` in place of nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from benchmarks.peers.rules import Json, Leaf, alternatives, flattened, weights

MISSING = "(missing)"
NOBODY = -1

ORDERINGS = {
    "greaterThan": (14, 13),
    "greaterThanInclusive": (15, 12),
    "lessThan": (12, 15),
    "lessThanInclusive": (13, 14),
}
"""Numbers of the comparator, and of its opposite."""

LISTS = {"equal": 0, "in": 0, "contains": 2, "startsWith": 30}
"""Numbers of comparators with a list; the next one is its opposite."""


def text(value: Json) -> str:
    """What a list compares with."""
    return value if isinstance(value, str) else json.dumps(value)


def conditions(leaf: Leaf) -> list[Json]:
    """One leaf that is no negated ordering."""
    shared: Json = {"a": leaf.path}
    if leaf.operator == "exists":
        return [{"u": {**shared, "c": 28 if leaf.negated else 29, "s": MISSING}}]
    if leaf.operator in ORDERINGS:
        return [{"u": {**shared, "c": ORDERINGS[leaf.operator][leaf.negated], "d": leaf.value}}]
    values = [text(one) for one in (leaf.value if leaf.operator == "in" else [leaf.value])]
    return [{"u": {**shared, "c": LISTS[leaf.operator] + leaf.negated, "l": values}}]


def rules_of(rule: Mapping[str, Json]) -> list[list[Json]]:
    """The rule's alternatives. A negated ordering holds for who lacks the attribute, too."""
    found: list[list[Json]] = []
    for conjunction in alternatives(rule):
        branches: list[list[Json]] = [[]]
        for leaf in conjunction:
            ways = [conditions(leaf)]
            if leaf.negated and leaf.operator in ORDERINGS:
                ways.append(conditions(Leaf(leaf.path, "exists", None, True)))
            branches = [branch + way for branch in branches for way in ways]
        found += branches
    return found


def config_of(document: Mapping[str, Json]) -> dict[str, Json]:
    """What the service serves: one whole-number setting for each experience."""
    rules = {one["nt_audience_id"]: rules_of(one["nt_rules"]) for one in document["audiences"]}
    settings = {}
    for experience in document["experiences"]:
        shares = weights(experience["nt_config"], 100)
        options = [
            *({"p": share, "v": {"i": index}} for index, share in enumerate(shares) if share),
            *([{"p": 100 - sum(shares), "v": {"i": NOBODY}}] if sum(shares) < 100 else []),
        ]
        setting: Json = {"t": 2, "v": {"i": NOBODY}}
        if "nt_audience" in experience:
            setting["r"] = [{"c": ways, "p": options} for ways in rules[experience["nt_audience"]]]
        else:
            setting["p"] = options
        settings[experience["nt_experience_id"]] = setting
    return {"p": {"s": "salt"}, "f": settings}


def attributes_of(profile: Mapping[str, Json], names: frozenset[str]) -> dict[str, Json]:
    """A profile as flat attributes; those of ``names`` that it lacks say so."""
    found = {
        name: text(value) if isinstance(value, bool) else value
        for name, value in flattened(profile).items()
    }
    return dict.fromkeys(names - found.keys(), MISSING) | found


def names_of(config: Mapping[str, Json], key: str) -> frozenset[str]:
    """The attributes that one setting reads."""
    rules = config["f"][key].get("r", ())
    return frozenset(one["u"]["a"] for rule in rules for one in rule["c"])

"""Flagsmith's evaluation engine: audiences are segments, which override multivariate features."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping

from flag_engine.engine import get_evaluation_result

from benchmarks.peers.rules import Decisions, Inexact, Json, Leaf, Peer, flattened, kind_of, leaf_of

OPERATORS = {
    "equal": "EQUAL",
    "in": "IN",
    "contains": "CONTAINS",
    "startsWith": "REGEX",
    "greaterThan": "GREATER_THAN",
    "greaterThanInclusive": "GREATER_THAN_INCLUSIVE",
    "lessThan": "LESS_THAN",
    "lessThanInclusive": "LESS_THAN_INCLUSIVE",
    "exists": "IS_SET",
}


def condition(leaf: Leaf) -> dict[str, Json]:
    """A leaf's positive form; the surrounding rule negates."""
    value = leaf.value
    if leaf.operator == "startsWith":
        value = re.escape(value)
    if leaf.operator != "in":
        value = value if isinstance(value, str) else json.dumps(value)
    return {"property": leaf.path, "operator": OPERATORS[leaf.operator], "value": value}


def rule_of(rule: Mapping[str, Json]) -> dict[str, Json]:
    """A rule as a segment rule. NONE over one thing negates it, missing attributes included."""
    kind, children = kind_of(rule)
    if kind == "leaf":
        leaf = leaf_of(rule)
        return {"type": "NONE" if leaf.negated else "ALL", "conditions": [condition(leaf)]}
    if kind == "not":
        return {"type": "NONE", "rules": [rule_of(children[0])]}
    leaves = [leaf_of(child) for child in children if kind_of(child)[0] == "leaf"]
    if len(leaves) == len(children) and not any(leaf.negated for leaf in leaves):
        conditions = [condition(leaf) for leaf in leaves]
        return {"type": kind.upper(), "conditions": conditions}
    return {"type": kind.upper(), "rules": [rule_of(child) for child in children]}


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One evaluation context; the identity is put into it for each visitor."""
    features: dict[str, Json] = {}
    overrides: dict[str, list[Json]] = defaultdict(list)
    for experience in document["experiences"]:
        config = experience["nt_config"]
        name = experience["nt_experience_id"]
        share = 100 * config["traffic"]
        feature = {
            "key": name,
            "name": name,
            "enabled": True,
            "value": None,
            # The shares of those outside the traffic fall to the control value, null.
            "variants": [
                {"key": str(index), "value": index, "weight": share * part, "priority": index}
                for index, part in enumerate(config["distribution"])
            ],
        }
        if "nt_audience" in experience:
            features[name] = {"key": name, "name": name, "enabled": False, "value": None}
            overrides[experience["nt_audience"]].append({**feature, "priority": 0})
        else:
            features[name] = feature
    segments = {
        audience["nt_audience_id"]: {
            "key": audience["nt_audience_id"],
            "name": audience["nt_audience_id"],
            "rules": [rule_of(audience["nt_rules"])],
            "overrides": overrides[audience["nt_audience_id"]],
        }
        for audience in document["audiences"]
    }
    environment = {"key": "benchmark", "name": "benchmark"}

    def prepare(profile: Mapping[str, Json]) -> dict[str, Json]:
        return {"identifier": profile["stableId"], "traits": flattened(profile)}

    def decide(identity: dict[str, Json]) -> Json:
        return get_evaluation_result(
            {
                "environment": environment,
                "identity": identity,
                "segments": segments,
                "features": features,
            }
        )

    def read(result: Json) -> Decisions:
        return [
            (name, flag["value"])
            for name, flag in result["flags"].items()
            if flag["enabled"] and flag["value"] is not None
        ]

    return Peer("one get_evaluation_result for all", prepare, decide, read)

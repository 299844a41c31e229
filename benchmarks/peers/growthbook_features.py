"""A workload's experiences as GrowthBook's features: conditions over nested attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.peers.rules import Json, Leaf, kind_of, leaf_of

SYMBOLS = {
    "greaterThan": "$gt",
    "greaterThanInclusive": "$gte",
    "lessThan": "$lt",
    "lessThanInclusive": "$lte",
    "in": "$in",
}


def test_of(leaf: Leaf) -> Json:
    """The condition on one attribute's value."""
    if leaf.operator == "exists":
        return {"$exists": not leaf.negated}
    if leaf.operator == "equal":
        return {"$ne": leaf.value} if leaf.negated else leaf.value
    if leaf.operator in {"contains", "startsWith"}:
        start = "^" if leaf.operator == "startsWith" else ""
        return {"$regex": start + re.escape(leaf.value)}
    if leaf.operator == "in":
        return {"$nin" if leaf.negated else "$in": leaf.value}
    return {SYMBOLS[leaf.operator]: leaf.value}


def condition(rule: Mapping[str, Json]) -> dict[str, Json]:
    """A rule as a targeting condition."""
    kind, children = kind_of(rule)
    if kind == "leaf":
        leaf = leaf_of(rule)
        return {leaf.path: test_of(leaf)}
    if kind == "not":
        return {"$not": condition(children[0])}
    return {"$or" if kind == "any" else "$and": [condition(child) for child in children]}


def features_of(document: Mapping[str, Json]) -> dict[str, Json]:
    """One feature with one experiment rule for each experience; null is nobody's."""
    conditions = {
        audience["nt_audience_id"]: condition(audience["nt_rules"])
        for audience in document["audiences"]
    }
    features = {}
    for experience in document["experiences"]:
        config = experience["nt_config"]
        rule = {
            "key": experience["nt_experience_id"],
            "coverage": config["traffic"],
            "weights": config["distribution"],
            "variations": list(range(len(config["distribution"]))),
            "hashAttribute": "id",
            "hashVersion": 2,
        }
        if "nt_audience" in experience:
            rule["condition"] = conditions[experience["nt_audience"]]
        features[experience["nt_experience_id"]] = {"defaultValue": None, "rules": [rule]}
    return features

"""A workload's experiences as Unleash's features: one strategy for each AND, over flat texts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from benchmarks.peers.rules import Json, Leaf, alternatives, weights

ORDERINGS = {
    "greaterThan": "NUM_GT",
    "greaterThanInclusive": "NUM_GTE",
    "lessThan": "NUM_LT",
    "lessThanInclusive": "NUM_LTE",
}


def text(value: Json) -> str:
    """Properties are texts."""
    return value if isinstance(value, str) else json.dumps(value)


def constraint(leaf: Leaf) -> dict[str, Json]:
    """One leaf; ``inverted`` holds for missing properties too."""
    shared = {"contextName": leaf.path, "inverted": leaf.negated, "caseInsensitive": False}
    if leaf.operator in ORDERINGS:
        return {**shared, "operator": ORDERINGS[leaf.operator], "value": text(leaf.value)}
    if leaf.operator == "exists":
        # There is no operator for presence: every text starts with the empty one.
        return {**shared, "operator": "STR_STARTS_WITH", "values": [""]}
    if leaf.operator in {"contains", "startsWith"}:
        operator = "STR_CONTAINS" if leaf.operator == "contains" else "STR_STARTS_WITH"
        return {**shared, "operator": operator, "values": [leaf.value]}
    values = leaf.value if leaf.operator == "in" else [leaf.value]
    return {**shared, "operator": "IN", "values": [text(value) for value in values]}


def features_of(document: Mapping[str, Json]) -> list[Json]:
    """One feature with variants for each experience."""
    rules = {
        audience["nt_audience_id"]: [
            [constraint(leaf) for leaf in conjunction]
            for conjunction in alternatives(audience["nt_rules"])
        ]
        for audience in document["audiences"]
    }
    features = []
    for experience in document["experiences"]:
        config = experience["nt_config"]
        name = experience["nt_experience_id"]
        shares = weights({**config, "traffic": 1}, 1000)
        variants = [
            {"name": str(index), "weight": weight, "stickiness": "userId"}
            for index, weight in enumerate(shares)
        ]
        rollout = {
            "rollout": str(round(100 * config["traffic"])),
            "stickiness": "userId",
            "groupId": name,
        }
        features.append(
            {
                "name": name,
                "type": "experiment",
                "enabled": True,
                "strategies": [
                    {
                        "name": "flexibleRollout",
                        "parameters": rollout,
                        "constraints": constraints,
                        "variants": variants,
                    }
                    for constraints in (
                        rules[experience["nt_audience"]] if "nt_audience" in experience else [[]]
                    )
                ],
            }
        )
    return features

"""A workload's experiences as flagd's flags: JSON Logic over nested attributes."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers.rules import Json, Leaf, kind_of, leaf_of, weights

SYMBOLS = {
    "greaterThan": ">",
    "greaterThanInclusive": ">=",
    "lessThan": "<",
    "lessThanInclusive": "<=",
}


def test_of(leaf: Leaf) -> Json:
    """One leaf. Null compares like 0 in JSON Logic, so orderings ask for presence first."""
    attribute = {"var": leaf.path}
    present = {"!==": [attribute, None]}
    if leaf.operator == "exists":
        test: Json = present
    elif leaf.operator in SYMBOLS:
        test = {"and": [present, {SYMBOLS[leaf.operator]: [attribute, leaf.value]}]}
    elif leaf.operator == "equal":
        test = {"===": [attribute, leaf.value]}
    elif leaf.operator == "in":
        test = {"in": [attribute, leaf.value]}
    elif leaf.operator == "contains":
        test = {"and": [present, {"in": [leaf.value, attribute]}]}
    else:
        test = {"starts_with": [attribute, leaf.value]}
    return {"!": [test]} if leaf.negated else test


def logic(rule: Mapping[str, Json]) -> Json:
    """A rule as JSON Logic."""
    kind, children = kind_of(rule)
    if kind == "leaf":
        return test_of(leaf_of(rule))
    inner = [logic(child) for child in children]
    return {{"any": "or", "all": "and", "not": "!"}[kind]: inner}


def flags_of(document: Mapping[str, Json]) -> dict[str, Json]:
    """One integer flag with a fractional rule for each experience."""
    rules = {
        audience["nt_audience_id"]: logic(audience["nt_rules"])
        for audience in document["audiences"]
    }
    flags = {}
    for experience in document["experiences"]:
        shares = weights(experience["nt_config"], 10_000)
        targeting: Json = {
            "fractional": [
                *([str(index), share] for index, share in enumerate(shares)),
                ["nobody", 10_000 - sum(shares)],
            ]
        }
        if "nt_audience" in experience:
            targeting = {"if": [rules[experience["nt_audience"]], targeting, "nobody"]}
        flags[experience["nt_experience_id"]] = {
            "state": "ENABLED",
            "variants": {**{str(index): index for index in range(len(shares))}, "nobody": -1},
            "defaultVariant": "nobody",
            "targeting": targeting,
        }
    return flags

"""A workload's experiences as LaunchDarkly's flags: audiences are segments, an OR of ANDs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers.rules import Json, Leaf, alternatives, weights, with_presence

ORDERINGS = {
    "greaterThan": ("greaterThan", "lessThanOrEqual"),
    "greaterThanInclusive": ("greaterThanOrEqual", "lessThan"),
    "lessThan": ("lessThan", "greaterThanOrEqual"),
    "lessThanInclusive": ("lessThanOrEqual", "greaterThan"),
}


def segment(key: str, rules: list[Json]) -> dict[str, Json]:
    """A segment that is defined by rules alone."""
    return {
        "key": key,
        "version": 1,
        "included": [],
        "excluded": [],
        "salt": key,
        "rules": [{"clauses": clauses} for clauses in rules],
    }


def clause(leaf: Leaf) -> dict[str, Json]:
    """One leaf. Every clause on a missing attribute fails, negated or not."""
    reference = "/" + leaf.path.replace(".", "/")
    if leaf.operator == "exists" and leaf.negated:
        values = [f"has {leaf.path}"]
        return {"attribute": "", "op": "segmentMatch", "values": values, "negate": True}
    shared = {"contextKind": "user", "attribute": reference, "negate": leaf.negated}
    if leaf.operator == "exists":
        return {**shared, "op": "in", "values": ["no such value"], "negate": True}
    if leaf.operator in ORDERINGS:
        operator = ORDERINGS[leaf.operator][leaf.negated]
        return {**shared, "op": operator, "values": [leaf.value], "negate": False}
    if leaf.operator in {"contains", "startsWith"}:
        return {**shared, "op": leaf.operator, "values": [leaf.value]}
    return {**shared, "op": "in", "values": leaf.value if leaf.operator == "in" else [leaf.value]}


def data_of(document: Mapping[str, Json], nobodys: Json) -> dict[str, Json]:
    """One flag with a percentage rollout for each experience, one segment for each audience.

    What a data file holds. ``nobodys`` is the value of who is in no variant.
    """
    segments = []
    paths = set()
    for audience in document["audiences"]:
        conjunctions = with_presence(alternatives(audience["nt_rules"]))
        paths |= {leaf.path for conjunction in conjunctions for leaf in conjunction}
        rules = [[clause(leaf) for leaf in conjunction] for conjunction in conjunctions]
        segments.append(segment(audience["nt_audience_id"], rules))
    segments += [
        segment(f"has {path}", [[clause(Leaf(path, "exists", None, False))]])
        for path in sorted(paths)
    ]
    flags = {}
    for experience in document["experiences"]:
        name = experience["nt_experience_id"]
        shares = weights(experience["nt_config"], 100_000)
        nobody = len(shares)
        rollout = [{"variation": index, "weight": share} for index, share in enumerate(shares)]
        rollout.append({"variation": nobody, "weight": 100_000 - sum(shares)})
        split = {"rollout": {"contextKind": "user", "variations": rollout}}
        flag: dict[str, Json] = {
            "key": name,
            "version": 1,
            "on": True,
            "salt": name,
            "variations": [*range(len(shares)), nobodys],
            "offVariation": nobody,
            "fallthrough": {"variation": nobody},
            "rules": [],
        }
        if "nt_audience" in experience:
            match = {"attribute": "", "op": "segmentMatch", "values": [experience["nt_audience"]]}
            flag["rules"] = [{"id": "audience", "clauses": [{**match, "negate": False}], **split}]
        else:
            flag["fallthrough"] = split
        flags[name] = flag
    return {"flags": flags, "segments": {one["key"]: one for one in segments}}

"""The interpreter that comes first: it walks the configuration's own dicts for every profile.

Nothing is prepared but the order of answers. Comparisons are shared with `benchmarks.prepared`,
hashing is the `mmh3` package (C). It is the 1.0x of every table, so it must neither be slow on
purpose nor leave anything out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from benchmarks.prepared import (
    NEGATIONS,
    OPERATORS,
    WILDCARDS,
    draw,
    id_order,
    low_bytes,
    operand_of,
    path_of,
)

Json = Any


def holds(rule: Mapping[str, Json], profile: Mapping[str, Json]) -> bool:
    """Whether a rule, as it stands in the configuration, holds for a profile."""
    if "any" in rule:
        return any(holds(child, profile) for child in rule["any"])
    if "all" in rule:
        return all(holds(child, profile) for child in rule["all"])
    if "not" in rule:
        return not holds(rule["not"], profile)
    negated = rule["operator"] in NEGATIONS
    operator = NEGATIONS.get(rule["operator"], rule["operator"])
    if rule.get("value") == "*" and operator in WILDCARDS:
        operator = "exists"
    value: Json = profile
    for key in path_of(rule):
        if not isinstance(value, dict) or key not in value:
            return negated
        value = value[key]
    return OPERATORS[operator](value, operand_of(operator, rule.get("value"))) != negated


def variant_index(experience: Mapping[str, Json], profile: Mapping[str, Json]) -> int:
    """The variant: the one locked on the profile while it exists, else by the draw."""
    identifier = experience["nt_experience_id"]
    config = experience["nt_config"]
    ends = list(accumulate(config.get("distribution", [0.5, 0.5])))
    if config.get("sticky", False):
        counts = [len(component["variants"]) for component in config.get("components", [])]
        locked = (profile.get("stickyVariants") or {}).get(identifier)
        if type(locked) is int and 0 <= locked <= max(len(ends) - 1, *counts, 0):
            return locked
    drawn = draw(low_bytes(f"distribution-{identifier}-"), low_bytes(profile["stableId"]))
    start = 0.0
    for index, end in enumerate(ends):
        if start <= drawn <= end:
            return index
        start = end
    return 0


class NaiveEngine:
    """Select by walking the document. Same answers as the engine, in the same order."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self.audiences = sorted(
            document["audiences"], key=lambda audience: id_order(audience["nt_audience_id"])
        )
        self.experiences = sorted(
            document["experiences"], key=lambda experience: id_order(experience["nt_experience_id"])
        )

    def select(
        self, profile: Mapping[str, Json]
    ) -> tuple[list[dict[str, Json]], list[dict[str, Json]], list[str]]:
        """(experiences, changes, audiences) of one profile, in the API's shape."""
        audiences = [
            audience["nt_audience_id"]
            for audience in self.audiences
            if holds(audience["nt_rules"], profile)
        ]
        matched = set(audiences)
        experiences = []
        changes = []
        for experience in self.experiences:
            identifier = experience["nt_experience_id"]
            config = experience["nt_config"]
            audience = experience.get("nt_audience")
            if audience is not None and audience not in matched:
                continue
            drawn = draw(low_bytes(f"traffic-{identifier}-"), low_bytes(profile["stableId"]))
            if not config.get("traffic", 0) > drawn:
                continue
            index = variant_index(experience, profile)
            variants: dict[str, str] = {}
            for component in config.get("components", []):
                baseline = component["baseline"]
                chosen = component["variants"][index - 1 : index] if index else []
                if baseline.get("hidden", False):
                    continue
                if component.get("type", "EntryReplacement") == "EntryReplacement":
                    picked = chosen[0]["id"] if chosen else baseline["id"]
                    variants.setdefault(baseline["id"], picked)
                    continue
                value = baseline["value"]
                if chosen:
                    value = chosen[0].get("value", value)
                changes.append(
                    {
                        "key": component["key"],
                        "type": "Variable",
                        "value": value,
                        "meta": {"experienceId": identifier, "variantIndex": index},
                    }
                )
            record = {"experienceId": identifier, "variantIndex": index, "variants": variants}
            if config.get("sticky", False):
                record["sticky"] = True
            experiences.append(record)
        return experiences, changes, audiences

"""Optimizely's Python SDK: typed audiences keep their nesting, attributes are flat."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

from optimizely import logger, optimizely
from optimizely.decision.optimizely_decide_option import OptimizelyDecideOption
from optimizely.event.event_processor import ForwardingEventProcessor

from benchmarks.peers.rules import (
    Decisions,
    Inexact,
    Json,
    Leaf,
    Peer,
    flattened,
    kind_of,
    leaf_of,
    weights,
)

MATCHES = {
    "equal": "exact",
    "contains": "substring",
    "startsWith": "substring",
    "greaterThan": "gt",
    "greaterThanInclusive": "ge",
    "lessThan": "lt",
    "lessThanInclusive": "le",
    "exists": "exists",
}


class Nowhere:
    """An event dispatcher that sends nothing."""

    @staticmethod
    def dispatch_event(event: Json) -> None:
        """Drop the event."""


def condition(leaf: Leaf, inexact: Inexact) -> Json:
    """One leaf. A comparison with a missing attribute is unknown there, so negations say more."""
    shared = {"type": "custom_attribute", "name": leaf.path}
    if leaf.operator == "startsWith":
        inexact.note("startsWith as substring")
    if leaf.operator == "in":
        exact = [{**shared, "match": "exact", "value": value} for value in leaf.value]
        positive: Json = ["or", *exact]
    else:
        positive = {**shared, "match": MATCHES[leaf.operator], "value": leaf.value}
    if not leaf.negated:
        return positive
    if leaf.operator == "exists":
        return ["not", positive]
    missing = ["not", {**shared, "match": "exists", "value": None}]
    return ["or", missing, ["not", positive]]


def conditions(rule: Mapping[str, Json], inexact: Inexact) -> Json:
    """A rule as audience conditions."""
    kind, children = kind_of(rule)
    if kind == "leaf":
        return condition(leaf_of(rule), inexact)
    inner = [conditions(child, inexact) for child in children]
    return [{"any": "or", "all": "and", "not": "not"}[kind], *inner]


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One feature with one experiment for each experience; decide_all decides all of them."""
    experiments = []
    for number, experience in enumerate(document["experiences"]):
        name = experience["nt_experience_id"]
        audiences = [experience["nt_audience"]] if "nt_audience" in experience else []
        ends = itertools.accumulate(weights(experience["nt_config"], 10_000))
        keys = [
            f"{number}-{index}" for index in range(len(experience["nt_config"]["distribution"]))
        ]
        experiments.append(
            {
                "id": f"e{number}",
                "key": name,
                "layerId": f"l{number}",
                "status": "Running",
                "audienceIds": audiences,
                "audienceConditions": ["or", *audiences] if audiences else [],
                "variations": [
                    {"id": key, "key": key, "featureEnabled": True, "variables": []} for key in keys
                ],
                "trafficAllocation": [
                    {"entityId": key, "endOfRange": end}
                    for key, end in zip(keys, ends, strict=True)
                ],
                "forcedVariations": {},
            }
        )
    flags = [
        {
            "id": f"f{number}",
            "key": experiment["key"],
            "experimentIds": [experiment["id"]],
            "rolloutId": "",
            "variables": [],
        }
        for number, experiment in enumerate(experiments)
    ]
    typed = [
        {
            "id": audience["nt_audience_id"],
            "name": audience["nt_audience_id"],
            "conditions": conditions(audience["nt_rules"], inexact),
        }
        for audience in document["audiences"]
    ]
    datafile = {
        "version": "4",
        "revision": "1",
        "projectId": "1",
        "accountId": "1",
        "anonymizeIP": True,
        "botFiltering": False,
        "rollouts": [],
        "groups": [],
        "events": [],
        "variables": [],
        "attributes": [],
        "audiences": [],
        "typedAudiences": typed,
        "experiments": experiments,
        "featureFlags": flags,
    }
    client = optimizely.Optimizely(
        datafile=json.dumps(datafile),
        logger=logger.NoOpLogger(),
        event_processor=ForwardingEventProcessor(Nowhere),
        default_decide_options=[OptimizelyDecideOption.DISABLE_DECISION_EVENT],
    )
    if not client.is_valid:
        raise RuntimeError("the SDK does not accept the datafile")

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        return profile["stableId"], flattened(profile)

    def decide(visitor: tuple[str, dict[str, Json]]) -> Json:
        return client.create_user_context(*visitor).decide_all()

    def read(decisions: Json) -> Decisions:
        return [
            (name, int(decision.variation_key.partition("-")[2]))
            for name, decision in decisions.items()
            if decision.variation_key is not None
        ]

    return Peer("create_user_context, then decide_all", prepare, decide, read, client.close)

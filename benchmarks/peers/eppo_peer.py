"""Eppo's Python SDK (Rust core): allocations with an OR of ANDs over flat attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import eppo_client
from eppo_client import AssignmentLogger, ClientConfig, Configuration

from benchmarks.peers.rules import (
    Decisions,
    Inexact,
    Json,
    Leaf,
    Peer,
    alternatives,
    flattened,
    split_points,
    with_presence,
)

SHARDS = 10_000
ORDERINGS = {
    "greaterThan": ("GT", "LTE"),
    "greaterThanInclusive": ("GTE", "LT"),
    "lessThan": ("LT", "GTE"),
    "lessThanInclusive": ("LTE", "GT"),
}


def text(value: Json) -> str:
    """Members of ONE_OF are texts."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def condition(leaf: Leaf) -> dict[str, Json]:
    """One leaf; negative ones come with an alternative for the missing attribute."""
    operator: str
    value: Json
    if leaf.operator == "exists":
        operator, value = "IS_NULL", leaf.negated
    elif leaf.operator in ORDERINGS:
        operator, value = ORDERINGS[leaf.operator][leaf.negated], leaf.value
    elif leaf.operator in {"contains", "startsWith"}:
        start = "^" if leaf.operator == "startsWith" else ""
        operator = "NOT_MATCHES" if leaf.negated else "MATCHES"
        value = start + re.escape(leaf.value)
    else:
        values = leaf.value if leaf.operator == "in" else [leaf.value]
        operator, value = "NOT_ONE_OF" if leaf.negated else "ONE_OF", [text(one) for one in values]
    return {"attribute": leaf.path, "operator": operator, "value": value}


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One integer flag for each experience, with shards for traffic and for the distribution."""
    rules = {
        audience["nt_audience_id"]: [
            {"conditions": [condition(leaf) for leaf in conjunction]}
            for conjunction in with_presence(alternatives(audience["nt_rules"]))
        ]
        for audience in document["audiences"]
    }
    flags = {}
    for experience in document["experiences"]:
        config = experience["nt_config"]
        name = experience["nt_experience_id"]
        inside = {"start": 0, "end": round(config["traffic"] * SHARDS)}
        allocation: dict[str, Json] = {
            "key": "all",
            "doLog": False,
            "splits": [
                {
                    "variationKey": str(index),
                    "shards": [
                        {"salt": f"{name}-traffic", "ranges": [inside]},
                        {"salt": f"{name}-split", "ranges": [{"start": start, "end": end}]},
                    ],
                }
                for index, (start, end) in enumerate(split_points(config, SHARDS))
            ],
        }
        if "nt_audience" in experience:
            allocation["rules"] = rules[experience["nt_audience"]]
        flags[name] = {
            "key": name,
            "enabled": True,
            "variationType": "INTEGER",
            "variations": {
                str(index): {"key": str(index), "value": index}
                for index in range(len(config["distribution"]))
            },
            "totalShards": SHARDS,
            "allocations": [allocation],
        }
    configuration = {
        "createdAt": "2025-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "benchmark"},
        "flags": flags,
    }
    client = eppo_client.init(
        ClientConfig(
            api_key="none",
            base_url="http://127.0.0.1:9",  # never asked: there is a configuration and no polling
            assignment_logger=AssignmentLogger(),
            poll_interval_seconds=None,
            initial_configuration=Configuration(
                flags_configuration=json.dumps(configuration).encode()
            ),
        )
    )
    names = list(flags)

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        return profile["stableId"], flattened(profile)

    def decide(visitor: tuple[str, dict[str, Json]]) -> list[int]:
        subject, attributes = visitor
        assign = client.get_integer_assignment
        return [assign(name, subject, attributes, -1) for name in names]

    def read(results: list[int]) -> Decisions:
        return [(name, index) for name, index in zip(names, results, strict=True) if index >= 0]

    return Peer(
        "get_integer_assignment for each experience", prepare, decide, read, client.shutdown
    )

"""LaunchDarkly's Python SDK, from a file: audiences are segments, an OR of ANDs."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Mapping

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

from benchmarks.peers.rules import (
    Decisions,
    Inexact,
    Json,
    Leaf,
    Peer,
    alternatives,
    weights,
    with_presence,
)

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


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One flag with a percentage rollout for each experience, one segment for each audience."""
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
            "variations": [*range(len(shares)), None],
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
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "flags.json")
        path.write_text(
            json.dumps({"flags": flags, "segments": {one["key"]: one for one in segments}})
        )
        client = LDClient(
            Config(
                "none",
                update_processor_class=Files.new_data_source(paths=[str(path)]),
                send_events=False,
                diagnostic_opt_out=True,
            ),
            start_wait=10,
        )
    if not client.is_initialized():
        raise RuntimeError("the client does not accept the file")

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        parts = {part: profile[part] for part in ("traits", "location", "session")}
        return profile["stableId"], parts

    def decide(visitor: tuple[str, dict[str, Json]]) -> Json:
        key, parts = visitor
        builder = Context.builder(key)
        for name, value in parts.items():
            builder.set(name, value)
        # Faster than asking for one variation after the other.
        return client.all_flags_state(builder.build())

    def read(result: Json) -> Decisions:
        values = result.to_values_map()
        return [(name, value) for name, value in values.items() if value is not None]

    return Peer("Context.builder, then all_flags_state", prepare, decide, read, client.close)

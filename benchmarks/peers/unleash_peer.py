"""Unleash's engine (Yggdrasil, Rust): one strategy for each AND, over flat texts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from yggdrasil_engine.engine import UnleashEngine

from benchmarks.peers.rules import Decisions, Inexact, Json, Peer, flattened
from benchmarks.peers.unleash_features import features_of, text


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One feature with variants for each experience."""
    features = features_of(document)
    engine = UnleashEngine()
    warnings = engine.take_state(json.dumps({"version": 2, "features": features}))
    if warnings:
        raise RuntimeError(f"the engine does not accept the configuration: {warnings}")
    names = [feature["name"] for feature in features]

    def prepare(profile: Mapping[str, Json]) -> dict[str, Json]:
        properties = {name: text(value) for name, value in flattened(profile).items()}
        return {"userId": profile["stableId"], "properties": properties}

    def decide(context: dict[str, Json]) -> list[Json]:
        return [engine.check_variant(name, context) for name in names]

    def read(results: list[Json]) -> Decisions:
        return [
            (result.name, int(result.variant.name))
            for result in results
            if result.variant.feature_enabled
        ]

    return Peer("check_variant for each experience, nothing counted", prepare, decide, read)

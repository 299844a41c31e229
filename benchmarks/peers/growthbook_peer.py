"""GrowthBook's Python SDK: conditions keep their nesting and read nested attributes."""

from __future__ import annotations

from collections.abc import Mapping

from growthbook import GrowthBook

from benchmarks.peers.growthbook_features import features_of
from benchmarks.peers.rules import Decisions, Inexact, Json, Peer


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One instance for all visitors, one feature with one experiment rule for each experience."""
    features = features_of(document)
    client = GrowthBook(features=features)
    names = list(features)

    def prepare(profile: Mapping[str, Json]) -> dict[str, Json]:
        parts = {part: profile[part] for part in ("traits", "location", "session")}
        return {"id": profile["stableId"], **parts}

    def decide(attributes: dict[str, Json]) -> list[Json]:
        client.set_attributes(attributes)
        return [client.eval_feature(name) for name in names]

    def read(results: list[Json]) -> Decisions:
        return [
            (name, result.value)
            for name, result in zip(names, results, strict=True)
            if result.value is not None
        ]

    return Peer("set_attributes, then eval_feature for each experience", prepare, decide, read)

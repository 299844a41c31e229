"""flagd's in-process evaluator for OpenFeature."""

from __future__ import annotations

from collections.abc import Mapping

from openfeature.contrib.tools.flagd.core.flagd_core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from benchmarks.peers.flagd_flags import flags_of
from benchmarks.peers.rules import Decisions, Inexact, Json, Peer


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One integer flag with a fractional rule for each experience."""
    flags = flags_of(document)
    evaluator = FlagdCore()
    evaluator.set_flags({"flags": flags})
    names = list(flags)

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        parts = {part: profile[part] for part in ("traits", "location", "session")}
        return profile["stableId"], parts

    def decide(visitor: tuple[str, dict[str, Json]]) -> list[Json]:
        context = EvaluationContext(*visitor)
        resolve = evaluator.resolve_integer_value
        return [resolve(name, -1, context) for name in names]

    def read(results: list[Json]) -> Decisions:
        return [
            (name, result.value)
            for name, result in zip(names, results, strict=True)
            if result.value >= 0
        ]

    return Peer("resolve_integer_value for each experience", prepare, decide, read)

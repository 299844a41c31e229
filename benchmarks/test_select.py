"""All decisions for one profile: the engine beside what a user would write instead.

Before anything is timed, every contestant has to give the engine's answer for every profile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from benchmarks import report
from benchmarks.conftest import CLOCK, cached_workload
from benchmarks.generated import GeneratedEngine
from benchmarks.naive import NaiveEngine
from benchmarks.prepared import PreparedEngine

whichvariant = pytest.importorskip("whichvariant")

pytestmark = pytest.mark.benchmark(timer=CLOCK)

Contestant = tuple[Callable[[Any], Any], bool]
"""What is called, and whether it takes bytes."""


@functools.cache
def contestants(name: Any) -> dict[str, Contestant]:
    """The rows of one workload, checked against each other."""
    subject = cached_workload(name)
    naive = NaiveEngine(subject.document)
    prepared = PreparedEngine(subject.document)
    generated = GeneratedEngine(subject.document)
    engine = whichvariant.Engine.from_dict(subject.document)

    def shared(profile: Any) -> Any:
        selection = engine.select(profile)
        return selection.experiences, selection.changes, selection.audiences

    def fresh(profile: Any) -> Any:
        selection = engine.select(profile, fresh=True)
        return selection.experiences, selection.changes, selection.audiences

    def around(blob: bytes) -> bytes:
        selection = engine.select(orjson.loads(blob))
        return orjson.dumps(
            {
                "audiences": selection.audiences,
                "experiences": selection.experiences,
                "changes": selection.changes,
            }
        )

    for profile, blob in zip(subject.profiles, subject.blobs, strict=True):
        expected = naive.select(profile)
        experiences, changes, audiences = expected
        answer = {"audiences": audiences, "experiences": experiences, "changes": changes}
        assert shared(profile) == expected
        assert fresh(profile) == expected
        assert prepared.select(profile) == expected
        assert generated.select_records(profile) == expected
        assert orjson.loads(engine.select_json(blob)) == answer
        assert orjson.loads(around(blob)) == answer
        pairs, matching = generated.select_indices(profile)
        assert [generated.audience_ids[index] for index in matching] == audiences
        assert [(generated.experience_ids[index], variant) for index, variant in pairs] == [
            (one["experienceId"], one["variantIndex"]) for one in experiences
        ]
    return {
        report.NAIVE: (naive.select, False),
        report.PREPARED: (prepared.select, False),
        report.GENERATED: (generated.select_indices, False),
        report.GENERATED_RECORDS: (generated.select_records, False),
        report.SHARED: (shared, False),
        report.FRESH: (fresh, False),
        report.BYTES: (engine.select_json, True),
        report.AROUND: (around, True),
    }


@pytest.mark.parametrize("row", report.ROWS)
@pytest.mark.parametrize("name", report.WORKLOADS)
@pytest.mark.parametrize("number", range(report.PASSES))
def test_select(time_each: Callable[..., None], number: int, name: str, row: str) -> None:
    """One row of one workload in one pass; the rows of a pass stand close together in time."""
    call, takes_bytes = contestants(name)[row]
    subject = cached_workload(name)
    time_each(name, row, call, subject.blobs if takes_bytes else subject.profiles)

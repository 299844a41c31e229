"""What the hosted API's exact hash costs beside the cheap scheme, at each vector level.

Measured from outside, on engines in which nobody matches: what 200 experiences add to a call with
none. That is both draws of each, plus a walk over 200 rows that is the same for both schemes.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks import report
from benchmarks.workloads import contentful_id, make_uuid

whichvariant = pytest.importorskip("whichvariant")
hashing = pytest.importorskip("whichvariant._core.hashing")

EXPERIENCES = 200
VISITORS = 200
ROUNDS = 300
SCHEMES = ("murmur3", "xxh64")


def document(scheme: str, count: int) -> dict[str, Any]:
    """Experiences for an audience that nobody belongs to. Neither draw is decided in advance."""
    rng = random.Random(1)
    config = {
        "traffic": 0.5,
        "distribution": [0.5, 0.5],
        "components": [
            {"type": "EntryReplacement", "baseline": {"id": "a"}, "variants": [{"id": "b"}]}
        ],
    }
    return {
        "format": "whichvariant/1",
        "scheme": scheme,
        "audiences": [{"nt_audience_id": "nobody", "nt_rules": {"any": []}}],
        "experiences": [
            {
                "nt_experience_id": contentful_id(rng),
                "nt_audience": "nobody",
                "nt_config": config,
            }
            for _ in range(count)
        ],
    }


@pytest.fixture(scope="module")
def engines() -> dict[tuple[str, int], Any]:
    """By scheme and number of experiences."""
    return {
        (scheme, count): whichvariant.Engine.from_dict(document(scheme, count))
        for scheme in SCHEMES
        for count in (0, EXPERIENCES)
    }


@pytest.fixture
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """A vector level, in use while the test runs."""
    if request.param not in hashing.supported_simd_levels():
        pytest.skip(f"this processor has no {request.param}")
    before = hashing.simd_level()
    hashing.set_simd_level(request.param)
    yield request.param
    hashing.set_simd_level(before)


@pytest.mark.parametrize("level", report.LEVELS, indirect=True)
@pytest.mark.parametrize("number", range(report.PASSES))
def test_draws(
    engines: dict[tuple[str, int], Any], record: Callable[..., None], level: str, number: int
) -> None:
    """Both schemes in turns, so that whatever disturbs one disturbs the other."""
    rng = random.Random(number)
    visitors = [{"stableId": make_uuid(rng)} for _ in range(VISITORS)]
    times: dict[tuple[str, int], list[float]] = {key: [] for key in engines}
    for _ in range(ROUNDS):
        for key, engine in engines.items():
            select = engine.select
            started = time.perf_counter()
            for visitor in visitors:
                select(visitor)
            times[key].append((time.perf_counter() - started) / VISITORS)
    medians = {key: statistics.median(values) for key, values in times.items()}
    for scheme in SCHEMES:
        added = medians[scheme, EXPERIENCES] - medians[scheme, 0]
        record("hashing", f"{scheme} {level}", added)

"""What the hosted API's exact hash costs beside the cheap scheme, at each vector level.

`measure_draws` hashes the visitor's id and computes both draws of every experience, nothing else.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks import report
from benchmarks.conftest import CLOCK
from benchmarks.workloads import contentful_id, make_uuid

whichvariant = pytest.importorskip("whichvariant")
hashing = pytest.importorskip("whichvariant._core.hashing")

EXPERIENCES = 200
VISITORS = 200
ROUNDS = 300
SCHEMES = ("murmur3", "xxh64")


def document(scheme: str, count: int) -> dict[str, Any]:
    """Experiences of which neither draw is decided in advance."""
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
        "audiences": [],
        "experiences": [
            {
                "nt_experience_id": contentful_id(rng),
                "nt_config": config,
            }
            for _ in range(count)
        ],
    }


@pytest.fixture(scope="module")
def engines() -> dict[str, Any]:
    """By scheme."""
    return {
        scheme: whichvariant.Engine.from_dict(document(scheme, EXPERIENCES)) for scheme in SCHEMES
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
    engines: dict[str, Any], record: Callable[..., None], level: str, number: int
) -> None:
    """Both schemes in turns, so that whatever disturbs one disturbs the other."""
    rng = random.Random(number)
    visitors = [make_uuid(rng) for _ in range(VISITORS)]
    taken: dict[str, list[float]] = {scheme: [] for scheme in SCHEMES}
    for _ in range(ROUNDS):
        for scheme in SCHEMES:
            started = CLOCK()
            engines[scheme].measure_draws(visitors, 5)
            taken[scheme].append((CLOCK() - started) / (5 * VISITORS))
    for scheme in SCHEMES:
        record("hashing", f"{scheme} {level}", statistics.median(taken[scheme]))

"""Integer thresholds agree with the doubles that define them (SEMANTICS 1), hash by hash.

A draw is computed here with Python's own division, so that nothing is compared with itself.
"""

from __future__ import annotations

import math
from random import Random

import pytest

from core.small import both, document, experience
from oracle.preimage import stable_id_drawing
from whichvariant import Engine
from whichvariant._core import hashing

HASHES = 2**32
DIVISORS = {"murmur3": 4294967295, "xxh64": 4294967296}

each_scheme = pytest.mark.parametrize("scheme", list(DIVISORS))


def draws(scheme: str, hashed: int) -> float:
    return hashed / DIVISORS[scheme]


def neighbourhood(bound: float) -> list[float]:
    return [math.nextafter(bound, -math.inf), bound, math.nextafter(bound, math.inf)]


def bounds(scheme: str) -> list[float]:
    """Doubles where a comparison could go wrong by one hash, and some anywhere."""
    source = Random(1)
    hashes = [0, 1, 2, 3, 1000, 2**31 - 1, 2**31, 2**31 + 1, HASHES - 3, HASHES - 2, HASHES - 1]
    hashes += [source.randrange(HASHES) for _ in range(300)]
    sums = [1 / 3, 1 / 3 + 1 / 3, 1 / 3 + 1 / 3 + 1 / 3, 0.1 + 0.2, 0.7 + 0.1 + 0.1 + 0.1]
    sums += [math.fsum([0.1] * 10), sum([0.1] * 10), 0.333 + 0.333 + 0.334, 0.5, 0.25, 1e-9, 0.999]
    chosen = [draws(scheme, hashed) for hashed in hashes] + sums
    chosen += [source.random() for _ in range(300)]
    special = [0.0, -0.0, 5e-324, 2.3e-308, 1.0, 1.5, 2.0, 1e300, math.inf]
    special += [-5e-324, -0.1, -1.0, -math.inf]
    return [near for bound in chosen for near in neighbourhood(bound)] + special


@each_scheme
def test_a_draw_is_one_division(scheme: str) -> None:
    source = Random(2)
    for hashed in [0, 1, HASHES - 2, HASHES - 1, *(source.randrange(HASHES) for _ in range(2_000))]:
        assert hashing.draw(scheme, hashed) == draws(scheme, hashed)


@pytest.mark.parametrize(("scheme", "largest"), [("murmur3", 1.0), ("xxh64", 1 - 2**-32)])
def test_the_largest_draw(scheme: str, largest: float) -> None:
    assert hashing.draw(scheme, HASHES - 1) == largest


@each_scheme
def test_count_below_splits_the_draws_exactly(scheme: str) -> None:
    """All hashes under the count draw less than the bound, all others at least as much."""
    for bound in bounds(scheme):
        count = hashing.count_below(scheme, bound)
        assert 0 <= count <= HASHES
        assert count == 0 or draws(scheme, count - 1) < bound, bound
        assert count == HASHES or bound <= draws(scheme, count), bound


@each_scheme
def test_count_up_to_splits_the_draws_exactly(scheme: str) -> None:
    """All hashes under the count draw the bound at most, all others more."""
    for bound in bounds(scheme):
        count = hashing.count_up_to(scheme, bound)
        assert 0 <= count <= HASHES
        assert count == 0 or draws(scheme, count - 1) <= bound, bound
        assert count == HASHES or bound < draws(scheme, count), bound


@pytest.mark.parametrize(
    ("scheme", "bound", "below", "up_to"),
    [
        ("murmur3", -0.1, 0, 0),
        ("murmur3", 0.0, 0, 1),
        ("murmur3", -0.0, 0, 1),
        ("murmur3", 5e-324, 1, 1),
        ("murmur3", 0.5, 2**31, 2**31),
        ("murmur3", math.nextafter(1, 0), HASHES - 1, HASHES - 1),
        ("murmur3", 1.0, HASHES - 1, HASHES),
        ("murmur3", math.nextafter(1, 2), HASHES, HASHES),
        ("xxh64", 0.0, 0, 1),
        ("xxh64", 5e-324, 1, 1),
        ("xxh64", 0.5, 2**31, 2**31 + 1),
        ("xxh64", 1.0, HASHES, HASHES),
        ("xxh64", math.inf, HASHES, HASHES),
    ],
)
def test_counts_at_the_ends(scheme: str, bound: float, below: int, up_to: int) -> None:
    assert hashing.count_below(scheme, bound) == below
    assert hashing.count_up_to(scheme, bound) == up_to


@each_scheme
def test_nan_is_no_threshold(scheme: str) -> None:
    for count in (hashing.count_below, hashing.count_up_to):
        with pytest.raises(ValueError, match="NaN"):
            count(scheme, math.nan)


def traffic_of(hashed: int) -> list[float]:
    """Traffic allocations on both sides of one hash's draw."""
    return [traffic for traffic in neighbourhood(draws("murmur3", hashed)) if 0 <= traffic <= 1]


@pytest.mark.parametrize("hashed", [0, 1, 77, 2**31 - 1, 2**31, HASHES - 2, HASHES - 1])
def test_a_visitor_is_in_exactly_when_the_traffic_is_above_the_draw(hashed: int) -> None:
    stable_id = stable_id_drawing("traffic", "e", hashed)
    for traffic in traffic_of(hashed):
        engine = Engine.from_dict(document([experience("e", traffic=traffic)]))
        chosen = both(engine, {"stableId": stable_id})["experiences"]
        assert bool(chosen) == (traffic > draws("murmur3", hashed)), traffic


@pytest.mark.parametrize("hashed", [0, 1, 2**31 - 1, 2**31, 3_000_000_000, HASHES - 1])
def test_a_segment_holds_its_ends(hashed: int) -> None:
    stable_id = stable_id_drawing("distribution", "e", hashed)
    drawn = draws("murmur3", hashed)
    for edge in neighbourhood(drawn):
        if not 0 <= edge <= 1:
            continue
        shares = [{"index": 1, "start": 0, "end": edge}, {"index": 2, "start": edge, "end": 1}]
        engine = Engine.from_dict(document([experience("e", distribution=shares)]), strict=False)
        [record] = both(engine, {"stableId": stable_id})["experiences"]
        assert record["variantIndex"] == (1 if drawn <= edge else 2), edge

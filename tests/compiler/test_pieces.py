"""Distributions as integer pieces, against the definition in doubles (SEMANTICS 1)."""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest

from whichvariant.compiler.buckets import (
    distribution_prefix,
    experience_tables,
    lane_tables,
    pieces,
    traffic_prefix,
)
from whichvariant.contracts import Experience, Scheme, Segment

LAST = 2**32 - 1
DIVISORS: dict[Scheme, int] = {"murmur3": LAST, "xxh64": LAST + 1}

each_scheme = pytest.mark.parametrize("scheme", list(DIVISORS))


def index_of(scheme: Scheme, segments: list[Segment], hashed: int) -> int:
    """Word for word: the first segment with ``start <= draw <= end``; no segment: index 0."""
    draw = hashed / DIVISORS[scheme]
    return next((part.index for part in segments if part.start <= draw <= part.end), 0)


def check(scheme: Scheme, segments: list[Segment]) -> None:
    """Pieces cover all hashes once, differ from their neighbours, and are right at every end."""
    found = pieces(scheme, segments)
    ends = [last for last, _ in found]
    assert ends == sorted(set(ends))
    assert ends[-1] == LAST
    assert all(one[1] != next_[1] for one, next_ in itertools.pairwise(found))
    start = 0
    for last, index in found:
        assert 0 <= start <= last
        for hashed in {start, (start + last) // 2, last}:
            assert index_of(scheme, segments, hashed) == index, (segments, hashed)
        start = last + 1
    # And the other way round: wherever a segment begins or ends, the pieces agree.
    for part in segments:
        for edge in (part.start, part.end):
            near = round(min(max(edge, 0), 1) * DIVISORS[scheme])
            for hashed in range(max(0, near - 2), min(LAST, near + 2) + 1):
                piece = next(index for last, index in found if hashed <= last)
                assert piece == index_of(scheme, segments, hashed), (segments, hashed)


def shares(*parts: float) -> list[Segment]:
    """Cumulative sums, each a fresh sum from the left."""
    bounds = [sum(parts[:count]) for count in range(len(parts) + 1)]
    return [Segment(i, bounds[i], bounds[i + 1]) for i in range(len(parts))]


SHARES = [
    (1.0,),
    (0.0, 1.0),
    (1.0, 0.0),
    (0.5, 0.5),
    (1 / 3, 1 / 3, 1 / 3),
    (0.1,) * 10,
    (0.7, 0.1, 0.1, 0.1),
    (0.25, 0.0, 0.75),
    (0.0, 0.0, 0.0, 1.0),
    (0.3, 0.3),
    (0.9, 0.9),
    (5e-324, 1.0),
    (1e-10, 1 - 1e-10),
    (2.0**-32, 2.0**-32, 1 - 2.0**-31),
    tuple([1 / 256] * 256),
]


@each_scheme
@pytest.mark.parametrize("parts", SHARES, ids=lambda parts: f"{len(parts)} from {parts[0]:g}")
def test_shares(scheme: Scheme, parts: tuple[float, ...]) -> None:
    check(scheme, shares(*parts))


SEGMENTS = {
    "none": [],
    "a gap": [Segment(0, 0, 0.3), Segment(1, 0.6, 1)],
    "a gap at the start": [Segment(1, 0.5, 1)],
    "a gap at the end": [Segment(1, 0, 0.5)],
    "a gap between two of one index": [Segment(1, 0, 0.3), Segment(1, 0.6, 1)],
    "an overlap": [Segment(2, 0, 0.6), Segment(1, 0.4, 1)],
    "an overlap inside": [Segment(1, 0, 1), Segment(2, 0.4, 0.6)],
    "an overlap outside": [Segment(2, 0.4, 0.6), Segment(1, 0, 1)],
    "not in order": [Segment(3, 0.75, 1), Segment(0, 0, 0.25), Segment(1, 0.25, 0.75)],
    "one point": [Segment(1, 0.5, 0.5)],
    "one point that is a draw": [Segment(1, 1000 / LAST, 1000 / LAST), Segment(2, 0, 1)],
    "both ends": [Segment(1, 0, 0), Segment(2, 1, 1)],
    "twice the same": [Segment(1, 0.2, 0.8), Segment(2, 0.2, 0.8)],
    "neighbours of one index": [Segment(1, 0, 0.5), Segment(1, 0.5, 1)],
    "beyond 1": [Segment(1, 0, 1 + 1e-9)],
}


@each_scheme
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_segments(scheme: Scheme, segments: list[Segment]) -> None:
    check(scheme, segments)


@each_scheme
def test_random_segments(scheme: Scheme) -> None:
    """Gaps, overlaps, any order of indices, ends that are draws or lie between two."""
    source = Random(1)
    for _ in range(300):
        edges = [source.random() for _ in range(6)]
        edges += [source.randrange(LAST + 1) / DIVISORS[scheme] for _ in range(6)]
        edges += [math.nextafter(edges[-1], 0), math.nextafter(edges[-1], 1), 0.0, 1.0]
        segments = []
        for _ in range(source.randint(0, 8)):
            start, end = sorted(source.choices(edges, k=2))
            segments.append(Segment(source.randint(0, 4), start, end))
        check(scheme, segments)


@each_scheme
def test_an_end_that_is_a_draw_belongs_to_the_first_segment(scheme: Scheme) -> None:
    source = Random(2)
    for hashed in [0, 1, LAST - 1, *(source.randrange(LAST) for _ in range(200))]:
        edge = hashed / DIVISORS[scheme]
        segments = [Segment(1, 0, edge), Segment(2, edge, 1)]
        assert pieces(scheme, segments) == [(hashed, 1), (LAST, 2)]
        segments = [Segment(1, 0, math.nextafter(edge, -1)), Segment(2, edge, 1)]
        assert pieces(scheme, segments) == [(hashed - 1, 1), (LAST, 2)][hashed == 0 :]


@pytest.mark.parametrize(
    ("scheme", "segments", "expected"),
    [
        ("murmur3", [], [(LAST, 0)]),
        ("murmur3", shares(1.0), [(LAST, 0)]),
        ("murmur3", shares(0.5, 0.5), [(2**31 - 1, 0), (LAST, 1)]),
        ("xxh64", shares(0.5, 0.5), [(2**31, 0), (LAST, 1)]),
        ("murmur3", shares(0.0, 1.0), [(0, 0), (LAST, 1)]),
        ("murmur3", [Segment(1, 0.5, 1)], [(2**31 - 1, 0), (LAST, 1)]),
        # The draw 1 exists under murmur3 only.
        ("murmur3", [Segment(0, 0, 1), Segment(1, 1, 1)], [(LAST, 0)]),
        ("murmur3", [Segment(1, 1, 1)], [(LAST - 1, 0), (LAST, 1)]),
        ("xxh64", [Segment(1, 1, 1)], [(LAST, 0)]),
    ],
)
def test_pieces(scheme: Scheme, segments: list[Segment], expected: list[tuple[int, int]]) -> None:
    assert pieces(scheme, segments) == expected


# --- tables --------------------------------------------------------------------------------------


def experience(name: str, audience: str | None, traffic: float, *parts: float) -> Experience:
    return Experience(name, audience, traffic, tuple(shares(*parts)), name == "sticky", ())


def column(tables: dict[str, bytes], name: str, dtype: str) -> list[int]:
    return np.frombuffer(tables[name], dtype).tolist()


def test_experience_tables() -> None:
    rows = [
        experience("first", None, 1.0, 1.0),
        experience("second", "b", 0.5, 0.5, 0.5),
        experience("sticky", "a", 0.0, 0.25, 0.25, 0.5),
    ]
    tables = experience_tables("murmur3", rows, {"a": 0, "b": 1})
    assert column(tables, "audience", "<i4") == [-1, 1, 0]
    assert column(tables, "traffic_count", "<u8") == [LAST, 2**31, 0]
    assert column(tables, "sticky", "u1") == [0, 0, 1]
    assert column(tables, "highest_index", "<u2") == [0, 1, 2]
    assert column(tables, "first_piece", "<u4") == [0, 1, 3, 6]
    assert column(tables, "piece_limit", "<u4")[-3:] == [2**30 - 1, 2**31 - 1, LAST]
    assert column(tables, "piece_index", "<u2") == [0, 0, 1, 0, 1, 2]


def test_tables_of_no_experiences() -> None:
    tables = experience_tables("murmur3", [], {})
    assert tables.pop("first_piece") == bytes(4)
    assert set(tables.values()) == {b""}
    assert lane_tables("murmur3", []) == {"state": b"", "tail": b"", "length": b""}
    assert lane_tables("xxh64", []) == {"salt": b""}


def test_what_is_hashed_before_the_stable_id() -> None:
    assert traffic_prefix("e-1") == "traffic-e-1-"
    assert distribution_prefix("e-1") == "distribution-e-1-"


def test_lanes_hold_the_traffic_prefix_first() -> None:
    """Two lanes an experience; lengths count UTF-16 code units, so the fox is two."""
    tables = lane_tables("murmur3", [experience("e", None, 1), experience("\U0001f98a", None, 1)])
    assert column(tables, "length", "<u4") == [10, 15, 11, 16]


def test_a_salt_is_the_hash_of_the_id_in_utf_8() -> None:
    tables = lane_tables("xxh64", [experience("abc", None, 1), experience("a", None, 1)])
    assert column(tables, "salt", "<u8") == [0x44BC2CF5AD770999, 0xD24EC4F1A98C6E5B]

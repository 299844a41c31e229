"""Draws at compile time: saved hash states, and integer thresholds that agree with the doubles.

SEMANTICS section 1 defines draws as doubles. A draw rises with its 32-bit hash, so for every bound
there is an exact number of hash values that lie below it; the core compares integers with that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from whichvariant._core.hashing import count_below, count_up_to, prefix_state, xxh64
from whichvariant.contracts import Experience, Scheme, Segment

HASHES = 1 << 32


def traffic_prefix(experience_id: str) -> str:
    """What stands before the stable id in the text that is hashed for the traffic draw."""
    return f"traffic-{experience_id}-"


def distribution_prefix(experience_id: str) -> str:
    """What stands before the stable id in the text that is hashed for the distribution draw."""
    return f"distribution-{experience_id}-"


def pieces(scheme: Scheme, segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """The distribution as ``(last hash, variant index)`` pieces that cover all hashes, ascending.

    The first segment that holds a draw wins, both its ends included; a draw that no segment holds
    gives index 0.
    """
    spans = [
        (count_below(scheme, segment.start), count_up_to(scheme, segment.end), segment.index)
        for segment in segments
    ]
    bounds = sorted({0, HASHES, *(low for low, _, _ in spans), *(high for _, high, _ in spans)})
    result: list[tuple[int, int]] = []
    for low, high in pairwise(bounds):
        index = next((i for start, end, i in spans if start <= low and high <= end), 0)
        if result and result[-1][1] == index:
            result[-1] = (high - 1, index)
        else:
            result.append((high - 1, index))
    return result


def lane_tables(scheme: Scheme, experiences: Sequence[Experience]) -> dict[str, Any]:
    """Hash states of all experiences: two prefixes each (murmur3) or one salt each (xxh64)."""
    if scheme == "xxh64":
        salts = [xxh64(experience.id.encode()) for experience in experiences]
        return {"salt": np.array(salts, "<u8").tobytes()}
    states = [
        prefix_state(prefix(experience.id))
        for experience in experiences
        for prefix in (traffic_prefix, distribution_prefix)
    ]
    return {
        "state": np.array([state for state, _, _ in states], "<u4").tobytes(),
        "tail": np.array([tail for _, tail, _ in states], "<u4").tobytes(),
        "length": np.array([length for _, _, length in states], "<u4").tobytes(),
    }


def experience_tables(
    scheme: Scheme, experiences: Sequence[Experience], audience_numbers: dict[str, int]
) -> dict[str, Any]:
    """Per experience: audience, traffic threshold, distribution pieces, stickiness."""
    distributions = [pieces(scheme, experience.distribution) for experience in experiences]
    first_piece = np.cumsum([0, *(len(distribution) for distribution in distributions)])
    return {
        "audience": np.array(
            [
                -1 if experience.audience is None else audience_numbers[experience.audience]
                for experience in experiences
            ],
            "<i4",
        ).tobytes(),
        "traffic_count": np.array(
            [count_below(scheme, experience.traffic) for experience in experiences], "<u8"
        ).tobytes(),
        "sticky": np.array([experience.sticky for experience in experiences], "u1").tobytes(),
        "highest_index": np.array(
            [experience.highest_index for experience in experiences], "<u2"
        ).tobytes(),
        "first_piece": first_piece.astype("<u4").tobytes(),
        "piece_limit": np.array(
            [last for distribution in distributions for last, _ in distribution], "<u4"
        ).tobytes(),
        "piece_index": np.array(
            [index for distribution in distributions for _, index in distribution], "<u2"
        ).tobytes(),
    }

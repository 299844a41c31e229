"""The sample-ratio check: does the observed split fit the configured one?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from whichvariant.compiler.buckets import HASHES, pieces
from whichvariant.contracts import Experience, Scheme

SUSPICIOUS = 0.001
"""A p-value below which a split is called suspicious, as is usual for sample-ratio checks."""

_LEAST_EXPECTED = 5


def exact_shares(scheme: Scheme, experience: Experience) -> list[float]:
    """The share of the draw that each index gets: hash values out of 2**32, index by index."""
    counts = [0] * (experience.highest_index + 1)
    start = 0
    for last, index in pieces(scheme, experience.distribution):
        counts[index] += last + 1 - start
        start = last + 1
    return [count / HASHES for count in counts]


def sample_ratio(observed: Sequence[int], shares: Sequence[float], held: int) -> dict[str, Any]:
    """Pearson's chi-square of ``observed`` counts against ``shares``, as the report has it.

    ``held`` visitors keep a stored choice; they were not drawn and are no part of the test.
    """
    drawn = sum(observed)
    expected = [drawn * share for share in shares]
    tested = _pooled(observed, expected)
    result: dict[str, Any] = {
        "drawn": drawn,
        "sticky": held,
        "observed": list(observed),
        "shares": list(shares),
        "expected": expected,
        "chiSquare": None,
        "degreesOfFreedom": max(len(tested) - 1, 0),
        "pValue": None,
        "suspicious": False,
    }
    if len(tested) < 2:
        return result
    statistic = math.fsum((count - mean) ** 2 / mean for count, mean in tested)
    p_value = chi_square_tail(statistic, len(tested) - 1)
    result.update(chiSquare=statistic, pValue=p_value, suspicious=p_value < SUSPICIOUS)
    return result


def _pooled(observed: Sequence[int], expected: Sequence[float]) -> list[tuple[int, float]]:
    """Counts and means to test: those too small are added to the smallest of the others.

    Chi-square says nothing where next to nobody is expected, such as of the one hash value in 2**32
    that a share of 0 gets when it comes first.
    """
    large = sorted(
        (
            (count, mean)
            for count, mean in zip(observed, expected, strict=True)
            if mean >= _LEAST_EXPECTED
        ),
        key=lambda cell: cell[1],
    )
    if not large:
        return []
    count, mean = large[0]
    rest = sum(observed) - sum(count for count, _ in large)
    rest_mean = sum(mean for mean in expected if mean < _LEAST_EXPECTED)
    return [(count + rest, mean + rest_mean), *large[1:]]


def chi_square_tail(statistic: float, degrees: int) -> float:
    """The probability that chi-square with whole ``degrees`` of freedom exceeds ``statistic``.

    The closed form for whole degrees: a finite sum of terms x**k exp(-x) / gamma(k + 1), and for
    odd degrees the complementary error function (Abramowitz and Stegun, 26.4.4 and 26.4.5).
    """
    x = statistic / 2
    if x <= 0:
        return 1.0
    if degrees % 2:
        terms = [math.erfc(math.sqrt(x))]
        k = 0.5
    else:
        terms = []
        k = 0.0
    while k < degrees / 2:
        terms.append(math.exp(k * math.log(x) - x - math.lgamma(k + 1)))
        k += 1
    return min(math.fsum(terms), 1.0)

"""Medians, ratios and targets: what every part of the report is made of."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Results = Mapping[str, Mapping[str, list[float]]]
"""Group, then row: the median of each pass, in seconds, or in bytes in the rows of memory. Groups
are W1 to W3, ``hashing`` with rows like ``murmur3 avx2``, ``loading``, and those of
`profile_rows`."""


@dataclass(frozen=True)
class Target:
    """One promise of the project, and its measured value, None where it was not measured."""

    text: str
    value: float | None
    bound: float
    kind: Literal["at least", "at most"]
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept, None when it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound


def median(results: Results, group: str, row: str) -> float | None:
    """The median of a row's passes, None if it was not measured."""
    values = results.get(group, {}).get(row)
    return statistics.median(values) if values else None


def quotient(results: Results, group: str, above: str, below: str) -> float | None:
    """How many times longer the first row takes than the second, None unless both were measured.

    The median of the passes' own ratios: what disturbs a machine for seconds disturbs both rows of
    a pass, and so leaves their ratio alone.
    """
    rows = results.get(group, {})
    pairs = list(zip(rows.get(above, []), rows.get(below, []), strict=False))
    return statistics.median(one / other for one, other in pairs) if pairs else None


def shown(value: float | None, unit: str = "") -> str:
    """Three significant digits, as people write them."""
    if value is None:
        return "-"
    if unit == "x":
        return f"{value:,.1f}x" if value < 100 else f"{value:,.0f}x"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"

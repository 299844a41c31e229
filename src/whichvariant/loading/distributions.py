"""`distribution`: shares, or explicit segments, of the draw in [0, 1] (SEMANTICS section 1)."""

from __future__ import annotations

from collections.abc import Iterable
from math import nextafter
from typing import Final

from whichvariant.contracts import Component, JsonValue, Segment
from whichvariant.loading.numeric import is_number
from whichvariant.loading.reports import Place, Report, shown

MAX_SEGMENTS: Final = 512
DEFAULT_SHARES: Final = (0.5, 0.5)
MAX_VARIANT_INDEX: Final = 255

SUM_TOLERANCE: Final = 1e-3
"""How far shares may miss 1, or segments may leave [0, 1] uncovered, before it is worth saying.

Editors round: 0.333 three times is meant to be everything, 0.33 three times is not."""

_ROUNDING: Final = 1e-9
"""How far a segment's end may exceed 1, since sums of shares do by their last bits."""


def segments_of(shares: Iterable[float]) -> tuple[Segment, ...]:
    """Shares as segments by position; boundaries are left-to-right sums from 0 in doubles [sdk]."""
    start = 0.0
    segments: list[Segment] = []
    for index, share in enumerate(shares):
        end = start + share
        segments.append(Segment(index, start, end))
        start = end
    return tuple(segments)


def shares_of(segments: tuple[Segment, ...]) -> list[float] | None:
    """Shares that give exactly these segments, or None when there are none.

    The difference of two boundaries, or one of its two neighbours, restores a share unless rounding
    has swallowed it; the result is only used where it gives the same boundaries to the last bit.
    """
    start = 0.0
    shares: list[float] = []
    for index, segment in enumerate(segments):
        if segment.index != index or segment.start != start:
            return None
        difference = segment.end - segment.start
        share = next((s for s in _neighbours(difference) if start + s == segment.end), None)
        if share is None:
            return None
        shares.append(share)
        start = segment.end
    return shares


def _neighbours(value: float) -> Iterable[float]:
    candidates = (value, nextafter(value, 0.0), nextafter(value, 2.0))
    return (candidate for candidate in candidates if 0.0 <= candidate <= 1.0)


def read_distribution(
    value: JsonValue, place: Place, report: Report, components: tuple[Component, ...]
) -> tuple[Segment, ...]:
    """The segments of an experience's draw; errors are in the report."""
    if value is None:
        segments = segments_of(DEFAULT_SHARES)
    elif not isinstance(value, list):
        report.wrong_type(place, "a list", value)
        return ()
    elif len(value) > MAX_SEGMENTS:
        message = f"{len(value):,} segments, at most {MAX_SEGMENTS}"
        report.add("too-many-segments", place, message)
        return ()
    elif value and isinstance(value[0], dict):
        segments = _segments(value, place, report)
    else:
        segments = _shares(value, place, report)
    highest = max((segment.index for segment in segments), default=0)
    if highest > MAX_VARIANT_INDEX:
        message = f"variant {highest} is beyond the highest index {MAX_VARIANT_INDEX}"
        report.add("too-many-variants", place, message)
        return ()
    variants = max((len(component.variants) for component in components), default=highest)
    if highest > variants:
        message = f"a share for variant {highest}, but the last variant is {variants}"
        report.add("more-shares-than-variants", place, message)
    return segments


def _shares(value: list[JsonValue], place: Place, report: Report) -> tuple[Segment, ...]:
    shares: list[float] = []
    for index, share in enumerate(value):
        if not is_number(share):
            report.wrong_type((place, index), "a number", share)
        elif not 0 <= share <= 1:
            report.add("out-of-range", (place, index), f"a share is in [0, 1], not {shown(share)}")
        else:
            shares.append(float(share) + 0.0)
    if len(shares) != len(value):
        return ()
    segments = segments_of(shares)
    total = segments[-1].end if segments else 0.0
    if abs(total - 1) > SUM_TOLERANCE:
        report.add("shares-sum", place, f"the shares sum to {total}, not to 1")
    return segments


def _segments(value: list[JsonValue], place: Place, report: Report) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for position, item in enumerate(value):
        here = (place, position)
        if not isinstance(item, dict):
            report.wrong_type(here, "an object, as the first segment is", item)
            continue
        index = _index(item, here, report)
        start, end = _boundary(item, "start", here, report), _boundary(item, "end", here, report)
        if index is None or start is None or end is None:
            continue
        if start > end:
            report.add("reversed-segment", here, f"starts at {start}, after its end {end}")
            continue
        segments.append(Segment(index, start, end))
    if len(segments) != len(value):
        return ()
    uncovered = _uncovered(segments)
    if uncovered > SUM_TOLERANCE:
        message = f"{uncovered:.6g} of the draw is in no segment, which means variant 0"
        report.add("segment-gap", place, message)
    return tuple(segments)


def _index(item: dict[str, JsonValue], place: Place, report: Report) -> int | None:
    index, place = item.get("index"), (place, "index")
    if not is_number(index):
        report.wrong_type(place, "a number", index)
    elif index < 0 or index != int(index):
        report.add("out-of-range", place, f"an index is a whole number from 0, not {shown(index)}")
    else:
        return int(index)
    return None


def _boundary(item: dict[str, JsonValue], name: str, place: Place, report: Report) -> float | None:
    value, place = item.get(name), (place, name)
    if not is_number(value):
        report.wrong_type(place, "a number", value)
    elif not 0 <= value <= 1 + _ROUNDING:
        report.add("out-of-range", place, f"a segment lies in [0, 1], not at {shown(value)}")
    else:
        return float(value) + 0.0
    return None


def _uncovered(segments: list[Segment]) -> float:
    """The length of [0, 1] that no segment covers."""
    ordered = sorted((segment.start, segment.end) for segment in segments)
    reach = 0.0
    gaps = 0.0
    for start, end in ordered:
        gaps += max(0.0, start - reach)
        reach = max(reach, end)
    return gaps + max(0.0, 1.0 - reach)

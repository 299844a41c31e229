"""How many visitors have each pattern of audiences: from a sample, or as somebody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from whichvariant.columns.requests import request_of
from whichvariant.columns.result import ColumnsResult

if TYPE_CHECKING:
    from whichvariant.engine import Engine

_TOLERANCE = Fraction(1, 1_000_000)


def sampled_shares(
    engine: Engine, audiences: Sequence[int], profiles: Any, now: int | datetime | str | None
) -> tuple[dict[frozenset[int], Fraction], int]:
    """The share of each pattern among ``profiles``, and how many there are.

    ``profiles`` is what `Engine.select_columns` takes, an iterable of profiles or requests
    (``{"profile", "device", "events"}``), or results of `select_columns` (one, or an iterable).
    """
    counts: Counter[frozenset[int]] = Counter()
    if isinstance(profiles, ColumnsResult):
        profiles = [profiles]
    if isinstance(profiles, Iterable) and not hasattr(profiles, "__arrow_c_stream__"):
        if type(profiles).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow"):
            _count_result(counts, engine.select_columns(profiles, now=now), audiences)
        else:
            _count_each(counts, engine, audiences, profiles, now)
    else:
        _count_result(counts, engine.select_columns(profiles, now=now), audiences)
    n = counts.total()
    if not n:
        raise ValueError("profiles: a sample needs at least one")
    return {pattern: Fraction(count, n) for pattern, count in counts.items()}, n


def _count_each(
    counts: Counter[frozenset[int]],
    engine: Engine,
    audiences: Sequence[int],
    profiles: Iterable[Any],
    now: int | datetime | str | None,
) -> None:
    iterator = iter(profiles)
    numbers = {engine.program.audience_ids[number]: number for number in audiences}
    for item in iterator:
        if isinstance(item, Mapping):
            request = request_of(dict(item))
            matching = engine.select(
                request.profile, device=request.device, events=request.events, now=now
            ).audiences
            counts[frozenset(numbers[one] for one in matching if one in numbers)] += 1
        elif isinstance(item, ColumnsResult):
            _count_result(counts, item, audiences)
        else:
            rest = chain([item], iterator)
            _count_result(counts, engine.select_columns(rest, now=now), audiences)


def _count_result(
    counts: Counter[frozenset[int]], result: ColumnsResult, audiences: Sequence[int]
) -> None:
    if not audiences:
        counts[frozenset()] += result.n_rows
        return
    inside = np.stack([result.in_audience(number) for number in audiences])
    patterns, found = np.unique(np.packbits(inside, axis=0), axis=1, return_counts=True)
    bits = np.unpackbits(patterns, axis=0, count=len(audiences)).astype(bool)
    for column, count in enumerate(found.tolist()):
        members = np.flatnonzero(bits[:, column]).tolist()
        counts[frozenset(audiences[member] for member in members)] += count


def given_shares(
    shares: Mapping[Any, Any], numbers: Mapping[str, int]
) -> dict[frozenset[int], Fraction]:
    """Shares of patterns as a caller has them, scaled to 1; keys are collections of audience ids.

    ``numbers`` are the audiences of the page. Patterns that differ in other audiences alone cannot
    be told apart here, so ids of other audiences are refused.
    """
    found: dict[frozenset[int], Fraction] = {}
    for ids, share in shares.items():
        names = (ids,) if isinstance(ids, str) else tuple(ids)
        unknown = [name for name in names if name not in numbers]
        if unknown:
            raise ValueError(f"audience_shares: {unknown[0]!r} is no audience of this page")
        pattern = frozenset(numbers[name] for name in names)
        exact = Fraction(share)
        if exact < 0 or pattern in found:
            what = "is negative" if exact < 0 else "is there twice"
            raise ValueError(f"audience_shares: {names!r} {what}")
        found[pattern] = exact
    total = sum(found.values(), Fraction(0))
    if abs(total - 1) > _TOLERANCE:
        raise ValueError(f"audience_shares: they sum to {float(total):g}, not to 1")
    return {pattern: share / total for pattern, share in found.items()}

"""Moments as callers write them: milliseconds, ISO 8601 texts, aware datetimes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from whichvariant._core.coercion import shown

MAX_MS = 8_640_000_000_000_000
"""The furthest moment from 1970, in milliseconds, either way: JavaScript's limit."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def parse_time(value: object) -> int:
    """Milliseconds since the epoch from a number of them, an ISO 8601 text, or an aware datetime.

    A text without an offset is UTC. ValueError for everything else.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a time")
    if isinstance(value, (int, float)):
        if not -MAX_MS <= value <= MAX_MS:
            raise ValueError(f"{shown(value)} is beyond the times that exist")
        return int(value)
    if isinstance(value, str):
        if not _DATE.match(value):
            raise ValueError(f"{shown(value)} is not an ISO 8601 time")
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{shown(value)} is not an ISO 8601 time") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
    elif isinstance(value, datetime):
        moment = value
        if moment.tzinfo is None:
            raise ValueError("a datetime needs a time zone")
    else:
        raise ValueError(f"{type(value).__name__} is not a time")
    return (moment - _EPOCH) // _MILLISECOND


def iso_time(at_ms: int) -> str | None:
    """A moment as ISO 8601 in UTC, to the millisecond; None beyond the years that texts have."""
    try:
        moment = _EPOCH + at_ms * _MILLISECOND
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

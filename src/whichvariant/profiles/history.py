"""A profile's event history: going back in time, bounding it, and counting for new rules.

A profile's state is its base with the rows from ``kept.fold`` on applied to it, in the order of
their receipt. Everything here rests on that (docs/profiles.md#history).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from whichvariant.errors import EventError, HistoryUnavailable, RecordError
from whichvariant.profiles.activity import recount
from whichvariant.profiles.aggregate import apply_events
from whichvariant.profiles.events import Event, restore_events
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ActivityRules, ProfileSettings
from whichvariant.profiles.state import (
    ProfileState,
    decode_state,
    encode_state,
    new_state,
)
from whichvariant.profiles.times import iso_time

BASE = 0
"""The number of the row that holds the base."""

Row = tuple[int, bytes]
"""A row's number and its data."""


class Request(NamedTuple):
    """One row of a history: what came in one request, and when."""

    received_ms: int
    located: Located | None
    events: list[Event]


class Trimmed(NamedTuple):
    """A bounded history: the state with its new extent, the new base, and the rows to drop."""

    state: ProfileState
    base: bytes
    drop: range


_decoder = msgspec.msgpack.Decoder(
    tuple[int, tuple[dict[str, Any], dict[str, str]] | None, list[dict[str, Any]]]
)


def decode_row(row: Row) -> Request:
    """What a row holds. RecordError if it cannot be read."""
    number, data = row
    try:
        received_ms, located, events = _decoder.decode(data)
        restored = restore_events(events, received_ms)
    except (msgspec.DecodeError, RecursionError, EventError, UnicodeError) as error:
        raise RecordError(f"history row {number} cannot be read: {error}") from error
    return Request(received_ms, None if located is None else Located(*located), restored)


def state_at(
    state: ProfileState,
    rows: Sequence[Row],
    at_ms: int,
    rules: ActivityRules,
    settings: ProfileSettings,
) -> ProfileState | None:
    """A profile as of an instant, from all events known today whose time is at or before it.

    ``rows`` are all rows of the history, ascending. None: nothing had happened to it yet. Sticky
    choices and counters follow today's rules.

    Raises
    ------
    HistoryUnavailable
        The kept history begins later.
    """
    kept = state.kept
    if at_ms < kept.since_ms:
        raise HistoryUnavailable(
            "the kept history of the profile begins at "
            + (iso_time(kept.since_ms) or f"{kept.since_ms} ms")
        )
    past, happened = _start(state, rows, rules, settings)
    for row in rows:
        if row[0] < kept.fold:
            continue
        request = decode_row(row)
        events = [event for event in request.events if event.at_ms <= at_ms]
        if events:
            happened = True
            apply_events(past, events, rules, settings, request.located)
    return past if happened else None


def recounted(
    state: ProfileState, rows: Sequence[Row], rules: ActivityRules, settings: ProfileSettings
) -> ProfileState:
    """The state with counters for ``rules``; those it lacks are counted from the kept history."""
    after = state.copy()
    after.activity = recount(state.activity, rules, _events(rows), settings.history_events)
    after.counted = rules.counters_digest
    return after


def overfull(state: ProfileState, settings: ProfileSettings) -> bool:
    """Whether a history has outgrown its bounds by an eighth, so that trimming it pays."""
    kept = state.kept
    return (
        kept.events > settings.history_events + settings.history_events // 8
        or kept.size > settings.history_size + settings.history_size // 8
    )


def trim(
    state: ProfileState, rows: Sequence[Row], rules: ActivityRules, settings: ProfileSettings
) -> Trimmed:
    """Bound a history: the oldest rows are applied to the base and dropped.

    A row goes as a whole, so that at least the newest ``history_events`` remain, as far as
    ``history_size`` allows. The last row always remains. Where nothing is to drop, the base in the
    answer is the former one, or an empty profile if there was none: do not write that.
    """
    after = state.copy()
    kept = after.kept
    past, _ = _start(state, rows, rules, settings)
    dropped = 0
    first = kept.first
    for row in rows[:-1]:
        if row[0] == BASE:
            continue
        request = decode_row(row)
        events, size = len(request.events), len(row[1])
        too_large = kept.size > settings.history_size
        if kept.events - events < settings.history_events and not too_large:
            break
        if row[0] >= kept.fold:
            apply_events(past, request.events, rules, settings, request.located)
            newest = max(event.at_ms for event in request.events)
            kept.since_ms = max(kept.since_ms, newest)
        kept.events -= events
        kept.size -= size
        kept.first = row[0] + 1
        dropped += events
    kept.fold = max(kept.fold, kept.first)
    after.messages = state.messages[8 * dropped :]
    past.messages = b""
    return Trimmed(after, encode_state(past), range(first, kept.first))


def _start(
    state: ProfileState, rows: Sequence[Row], rules: ActivityRules, settings: ProfileSettings
) -> tuple[ProfileState, bool]:
    """The base, counted by ``rules``, and whether there is one; without one, an empty profile."""
    if rows and rows[0][0] == BASE:
        base = decode_state(rows[0][1])
        if base.counted != rules.counters_digest:
            # What came before the base, and is still kept, is all that can be counted anew.
            before = [row for row in rows if row[0] < state.kept.fold]
            base = recounted(base, before, rules, settings)
        return base, True
    start = new_state(state.id, state.random, state.created_ms)
    start.stable_id = state.stable_id
    start.counted = rules.counters_digest
    return start, False


def _events(rows: Iterable[Row]) -> Iterator[tuple[Mapping[str, Any], int]]:
    for row in rows:
        if row[0] != BASE:
            for event in decode_row(row).events:
                yield event.raw, event.at_ms

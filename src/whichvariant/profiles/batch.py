"""Batches: events of several profiles in one request, each naming its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from whichvariant.errors import EventError
from whichvariant.profiles.events import Event, IdentifyEvent, check_key, read_events

MAX_EVENTS = 200
MAX_IDENTIFY_EVENTS = 50
MAX_PROFILES = 50

Batch: TypeAlias = dict[str, list[Event]]
"""Events in the order in which they apply, by `anonymousId` in the order of first appearance."""


def read_batch(events: Sequence[Mapping[str, Any]], now_ms: int) -> Batch:
    """Check a batch: at most 200 events, 50 of them identify events, of 50 profiles.

    Raises
    ------
    EventError
        With the path of what is wrong.
    """
    checked = read_events(events, now_ms, limit=MAX_EVENTS)
    identify = sum(isinstance(event.fields, IdentifyEvent) for event in checked)
    if identify > MAX_IDENTIFY_EVENTS:
        raise EventError(
            "events", f"{identify} identify events, at most {MAX_IDENTIFY_EVENTS} are allowed"
        )
    batch: Batch = {}
    for event in sorted(checked, key=_by_index):
        path = f"events[{event.index}].anonymousId"
        if event.fields.anonymous_id is None:
            raise EventError(path, "missing")
        batch[check_key(event.fields.anonymous_id, path)] = []
    if len(batch) > MAX_PROFILES:
        raise EventError("events", f"{len(batch)} profiles, at most {MAX_PROFILES} are allowed")
    for event in checked:
        assert event.fields.anonymous_id is not None
        batch[event.fields.anonymous_id].append(event)
    return batch


def _by_index(event: Event) -> int:
    return event.index

"""What a provider knows about the company behind an address, as an event in a profile's history.

An identify event of our own sets it as traits, so that time travel, merges, exports and new
configurations treat it as they treat all others (docs/profiles.md#enrichment).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from whichvariant.profiles.events import IDLE_EVENTS, Event, IdentifyEvent, message_hash
from whichvariant.profiles.state import NEVER, ProfileState

FEATURE = "ip-enrichment"
"""The entry of `options.features` that asks for it."""

LIBRARY = {"name": "whichvariant/ip-enrichment", "version": "1"}
"""`context.library` of the events that are made here."""


class Enriching(NamedTuple):
    """An event to be put into a request, and its place among the request's events."""

    event: Event
    place: int


def enriching(
    state: ProfileState, events: Sequence[Event], traits: Mapping[str, Any]
) -> Enriching | None:
    """The event that sets ``traits``; None if it would change nothing.

    ``state`` is the profile after ``events``, those of a request that are new to it, in order. The
    event happens together with the last of them that is not idle, so that a late request stays
    late, and no session begins or grows by it. Its `messageId` follows from that event's.
    """
    for place in range(len(events), 0, -1):
        anchor = events[place - 1]
        if not isinstance(anchor.fields, IDLE_EVENTS):
            break
    else:
        return None
    times = state.traits_ms
    if not any(
        anchor.at_ms >= times.get(key, NEVER)
        and (key not in state.traits or state.traits[key] != value)
        for key, value in traits.items()
    ):
        return None
    raw = {
        "type": "identify",
        "channel": "server",
        "messageId": f"{FEATURE}-{anchor.message:016x}",
        "timestamp": anchor.at_ms,
        "context": {"library": LIBRARY},
        "userId": "",
        "traits": dict(traits),
    }
    fields = msgspec.convert(raw, IdentifyEvent)
    return Enriching(Event(raw, fields, anchor.at_ms, message_hash(fields), anchor.index), place)

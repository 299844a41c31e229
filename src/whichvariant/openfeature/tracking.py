"""What is tracked through OpenFeature, as an event of the API."""

from __future__ import annotations

from typing import Any

from openfeature.track import TrackingEventDetails

from whichvariant import clock
from whichvariant.profiles.times import iso_time

NAME = "whichvariant"


def track_event(name: str, details: TrackingEventDetails | None) -> dict[str, Any]:
    """A ``track`` event in the API's shape.

    The details' attributes are the event's properties, their value is the property ``value``.
    ValueError for a name that is no text, or empty.
    """
    from whichvariant import __version__

    if not isinstance(name, str) or not name:
        raise ValueError("a tracking event needs a name")
    properties: dict[str, Any] = {}
    if details is not None:
        properties.update(details.attributes)
        if details.value is not None:
            properties["value"] = details.value
    now = iso_time(clock.now_ms())
    return {
        "type": "track",
        "channel": "server",
        "event": name,
        "properties": properties,
        "context": {"library": {"name": NAME, "version": __version__}},
        "messageId": clock.random_bytes(16).hex(),
        "timestamp": now,
        "originalTimestamp": now,
        "sentAt": now,
    }

"""Events in the API's shape, built as the vendor's SDKs build them (reference: "Event")."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypedDict, Unpack

from whichvariant import clock
from whichvariant.errors import EventError
from whichvariant.events.request import RequestContext
from whichvariant.profiles.times import iso_time, parse_time

Channel = Literal["web", "mobile", "server", "client"]
ComponentType = Literal["Entry", "Variable"]

SHAPE_VERSION = "7.26.0"
"""The version of the vendor's SDK whose events these are."""


def _library() -> dict[str, str]:
    try:
        own = version("whichvariant")
    except PackageNotFoundError:  # running from a source tree that is not installed
        own = "0"
    # The number decides how a server treats the events: for libraries before 3.14 it looks up
    # where the sender is, which here would be where this program runs.
    return {"name": f"whichvariant/{own}", "version": SHAPE_VERSION}


LIBRARY = _library()
"""`context.library` of the events that are built here."""


class EventFields(TypedDict, total=False):
    """What every builder takes besides its own arguments.

    ``message_id`` is a new UUID by default: keep it when the same event is sent again, and nothing
    is counted twice. ``timestamp`` is milliseconds since the epoch, an aware datetime or ISO 8601,
    by default the clock. ``anonymous_id`` names the profile in batches, and only there.
    ``channel`` is "web" with a request and "server" without one. ``location`` goes before the
    request's. ``app`` is `context.app`: name and version.
    """

    message_id: str
    timestamp: int | datetime | str
    anonymous_id: str
    channel: Channel
    location: Mapping[str, Any]
    app: Mapping[str, str]


def page(
    context: RequestContext,
    properties: Mapping[str, Any] | None = None,
    **fields: Unpack[EventFields],
) -> dict[str, Any]:
    """A page view. ``properties`` are the caller's own; those that name the page are filled in.

    EventError if a field cannot be used; so do the other builders.
    """
    event = _event("page", context, fields)
    event["properties"] = {**(properties or {}), **context.page, "title": context.title}
    return event


def track(
    event: str,
    properties: Mapping[str, Any] | None = None,
    *,
    context: RequestContext | None = None,
    **fields: Unpack[EventFields],
) -> dict[str, Any]:
    """Something that a visitor did, by name."""
    built = _event("track", context, fields)
    built["event"] = event
    built["properties"] = dict(properties or {})
    return built


def identify(
    user_id: str = "",
    traits: Mapping[str, Any] | None = None,
    *,
    context: RequestContext | None = None,
    **fields: Unpack[EventFields],
) -> dict[str, Any]:
    """Who a visitor is, and their traits. An empty ``user_id`` sets traits alone."""
    built = _event("identify", context, fields)
    built["traits"] = dict(traits or {})
    built["userId"] = user_id
    return built


def screen(
    name: str,
    properties: Mapping[str, Any] | None = None,
    *,
    context: RequestContext | None = None,
    **fields: Unpack[EventFields],
) -> dict[str, Any]:
    """A screen of an app was seen."""
    built = _event("screen", context, fields)
    built["properties"] = {**(properties or {}), "name": name}
    return built


def component(
    component_id: str,
    *,
    experience_id: str | None = None,
    variant_index: int | None = None,
    component_type: ComponentType = "Entry",
    view_duration_ms: float | None = None,
    view_id: str | None = None,
    context: RequestContext | None = None,
    **fields: Unpack[EventFields],
) -> dict[str, Any]:
    """A component was seen. With experience and index it locks a sticky choice."""
    built = _event("component", context, fields)
    built["componentType"] = component_type
    built["componentId"] = component_id
    optional = {
        "experienceId": experience_id,
        "variantIndex": variant_index,
        "viewDurationMs": view_duration_ms,
        "viewId": view_id,
    }
    built.update({name: value for name, value in optional.items() if value is not None})
    return built


def addressed(events: Sequence[Mapping[str, Any]], anonymous_id: str) -> list[dict[str, Any]]:
    """The same events for a batch: each at the profile with this id, which is made if need be."""
    return [{**event, "anonymousId": anonymous_id} for event in events]


def new_message_id() -> str:
    """A `messageId` that no other event has: a random UUID."""
    return str(uuid.UUID(bytes=clock.random_bytes(16), version=4))


def _event(kind: str, request: RequestContext | None, fields: EventFields) -> dict[str, Any]:
    context: dict[str, Any] = {"library": dict(LIBRARY)}
    if request is not None:
        context.update(request.to_context())
    if "location" in fields:
        context["location"] = dict(fields["location"])
    if "app" in fields:
        context["app"] = dict(fields["app"])
    event = {
        "channel": fields.get("channel") or ("server" if request is None else "web"),
        "context": context,
        "messageId": fields.get("message_id") or new_message_id(),
        "timestamp": _timestamp(fields),
        "type": kind,
    }
    if fields.get("anonymous_id"):
        event["anonymousId"] = fields["anonymous_id"]
    return event


def _timestamp(fields: EventFields) -> str:
    given = fields.get("timestamp")
    try:
        at_ms = clock.now_ms() if given is None else parse_time(given)
    except ValueError as error:
        raise EventError("timestamp", str(error)) from None
    text = iso_time(at_ms)
    if text is None:
        raise EventError("timestamp", "beyond the years that a text can have")
    return text

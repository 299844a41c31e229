"""Events in the API's shape: what they must have, checked, and what aggregation reads of them.

Required fields and their types are those of the reference; anything else that is JSON is kept as
it came (docs/profiles.md#events).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from xxhash import xxh3_64_intdigest

from whichvariant._core.coercion import shown
from whichvariant.errors import EventError
from whichvariant.profiles.json_values import check_json, mismatch
from whichvariant.profiles.times import parse_time

MAX_EVENTS = 1_000
"""The most events in one request for one profile."""

MAX_KEY_BYTES = 1_024
"""The longest profile id or user id, as UTF-8."""

_Named = Annotated[str, msgspec.Meta(min_length=1)]


class Library(msgspec.Struct):
    """`context.library` and `context.app`."""

    name: str
    version: str


class Page(msgspec.Struct):
    """`context.page`, and the part of a page event's `properties` that is required."""

    path: str
    query: dict[str, str]
    referrer: str
    search: str
    url: str


class Campaign(msgspec.Struct):
    """`context.campaign`."""

    name: str | None = None
    source: str | None = None
    medium: str | None = None
    term: str | None = None
    content: str | None = None


class Coordinates(msgspec.Struct):
    """`coordinates` of a location; an empty object is how callers say that there are none."""

    latitude: float | None = None
    longitude: float | None = None


class Location(msgspec.Struct, rename="camel"):
    """A location as `context.location` and `options.location` give it."""

    coordinates: Coordinates | None = None
    city: str | None = None
    postal_code: str | None = None
    region: str | None = None
    region_code: str | None = None
    country: str | None = None
    country_code: str | None = None
    continent: str | None = None
    timezone: str | None = None


class Context(msgspec.Struct, rename="camel"):
    """`context`: where an event happened."""

    library: Library
    app: Library | None = None
    campaign: Campaign | None = None
    locale: str | None = None
    location: Location | None = None
    page: Page | None = None
    user_agent: str | None = None


class _Shared(msgspec.Struct, tag_field="type", rename="camel", kw_only=True):
    """What every event has."""

    channel: Literal["web", "mobile", "server", "client"]
    context: Context
    message_id: _Named
    timestamp: str | int | float | None = None
    anonymous_id: str | None = None


class PageEvent(_Shared, tag="page", kw_only=True):
    """A page view."""

    properties: Page


class TrackEvent(_Shared, tag="track", kw_only=True):
    """Something a visitor did, by name."""

    event: str
    properties: dict[str, Any]


class IdentifyEvent(_Shared, tag="identify", kw_only=True):
    """Traits of a visitor, and perhaps who they are: an empty `userId` sets traits alone."""

    traits: dict[str, Any]
    user_id: str | None


class ScreenProperties(msgspec.Struct):
    """The part of a screen event's `properties` that is required."""

    name: str


class ScreenEvent(_Shared, tag="screen", kw_only=True):
    """A screen of an app."""

    properties: ScreenProperties


class ComponentEvent(_Shared, tag="component", kw_only=True):
    """A component was seen; with experience and index it locks a sticky choice."""

    component_id: str
    component_type: str | None = None
    experience_id: str | None = None
    variant_index: int | float | None = None


class ComponentClickEvent(_Shared, tag="component_click", kw_only=True):
    """Accepted, because the vendor's SDKs make them; changes nothing."""


class ComponentHoverEvent(_Shared, tag="component_hover", kw_only=True):
    """Accepted, because the vendor's SDKs make them; changes nothing."""


class AliasEvent(_Shared, tag="alias", kw_only=True):
    """Accepted; changes nothing."""


class GroupEvent(_Shared, tag="group", kw_only=True):
    """Accepted; changes nothing."""


AnyEvent = (
    PageEvent
    | TrackEvent
    | IdentifyEvent
    | ScreenEvent
    | ComponentEvent
    | ComponentClickEvent
    | ComponentHoverEvent
    | AliasEvent
    | GroupEvent
)


IDLE_EVENTS = (ComponentClickEvent, ComponentHoverEvent, AliasEvent, GroupEvent)
"""Events that are kept, but change nothing of a profile, its session included."""


class _Body(msgspec.Struct):
    events: list[AnyEvent]


class Event(msgspec.Struct):
    """One checked event, ready to be applied.

    ``raw`` is the event as it came, ``at_ms`` its time (never later than its receipt), ``message``
    a hash of its `messageId`, ``index`` its place in the request.
    """

    raw: Mapping[str, Any]
    fields: AnyEvent
    at_ms: int
    message: int
    index: int


def read_events(events: Any, now_ms: int, *, limit: int = MAX_EVENTS) -> list[Event]:
    """Check the events of a request and put them in the order in which they apply.

    That order is by time, and by place where times are equal; an event without a timestamp, or
    with one in the future, counts as received at ``now_ms``.

    Parameters
    ----------
    events
        A list of mappings of plain JSON values. They are kept, not copied.
    now_ms
        Time of receipt, in milliseconds since the epoch.
    limit
        The most events there may be.

    Raises
    ------
    EventError
        With the path of what is wrong: ``events[3].context.page.url``.
    """
    if isinstance(events, (str, bytes, Mapping)) or not isinstance(events, Sequence):
        raise EventError("events", f"expected a list, got {type(events).__name__}")
    if not events:
        raise EventError("events", "expected at least one event")
    if len(events) > limit:
        raise EventError("events", f"{len(events)} events, at most {limit} are allowed")
    try:
        fields = msgspec.convert({"events": events}, _Body).events
    except msgspec.ValidationError as error:
        _refuse(error, events)
    except RecursionError:
        raise EventError("events", "nested too deeply") from None
    except (UnicodeEncodeError, AttributeError, TypeError) as error:
        # A lone surrogate where one of a few texts is expected, or no JSON at all.
        for number, event in enumerate(events):
            check_json(event, f"events[{number}]")
        raise EventError("events", f"not JSON: {error}") from None
    checked = [
        _event(raw, field, number, now_ms)
        for number, (raw, field) in enumerate(zip(events, fields, strict=True))
    ]
    checked.sort(key=_by_time)
    return checked


def restore_events(events: Sequence[Mapping[str, Any]], now_ms: int) -> list[Event]:
    """Events of a profile's own history, checked when they came and in order already."""
    fields = msgspec.convert({"events": events}, _Body).events
    return [
        Event(raw, field, _time(field, number, now_ms), message_hash(field), number)
        for number, (raw, field) in enumerate(zip(events, fields, strict=True))
    ]


def _by_time(event: Event) -> int:
    return event.at_ms


def message_hash(fields: AnyEvent) -> int:
    """The `messageId` as an `Event` has it."""
    return xxh3_64_intdigest(fields.message_id.encode())


def _time(fields: AnyEvent, number: int, now_ms: int) -> int:
    timestamp = fields.timestamp
    if timestamp is None:
        return now_ms
    try:
        at_ms = parse_time(timestamp)
    except ValueError as error:
        raise EventError(f"events[{number}].timestamp", str(error)) from None
    return min(at_ms, now_ms)


def _event(raw: Mapping[str, Any], fields: AnyEvent, number: int, now_ms: int) -> Event:
    if isinstance(fields, ComponentEvent):
        index = fields.variant_index
        if index is not None and not (0 <= index < math.inf and index == int(index)):
            raise EventError(
                f"events[{number}].variantIndex", f"{shown(index)} is not a variant index"
            )
    elif isinstance(fields, IdentifyEvent):
        check_key(fields.user_id or "", f"events[{number}].userId", empty=True)
    try:
        message = xxh3_64_intdigest(fields.message_id.encode())
    except UnicodeEncodeError:
        raise EventError(f"events[{number}].messageId", "a text with a lone surrogate") from None
    return Event(raw, fields, _time(fields, number, now_ms), message, number)


def check_key(key: str, path: str, *, empty: bool = False) -> str:
    """``key`` if it can name a profile; EventError at ``path`` if it cannot."""
    if not key and not empty:
        raise EventError(path, "must not be empty")
    # A code unit is at most three bytes of UTF-8, so most need no counting.
    if len(key) * 3 > MAX_KEY_BYTES or not key.isascii():
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise EventError(path, "a text with a lone surrogate") from None
        if size > MAX_KEY_BYTES:
            raise EventError(path, f"longer than {MAX_KEY_BYTES} bytes")
    return key


# ---- errors ---------------------------------------------------------------------------------

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def _refuse(error: msgspec.ValidationError, events: Sequence[Any]) -> NoReturn:
    """Say what is wrong, and where, in the words and with the paths of this package."""
    message, place = mismatch(error)
    path = _spell(place, events) if place else "events"
    missing = re.fullmatch(r"object missing required field (.*)", message)
    if missing:
        path, message = f"{path}.{missing[1]}", "missing"
    raise EventError(path, message)


def _spell(place: str, events: Sequence[Any]) -> str:
    """``.events[1].properties.query[...]`` with the key that is meant."""
    value: Any = {"events": events}
    steps = []
    for name, index in _STEP.findall(place):
        if index == "...":
            # msgspec does not say which; the only maps with checked values hold texts.
            key = next((key for key in value if not isinstance(value[key], str)), None)
            value = None if key is None else value[key]
            steps.append(f".{key if isinstance(key, str) else shown(key)}")
        elif index:
            steps.append(f"[{index}]")
            value = value[int(index)]
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
            steps.append(f".{name}")
    return "".join(steps).removeprefix(".")

"""Events applied to a profile's state: the heart of aggregation (docs/profiles.md).

Pure: the same state, events, time, rules and settings always give the same state, and nothing that
was handed in changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from whichvariant.errors import EventError
from whichvariant.profiles import activity, session
from whichvariant.profiles.device import device_of
from whichvariant.profiles.events import (
    IDLE_EVENTS,
    ComponentEvent,
    Event,
    IdentifyEvent,
    PageEvent,
)
from whichvariant.profiles.firmographics import enriching
from whichvariant.profiles.json_values import check_json, pack_json
from whichvariant.profiles.location import Located, location_object, supplement
from whichvariant.profiles.settings import ActivityRules, ProfileSettings
from whichvariant.profiles.state import NEVER, ProfileState

MAX_EVENT_BYTES = 1 << 20
"""The largest event, as msgpack."""

MAX_REQUEST_BYTES = 8 << 20
"""The largest sum of the events of one request, as msgpack."""

MAX_TRAITS_BYTES = 256 << 10
"""The most that all traits of a profile take, as msgpack."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Step(NamedTuple):
    """What applying events came to.

    ``row`` is the history row to append as number ``state.kept.next - 1``; None when nothing
    happened, and ``state`` is then the very one that was handed in.
    """

    state: ProfileState
    row: bytes | None


def aggregate(
    state: ProfileState,
    events: Sequence[Event],
    now_ms: int,
    rules: ActivityRules,
    settings: ProfileSettings,
    *,
    located: Located | None = None,
    firmographics: Mapping[str, Any] | None = None,
) -> Step:
    """Apply the events of one request to a profile (SEMANTICS section 5).

    Parameters
    ----------
    state
        The profile so far (`state.new_state` for a new one). It is not changed.
    events
        As `events.read_events` gives them. Those whose `messageId` is in the profile's history, or
        came before in the same request, are left out.
    now_ms
        Time of receipt, in milliseconds since the epoch.
    rules, settings
        What to count, which experiences are sticky, and the operator's limits.
    located
        What the server and the request's options say about where the visitor is.
    firmographics
        Traits that a provider has for the visitor's address, as JSON. Where they would make the
        profile larger than it may be, they are left out.

    Raises
    ------
    EventError
        An event holds what cannot be stored, or the profile would grow beyond its limits.
    """
    fresh, hashes = _unknown(events, state.messages)
    if not fresh:
        return Step(state, None)
    packed = _pack(fresh)
    after = state.copy()
    identifying = [event.index for event in fresh if isinstance(event.fields, IdentifyEvent)]
    if identifying:
        # Unpacked again: traits become the profile's own values, none of the caller's.
        own = [
            replace(event, raw=_decode(data)) if isinstance(event.fields, IdentifyEvent) else event
            for event, data in zip(fresh, packed, strict=True)
        ]
        apply_events(after, own, rules, settings, located)
        check_traits(after, identifying[-1])
    else:
        apply_events(after, fresh, rules, settings, located)
    if firmographics:
        found = enriching(after, fresh, firmographics)
        if found is not None and _has_room(after, firmographics):
            data = pack_json(found.event.raw, "firmographics", MAX_EVENT_BYTES)
            packed.insert(found.place, data)
            hashes += found.event.message.to_bytes(8, "little")
            _apply(after, [replace(found.event, raw=_decode(data))], rules, settings)
    row = _encode(
        [
            now_ms,
            None if located is None else [located.location, located.city_names],
            [msgspec.Raw(event) for event in packed],
        ]
    )
    kept = after.kept
    kept.next += 1
    kept.events += len(packed)
    kept.size += len(row)
    after.messages += hashes
    return Step(after, row)


def apply_events(
    state: ProfileState,
    events: Sequence[Event],
    rules: ActivityRules,
    settings: ProfileSettings,
    located: Located | None,
) -> None:
    """Change ``state`` by events that are its own. The extent of the history stays as it is."""
    _apply(state, events, rules, settings)
    _locate(state, events, located)


def _unknown(events: Sequence[Event], messages: bytes) -> tuple[list[Event], bytes]:
    """The events that are new to a profile, and their hashes."""
    fresh = []
    hashes = b""
    for event in events:
        message = event.message.to_bytes(8, "little")
        if not holds_message(messages, message) and not holds_message(hashes, message):
            fresh.append(event)
            hashes += message
    return fresh, hashes


def holds_message(messages: bytes, message: bytes) -> bool:
    """Whether the hash ``message``, eight bytes, is one of those in ``messages``."""
    place = messages.find(message)
    while place % 8 > 0:  # found across two hashes; -1 % 8 is 7, so look at that as well
        if place < 0:
            return False
        place = messages.find(message, place + 1)
    return place >= 0


def _pack(events: Sequence[Event]) -> list[bytes]:
    packed = []
    room = MAX_REQUEST_BYTES
    for event in events:
        if isinstance(event.fields, IdentifyEvent):
            # They come back in answers, so msgspec's word is not enough: it takes any key.
            check_json(event.raw["traits"], f"events[{event.index}].traits")
        packed.append(pack_json(event.raw, f"events[{event.index}]", MAX_EVENT_BYTES))
        room -= len(packed[-1])
        if room < 0:
            raise EventError(
                "events", f"more than {MAX_REQUEST_BYTES} bytes as msgpack in one request"
            )
    return packed


def _apply(
    state: ProfileState,
    events: Sequence[Event],
    rules: ActivityRules,
    settings: ProfileSettings,
) -> None:
    counting = bool(rules.counter_keys)
    limit = settings.history_events
    for event in events:
        at_ms = event.at_ms
        fields = event.fields
        if isinstance(fields, IDLE_EVENTS):
            continue
        context = fields.context
        state.session = session.touch(state.session, at_ms, settings.session_timeout_ms)
        if context.user_agent and at_ms >= state.device_ms:
            state.device = device_of(context.user_agent)
            state.device_ms = at_ms
        if isinstance(fields, PageEvent):
            session.land(state.session, fields.properties, at_ms)
        elif isinstance(fields, IdentifyEvent):
            _set_traits(state, event.raw["traits"], at_ms)
        elif isinstance(fields, ComponentEvent):
            _lock(state, fields, at_ms, rules)
        if counting:
            activity.add_event(state.activity, rules, event.raw, at_ms, limit)
    state.counted = rules.counters_digest


def _set_traits(state: ProfileState, traits: dict[str, Any], at_ms: int) -> None:
    times = state.traits_ms
    for key, value in traits.items():
        if at_ms >= times.get(key, NEVER):
            state.traits[key] = value
            times[key] = at_ms


def check_traits(state: ProfileState, index: int) -> None:
    """EventError at the traits of event ``index`` if the profile has more than it may have.

    Only what comes in is checked. A moment of the past may have had more: of two events that came
    in one order and happened in the other, the later may have replaced something large.
    """
    size = len(_encode(state.traits))
    if size > MAX_TRAITS_BYTES:
        raise EventError(
            f"events[{index}].traits",
            f"the profile would have {size} bytes of traits, at most {MAX_TRAITS_BYTES} are kept",
        )


def _has_room(state: ProfileState, traits: Mapping[str, Any]) -> bool:
    return len(_encode({**state.traits, **traits})) <= MAX_TRAITS_BYTES


def _lock(state: ProfileState, event: ComponentEvent, at_ms: int, rules: ActivityRules) -> None:
    """A component was seen: the choice is locked, if the experience is sticky and has it."""
    experience = event.experience_id
    if experience is None or event.variant_index is None:
        return
    highest = rules.sticky_experiences.get(experience)
    if highest is None or event.variant_index > highest:
        return
    if at_ms >= state.sticky_ms.get(experience, NEVER):
        state.sticky[experience] = int(event.variant_index)
        state.sticky_ms[experience] = at_ms


def _locate(state: ProfileState, events: Sequence[Event], located: Located | None) -> None:
    """What a request says about the location: the newest event's over the server's and options'."""
    given: dict[str, Any] = {}
    for event in events:
        said = event.fields.context.location
        if said is not None and not isinstance(event.fields, IDLE_EVENTS):
            given = location_object(said) or given
    if located is None and not given:
        return
    at_ms = events[-1].at_ms
    location: dict[str, Any] = {}
    names: dict[str, str] = {}
    if located is not None:
        location = dict(located.location)
        names = dict(located.city_names)
    if given:
        location = supplement(location, given)
        if located is not None and location.get("city") != located.location.get("city"):
            names = {}
    if at_ms >= state.location_ms:
        state.location = location
        state.city_names = names
        state.location_ms = at_ms

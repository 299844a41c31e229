"""A stored profile as one line of JSON, and back.

A line is a request as `whichvariant select` and replays read it, with what else is kept beside it::

    {"profile": {…}, "device": "mobile", "events": […],
     "stored": {"organization": "…", "environment": "…", "aliases": […], "updated": "…"}}

``events`` is the history in the order of receipt. The API's shape does not say when a trait was
set or a session began, and the history is bounded; so a profile that comes back from a line decides
the same, but its past cannot be looked at. `full_export` keeps everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson
from xxhash import xxh3_64_intdigest

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import EventError, InputError, ProfileError
from whichvariant.profiles import history
from whichvariant.profiles.aggregate import MAX_EVENT_BYTES, MAX_TRAITS_BYTES
from whichvariant.profiles.api_profile import profile_object, state_of
from whichvariant.profiles.events import Event, check_key, read_events
from whichvariant.profiles.json_values import pack_json
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, encode_state
from whichvariant.profiles.times import iso_time, parse_time
from whichvariant.store.protocol import HistoryRow

LINE_LIMIT = 64 * 1024 * 1024
"""The longest line in bytes, as `whichvariant select` has it."""

MAX_EVENTS = 200_000
"""The most events of one line: more than any history keeps."""

_ROW_EVENTS = 50
_ROW_BYTES = 256 << 10
"""A history is trimmed by whole rows, so an imported one has small rows."""

_DEVICES = frozenset({"desktop", "mobile", "tablet", "unknown"})
_KEYS = frozenset({"profile", "device", "events", "stored", "experiences", "changes"})

_encode = msgspec.msgpack.Encoder().encode


class Stored(msgspec.Struct, omit_defaults=True):
    """What is kept of a profile beside its API shape. ``updated`` is when it was last written."""

    organization: str | None = None
    environment: str | None = None
    aliases: tuple[str, ...] = ()
    updated: str | int | None = None


class Incoming(NamedTuple):
    """A profile from a line, ready to be stored. ``namespace`` is None where the line has none."""

    namespace: Namespace | None
    id: str
    record: bytes
    rows: tuple[HistoryRow, ...]
    aliases: tuple[str, ...]
    updated_ms: int


def iso_text(at_ms: int) -> str | int:
    """A time in ISO 8601, in UTC; the milliseconds themselves beyond the years that texts have."""
    return iso_time(at_ms) or at_ms


# ---- out ----------------------------------------------------------------------------------------


def line_object(
    state: ProfileState,
    rows: Sequence[history.Row] | None,
    stored: Stored,
    settings: ProfileSettings,
) -> dict[str, Any]:
    """The line of a profile; without ``events`` where ``rows`` is None.

    Raises
    ------
    RecordError
        A row of the history cannot be read.
    """
    line: dict[str, Any] = {"profile": profile_object(state, settings)}
    if state.device is not None:
        line["device"] = state.device
    if rows is not None:
        line["events"] = [
            _timed(event)
            for row in rows
            if row[0] != history.BASE
            for event in history.decode_row(row).events
        ]
    line["stored"] = msgspec.to_builtins(stored)
    return line


def encode_line(line: Mapping[str, Any]) -> bytes:
    """A line's JSON, its line feed included."""
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _timed(event: Event) -> Mapping[str, Any]:
    """The event as it came; with the time at which it counts, if it did not say that itself."""
    given = event.fields.timestamp
    if given is not None and parse_time(given) == event.at_ms:
        return event.raw
    return {**event.raw, "timestamp": iso_text(event.at_ms)}


# ---- in -----------------------------------------------------------------------------------------


def read_line(raw: bytes, now_ms: int) -> Incoming:
    """The profile on a line: in the API's shape, a request as above, or a response of the API.

    Given events become the history, from which a configuration's counters are counted; they are
    not applied, because the profile already shows what they did.

    Raises
    ------
    InputError
        With the path of what cannot be used.
    """
    profile, device, events, stored = _parts(raw)
    received_ms = _moment(stored.updated, now_ms)
    checked = _checked_events(events, received_ms)
    # Nothing tells when the profile became what it is but the newest of its events.
    as_of_ms = checked[-1].at_ms if checked else received_ms
    state = _state(profile, as_of_ms)
    if device is not None:
        state.device, state.device_ms = device, as_of_ms
    try:
        rows = _keep(state, checked, received_ms, as_of_ms)
        record = encode_state(state)
    except OverflowError:
        raise ProfileError("session", "a number that no counter holds") from None
    aliases = [
        check_key(alias, f"stored.aliases[{number}]") for number, alias in enumerate(stored.aliases)
    ]
    updated_ms = as_of_ms if stored.updated is None else received_ms
    return Incoming(
        _namespace(stored),
        state.id,
        record,
        rows,
        tuple(dict.fromkeys(alias for alias in aliases if alias != state.id)),
        updated_ms,
    )


def _parts(raw: bytes) -> tuple[dict[str, Any], str | None, list[Any], Stored]:
    if len(raw) > LINE_LIMIT:
        raise ProfileError("", "longer than 64 MiB")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProfileError("", f"not JSON: {error.msg} (column {error.colno})") from None
    if not isinstance(value, dict):
        raise ProfileError("", "expected a profile, one on each line")
    data = value.get("data")
    if isinstance(data, dict) and "id" not in value:
        return _object(data, "profile", "data.profile"), None, [], Stored()
    if "profile" not in value or "id" in value or "stableId" in value:
        return value, None, [], Stored()
    for key in value:
        if key not in _KEYS:
            raise InputError(key, "beside a profile only 'device', 'events' and 'stored' are known")
    device = value.get("device")
    if device is not None and not (isinstance(device, str) and device in _DEVICES):
        raise InputError("device", f"expected one of {', '.join(sorted(_DEVICES))}")
    events = value.get("events")
    if events is not None and not isinstance(events, list):
        raise EventError("events", "expected a list")
    kept = value.get("stored")
    try:
        stored = msgspec.convert({} if kept is None else kept, Stored)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        message = message[:1].lower() + message[1:].replace("`", "")
        raise InputError("stored" + place.rstrip("`"), message) from None
    return _object(value, "profile", "profile"), device, events or [], stored


def _object(value: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise ProfileError(path, "expected an object")
    return found


def _namespace(stored: Stored) -> Namespace | None:
    if stored.organization is None and stored.environment is None:
        return None
    return Namespace(
        check_key(stored.organization or "", "stored.organization"),
        check_key(stored.environment or "", "stored.environment"),
    )


def _moment(value: str | int | None, now_ms: int) -> int:
    if value is None:
        return now_ms
    try:
        return min(parse_time(value), now_ms)
    except ValueError as error:
        raise InputError("stored.updated", str(error)) from None


def _checked_events(events: list[Any], received_ms: int) -> list[Event]:
    """Events in the order of their times, each `messageId` once."""
    if not events:
        return []
    once: dict[int, Event] = {}
    for event in read_events(events, received_ms, limit=MAX_EVENTS):
        once.setdefault(event.message, event)
    return list(once.values())


def _state(profile: dict[str, Any], as_of_ms: int) -> ProfileState:
    state = state_of(profile, as_of_ms)
    check_key(state.stable_id, "stableId")
    check_key(state.id, "id")
    pack_json(state.traits, "traits", MAX_TRAITS_BYTES)
    if any(index < 0 for index in state.sticky.values()):
        raise ProfileError("stickyVariants", "a variant index is 0 or more")
    # The shape says what is set but not since when; from then on at the latest.
    state.traits_ms = dict.fromkeys(state.traits, as_of_ms)
    state.sticky_ms = dict.fromkeys(state.sticky, as_of_ms)
    if state.location:
        state.location_ms = as_of_ms
    if profile.get("random") is None:
        # A number that is the same each time the line is read.
        state.random = xxh3_64_intdigest(state.stable_id.encode()) & 0xFFFFFFFF
    return state


def _keep(
    state: ProfileState, events: Sequence[Event], received_ms: int, as_of_ms: int
) -> tuple[HistoryRow, ...]:
    """Give a state a history that explains nothing of it: all its events are in the base."""
    kept = state.kept
    rows = []
    for packed in _chunks(events):
        row = _encode([received_ms, None, [msgspec.Raw(event) for event in packed]])
        rows.append(HistoryRow(kept.next, row))
        kept.next += 1
        kept.events += len(packed)
        kept.size += len(row)
    kept.fold = kept.next
    kept.since_ms = as_of_ms
    if events:
        state.created_ms = min(state.created_ms, events[0].at_ms)
    base = HistoryRow(history.BASE, encode_state(state))
    state.messages = b"".join(event.message.to_bytes(8, "little") for event in events)
    return (base, *rows)


def _chunks(events: Sequence[Event]) -> list[list[bytes]]:
    chunks: list[list[bytes]] = []
    size = 0
    for event in events:
        packed = pack_json(event.raw, f"events[{event.index}]", MAX_EVENT_BYTES)
        if not chunks or len(chunks[-1]) == _ROW_EVENTS or size + len(packed) > _ROW_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(packed)
        size += len(packed)
    return chunks

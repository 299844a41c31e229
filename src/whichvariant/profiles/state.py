"""What is kept of one visitor, and its bytes in a store.

A record is msgpack: an array whose first element is the schema version. Records of every earlier
version stay readable: `MIGRATIONS` brings them up, one version at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from whichvariant.errors import RecordError

SCHEMA = 1
"""The version of the records that are written."""

MIGRATIONS: dict[int, Callable[[list[Any]], list[Any]]] = {}
"""From a version to the next: takes and gives the record as plain values, version included."""

NEVER = -(2**62)
"""Earlier than every time: when something that is not there was set."""


class Session(msgspec.Struct, array_like=True):
    """The sessions of a visitor: the last one, and sums over those before it.

    Times are milliseconds since the epoch. ``landing`` is path, url, query, referrer and search of
    the session's earliest page view, None while it has none.
    """

    started_ms: int
    last_ms: int
    count: int = 1
    past_s: int = 0
    landing: tuple[str, str, dict[str, str], str, str] | None = None
    landing_ms: int = NEVER

    @property
    def active_s(self) -> int:
        """Whole seconds from the session's first to its last event."""
        return (self.last_ms - self.started_ms) // 1000


class Kept(msgspec.Struct, array_like=True):
    """The extent of a profile's event history.

    Rows are numbered as they are appended; row 0 holds the base. Of the rows from ``first`` up to
    ``next``, those from ``fold`` on, applied to the base, give the profile's state; earlier ones
    were merged in, or happened before a merge, and only tell what was done. ``since_ms`` is the
    earliest moment that the base and the rows can answer for.
    """

    first: int = 1
    next: int = 1
    fold: int = 1
    events: int = 0
    size: int = 0
    since_ms: int = NEVER


class ProfileState(msgspec.Struct, array_like=True):
    """Everything that is known of one visitor but the event history itself.

    ``random`` is a uint32. Every part that a later event may replace comes with the time of the
    event that set it, so that a late event does not undo a newer one. ``activity`` counts, by
    counter: a number of events, or for a counter with a window the times of the newest ones,
    ascending; ``counted`` is the digest of the counters that these are. ``messages`` are the
    hashes, eight bytes each, of the `messageId`s in the history, in the order of their receipt.
    """

    schema: int
    id: str
    stable_id: str
    random: int
    created_ms: int
    traits: dict[str, Any] = {}
    traits_ms: dict[str, int] = {}
    location: dict[str, Any] = {}
    city_names: dict[str, str] = {}
    location_ms: int = NEVER
    device: str | None = None
    device_ms: int = NEVER
    session: Session | None = None
    sticky: dict[str, int] = {}
    sticky_ms: dict[str, int] = {}
    activity: dict[int, int | list[int]] = {}
    counted: int = 0
    messages: bytes = b""
    kept: Kept = msgspec.field(default_factory=Kept)

    def copy(self) -> ProfileState:
        """A state of its own, to be changed: what is nested deeper is replaced, never changed."""
        other = replace(self)
        other.traits = self.traits.copy()
        other.traits_ms = self.traits_ms.copy()
        other.sticky = self.sticky.copy()
        other.sticky_ms = self.sticky_ms.copy()
        other.activity = self.activity.copy()
        if self.session is not None:
            other.session = replace(self.session)
        other.kept = replace(self.kept)
        return other


def new_state(profile_id: str, random: int, created_ms: int) -> ProfileState:
    """A profile that nothing has happened to yet. Its stable id is its id."""
    return ProfileState(SCHEMA, profile_id, profile_id, random, created_ms)


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(ProfileState)
_plain = msgspec.msgpack.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_state(state: ProfileState) -> bytes:
    """The record of a state."""
    return _encode(state)


def decode_state(record: bytes) -> ProfileState:
    """The state in a record of this or an earlier schema version.

    Raises
    ------
    RecordError
        The record is no record, damaged, or of a newer version.
    """
    try:
        state = _decoder.decode(record)
    except _UNREADABLE:
        # Perhaps of another version; if not, what is wrong with it is said there.
        return _migrate(record)
    return state if state.schema == SCHEMA else _migrate(record)


def _migrate(record: bytes) -> ProfileState:
    try:
        values = _plain.decode(record)
    except _UNREADABLE as error:
        raise RecordError(f"the record cannot be read: {error}") from error
    if not isinstance(values, list) or not values or not isinstance(values[0], int):
        raise RecordError("not a profile's record")
    while values[0] != SCHEMA:
        migration = MIGRATIONS.get(values[0])
        if migration is None:
            raise RecordError(
                f"a record of schema version {values[0]}; this release reads up to {SCHEMA}"
            )
        version = values[0]
        try:
            values = migration(values)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise RecordError(f"the record of schema version {version} is damaged") from error
        if values[:1] != [version + 1]:
            raise RecordError(f"the migration of schema version {version} is not one")
    try:
        return msgspec.convert(values, ProfileState)
    except msgspec.ValidationError as error:
        raise RecordError(f"the record cannot be read: {error}") from error

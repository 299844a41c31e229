"""A profile in the API's shape, from its state, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from whichvariant.errors import EventError, ProfileError
from whichvariant.profiles import session
from whichvariant.profiles.events import Location
from whichvariant.profiles.json_values import check_json, mismatch, pack_json
from whichvariant.profiles.location import location_object
from whichvariant.profiles.place_names import translate_location
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, Session, new_state
from whichvariant.profiles.times import MAX_MS

_RANDOM_MAX = 2**32 - 1
_COUNT_MAX = 2**53

MAX_PROFILE_BYTES = 8 << 20
"""The largest profile in the API's shape, as msgpack."""

_decode = msgspec.msgpack.Decoder().decode


def profile_object(state: ProfileState, settings: ProfileSettings) -> dict[str, Any]:
    """The profile as rules read it and as the API answers it, but for audiences and language.

    Nested values are the state's own: do not change them.
    """
    profile = {
        "id": state.id,
        "stableId": state.stable_id,
        "random": state.random / _RANDOM_MAX,
        "audiences": [],
        "traits": state.traits,
        "location": state.location,
        "session": session.session_object(state.session, state.stable_id),
    }
    if settings.jurisdiction is not None:
        profile["jurisdiction"] = settings.jurisdiction
    if state.sticky:
        profile["stickyVariants"] = state.sticky
    return profile


def localised(location: dict[str, Any], state: ProfileState, locale: str) -> dict[str, Any]:
    """The location for an answer in ``locale``; what is stored stays in English."""
    if not location or locale == "en":
        return location
    return translate_location(location, locale, state.city_names)


class _LandingPage(msgspec.Struct):
    path: str = ""
    url: str = ""
    query: dict[str, str] = {}
    referrer: str = ""
    search: str = ""


class _Session(msgspec.Struct, rename="camel"):
    landing_page: _LandingPage | None = None
    count: int = 1
    active_session_length: float = 0
    average_session_length: float = 0


class _Profile(msgspec.Struct, rename="camel"):
    stable_id: str
    id: str | None = None
    random: float | None = None
    traits: dict[str, Any] | None = None
    location: Location | None = None
    session: _Session | None = None
    sticky_variants: dict[str, int] | None = None


def state_of(profile: Mapping[str, Any], now_ms: int) -> ProfileState:
    """A state from a profile in the API's shape, as far as that shape tells.

    The shape does not say when anything happened. Traits, location and sticky choices count as set
    just now, before the events to come; a session as one that goes on: its last event is now.

    Raises
    ------
    ProfileError
        With the path of what cannot be used.
    """
    try:
        # Its own values from here on, none of the caller's.
        plain = _decode(pack_json(profile, "", MAX_PROFILE_BYTES))
        check_json(plain, "")  # above all its keys, of which msgspec takes any
    except EventError as error:
        message = str(error).removeprefix(f"{error.path}: ")
        raise ProfileError(error.path.removeprefix("."), message) from None
    try:
        read = msgspec.convert(plain, _Profile)
    except msgspec.ValidationError as error:
        message, place = mismatch(error)
        if message == "object missing required field stableId":
            raise ProfileError("stableId", "missing") from None
        raise ProfileError(place.removeprefix("."), message) from None
    state = new_state(read.id or read.stable_id, 0, now_ms)
    state.stable_id = read.stable_id
    if read.random is not None:
        if not 0 <= read.random <= 1:
            raise ProfileError("random", "not a number from 0 to 1")
        state.random = round(read.random * _RANDOM_MAX)
    state.traits = dict(read.traits or {})
    state.location = location_object(read.location)
    state.sticky = dict(read.sticky_variants or {})
    if read.session is not None and read.session.count > 0:
        state.session = _session_of(read.session, now_ms)
    return state


def _session_of(read: _Session, now_ms: int) -> Session:
    limit_s = MAX_MS // 1000
    if not 0 <= read.active_session_length <= limit_s:
        raise ProfileError("session.activeSessionLength", f"not a number from 0 to {limit_s}")
    if not 0 <= read.average_session_length <= limit_s:
        raise ProfileError("session.averageSessionLength", f"not a number from 0 to {limit_s}")
    if read.count > _COUNT_MAX:
        raise ProfileError("session.count", f"more than {_COUNT_MAX}")
    active = int(read.active_session_length)
    total = round(read.average_session_length * read.count)
    page = read.landing_page
    session_state = Session(now_ms - active * 1000, now_ms, read.count, max(0, total - active))
    if page is not None:
        session_state.landing = (page.path, page.url, page.query, page.referrer, page.search)
        session_state.landing_ms = session_state.started_ms
    return session_state

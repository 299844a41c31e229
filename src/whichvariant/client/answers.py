"""What the API answers, as typed values (reference: "Types").

Everything here is frozen and has what it was made of as ``raw``: fields that are not named here
are found there. Names are Python's; on the wire they are ``stableId``, ``variantIndex`` and so on.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from whichvariant.profiles.answer import Answer
from whichvariant.profiles.json_values import mismatch

_T = TypeVar("_T")


class _FromWire(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    raw: dict[str, Any] = msgspec.field(name=" raw", default_factory=dict)
    """As it came, with whatever is not named here. It is the caller's own."""


class Coordinates(msgspec.Struct, frozen=True):
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float


class Location(_FromWire, frozen=True, kw_only=True):
    """Where a visitor is; what is not known is None."""

    coordinates: Coordinates | None = None
    city: str | None = None
    postal_code: str | None = None
    region: str | None = None
    region_code: str | None = None
    country: str | None = None
    country_code: str | None = None
    continent: str | None = None
    timezone: str | None = None


class LandingPage(msgspec.Struct, frozen=True):
    """The first page of a session."""

    path: str = ""
    url: str = ""
    query: dict[str, str] = {}
    referrer: str = ""
    search: str = ""


class Session(_FromWire, frozen=True, kw_only=True):
    """A visitor's session. Lengths are seconds."""

    id: str | None = None
    is_returning_visitor: bool = False
    landing_page: LandingPage = LandingPage()
    count: int = 1
    active_session_length: float = 0
    average_session_length: float = 0


class Profile(_FromWire, frozen=True, kw_only=True):
    """One visitor.

    ``random`` is a legacy field, not used for selection. ``sticky_variants`` gives the variant
    index by experience id.
    """

    id: str
    stable_id: str
    random: float | None = None
    audiences: tuple[str, ...] = ()
    traits: dict[str, Any] = {}
    location: Location = Location()
    session: Session = Session()
    jurisdiction: str | None = None
    sticky_variants: dict[str, int] = {}


class Experience(_FromWire, frozen=True, kw_only=True):
    """An experience that a visitor is in.

    ``variant_index`` 0 is the control. ``variants`` gives for each baseline entry's id the id of
    the entry to show; "" stands for showing nothing.
    """

    experience_id: str
    variant_index: int
    variants: dict[str, str] = {}
    sticky: bool = False


class Change(_FromWire, frozen=True, kw_only=True):
    """The value of one inline variable."""

    key: str
    type: str = "Variable"
    value: Any = None
    experience_id: str = ""
    variant_index: int = 0


class ProfileAnswer(_FromWire, frozen=True, kw_only=True):
    """A profile and what was decided for it.

    ``configuration`` is the digest of the configuration that decided, which servers of this project
    tell; None from others.
    """

    profile: Profile
    experiences: tuple[Experience, ...] = ()
    changes: tuple[Change, ...] = ()
    configuration: str | None = None

    def to_answer(self) -> Answer:
        """The same in the API's shape, as `Engine.preflight` gives it."""
        return Answer(
            self.raw["profile"],
            list(self.raw.get("experiences") or ()),
            list(self.raw.get("changes") or ()),
        )


class Mismatch(Exception):  # noqa: N818 - named for what happened
    """An answer is not of the documented shape; the message names the place."""


class _Meta(msgspec.Struct, rename="camel"):
    experience_id: str
    variant_index: int


class _WireChange(msgspec.Struct):
    meta: _Meta


def read_profile_answer(data: Any, configuration: str | None) -> ProfileAnswer:
    """The answer about one profile. Mismatch if it is none."""
    data = _object(data)
    return ProfileAnswer(
        raw=data,
        profile=read_profile(data.get("profile"), "profile"),
        experiences=tuple(
            _convert(one, Experience, f"experiences[{number}]")
            for number, one in enumerate(_list(data, "experiences"))
        ),
        changes=tuple(
            _read_change(one, f"changes[{number}]")
            for number, one in enumerate(_list(data, "changes"))
        ),
        configuration=configuration,
    )


def read_profiles(data: Any) -> tuple[Profile, ...]:
    """The answer to a batch. Mismatch if it is none."""
    return tuple(
        read_profile(one, f"profiles[{number}]")
        for number, one in enumerate(_list(_object(data), "profiles"))
    )


def read_profile(value: Any, path: str) -> Profile:
    """One profile. Mismatch if it is none."""
    profile = _convert(value, Profile, path)
    _keep(profile.location, value.get("location"))
    _keep(profile.session, value.get("session"))
    return profile


def _read_change(value: Any, path: str) -> Change:
    meta = _convert_to(value, _WireChange, path).meta
    change = _convert(value, Change, path)
    msgspec.structs.force_setattr(change, "experience_id", meta.experience_id)
    msgspec.structs.force_setattr(change, "variant_index", meta.variant_index)
    return change


_Wire = TypeVar("_Wire", bound=_FromWire)


def _convert(value: Any, kind: type[_Wire], path: str) -> _Wire:
    converted = _convert_to(value, kind, path)
    _keep(converted, value)
    return converted


def _convert_to(value: Any, kind: type[_T], path: str) -> _T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, place = mismatch(error)
        raise Mismatch(f"{path}{place}: {message}") from None


def _keep(converted: _FromWire, value: Any) -> None:
    # Before anybody else sees it: from here on it is frozen.
    if isinstance(value, dict):
        msgspec.structs.force_setattr(converted, "raw", value)


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Mismatch("data: expected an object")
    return data


def _list(data: dict[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Mismatch(f"{name}: expected a list")
    return value

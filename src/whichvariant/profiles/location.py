"""Where a visitor is: three sources, and which of them wins (docs/profiles.md#location)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from whichvariant.errors import EventError
from whichvariant.profiles.events import Event, Location
from whichvariant.profiles.json_values import mismatch, pack_json

MAX_LOCATION_BYTES = 64 << 10
"""The largest location in a request's options, as msgpack."""

# A visitor writes it, and reading a number of any length takes long or fails.
_VERSION = re.compile(r"v?([0-9]{1,9})\.([0-9]{1,9})(?![0-9])")

_FIELDS = {
    "city": "city",
    "postal_code": "postalCode",
    "region": "region",
    "region_code": "regionCode",
    "country": "country",
    "country_code": "countryCode",
    "continent": "continent",
    "timezone": "timezone",
}


class Located(NamedTuple):
    """What a server found out about where a visitor is.

    ``location`` is in the API's shape; ``city_names`` are names of its city by language.
    """

    location: Mapping[str, Any]
    city_names: Mapping[str, str] = {}


def location_object(given: Location | None) -> dict[str, Any]:
    """What a given location says, in the API's shape. What is null or empty says nothing."""
    if given is None:
        return {}
    said: dict[str, Any] = {}
    coordinates = given.coordinates
    if coordinates is not None and None not in (coordinates.latitude, coordinates.longitude):
        said["coordinates"] = {
            "latitude": coordinates.latitude,
            "longitude": coordinates.longitude,
        }
    for field, name in _FIELDS.items():
        value = getattr(given, field)
        if value:
            said[name] = value
    return said


def read_location(value: Any, path: str) -> dict[str, Any]:
    """A location from a request's options, checked; EventError below ``path``."""
    # Finite numbers and Unicode texts, as in events: it is stored like theirs.
    pack_json(value, path, MAX_LOCATION_BYTES)
    try:
        return location_object(msgspec.convert(value, Location | None))
    except msgspec.ValidationError as error:
        message, place = mismatch(error)
        raise EventError(path + place, message) from None


def supplement(location: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``more`` over ``location``, field by field.

    When it names another country, nothing of the former is right any more, and it stands alone.
    """
    for name in ("countryCode", "country"):
        if name in more and more[name] != location.get(name, more[name]):
            return dict(more)
    return {**location, **more}


def wants_location(events: Iterable[Event], features: Iterable[str]) -> bool:
    """Whether a server shall find out where the visitor is.

    It shall when ``features`` has "location", or when an event comes from a library before version
    3.14; an empty ``context.location`` of an event says that it shall not.
    """
    asked = "location" in features
    for event in events:
        context = event.fields.context
        if context.location is not None and not location_object(context.location):
            return False
        version = _VERSION.match(context.library.version)
        asked = asked or (version is not None and (int(version[1]), int(version[2])) < (3, 14))
    return asked

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

_COUNTRY_CODES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT
BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH
ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT
HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS
LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI
NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG
SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG
UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW unknown
"""

COUNTRY_CODES = frozenset(_COUNTRY_CODES.split())
"""What the vendor's SDKs let a `countryCode` be: ISO 3166-1 alpha-2, Kosovo's XK, and "unknown".

For any other they refuse the whole answer, and with it the visitor for good.
"""

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
    """What a given location says, in the API's shape.

    What is null or empty says nothing, nor does a `countryCode` that is none (`COUNTRY_CODES`).
    """
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
    if said.get("countryCode", "unknown") not in COUNTRY_CODES:
        del said["countryCode"]
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

"""Where a CDN says that a visitor is: Cloudflare's visitor location headers.

The names are those of its managed transform "Add visitor location headers"; `cf-ipcountry` comes
without it, too. Only headers that a trusted peer sent may be read here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from whichvariant.profiles.location import COUNTRY_CODES
from whichvariant.profiles.place_names import country_name

# Cloudflare's country of visitors who come through the Tor network.
_TOR = "T1"

_LONGEST = 256

_TEXTS = {
    b"cf-ipcity": "city",
    b"cf-postal-code": "postalCode",
    b"cf-region": "region",
    b"cf-region-code": "regionCode",
    b"cf-timezone": "timezone",
}
_COUNTRY = b"cf-ipcountry"
_CONTINENT = b"cf-ipcontinent"
_LATITUDE = b"cf-iplatitude"
_LONGITUDE = b"cf-iplongitude"
_NAMES = frozenset({*_TEXTS, _COUNTRY, _CONTINENT, _LATITUDE, _LONGITUDE})

_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})
_DEGREES = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,18})?")


def cdn_location(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any] | None:
    """The location that the headers of a request say, in the API's shape; empty if they say none.

    None for visitors who hide it: an exit of the Tor network says nothing about where they are.

    A header that does not look like what it should be says nothing. The country's name is CLDR's
    English one for its code.
    """
    said = {name: value for name, value in headers if name in _NAMES}
    if not said:
        return {}
    code = _text(said.get(_COUNTRY, b""))
    if code == _TOR:
        return None
    location: dict[str, Any] = {}
    for name, field in _TEXTS.items():
        text = _text(said.get(name, b""))
        if text:
            location[field] = text
    # XX, among others, is none: Cloudflare does not know.
    if len(code) == 2 and code in COUNTRY_CODES:
        location["countryCode"] = code
        country = country_name(code)
        if country is not None:
            location["country"] = country
    continent = _text(said.get(_CONTINENT, b""))
    if continent in _CONTINENTS:
        location["continent"] = continent
    latitude = _degrees(said, _LATITUDE, 90)
    longitude = _degrees(said, _LONGITUDE, 180)
    if latitude is not None and longitude is not None:
        location["coordinates"] = {"latitude": latitude, "longitude": longitude}
    return location


def _text(value: bytes) -> str:
    """A value as text: UTF-8, which is what the CDN sends; what is none is Latin-1."""
    if len(value) > _LONGEST:
        return ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    text = text.strip()
    return text if text.isprintable() else ""


def _degrees(said: Mapping[bytes, bytes], name: bytes, most: int) -> float | None:
    text = said.get(name, b"").decode("latin-1").strip()
    if _DEGREES.fullmatch(text) is None:
        return None
    degrees = float(text)
    return degrees if math.fabs(degrees) <= most else None

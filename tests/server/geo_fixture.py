"""A database in MaxMind's format, of a few made-up networks."""

from __future__ import annotations

import pathlib
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

MUNICH = {
    "city": {"names": {"en": "Munich", "de": "München", "fr": "Munich"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "DE", "names": {"en": "Germany", "de": "Deutschland"}},
    "location": {
        "latitude": 48.1374,
        "longitude": 11.5755,
        "accuracy_radius": 20,
        "time_zone": "Europe/Berlin",
    },
    "postal": {"code": "80331"},
    "subdivisions": [
        {"iso_code": "BY", "names": {"en": "Bavaria", "de": "Bayern"}},
        {"iso_code": "XX", "names": {"en": "Upper Bavaria"}},
    ],
    "registered_country": {"iso_code": "FR", "names": {"en": "France"}},
}
MUNICH_LOCATION = {
    "city": "Munich",
    "postalCode": "80331",
    "region": "Bavaria",
    "regionCode": "BY",
    "country": "Germany",
    "countryCode": "DE",
    "continent": "EU",
    "timezone": "Europe/Berlin",
    "coordinates": {"latitude": 48.1374, "longitude": 11.5755},
}

IN_MUNICH = "81.2.69.142"
IN_MUNICH_6 = "2a02:ff::1"
IN_FRANCE = "82.3.4.5"
NOWHERE = "9.9.9.9"


def write_database(
    path: pathlib.Path, records: dict[str, Any] | None = None, kind: str = "GeoLite2-City"
) -> pathlib.Path:
    """A database at ``path``, put in place at once: of these networks, or of the usual ones."""
    writer = MMDBWriter(6, kind, ["en", "de"], "made for tests", ipv4_compatible=True)
    usual = {
        "81.2.69.0/24": MUNICH,
        "2a02:ff::/48": MUNICH,
        "82.3.4.0/24": {"country": {"iso_code": "FR", "names": {"en": "France"}}},
    }
    for network, record in (usual if records is None else records).items():
        writer.insert_network(IPSet([network]), record)
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)
    return path

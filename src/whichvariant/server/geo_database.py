"""A MaxMind database of cities or countries: where an address is (docs/server.md).

The file is read into memory as a whole and decoded in Python. A memory-mapped one would end the
process when somebody shortens the file, and the reader in C is no place for a damaged one.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import maxminddb
import msgspec

from whichvariant.profiles.location import COUNTRY_CODES, Located
from whichvariant.server.clients import Address

_LOG = logging.getLogger("whichvariant.server.geo")

# Decoding a record takes about 0.1 ms, and visitors make more than one request.
_KEPT_ADDRESSES = 4_096

_Signature: TypeAlias = tuple[int, int, int]


class _Named(msgspec.Struct):
    names: dict[str, str] = {}


class _Place(_Named):
    code: str = ""
    iso_code: str = ""


class _Postal(msgspec.Struct):
    code: str = ""


class _Point(msgspec.Struct):
    latitude: float | None = None
    longitude: float | None = None
    time_zone: str = ""


class _Record(msgspec.Struct):
    """What is read of a record of GeoIP2 or GeoLite2 City, Enterprise or Country."""

    city: _Named = msgspec.field(default_factory=_Named)
    continent: _Place = msgspec.field(default_factory=_Place)
    country: _Place = msgspec.field(default_factory=_Place)
    location: _Point = msgspec.field(default_factory=_Point)
    postal: _Postal = msgspec.field(default_factory=_Postal)
    subdivisions: list[_Place] = []


class GeoDatabase:
    """A database file, looked at again and again.

    A file that cannot be used is logged, and the last good one goes on serving. Until there is a
    good one, nobody is anywhere.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._find: Callable[[Address], Located | None] | None = None
        self._seen: _Signature | None = None
        self._missing = False
        self._broken = False

    async def look(self) -> None:
        """Open the file if it is another one than before. Never raises; trouble is logged."""
        try:
            signature = await asyncio.to_thread(_signature, self.path)
        except OSError as error:
            if not self._missing:
                _LOG.error("geo_database: %s: %s", self.path, error.strerror)
            self._missing = True
            return
        self._missing = False
        if signature == self._seen:
            return
        self._seen = signature
        try:
            reader = await asyncio.to_thread(_open, self.path)
        except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways
            kept = "" if self._find is None else "; the one before it stays in use"
            _LOG.error("geo_database: %s cannot be used: %s%s", self.path, error, kept)
            return
        self._find = _finder(reader)
        self._broken = False
        metadata = reader.metadata()
        _LOG.info(
            "geo_database: %s is %s, built at %d",
            self.path,
            metadata.database_type,
            metadata.build_epoch,
        )

    async def follow(self, pause_s: float) -> None:
        """Look for changes until cancelled; never, if ``pause_s`` is 0."""
        while pause_s > 0:
            await asyncio.sleep(pause_s)
            await self.look()

    def find(self, address: Address) -> Located | None:
        """Where an address is; None if nobody knows. Never raises."""
        if self._find is None:
            return None
        try:
            return self._find(address)
        except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways
            if not self._broken:
                # Without the address, and once: the next visitors would say the same.
                _LOG.error(
                    "geo_database: %s is damaged or of another kind (%s)",
                    self.path,
                    type(error).__name__,
                )
            self._broken = True
            return None


def _signature(path: str) -> _Signature:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _open(path: str) -> maxminddb.Reader:
    with open(path, "rb") as file:
        data = file.read()
    reader = maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD)
    # Damage that every look-up would meet is damage now.
    reader.get("1.1.1.1")
    return reader


def _finder(reader: maxminddb.Reader) -> Callable[[Address], Located | None]:
    version = reader.metadata().ip_version

    @lru_cache(maxsize=_KEPT_ADDRESSES)
    def find(address: Address) -> Located | None:
        record = reader.get(address) if address.version <= version else None
        return None if record is None else _located(msgspec.convert(record, _Record))

    return find


def _located(record: _Record) -> Located | None:
    code = record.country.iso_code
    location: dict[str, Any] = {
        "city": record.city.names.get("en"),
        "postalCode": record.postal.code,
        "country": record.country.names.get("en"),
        "countryCode": code if code in COUNTRY_CODES else None,
        "continent": record.continent.code,
        "timezone": record.location.time_zone,
    }
    if record.subdivisions:
        # From the largest to the smallest.
        location["region"] = record.subdivisions[0].names.get("en")
        location["regionCode"] = record.subdivisions[0].iso_code
    point = record.location
    if point.latitude is not None and point.longitude is not None:
        location["coordinates"] = {"latitude": point.latitude, "longitude": point.longitude}
    location = {name: value for name, value in location.items() if value}
    if not location:
        return None
    return Located(location, record.city.names if "city" in location else {})

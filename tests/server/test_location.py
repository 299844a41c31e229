"""Where visitors are: headers of a CDN, a database, and how it reaches profiles."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.server.conftest import client_of
from tests.server.events import page
from tests.server.geo_fixture import (
    IN_FRANCE,
    IN_MUNICH,
    IN_MUNICH_6,
    MUNICH,
    MUNICH_LOCATION,
    NOWHERE,
    write_database,
)
from tests.server.running import Served, served
from tests.server.test_clients import PROXY, SERVER, TRUSTED, scope

from whichvariant.errors import SettingsError
from whichvariant.server import App, ServerSettings, create_app
from whichvariant.server.clients import Clients
from whichvariant.server.geo_database import GeoDatabase
from whichvariant.server.visitors import Visitors, VisitorSources

LOCATED = {"features": ["location"]}

SAO_PAULO = {
    "cf_ipcity": "São Paulo".encode(),
    "cf_ipcountry": "BR",
    "cf_ipcontinent": "SA",
    "cf_iplatitude": "-23.54750",
    "cf_iplongitude": "-46.63610",
    "cf_region": "São Paulo".encode(),
    "cf_region_code": "SP",
    "cf_metro_code": "501",
    "cf_postal_code": "01000-000",
    "cf_timezone": "America/Sao_Paulo",
}
SAO_PAULO_LOCATION = {
    "city": "São Paulo",
    "country": "Brazil",
    "countryCode": "BR",
    "continent": "SA",
    "coordinates": {"latitude": -23.5475, "longitude": -46.6361},
    "region": "São Paulo",
    "regionCode": "SP",
    "postalCode": "01000-000",
    "timezone": "America/Sao_Paulo",
}


@pytest.fixture
def database(tmp_path: pathlib.Path) -> pathlib.Path:
    """A database of a few networks."""
    return write_database(tmp_path / "city.mmdb")


async def visitors_of(
    database: pathlib.Path | None = None, trusted: tuple[str, ...] = TRUSTED
) -> Visitors:
    """Who tells where visitors are, ready."""
    sources = VisitorSources(
        Clients(trusted), None if database is None else GeoDatabase(str(database))
    )
    await sources.load()
    return Visitors(sources)


def found(visitors: Visitors, peer: str | None, **headers: str | bytes) -> dict[str, Any]:
    """The location of a request."""
    located = visitors.locate(scope(peer, **headers))
    return {} if located is None else dict(located.location)


# ---- the CDN's headers -------------------------------------------------------------------------


async def test_headers_of_a_trusted_peer() -> None:
    visitors = await visitors_of()
    assert found(visitors, PROXY, **SAO_PAULO) == SAO_PAULO_LOCATION
    assert found(visitors, PROXY) == {}
    assert found(visitors, IN_MUNICH, **SAO_PAULO) == {}
    assert found(visitors, None, **SAO_PAULO) == {}


async def test_headers_that_are_not_what_they_should_be() -> None:
    visitors = await visitors_of()
    for header, value, expected in [
        ("cf_ipcountry", "XX", {}),
        ("cf_ipcountry", "de", {}),
        ("cf_ipcountry", "DEU", {}),
        ("cf_ipcountry", "QQ", {}),
        ("cf_ipcountry", "EU", {}),
        ("cf_ipcountry", "unknown", {}),
        ("cf_ipcountry", "XK", {"countryCode": "XK", "country": "Kosovo"}),
        ("cf_ipcountry", "GB", {"countryCode": "GB", "country": "United Kingdom"}),
        ("cf_ipcontinent", "Europe", {}),
        ("cf_ipcontinent", "EU", {"continent": "EU"}),
        ("cf_iplatitude", "48.1", {}),
        ("cf_ipcity", "", {}),
        ("cf_ipcity", b"\x00\x01", {}),
        ("cf_ipcity", b"M\xfcnchen", {"city": "München"}),
        ("cf_ipcity", b"x" * 300, {}),
    ]:
        assert found(visitors, PROXY, **{header: value}) == expected, (header, value)
    for latitude in ("91", "nan", "1e3", "inf", "48,1", "1" * 400, "\xff"):
        assert found(visitors, PROXY, cf_iplatitude=latitude, cf_iplongitude="1") == {}
    zero = found(visitors, PROXY, cf_iplatitude="0", cf_iplongitude="0")
    assert zero == {"coordinates": {"latitude": 0.0, "longitude": 0.0}}


async def test_visitors_who_hide_are_nowhere(database: pathlib.Path) -> None:
    visitors = await visitors_of(database)
    hidden = {"cf_ipcountry": "T1", "cf_ipcity": "Paris", "x_forwarded_for": IN_MUNICH}
    assert found(visitors, PROXY, **hidden) == {}
    unknown = {"cf_ipcountry": "XX", "x_forwarded_for": IN_MUNICH}
    assert found(visitors, PROXY, **unknown) == MUNICH_LOCATION


# ---- the database ------------------------------------------------------------------------------


async def test_addresses_in_the_database(database: pathlib.Path) -> None:
    visitors = await visitors_of(database)
    located = visitors.locate(scope(IN_MUNICH))
    assert located is not None
    assert located.location == MUNICH_LOCATION
    assert located.city_names == MUNICH["city"]["names"]
    assert found(visitors, IN_MUNICH_6) == MUNICH_LOCATION
    assert found(visitors, f"::ffff:{IN_MUNICH}") == MUNICH_LOCATION
    assert found(visitors, IN_FRANCE) == {"country": "France", "countryCode": "FR"}
    for nowhere in (NOWHERE, "::1", "127.0.0.1", "testclient", None):
        assert found(visitors, nowhere) == {}
    assert found(visitors, PROXY, x_forwarded_for=IN_MUNICH) == MUNICH_LOCATION
    assert found(visitors, SERVER, x_force_ip=IN_MUNICH) == MUNICH_LOCATION


async def test_headers_and_database_together(database: pathlib.Path) -> None:
    visitors = await visitors_of(database)
    # All that the CDN says, and nothing of the database.
    assert found(visitors, PROXY, x_forwarded_for=IN_MUNICH, **SAO_PAULO) == SAO_PAULO_LOCATION
    # The same country, in detail.
    assert found(visitors, PROXY, x_forwarded_for=IN_MUNICH, cf_ipcountry="DE") == MUNICH_LOCATION
    other = found(visitors, PROXY, x_forwarded_for=IN_MUNICH, cf_ipcountry="AT")
    assert other == {"country": "Austria", "countryCode": "AT"}
    # The CDN names the city, and the database its names.
    located = visitors.locate(
        scope(PROXY, x_forwarded_for=IN_MUNICH, cf_ipcountry="DE", cf_ipcity="Munich")
    )
    assert located is not None
    assert located.location == {"city": "Munich", "country": "Germany", "countryCode": "DE"}
    assert located.city_names["de"] == "München"
    # A server behind the CDN names its visitor: the CDN's headers are about the server.
    assert (
        found(visitors, SERVER, x_force_ip=IN_MUNICH, cf_ipcountry="US", cf_ipcity="Ashburn")
        == MUNICH_LOCATION
    )


def test_a_database_that_is_replaced(
    database: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = ipaddress.ip_address(NOWHERE)
    geo = GeoDatabase(str(database))
    asyncio.run(geo.look())
    assert geo.find(address) is None
    write_database(database, {"9.9.9.0/24": MUNICH})
    asyncio.run(geo.look())
    located = geo.find(address)
    assert located is not None
    assert located.location == MUNICH_LOCATION
    assert geo.find(ipaddress.ip_address(IN_FRANCE)) is None
    # Half a file: the end is missing, where a reader looks first.
    whole = database.read_bytes()
    caplog.clear()
    database.write_bytes(whole[: len(whole) // 2])
    for _ in range(3):
        asyncio.run(geo.look())
        assert geo.find(address) == located
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "stays in use" in caplog.text
    caplog.clear()
    database.unlink()
    for _ in range(3):
        asyncio.run(geo.look())
        assert geo.find(address) == located
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    write_database(database)
    asyncio.run(geo.look())
    assert geo.find(address) is None


def test_damage_is_no_location_and_no_error(
    tmp_path: pathlib.Path, database: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = database.read_bytes()
    for number, broken in enumerate([b"", b"nonsense", whole[:-200], os.urandom(4_096)]):
        path = tmp_path / f"broken-{number}.mmdb"
        path.write_bytes(broken)
        geo = GeoDatabase(str(path))
        asyncio.run(geo.look())
        assert geo.find(ipaddress.ip_address(IN_MUNICH)) is None
        assert "cannot be used" in caplog.text
        caplog.clear()
    # Everything but the metadata overwritten, in pieces.
    metadata = whole.rindex(b"\xab\xcd\xefMaxMind.com")
    usable = 0
    for start in range(0, metadata, 16):
        path = tmp_path / "damaged.mmdb"
        path.write_bytes(whole[:start] + b"\xff" * 16 + whole[start + 16 :])
        geo = GeoDatabase(str(path))
        asyncio.run(geo.look())
        for address in (IN_MUNICH, IN_MUNICH_6, IN_FRANCE, NOWHERE):
            located = geo.find(ipaddress.ip_address(address))
            usable += located is not None
            assert located is None or located.location
    assert usable
    for record in caplog.records:
        assert IN_MUNICH not in record.getMessage()


async def test_records_of_another_kind(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_database(
        tmp_path / "other.mmdb",
        {"81.2.69.0/24": {"city": "Munich", "country_code": "DE"}, "82.3.4.0/24": {"asn": 7}},
        kind="somebody's",
    )
    geo = GeoDatabase(str(path))
    await geo.look()
    caplog.clear()
    for _ in range(3):
        assert geo.find(ipaddress.ip_address(IN_MUNICH)) is None
    assert geo.find(ipaddress.ip_address(IN_FRANCE)) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert IN_MUNICH not in caplog.text


def test_a_database_needs_its_package(
    database: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    monkeypatch.delitem(sys.modules, "whichvariant.server.geo_database")
    with pytest.raises(SettingsError, match=r"^geo_database: .*whichvariant\[geo\]"):
        create_app(ServerSettings(geo_database=str(database)))


# ---- through the server ------------------------------------------------------------------------


async def located(
    client: httpx.AsyncClient, body: dict[str, Any] | None = None, **headers: str | bytes
) -> dict[str, Any]:
    """The location in the answer to a page view."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"events": [page()], "options": LOCATED} if body is None else body
    answer = await client.post("/profiles", json=body, headers=sent)
    assert answer.status_code == 200, answer.text
    location: dict[str, Any] = answer.json()["data"]["profile"]["location"]
    return location


async def test_what_a_request_asks_for(
    make_app: Callable[..., App], database: pathlib.Path
) -> None:
    # The client in this process is 127.0.0.1.
    app = make_app(trusted_proxies=("127.0.0.1",), geo_database=str(database))
    async with client_of(app) as client:
        forced = {"x_force_ip": IN_MUNICH}
        assert await located(client, **forced) == MUNICH_LOCATION
        assert await located(client, **SAO_PAULO) == SAO_PAULO_LOCATION
        # Not asked for.
        assert await located(client, {"events": [page()]}, **forced) == {}
        old = page()
        old["context"]["library"]["version"] = "3.13.9"
        assert await located(client, {"events": [old]}, **forced) == MUNICH_LOCATION
        # Switched off by an event.
        off = page()
        off["context"]["location"] = {}
        assert await located(client, {"events": [off], "options": LOCATED}, **forced) == {}
        # Options win, field by field.
        options = {**LOCATED, "location": {"city": "Augsburg", "countryCode": "DE"}}
        assert await located(client, {"events": [page()], "options": options}, **forced) == {
            **MUNICH_LOCATION,
            "city": "Augsburg",
        }


async def test_the_city_in_the_language_of_the_request(
    make_app: Callable[..., App], database: pathlib.Path
) -> None:
    app = make_app(trusted_proxies=("127.0.0.1",), geo_database=str(database))
    async with client_of(app) as client:
        answer = await client.post(
            "/profiles?locale=de",
            json={"events": [page()], "options": LOCATED},
            headers={"x-force-ip": IN_MUNICH},
        )
        profile = answer.json()["data"]["profile"]
        assert profile["location"] == {
            **MUNICH_LOCATION,
            "city": "München",
            "country": "Deutschland",
        }
        again = await client.get(f"/profiles/{profile['id']}")
        assert again.json()["data"]["profile"]["location"] == MUNICH_LOCATION


async def test_a_preflight_is_located_too(
    make_app: Callable[..., App], database: pathlib.Path
) -> None:
    app = make_app(trusted_proxies=("127.0.0.1",), geo_database=str(database))
    async with client_of(app) as client:
        answer = await client.post(
            "/profiles?type=preflight",
            json={"events": [page()], "options": LOCATED},
            headers={"x-force-ip": IN_MUNICH},
        )
        assert answer.json()["data"]["profile"]["location"] == MUNICH_LOCATION


async def test_nobody_is_trusted_by_default(
    make_app: Callable[..., App], database: pathlib.Path
) -> None:
    async with client_of(make_app(geo_database=str(database))) as client:
        assert await located(client, x_force_ip=IN_MUNICH, **SAO_PAULO) == {}
        assert await located(client, x_forwarded_for=IN_MUNICH) == {}


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A process that trusts its loopback, with a database that is looked at often."""
    folder = tmp_path_factory.mktemp("located")
    database = write_database(folder / "city.mmdb")
    arguments = ("--trusted-proxies", "127.0.0.1", "--geo-database", str(database))
    more = ("--reload-s", "0.05", "--jurisdiction", "EU")
    with served(folder, *arguments, *more) as running:
        yield running


def _ask(server: Served, headers: dict[str, str | bytes], query: str = "") -> dict[str, Any]:
    answer = httpx.post(
        f"{server.api}/profiles{query}",
        json={"events": [page()], "options": LOCATED},
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    profile: dict[str, Any] = answer.json()["data"]["profile"]
    return profile


def test_a_process_behind_a_proxy(behind_proxy: Served) -> None:
    cdn = {name.replace("_", "-"): value for name, value in SAO_PAULO.items()}
    assert _ask(behind_proxy, cdn)["location"] == SAO_PAULO_LOCATION
    assert _ask(behind_proxy, {"X-Force-IP": IN_MUNICH})["location"] == MUNICH_LOCATION
    hops = {"X-Forwarded-For": f"{IN_FRANCE}, {IN_MUNICH}, 127.0.0.1"}
    assert _ask(behind_proxy, hops)["location"] == MUNICH_LOCATION
    assert _ask(behind_proxy, {**hops, "X-Force-IP": IN_FRANCE})["location"] == MUNICH_LOCATION
    assert _ask(behind_proxy, {})["location"] == {}
    # Its address is 127.0.0.1, of whom the log should not say more than this.
    assert IN_MUNICH not in behind_proxy.log.read_text()


def test_a_process_takes_a_new_database(behind_proxy: Served) -> None:
    path = behind_proxy.log.parent / "city.mmdb"
    write_database(path, {"9.9.9.0/24": MUNICH})
    for _ in range(200):
        location = _ask(behind_proxy, {"X-Force-IP": NOWHERE}, "?type=preflight")["location"]
        if location:
            break
    assert location == MUNICH_LOCATION


def test_the_jurisdiction_of_profiles(behind_proxy: Served) -> None:
    profile = _ask(behind_proxy, {})
    assert profile["jurisdiction"] == "EU"
    again = httpx.get(f"{behind_proxy.api}/profiles/{profile['id']}").json()
    assert again["data"]["profile"]["jurisdiction"] == "EU"


async def test_no_jurisdiction_unless_one_is_said(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        answer = await client.post("/profiles", json={"events": [page()]})
        assert "jurisdiction" not in answer.json()["data"]["profile"]
    async with client_of(make_app(jurisdiction="US")) as client:
        answer = await client.post("/profiles", json={"events": [page()]})
        assert answer.json()["data"]["profile"]["jurisdiction"] == "US"

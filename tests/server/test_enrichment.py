"""The company behind an address: by Albacross, or by a provider of one's own."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
from tests.server import albacross_stand_in
from tests.server.albacross_stand_in import ACME_TRAIT, KEY, StandIn
from tests.server.conftest import OTHER, SHOP, client_of
from tests.server.events import event, identify, page
from tests.server.geo_fixture import IN_FRANCE, IN_MUNICH, IN_MUNICH_6, NOWHERE
from tests.server.running import served

from core.small import audience, document, leaf
from whichvariant import Engine
from whichvariant.errors import SettingsError
from whichvariant.server import App, ServerSettings, create_app, enrichment
from whichvariant.server.albacross import Albacross
from whichvariant.server.enrichment import Breaker, Enricher, Enrichment, ProviderError
from whichvariant.store import MemoryStore

ENRICHED = {"features": ["ip-enrichment"]}
ACME_TRAITS = {"albacross": ACME_TRAIT}
LOOPBACK = "127.0.0.1"


@pytest.fixture
def albacross() -> Iterator[StandIn]:
    """The stand-in, which knows one company."""
    with albacross_stand_in.albacross() as stand_in:
        stand_in.company(IN_MUNICH)
        yield stand_in


def settings_of(stand_in: StandIn, **more: Any) -> dict[str, Any]:
    """Settings with the stand-in, and patience: machines of tests are slow."""
    return {
        "trusted_proxies": (LOOPBACK,),
        "albacross_key": KEY,
        "albacross_url": stand_in.url,
        "enrichment_timeout_s": 20.0,
        **more,
    }


async def traits_of(
    client: httpx.AsyncClient,
    path: str = "/profiles",
    *,
    address: str = IN_MUNICH,
    events: list[Any] | None = None,
    options: Any = ENRICHED,
) -> dict[str, Any]:
    """The traits in an answer."""
    answer = await client.post(
        path,
        json={"events": [page()] if events is None else events, "options": options},
        headers={"x-force-ip": address},
    )
    assert answer.status_code == 200, answer.text
    traits: dict[str, Any] = answer.json()["data"]["profile"]["traits"]
    return traits


# ---- Albacross ---------------------------------------------------------------------------------


async def test_a_company(albacross: StandIn) -> None:
    client = Albacross(KEY, albacross.url)
    assert await client(IN_MUNICH) == ACME_TRAITS
    assert await client(NOWHERE) is None
    # The API has no IPv6 addresses, and calls for them would cost all the same.
    assert await client(IN_MUNICH_6) is None
    assert albacross.asked == [IN_MUNICH, NOWHERE]
    assert not albacross.wrong
    await client.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"[]"),
        (200, b"null"),
        (200, b"no JSON"),
        (200, b'{"name": "\xff"}'),
        (200, b'{"description": "' + b"x" * 100_000 + b'"}'),
        (301, b""),
        (400, b"{}"),
        (401, b"{}"),
        (404, b"{}"),
        (429, b"{}"),
        (500, b"{}"),
    ],
)
async def test_answers_that_are_none(albacross: StandIn, status: int, body: bytes) -> None:
    client = Albacross(KEY, albacross.url)
    albacross.answers[NOWHERE] = (status, body)
    with pytest.raises(ProviderError, match=r"^Albacross answered ") as failed:
        await client(NOWHERE)
    assert NOWHERE not in str(failed.value)
    assert albacross.asked == [NOWHERE]
    await client.close()


async def test_a_company_of_whom_nothing_is_known(albacross: StandIn) -> None:
    client = Albacross(KEY, albacross.url)
    albacross.company(NOWHERE, {"name": "", "employees": {}, "unknown": 1})
    assert await client(NOWHERE) is None
    await client.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("albacross_key", "two\nlines"),
        ("albacross_key", " key"),
        ("albacross_key", "kéy"),
        ("albacross_url", "api.albacross.com"),
        ("albacross_url", "ftp://api.albacross.com"),
        ("albacross_url", "https://"),
        ("albacross_url", "https://me:secret@api.albacross.com"),
        ("albacross_url", "https://api.albacross.com/?key=1"),
        ("albacross_url", "https://api.albacross.com:x/"),
    ],
)
def test_settings_that_cannot_be_used(setting: str, value: str) -> None:
    settings: dict[str, Any] = {"albacross_key": KEY, setting: value}
    with pytest.raises(SettingsError, match=f"^{setting}: "):
        create_app(ServerSettings(**settings))


# ---- keeping, sharing, giving up ---------------------------------------------------------------


class Provider:
    """A provider in this process."""

    def __init__(self, traits: Any = None, error: Exception | None = None) -> None:
        self.traits = {"company": "Acme"} if traits is None else traits
        self.error = error
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.busy = asyncio.Semaphore(0)

    async def __call__(self, address: str, /) -> Mapping[str, Any] | None:
        self.asked.append(address)
        self.busy.release()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        traits: Mapping[str, Any] | None = self.traits
        return traits


async def ask(one: Enrichment, address: str = IN_MUNICH) -> Any:
    """What is known of an address."""
    return await one.traits(ipaddress.ip_address(address))


async def test_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    one = Enrichment(provider, 20)
    for _ in range(3):
        assert await ask(one) == {"company": "Acme"}
    assert provider.asked == [IN_MUNICH]
    provider.traits = {}
    for _ in range(3):
        assert await ask(one, NOWHERE) is None
    assert provider.asked == [IN_MUNICH, NOWHERE]
    monkeypatch.setattr(enrichment, "_KNOWN_S", 0.0)
    monkeypatch.setattr(enrichment, "_UNKNOWN_S", 0.0)
    again = Enrichment(provider, 20)
    for _ in range(3):
        await ask(again)
    assert len(provider.asked) == 5


async def test_what_was_asked_for_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrichment, "_KEPT_ADDRESSES", 2)
    provider = Provider()
    one = Enrichment(provider, 20)
    for address in (IN_MUNICH, IN_FRANCE, IN_MUNICH, NOWHERE, IN_MUNICH, IN_FRANCE):
        await ask(one, address)
    assert provider.asked == [IN_MUNICH, IN_FRANCE, NOWHERE, IN_FRANCE]


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "192.168.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "198.51.100.4"),
        *("::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "::"),
    ],
)
async def test_private_addresses_are_not_looked_up(address: str) -> None:
    provider = Provider()
    one = Enrichment(provider, 20)
    assert await ask(one, address) is None
    assert await one.traits(None) is None
    assert provider.asked == []


async def test_several_requests_share_one_look_up() -> None:
    provider = Provider()
    provider.open.clear()
    one = Enrichment(provider, 20)
    asking = [asyncio.create_task(ask(one)) for _ in range(10)]
    await provider.busy.acquire()
    provider.open.set()
    assert await asyncio.gather(*asking) == [{"company": "Acme"}] * 10
    assert provider.asked == [IN_MUNICH]


async def test_a_slow_answer_is_for_the_next_request() -> None:
    provider = Provider()
    provider.open.clear()
    one = Enrichment(provider, 0.02)
    assert await ask(one) is None
    looking = list(one._looking.values())
    provider.open.set()
    await asyncio.gather(*looking)
    assert await ask(one) == {"company": "Acme"}
    assert provider.asked == [IN_MUNICH]


async def test_too_many_at_once_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrichment, "_MOST_AT_ONCE", 2)
    provider = Provider()
    provider.open.clear()
    one = Enrichment(provider, 20)
    asking = [asyncio.create_task(ask(one, address)) for address in (IN_MUNICH, IN_FRANCE)]
    await provider.busy.acquire()
    await provider.busy.acquire()
    assert await ask(one, NOWHERE) is None
    provider.open.set()
    assert await asyncio.gather(*asking) == [{"company": "Acme"}] * 2


async def test_closing_ends_what_is_looked_up() -> None:
    provider = Provider()
    provider.open.clear()
    one = Enrichment(provider, 20)
    asking = asyncio.create_task(ask(one))
    await provider.busy.acquire()
    await one.close()
    assert await asking is None


async def test_a_dead_provider_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    provider = Provider(error=ConnectionError(f"to {IN_MUNICH}"))
    one = Enrichment(provider, 20)
    addresses = [f"81.2.69.{number}" for number in range(50)]
    for address in addresses:
        assert await ask(one, address) is None
    assert provider.asked == addresses[:5]
    (record,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "ConnectionError" in record.getMessage()
    assert "81.2" not in caplog.text


async def test_a_slow_provider_is_left_alone() -> None:
    provider = Provider()
    provider.open.clear()
    one = Enrichment(provider, 0.01)
    for number in range(20):
        assert await ask(one, f"81.2.69.{number}") is None
    assert len(provider.asked) == 5
    await one.close()


def test_after_a_pause_one_tries_again() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0, "")
        assert breaker.admits(0)
    breaker.failed(0, "")
    assert not breaker.admits(29)
    assert breaker.admits(31)
    assert not breaker.admits(32)
    breaker.failed(33, "")
    assert not breaker.admits(62)
    assert breaker.admits(64)
    breaker.succeeded()
    assert breaker.admits(64)
    breaker.failed(65, "")
    assert breaker.admits(65)


@pytest.mark.parametrize(
    "traits",
    [
        {"a": float("nan")},
        {"a": object()},
        {"a": "x" * 40_000},
        {"a": "\ud800"},
        {1: 2},
        ["a"],
        "text",
        {"a": [[[]]] * 20_000},
    ],
)
async def test_what_is_no_object_of_traits_is_a_failure(traits: Any) -> None:
    one = Enrichment(Provider(traits), 20)
    assert await ask(one) is None
    assert not one._kept


# ---- through the server ------------------------------------------------------------------------


@pytest.fixture
def make_enriched(engine: Engine) -> Callable[..., App]:
    """An app with a provider of one's own."""

    def make(enricher: Enricher, **settings: Any) -> App:
        return create_app(
            ServerSettings(trusted_proxies=(LOOPBACK,), enrichment_timeout_s=20.0, **settings),
            engines={SHOP: engine, OTHER: engine},
            store=MemoryStore(),
            enricher=enricher,
        )

    return make


async def test_a_profile_is_enriched(make_app: Callable[..., App], albacross: StandIn) -> None:
    async with client_of(make_app(**settings_of(albacross))) as client:
        created = await client.post(
            "/profiles",
            json={"events": [page(), identify(company="ours")], "options": ENRICHED},
            headers={"x-force-ip": IN_MUNICH},
        )
        profile = created.json()["data"]["profile"]
        assert profile["traits"] == {"company": "ours", **ACME_TRAITS}
        assert profile["session"]["count"] == 1
        path = f"/profiles/{profile['id']}"
        got = await client.get(path)
        assert got.json() == created.json()
        # From elsewhere, where nothing is known: what was known stays.
        assert await traits_of(client, path, address=NOWHERE) == profile["traits"]
        albacross.company(IN_FRANCE, {"name": "Other", "country": "FR"})
        changed = await traits_of(client, path, address=IN_FRANCE)
        assert changed == {"company": "ours", "albacross": {"name": "Other", "country": "FR"}}
    assert albacross.asked == [IN_MUNICH, NOWHERE, IN_FRANCE]


async def test_nobody_is_looked_up_unasked(
    make_app: Callable[..., App], albacross: StandIn
) -> None:
    async with client_of(make_app(**settings_of(albacross))) as client:
        for options in (None, {}, {"features": []}, {"features": ["location"]}):
            assert await traits_of(client, options=options) == {}
        assert await traits_of(client, address="10.0.0.1") == {}
        assert await traits_of(client, address="nonsense") == {}
    async with client_of(make_app(**settings_of(albacross, trusted_proxies=()))) as client:
        assert await traits_of(client) == {}
    async with client_of(make_app(trusted_proxies=(LOOPBACK,))) as client:
        assert await traits_of(client) == {}
    assert albacross.asked == []


async def test_audiences_read_it(albacross: StandIn) -> None:
    rule = leaf("greaterThan", "10", key="albacross.employees.from")
    engine = Engine.from_dict(document(audiences=[audience("larger", {"all": [rule]})]))
    app = create_app(
        ServerSettings(**settings_of(albacross)), engines={SHOP: engine}, store=MemoryStore()
    )
    async with client_of(app) as client:
        answer = await client.post(
            "/profiles",
            json={"events": [page()], "options": ENRICHED},
            headers={"x-force-ip": IN_MUNICH},
        )
        assert answer.json()["data"]["profile"]["audiences"] == ["larger"]


async def test_a_preflight_is_enriched_and_stores_nothing(
    make_app: Callable[..., App], albacross: StandIn
) -> None:
    async with client_of(make_app(**settings_of(albacross))) as client:
        answer = await client.post(
            "/profiles?type=preflight",
            json={"events": [page()], "options": ENRICHED},
            headers={"x-force-ip": IN_MUNICH},
        )
        profile = answer.json()["data"]["profile"]
        assert profile["traits"] == ACME_TRAITS
        path = f"/profiles/{profile['id']}"
        assert (await client.get(path)).status_code == 404
        assert await traits_of(client, path) == ACME_TRAITS
    assert albacross.asked == [IN_MUNICH]


async def test_what_is_repeated_changes_nothing(make_enriched: Callable[..., App]) -> None:
    provider = Provider({"company": "Acme"})
    app = make_enriched(provider)
    async with client_of(app) as client:
        events = [page(), event("track", event="buy", properties={})]
        answer = await client.post("/profiles", json={"events": events})
        path = f"/profiles/{answer.json()['data']['profile']['id']}"
        # The first time without, the second time with an answer: the request was done already.
        assert await traits_of(client, path, events=events) == {}
        assert await traits_of(client, path) == {"company": "Acme"}
        provider.traits = {"company": "Other"}
        again = [page()]
        assert await traits_of(client, path, address=NOWHERE, events=again) == {"company": "Other"}
        assert await traits_of(client, path, address=IN_MUNICH, events=again) == {
            "company": "Other"
        }


async def test_a_visitor_who_turns_out_to_be_a_known_one(
    make_enriched: Callable[..., App],
) -> None:
    app = make_enriched(Provider({"company": "Acme"}))
    async with client_of(app) as client:
        known = await client.post("/profiles", json={"events": [identify("user-1", plan="gold")]})
        traits = await traits_of(client, events=[page()])
        assert traits == {"company": "Acme"}
        merged = await client.post(
            "/profiles",
            json={"events": [page(), identify("user-1")], "options": ENRICHED},
            headers={"x-force-ip": IN_MUNICH},
        )
        profile = merged.json()["data"]["profile"]
        assert profile["id"] == known.json()["data"]["profile"]["id"]
        assert profile["traits"] == {"plan": "gold", "company": "Acme"}


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_failing_provider_fails_no_request(
    make_app: Callable[..., App],
    albacross: StandIn,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    albacross.answers[IN_MUNICH] = (status, b"{}")
    async with client_of(make_app(**settings_of(albacross))) as client:
        for _ in range(10):
            assert await traits_of(client) == {}
    assert len(albacross.asked) == 5
    assert f"Albacross answered {status}" in caplog.text
    for record in caplog.records:
        message = record.getMessage()
        assert KEY not in message
        # The client of this test speaks of x-force-ip nowhere either.
        assert IN_MUNICH not in message


async def test_a_silent_provider_holds_nobody_up(
    make_app: Callable[..., App], albacross: StandIn
) -> None:
    albacross.open.clear()
    settings = settings_of(albacross, enrichment_timeout_s=0.05)
    async with client_of(make_app(**settings)) as client:
        began = asyncio.get_running_loop().time()
        for number in range(30):
            assert await traits_of(client, address=f"81.2.69.{number}") == {}
        # Five of them waited; all of them would have taken 30 times as long as the timeout.
        assert len(albacross.asked) <= 5
        assert asyncio.get_running_loop().time() - began < 20


async def test_nobody_listens(make_app: Callable[..., App], albacross: StandIn) -> None:
    settings = settings_of(albacross, albacross_url="http://127.0.0.1:1/reveal")
    async with client_of(make_app(**settings)) as client:
        assert await traits_of(client) == {}


def test_a_process_with_a_key_in_its_environment(
    albacross: StandIn, tmp_path: pathlib.Path
) -> None:
    environment = {
        "WHICHVARIANT_ALBACROSS_KEY": KEY,
        "WHICHVARIANT_ALBACROSS_URL": albacross.url,
        "WHICHVARIANT_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
        "WHICHVARIANT_ENRICHMENT_TIMEOUT_S": "20",
    }
    with served(tmp_path, env=environment) as server:
        answer = httpx.post(
            f"{server.api}/profiles",
            json={"events": [page()], "options": ENRICHED},
            headers={"x-force-ip": IN_MUNICH},
        )
        profile = answer.json()["data"]["profile"]
        assert profile["traits"] == ACME_TRAITS
        got = httpx.get(f"{server.api}/profiles/{profile['id']}").json()
        assert got["data"]["profile"]["traits"] == ACME_TRAITS
        server.stop()
        log = server.log.read_text()
        assert KEY not in log
        assert IN_MUNICH not in log

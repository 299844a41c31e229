"""The vendor's API clients against a running server; their schemas parse every answer."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from tests.sdk import shapes
from tests.sdk.clients import Clients, Outcome, clients
from tests.sdk.npm import Installed
from tests.server.geo_fixture import IN_MUNICH, MUNICH_LOCATION, write_database
from tests.server.running import STOREFRONT, Served, served

from whichvariant import Engine
from whichvariant.profiles.location import COUNTRY_CODES

pytestmark = pytest.mark.sdk

NOBODY = "00000000-0000-4000-8000-000000000000"
BERLIN = {"city": "Berlin", "country": "Germany", "countryCode": "DE", "continent": "EU"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def api(packages: Installed, server: Served) -> Iterator[Clients]:
    with clients(packages, server.url) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(STOREFRONT)


def one(outcome: Outcome) -> Any:
    """What the SDK gives for one profile; what came over the wire has exactly that shape."""
    value = outcome.ok()
    (exchange,) = outcome.exchanges
    assert exchange["status"] == 200
    data = shapes.check(exchange["answer"], shapes.ONE_PROFILE)
    # The schemas drop keys they do not know and fill in `sticky`; the rest is what was sent.
    known = {
        key: value
        for key, value in data["profile"].items()
        if key not in {"stickyVariants", "jurisdiction"}
    }
    assert value["profile"] == known
    assert value["experiences"] == [{"sticky": False, **each} for each in data["experiences"]]
    assert value["changes"] == data["changes"]
    return data


def everything(api: Clients) -> list[dict[str, Any]]:
    """Every event that the SDKs can build."""
    return [
        api.event("page", properties={"category": "tents", "width": 1419, "tags": ["a", None]}),
        api.event("track", event="add_to_cart", properties={"price": 9.5, "items": [{"id": 1}]}),
        api.event("track", event="nothing", properties={}),
        api.event("identify", userId="", traits={"plan": "gold", "address": {"city": None}}),
        api.event("component", componentId="heroHome5pT9dmUz1CAAHO", componentType="Entry"),
        api.event(
            "component",
            componentId="",
            componentType="Entry",
            experienceId="paymentSteps30J1b3rRrF",
            variantIndex=1,
            viewDurationMs=2000.5,
            viewId="view-1",
        ),
        api.event("component", componentId="lounge.open", componentType="Variable"),
        api.event(
            "component_click",
            componentId="heroHome5pT9dmUz1CAAHO",
            componentType="Entry",
            experienceId="HomeHero0j48xmtaOEXNhw",
            variantIndex=0,
        ),
        api.event(
            "component_hover",
            componentId="heroHome5pT9dmUz1CAAHO",
            componentType="Entry",
            hoverDurationMs=12,
            hoverId="hover-1",
        ),
    ]


# ---- one profile --------------------------------------------------------------------------------


def test_create_update_get(api: Clients, engine: Engine) -> None:
    created = one(api.call("createProfile", {"events": [api.event("page", properties={})]}, {}))
    profile = created["profile"]
    assert profile["session"]["landingPage"]["query"] == {
        "utm_campaign": "winter-sale",
        "utm_source": "mail",
        "size": "2",
    }
    traits = {"plan": "gold", "cart": {"items": 3}, "tags": ["a", 1, None, True]}
    events = [api.event("identify", userId="", traits=traits)]
    updated = one(api.call("updateProfile", {"profileId": profile["id"], "events": events}, {}))
    assert updated["profile"]["traits"] == traits
    got = one(api.call("getProfile", profile["id"], {}))
    assert got == updated
    selection = engine.select(got["profile"])
    assert got["experiences"] == selection.experiences
    assert got["changes"] == selection.changes
    assert got["changes"]


def test_upsert_creates_then_updates(api: Clients) -> None:
    events = [api.event("page", properties={})]
    first = one(api.call("upsertProfile", {"events": events}, {}))
    profile_id = first["profile"]["id"]
    second = one(api.call("upsertProfile", {"profileId": profile_id, "events": events}, {}))
    assert second["profile"]["id"] == profile_id


def test_every_event_that_the_sdk_builds_is_taken(api: Clients) -> None:
    data = one(api.call("createProfile", {"events": everything(api)}, {}))
    assert data["profile"]["stickyVariants"] == {"paymentSteps30J1b3rRrF": 1}
    for event in everything(api):
        one(api.call("createProfile", {"events": [event]}, {}))


def test_a_profile_without_a_page_view_is_one_the_sdk_can_read(api: Clients) -> None:
    nowhere = {"url": "", "referrer": "", "locale": "", "userAgent": ""}
    event = api.event("identify", ctx=nowhere, userId="", traits={})
    profile = one(api.call("createProfile", {"events": [event]}, {}))["profile"]
    assert profile["session"]["landingPage"] == {
        "path": "",
        "url": "",
        "query": {},
        "referrer": "",
        "search": "",
    }


@pytest.mark.parametrize("plain_text", [None, True, False])
def test_content_types(api: Clients, plain_text: bool | None) -> None:
    options = {} if plain_text is None else {"plainText": plain_text}
    outcome = api.call("createProfile", {"events": [api.event("page", properties={})]}, options)
    one(outcome)
    sent = outcome.exchanges[0]["headers"]["Content-Type"]
    assert sent == ("application/json" if plain_text is False else "text/plain")


def test_preflight_then_hydration(api: Clients) -> None:
    """What a server renders with and what the page's own request then says agree."""
    events = [api.event("page", properties={}), api.event("track", event="seen", properties={})]
    rendered = one(api.call("createProfile", {"events": events}, {"preflight": True}))
    profile_id = rendered["profile"]["id"]
    assert "404" in (api.call("getProfile", profile_id, {}).error or {})["message"]

    again = one(
        api.call("updateProfile", {"profileId": profile_id, "events": events}, {"preflight": True})
    )
    assert again["experiences"] == rendered["experiences"]

    hydrated = one(api.call("upsertProfile", {"profileId": profile_id, "events": events}, {}))
    assert hydrated["profile"]["id"] == profile_id
    assert hydrated["profile"]["stableId"] == rendered["profile"]["stableId"]
    assert hydrated["experiences"] == rendered["experiences"]
    assert hydrated["changes"] == rendered["changes"]
    assert one(api.call("getProfile", profile_id, {}))["profile"] == hydrated["profile"]

    more = [api.event("identify", userId="", traits={"plan": "gold"})]
    looked = one(
        api.call("updateProfile", {"profileId": profile_id, "events": more}, {"preflight": True})
    )
    assert looked["profile"]["traits"] == {"plan": "gold"}
    assert one(api.call("getProfile", profile_id, {}))["profile"]["traits"] == {}


def test_locale_translates_the_country(api: Clients) -> None:
    event = api.event("page", properties={}, location=BERLIN)
    german = one(api.call("createProfile", {"events": [event]}, {"locale": "de"}))
    assert german["profile"]["location"]["country"] == "Deutschland"
    profile_id = german["profile"]["id"]
    for locale, country in (("fr", "Allemagne"), ("en", "Germany"), ("de-AT", "Deutschland")):
        got = one(api.call("getProfile", profile_id, {"locale": locale}))
        assert got["profile"]["location"]["country"] == country
        assert got["profile"]["audiences"] == german["profile"]["audiences"]
    assert one(api.call("getProfile", profile_id, {}))["profile"]["location"] == BERLIN


@pytest.mark.parametrize(
    "features", [["location"], ["ip-enrichment"], ["ip-enrichment", "location"]]
)
@pytest.mark.parametrize("ip", ["84.190.1.1", "2001:db8::1"])
def test_features_and_ip(api: Clients, features: list[str], ip: str) -> None:
    options = {"enabledFeatures": features, "ip": ip}
    outcome = api.call("createProfile", {"events": [api.event("page", properties={})]}, options)
    one(outcome)
    (exchange,) = outcome.exchanges
    assert exchange["headers"]["X-Force-IP"] == ip
    assert json.loads(exchange["body"])["options"] == {"features": features}


@pytest.mark.parametrize("country", ["XX", "T1", "EU", "AN", "zz", "Germany"])
def test_a_country_that_is_none_does_not_break_the_sdk(api: Clients, country: str) -> None:
    """The SDKs refuse a whole answer for one `countryCode` that they do not know."""
    assert api.parse("Alpha2Code", country).error is not None
    event = api.event("page", properties={}, location={"city": "Nowhere", "countryCode": country})
    data = one(api.call("createProfile", {"events": [event]}, {}))
    assert data["profile"]["location"] == {"city": "Nowhere"}


def test_country_codes_are_those_of_the_sdk(api: Clients) -> None:
    letters = string.ascii_uppercase
    for code in (a + b for a in letters for b in letters):
        assert (api.parse("Alpha2Code", code).error is None) == (code in COUNTRY_CODES), code
    assert api.parse("Alpha2Code", "unknown").ok() == "unknown"


# ---- many profiles ------------------------------------------------------------------------------


def test_upsert_many(api: Clients) -> None:
    events = [
        {**event, "anonymousId": f"many-{number % 3}"}
        for number, event in enumerate(everything(api))
    ]
    outcome = api.call("upsertManyProfiles", {"events": events}, {})
    profiles = outcome.ok()
    assert [profile["id"] for profile in profiles] == ["many-0", "many-1", "many-2"]
    (exchange,) = outcome.exchanges
    shapes.check(exchange["answer"], shapes.MANY_PROFILES)
    assert exchange["headers"]["Content-Type"] == "application/json"
    one(api.call("getProfile", "many-1", {}))


def test_upsert_many_takes_options(api: Clients) -> None:
    event = {**api.event("page", properties={}, location=BERLIN), "anonymousId": "many-options"}
    options = {
        "plainText": True,
        "locale": "de",
        "ip": "84.190.1.1",
        "enabledFeatures": ["location"],
    }
    (profile,) = api.call("upsertManyProfiles", {"events": [event]}, options).ok()
    assert profile["location"]["country"] == "Deutschland"


def test_the_node_client(api: Clients) -> None:
    """experience.js-node: its events have no page, no locale and no user agent."""
    traits = {"plan": "gold", "nested": {"deep": [1, 2]}}
    profile = api.call("sendIdentifyEvent", "node-1", traits, {}, client="node").ok()
    assert profile["id"] == "node-1"
    assert profile["traits"] == traits
    options = {"anonymousId": "node-2", "timestamp": 1_700_000_000_000}
    profile = api.call("sendTrackEvent", "ignored", "bought", {"n": 1}, options, client="node").ok()
    assert profile["id"] == "node-2"
    known = api.call("sendIdentifyEvent", "user-9", {}, {"anonymousId": "node-2"}, client="node")
    assert known.ok()["id"] == "node-2"
    # What was identified is found by its userId, too.
    again = api.call("getProfile", "user-9", {}, client="node").ok()
    assert again["profile"]["id"] == "node-2"
    assert api.call("getProfile", NOBODY, {}, client="node").error is not None


# ---- where a call fails -------------------------------------------------------------------------


def refused(outcome: Outcome, status: int, code: str) -> dict[str, str]:
    """The SDK threw, and what it was answered has the envelope of failures."""
    (exchange,) = outcome.exchanges
    assert exchange["status"] == status
    shapes.check(exchange["answer"], shapes.FAILURE)
    assert exchange["answer"]["error"]["code"] == code
    assert outcome.error is not None
    return outcome.error


def test_what_the_sdk_throws(api: Clients) -> None:
    events = [api.event("page", properties={})]
    error = refused(api.call("getProfile", NOBODY, {}), 404, "ERR_PROFILE_NOT_FOUND")
    assert error["name"] == "Error"
    assert 'failed with status: "[404] Not Found - traceparent:' in error["message"]
    payload = {"profileId": NOBODY, "events": events}
    refused(api.call("updateProfile", payload, {}), 404, "ERR_PROFILE_NOT_FOUND")
    elsewhere = api.call("createProfile", {"events": events}, {}, environment="nowhere")
    refused(elsewhere, 404, "ERR_CONFIG_NOT_FOUND")
    nobody = api.call("createProfile", {"events": events}, {}, clientId="nobody")
    refused(nobody, 404, "ERR_CONFIG_NOT_FOUND")
    refused(api.call("createProfile", {"events": []}, {}), 400, "ERR_INVALID_DATA")
    broken = [{**events[0], "type": "unheard-of"}]
    refused(api.call("createProfile", {"events": broken}, {}), 400, "ERR_INVALID_DATA")
    refused(api.call("upsertManyProfiles", {"events": events}, {}), 400, "ERR_INVALID_DATA")


def test_a_base_url_with_a_path_and_ids_that_need_encoding(
    packages: Installed, server: Served
) -> None:
    with clients(packages, f"{server.url}/") as api:
        one(api.call("createProfile", {"events": [api.event("page", properties={})]}, {}))
        name = "née café/1?x=ü#"
        event = {**api.event("page", properties={}), "anonymousId": name}
        (profile,) = api.call("upsertManyProfiles", {"events": [event]}, {}).ok()
        assert profile["id"] == name
        # The SDK puts ids into the path as they are; whoever has such ids encodes them.
        encoded = "n%C3%A9e%20caf%C3%A9%2F1%3Fx%3D%C3%BC%23"
        got = one(api.call("getProfile", encoded, {}))
        assert got["profile"]["id"] == name


_BUSY = b'{"message":"busy","data":{},"error":{"code":"ERR_INTERNAL_SERVER_ERROR"}}'


class _BusyFirst(ThreadingHTTPServer):
    """Answers 503 to the first requests, then passes everything on to a server."""

    daemon_threads = True

    def __init__(self, behind: Served, busy: int) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.behind = behind
        self.busy = busy
        self.seen = 0


class _Door(BaseHTTPRequestHandler):
    server: _BusyFirst

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen += 1
        if self.server.seen <= self.server.busy:
            status, answer = 503, _BUSY
        else:
            kinds = {"content-type": self.headers["content-type"]}
            passed = httpx.post(self.server.behind.url + self.path, content=body, headers=kinds)
            status, answer = passed.status_code, passed.content
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def test_what_the_sdk_does_with_503(packages: Installed, server: Served) -> None:
    """It says that it tries again, and looks at the same answer again: nothing is sent twice.

    So a 503 loses the events, which is why the server waits for what a short wait mends.
    """
    door = _BusyFirst(server, busy=1)
    thread = Thread(target=door.serve_forever)
    thread.start()
    try:
        with clients(packages, f"http://127.0.0.1:{door.server_port}") as api:
            events = [api.event("page", properties={})]
            outcome = api.call("createProfile", {"events": events}, {})
            assert outcome.error is not None
            assert "503" in outcome.error["message"]
            assert any("Retrying (attempt 1)" in line for line in outcome.log)
            assert door.seen == 1
            one(api.call("createProfile", {"events": events}, {}))
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


# ---- where a visitor is -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def located(packages: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Clients of a server with a geo database, which trusts them to say who a visitor is."""
    folder = tmp_path_factory.mktemp("located")
    database = write_database(folder / "city.mmdb")
    arguments = ("--trusted-proxies", "127.0.0.1", "--geo-database", str(database))
    with served(folder, *arguments) as running, clients(packages, running.url) as api:
        yield api


def test_the_location_of_an_ip(located: Clients) -> None:
    """`features` with `location`, and `ip`, as an SDK sends them that renders on a server."""
    events = [located.event("page", properties={})]
    options: dict[str, Any] = {"ip": IN_MUNICH, "enabledFeatures": ["location"], "locale": "de"}
    profile = one(located.call("createProfile", {"events": events}, options))["profile"]
    assert profile["location"] == {**MUNICH_LOCATION, "city": "München", "country": "Deutschland"}
    got = one(located.call("getProfile", profile["id"], {}))["profile"]
    assert got["location"] == MUNICH_LOCATION
    # Neither without the feature, nor for an address that the database does not know.
    for less in ({"ip": IN_MUNICH}, {"ip": "192.0.2.1", "enabledFeatures": ["location"]}):
        events = [located.event("page", properties={})]
        data = one(located.call("createProfile", {"events": events}, less))
        assert data["profile"]["location"] == {}

"""What our client sends beside what the vendor's SDK sends for the same call, under Node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from tests.client import crooked as deeds
from tests.client.crooked import Asked, Crooked, crooked
from tests.sdk.clients import Clients, clients
from tests.sdk.npm import Installed

from whichvariant import events
from whichvariant.client import ExperienceClient

pytestmark = pytest.mark.sdk

PAGE = events.page(events.RequestContext(url="https://shop.example/"))
EVERYTHING = {
    "id": "p",
    "stableId": "p",
    "random": 0.5,
    "audiences": [],
    "traits": {},
    "location": {},
    "session": {
        "id": "s",
        "isReturningVisitor": False,
        "landingPage": {"path": "", "url": "", "query": {}, "referrer": "", "search": ""},
        "count": 1,
        "activeSessionLength": 0,
        "averageSessionLength": 0,
    },
}
ONE = deeds.data({"profile": EVERYTHING, "experiences": [], "changes": []})
MANY = deeds.data({"profiles": [EVERYTHING]})


@pytest.fixture(scope="module")
def server() -> Iterator[Crooked]:
    with crooked() as running:
        yield running


@pytest.fixture(scope="module")
def sdk(packages: Installed, server: Crooked) -> Iterator[Clients]:
    with clients(packages, f"{server.url}/base") as running:
        yield running


def sent(asked: Asked) -> dict[str, Any]:
    """What matters of a request."""
    target = urlsplit(asked.target)
    body = json.loads(asked.body) if asked.body else None
    if body is not None and not body.get("options"):
        body.pop("options", None)  # the SDK sends an empty one
    return {
        "method": asked.method,
        "path": unquote(target.path),
        "query": sorted(target.query.split("&")),
        "type": asked.headers.get("content-type") if asked.body else None,
        "ip": asked.headers.get("x-force-ip"),
        "body": body,
    }


OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"locale": "de"}, {"locale": "de"}),
    ({"ip": "192.0.2.1"}, {"ip": "192.0.2.1"}),
    (
        {"enabledFeatures": ["location", "ip-enrichment"]},
        {"features": ["location", "ip-enrichment"]},
    ),
    ({"enabledFeatures": []}, {"features": []}),
    ({"plainText": False}, {"plain_text": False}),
    ({"plainText": True}, {"plain_text": True}),
    ({"preflight": True, "locale": "fr"}, {"preflight": True, "locale": "fr"}),
]


class Call(NamedTuple):
    """One call of the SDK, the same of ours, and what it is answered."""

    method: str
    arguments: list[Any]
    name: str
    ours: list[Any]
    deed: deeds.Deed = ONE


CALLS = [
    Call("createProfile", [{"events": [PAGE]}], "create", [[PAGE]]),
    Call("updateProfile", [{"profileId": "p", "events": [PAGE]}], "update", ["p", [PAGE]]),
    Call("upsertProfile", [{"events": [PAGE]}], "upsert", [None, [PAGE]]),
    Call("upsertProfile", [{"profileId": "", "events": [PAGE]}], "upsert", ["", [PAGE]]),
    Call("upsertProfile", [{"profileId": "p", "events": [PAGE]}], "upsert", ["p", [PAGE]]),
    Call("upsertManyProfiles", [{"events": [PAGE]}], "upsert_many", [[PAGE]], MANY),
    Call("getProfile", ["p"], "get", ["p"]),
]
# What has no meaning for a request, and is no argument of ours.
MEANINGLESS = {
    "get": {"preflight", "features", "plain_text", "ip"},
    "upsert_many": {"preflight"},
}
CASES = [
    (call, theirs, ours)
    for call in CALLS
    for theirs, ours in OPTIONS
    if ours.keys().isdisjoint(MEANINGLESS.get(call.name, ()))
]


@pytest.mark.parametrize(("call", "theirs", "ours"), CASES)
def test_the_same_is_sent(
    sdk: Clients, server: Crooked, call: Call, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    server.deeds[:] = [call.deed, call.deed]
    server.asked.clear()
    sdk.call(call.method, *call.arguments, theirs).ok()
    with ExperienceClient("default", base_url=sdk.url) as client:
        getattr(client, call.name)(*call.ours, **ours)
    first, second = server.asked
    assert sent(second) == sent(first)

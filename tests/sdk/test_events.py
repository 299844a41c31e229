"""Our events beside those that the vendor's SDK builds from the same input, under Node."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.sdk.clients import Clients, clients
from tests.sdk.npm import Installed

from whichvariant import events
from whichvariant.events import RequestContext
from whichvariant.events.web_address import read_web_address

pytestmark = pytest.mark.sdk

AT_MS = 1_793_534_400_123
CONTEXTS = [
    RequestContext(
        url="https://shop.example/tents?utm_campaign=winter&utm_source=mail&utm_term=&size=2#top",
        referrer="https://search.example/",
        locale="de-DE",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36",
        title="Tents",
    ),
    RequestContext(
        url="http://Shop.example:8080/a/../zelte für zwei?q='é'&q=2&utm_content=a+b&utm_medium=%ff",
        locale="en",
        user_agent="curl/8",
    ),
    RequestContext(url="not an address", referrer="r", locale="en", user_agent="u"),
]


@pytest.fixture(scope="module")
def sdk(packages: Installed) -> Iterator[Clients]:
    # Nothing is asked of a server here.
    with clients(packages, "http://127.0.0.1:9") as running:
        yield running


def theirs(sdk: Clients, kind: str, context: RequestContext, **data: Any) -> dict[str, Any]:
    """The SDK's event, but for what ours leave out."""
    ctx = {
        "url": context.url,
        "referrer": context.referrer,
        "locale": context.locale,
        "userAgent": context.user_agent,
        "document": {"title": context.title},
    }
    event = sdk.event(kind, ctx=ctx, messageId="m", timestamp=AT_MS, **data)
    # Consent is not ours to claim, and three times the same time says no more than one does.
    assert event["context"].pop("gdpr") == {"isConsentGiven": True}
    assert event.pop("originalTimestamp") == event.pop("sentAt") == event["timestamp"]
    return event


def ours(event: dict[str, Any], sdk_event: dict[str, Any]) -> dict[str, Any]:
    """Our event, with the SDK's name for the library."""
    assert event["context"]["library"]["version"] == sdk_event["context"]["library"]["version"]
    return {**event, "context": {**event["context"], "library": sdk_event["context"]["library"]}}


@pytest.mark.parametrize("context", CONTEXTS)
def test_events_are_the_sdks(sdk: Clients, context: RequestContext) -> None:
    same: Any = {"message_id": "m", "timestamp": AT_MS}
    located: Any = {"location": {"city": "Berlin", "countryCode": "DE"}}
    properties = {"category": "tents", "url": "elsewhere", "tags": ["a", None]}
    pairs = [
        (
            events.page(context, properties, **same),
            theirs(sdk, "page", context, properties=properties),
        ),
        (
            events.page(context, **same, **located),
            theirs(sdk, "page", context, properties={}, **located),
        ),
        (
            events.track("bought", {"price": 9.5}, context=context, **same),
            theirs(sdk, "track", context, event="bought", properties={"price": 9.5}),
        ),
        (
            events.identify("user-7", {"plan": "gold"}, context=context, **same),
            theirs(sdk, "identify", context, userId="user-7", traits={"plan": "gold"}),
        ),
        (
            events.component("hero", context=context, **same),
            theirs(sdk, "component", context, componentId="hero", componentType="Entry"),
        ),
        (
            events.component(
                "",
                experience_id="e",
                variant_index=0,
                component_type="Variable",
                view_duration_ms=2000.5,
                view_id="v",
                context=context,
                **same,
            ),
            theirs(
                sdk,
                "component",
                context,
                componentId="",
                experienceId="e",
                variantIndex=0,
                componentType="Variable",
                viewDurationMs=2000.5,
                viewId="v",
            ),
        ),
    ]
    for event, sdk_event in pairs:
        assert ours(event, sdk_event) == sdk_event


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_sdks_schemas_take_them(sdk: Clients, context: RequestContext) -> None:
    event = events.page(context, {"category": "tents"})
    assert sdk.parse("Page", event["context"]["page"]).ok() == event["context"]["page"]
    assert sdk.parse("Campaign", event["context"]["campaign"]).ok() == event["context"]["campaign"]
    assert sdk.parse("PageviewProperties", event["properties"]).ok() == event["properties"]
    body = {"events": [event], "options": {"features": ["location"]}}
    assert sdk.parse("CreateProfileRequestBody", body).ok() == body
    traits = {"plan": "gold", "cart": {"items": [1, None]}}
    assert sdk.parse("Traits", events.identify("", traits)["traits"]).ok() == traits
    assert sdk.parse("Properties", events.track("x", traits)["properties"]).ok() == traits


def test_addresses_are_taken_apart_as_javascript_does(sdk: Clients) -> None:
    generator = random.Random(20_261_124)
    starts = [
        "https://shop.example",
        "HTTPS://me:pw@shop.example:8080/",
        "http://[2001:db8::1]:80/a/",
        " https://shop.example/a",
        "http:shop.example\\",
        "https://xn--bcher-kva.example/",
        "app://host/x/",
        "app:/x/y/z/",
        "app:x",
        "/relative",
        "https://shop.example:65536/",
    ]
    pieces = [*"aZ09/?#&=+%:@\\[]{}|^`<>\"' ~-_;,!$*()é😀\x00\x1f\x7f\n\t"]
    pieces += ["%2e", "/%2E%2e/", "/../", "/./", "%C3%A9", "%ff", "utm_source=b", "\ud800", "//"]
    # No segment begins with a dot and goes on: for those Node 20 fails to remove dot segments later
    # in the path, against the standard.
    # What follows a host without a slash would change the host, and that is not looked at.
    texts = [
        generator.choice(starts)
        + generator.choice(["/", "?", "#"])
        + "".join(generator.choice(pieces) for _ in range(generator.randrange(14)))
        for _ in range(20_000)
    ]
    found = 0
    for text, expected in zip(texts, sdk.addresses(texts), strict=True):
        address = read_web_address(text)
        assert (None if address is None else list(address)) == expected, text
        found += expected is not None
    assert found > 10_000

"""What the tests of the inspector share: another configuration, and a visitor with a past."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import REPOSITORY
from tests.server.events import PAGE, event

NATIVE = REPOSITORY / "fixtures" / "storefront" / "native.json"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)
BERLIN = {"city": "Berlin", "country": "Germany", "countryCode": "DE", "continent": "EU"}
GUIDES = {**PAGE, "path": "/guides/alps", "url": "https://shop.example/guides/alps"}

BERLIN_STORE = "berlinStore9HeACecnqO7"
CHECKOUT = "checkoutButton9Bkn1YGp"
SEASON = "homeHeroSeason1pMmm46n"
STEPS = "paymentSteps30J1b3rRrF"


def planned() -> dict[str, Any]:
    """The shop's configuration with nobody in one experience, other splits, and a new counter.

    Whoever is in Berlin gets something else by it, whatever their draws are.
    """
    configuration: dict[str, Any] = json.loads(NATIVE.read_text())
    for experience in configuration["experiences"]:
        if experience["nt_experience_id"] == CHECKOUT:
            experience["nt_config"]["traffic"] = 0.0
        if experience["nt_experience_id"] == BERLIN_STORE:
            experience["nt_config"]["distribution"] = [1.0, 0.0]
        if experience["nt_experience_id"] == SEASON:
            experience["nt_config"]["distribution"] = [0.0, 0.0, 1.0]
    for audience in configuration["audiences"]:
        if audience["nt_name"] == "Press contacts":
            audience["nt_rules"] = {
                "all": [{"type": "page", "count": 1, "conditions": [_in_guides()]}]
            }
    return configuration


def _in_guides() -> dict[str, Any]:
    key = {"id": "context_page_path"}
    return {"key": key, "operator": "contains", "value": "/alps"}


def past() -> list[dict[str, Any]]:
    """Events of a visitor on a phone in Berlin, who looked at a guide, and is known as jo."""
    context = {
        "library": {"name": "tests", "version": "3.20.0"},
        "location": BERLIN,
        "userAgent": PHONE,
    }
    return [
        event(
            "identify",
            timestamp="2026-03-01T10:00:00Z",
            userId="jo@shop.example",
            traits={"plan": "gold", "membership": {"tier": "gold"}},
        ),
        event("page", context=context, timestamp="2026-03-02T10:00:00Z", properties=GUIDES),
        event("track", event="Product Added", properties={}),
        event(
            "component",
            componentId="steps",
            experienceId=STEPS,
            variantIndex=2,
        ),
    ]

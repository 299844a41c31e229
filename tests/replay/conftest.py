"""Configurations that differ in every way a visitor can move, and visitors for them."""

from __future__ import annotations

import copy
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="the extra 'replay' is not installed")

from whichvariant import Engine
from whichvariant.cli.visitor_mix import VisitorMix

REPOSITORY = pathlib.Path(__file__).parents[2]
NOW_MS = 1_793_534_400_000


@pytest.fixture(scope="session")
def live() -> dict[str, Any]:
    """The made-up shop, as it serves."""
    document: dict[str, Any] = json.loads(
        (REPOSITORY / "fixtures" / "storefront" / "native.json").read_text()
    )
    return document


@pytest.fixture(scope="session")
def planned(live: dict[str, Any]) -> dict[str, Any]:
    """The shop as somebody would like to publish it."""
    document = copy.deepcopy(live)
    by_id = {e["nt_experience_id"]: e for e in document["experiences"]}
    by_id["HomeHero0j48xmtaOEXNhw"]["nt_config"]["distribution"] = [0.45, 0.55]
    by_id["freeShippingFrom9kiviu"]["nt_config"]["traffic"] = 0.9
    by_id["recommender9R5PaMCrUZF"]["nt_config"]["distribution"] = [0.25, 0.25, 0.5]
    by_id["paymentSteps30J1b3rRrF"]["nt_config"]["sticky"] = False
    # Nobody moves, and yet they would see something else.
    components = by_id["berlinStore9HeACecnqO7"]["nt_config"]["components"]
    components[0]["variants"][0]["id"] = "bannerBerlinStoreNew"
    gone = "quietNewsletter06sP9gY"
    document["experiences"] = [e for e in document["experiences"] if e["nt_experience_id"] != gone]
    again = copy.deepcopy(by_id["checkoutButton9Bkn1YGp"])
    again.update(nt_experience_id="checkoutAgain7", nt_audience="berliners8fAU7QlkUpTYK")
    document["experiences"].append(again)
    for audience in document["audiences"]:
        if audience["nt_audience_id"] == "LoyalCustomers8YEDWM8m":
            audience["nt_rules"]["any"][1]["all"][0]["value"] = "300"
    return document


@pytest.fixture(scope="session")
def old(live: dict[str, Any]) -> Engine:
    """What serves now."""
    return Engine.from_dict(live)


@pytest.fixture(scope="session")
def new(planned: dict[str, Any]) -> Engine:
    """What is to be published."""
    return Engine.from_dict(planned)


@pytest.fixture(scope="session")
def mix(old: Engine) -> VisitorMix:
    """Visitors for the shop's rules."""
    return VisitorMix([old.configuration], seed=7, now_ms=NOW_MS)


@pytest.fixture(scope="session")
def records(mix: VisitorMix) -> list[dict[str, Any]]:
    """1,500 requests."""
    return [json.loads(text) for block in mix.blocks(1500) for text in mix.json(block)]


@pytest.fixture
def write_ndjson(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write records as NDJSON; texts are written as they are."""

    def write(records: Sequence[Any], name: str = "profiles.ndjson") -> pathlib.Path:
        path = tmp_path / name
        lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return write

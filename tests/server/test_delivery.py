"""Configurations from the Delivery API: read once, kept up to date, and kept."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from typing import Any

import httpx
import pytest
from tests.server.delivery_api import BASE, SPACE, TOKEN, DeliveryApi, listening, too_many
from tests.server.events import page
from tests.server.running import STOREFRONT, served

from whichvariant import Engine, Namespace
from whichvariant.errors import SettingsError
from whichvariant.sources.catalog import Catalog
from whichvariant.sources.delivery import DeliverySource, delivery_places

HERE = Namespace("shop", "main")


@pytest.fixture
def export() -> dict[str, Any]:
    """The storefront, as its editors exported it."""
    read: dict[str, Any] = json.loads(STOREFRONT.read_bytes())
    return read


def source(api: DeliveryApi, **settings: Any) -> DeliverySource:
    """A source of one environment, which asks ``api``."""
    places = delivery_places([f"shop/main={SPACE}"], TOKEN, Namespace("a", "b"))
    options: dict[str, Any] = {"poll_s": 0, "cache": None, "strict": False, **settings}
    return DeliverySource(places.values(), BASE, transport=api.transport(), **options)


def digest(catalog: Catalog) -> str:
    """Of what decides."""
    engine = catalog.engine(HERE)
    assert engine is not None
    return engine.digest


async def test_a_space_is_what_its_export_is(export: dict[str, Any]) -> None:
    api = DeliveryApi(export)
    catalog = Catalog()
    await source(api).load(catalog)
    assert digest(catalog) == Engine.from_dict(export, strict=False).digest
    assert catalog.ready
    assert len([asked for asked in api.asked if "/sync" in asked]) > 5
    assert not any("elsewhere" in asked for asked in api.asked)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["optimization-space.json", "marketing-space.json"])
async def test_real_spaces(shared_data: pathlib.Path, name: str) -> None:
    export = json.loads((shared_data / name).read_bytes())
    catalog = Catalog()
    await source(DeliveryApi(export, page_size=50)).load(catalog)
    assert digest(catalog) == Engine.from_dict(export, strict=False).digest


def renamed(entry: dict[str, Any], traffic: float) -> dict[str, Any]:
    """An experience with another traffic allocation."""
    changed: dict[str, Any] = json.loads(json.dumps(entry))
    for value in changed["fields"]["nt_config"].values():
        value["traffic"] = traffic
    return changed


async def test_changes_are_followed(export: dict[str, Any]) -> None:
    api = DeliveryApi(export)
    catalog = Catalog()
    follower = source(api)
    await follower.load(catalog)
    first = digest(catalog)
    api.asked.clear()
    await follower.refresh(catalog, None)
    assert digest(catalog) == first
    assert len(api.asked) == 1, "nothing new is one question"
    experience = next(
        entry
        for entry in export["entries"]
        if entry["sys"]["contentType"]["sys"]["id"] == "nt_experience"
        and entry["sys"].get("publishedVersion")
    )
    api.publish(renamed(experience, 0.125))
    api.publish({"sys": {**experience["sys"], "id": "other", "contentType": _link("page")}})
    await follower.refresh(catalog, [HERE])
    second = digest(catalog)
    assert second != first
    api.delete(experience["sys"]["id"])
    await follower.refresh(catalog, None)
    engine = catalog.engine(HERE)
    assert engine is not None
    assert digest(catalog) not in {first, second}
    name = next(iter(experience["fields"]["nt_experience_id"].values()))
    assert name not in engine.program.experience_ids
    api.publish(experience)
    await follower.refresh(catalog, None)
    assert digest(catalog) == first
    # Of another environment, nothing is asked.
    api.asked.clear()
    await follower.refresh(catalog, [Namespace("another", "main")])
    assert api.asked == []


def _link(name: str) -> dict[str, Any]:
    return {"sys": {"type": "Link", "linkType": "ContentType", "id": name}}


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (httpx.Response(500, text="oops"), "answered 500"),
        (httpx.Response(401, json={"sys": {"id": "AccessTokenInvalid"}}), "AccessTokenInvalid"),
        (httpx.Response(200, text="{"), "no JSON object"),
        (httpx.Response(200, json=[]), "no JSON object"),
        (httpx.Response(200, json={}), "no items"),
        (httpx.Response(200, json={"items": [{"sys": 3}]}), "no id"),
        (httpx.Response(200, json={"items": []}), "nothing to go on with"),
    ],
)
async def test_what_fails_changes_nothing(
    export: dict[str, Any], answer: httpx.Response, trouble: str
) -> None:
    api = DeliveryApi(export)
    catalog = Catalog()
    follower = source(api)
    await follower.load(catalog)
    first = digest(catalog)
    api.fail = [answer]
    await follower.refresh(catalog, None)
    assert digest(catalog) == first
    entry = catalog.find(HERE)
    assert entry is not None
    assert trouble in entry.trouble
    assert TOKEN not in entry.trouble
    await follower.refresh(catalog, None)
    entry = catalog.find(HERE)
    assert entry is not None
    assert entry.trouble == ""


async def test_an_expired_token_is_a_new_beginning(export: dict[str, Any]) -> None:
    api = DeliveryApi(export)
    catalog = Catalog()
    follower = source(api)
    await follower.load(catalog)
    first = digest(catalog)
    api.expired.add(f"next-{len(api.log)}-0")
    api.asked.clear()
    await follower.refresh(catalog, None)
    assert digest(catalog) == first
    assert any("initial=true" in asked for asked in api.asked)


async def test_patience(export: dict[str, Any]) -> None:
    api = DeliveryApi(export)
    api.fail = [too_many("0.05"), too_many("nonsense"), too_many("nan")]
    catalog = Catalog()
    await source(api).load(catalog)
    assert catalog.ready
    api.fail = [too_many("0.05")] * 5
    follower = source(api)
    await follower.load(catalog)
    entry = catalog.find(HERE)
    assert entry is not None
    assert "429" in entry.trouble


async def test_what_was_read_last_is_kept(export: dict[str, Any], tmp_path: pathlib.Path) -> None:
    api = DeliveryApi(export)
    cache = tmp_path / "cache"
    catalog = Catalog()
    await source(api, cache=cache).load(catalog)
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert TOKEN not in kept.read_text()
    # It cannot be reached: what was kept decides, and that is visible.
    down = DeliveryApi(export)
    down.fail = [httpx.Response(503)] * 2
    later = Catalog()
    follower = source(down, cache=cache)
    await follower.load(later)
    assert digest(later) == digest(catalog)
    entry = later.find(HERE)
    assert entry is not None
    assert entry.cached
    assert "503" in entry.trouble
    # Then it can again.
    down.fail = []
    await follower.refresh(later, None)
    entry = later.find(HERE)
    assert entry is not None
    assert (entry.cached, entry.trouble) == (False, "")
    # What is damaged is not used.
    kept.write_text(kept.read_text()[:-50])
    broken = DeliveryApi(export)
    broken.fail = [httpx.Response(503)]
    empty = Catalog()
    await source(broken, cache=cache).load(empty)
    assert not empty.ready


async def test_many_who_ask_at_once_are_few_who_look(export: dict[str, Any]) -> None:
    api = DeliveryApi(export)
    catalog = Catalog()
    follower = source(api)
    await follower.load(catalog)
    api.asked.clear()
    await asyncio.gather(*(follower.refresh(catalog, None) for _ in range(50)))
    assert 1 <= len(api.asked) <= 2


@pytest.mark.parametrize(
    ("entries", "tokens", "message"),
    [
        (["a=b"], "t", "is not [ORGANIZATION/ENVIRONMENT=]SPACE[/ENVIRONMENT]"),
        (["../x"], "t", "is not"),
        (["s/../x"], "t", "environment's name"),
        (["s", "s"], "t", "named twice"),
        (["s"], None, "there is none for the space 's'"),
        (["s"], "other=t", "there is none for the space 's'"),
    ],
)
def test_places_that_are_none(entries: list[str], tokens: str | None, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("[", r"\[").replace("]", r"\]")):
        delivery_places(entries, tokens, HERE)


def test_places() -> None:
    places = delivery_places(["s1", "o/e=s2/preview"], "s1=one,s2=two", HERE)
    assert [tuple(place) for place in places.values()] == [
        (HERE, "s1", "master", "one"),
        (("o", "e"), "s2", "preview", "two"),
    ]


# ---- a process ----------------------------------------------------------------------------------


SECRET = "a-secret-of-the-webhook-that-nobody-guesses"


def test_a_process_follows_a_space(export: dict[str, Any], tmp_path: pathlib.Path) -> None:
    api = DeliveryApi(export)
    nothing = tmp_path / "configurations"
    nothing.mkdir()
    with listening(api) as url:
        env = {"WHICHVARIANT_DELIVERY_TOKEN": TOKEN, "WHICHVARIANT_WEBHOOK_SECRET": SECRET}
        arguments = ("--delivery", SPACE, "--delivery-url", url, "--delivery-poll-s", "3600")
        with served(tmp_path, *arguments, config=nothing, env=env) as server:
            body = {"events": [page()]}
            answer = httpx.post(f"{server.api}/profiles", json=body)
            first = answer.headers["x-whichvariant-configuration"]
            assert first == Engine.from_dict(export, strict=False).digest
            experience = next(
                entry
                for entry in export["entries"]
                if entry["sys"]["contentType"]["sys"]["id"] == "nt_experience"
                and entry["sys"].get("publishedVersion")
            )
            api.publish(renamed(experience, 0.0625))
            hook = f"{server.url}/webhooks/contentful"
            assert httpx.post(hook, json={}).status_code == 401
            told = httpx.post(hook, json={}, headers={"authorization": f"Bearer {SECRET}"})
            assert told.status_code == 202
            until = time.monotonic() + 20
            while True:
                answer = httpx.post(f"{server.api}/profiles", json=body)
                if answer.headers["x-whichvariant-configuration"] != first:
                    break
                assert time.monotonic() < until
                time.sleep(0.05)
        assert TOKEN not in server.log.read_text()
        assert SECRET not in server.log.read_text()

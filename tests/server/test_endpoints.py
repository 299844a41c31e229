"""Every endpoint of the API, and what it answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from tests.server.conftest import SHOP, client_of
from tests.server.events import event, identify, page
from tests.server.running import Served

from whichvariant import Engine
from whichvariant.server import App


async def test_create_update_get_delete(make_app: Callable[..., App], engine: Engine) -> None:
    async with client_of(make_app()) as client:
        created = await client.post("/profiles", json={"events": [page()]})
        assert created.status_code == 200
        body = created.json()
        assert body["error"] is None
        assert body["message"] == "ok"
        assert set(body["data"]) == {"profile", "experiences", "changes"}
        assert created.headers["x-whichvariant-configuration"] == engine.digest
        profile = body["data"]["profile"]
        selection = engine.select(profile)
        assert body["data"]["experiences"] == selection.experiences
        assert body["data"]["changes"] == selection.changes

        path = f"/profiles/{profile['id']}"
        updated = await client.post(path, json={"events": [identify(plan="gold")]})
        assert updated.json()["data"]["profile"]["traits"] == {"plan": "gold"}
        got = await client.get(path)
        assert got.json() == updated.json()

        deleted = await client.delete(path)
        assert deleted.json() == {"data": {}, "error": None, "message": "ok"}
        for answer in (await client.get(path), await client.delete(path)):
            assert answer.status_code == 404
            assert answer.json()["error"] == {"code": "ERR_PROFILE_NOT_FOUND"}
            assert answer.json()["data"] == {}


async def test_preflight_stores_nothing_and_its_id_works(
    make_app: Callable[..., App],
) -> None:
    async with client_of(make_app()) as client:
        answer = await client.post("/profiles?type=preflight", json={"events": [page()]})
        profile = answer.json()["data"]["profile"]
        path = f"/profiles/{profile['id']}"
        assert (await client.get(path)).status_code == 404
        updated = await client.post(path, json={"events": [page()]})
        assert updated.status_code == 200
        assert updated.json()["data"]["profile"]["stableId"] == profile["stableId"]


async def test_batch(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        events = [{**page(), "anonymousId": name} for name in ("b", "a", "b")]
        answer = await client.post("/events", json={"events": events})
        profiles = answer.json()["data"]["profiles"]
        assert [profile["id"] for profile in profiles] == ["b", "a"]
        assert set(answer.json()["data"]) == {"profiles"}


async def test_errors_name_the_place(make_app: Callable[..., App]) -> None:
    broken = event("page", properties={"path": "/", "query": {}, "referrer": "", "search": ""})
    async with client_of(make_app()) as client:
        answer = await client.post("/profiles", json={"events": [page(), broken]})
        assert answer.status_code == 400
        assert answer.json() == {
            "message": "events[1].properties.url: missing",
            "data": {},
            "error": {"code": "ERR_INVALID_DATA"},
        }


def test_a_process_serves(server: Served) -> None:
    answer = httpx.post(
        f"{server.api}/profiles",
        content=b'{"events": []}',
        headers={"content-type": "text/plain;charset=UTF-8"},
    )
    assert answer.json()["error"] == {"code": "ERR_INVALID_DATA"}
    got = httpx.post(f"{server.api}/profiles", json={"events": [page()]})
    assert got.status_code == 200


async def test_a_full_inbox(make_app: Callable[..., App]) -> None:
    app = make_app(max_batches=2)
    async with client_of(app) as client:
        running = await app.start()
        for _ in range(2):
            sequence = await running.store.enqueue(SHOP, b"no batch", 5)
            await running.store.reject(sequence, "because", 6)
        answer = await client.post("/import/events", json={"events": [with_id(page(), "a")]})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert (await running.store.pulse()).waiting == 0
        # Where nothing is kept there is always room.
        path = "http://server/v2/organizations/nobody/environments/main/import/events"
        nowhere = await client.post(path, json={"events": [with_id(page(), "a")]})
        assert nowhere.json()["data"] == {"message": "Events accepted."}
        assert (await running.store.pulse()).waiting == 0


def with_id(sent: dict[str, object], name: str) -> dict[str, object]:
    """An event of a batch."""
    return {**sent, "anonymousId": name}

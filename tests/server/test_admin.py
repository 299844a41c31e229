"""What operators may do over HTTP, and that nobody else may."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from tests.server.conftest import SHOP, client_of
from tests.server.events import identify, page

from whichvariant import Engine
from whichvariant.server import App

TOKEN = "a-token-of-operators-that-nobody-guesses"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ADMIN = "http://server/admin"
PROFILE = f"{ADMIN}/profiles/shop/main"

PATHS = [
    ("GET", "/configurations"),
    ("POST", "/configurations/reload"),
    ("GET", "/profiles/shop/main/somebody"),
    ("DELETE", "/profiles/shop/main/somebody"),
    ("GET", "/inbox"),
    ("POST", "/inbox/requeue"),
    ("POST", "/inbox/discard"),
    ("GET", "/stats"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_only_with_the_token(make_app: Callable[..., App], method: str, path: str) -> None:
    async with client_of(make_app()) as client:
        answer = await client.request(method, ADMIN + path, headers=BEARER)
        assert answer.status_code == 404, "without a token among the settings there is nothing"
    async with client_of(make_app(admin_token=TOKEN)) as client:
        wrong = [{}, {"authorization": "Bearer"}, {"authorization": f"Basic {TOKEN}"}]
        wrong += [{"authorization": f"Bearer {TOKEN[:-1]}"}, {"authorization": f"Bearer {TOKEN}x"}]
        for headers in wrong:
            answer = await client.request(method, ADMIN + path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["data"] == {}


async def test_configurations(make_app: Callable[..., App], engine: Engine) -> None:
    async with client_of(make_app(admin_token=TOKEN)) as client:
        client.headers.update(BEARER)
        found = (await client.get(f"{ADMIN}/configurations")).json()["data"]["environments"]
        assert [one["environment"] for one in found] == ["main", "staging"]
        assert {one["digest"] for one in found} == {engine.digest}
        assert found[0]["findings"] == [str(finding) for finding in engine.findings]
        reloaded = await client.post(f"{ADMIN}/configurations/reload")
        assert reloaded.json()["data"]["environments"] == found


async def test_profiles(make_app: Callable[..., App]) -> None:
    async with client_of(make_app(admin_token=TOKEN)) as client:
        client.headers.update(BEARER)
        made = await client.post("/profiles", json={"events": [identify("jo@x", plan="gold")]})
        profile = made.json()["data"]["profile"]
        await client.post(f"/profiles/{profile['id']}", json={"events": [page()]})
        for key in (profile["id"], "jo@x"):
            found = (await client.get(f"{PROFILE}/{key}")).json()["data"]
            assert found["id"] == profile["id"]
            assert found["aliases"] == ["jo@x"]
            assert found["version"] == 2
            assert found["history"]["events"] == 2
            assert found["profile"]["traits"] == {"plan": "gold"}
            assert found["experiences"] == made.json()["data"]["experiences"]
        early = await client.get(f"{PROFILE}/jo@x", params={"at": "2001-01-01T00:00:00Z"})
        assert early.status_code == 404
        nonsense = await client.get(f"{PROFILE}/jo@x", params={"at": "then"})
        assert nonsense.status_code == 400
        assert nonsense.json()["message"].startswith("at: ")
        elsewhere = await client.get(f"{ADMIN}/profiles/shop/staging/{profile['id']}")
        assert elsewhere.json()["error"]["code"] == "ERR_NAMESPACE_MISMATCH"
        assert (await client.delete(f"{PROFILE}/jo@x")).status_code == 200
        assert (await client.get(f"/profiles/{profile['id']}")).status_code == 404


async def test_rejected_batches(make_app: Callable[..., App]) -> None:
    app = make_app(admin_token=TOKEN)
    async with client_of(app) as client:
        client.headers.update(BEARER)
        running = await app.start()
        sequence = await running.store.enqueue(SHOP, b"no batch", 5)
        await running.store.reject(sequence, "because", 6)
        inbox = (await client.get(f"{ADMIN}/inbox")).json()["data"]
        assert inbox["rejectedCount"] == 1
        assert inbox["rejected"][0]["reason"] == "because"
        assert inbox["rejected"][0]["sequence"] == sequence
        refused = await client.post(f"{ADMIN}/inbox/discard", json={"sequences": ["1"]})
        assert refused.status_code == 400
        assert refused.json()["message"].startswith("sequences[0]: ")
        gone = await client.post(f"{ADMIN}/inbox/discard", json={"sequences": [sequence, 77]})
        assert gone.json()["data"] == {"discarded": 1}
        assert (await client.get(f"{ADMIN}/inbox")).json()["data"]["rejected"] == []


async def test_statistics_and_wrong_methods(make_app: Callable[..., App]) -> None:
    async with client_of(make_app(admin_token=TOKEN)) as client:
        client.headers.update(BEARER)
        await client.post("/profiles", json={"events": [page()]})
        stats = (await client.get(f"{ADMIN}/stats")).json()["data"]
        assert [one["profiles"] for one in stats["environments"]] == [1]
        wrong: httpx.Response = await client.put(f"{PROFILE}/x")
        assert wrong.status_code == 405
        assert set(wrong.headers["allow"].split(", ")) >= {"GET", "DELETE"}

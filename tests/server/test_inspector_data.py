"""The inspector's data: who may ask, what is refused, and that engines decide all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from tests.server.conftest import OTHER, SHOP
from tests.server.events import event, identify, page
from tests.server.inspecting import BERLIN, CHECKOUT, SEASON, STEPS, past, planned

from whichvariant import Engine
from whichvariant.errors import SettingsError
from whichvariant.server import App, ServerSettings, create_app
from whichvariant.server.inspector import check_inspector, is_loopback
from whichvariant.server.inspector.data import MAX_CONFIGURATION_BYTES
from whichvariant.store import MemoryStore

TOKEN = "a-token-of-operators-that-nobody-guesses"
DATA = "/inspector/data"
PLACE = {"organization": SHOP.organization, "environment": SHOP.environment}
POSTS = ["profile", "preflight", "explanation", "comparison"]
PROFILES = f"/v2/organizations/{SHOP.organization}/environments/{SHOP.environment}/profiles"

Make = Callable[..., App]


@asynccontextmanager
async def asking(
    app: App, *, peer: str = "127.0.0.1", host: str = "localhost:8000"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address and a name for the server."""
    await app.start()
    transport = httpx.ASGITransport(app, client=(peer, 40_000))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            yield client
    finally:
        await app.close()


async def ask(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    """What an answer of the data holds."""
    answer = await client.post(f"{DATA}/{path}", json={**PLACE, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def refusal(client: httpx.AsyncClient, path: str, **body: Any) -> tuple[int, str]:
    """How something is refused."""
    answer = await client.post(f"{DATA}/{path}", json={**PLACE, **body})
    return answer.status_code, answer.json()["message"]


async def visitor(client: httpx.AsyncClient) -> dict[str, Any]:
    """A stored visitor, as the API answers."""
    made = await client.post(PROFILES, json={"events": past()})
    assert made.status_code == 200, made.text
    found: dict[str, Any] = made.json()["data"]
    return found


@pytest.fixture
def make(make_app: Make) -> Make:
    """An app with the inspector."""

    def made(**settings: Any) -> App:
        return make_app(inspector=True, **settings)

    return made


# ---- who may ask ---------------------------------------------------------------------------------


async def everything(client: httpx.AsyncClient, headers: dict[str, str]) -> set[int]:
    """The statuses of all endpoints, asked what they could answer."""
    found = {(await client.get(f"{DATA}/environments", headers=headers)).status_code}
    profile = {"stableId": "visitor-3"}
    for path in POSTS:
        body = {**PLACE, "id": "nobody", "profile": profile, "events": [page()], "other": PLACE}
        answer = await client.post(f"{DATA}/{path}", json=body, headers=headers)
        found.add(answer.status_code if answer.status_code != 404 else 200)
    return found


async def test_off_unless_enabled(make_app: Make) -> None:
    async with asking(make_app()) as client:
        for path in ["/inspector", "/inspector/app.js", f"{DATA}/environments"]:
            assert (await client.get(path)).status_code == 404
        assert (await client.post(f"{DATA}/profile", json=PLACE)).status_code == 404


async def test_only_with_the_token(make: Make) -> None:
    async with asking(make(admin_token=TOKEN)) as client:
        wrong = [{}, {"authorization": "Bearer"}, {"authorization": f"Basic {TOKEN}"}]
        wrong += [{"authorization": f"Bearer {TOKEN[:-1]}"}, {"authorization": f"Bearer {TOKEN}x"}]
        for headers in wrong:
            assert await everything(client, headers) == {401}
        right = {"authorization": f"Bearer {TOKEN}"}
        assert await everything(client, right) == {200}
        found = await client.get(f"{DATA}/environments", headers=right)
        assert found.json()["data"]["token"] is True


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.shop.example", "192.0.2.7", "[::2]"])
async def test_with_the_token_from_anywhere(make: Make, host: str) -> None:
    async with asking(make(admin_token=TOKEN), peer="192.0.2.1", host=host) as client:
        assert await everything(client, {"authorization": f"Bearer {TOKEN}"}) == {200}


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:80", "[::1]"]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.1.2.3"])
async def test_without_a_token_for_this_machine(make: Make, peer: str, host: str) -> None:
    async with asking(make(), peer=peer, host=host) as client:
        assert await everything(client, {}) == {200}


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.1", "::2", "169.254.0.1", "unknown"])
async def test_without_a_token_for_nobody_else(make: Make, peer: str) -> None:
    async with asking(make(), peer=peer) as client:
        assert await everything(client, {}) == {403}


@pytest.mark.parametrize(
    "host",
    [
        "shop.example:8000",
        "127.0.0.1.shop.example",
        "localhost.shop.example",
        "192.0.2.7",
        "[::2]:1",
    ],
)
async def test_names_of_others_that_lead_here(make: Make, host: str) -> None:
    """DNS rebinding: a page of that name would be of the same origin as the answer."""
    async with asking(make(), host=host) as client:
        assert await everything(client, {}) == {403}


@pytest.mark.parametrize(
    "header", ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"]
)
async def test_who_comes_through_a_proxy_is_not_here(make: Make, header: str) -> None:
    async with asking(make()) as client:
        assert await everything(client, {header: "127.0.0.1"}) == {403}


def test_it_does_not_start_open_to_everybody() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "shop.example", "localhost.example"):
        assert not is_loopback(host)
        with pytest.raises(SettingsError, match="admin_token"):
            check_inspector(ServerSettings(inspector=True, host=host))
        check_inspector(ServerSettings(inspector=True, host=host, admin_token=TOKEN))
        check_inspector(ServerSettings(host=host))
    for host in ("127.0.0.1", "::1", "[::1]", "localhost", "LOCALHOST"):
        check_inspector(ServerSettings(inspector=True, host=host))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "a/json"])
async def test_what_pages_of_others_can_send_is_refused(make: Make, kind: str) -> None:
    """They may send these without asking; anything else asks first, and nobody says yes."""
    async with asking(make()) as client:
        body = json.dumps({**PLACE, "profile": {"stableId": "x"}})
        for path in POSTS:
            headers = {"content-type": kind} if kind else {}
            answer = await client.post(f"{DATA}/{path}", content=body, headers=headers)
            assert answer.status_code == 415
        asked = {
            "origin": "https://evil.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,authorization",
        }
        answers = [
            await client.options(f"{DATA}/profile", headers=asked),
            await client.get(f"{DATA}/environments", headers={"origin": "https://evil.example"}),
        ]
        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_headers(make: Make) -> None:
    async with asking(make()) as client:
        answers = [
            await client.get(path)
            for path in ["/inspector", "/inspector/app.js", f"{DATA}/environments", "/inspector/no"]
        ]
        answers.append(await client.post(f"{DATA}/profile", json={**PLACE, "id": "nobody"}))
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "unsafe" not in policy
            assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        for answer in answers[2:]:
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    ["page.html", "__init__.py", "data.py", "routes.py", "..%2fapp.py", "%2e%2e/app.py", "x"],
)
async def test_no_other_file_is_served(make: Make, name: str) -> None:
    async with asking(make()) as client:
        assert (await client.get(f"/inspector/{name}")).status_code == 404


# ---- what is answered ----------------------------------------------------------------------------


async def test_environments(make: Make, engine: Engine) -> None:
    async with asking(make()) as client:
        found = (await client.get(f"{DATA}/environments")).json()["data"]
    assert found["token"] is False
    assert [one["environment"] for one in found["environments"]] == ["main", "staging"]
    for one in found["environments"]:
        configuration = one["configuration"]
        assert one["trouble"] is False
        assert configuration["digest"] == engine.digest
        assert configuration["findings"] == len(engine.findings)
        assert len(configuration["counters"]) == len(engine.counter_keys) > 0
        served = {e["id"]: e for e in configuration["experiences"]}
        assert set(served) == {e.id for e in engine.configuration.experiences}
        assert served[STEPS]["sticky"] is True
        assert served[STEPS]["variants"] == 3


async def test_a_stored_profile(make: Make, engine: Engine) -> None:
    async with asking(make()) as client:
        answer = await visitor(client)
        profile = answer["profile"]
        for key in (profile["id"], "jo@shop.example"):
            found = await ask(client, "profile", id=key)
            for part in ("experiences", "changes"):
                assert found["selection"][part] == answer[part]
            assert found["selection"]["audiences"] == profile["audiences"]
            assert found["profile"] == {**profile, "audiences": []}
            assert found["aliases"] == ["jo@shop.example"]
            assert found["device"] == "mobile"
            assert found["historyEvents"] == 4
            kinds = [one["event"]["type"] for one in found["history"]]
            assert set(kinds[:2]) == {"track", "component"}
            assert kinds[2:] == ["page", "identify"]
            explained = engine.explain(profile, device="mobile", counts=found["counts"])
            assert found["explanation"] == orjson.loads(orjson.dumps(explained.to_dict()))
        steps = next(e for e in found["explanation"]["experiences"] if e["id"] == STEPS)
        assert steps["sticky"] == {"stored": 2, "used": True}
        assert steps["variantIndex"] == 2
        names = [c["counts"] for c in engine.explain_program().to_dict()["counters"]]
        counted = {name: count for name, count in zip(names, found["counts"], strict=True) if count}
        assert counted == {
            'number of track events named "Product Added" in the last 7 days': 1,
            "number of page events (context.page.url exists)": 1,
            'number of page events (context.page.path startsWith "/guides/")': 1,
        }


async def test_as_of_an_instant(make: Make) -> None:
    async with asking(make()) as client:
        await visitor(client)
        for at in ("2026-03-01T12:00:00Z", 1772366400000):
            found = await ask(client, "profile", id="jo@shop.example", at=at)
            assert found["atMs"] == 1772366400000
            assert found["profile"]["location"] == {}
            assert [one["event"]["type"] for one in found["history"]] == ["identify"]
        status, message = await refusal(client, "profile", id="jo@shop.example", at="then")
        assert (status, message[:4]) == (400, "at: ")
        status, message = await refusal(
            client, "profile", id="jo@shop.example", at="2001-01-01T00:00:00Z"
        )
        assert (status, message) == (404, "the profile did not exist yet")


async def test_the_newest_events_of_many(make: Make) -> None:
    async with asking(make()) as client:
        made = await client.post(PROFILES, json={"events": [page()]})
        key = made.json()["data"]["profile"]["id"]
        for number in range(0, 80, 10):
            events = [event("track", event=f"e{number + i}", properties={}) for i in range(10)]
            await client.post(f"{PROFILES}/{key}", json={"events": events})
        found = await ask(client, "profile", id=key)
        assert found["historyEvents"] == 81
        assert [one["event"]["event"] for one in found["history"]] == [
            f"e{number}" for number in range(79, 29, -1)
        ]


async def test_a_preflight_is_explained_and_stores_nothing(make: Make) -> None:
    async with asking(make()) as client:
        before = await visitor(client)
        key = before["profile"]["id"]
        events = [identify("", plan="free"), page(path="/tents", url="https://shop.example/tents")]
        supposed = await ask(client, "preflight", id=key, events=events)
        answer = await client.post(f"{PROFILES}/{key}?type=preflight", json={"events": events})
        told = answer.json()["data"]
        for part in ("experiences", "changes"):
            assert supposed["selection"][part] == told[part]
        assert supposed["profile"]["traits"] == {**before["profile"]["traits"], "plan": "free"}
        assert supposed["profile"]["session"] == told["profile"]["session"]
        assert sum(supposed["counts"]) > 3
        after = await ask(client, "profile", id=key)
        assert after["profile"] == {**before["profile"], "audiences": []}
        assert after["historyEvents"] == 4


async def test_a_preflight_of_somebody_new(make: Make) -> None:
    async with asking(make()) as client:
        events = [page()]
        answer = await client.post(f"{PROFILES}?type=preflight", json={"events": events})
        told = answer.json()["data"]
        key = told["profile"]["id"]
        supposed = await ask(client, "preflight", id=key, events=events)
        assert supposed["profile"]["stableId"] == told["profile"]["stableId"]
        assert supposed["selection"]["experiences"] == told["experiences"]
        assert (await refusal(client, "profile", id=key))[0] == 404


async def test_a_preflight_that_names_somebody_known(make: Make) -> None:
    """The two would become one, and that one is explained."""
    async with asking(make()) as client:
        known = await visitor(client)
        other = (await client.post(PROFILES, json={"events": [page()]})).json()["data"]["profile"]
        events = [identify("jo@shop.example")]
        supposed = await ask(client, "preflight", id=other["id"], events=events)
        assert supposed["profile"]["id"] == known["profile"]["id"]
        # Two page views, of one profile each.
        assert 2 in supposed["counts"]
        assert (await ask(client, "profile", id=other["id"]))["profile"]["id"] == other["id"]


async def test_a_made_up_profile(make: Make, engine: Engine) -> None:
    profile = {"stableId": "visitor-3", "location": BERLIN, "traits": {"plan": "gold"}}
    counts = [number % 3 for number in range(len(engine.counter_keys))]
    async with asking(make()) as client:
        found = await ask(client, "explanation", profile=profile, device="tablet", counts=counts)
        selection = engine.select(profile, device="tablet", counts=counts)
        assert found["selection"] == orjson.loads(orjson.dumps(selection.to_dict()))
        blank = await ask(client, "explanation", profile=profile)
        zero = engine.select(profile, counts=[0] * len(counts))
        assert blank["selection"] == orjson.loads(orjson.dumps(zero.to_dict()))


# ---- comparison ----------------------------------------------------------------------------------


def outcome(explained: dict[str, Any], key: str) -> tuple[str, int | None]:
    one = next(e for e in explained["explanation"]["experiences"] if e["id"] == key)
    return one["outcome"], one.get("variantIndex")


def press_of(compared: dict[str, Any]) -> dict[str, Any]:
    """The audience whose rule counts what the served configuration does not."""
    audiences = compared["other"]["explanation"]["audiences"]
    found: dict[str, Any] = next(one for one in audiences if one["name"] == "Press contacts")
    return found


async def test_a_comparison_with_a_document(make: Make, engine: Engine) -> None:
    document = planned()
    other = Engine.from_dict(document)
    async with asking(make()) as client:
        await visitor(client)
        found = await ask(client, "profile", id="jo@shop.example")
        subject = {"profile": found["profile"], "device": "mobile", "counts": found["counts"]}
        compared = await ask(
            client,
            "comparison",
            **subject,
            stored=found["profile"]["id"],
            configuration=json.dumps(document),
        )
        assert compared["served"]["selection"] == found["selection"]
        assert compared["other"]["explanation"]["digest"] == other.digest != engine.digest
        assert outcome(compared["other"], CHECKOUT) == ("not in the traffic", None)
        assert outcome(compared["other"], SEASON) == ("selected", 2)
        # That it was seen is known from the history, though nothing served counts it.
        assert press_of(compared)["matched"] is True
        assert compared["uncounted"] == 0
        assert compared["findingCount"] == len(other.findings)
        assert compared["findings"] == [str(one) for one in other.findings[:100]]
        alone = await ask(client, "comparison", **subject, configuration=json.dumps(document))
        # Without a stored profile there is no history to tell.
        assert alone["uncounted"] == 1
        early = await ask(
            client,
            "comparison",
            profile=found["profile"],
            stored=found["profile"]["id"],
            at="2026-03-01T12:00:00Z",
            configuration=json.dumps(document),
        )
        # It was not seen yet, then.
        assert press_of(early)["matched"] is False


async def test_a_comparison_with_another_environment(engine: Engine) -> None:
    other = Engine.from_dict(planned())
    app = create_app(
        ServerSettings(inspector=True), engines={SHOP: engine, OTHER: other}, store=MemoryStore()
    )
    place = {"organization": OTHER.organization, "environment": OTHER.environment}
    async with asking(app) as client:
        profile = {"stableId": "visitor-3", "location": BERLIN}
        compared = await ask(client, "comparison", profile=profile, other=place)
        for side, decider in (("served", engine), ("other", other)):
            counts = [0] * len(decider.counter_keys)
            chosen = decider.select(profile, counts=counts)
            assert compared[side]["selection"] == orjson.loads(orjson.dumps(chosen.to_dict()))
        assert compared["uncounted"] == 0, "who did nothing was counted nowhere"
        status, message = await refusal(
            client, "comparison", profile=profile, other={**place, "environment": "none"}
        )
        assert status == 404
        assert "'none'" in message


async def test_served_configurations_stay_as_they_are(make: Make, engine: Engine) -> None:
    async with asking(make()) as client:
        profile = {"stableId": "x"}
        texts = [json.dumps(planned()), "{}", '{"format": "whichvariant/1"}']
        asked = [
            client.post(
                f"{DATA}/comparison", json={**PLACE, "profile": profile, "configuration": text}
            )
            for text in texts * 3
        ]
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert statuses[0] == 200
        found = (await client.get(f"{DATA}/environments")).json()["data"]["environments"]
        assert {one["configuration"]["digest"] for one in found} == {engine.digest}


# ---- what is refused -----------------------------------------------------------------------------


REFUSED: list[tuple[str, Any, int, str]] = [
    ("profile", {**PLACE}, 400, "body: object missing required field id"),
    ("profile", {**PLACE, "id": 3}, 400, "id: "),
    ("profile", {**PLACE, "id": "nobody"}, 404, "there is no such profile"),
    ("profile", {**PLACE, "id": ""}, 404, "there is no such profile"),
    ("profile", {**PLACE, "id": "x" * 100_000}, 404, "there is no such profile"),
    ("profile", {**PLACE, "environment": "none", "id": "x"}, 404, "no configuration for "),
    ("profile", {**PLACE, "id": "x", "at": [1]}, 400, "at: "),
    ("profile", [], 400, "body: "),
    ("profile", 3, 400, "body: "),
    ("preflight", {**PLACE, "id": "x"}, 400, "body: "),
    ("preflight", {**PLACE, "id": "x", "events": {}}, 400, "events: "),
    ("preflight", {**PLACE, "id": "x", "events": [3]}, 400, "events[0]: "),
    ("preflight", {**PLACE, "id": "nobody", "events": [page()]}, 404, "there is no such profile"),
    ("explanation", {**PLACE, "profile": {}}, 400, "stableId: missing"),
    ("explanation", {**PLACE, "profile": 3}, 400, "profile: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x", "traits": 1}}, 400, "traits: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x"}, "device": "car"}, 400, "device: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x"}, "counts": [1]}, 400, "counts: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x"}, "counts": ["a"]}, 400, "counts[0]: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x"}, "counts": [0, -1] + [0] * 9}, 400,
     "counts[1]: "),
    ("explanation", {**PLACE, "profile": {"stableId": "x"}, "counts": [2**31] + [0] * 10}, 400,
     "counts[0]: "),
    ("comparison", {**PLACE, "profile": {"stableId": "x"}}, 400, "other: "),
    ("comparison", {**PLACE, "profile": {"stableId": "x"}, "configuration": "{"}, 400,
     "configuration: "),
    ("comparison", {**PLACE, "profile": {"stableId": "x"}, "configuration": ""}, 400,
     "configuration: "),
    ("comparison", {**PLACE, "profile": {"stableId": "x"}, "configuration": "[1]"}, 400,
     "configuration: "),
    ("comparison", {**PLACE, "profile": {"stableId": "x"}, "other": {}}, 400, "other: "),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "message"), REFUSED)
async def test_refused_with_the_place(
    make: Make, path: str, body: Any, status: int, message: str
) -> None:
    async with asking(make()) as client:
        answer = await client.post(f"{DATA}/{path}", json=body)
        assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)
        assert answer.json()["data"] == {}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"nul", b"[" * 100_000, b'{"id": "\xed\xa0\x80"}', b"{}x"]
)
async def test_no_json(make: Make, body: bytes) -> None:
    async with asking(make()) as client:
        headers = {"content-type": "application/json; charset=utf-8"}
        for path in POSTS:
            answer = await client.post(f"{DATA}/{path}", content=body, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith("body: ")


async def test_bodies_have_a_limit(make: Make) -> None:
    async with asking(make()) as client:
        headers = {"content-type": "application/json"}
        body = b" " * (2 * MAX_CONFIGURATION_BYTES + 1)
        answer = await client.post(f"{DATA}/comparison", content=body, headers=headers)
        assert answer.status_code == 413


async def test_environments_never_meet(make: Make) -> None:
    async with asking(make()) as client:
        answer = await visitor(client)
        key = answer["profile"]["id"]
        elsewhere = {"environment": OTHER.environment}
        assert (await refusal(client, "profile", id=key, **elsewhere))[0] == 404
        events = [page()]
        status, _ = await refusal(client, "preflight", id=key, events=events, **elsewhere)
        assert status == 404
        # An alias is nobody there.
        assert (await refusal(client, "profile", id="jo@shop.example", **elsewhere))[0] == 404


async def test_what_fails_inside_says_nothing_outside(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise RuntimeError("a secret of the inside")

    async with asking(make()) as client:
        monkeypatch.setattr(Engine, "explain", fail)
        status, message = await refusal(client, "explanation", profile={"stableId": "x"})
        assert (status, message) == (500, "internal error")
    assert "a secret of the inside" in caplog.text

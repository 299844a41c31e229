"""docs/security.md: what its table claims is held by tests, some of which are these."""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
import re
import stat
import time
from collections.abc import Callable

import httpx
import pytest
from tests.conftest import REPOSITORY
from tests.server.conftest import OTHER, SHOP, client_of
from tests.server.events import identify, page
from tests.server.running import served

from whichvariant.server import App, admin

PAGE = REPOSITORY / "docs" / "security.md"
BASE = "http://server/v2/organizations"
ELSEWHERE = f"{BASE}/{OTHER.organization}/environments/{OTHER.environment}"


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE.read_text())
    assert len(named) > 25
    for file, name in named:
        tree = ast.parse((REPOSITORY / file).read_text())
        functions = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{file}::{name}"
    threats = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for line in threats:
        assert "`tests/" in line or line.startswith(("| threat", "| actor")), line


async def test_environments_never_meet(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        made = await client.post("/profiles", json={"events": [identify("jo", secret="s3cret")]})
        profile = made.json()["data"]["profile"]
        for key in (profile["id"], "jo"):
            asked = [
                await client.get(f"{ELSEWHERE}/profiles/{key}"),
                await client.delete(f"{ELSEWHERE}/profiles/{key}"),
                await client.post(f"{ELSEWHERE}/profiles/{key}", json={"events": [page()]}),
                await client.post(
                    f"{ELSEWHERE}/profiles/{key}?type=preflight", json={"events": [page()]}
                ),
            ]
            for answer in asked:
                assert answer.status_code == 404
                assert answer.json()["error"]["code"] == "ERR_NAMESPACE_MISMATCH"
                assert "s3cret" not in answer.text
        # The same name elsewhere is somebody else.
        other = await client.post(f"{ELSEWHERE}/profiles", json={"events": [identify("jo")]})
        assert other.json()["data"]["profile"]["traits"] == {}
        batch = [{**identify("jo"), "anonymousId": profile["id"]}]
        sent = await client.post(f"{ELSEWHERE}/events", json={"events": batch})
        assert "s3cret" not in sent.text
        kept = (await client.get(f"/profiles/{profile['id']}")).json()["data"]["profile"]
        assert kept["traits"] == {"secret": "s3cret"}


async def test_ids_of_preflights_cannot_be_made_up(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        answer = await client.post("/profiles?type=preflight", json={"events": [page()]})
        own = answer.json()["data"]["profile"]["id"]
        forged = [own[:-1] + ("0" if own[-1] != "0" else "1"), own.upper(), "0" * 64, own[:32]]
        for key in forged:
            refused = await client.post(f"/profiles/{key}", json={"events": [page()]})
            assert refused.json()["error"]["code"] == "ERR_PROFILE_NOT_FOUND", key
        # It is good in the environment that gave it alone.
        elsewhere = await client.post(f"{ELSEWHERE}/profiles/{own}", json={"events": [page()]})
        assert elsewhere.status_code == 404
        assert (await client.post(f"/profiles/{own}", json={"events": [page()]})).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "shop/environments/main/../staging/profiles/{id}",
        "shop/environments/main%2F..%2Fstaging/profiles/{id}",
        "shop/environments/%2e%2e/staging/profiles/{id}",
        "shop/environments/staging%00/profiles/{id}",
        "shop/environments/main%252f/profiles/{id}",
        "SHOP/environments/main/profiles/{id}",
        "shop/environments/MAIN/profiles/{id}",
        "shop./environments/main/profiles/{id}",
        "shop/environments/main /profiles/{id}",
        "shop/environments//profiles/{id}",
        "shop/environments/main/profiles//{id}",
        "shop/environments/main/profiles/{id}/",
    ],
)
async def test_odd_paths_lead_nowhere(make_app: Callable[..., App], path: str) -> None:
    app = make_app()
    async with client_of(app) as client:
        made = await client.post("/profiles", json={"events": [page()]})
        key = made.json()["data"]["profile"]["id"]
        # As bytes, because a client would tidy the path up.
        raw = f"/v2/organizations/{path.format(id=key)}".encode()
        url = httpx.URL("http://server", raw_path=raw)
        answer = await client.send(httpx.Request("GET", url))
        assert answer.status_code == 404, (raw, answer.text)


async def test_what_fails_inside_says_nothing_outside(
    make_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with client_of(app) as client:
        running = await app.start()

        async def broken(*_: object) -> None:
            raise OSError("/var/lib/secret/profiles.db: s3cret")

        monkeypatch.setattr(running.store, "commit", broken)
        answer = await client.post("/profiles", json={"events": [page()]})
        assert answer.status_code == 500
        assert answer.json() == {
            "message": "internal error",
            "data": {},
            "error": {"code": "ERR_INTERNAL_SERVER_ERROR"},
        }


async def test_nothing_of_a_header_is_echoed_but_what_is_checked(
    make_app: Callable[..., App],
) -> None:
    odd = {
        "origin": "https://a.example\r\nset-cookie: a=b",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01\r\nset-cookie: a=b",
        "access-control-request-headers": "x\r\nset-cookie: a=b",
    }
    async with client_of(make_app(cors_origins=("https://a.example",))) as client:
        for method in ("GET", "OPTIONS"):
            answer = await client.request(method, "/profiles/nobody", headers=odd)
            for name, value in answer.headers.items():
                assert "\n" not in value, name
                assert "\r" not in value, name
            assert "access-control-allow-origin" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers
            assert "traceparent" not in answer.headers


@pytest.mark.parametrize("origin", ["https://shop.example", "null", "https://shop.example.evil"])
async def test_credentials_are_never_allowed(make_app: Callable[..., App], origin: str) -> None:
    for origins in (("*",), ("https://shop.example",)):
        async with client_of(make_app(cors_origins=origins)) as client:
            answer = await client.get("/profiles/nobody", headers={"origin": origin})
            assert "access-control-allow-credentials" not in answer.headers
            if origins == ("*",):
                assert answer.headers["access-control-allow-origin"] == "*"
            else:
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (origin if origin == "https://shop.example" else None)
                assert "origin" in answer.headers["vary"]


async def test_answers_are_not_kept_nor_guessed_at(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        for answer in (
            await client.post("/profiles", json={"events": [page()]}),
            await client.get("/profiles/nobody"),
        ):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-type"].startswith("application/json")


async def test_keys_that_mean_something_elsewhere_are_data(make_app: Callable[..., App]) -> None:
    keys = ["__proto__", "constructor", "__class__", "$where", "a.b", "", "\0", "<script>"]
    traits = {key: {"polluted": True} for key in keys}
    async with client_of(make_app()) as client:
        sent = identify()
        sent["traits"] = traits
        made = await client.post("/profiles", json={"events": [sent]})
        profile = made.json()["data"]["profile"]
        assert profile["traits"] == traits
        got = await client.get(f"/profiles/{profile['id']}")
        assert got.json()["data"]["profile"]["traits"] == traits


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("traceparent", "00-" + "0" * 500),
        ("content-type", "text/plain" + ";" * 8_000),
        ("x-forwarded-for", "1," * 4_000),
        ("accept-language", "de," * 4_000),
    ],
)
async def test_no_text_takes_long_to_read(
    make_app: Callable[..., App], header: str, value: str
) -> None:
    sent = page(url="https://" + "a" * 60_000, search="?" + "&" * 60_000)
    sent["context"] |= {"userAgent": "Mozilla/5.0 (" + "a;" * 30_000, "locale": "a-" * 30_000}
    sent["context"]["library"]["version"] = "3." * 30_000
    sent["timestamp"] = "2026-" * 10_000
    async with client_of(make_app()) as client:
        began = time.perf_counter()
        await client.post(
            "/profiles?locale=" + "x" * 60, json={"events": [sent]}, headers={header: value}
        )
        del sent["timestamp"]
        answer = await client.post("/profiles", json={"events": [sent]})
        assert answer.status_code == 200
        # Milliseconds are usual; whatever grows with the square takes minutes.
        assert time.perf_counter() - began < 5


def test_tokens_are_compared_in_constant_time() -> None:
    source = inspect.getsource(admin.is_bearer)
    assert "compare_digest" in source
    assert "==" not in source


def test_files_are_their_owners_alone(tmp_path: pathlib.Path) -> None:
    with served(tmp_path) as server:
        httpx.post(f"{server.api}/profiles", json={"events": [page()]})
        found = [path for path in tmp_path.iterdir() if path.name.startswith("profiles.db")]
        assert found
        for path in found:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_many_names_leave_nothing_behind(make_app: Callable[..., App]) -> None:
    """Organizations, environments and ids that visitors make up are not remembered."""
    app = make_app()
    async with client_of(app) as client:
        running = await app.start()
        for number in range(300):
            base = f"{BASE}/o{number}/environments/e{number}"
            event = {**page(), "anonymousId": f"a{number}"}
            body = {"events": [event]}
            assert (await client.post(f"{base}/profiles", json=body)).status_code == 404
            assert (await client.post(f"{base}/events", json=body)).status_code == 404
            assert (await client.post(f"{base}/import/events", json=body)).status_code == 200
            assert (await client.get(f"/profiles/nobody-{number}")).status_code == 404
        assert (await running.store.stats()).namespaces == ()
        assert len(app.catalog.entries()) == 2
        text = (await client.get("http://server/metrics")).text
        assert "o17" not in text
        assert "nobody-17" not in text
        assert SHOP.organization in text


async def test_deep_and_wide_json_is_refused(make_app: Callable[..., App]) -> None:
    deep: object = 1
    for _ in range(200):
        deep = {"a": deep}
    async with client_of(make_app()) as client:
        for traits in ({"deep": deep}, {"large": "x" * 300_000}):
            sent = identify()
            sent["traits"] = traits
            answer = await client.post("/profiles", json={"events": [sent]})
            assert answer.status_code == 400
            assert answer.json()["message"].startswith("events[0]")
        bomb = b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        answer = await client.post("/profiles", content=bomb)
        assert answer.status_code == 400
        json.loads(answer.content)

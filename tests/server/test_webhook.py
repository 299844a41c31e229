"""The webhook: who may ask for a look, and that asking often is not looking often."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Iterable

import pytest
from tests.server.conftest import client_of

from whichvariant import Namespace
from whichvariant.server import App
from whichvariant.server.webhook import is_signed
from whichvariant.sources.catalog import Catalog

SECRET = "0123456789abcdef" * 4
HOOK = "http://server/webhooks/contentful"
NOW = 1_793_534_400_000


class Counting:
    """A source that takes its time and counts how often it looked."""

    def __init__(self) -> None:
        self.looks = 0

    async def load(self, catalog: Catalog) -> None:
        pass

    async def run(self, catalog: Catalog) -> None:
        pass

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        self.looks += 1
        await asyncio.sleep(0.02)


async def test_only_with_a_secret(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        assert (await client.post(HOOK, json={})).status_code == 404
    async with client_of(make_app(webhook_secret=SECRET)) as client:
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": SECRET}):
            answer = await client.post(HOOK, json={}, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["data"] == {}
        for kind in ("application/json", "application/vnd.contentful.management.v1+json"):
            headers = {"authorization": f"Bearer {SECRET}", "content-type": kind}
            answer = await client.post(HOOK, content=b"{}", headers=headers)
            assert answer.status_code == 202
        large = await client.post(HOOK, content=b"x" * (3 << 20), headers=headers)
        assert large.status_code == 413
        assert (await client.get(HOOK)).status_code == 405


async def test_a_burst_is_few_looks(make_app: Callable[..., App]) -> None:
    app = make_app(webhook_secret=SECRET)
    counting = Counting()
    app._sources = (counting,)
    async with client_of(app) as client:
        headers = {"authorization": f"Bearer {SECRET}"}
        for _ in range(30):
            assert (await client.post(HOOK, json={}, headers=headers)).status_code == 202
        await asyncio.sleep(0.2)
        assert 1 <= counting.looks <= 4


def signed(secret: str, path: str, body: bytes, stamp: str = str(NOW)) -> dict[str, str]:
    """Headers as Contentful's documentation has them."""
    headers = {
        "x-contentful-timestamp": stamp,
        "x-contentful-topic": "ContentManagement.Entry.publish",
    }
    names = sorted([*headers, "x-contentful-signed-headers"])
    headers["x-contentful-signed-headers"] = ",".join(names)
    lines = ";".join(f"{name}:{headers[name]}" for name in names)
    text = f"POST\n{path}\n{lines}\n{body.decode()}".encode()
    signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return {**headers, "x-contentful-signature": signature}


def test_signatures() -> None:
    path, body = "/webhooks/contentful", '{"ä": 1}'.encode()
    good = signed(SECRET, path, body)

    def check(
        headers: dict[str, str], *, path: str = path, body: bytes = body, at: int = 0
    ) -> bool:
        return is_signed(SECRET, "POST", path, headers, body, NOW + at)

    assert check(good)
    assert check(good, at=29_000)
    assert not check(good, at=31_000)
    assert not check(good, at=-31_000)
    assert not check(good, path="/webhooks/other")
    assert not check(good, body=body + b" ")
    assert not check(signed(SECRET[::-1], path, body))
    for name in good:
        assert not check({**good, name: ""}), name
        assert not check({key: value for key, value in good.items() if key != name}), name
    assert not check({**good, "x-contentful-signed-headers": "x-contentful-timestamp"})
    assert not check({**good, "x-contentful-signature": "é"})


@pytest.mark.parametrize("stamp", ["", "-1", "1e3", "9" * 40, "NaN", "٣"])
def test_times_that_are_none(stamp: str) -> None:
    headers = signed(SECRET, "/", b"", stamp)
    assert not is_signed(SECRET, "POST", "/", headers, b"", NOW)

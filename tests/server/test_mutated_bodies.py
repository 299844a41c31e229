"""Ten thousand bodies that are nearly right: each is answered, none breaks anything."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from tests.server.conftest import SHOP, client_of
from tests.server.events import page
from tests.server.mutations import body, mutated
from tests.server.running import Served

from whichvariant.server import App

BODIES = int(os.environ.get("WHICHVARIANT_BODIES", "10000"))
SEEDS = 4
TARGETS = ["/profiles", "/profiles?type=preflight", "/profiles/{known}", "/events"]
TARGETS += ["/import/events", "/profiles/{known}?type=preflight&locale=de"]

# What each status may say; there is no other.
CODES = {
    400: {"ERR_INVALID_DATA"},
    404: {"ERR_PROFILE_NOT_FOUND"},
    413: {"ERR_INVALID_DATA"},
}


def check(answer: httpx.Response, sent: bytes) -> bool:
    """The envelope, with a documented code; whether the body was taken."""
    envelope = answer.json()
    assert set(envelope) == {"message", "data", "error"}, sent
    if answer.status_code == 200:
        assert envelope["error"] is None
        assert envelope["message"] == "ok"
        return True
    assert envelope["error"]["code"] in CODES.get(answer.status_code, ()), (answer.text, sent)
    assert envelope["data"] == {}
    if answer.status_code == 400:
        place, colon, reason = envelope["message"].partition(": ")
        assert colon, (envelope, sent)
        assert reason, (envelope, sent)
        assert place.startswith(("events", "options", "body")), (envelope, sent)
    return False


async def test_what_is_sent_is_valid_before_it_is_changed(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        known = (await client.post("/profiles", json={"events": [page()]})).json()
        for target in TARGETS:
            path = target.format(known=known["data"]["profile"]["id"])
            answer = await client.post(path, json=body())
            assert answer.status_code == 200, (target, answer.text)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_mutated_bodies(make_app: Callable[..., App], seed: int) -> None:
    generator = random.Random(seed)
    app = make_app()
    taken: Counter[bool] = Counter()
    async with client_of(app) as client:
        running = await app.start()
        made = (await client.post("/profiles", json={"events": [page()]})).json()
        known = made["data"]["profile"]["id"]
        for _ in range(BODIES // SEEDS):
            sent = mutated(generator)
            path = generator.choice(TARGETS).format(known=known)
            before = await running.store.find(SHOP, known)
            answer = await client.post(path, content=sent)
            good = check(answer, sent)
            taken[good] += 1
            if not good or "preflight" in path:
                assert await running.store.find(SHOP, known) == before, sent
    # Were all taken, or none, it would say little.
    assert taken[False] > 0.3 * sum(taken.values())
    assert taken[True] > 0.05 * sum(taken.values())


def test_mutated_bodies_through_a_socket(server: Served) -> None:
    generator = random.Random("socket")
    with httpx.Client(timeout=30) as client:
        made = client.post(f"{server.api}/profiles", json={"events": [page()]}).json()
        known = made["data"]["profile"]["id"]
        for _ in range(BODIES // 10):
            sent = mutated(generator)
            path = generator.choice(TARGETS).format(known=known)
            check(client.post(server.api + path, content=sent), sent)
        assert client.get(f"{server.url}/healthz").status_code == 200
        kept = client.get(f"{server.api}/profiles/{known}")
        assert kept.status_code == 200
        json.dumps(kept.json(), allow_nan=False)
    assert "Traceback" not in server.log.read_text()

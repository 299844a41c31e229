"""Killed under load: what was acknowledged is there afterwards, and asynchronous batches once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
from typing import Any

import httpx
from tests.server import raw
from tests.server.events import event, identify
from tests.server.running import Served, served

ROUNDS = int(os.environ.get("WHICHVARIANT_ROUNDS", "6"))
CLIENTS = 8
TOKEN = "a-token-of-operators-that-nobody-guesses"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ENOUGH = 40
"""Acknowledgements of either kind in a round."""
_DRAIN_S = 60
_BUSY_S = 60


class Ledger:
    """What the server was asked for, and what it acknowledged."""

    def __init__(self) -> None:
        self.traits: dict[str, dict[str, Any]] = {}
        """Acknowledged traits by profile id."""
        self.deleted: set[str] = set()
        self.sent: dict[str, set[str]] = {}
        """Names of events of asynchronous batches by visitor, acknowledged or not."""
        self.accepted: dict[str, set[str]] = {}
        """Those that were acknowledged."""

    @property
    def acknowledged(self) -> int:
        """Traits and asynchronous batches that were acknowledged."""
        traits = sum(map(len, self.traits.values()))
        return min(traits, sum(map(len, self.accepted.values())))


async def client_task(server: Served, ledger: Ledger, name: str, generator: random.Random) -> None:
    """One client that goes on until its server is gone."""
    mine: list[str] = []
    async with httpx.AsyncClient(base_url=server.api, timeout=20) as client:
        number = 0
        while True:
            number += 1
            what = generator.random()
            tag = f"{name}-{number}"
            try:
                if what < 0.25 or not mine:
                    body = {"events": [identify(**{tag: number})]}
                    answer = await client.post("/profiles", json=body)
                    profile = answer.raise_for_status().json()["data"]["profile"]
                    ledger.traits[profile["id"]] = {tag: number}
                    mine.append(profile["id"])
                elif what < 0.6:
                    key = generator.choice(mine)
                    body = {"events": [identify(**{tag: number})]}
                    answer = await client.post(f"/profiles/{key}", json=body)
                    answer.raise_for_status()
                    ledger.traits[key][tag] = number
                elif what < 0.75:
                    keys = [f"batch-{name}-{generator.randrange(5)}" for _ in range(3)]
                    events = [{**identify(**{tag: number}), "anonymousId": key} for key in keys]
                    (await client.post("/events", json={"events": events})).raise_for_status()
                    for key in keys:
                        ledger.traits.setdefault(key, {})[tag] = number
                elif what < 0.97:
                    visitor = f"import-{generator.randrange(20)}"
                    track = event("track", event=tag, properties={})
                    ledger.sent.setdefault(visitor, set()).add(tag)
                    body = {"events": [{**track, "anonymousId": visitor}]}
                    (await client.post("/import/events", json=body)).raise_for_status()
                    ledger.accepted.setdefault(visitor, set()).add(tag)
                else:
                    # Whether it is gone is not known until the answer is there.
                    key = mine.pop(generator.randrange(len(mine)))
                    traits = ledger.traits.pop(key)
                    (await client.delete(f"/profiles/{key}")).raise_for_status()
                    ledger.deleted.add(key)
                    del traits
            except httpx.TransportError:
                return


async def load_until_killed(server: Served, ledger: Ledger, seed: int) -> None:
    """Clients at work, and a SIGKILL at a random moment."""
    generator = random.Random(seed)
    tasks = [
        asyncio.create_task(
            client_task(server, ledger, f"r{seed}c{number}", random.Random(f"{seed}/{number}"))
        )
        for number in range(CLIENTS)
    ]
    # However busy the machine is: enough has been acknowledged, and then some moment.
    before = ledger.acknowledged
    for _ in range(20 * _BUSY_S):
        if ledger.acknowledged >= before + ENOUGH:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(generator.random() / 2)
    await asyncio.to_thread(server.kill)
    await asyncio.gather(*tasks)


def check(server: Served, ledger: Ledger) -> None:
    """Everything that was acknowledged is there; batches were applied once."""
    with httpx.Client(timeout=20) as client:
        until = time.monotonic() + _DRAIN_S
        while client.get(f"{server.url}/admin/inbox", headers=BEARER).json()["data"]["waiting"]:
            assert time.monotonic() < until, "the inbox is not worked off"
            time.sleep(0.05)
        inbox = client.get(f"{server.url}/admin/inbox", headers=BEARER).json()["data"]
        assert inbox["rejectedCount"] == 0
        for key, traits in ledger.traits.items():
            answer = client.get(f"{server.api}/profiles/{key}")
            assert answer.status_code == 200, (key, answer.text)
            found = answer.json()["data"]["profile"]["traits"]
            assert traits.items() <= found.items(), key
        for key in ledger.deleted:
            assert client.get(f"{server.api}/profiles/{key}").status_code == 404
        for visitor, accepted in ledger.accepted.items():
            path = f"{server.url}/admin/profiles/default/main/{visitor}"
            found = client.get(path, headers=BEARER).json()["data"]
            # The history has an event for each time that one was applied.
            count = found["history"]["events"]
            assert len(accepted) <= count <= len(ledger.sent[visitor]), visitor


def test_killed_under_load(tmp_path: pathlib.Path) -> None:
    ledger = Ledger()
    env = {"WHICHVARIANT_ADMIN_TOKEN": TOKEN}
    for number in range(ROUNDS):
        workers = ("--workers", str(1 + number % 2))
        with served(tmp_path, *workers, env=env) as server:
            check(server, ledger)
            asyncio.run(load_until_killed(server, ledger, number))
    with served(tmp_path, env=env) as server:
        check(server, ledger)
    assert ledger.acknowledged > 20 * ROUNDS
    store = ["--store", str(tmp_path / "profiles.db")]
    done = subprocess.run(
        [sys.executable, "-m", "whichvariant", "profiles", "verify", *store],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ended_under_load(tmp_path: pathlib.Path) -> None:
    """SIGTERM: whoever has asked is answered, and what was accepted is kept."""
    count = 24
    with served(tmp_path) as server, contextlib.ExitStack() as open_clients:
        clients = [open_clients.enter_context(raw.Client(server.port, 60)) for _ in range(count)]
        for client in clients:
            # What has not been accepted yet may be refused.
            assert client.ask(raw.request("GET", f"{raw.API}/profiles/nobody")).status == 404
        for number, client in enumerate(clients):
            body = json.dumps({"events": [identify(n=number)] * 5}).encode()
            client.send(raw.request("POST", f"{raw.API}/profiles", body=body))
        server.process.terminate()
        answers = [client.answer() for client in clients]
        assert [answer.status for answer in answers] == [200] * count
        assert server.stop() == 0
    with served(tmp_path) as server:
        for number, answer in enumerate(answers):
            key = answer.data["profile"]["id"]
            kept = httpx.get(f"{server.api}/profiles/{key}").json()["data"]["profile"]
            assert kept["traits"] == {"n": number}

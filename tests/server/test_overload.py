"""Ten times the load that a server can bear: it refuses what is too much, and stays itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pathlib
import random
import sys
import time
from collections.abc import Callable

import httpx
from tests.server.events import identify, page
from tests.server.offering import Offered, offer
from tests.server.raw import API, memory_kib, request
from tests.server.running import Served, served

SECONDS = float(os.environ.get("WHICHVARIANT_OVERLOAD_S", "8"))
TIMES = 10
CONNECTIONS = 600
"""More than ``max_requests`` (256), so that there can be too many at once."""

_PROFILES = 200
_A_BATCH = 20
_NUMBER = b"{number}"
# What is at work at once takes its room (256 batches of 40 events); time must not add to it.
_GROWTH_KIB = 320 << 10
_SLACK_KIB = 48 << 10
# Not how fast it is, which is for benchmarks: whether anybody waits without end.
_LONGEST_S = 15.0


def batches(count: int) -> Callable[[int], bytes]:
    """Requests that take a while: batches of events for many profiles.

    No two are the same: what the server has seen before costs it next to nothing.
    """
    generator = random.Random(7)
    made = []
    for _ in range(count):
        names = [f"visitor-{generator.randrange(_PROFILES)}" for _ in range(_A_BATCH)]
        events = [{**page(), "anonymousId": name} for name in names]
        events += [{**identify(n=generator.random()), "anonymousId": name} for name in names]
        for index, event in enumerate(events):
            event["messageId"] = f"{_NUMBER.decode()}-{index}"
        body = json.dumps({"events": events}).encode()
        made.append(request("POST", f"{API}/events", body=body))
    begun = itertools.count()

    def one(_: int) -> bytes:
        number = next(begun)
        return made[number % count].replace(_NUMBER, b"%0*d" % (len(_NUMBER), number))

    return one


class Watched:
    """The server's memory and its health, looked at again and again from another connection."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self.kib: list[int] = []
        self.slowest_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(base_url=self._server.url, timeout=_LONGEST_S) as client:
            while True:
                begun = time.monotonic()
                (await client.get("/healthz")).raise_for_status()
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                self.kib.append(memory_kib(self._server.process.pid))
                await asyncio.sleep(0.2)


def described(name: str, offered: Offered) -> str:
    """Figures for whoever runs this with ``-s``."""
    statuses = ", ".join(f"{status}: {n}" for status, n in sorted(offered.statuses.items()))
    return (
        f"{name}: {offered.rate:,.0f} a second done; {statuses}; {offered.unsent} not sent;"
        f" done in {offered.latency_s(0.5, 200):.2f} s, 99 % {offered.latency_s(0.99, 200):.2f} s;"
        f" refused in {offered.latency_s(0.5, 429, 503):.3f} s,"
        f" 99 % {offered.latency_s(0.99, 429, 503):.3f} s"
    )


def test_ten_times_the_load(tmp_path: pathlib.Path) -> None:
    one = batches(512)

    async def overload(server: Served) -> tuple[Offered, Offered, Watched, Offered]:
        bearable = await offer(server.port, one, seconds=3, connections=8)
        watched = Watched(server)
        watching = asyncio.create_task(watched.run())
        heavy = await offer(
            server.port,
            one,
            seconds=SECONDS,
            connections=CONNECTIONS,
            rate=TIMES * bearable.rate,
        )
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        after = await offer(server.port, one, seconds=1.5, connections=8)
        return bearable, heavy, watched, after

    with served(tmp_path) as server:
        asyncio.run(offer(server.port, one, seconds=1, connections=8))
        before_kib = memory_kib(server.process.pid)
        bearable, heavy, watched, after = asyncio.run(overload(server))
        half = len(watched.kib) // 2
        early_kib, late_kib = max(watched.kib[:half]), max(watched.kib[half:])
        loads = {"bearable": bearable, "ten times": heavy, "afterwards": after}
        sys.stdout.write("\n".join(["", *(described(*load) for load in loads.items()), ""]))
        sys.stdout.write(
            f"memory {before_kib >> 10} MiB, then at most {early_kib >> 10} and"
            f" {late_kib >> 10} MiB in the first and the second half;"
            f" /healthz within {watched.slowest_s:.2f} s\n"
        )

    assert set(bearable.statuses) == {200}
    lost = [one for one in heavy.outcomes if one.status == 0]
    assert not lost, (len(lost), lost[:5])
    # It goes on working, refuses the rest in so many words, and loses nobody.
    assert set(heavy.statuses) <= {200, 429, 503}
    assert heavy.statuses[200] > 0
    assert heavy.statuses[503] + heavy.statuses[429] > 0
    assert all(one.come_back for one in heavy.outcomes if one.status != 200)
    assert heavy.latency_s(1.0, 200, 429, 503) < _LONGEST_S
    assert late_kib < early_kib + _SLACK_KIB
    assert max(early_kib, late_kib) < before_kib + _GROWTH_KIB
    # And then everything is as before.
    assert set(after.statuses) == {200}


def test_everybody_wants_the_same_profile(tmp_path: pathlib.Path) -> None:
    """ERR_PROFILE_OVERLOAD: what was refused was not applied, what was acknowledged was, once."""
    with served(tmp_path, "--waiting-per-profile", "4") as server:
        created = httpx.post(f"{server.api}/profiles", json={"events": [page()]}).json()
        key = created["data"]["profile"]["id"]

        async def update(client: httpx.AsyncClient, number: int) -> tuple[int, httpx.Response]:
            body = {"events": [identify(**{f"n{number}": number})]}
            return number, await client.post(f"/profiles/{key}", json=body)

        async def all_at_once() -> list[tuple[int, httpx.Response]]:
            limits = httpx.Limits(max_connections=200)
            async with httpx.AsyncClient(
                base_url=server.api, timeout=_LONGEST_S, limits=limits
            ) as client:
                return await asyncio.gather(*(update(client, number) for number in range(200)))

        answers = asyncio.run(all_at_once())
        refused = [answer for _, answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            assert answer.status_code == 429
            assert answer.json()["error"] == {"code": "ERR_PROFILE_OVERLOAD"}
            assert int(answer.headers["retry-after"]) >= 1
        stored = httpx.get(f"{server.api}/profiles/{key}").json()["data"]["profile"]["traits"]
        assert stored == {
            f"n{number}": number for number, answer in answers if answer.status_code == 200
        }

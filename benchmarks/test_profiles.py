"""Events into profiles: aggregation beside decoding, and the service beside its own store.

Aggregation is measured in processor time. The service is measured by the wall clock, because what
it waits for, the disk, is what it is about; its rates are ratios to the raw store's in the same
pass, with the same bytes a write.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import multiprocessing
import os
import pathlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import profile_rows, report
from benchmarks.conftest import CLOCK, cached_workload
from whichvariant import Engine, Namespace, ProfileSettings
from whichvariant.profiles.aggregate import aggregate
from whichvariant.profiles.answer import answer_for
from whichvariant.profiles.api_profile import state_of
from whichvariant.profiles.events import AnyEvent, read_events
from whichvariant.service import ProfileService
from whichvariant.store import EmbeddedStore, HistoryRow, Put, Transaction

NOW = 1_793_534_400_000
NAMESPACE = Namespace("bench", "main")
CALLERS = 32
PROFILES = 1_024
SECONDS = 1.0

SETTINGS = ProfileSettings()


class _Body(msgspec.Struct):
    events: list[AnyEvent]


def page_event(number: int) -> dict[str, Any]:
    """A page view as the vendor's browser SDK sends it, about 1.2 KB of JSON."""
    url = f"https://shop.example/products/{number % 977}?utm_campaign=autumn&utm_content=hero"
    page = {
        "path": f"/products/{number % 977}",
        "query": {"utm_campaign": "autumn", "utm_content": "hero"},
        "referrer": "https://search.example/",
        "search": "?utm_campaign=autumn&utm_content=hero",
        "url": url,
    }
    at = f"2026-11-01T{number // 3600 % 12:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return {
        "channel": "web",
        "context": {
            "library": {"name": "Ninetailed React Analytics SDK", "version": "7.26.0"},
            "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
            "(KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
            "campaign": {"name": "autumn", "content": "hero"},
            "locale": "en-US",
            "page": page,
            "gdpr": {"isConsentGiven": True},
        },
        "messageId": f"58f358f2-a858-41ed-afa1-{number:012x}",
        "originalTimestamp": at,
        "timestamp": at,
        "sentAt": at,
        "type": "page",
        "properties": {**page, "title": "Sample Page", "width": 1419, "height": 1226},
    }


@functools.cache
def engine() -> Engine:
    """The engine of W1."""
    return Engine.from_dict(cached_workload("W1").document)


# ---- aggregation ----------------------------------------------------------------------------


def decode(body: bytes) -> _Body:
    """What any server has to do with a body: decode it and check its types."""
    return _DECODER.decode(body)


_DECODER = msgspec.json.Decoder(_Body)


def aggregate_and_select(request: tuple[Any, list[Any]]) -> Any:
    """From decoded JSON to the answer: check, order, apply, select."""
    state, events = request
    step = aggregate(state, read_events(events, NOW), NOW, engine(), SETTINGS)
    return answer_for(step.state, engine(), SETTINGS, NOW, "en")


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("row", [profile_rows.DECODE, profile_rows.AGGREGATE])
@pytest.mark.parametrize("events", [1, 50])
@pytest.mark.parametrize("number", range(report.PASSES))
def test_aggregate(time_each: Callable[..., None], number: int, events: int, row: str) -> None:
    """One request of page events for a visitor of W1, with W1's configuration."""
    states = [state_of(profile, NOW) for profile in cached_workload("W1").profiles[:200]]
    requests = [
        [page_event(visitor * events + k) for k in range(events)] for visitor in range(len(states))
    ]
    group = profile_rows.AGGREGATION.format(events)
    if row == profile_rows.DECODE:
        bodies = [msgspec.json.encode({"events": request}) for request in requests]
        assert len(decode(bodies[0]).events) == events
        time_each(group, row, decode, bodies)
    else:
        inputs = list(zip(states, requests, strict=True))
        answer = aggregate_and_select(inputs[0])
        assert answer.profile["session"]["landingPage"]["url"].startswith("https://")
        assert answer.experiences
        time_each(group, row, aggregate_and_select, inputs)


# ---- the service ----------------------------------------------------------------------------


async def rate(seconds: float, callers: int, call: Callable[[int], Awaitable[Any]]) -> float:
    """Calls a second, by so many callers at once; each goes on as soon as it is answered."""
    numbers = itertools.count()
    stop = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while True:
            await call(next(numbers))
            done += 1
            if time.perf_counter() >= stop:
                return

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - started)


async def filled(service: ProfileService) -> list[str]:
    """Profiles with W1's traits and a few events each; their ids."""
    profiles = cached_workload("W1").profiles

    async def make(number: int) -> str:
        identify = {
            **page_event(number),
            "messageId": f"identify-{number}",
            "type": "identify",
            "userId": "",
            "traits": profiles[number % len(profiles)]["traits"],
        }
        answer = await service.create(NAMESPACE, [identify, page_event(10**6 + number)])
        return str(answer.profile["id"])

    made: list[str] = []
    for first in range(0, PROFILES, CALLERS):
        made += await asyncio.gather(*(make(first + k) for k in range(CALLERS)))
    return made


async def measured(path: pathlib.Path, seconds: float, first: int) -> dict[str, float]:
    """Rates of one process, in calls a second."""
    async with EmbeddedStore.open(path) as store:
        service = ProfileService(store, {NAMESPACE: engine()})
        ids = await filled(service)
        found = await store.find(NAMESPACE, ids[0])
        rows = await store.history(NAMESPACE, ids[0])
        record = os.urandom(len(found.record))  # type: ignore[union-attr]
        row = os.urandom(len(rows[-1].data) // 2)
        raw = Namespace("raw", str(first))
        # Ids of the same kind, because where they lie decides how many pages a group touches.
        versions = dict.fromkeys((profile_id[::-1] for profile_id in ids), 0)
        keys = list(versions)

        async def write(number: int) -> None:
            key = keys[number % PROFILES]
            versions[key] += 1
            history = (HistoryRow(versions[key], row),)
            put = Put(key, record, versions[key] - 1, NOW, history)
            await store.commit(Transaction(raw, (put,)))

        async def update(number: int) -> None:
            await service.update(NAMESPACE, ids[number % PROFILES], [page_event(first + number)])

        async def preflight(number: int) -> None:
            event = page_event(first + 10**9 + number)
            await service.update(NAMESPACE, ids[number % PROFILES], [event], preflight=True)

        async def get(number: int) -> None:
            await service.get(NAMESPACE, ids[number % PROFILES])

        rates = {}
        for name, call in (
            (profile_rows.RAW_STORE, write),
            (profile_rows.UPDATE, update),
            (profile_rows.PREFLIGHT, preflight),
            (profile_rows.GET, get),
        ):
            rates[name] = await rate(seconds, CALLERS, call)
        return rates


def _other(path: str, seconds: float, first: int, pipe: Any) -> None:
    pipe.send(asyncio.run(measured(pathlib.Path(path), seconds, first)))


@pytest.mark.parametrize("number", range(report.PASSES))
def test_service(
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    tmp_path: pathlib.Path,
    number: int,
) -> None:
    """Durable updates, preflights and reads by 32 callers, and the raw store's writes."""
    seconds = SECONDS if benchmark.enabled else 0.01
    rates: dict[str, float] = {}

    def run() -> None:
        rates.update(asyncio.run(measured(tmp_path / "profiles.db", seconds, 2 * 10**9)))

    benchmark.pedantic(run, rounds=1)
    assert all(value > 0 for value in rates.values())
    if benchmark.enabled:
        for name, value in rates.items():
            record(profile_rows.SERVICE, name, 1 / value)


@pytest.mark.parametrize("number", range(3))
def test_two_processes(
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    tmp_path: pathlib.Path,
    number: int,
) -> None:
    """The same by two processes at once on one file; rates are summed."""
    seconds = SECONDS if benchmark.enabled else 0.01
    path = tmp_path / "profiles.db"
    context = multiprocessing.get_context("spawn")
    rates: list[dict[str, float]] = []

    def run() -> None:
        ends = []
        for process in range(2):
            mine, other = context.Pipe(duplex=False)
            first = (3 + process) * 10**9
            worker = context.Process(target=_other, args=(str(path), seconds, first, other))
            worker.start()
            ends.append((worker, mine))
        for worker, mine in ends:
            rates.append(mine.recv())
            worker.join()

    benchmark.pedantic(run, rounds=1)
    assert len(rates) == 2
    if benchmark.enabled:
        for name in (profile_rows.RAW_STORE, profile_rows.UPDATE):
            record(profile_rows.TWO, name, 1 / sum(one[name] for one in rates))

"""The process that `test_crash` kills: a service and its inbox under load, saying what is done."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from whichvariant import Engine, Namespace, ProfileSettings
from whichvariant.service import ProfileService
from whichvariant.service.inbox import Inbox
from whichvariant.service.settings import ServiceSettings
from whichvariant.store.opening import open_store

SPACE = Namespace("crash", "main")
BATCHES = 5
VISITORS = 6
# So that the history says everything that ever happened.
ALL_KEPT = ProfileSettings(history_events=100_000, history_size=1 << 30)

DOCUMENT = {
    "audiences": [
        {
            "nt_audience_id": "buyers",
            "nt_name": "Buyers",
            "nt_rules": {
                "any": [{"all": [{"type": "track", "value": "buy", "operator": "gte", "count": 1}]}]
            },
        }
    ],
    "experiences": [],
}


def engine() -> Engine:
    """Counts the purchases."""
    return Engine.from_dict(DOCUMENT)


def purchase(message: str, **more: Any) -> dict[str, Any]:
    """An event that the engine counts."""
    return {
        "type": "track",
        "event": "buy",
        "channel": "server",
        "context": {"library": {"name": "tests", "version": "4.0.0"}},
        "messageId": message,
        "properties": {},
        **more,
    }


async def work(name: str, run: int, said: Any) -> None:
    """Update, merge and accept batches until somebody ends it."""
    numbers = itertools.count()
    settings = ServiceSettings(profiles=ALL_KEPT, lease_ms=50)
    async with await open_store(name) as store:
        service = ProfileService(store, {SPACE: engine()}, settings)
        inbox = Inbox(service, f"run {run}")
        said.send(("ready", ""))

        async def visitor(number: int) -> None:
            while True:
                message = f"{run}-{next(numbers)}"
                key = f"visitor-{number}"
                event = purchase(message, anonymousId=key)
                if next(numbers) % 7 == 0:
                    event |= {"type": "identify", "userId": f"user-{number % 3}", "traits": {}}
                await service.upsert(SPACE, [event, purchase(f"{message}-b", anonymousId=key)])
                said.send(("updated", message))

        async def sender(number: int) -> None:
            while True:
                message = f"{run}-{next(numbers)}"
                await inbox.accept(
                    SPACE,
                    [
                        purchase(f"{message}-{k}", anonymousId=f"batch-{(number + k) % BATCHES}")
                        for k in range(3)
                    ],
                )
                said.send(("accepted", message))
                await asyncio.sleep(0.001)

        await asyncio.gather(
            inbox.run(asyncio.Event(), idle_s=0.01),
            *(visitor(number) for number in range(VISITORS)),
            *(sender(number) for number in range(2)),
        )


def run_service(name: str, run: int, said: Any) -> None:
    """The process's target."""
    asyncio.run(work(name, run, said))

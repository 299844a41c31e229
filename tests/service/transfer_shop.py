"""A shop whose visitors did all sorts of things, and what the tests of transfers ask of stores."""

from __future__ import annotations

import io
from typing import Any

import orjson

from whichvariant import Engine, Namespace
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.service import Options, ProfileService, ServiceSettings
from whichvariant.service.transfer import (
    export_profiles,
)
from whichvariant.store import ProfileStore

SHOP = Namespace("shop", "main")
OTHER = Namespace("shop", "staging")
DAY = 86_400_000
START = 1_790_000_000_000


def rules(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"any": [{"all": conditions}]}


def page_rule(count: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "page",
        "operator": "greaterThanInclusive",
        "count": count,
        "conditions": [
            {"key": {"id": "context_page_path"}, "operator": "startsWith", "value": "/blog"}
        ],
        **more,
    }


def experience(name: str, audience: str | None, **config: Any) -> dict[str, Any]:
    return {
        "nt_experience_id": name,
        "nt_name": name,
        "nt_type": "nt_experiment",
        "nt_audience": audience,
        "nt_config": {
            "traffic": 1,
            "distribution": [0.4, 0.6],
            "components": [
                {
                    "type": "EntryReplacement",
                    "baseline": {"id": f"{name}-0"},
                    "variants": [{"id": f"{name}-1"}],
                }
            ],
            **config,
        },
    }


ENGINE = Engine.from_dict(
    {
        "format": "whichvariant/1",
        "audiences": [
            {"nt_audience_id": "readers", "nt_name": "R", "nt_rules": rules([page_rule(2)])},
            {
                "nt_audience_id": "lately",
                "nt_name": "L",
                "nt_rules": rules([page_rule(1, within={"days": 7})]),
            },
        ],
        "experiences": [
            experience("hero", None, sticky=True),
            experience("banner", "readers"),
            experience("box", "lately"),
        ],
        "mergetags": [],
    }
)


def event(kind: str, message: str, at_ms: int | None = None, **more: Any) -> dict[str, Any]:
    """An event with all that it must have; a page event is of a blog."""
    page = {"path": "/blog", "query": {}, "referrer": "", "search": "", "url": "http://x/blog"}
    made: dict[str, Any] = {
        "type": kind,
        "channel": "web",
        "messageId": message,
        "context": {"library": {"name": "test", "version": "3.14.0"}, "page": page},
    }
    if at_ms is not None:
        made["timestamp"] = at_ms
    if kind == "page":
        made["properties"] = page
    return {**made, **more}


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> int:
        return self.ms


class Shop:
    """A service on a store, with visitors who did all sorts of things."""

    def __init__(self, store: ProfileStore, history_events: int = 1000) -> None:
        self.store = store
        self.clock = Clock()
        self._bytes = 0
        self.service = ProfileService(
            store,
            {SHOP: ENGINE, OTHER: ENGINE},
            ServiceSettings(profiles=ProfileSettings(history_events=history_events)),
            now_ms=self.clock,
            random_bytes=self._random,
        )

    def _random(self, count: int) -> bytes:
        self._bytes += 1
        return self._bytes.to_bytes(count, "little")

    async def fill(self) -> dict[str, str]:
        """Ids of the visitors by what happened to them."""
        service, clock = self.service, self.clock
        ids: dict[str, str] = {}
        iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Mobile/15E148"
        reader = event("page", "r0")
        reader["context"]["userAgent"] = iphone
        answer = await service.create(SHOP, [reader], Options(location={"city": "Berlin"}))
        ids["reader"] = answer.profile["id"]
        for number in range(1, 30):
            clock.ms += DAY // 24
            await service.update(SHOP, ids["reader"], [event("page", f"r{number}")])
        seen = event("component", "c1", componentId="x", experienceId="hero", variantIndex=1)
        await service.update(SHOP, ids["reader"], [seen])
        known = event("identify", "i1", traits={"name": "Ada", "n": [1, {"a": None}]}, userId="ada")
        ids["known"] = (await service.create(SHOP, [known])).profile["id"]
        clock.ms += DAY
        ids["merged"] = (await service.create(SHOP, [event("page", "m1")])).profile["id"]
        again = event("identify", "i2", traits={"plan": "pro"}, userId="ada")
        await service.update(SHOP, ids["merged"], [again])
        ids["gone"] = (await service.create(SHOP, [event("page", "g1")])).profile["id"]
        await service.delete(SHOP, ids["gone"])
        clock.ms += DAY
        ids["other"] = (await service.create(OTHER, [event("page", "o1")])).profile["id"]
        return ids


async def dump(store: ProfileStore, *, versions: bool = False) -> list[Any]:
    """All that a store has of profiles; without versions, which count writes."""
    everything: list[Any] = []
    for where, row in await store.scan(None, None, 10_000):
        kept = row if versions else row._replace(version=0)
        everything.append((where, kept, await store.history(where, row.id)))
    everything += await store.scan_names(None, None, 10_000)
    return everything


async def exported(store: ProfileStore, namespace: Namespace | None = None, **more: Any) -> bytes:
    parts: list[bytes] = []
    await export_profiles(store, namespace, parts.append, START, **more)
    return b"".join(parts)


async def lines(store: ProfileStore, namespace: Namespace | None = None, **more: Any) -> list[Any]:
    return [orjson.loads(line) for line in (await exported(store, namespace, **more)).splitlines()]


class Reports(list[tuple[str, str]]):
    """What was reported."""

    def __call__(self, place: str, reason: str) -> None:
        self.append((place, reason))


def stream_of(*values: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(orjson.dumps(value) + b"\n" for value in values))


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, limit: int = -1) -> bytes:
        return self._data.read(limit)

    def readline(self, limit: int | None = -1) -> bytes:
        return self._data.readline(-1 if limit is None else limit)


def profile(identifier: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "stableId": identifier, **more}

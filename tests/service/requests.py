"""A service with a clock that the test sets, and short ways to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiles.samples import NOW, engine_of, tracked, views
from whichvariant import Engine, Namespace
from whichvariant.errors import ServiceError
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.service import ProfileService, ServiceSettings
from whichvariant.store import ProfileRow, ProfileStore

Json = Any

HERE = Namespace("acme", "main")
THERE = Namespace("acme", "preview")
NOWHERE = Namespace("nobody", "main")

# How often a page was viewed, as audiences "1" to "9" and on in powers of two.
OFTEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 32, 64, 128, 256, 512]
ENGINE = engine_of(
    {f"views-{count}": views(count) for count in OFTEN} | {"bought": tracked("buy", 1)},
    {"e1": 1, "e2": 3},
)


class Clock:
    """Milliseconds, as the test says."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def serve(
    store: ProfileStore,
    clock: Clock | None = None,
    *,
    engines: Mapping[Namespace, Engine] | None = None,
    history: int = 1_000,
    **limits: Json,
) -> ProfileService:
    profiles = ProfileSettings(history_events=history)
    return ProfileService(
        store,
        engines or {HERE: ENGINE, THERE: ENGINE},
        ServiceSettings(profiles=profiles, **limits),
        now_ms=clock or Clock(),
    )


def viewed(profile: Mapping[str, Json]) -> int:
    """The most page views that a profile's audiences tell."""
    told = [int(name.split("-")[1]) for name in profile["audiences"] if name.startswith("views")]
    return max(told, default=0)


async def refusal(coroutine: Any) -> str:
    """The name of the error that a request is answered with."""
    try:
        await coroutine
    except ServiceError as error:
        return type(error).__name__
    return "none"


async def leads_to(store: ProfileStore, key: str) -> str | None:
    """The id of the profile that a key leads to."""
    found = await store.find(HERE, key)
    return found.id if isinstance(found, ProfileRow) else None

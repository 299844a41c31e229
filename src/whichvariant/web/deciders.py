"""What decides for a page: an engine in this process, or profiles that are kept in it.

Anything with their method `preflight` will do as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import ProfileNotFound
from whichvariant.profiles.answer import Answer
from whichvariant.profiles.identity import is_own_id
from whichvariant.service import Options, ProfileService

Events = Sequence[Mapping[str, Any]]


class Decider(Protocol):
    """Decides for a visitor and their events, and stores nothing.

    May be a coroutine function; then the middleware awaits it before the view runs.
    """

    def preflight(
        self, events: Events, *, profile_id: str | None = None, locale: str = "en"
    ) -> Answer | Awaitable[Answer]:
        """What a visitor gets; ``profile_id`` is None for one who is new."""
        ...


class EngineDecider:
    """An engine, and of the visitor nothing but their id: no network, no store, microseconds.

    A profile is made of the cookie's id and the page view: its device, its address, where it came
    from. Rules that need a past (traits, visits, earlier events) see a first visit. The id serves
    as `stableId`, so the same visitor draws the same variants as everywhere else, unless two
    profiles of theirs became one.

    Parameters
    ----------
    engine
        The engine, or a function that gives the one of the moment.
    new_id
        Makes the id of a new visitor, by default 64 random hexadecimal digits. A server of profiles
        only takes ids that it made itself (docs/rendering.md#who-makes-the-id).
    """

    def __init__(
        self, engine: Engine | Callable[[], Engine], *, new_id: Callable[[], str] | None = None
    ) -> None:
        self._engine = engine
        self._new_id = new_id

    def preflight(
        self, events: Events, *, profile_id: str | None = None, locale: str = "en"
    ) -> Answer:
        """Decide at once."""
        engine = self._engine if isinstance(self._engine, Engine) else self._engine()
        if profile_id is None and self._new_id is not None:
            profile_id = self._new_id()
        profile = None if profile_id is None else {"id": profile_id, "stableId": profile_id}
        return engine.preflight(profile, events, locale=locale)


class ServiceDecider:
    """Stored profiles in this process; needs an event loop, so ASGI.

    A cookie is taken for a profile's id only. An alias, such as a customer's number, is easy to
    guess, and whoever sent one would be shown another visitor's page; it counts as no cookie.
    """

    checks_ids = True
    """An answer of another id than the cookie's is of a profile that became one with it."""

    def __init__(self, service: ProfileService, namespace: Namespace) -> None:
        self._service = service
        self._namespace = namespace

    async def preflight(
        self, events: Events, *, profile_id: str | None = None, locale: str = "en"
    ) -> Answer:
        """Decide for the stored profile, or for a new one, and store nothing."""
        return await self._answer(events, profile_id, locale, preflight=True)

    async def record(
        self, events: Events, *, profile_id: str | None = None, locale: str = "en"
    ) -> Answer:
        """The same, and keep what happened."""
        return await self._answer(events, profile_id, locale, preflight=False)

    async def _answer(
        self, events: Events, profile_id: str | None, locale: str, *, preflight: bool
    ) -> Answer:
        options = Options(locale=locale)
        service, namespace = self._service, self._namespace
        if profile_id is not None and await self._is_id(profile_id):
            try:
                return await service.update(
                    namespace, profile_id, events, options, preflight=preflight
                )
            except ProfileNotFound:
                pass  # deleted, perhaps this moment: whoever comes with it is new
        return await service.create(namespace, events, options, preflight=preflight)

    async def _is_id(self, text: str) -> bool:
        if is_own_id(self._namespace, self._service.store.secret, text):
            return True
        try:
            answer = await self._service.get(self._namespace, text)
        except ProfileNotFound:
            return False
        return bool(answer.profile["id"] == text)

"""Preflights that are decided here, by the API, or by whichever can (docs/client.md#preflight)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, Self, TypeAlias, TypedDict, TypeVar, Unpack

from whichvariant import clock
from whichvariant.client.answers import ProfileAnswer
from whichvariant.client.asynchronous import AsyncExperienceClient
from whichvariant.client.blocking import ExperienceClient
from whichvariant.client.calls import EventOptions
from whichvariant.engine import Engine
from whichvariant.errors import (
    ApiError,
    ApiInternalError,
    ApiProfileOverload,
    ClientError,
    ConfigurationUnavailable,
)
from whichvariant.profiles.answer import Answer
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.sources.following import Follower

Policy: TypeAlias = Literal["local", "local-then-remote", "remote-then-local", "remote"]
_Client = TypeVar("_Client")
Events: TypeAlias = Sequence[Mapping[str, Any]]

REMOTE_TIMEOUT_S = 0.5
"""How long the API may take by default where a page waits for it."""


class Decided(Answer):
    """An answer, and who decided it.

    ``decided_by`` is "local" or "remote". ``configuration`` is the digest of what decided, None
    where the API does not tell. ``trouble`` is why the API did not decide although it was asked.
    """

    decided_by: Literal["local", "remote"]
    configuration: str | None
    trouble: ClientError | None

    @classmethod
    def by(
        cls,
        who: Literal["local", "remote"],
        answer: Answer,
        configuration: str | None,
        trouble: ClientError | None = None,
    ) -> Self:
        """The answer with who decided it."""
        decided = cls(*answer)
        decided.decided_by = who
        decided.configuration = configuration
        decided.trouble = trouble
        return decided


class PreflightOptions(TypedDict, total=False):
    """What a preflight takes besides events and id.

    ``profile`` is the visitor so far in the API's shape, for those who keep profiles themselves:
    with it nothing has to be asked of the API. ``locale`` is the language of country and city.
    ``location`` is `options.location` of the API. ``features``, ``ip`` and ``traceparent`` go to
    the API. ``now`` is the time of receipt of a local decision, by default the clock.
    """

    profile: Mapping[str, Any]
    locale: str
    location: Mapping[str, Any]
    features: Sequence[str]
    ip: str
    traceparent: str
    now: int | datetime | str


class Ask(NamedTuple):
    """Ask the API: a preflight of a new visitor, or of the one with this id."""

    events: Events
    profile_id: str | None
    options: EventOptions


_Course: TypeAlias = Generator[Ask, ProfileAnswer | ClientError, Decided]


@dataclass(frozen=True)
class _Question:
    events: Events
    profile_id: str | None
    options: PreflightOptions

    @property
    def id(self) -> str | None:
        """Whose profile it is: None of somebody new."""
        if self.profile_id:
            return self.profile_id
        found = self.options.get("profile", {}).get("id")
        return found if isinstance(found, str) and found else None

    @property
    def needs_state(self) -> bool:
        """Whether only a server has what this is about: what it stores, or what it looks up."""
        return bool(self.options.get("features")) or (
            bool(self.profile_id) and "profile" not in self.options
        )


class _Rules:
    """Who decides, by policy. The two classes below only ask."""

    def __init__(
        self,
        local: Engine | Follower | str | os.PathLike[str] | None,
        has_remote: bool,
        policy: Policy | None,
        *,
        max_age_s: float | None,
        remote_timeout_s: float,
        rest_s: float,
        settings: ProfileSettings | None,
    ) -> None:
        if isinstance(local, str | os.PathLike):
            local = Follower.files(local)
        if policy is None:
            policy = "remote" if local is None else "local-then-remote" if has_remote else "local"
        if policy not in {"local", "local-then-remote", "remote-then-local", "remote"}:
            raise ValueError(f"policy: {policy!r} is none")
        if policy != "remote" and local is None:
            raise ValueError(f"the policy {policy!r} needs a configuration")
        if policy != "local" and not has_remote:
            raise ValueError(f"the policy {policy!r} needs a client")
        if not remote_timeout_s > 0:
            raise ValueError("remote_timeout_s must be more than 0")
        self.local = local
        self.policy = policy
        self._max_age_s = max_age_s
        self._remote_timeout_s = remote_timeout_s
        self._rest_s = rest_s
        self._rests_until_s = 0.0
        self._settings = settings

    @property
    def follower(self) -> Follower | None:
        """What has to be opened and closed."""
        return self.local if isinstance(self.local, Follower) else None

    def course(self, question: _Question) -> _Course:
        """How one question is answered: what to ask of the API, and in the end the answer."""
        if self.policy == "local":
            return self._decide(question, self._engine())
        engine = self._usable_engine()
        if self.policy == "local-then-remote":
            fresh = engine is not None and not self._is_stale()
            if engine is not None and fresh and not question.needs_state:
                return self._decide(question, engine)
        can_fall_back = engine is not None and self.policy != "remote"
        if can_fall_back and clock.monotonic_s() < self._rests_until_s:
            assert engine is not None
            return self._decide(question, engine)
        came = yield self._ask(question)
        if isinstance(came, ProfileAnswer):
            self._rests_until_s = 0.0
            return Decided.by("remote", came.to_answer(), came.configuration)
        if not can_fall_back or _is_refusal(came):
            raise came
        assert engine is not None
        self._rests_until_s = clock.monotonic_s() + self._rest_s
        return self._decide(question, engine, came)

    def _ask(self, question: _Question) -> Ask:
        given = question.options
        options: EventOptions = {"timeout_s": self._remote_timeout_s}
        if "locale" in given:
            options["locale"] = given["locale"]
        if "location" in given:
            options["location"] = given["location"]
        if "features" in given:
            options["features"] = given["features"]
        if "ip" in given:
            options["ip"] = given["ip"]
        if "traceparent" in given:
            options["traceparent"] = given["traceparent"]
        return Ask(question.events, question.id, options)

    def _decide(
        self, question: _Question, engine: Engine, trouble: ClientError | None = None
    ) -> Decided:
        given = question.options
        profile = given.get("profile")
        if profile is None and question.id is not None:
            # All that is known of the visitor; the draws need no more.
            profile = {"id": question.id, "stableId": question.id}
        answer = engine.preflight(
            profile,
            question.events,
            location=given.get("location"),
            locale=given.get("locale", "en"),
            now=given.get("now"),
            settings=self._settings,
        )
        return Decided.by("local", answer, engine.digest, trouble)

    def _engine(self) -> Engine:
        assert self.local is not None
        assert not isinstance(self.local, str | os.PathLike)
        return self.local.engine if isinstance(self.local, Follower) else self.local

    def _usable_engine(self) -> Engine | None:
        if self.local is None:
            return None
        try:
            return self._engine()
        except ConfigurationUnavailable:
            return None

    def _is_stale(self) -> bool:
        follower = self.follower
        if follower is None or self._max_age_s is None:
            return False
        age_s = follower.age_s()
        return age_s is None or age_s > self._max_age_s


def _is_refusal(error: ClientError) -> bool:
    """Whether the API has said no, which a local decision must not turn into a yes."""
    passing = isinstance(error, ApiInternalError | ApiProfileOverload)
    return isinstance(error, ApiError) and bool(error.code) and not passing


class _Deciding(Generic[_Client]):
    """What the two classes below have in common: what they are made of."""

    def __init__(
        self,
        local: Engine | Follower | str | os.PathLike[str] | None = None,
        remote: _Client | None = None,
        *,
        policy: Policy | None = None,
        max_age_s: float | None = None,
        remote_timeout_s: float = REMOTE_TIMEOUT_S,
        rest_s: float = 0.0,
        settings: ProfileSettings | None = None,
    ) -> None:
        self._rules = _Rules(
            local,
            remote is not None,
            policy,
            max_age_s=max_age_s,
            remote_timeout_s=remote_timeout_s,
            rest_s=rest_s,
            settings=settings,
        )
        self._remote: _Client | None = remote

    @property
    def policy(self) -> Policy:
        """Who decides."""
        return self._rules.policy


class Preflight(_Deciding[ExperienceClient]):
    """Decides for pages that are rendered on a server, without storing anything.

    ::

        with Preflight("space.json") as preflight:
            answer = preflight.preflight([events.page(context)])

    Parameters
    ----------
    local
        What decides here: an engine, a `Follower`, which is opened and closed with the preflight,
        or the path of a configuration to follow. None: only the API decides.
    remote
        A client of the API. It is not closed with the preflight.
    policy
        Who decides:

        "local"
            Nobody is asked. A visitor with an id and without ``profile`` is decided for by the id
            alone. ConfigurationUnavailable as long as there is no configuration.
        "local-then-remote"
            Here, unless the configuration is missing or too old, or an id is given without
            ``profile``, or ``features``: then the API. If that fails, here after all.
        "remote-then-local"
            The API. If that fails, here.
        "remote"
            The API.

        By default "local-then-remote" where there is a client, else "local".
    max_age_s
        How long ago the configuration's source may have been looked at with success; None is any
        time.
    remote_timeout_s
        How long the API may take.
    rest_s
        After a failure the API is left alone for so long, where a local decision is possible.
    settings
        How profiles are kept, for local decisions.

    Notes
    -----
    What the API refuses for a reason (no such profile, no such environment, broken events) is
    raised, whatever the policy.
    """

    def preflight(
        self, events: Events, profile_id: str | None = None, **options: Unpack[PreflightOptions]
    ) -> Decided:
        """What these events of a visitor bring about.

        Raises
        ------
        EventError, ProfileError
            With the path of what cannot be used.
        ClientError, ConfigurationUnavailable
            Nobody could decide.
        """
        course = self._rules.course(_Question(events, profile_id, options))
        try:
            ask = next(course)
            while True:
                ask = course.send(self._ask(ask))
        except StopIteration as end:
            decided: Decided = end.value
            return decided

    def _ask(self, ask: Ask) -> ProfileAnswer | ClientError:
        assert self._remote is not None
        try:
            return self._remote.upsert(ask.profile_id, ask.events, preflight=True, **ask.options)
        except ClientError as error:
            return error

    def open(self) -> Self:
        """Load the configuration, if one is followed, and go on following it."""
        if self._rules.follower is not None:
            self._rules.follower.open()
        return self

    def close(self) -> None:
        """Stop following."""
        if self._rules.follower is not None:
            self._rules.follower.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncPreflight(_Deciding[AsyncExperienceClient]):
    """`Preflight` for asyncio: everything is as there.

    ::

        async with AsyncPreflight("space.json") as preflight:
            answer = await preflight.preflight([events.page(context)])

    A local decision is made at once, in the event loop: it takes microseconds.
    """

    async def preflight(
        self, events: Events, profile_id: str | None = None, **options: Unpack[PreflightOptions]
    ) -> Decided:
        """As `Preflight.preflight`."""
        course = self._rules.course(_Question(events, profile_id, options))
        try:
            ask = next(course)
            while True:
                ask = course.send(await self._ask(ask))
        except StopIteration as end:
            decided: Decided = end.value
            return decided

    async def _ask(self, ask: Ask) -> ProfileAnswer | ClientError:
        assert self._remote is not None
        try:
            return await self._remote.upsert(
                ask.profile_id, ask.events, preflight=True, **ask.options
            )
        except ClientError as error:
            return error

    async def open(self) -> Self:
        """Load the configuration, if one is followed, and go on following it."""
        if self._rules.follower is not None:
            await asyncio.to_thread(self._rules.follower.open)
        return self

    async def close(self) -> None:
        """Stop following."""
        if self._rules.follower is not None:
            await asyncio.to_thread(self._rules.follower.close)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

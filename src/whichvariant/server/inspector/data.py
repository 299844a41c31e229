"""What the inspector shows, as JSON objects. Nothing here is decided: engines explain.

Nothing is stored here either. Events that the page sends go to the API itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import EventError, WhichVariantError
from whichvariant.profiles import history
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.api_profile import profile_object
from whichvariant.profiles.json_values import mismatch
from whichvariant.profiles.state import ProfileState
from whichvariant.profiles.times import iso_time
from whichvariant.server.failures import Refused
from whichvariant.server.running import Running
from whichvariant.service.inspection import look_up

MAX_CONFIGURATION_BYTES = 16 << 20
"""The largest configuration to compare with, as text."""

_NEWEST_EVENTS = 50

Json = dict[str, Any]


class Place(msgspec.Struct):
    """An environment."""

    organization: str
    environment: str

    @property
    def namespace(self) -> Namespace:
        """As the catalog knows it."""
        return Namespace(self.organization, self.environment)


class LookUp(Place, kw_only=True):
    """A stored profile: ``id`` is its id or an alias, ``at`` an instant, by default now."""

    id: str
    at: str | int | None = None


class Supposition(Place, kw_only=True):
    """A profile by its id, an alias or an id that a preflight gave, and what may happen to it."""

    id: str
    events: list[Json]


class Question(Place, kw_only=True):
    """A profile that need not exist.

    ``counts`` are those of the served engine's counters, all 0 by default; ``stored`` and ``at``
    say from which stored profile this one was made, if from one.
    """

    profile: Json
    device: str | None = None
    counts: list[int] | None = None
    stored: str | None = None
    at: str | int | None = None


class Comparison(Question, kw_only=True):
    """A profile under the served configuration and another one.

    That is the text of a configuration document, or the served one of another environment.
    """

    configuration: str | None = None
    other: Place | None = None


class Subject(NamedTuple):
    """For whom an engine decides."""

    profile: Mapping[str, Any]
    device: str | None
    counts: Sequence[int] | None


class Data:
    """The inspector's data, from a running server."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._service = running.service
        # Compiling is much work, and nobody needs two of it at a time.
        self._compiling = asyncio.Lock()

    async def environments(self) -> Json:
        """What is served, and what a page has to know of it to offer choices."""
        entries = self._running.catalog.entries()
        return {
            "environments": [
                {
                    "organization": entry.namespace.organization,
                    "environment": entry.namespace.environment,
                    "trouble": bool(entry.trouble),
                    "configuration": None
                    if entry.engine is None
                    else await asyncio.to_thread(_summary, entry.engine),
                }
                for entry in entries
            ]
        }

    async def look_up(self, asked: LookUp) -> Json:
        """A stored profile, why it gets what it gets, and what happened to it."""
        engine = self._engine(asked.namespace)
        state, now_ms = await self._service.state(asked.namespace, asked.id, engine, at=asked.at)
        whole = await look_up(self._service.store, asked.namespace, state.id)
        return {
            **await self._explained_state(engine, state, now_ms),
            "createdMs": state.created_ms,
            "aliases": list(whole.aliases),
            "history": _newest_events(whole.history, now_ms),
            "historyEvents": state.kept.events,
        }

    async def suppose(self, asked: Supposition) -> Json:
        """What a profile would be after events, and why it would get what it would get.

        The API's preflight answers the same, without the reasons.
        """
        engine = self._engine(asked.namespace)
        state, now_ms = await self._service.supposed(asked.namespace, asked.id, asked.events)
        return await self._explained_state(engine, state, now_ms)

    async def explain(self, asked: Question) -> Json:
        """Why a profile that need not exist would get what it would get."""
        engine = self._engine(asked.namespace)
        subject = Subject(asked.profile, asked.device, _checked_counts(asked.counts, engine))
        return await asyncio.to_thread(_explained, engine, subject)

    async def compare(self, asked: Comparison) -> Json:
        """What a profile gets from the served configuration, and from another one."""
        engine = self._engine(asked.namespace)
        counts = _checked_counts(asked.counts, engine)
        subject = Subject(asked.profile, asked.device, counts)
        other = await self._other(asked)
        others, uncounted = await self._counts_of_other(asked, engine, counts, other)
        return {
            "served": await asyncio.to_thread(_explained, engine, subject),
            "other": await asyncio.to_thread(_explained, other, subject._replace(counts=others)),
            "findings": [str(finding) for finding in other.findings[:100]],
            "findingCount": len(other.findings),
            # Where no history tells, counters that only the other one has stand at 0.
            "uncounted": uncounted,
        }

    async def _explained_state(self, engine: Engine, state: ProfileState, now_ms: int) -> Json:
        settings = self._service.settings.profiles
        subject = Subject(
            profile_object(state, settings), state.device, event_counts(state, engine, now_ms)
        )
        return {
            **await asyncio.to_thread(_explained, engine, subject),
            "profile": subject.profile,
            "device": subject.device,
            "counts": subject.counts or [],
            "atMs": now_ms,
        }

    def _engine(self, namespace: Namespace) -> Engine:
        decider = self._service.decider(namespace)
        assert isinstance(decider, Engine)
        return decider

    async def _other(self, asked: Comparison) -> Engine:
        if asked.configuration is None:
            if asked.other is None:
                raise Refused(400, "other: expected a configuration or another environment")
            return self._engine(asked.other.namespace)
        text = asked.configuration.encode("utf-8", "replace")
        async with self._compiling:
            try:
                return await asyncio.to_thread(Engine.from_bytes, text, strict=False)
            except WhichVariantError as error:
                raise Refused(400, f"configuration: {error}"[:2_000]) from None

    async def _counts_of_other(
        self, asked: Comparison, engine: Engine, counts: Sequence[int] | None, other: Engine
    ) -> tuple[list[int] | None, int]:
        """Counts for another engine's counters, and how many of them nothing is known about."""
        if not other.counter_keys:
            return None, 0
        known = dict(zip(engine.counter_keys, counts or [], strict=True)) if counts else {}
        recounted: Sequence[int] | None = None
        if asked.stored is not None and any(key not in known for key in other.counter_keys):
            state, now_ms = await self._service.state(
                asked.namespace, asked.stored, other, at=asked.at
            )
            recounted = event_counts(state, other, now_ms)
        fallback = recounted or [0] * len(other.counter_keys)
        merged = [
            known.get(key, count) for key, count in zip(other.counter_keys, fallback, strict=True)
        ]
        unknown = sum(key not in known for key in other.counter_keys)
        told = recounted is not None or not any(known.values())
        return merged, 0 if told else unknown


def _summary(engine: Engine) -> Json:
    configuration = engine.configuration
    counters = engine.explain_program().to_dict()["counters"]
    return {
        "digest": engine.digest,
        "scheme": engine.scheme,
        "findings": len(engine.findings),
        "audiences": len(configuration.audiences),
        "counters": [counter["counts"] for counter in counters],
        "experiences": [
            {
                "id": experience.id,
                "name": experience.name,
                "sticky": experience.sticky,
                "variants": experience.highest_index + 1,
            }
            for experience in configuration.experiences
        ],
    }


def _explained(engine: Engine, subject: Subject) -> Json:
    """An explanation, and the API's part of an answer."""
    profile, device, counts = subject
    explanation = engine.explain(profile, device=device, counts=counts)
    selection = engine.select(profile, device=device, counts=counts)
    return {"explanation": explanation.to_dict(), "selection": selection.to_dict()}


def _checked_counts(counts: Sequence[int] | None, engine: Engine) -> list[int] | None:
    expected = len(engine.counter_keys)
    if not expected:
        return None
    if counts is None:
        return [0] * expected
    if len(counts) != expected:
        raise EventError("counts", f"expected {expected} numbers; the configuration has changed")
    for number, count in enumerate(counts):
        if not 0 <= count < 2**31:
            raise EventError(f"counts[{number}]", "expected a number from 0 to 2147483647")
    return list(counts)


def _newest_events(rows: Sequence[history.Row], until_ms: int) -> list[Json]:
    """The newest events up to an instant, newest first."""
    events: list[tuple[int, int, int, Mapping[str, Any]]] = []
    for row in reversed(rows):
        if row[0] == history.BASE or len(events) >= _NEWEST_EVENTS:
            break
        events += [
            (event.at_ms, row[0], event.index, event.raw)
            for event in history.decode_row(row).events
            if event.at_ms <= until_ms
        ]
    events.sort(key=lambda event: event[:3], reverse=True)
    return [
        {"atMs": at_ms, "at": iso_time(at_ms), "event": raw}
        for at_ms, _, _, raw in events[:_NEWEST_EVENTS]
    ]


def read(body: bytes, kind: type[Any]) -> Any:
    """A request of the page. Refused, with the place, if it is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, place = mismatch(error)
        raise Refused(400, f"{place.removeprefix('.') or 'body'}: {message}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "body: not JSON") from None

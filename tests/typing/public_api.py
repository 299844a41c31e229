"""How callers use the package, for mypy alone: nothing here is ever run.

Wrong uses carry a ``type: ignore``, which strict mypy reports as unused should they become allowed.
"""

import pathlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, assert_type

from whichvariant import (
    Configuration,
    ConfigurationError,
    Engine,
    EventError,
    Finding,
    InputError,
    ProfileError,
    Selection,
    WhichVariantError,
    __version__,
    events,
)
from whichvariant.client import (
    AsyncExperienceClient,
    AsyncPreflight,
    Change,
    Decided,
    Experience,
    ExperienceClient,
    Follower,
    Location,
    Preflight,
    Profile,
    ProfileAnswer,
    RetryPolicy,
    Session,
)
from whichvariant.errors import ApiError, ApiUnavailable, ClientError
from whichvariant.events import RequestContext


def loading(document: Mapping[str, Any], path: pathlib.Path) -> None:
    assert_type(Engine.load("space.json"), Engine)
    assert_type(Engine.load(path, "more.json", strict=False, locale="de-DE"), Engine)
    assert_type(Engine.from_dict(document), Engine)
    assert_type(Engine.from_bytes(b"{}", b"{}"), Engine)
    Engine.load(b"space.json")  # type: ignore[arg-type]
    Engine.from_bytes("{}")  # type: ignore[arg-type]
    Engine.load("space.json", strick=False)  # type: ignore[call-arg]


def about(engine: Engine) -> None:
    assert_type(engine.configuration, Configuration)
    assert_type(engine.findings, tuple[Finding, ...])
    assert_type(engine.digest, str)
    assert_type(engine.scheme, Literal["murmur3", "xxh64"])
    assert_type(engine.to_bytes(), bytes)
    assert_type(__version__, str)
    engine.digest = ""  # type: ignore[misc]


def selecting(engine: Engine, visitor: MappingProxyType[str, Any]) -> None:
    selection = engine.select({"stableId": "123", "traits": {"plan": "pro"}})
    assert_type(selection, Selection)
    assert_type(selection.experiences, list[dict[str, Any]])
    assert_type(selection.changes, list[dict[str, Any]])
    assert_type(selection.audiences, list[str])
    assert_type(selection.to_dict(), dict[str, list[Any]])
    assert_type(
        engine.select(
            visitor,
            device="mobile",
            events=[{"type": "page"}],
            audiences="given",
            now=datetime.now(UTC),
            fresh=True,
        ),
        Selection,
    )
    engine.select(visitor, now=1_793_534_400_000)
    engine.select(visitor, now="2026-11-01T12:00:00Z", events=(MappingProxyType({}),))
    engine.select("123")  # type: ignore[arg-type]
    engine.select(visitor, "mobile")  # type: ignore[call-arg]
    engine.select(visitor, audiences="all")  # type: ignore[arg-type]
    engine.select(visitor, now=b"")  # type: ignore[arg-type]
    selection.experiences = []  # type: ignore[misc]
    hash(selection)


def selecting_json(engine: Engine) -> None:
    for profile in (b"{}", bytearray(b"{}"), memoryview(b"{}"), "{}"):
        assert_type(engine.select_json(profile), bytes)
    engine.select_json({})  # type: ignore[arg-type]
    engine.select_json(b"{}", fresh=True)  # type: ignore[call-arg]


def explaining(engine: Engine) -> None:
    explanation = engine.explain({"stableId": "123"}, device="tablet", audiences="given")
    assert_type(str(explanation), str)
    assert_type(explanation.to_dict(), dict[str, Any])
    assert_type(engine.explain_program().to_dict(), dict[str, Any])


def failing(engine: Engine) -> None:
    try:
        engine.select({})
    except (ProfileError, EventError) as error:
        assert_type(error.path, str)
        an_input: InputError = error
        base: WhichVariantError = an_input
        raise base from None
    except ConfigurationError as error:
        assert_type(error.findings, tuple[Finding, ...])
        assert_type(error.findings[0].severity, Literal["error", "warning"])


def building(scope: Mapping[str, Any], moment: datetime) -> None:
    context = RequestContext.from_asgi(scope, base_url="https://shop.example")
    assert_type(context, RequestContext)
    assert_type(context.campaign, dict[str, str])
    assert_type(events.page(context, {"category": "tents"}), dict[str, Any])
    assert_type(events.identify("user-7", message_id="m", timestamp=moment), dict[str, Any])
    assert_type(events.addressed([events.track("x")], "id"), list[dict[str, Any]])
    events.page()  # type: ignore[call-arg]
    events.track("x", chanel="web")  # type: ignore[call-arg]
    events.track("x", channel="tv")  # type: ignore[arg-type]
    events.component("x", component_type="Entri")  # type: ignore[arg-type]
    context.url = ""  # type: ignore[misc]


def asking(client: ExperienceClient, sent: list[dict[str, Any]]) -> None:
    answer = client.create(sent, preflight=True, locale="de", features=["location"], ip="::1")
    assert_type(answer, ProfileAnswer)
    assert_type(answer.profile, Profile)
    assert_type(answer.profile.session, Session)
    assert_type(answer.profile.location, Location)
    assert_type(answer.profile.location.city, str | None)
    assert_type(answer.experiences, tuple[Experience, ...])
    assert_type(answer.experiences[0].variants, dict[str, str])
    assert_type(answer.changes, tuple[Change, ...])
    assert_type(answer.raw, dict[str, Any])
    assert_type(client.upsert(None, sent), ProfileAnswer)
    assert_type(client.upsert_many(sent), tuple[Profile, ...])
    client.delete("id", timeout_s=1)
    client.get("id", features=[])  # type: ignore[call-arg]
    client.create(sent, timeout="3")  # type: ignore[call-arg]
    client.create(sent, plain_text="yes")  # type: ignore[arg-type]
    client.update(sent)  # type: ignore[call-arg, arg-type]
    answer.profile.id = ""  # type: ignore[misc]
    ExperienceClient("organization", retries=RetryPolicy(retries=2))
    ExperienceClient("organization", retries=2)  # type: ignore[arg-type]


async def asking_without_blocking(client: AsyncExperienceClient) -> None:
    assert_type(await client.create([], preflight=True, locale="de"), ProfileAnswer)
    assert_type(await client.upsert_many([]), tuple[Profile, ...])
    await client.get("id", preflight=True)  # type: ignore[call-arg]


async def deciding(engine: Engine, follower: Follower, client: AsyncExperienceClient) -> None:
    assert_type(follower.engine, Engine)
    blocking = Preflight(engine).preflight([], "id", profile={}, locale="de")
    assert_type(blocking, Decided)
    assert_type(blocking.decided_by, Literal["local", "remote"])
    assert_type(blocking.profile, dict[str, Any])
    decided = await AsyncPreflight(follower, client, policy="remote-then-local").preflight([])
    assert_type(decided.trouble, ClientError | None)
    Preflight(engine, client)  # type: ignore[arg-type]
    Preflight(engine, policy="both")  # type: ignore[arg-type]


def failing_far_away(client: ExperienceClient) -> None:
    try:
        client.get("id")
    except ApiError as error:
        assert_type(error.status, int)
        assert_type(error.code, str)
        base: ClientError = error
        raise base from None
    except ApiUnavailable as error:
        assert_type(error.status, int | None)
        assert_type(error.retry_after_s, float | None)

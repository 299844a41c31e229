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
)


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

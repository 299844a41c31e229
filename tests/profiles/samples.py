"""Events, configurations and short ways to apply the ones with the others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from core.small import audience, document, experience
from whichvariant import Engine
from whichvariant.profiles.aggregate import aggregate
from whichvariant.profiles.events import read_events
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ActivityRules, ProfileSettings
from whichvariant.profiles.state import ProfileState, new_state

Json = Any

SECOND = 1_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
NOW = 1_793_534_400_000
SETTINGS = ProfileSettings()

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)
LAPTOP = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/105.0.0.0 Safari/537.36"
)

_numbers = itertools.count()


def event(kind: str, at: Json = None, message: str | None = None, **fields: Json) -> Json:
    """An event of a type with what all of them need; ``context`` supplements the usual one."""
    context = {"library": {"name": "test", "version": "4.0.0"}, **fields.pop("context", {})}
    made = {
        "type": kind,
        "channel": "web",
        "messageId": message or f"message-{next(_numbers)}",
        "context": context,
        **fields,
    }
    if at is not None:
        made["timestamp"] = at
    return made


def place(path: str = "/") -> Json:
    """What a page is described by."""
    return {
        "path": path,
        "query": {},
        "referrer": "",
        "search": "",
        "url": f"https://example.com{path}",
    }


def page(path: str = "/", at: Json = None, message: str | None = None, **fields: Json) -> Json:
    return event("page", at, message, **{"properties": place(path), **fields})


def track(name: str, at: Json = None, message: str | None = None, **fields: Json) -> Json:
    return event("track", at, message, **{"event": name, "properties": {}, **fields})


def identify(
    user: str | None = "", at: Json = None, message: str | None = None, **traits: Json
) -> Json:
    return event("identify", at, message, userId=user, traits=traits)


def seen(
    experience_id: str | None, index: Json, at: Json = None, message: str | None = None
) -> Json:
    """A component event."""
    return event(
        "component", at, message, componentId="c", experienceId=experience_id, variantIndex=index
    )


def at_place(location: Json, at: Json = None, **fields: Json) -> Json:
    """A page view that says where the visitor is."""
    return page(at=at, context={"location": location}, **fields)


def views(count: int, *, path: str = "*", days: float | None = None) -> Json:
    """The rule that a page was viewed so often."""
    condition = {"key": {"id": "context_page_path"}, "operator": "equal", "value": path}
    rule = {
        "type": "page",
        "operator": "greaterThanInclusive",
        "count": count,
        "conditions": [condition],
    }
    return rule if days is None else {**rule, "within": {"days": days}}


def tracked(name: str, count: int, *, days: float | None = None) -> Json:
    """The rule that a named event happened so often."""
    rule = {"type": "track", "operator": "greaterThanInclusive", "value": name, "count": count}
    return rule if days is None else {**rule, "within": {"days": days}}


def engine_of(
    rules: Mapping[str, Json] | None = None, sticky: Mapping[str, int] | None = None
) -> Engine:
    """An engine with an audience for each rule, and sticky experiences with so many variants."""
    return Engine.from_dict(
        document(
            [
                experience(
                    name,
                    sticky=True,
                    distribution=[1 / (highest + 1)] * (highest + 1),
                    components=[
                        {
                            "type": "EntryReplacement",
                            "baseline": {"id": f"{name}-0"},
                            "variants": [
                                {"id": f"{name}-{index}"} for index in range(1, highest + 1)
                            ],
                        }
                    ],
                )
                for name, highest in (sticky or {}).items()
            ],
            [audience(name, {"any": [{"all": [rule]}]}) for name, rule in (rules or {}).items()],
        )
    )


NO_RULES = engine_of()


def nobody(now_ms: int = NOW, rules: ActivityRules = NO_RULES) -> ProfileState:
    """A profile that nothing has happened to, counted by ``rules``."""
    state = new_state("somebody", 2**31, now_ms)
    state.counted = rules.counters_digest
    return state


def after(
    *requests: Sequence[Json],
    rules: ActivityRules = NO_RULES,
    settings: ProfileSettings = SETTINGS,
    state: ProfileState | None = None,
    now_ms: int = NOW,
    located: Located | None = None,
) -> ProfileState:
    """The profile after these requests, all received at one moment."""
    state = state or nobody(now_ms, rules)
    for events in requests:
        read = read_events(events, now_ms)
        state = aggregate(state, read, now_ms, rules, settings, located=located).state
    return state

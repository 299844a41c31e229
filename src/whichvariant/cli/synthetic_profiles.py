"""Plausible visitors for a configuration that comes without any.

Every attribute that a rule reads is filled, more often than not, with a value the rules mention:
equal to it, just beside it, or of the same kind. So audiences match often enough, and differently
from visitor to visitor, for a measurement to mean something. Seeded: the same configuration and
seed give the same visitors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from whichvariant.cli.pattern_sample import sample_of
from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Configuration,
    Counter,
    CounterTest,
    JsonValue,
    Not,
    Path,
    Rule,
    Test,
)

_MENTIONED_SHARE = 0.8
"""How often an attribute that rules read is there at all; the rest of the visitors lack it."""

_MATCHING_SHARE = 0.6
"""How often it has a value some rule mentions, rather than one beside it."""

_MATCHING_EVENT_SHARE = 0.85
"""The same for what an event's conditions read; several events have to match for one count."""

_EVENT_SHARE = 0.2
"""How often a visitor did what a counter counts."""

_MOST_EVENTS = 50
_MOST_OF_ONE_KIND = 12
_DAY_MS = 86_400_000
_MONTH_MS = 30 * _DAY_MS

_WORDS = ("alder", "birch", "cedar", "elm", "fir", "hazel", "juniper", "larch", "maple", "oak")

_PLACES = (
    ("Berlin", "State of Berlin", "BE", "Germany", "DE", "EU", "10119", "Europe/Berlin"),
    ("Lyon", "Rhône", "ARA", "France", "FR", "EU", "69001", "Europe/Paris"),
    ("Leeds", "England", "ENG", "United Kingdom", "GB", "EU", "LS1", "Europe/London"),
    ("Boston", "Massachusetts", "MA", "United States", "US", "NA", "02108", "America/New_York"),
    ("Austin", "Texas", "TX", "United States", "US", "NA", "73301", "America/Chicago"),
    ("Osaka", "Osaka", "27", "Japan", "JP", "AS", "530-0001", "Asia/Tokyo"),
    ("Recife", "Pernambuco", "PE", "Brazil", "BR", "SA", "50010", "America/Recife"),
)
_PLACE_KEYS = (
    "city",
    "region",
    "regionCode",
    "country",
    "countryCode",
    "continent",
    "postalCode",
    "timezone",
)
_DEVICES = ("desktop", "mobile", "tablet", "unknown")


@dataclass(frozen=True, slots=True)
class SyntheticVisitor:
    """A profile in the API's shape, and what is known about the visitor beside it."""

    profile: dict[str, JsonValue]
    device: str
    events: list[JsonValue] | None


@dataclass(slots=True)
class _Mentions:
    """What the rules of one or more configurations read, in the order they mention it."""

    tests: dict[Path, list[Test]] = field(default_factory=dict)
    counters: dict[Counter, list[float]] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        match rule:
            case AnyOf(rules) | AllOf(rules):
                for inner in rules:
                    self.add(inner)
            case Not(inner):
                self.add(inner)
            case CounterTest(counter, _, operand):
                self.counters.setdefault(counter, []).append(operand)
            case Test():
                self.tests.setdefault(rule.path, []).append(rule)


def synthetic_visitors(
    configurations: Iterable[Configuration], count: int, *, seed: int, now_ms: int
) -> list[SyntheticVisitor]:
    """``count`` visitors for the audiences of ``configurations`` together.

    ``now_ms`` dates the events, milliseconds since the epoch: within the rules' windows, and older.
    Visitors have events only where a rule counts them.
    """
    mentions = _Mentions()
    for configuration in configurations:
        for audience in configuration.audiences:
            mentions.add(audience.rule)
    random = Random(seed)
    return [_visitor(mentions, random, now_ms) for _ in range(count)]


def _visitor(mentions: _Mentions, random: Random, now_ms: int) -> SyntheticVisitor:
    identifier = str(UUID(int=random.getrandbits(128), version=4))
    visits = 1 if random.random() < 0.5 else random.randint(2, 12)
    seconds = random.randint(0, 1800)
    profile: dict[str, Any] = {
        "id": identifier,
        "stableId": identifier,
        "random": random.getrandbits(32) / 4294967295,
        "audiences": [],
        "traits": {"firstname": random.choice(_WORDS).title(), "plan": random.choice(_WORDS)},
        "location": dict(zip(_PLACE_KEYS, random.choice(_PLACES), strict=True)),
        "session": {
            "id": str(UUID(int=random.getrandbits(128), version=4)),
            "isReturningVisitor": visits > 1,
            "landingPage": {
                "path": "/",
                "url": "https://shop.example/",
                "query": {},
                "referrer": "",
                "search": "",
            },
            "count": visits,
            "activeSessionLength": seconds,
            "averageSessionLength": seconds / visits,
        },
    }
    device = random.choice(_DEVICES)
    for path, tests in mentions.tests.items():
        if random.random() >= _MENTIONED_SHARE:
            continue
        value = _value(random.choice(tests), random, _MATCHING_SHARE)
        if path[0] == "session" and isinstance(value, (int, float)):
            value = value if isinstance(value, bool) else abs(value)  # counts and lengths
        if path[0] == "device":
            device = value if value in _DEVICES else device
        else:
            _put(profile, path, value)
    events = _events(mentions, random, now_ms) if mentions.counters else None
    return SyntheticVisitor(profile, device, events)


def _events(mentions: _Mentions, random: Random, now_ms: int) -> list[JsonValue]:
    events: list[JsonValue] = []
    for counter, operands in mentions.counters.items():
        if random.random() >= _EVENT_SHARE:
            continue
        wanted = round(random.choice(operands)) + random.choice((-1, 0, 1, 2))
        done = min(max(wanted, 1), _MOST_OF_ONE_KIND)
        events += [_event(counter, random, now_ms) for _ in range(done)]
    events = events[:_MOST_EVENTS]
    events.sort(key=lambda event: event["timestamp"])
    return events


def _event(counter: Counter, random: Random, now_ms: int) -> dict[str, JsonValue]:
    # Some happened too long ago to count.
    reach_ms = 1.25 * counter.within_ms if counter.within_ms is not None else _MONTH_MS
    event: dict[str, Any] = {
        "type": counter.event_type,
        "channel": "web",
        "messageId": str(UUID(int=random.getrandbits(128), version=4)),
        "timestamp": now_ms - round(random.random() * reach_ms),
        "context": {"library": {"name": "whichvariant", "version": "0"}, "campaign": {}},
        "properties": {},
    }
    name = counter.name if counter.name is not None else random.choice(_WORDS)
    if counter.event_type == "page":
        page = {"path": f"/{name}", "url": f"https://shop.example/{name}", "query": {}}
        event["context"]["page"] = {**page, "referrer": "", "search": ""}
        event["properties"] = dict(event["context"]["page"])
    elif counter.event_type == "track":
        event["event"] = name
    else:
        event["properties"]["name"] = name
    for condition in counter.conditions:
        _put(event, condition.path, _value(condition, random, _MATCHING_EVENT_SHARE))
    return event


def _put(root: dict[str, Any], path: Path, value: JsonValue) -> None:
    """Set ``value`` at ``path``, unless another rule wants a plain value on the way there."""
    node: Any = root
    for segment in path[:-1]:
        node = node.setdefault(segment, {})
        if not isinstance(node, dict):
            return
    if not isinstance(node.get(path[-1]), dict):
        node[path[-1]] = value


def _value(test: Test, random: Random, matching_share: float) -> JsonValue:
    """A value for ``test``'s attribute: most often one that the positive operator is true for."""
    operand = random.choice(test.operand) if isinstance(test.operand, tuple) else test.operand
    matching = random.random() < matching_share
    match operand:
        case None:
            return random.choice(_WORDS)
        case "true" | "false":
            return (operand == "true") == matching
        case str():
            return _text(test.operator, operand, random) if matching else _beside(operand, random)
        case _:
            return _number(operand, random)


def _text(operator: str, operand: str, random: Random) -> str:
    word = random.choice(_WORDS)
    match operator:
        case "contains" | "notContains":
            return f"{word}-{operand}-{word}"
        case "startsWith":
            return f"{operand}{word}"
        case "endsWith":
            return f"{word}{operand}"
        case "matches":
            return sample_of(operand, random)
        case _:
            return operand


def _beside(operand: str, random: Random) -> str:
    """A text of the same kind that is not the operand."""
    return f"{random.choice(_WORDS)}{operand[len(operand) // 2 :]}"


def _number(operand: float, random: Random) -> float | int:
    """A number on, just beside, or some way from ``operand``."""
    spread = max(abs(operand) / 2, 1.0)
    value = operand + random.choice((0.0, 1.0, -1.0, random.uniform(-spread, spread)))
    if operand == int(operand):
        return round(value)
    return round(value, 3)

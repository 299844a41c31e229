"""`nt_rules` to a Rule: groups and leaves (docs/rules.md, SEMANTICS section 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Counter,
    CounterTest,
    JsonValue,
    Not,
    Path,
    Rule,
    Test,
)
from whichvariant.loading.comparisons import read_comparison, read_operator
from whichvariant.loading.numeric import is_number, to_number
from whichvariant.loading.operators import COUNTING
from whichvariant.loading.reports import Place, Report, shown

MAX_NESTING: Final = 64
MAX_LEAVES: Final = 10_000
MAX_WITHIN_DAYS: Final = 1_000_000
MAX_KEY_SEGMENTS: Final = 64
MS_PER_DAY: Final = 86_400_000

LOCATION_KEYS: Final = frozenset(
    {
        "city",
        "region",
        "regionCode",
        "country",
        "countryCode",
        "continent",
        "postalCode",
        "timezone",
        "coordinates.latitude",
        "coordinates.longitude",
    }
)
SESSION_KEYS: Final = frozenset(
    {
        "id",
        "count",
        "isReturningVisitor",
        "activeSessionLength",
        "averageSessionLength",
        "landingPage.path",
        "landingPage.url",
        "landingPage.referrer",
        "landingPage.search",
    }
)
LANDING_QUERY: Final = "landingPage.query."

PAGE_CONDITIONS: Final = {
    f"context_page_{name}": name for name in ("url", "path", "referrer", "search")
}
CAMPAIGN_CONDITIONS: Final = {
    f"context_campaign_{name}": name for name in ("name", "source", "medium", "term", "content")
}
QUERY_CONDITION: Final = "context_page_query"
PROPERTY_CONDITIONS: Final = ("property", "properties", "page_property", "event_property")

RETURNING: Final[Path] = ("session", "isReturningVisitor")
SESSION_COUNT: Final[Path] = ("session", "count")
DEVICE_TYPE: Final[Path] = ("device", "type")

_NODE_KEYS: Final = ("any", "all", "not", "type")


def read_rule(value: JsonValue, place: Place, report: Report) -> Rule | None:
    """The rule of an audience, or None when the report has got an error about it.

    A part with an error is left out while the rest is still read, so that one pass finds
    everything; the report then says that the result is not to be used.
    """
    return _RuleReader(report).node(value, place, 0)


class _RuleReader:
    """Reads one audience's rule, counting its leaves."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.leaves = 0
        self.leaf_readers: dict[str, Callable[[dict[str, JsonValue], Place, int], Rule | None]] = {
            "identify": self.identify,
            "location": self.location,
            "session": self.session,
            "isReturningVisitor": self.returning_visitor,
            "device": self.device,
            "page": self.activity,
            "track": self.activity,
            "screen": self.activity,
        }

    def node(self, value: JsonValue, place: Place, depth: int) -> Rule | None:
        if not isinstance(value, dict):
            self.report.wrong_type(place, "a group or a leaf", value)
            return None
        present = [key for key in _NODE_KEYS if value.get(key) is not None]
        if len(present) != 1:
            if present:
                message = f"a node is one of any, all, not or a leaf; this has {', '.join(present)}"
                self.report.add("ambiguous-group", place, message)
            else:
                message = "a node has one of any, all, not, or a leaf's type; this has none"
                self.report.add("unknown-group", place, message)
            return None
        if present[0] == "type":
            return self.leaf(value, place, depth)
        return self.group(present[0], value[present[0]], (place, present[0]), depth + 1)

    def group(self, kind: str, value: JsonValue, place: Place, depth: int) -> Rule | None:
        if self.is_too_deep(place, depth):
            return None
        if kind == "not":
            rule = self.node(value, place, depth)
            return None if rule is None else Not(rule)
        if not isinstance(value, list):
            self.report.wrong_type(place, "a list", value)
            return None
        if not value:
            whom = "nobody" if kind == "any" else "everybody"
            self.report.add("empty-group", place, f"an empty {kind} matches {whom}")
        rules: list[Rule] = []
        for index, item in enumerate(value):
            rule = self.node(item, (place, index), depth)
            if rule is not None:
                rules.append(rule)
            elif self.leaves > MAX_LEAVES:
                return None
        return AnyOf(tuple(rules)) if kind == "any" else AllOf(tuple(rules))

    def is_too_deep(self, place: Place, depth: int) -> bool:
        if depth > MAX_NESTING:
            self.report.add("too-deep", place, f"groups nest deeper than {MAX_NESTING}")
            return True
        return False

    def is_one_too_many(self, place: Place) -> bool:
        """Count a leaf or condition; the one beyond the limit is the last that is read at all."""
        self.leaves += 1
        if self.leaves == MAX_LEAVES + 1:
            self.report.add("too-many-leaves", place, f"more than {MAX_LEAVES:,} leaves")
        return self.leaves > MAX_LEAVES

    def leaf(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        if self.is_one_too_many(place):
            return None
        kind = leaf["type"]
        if not isinstance(kind, str):
            self.report.wrong_type((place, "type"), "text", kind)
            return None
        reader = self.leaf_readers.get(kind)
        if reader is None:
            self.report.add("unknown-rule-type", (place, "type"), f"unknown type {shown(kind)}")
            return None
        return reader(leaf, place, depth)

    def key(self, leaf: dict[str, JsonValue], place: Place) -> str | None:
        key = leaf.get("key")
        if key is None or key == "":
            self.report.add("missing-key", (place, "key"), "no key")
            return None
        if not isinstance(key, str):
            self.report.wrong_type((place, "key"), "text", key)
            return None
        return key

    def dotted(self, root: str, key: str, place: Place) -> Path | None:
        """The path of a dotted key below a root attribute."""
        path = (root, *key.split("."))
        if len(path) > MAX_KEY_SEGMENTS:
            message = f"a dotted key of {len(path) - 1:,} segments, at most {MAX_KEY_SEGMENTS - 1}"
            self.report.add("malformed-key", place, message)
            return None
        if "" in path:
            message = f"the dotted key {shown(key)} has an empty segment"
            self.report.add("malformed-key", place, message)
            return None
        return path

    def identify(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        key = self.key(leaf, place)
        path = None if key is None else self.dotted("traits", key, (place, "key"))
        return read_comparison(leaf, place, self.report, path)

    def location(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        key = self.key(leaf, place)
        path: Path | None = None
        if key in LOCATION_KEYS:
            path = ("location", *key.split("."))
        elif key is not None:
            message = f"a location has no field {shown(key)}"
            self.report.add("unknown-location-key", (place, "key"), message)
        return read_comparison(leaf, place, self.report, path)

    def session(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        key = self.key(leaf, place)
        path: Path | None = None
        if key in SESSION_KEYS:
            path = ("session", *key.split("."))
        elif key == LANDING_QUERY:
            self.report.add("malformed-key", (place, "key"), "no name of a query parameter")
        elif key is not None and key.startswith(LANDING_QUERY):
            # A parameter's name may contain dots, so it stays one segment.
            path = ("session", "landingPage", "query", key[len(LANDING_QUERY) :])
        elif key is not None:
            message = f"a session has no field {shown(key)}"
            self.report.add("unknown-session-key", (place, "key"), message)
        return read_comparison(leaf, place, self.report, path)

    def returning_visitor(
        self, leaf: dict[str, JsonValue], place: Place, depth: int
    ) -> Rule | None:
        tests = [self.returning(leaf, place)]
        for condition, identifier, _, here in self.conditions(leaf, place):
            path = SESSION_COUNT if identifier == "session_count" else None
            if path is None:
                self.unknown_condition(identifier, here)
            tests.append(read_comparison(condition, here, self.report, path))
        return self.all_of(tests, place, depth)

    def returning(self, leaf: dict[str, JsonValue], place: Place) -> Test | None:
        operator = read_operator(leaf, place, self.report)
        if operator is not None and operator not in {"equal", "notEqual"}:
            message = f"isReturningVisitor takes equal and notEqual, not {operator}"
            self.report.add("unsupported-operator", (place, "operator"), message)
            operator = None
        value = leaf.get("value")
        if value is None:
            self.report.add("missing-value", (place, "value"), "no value")
            return None
        if value is True or value == "true":
            operand = "true"
        elif value is False or value == "false":
            operand = "false"
        else:
            message = f"isReturningVisitor is true or false, not {shown(value)}"
            self.report.add("invalid-value", (place, "value"), message)
            return None
        return None if operator is None else Test(RETURNING, operator, operand)

    def device(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        tests: list[Test | None] = []
        found = self.conditions(leaf, place)
        for condition, identifier, _, here in found:
            path = DEVICE_TYPE if identifier == "type" else None
            if path is None:
                self.unknown_condition(identifier, here)
            tests.append(read_comparison(condition, here, self.report, path))
        if not leaf.get("conditions"):
            # The vendor's editor leaves value empty where a condition has the device's type.
            own = {**leaf, "value": None} if leaf.get("value") == "" else leaf
            tests.append(read_comparison(own, place, self.report, DEVICE_TYPE))
        return self.all_of(tests, place, depth)

    def all_of(self, tests: list[Test | None], place: Place, depth: int) -> Rule | None:
        """The one test, or a group of them, which counts as a group wherever depth is counted."""
        known = tuple(test for test in tests if test is not None)
        if len(known) != len(tests) or not known:
            return None
        if len(known) == 1:
            return known[0]
        return None if self.is_too_deep(place, depth + 1) else AllOf(known)

    def conditions(
        self, leaf: dict[str, JsonValue], place: Place
    ) -> list[tuple[dict[str, JsonValue], str, dict[str, JsonValue], Place]]:
        """Each condition that can be read, with its ``key.id``, its ``key`` and its place."""
        value = leaf.get("conditions")
        if value is None:
            return []
        place = (place, "conditions")
        if not isinstance(value, list):
            self.report.wrong_type(place, "a list", value)
            return []
        found: list[tuple[dict[str, JsonValue], str, dict[str, JsonValue], Place]] = []
        for index, condition in enumerate(value):
            here = (place, index)
            if self.is_one_too_many(here):
                break
            if not isinstance(condition, dict):
                self.report.wrong_type(here, "an object", condition)
                continue
            key = condition.get("key")
            if not isinstance(key, dict):
                self.report.wrong_type((here, "key"), "an object with an id", key)
                continue
            identifier = key.get("id")
            if not isinstance(identifier, str):
                self.report.wrong_type(((here, "key"), "id"), "text", identifier)
                continue
            found.append((condition, identifier, key, here))
        return found

    def unknown_condition(self, identifier: str, place: Place) -> None:
        message = f"unknown condition {shown(identifier)}"
        self.report.add("unknown-condition", ((place, "key"), "id"), message)

    def activity(self, leaf: dict[str, JsonValue], place: Place, depth: int) -> Rule | None:
        operator = read_operator(leaf, place, self.report, "greaterThanInclusive")
        if operator is not None and operator not in COUNTING:
            message = f"a number of events is not compared by {operator}"
            self.report.add("unsupported-operator", (place, "operator"), message)
        event_type = leaf["type"]
        name = None if event_type == "page" else self.event_name(leaf, place)
        count = self.count(leaf, place)
        within_ms = self.within_ms(leaf, place)
        conditions = tuple(
            test
            for condition, identifier, key, here in self.conditions(leaf, place)
            if (test := self.event_condition(condition, identifier, key, here)) is not None
        )
        if operator is None or count is None:
            return None
        return CounterTest(Counter(event_type, name, conditions, within_ms), operator, count)

    def event_name(self, leaf: dict[str, JsonValue], place: Place) -> str | None:
        """The name to count, None for any."""
        value = leaf.get("value")
        if value is None or value == "":
            if leaf["type"] == "track":
                message = "a track leaf names its event, or * for any"
                self.report.add("missing-value", (place, "value"), message)
            return None
        if not isinstance(value, str):
            self.report.wrong_type((place, "value"), "text", value)
            return None
        return None if value == "*" else value

    def count(self, leaf: dict[str, JsonValue], place: Place) -> float | None:
        value = leaf.get("count")
        if value is None:
            return 1.0
        count = to_number(value)
        if count is None or count < 0 or not count.is_integer():
            message = f"count is a whole number of events, not {shown(value)}"
            self.report.add("invalid-count", (place, "count"), message)
            return None
        if count == 0:
            self.report.add("zero-count", (place, "count"), "count is 0")
        return count

    def within_ms(self, leaf: dict[str, JsonValue], place: Place) -> int | None:
        value = leaf.get("within")
        if value is None:
            return None
        days = value.get("days") if isinstance(value, dict) and len(value) == 1 else None
        within_ms = 0
        if is_number(days) and 0 < days <= MAX_WITHIN_DAYS:
            within_ms = round(days * MS_PER_DAY)
        if within_ms < 1:
            message = f'within is {{"days": N}} with 0 < N <= {MAX_WITHIN_DAYS:,}'
            self.report.add("invalid-within", (place, "within"), message)
            return None
        return within_ms

    def event_condition(
        self,
        condition: dict[str, JsonValue],
        identifier: str,
        key: dict[str, JsonValue],
        place: Place,
    ) -> Test | None:
        path: Path | None = None
        fallback: Path | None = None
        if identifier in PAGE_CONDITIONS:
            path = ("context", "page", PAGE_CONDITIONS[identifier])
            fallback = ("properties", PAGE_CONDITIONS[identifier])
        elif identifier in CAMPAIGN_CONDITIONS:
            path = ("context", "campaign", CAMPAIGN_CONDITIONS[identifier])
        elif identifier == QUERY_CONDITION:
            name = self.condition_name(key, place)
            if name is not None:
                path = ("context", "page", "query", name)
                fallback = ("properties", "query", name)
        elif identifier in PROPERTY_CONDITIONS:
            name = self.condition_name(key, place)
            if name is not None:
                path = self.dotted("properties", name, ((place, "key"), "value"))
        else:
            self.unknown_condition(identifier, place)
        return read_comparison(condition, place, self.report, path, fallback)

    def condition_name(self, key: dict[str, JsonValue], place: Place) -> str | None:
        name, here = key.get("value"), ((place, "key"), "value")
        if name is None or name == "":
            self.report.add("missing-key", here, "the condition's key.value names no property")
            return None
        if not isinstance(name, str):
            self.report.wrong_type(here, "text", name)
            return None
        return name

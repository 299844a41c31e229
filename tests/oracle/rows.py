"""Facts of SEMANTICS.md and docs/rules.md as rows with literal expectations.

Each row restates one sentence. The oracle is held against them, and so is the engine.
"""

from __future__ import annotations

from typing import Any

from oracle.oracle import MISSING

NUMBER_TEXTS: list[tuple[Any, ...]] = [
    (5, "5"), (5.0, "5"), (0.1, "0.1"), (1e21, "1e+21"), (-0.0, "0"), (0, "0"), (-5, "-5"),
    (1e20, "100000000000000000000"), (123456789012345680000, "123456789012345680000"),
    (1e-6, "0.000001"), (1e-7, "1e-7"), (1.5e-7, "1.5e-7"), (5e-324, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"), (2**53 + 1, "9007199254740992"),
    (0.1 + 0.2, "0.30000000000000004"), (1.5, "1.5"), (100, "100"), (-1e-7, "-1e-7"),
    (1234.5, "1234.5"), (1e22, "1e+22"), (1.2e21, "1.2e+21"), (0.00001234, "0.00001234"),
]  # fmt: skip
"""A number and its text."""

VALUE_TEXTS: list[tuple[Any, ...]] = [
    ("text", "text"), ("", ""), (True, "true"), (False, "false"), (None, "null"), ([], ""),
    ([1, None, "a", True], "1,,a,true"), ([[1, [2, None]], [], 3], "1,2,,,3"),
    ({}, "[object Object]"),
    ([{"a": 1}, 2], "[object Object],2"), ([None], ""), ([-0.0, 1e21], "0,1e+21"),
]  # fmt: skip
"""A value and its text."""

NUMERIC_TEXTS: list[tuple[Any, ...]] = [
    ("5", 5), ("5.0", 5), ("5.", 5), (".5", 0.5), ("+7", 7), ("-7", -7), ("1e3", 1000),
    ("0", 0),
    ("1E+3", 1000), ("1e-400", 0), ("05", 5), ("9007199254740993", 2**53), ("-.5e-1", -0.05),
    ("", None), (" 5", None), ("5 ", None), ("5\n", None), ("0x10", None), ("1_000", None),
    (".", None),
    ("+", None), ("1e", None), ("e5", None), ("1e400", None), ("-1e400", None), ("NaN", None),
    ("Infinity", None), ("\u0665", None), ("5..", None), ("1e5.5", None), ("--5", None),
]  # fmt: skip
"""A text and the number that it spells, None for none."""

OTHER_NUMBERS: list[tuple[Any, ...]] = [
    (5, 5), (True, None), (None, None), ([5], 5), (["5"], 5), ([], None), ([5, 6], None),
    ({}, None),
]  # fmt: skip
"""Values that are neither numbers nor texts, and the numbers that their texts spell."""

EQUALS: list[tuple[Any, ...]] = [
    ("a", "a", True), ("a", "A", False), ("zo\u00eb", "zoe\u0308", False), (5, 5.0, True),
    (5, "5", True), (5, "5.0", True), ("5.0", 5, True), ("5.0", "5", False), ("5", "5", True),
    (True, "true", True), (True, True, True), (True, "True", False), (True, 1, False),
    (1, True, False),
    (None, "null", True), (None, "", False), ([1, 2], "1,2", True), ([5], 5, True),
    ([], "", True),
    ({}, "[object Object]", True), (5, "abc", False), (0, "", False), (0, "-0", True),
    (-0.0, 0, True),
    (2**53 + 1, 2**53, True), ("9007199254740993", 2**53, True), (1e21, "1e21", True),
    (5, " 5", False),
]  # fmt: skip
"""Two values and whether they are equal."""

COMPARISONS: list[tuple[Any, ...]] = [
    ("equal", "a", ["a"], ["A", "ab", 5, None, MISSING]),
    ("equal", 5, [5, "5", "5.0", [5]], ["five", 6, True, MISSING]),
    ("equal", True, [True, "true", [True]], [False, 1, "1", MISSING]),
    ("equal", "*", ["", "x", None, 0, False, [], {}], [MISSING]),
    ("notEqual", "a", ["b", None, MISSING], ["a"]),
    ("notEqual", "*", [MISSING], ["", None, 0]),
    ("in", ["a", 5, True], ["a", "5.0", 5, True, "true"], ["b", 6, False, None, MISSING]),
    ("in", ["*"], ["*"], ["x", MISSING]),
    ("in", [], [], ["x", MISSING]),
    ("notIn", ["a", 5], ["b", MISSING, None], ["a", "5", 5]),
    ("contains", "b", ["abc", "b", ["x", "b"]], ["a", "B", MISSING]),
    ("contains", "", ["", "x", None, 0, []], [MISSING]),
    ("contains", "*", ["", "x", None], [MISSING]),
    ("contains", "ull", [None], ["", MISSING]),
    ("contains", 5, ["15", 0.5, [5]], ["1", MISSING]),
    ("contains", True, ["is true", True], ["True", False]),
    ("contains", "Object", [{}], [[], MISSING]),
    ("notContains", "b", ["a", MISSING, 5], ["abc"]),
    ("notContains", "*", [MISSING], ["", "x"]),
    ("notContains", "", [MISSING], ["", "x"]),
    ("startsWith", "a", ["a", "ab", ["a", "b"]], ["ba", "A", MISSING]),
    ("startsWith", "1e", [1e21], [1e20, MISSING]),
    ("startsWith", "", ["", 0], [MISSING]),
    ("startsWith", "*", ["x"], [MISSING]),
    ("endsWith", "a", ["a", "ba"], ["ab", "A", MISSING]),
    ("endsWith", 0, [10, "a0"], [1, MISSING]),
    ("endsWith", "*", ["x"], [MISSING]),
    ("matches", "b+", ["abbc", "b"], ["a", MISSING]),
    ("matches", "^b$", ["b"], ["b\n", "ab", MISSING]),
    ("matches", "(?i)berlin", ["in BERLIN!"], ["bonn"]),
    ("matches", "", ["", "x", None], [MISSING]),
    ("matches", "^.$", ["a", "é", "🎈", 5], ["ab", "\n", ""]),
    ("matches", "^true$", [True], ["True"]),
    ("greaterThan", 5, [6, "6", 5.1, "5e1"], [5, "5", 4, "six", None, True, "", MISSING]),
    ("greaterThan", "5", [6, "6"], [5, "abc"]),
    ("greaterThan", 0, [[1], "5e-324"], [[], [1, 2], "-0", False]),
    ("greaterThanInclusive", 5, [5, "5.0", 6], [4, " 5", MISSING]),
    ("greaterThanInclusive", 1, [1], [True, "true"]),
    ("lessThan", 5, [4, "-5", ".5"], [5, 6, "0x1", "", None, MISSING]),
    ("lessThanInclusive", 5, [5, "5", 0], [5.1, "a", MISSING]),
    ("exists", None, ["", None, 0, False, [], {}], [MISSING]),
    ("notExists", None, [MISSING], ["", None, 0]),
]
"""An operator, its value, attributes for which it holds, attributes for which it does not."""

SYNONYM_ROWS: list[tuple[Any, ...]] = [
    ("equal", ["equals", "eq", "is", "==", "==="]),
    ("notEqual", ["notEquals", "ne", "neq", "isNot", "!=", "!=="]),
    ("contains", ["includes"]),
    ("notContains", ["doesNotContain", "notIncludes"]),
    ("startsWith", ["beginsWith"]),
    ("endsWith", []),
    ("matches", ["regex", "matchesRegex"]),
    ("greaterThan", ["gt", ">"]),
    ("greaterThanInclusive", ["gte", "greaterThanOrEqual", ">="]),
    ("lessThan", ["lt", "<"]),
    ("lessThanInclusive", ["lte", "lessThanOrEqual", "<="]),
    ("in", ["isIn", "oneOf"]),
    ("notIn", ["isNotIn", "noneOf"]),
    ("exists", ["isSet"]),
    ("notExists", ["isNotSet", "doesNotExist"]),
]
"""An operator and its other accepted names."""

# Of a visitor of whom nothing is known the one holds, the other does not.
YES = {"type": "identify", "key": "x", "operator": "notExists"}
NO = {"type": "identify", "key": "x", "operator": "exists"}

GROUPS: list[tuple[Any, ...]] = [
    ({"any": []}, False), ({"all": []}, True), ({"any": [{"all": []}]}, True),
    ({"any": [{"all": [YES, NO]}, {"all": [YES]}]}, True),
    ({"any": [{"all": [YES, NO]}]}, False),
    ({"not": NO}, True), ({"not": {"any": [NO, YES]}}, False),
    ({"all": [YES, {"not": {"all": [NO]}}]}, True),
    ({"not": {"any": []}}, True), (YES, True),
]  # fmt: skip
"""Rules and whether they hold for a visitor of whom nothing is known."""


def leaf(kind: str, key: str = "", operator: str = "equal", value: Any = "", **more: Any) -> Any:
    """A leaf as the vendor's editor writes it."""
    conditions = [
        {"key": {"id": one[0], "value": one[1]}, "operator": one[2], "value": one[3]}
        for one in more.pop("conditions", [])
    ]
    return {
        "type": kind,
        "key": key,
        "operator": operator,
        "value": value,
        "conditions": conditions,
        **more,
    }


PROFILE = {
    "stableId": "x",
    "traits": {"plan": "gold", "a": {"b": {"c": 5}, "null": None}, "list": [{"x": 1}], "d.e": 1},
    "location": {"city": "Berlin", "countryCode": "DE", "coordinates": {"latitude": 52.5}},
    "session": {
        "id": "s",
        "count": 3,
        "isReturningVisitor": True,
        "activeSessionLength": 8,
        "averageSessionLength": 1876.3,
        "landingPage": {"path": "/", "url": "u", "query": {"q": "1", "a.b": "2"}, "search": "?q"},
    },
}
COUNT = "session_count"

PROFILE_LEAVES: list[tuple[Any, ...]] = [
    (leaf("identify", "plan", "equal", "gold"), True),
    (leaf("identify", "a.b.c", "equal", "5"), True),
    (leaf("identify", "a.b", "equal", "[object Object]"), True),
    (leaf("identify", "a.null", "exists"), True),
    (leaf("identify", "a.null.x", "exists"), False),  # a parent that is null
    (leaf("identify", "list.x", "exists"), False),  # paths do not reach into arrays
    (leaf("identify", "list.0", "exists"), False),
    (leaf("identify", "plan.length", "exists"), False),
    (leaf("identify", "d.e", "exists"), False),  # a dotted key is a path
    (leaf("identify", "plan", "equal", "*"), True),
    (leaf("identify", "none", "equal", "*"), False),
    (leaf("location", "city", "equal", "Berlin"), True),
    (leaf("location", "city", "equal", "berlin"), False),
    (leaf("location", "country", "notEqual", "x"), True),
    (leaf("location", "coordinates.latitude", "gt", 52), True),
    (leaf("location", "coordinates.longitude", "gt", 0), False),
    (leaf("isReturningVisitor", value=True), True),
    (leaf("isReturningVisitor", value="true"), True),
    (leaf("isReturningVisitor", value=False), False),
    (leaf("isReturningVisitor", operator="notEqual", value=False), True),
    (leaf("isReturningVisitor", value=True, conditions=[(COUNT, COUNT, "gt", "2")]), True),
    (leaf("isReturningVisitor", value=True, conditions=[(COUNT, COUNT, "gt", "3")]), False),
    (
        leaf(
            "isReturningVisitor",
            value=True,
            conditions=[(COUNT, COUNT, "gt", "2"), (COUNT, COUNT, "lt", 3)],
        ),
        False,
    ),
    (leaf("session", "count", "equal", 3), True),
    (leaf("session", "averageSessionLength", "lessThan", 1876.4), True),
    (leaf("session", "landingPage.query.a.b", "equal", "2"), True),
    (leaf("session", "landingPage.query.q", "equal", 1), True),
    (leaf("session", "landingPage.referrer", "exists"), False),
]
"""A rule and whether it holds for PROFILE."""

DEVICE_LEAVES: list[tuple[Any, ...]] = [
    (leaf("device", conditions=[("type", "type", "equal", "mobile")]), ["mobile"]),
    (
        leaf("device", conditions=[("type", "type", "ne", "mobile")]),
        ["desktop", "tablet", "unknown", None],
    ),
    (leaf("device", value="desktop"), ["desktop"]),
    (leaf("device", operator="notEqual", value="desktop"), ["mobile", "tablet", "unknown", None]),
    (
        leaf(
            "device",
            value="mobile",
            conditions=[("type", "", "contains", "e"), ("type", "", "endsWith", "t")],
        ),
        ["tablet"],
    ),
]
"""A rule and the devices that it holds for; None is a caller that does not say."""


def page(**fields: Any) -> dict[str, Any]:
    """A page event with those fields in context.page."""
    return {"type": "page", "context": {"page": fields}, "properties": {}}


EVENTS = [
    page(url="https://x/pricing", path="/pricing", query={"utm": "a", "a.b": "1"}),
    page(url="https://x/", path="/", referrer=""),
    {"type": "page", "properties": {"path": "/only", "search": "?s", "query": {"utm": "p"}}},
    {"type": "page", "context": {"campaign": {"name": "spring", "source": "mail"}}},
    {"type": "track", "event": "signup", "properties": {"price": 5, "cart": {"total": "7"}}},
    {"type": "track", "event": "signup", "properties": {"price": 50}},
    {"type": "track", "event": "Signup"},
    {"type": "screen", "properties": {"name": "Home"}},
    {"type": "identify", "traits": {}},
]

COUNTS: list[tuple[Any, ...]] = [
    (leaf("page"), 4),
    (leaf("page", value="ignored"), 4),
    (leaf("page", conditions=[("context_page_url", "", "equal", "*")]), 2),
    (leaf("page", conditions=[("context_page_url", "", "contains", "pricing")]), 1),
    (leaf("page", conditions=[("context_page_path", "", "startsWith", "/")]), 3),
    (leaf("page", conditions=[("context_page_path", "", "equal", "/only")]), 1),
    (leaf("page", conditions=[("context_page_referrer", "", "equal", "")]), 1),
    (leaf("page", conditions=[("context_page_search", "", "equal", "?s")]), 1),
    (leaf("page", conditions=[("context_page_query", "utm", "exists", None)]), 2),
    (leaf("page", conditions=[("context_page_query", "a.b", "equal", 1)]), 1),
    (leaf("page", conditions=[("context_page_query", "utm", "notEqual", "a")]), 3),
    (leaf("page", conditions=[("context_campaign_name", "", "equal", "spring")]), 1),
    (leaf("page", conditions=[("context_campaign_source", "", "equal", "*")]), 1),
    (leaf("page", conditions=[("context_campaign_medium", "", "notExists", None)]), 4),
    (leaf("page", conditions=[("property", "path", "equal", "/only")]), 1),
    (leaf("track", value="signup"), 2),
    (leaf("track", value="*"), 3),
    (leaf("track", value="other"), 0),
    (leaf("track", value="signup", conditions=[("property", "price", "gt", 5)]), 1),
    (leaf("track", value="*", conditions=[("event_property", "cart.total", "gt", "6")]), 1),
    (leaf("screen", value="Home"), 1),
    (leaf("screen", value="home"), 0),
    (leaf("screen", value="*"), 1),
    (leaf("screen", value=""), 1),
]
"""A rule and how many of EVENTS it counts."""

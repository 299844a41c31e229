"""Generators of valid native documents, and of profiles and events that their rules can tell apart.

Everything is written over the interface of ``random.Random``. Hypothesis drives it through
``st.randoms()`` and so can shrink what it finds; the stress tests drive it with a seed.

Rules and profiles draw from the same small pools, and half of the profile's attributes are aimed
at one leaf of the document: its operand, or the same thing spelt as another type.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from oracle.oracle import (
    CANONICAL,
    MISSING,
    SYNONYMS,
    draws,
    is_number,
    number_of,
    read,
    text_of,
)

NOW_MS = 1_760_000_000_000
"""*Now* in all generated cases."""

DAY_MS = 86_400_000

# --- pools ---------------------------------------------------------------------------------------

TEXTS = [
    "a", "", "A", "ab", "b", "true", "false", "null", "Berlin", "berlin", "*", "**", "1,2", "a,b",
    "[object Object]", "undefined", "premium", "Process Management",
    # numeric texts, and texts that some languages take for numbers
    "5", "5.0", "05", "5.", ".5", "0.5", "+7", "7", "-5", "1e3", "1E+3", "1000", "-0", "0", "00",
    "1e21", "1e+21", "5e-324", "1e-400", "9007199254740993", "9007199254740992", "1e308",
    "0.1", "0.30000000000000004", "1e-7",
    " 5", "5 ", "5\n", "0x10", "1_000", "1e400", "-1e400", "Infinity", "NaN", "inf", "e5", "1e",
    ".", "+", "5..", "--5", "1e5.5", "\u0665", "\uff15", "1,000",
    # not ASCII, and what JSON has to escape
    "zoë", "zoe\u0308", "Ä", "ß", "日本語", "🎈", "🎈🎉", "a🎈b", "\ufeff", "\u2028", "\u00a0",
    'quo"te', "back\\slash", "\\", "tab\t", "new\nline", "\r", "\x00", "a\x00b", "\x01", "\x1f",
    "\x7f", "/", "</script>", "\\u0041", "x" * 70, "é" * 40, "long-" * 60,
]  # fmt: skip

NUMBERS = [
    5, 0, 1, -0.0, 5.0, 7, 0.5, 16, 1000, 1e3, -5, 1.5, 100, 0.1, 0.1 + 0.2, 1e-7, 1e-6, 1e21,
    1e20, 5e-324, 2.2250738585072014e-308, 2**53, 2**53 + 1, 2**53 - 1, -(2**53) - 1,
    123456789012345680000, 2**31, 2**32, 2**63, 2**64 - 1, -(2**63), 1.7976931348623157e308,
    1e22, 1e23, 4.35, 9.5e-7, 12,
]  # fmt: skip

OTHERS: list[Any] = [
    True, False, None, [], [5], ["5"], [None], [1, 2], ["a", "b"], [[1, [2]], None, True], {},
    {"a": 1}, ["a", {"b": 1}], [[]], ["*"], [1e21, -0.0], [True],
]  # fmt: skip

SPELT = {
    text_of(value): [other for other in [*NUMBERS, *OTHERS] if text_of(other) == text_of(value)]
    for value in [*NUMBERS, *OTHERS]
}
"""Values that are no texts, by their texts: rules ask for the text, profiles hold the value."""

LOOKALIKES = [text for text in TEXTS if text[:1] in "+-. 0123456789eINi\u0665\uff15"]
"""Numeric texts and texts that are nearly so."""

PATTERNS = [
    "a", "", "^a", "b$", "^a$", "(?i)BERLIN", "a|5", r"\d+", r"^\d+$", ".", "^.$", "^..$", "[ä-ü]",
    r"\pL+", "🎈", r"\x00", "(?s)a.b", "^$", r"\\", '"', r"^-?\d+(\.\d+)?$", "e[+-]2", r"\bb",
    "true", r"\[object Object\]", r",", "(a|b){2}", r"\s", "é{40}", r"^\S*$", "\n", "x{70}",
]  # fmt: skip

TRAIT_KEYS = [
    "plan", "age", "a", "b", "a.b", "a.c", "a.b.c", "nested.deep.key", "zoë", "with space",
    'quo"te', "back\\slash", "tab\t.x", "k" * 60, "5", "__proto__", "traits", "stableId", "🎈.🎈",
]  # fmt: skip

LOCATION_KEYS = [
    "city", "region", "regionCode", "country", "countryCode", "continent", "postalCode", "timezone",
    "coordinates.latitude", "coordinates.longitude",
]  # fmt: skip

QUERY_NAMES = ["utm_source", "q", "a.b", "zoë", "with space", 'quo"te', "landingPage"]

SESSION_KEYS = [
    "id", "count", "isReturningVisitor", "activeSessionLength", "averageSessionLength",
    "landingPage.path", "landingPage.url", "landingPage.referrer", "landingPage.search",
    *(f"landingPage.query.{name}" for name in QUERY_NAMES),
]  # fmt: skip

PROPERTY_KEYS = ["category", "price", "cart.total", "cart.items.first", "name", "zoë", "url"]

EVENT_NAMES = ["signup", "a", "Signup", "zoë", "5", "🎈", "page view"]
EVENT_TYPES = ["page", "track", "screen", "identify", "component", "alias", "group"]
SCREEN_NAMES = ["Home", "home", "zoë", "5", "Cart"]
DEVICES = ["desktop", "mobile", "tablet", "unknown"]

PAGE_FIELDS = ["url", "path", "referrer", "search"]
CAMPAIGN_FIELDS = ["name", "source", "medium", "term", "content"]
PROPERTY_IDS = ["property", "properties", "page_property", "event_property"]

COUNT_OPERATORS = [
    "greaterThanInclusive", "equal", "notEqual", "greaterThan", "lessThan", "lessThanInclusive",
]  # fmt: skip
ORDERINGS = {"greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"}

TRAFFIC = [1, 0, 5e-324, 1e-10, 0.1, 0.5, 1 - 2**-53, 1.0, 0.9, 2**-32, 1 / 4294967295]

SHARES: list[list[float]] = [
    [0.5, 0.5], [0, 1], [1], [1, 0], [1 / 3, 1 / 3, 1 / 3], [0.3333333333333333] * 3, [0.1] * 10,
    [1e-12, 1], [1, 1e-12], [0.5, 1e-12, 0.5], [0, 0, 1], [0, 0, 0], [0.2, 0.2], [0.7, 0.7, 0.7],
    [0.25] * 4, [5e-324, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4], [0.9, 0.1], [1 - 2**-53, 2**-53], [0], [],
]  # fmt: skip

IDS = [
    "a", "A", "b", "B", "aa", "Ab", "AB", "aB", "zoë", "ZOË", "Zoë", "ä", "Ä", "1hTt", "1lNQ",
    "1TF5", "é", "e\u0301", "ß", "SS", "İ", "i", "\u0131", "Σ", "ς", "\u03c3", "🎈", "ﬀ", "日本",
    "id with space", 'quo"te', "back\\slash", "2cSY1TX0nDfYe4fuIrGQ1K", "x" * 33, "z" * 130,
    "-", "_", "[", "a-b",
]  # fmt: skip


@dataclass
class Case:
    """A document, and profiles to select for, each with its device, events and way of asking."""

    document: dict[str, Any]
    visits: list[Visit] = field(default_factory=list)


@dataclass
class Visit:
    """The arguments of one ``select``."""

    profile: dict[str, Any]
    device: str | None
    events: list[dict[str, Any]] | None
    now_ms: int = NOW_MS


# --- documents -----------------------------------------------------------------------------------


def document(rng: Random, *, audiences: int = 4, experiences: int = 5) -> dict[str, Any]:
    """A valid native document with up to that many audiences and experiences."""
    audience_ids = with_ties(rng, rng.sample(IDS, rng.randint(0, audiences)))
    experience_ids = with_ties(rng, unique_ids(rng, rng.randint(1, experiences)))
    result: dict[str, Any] = {
        "audiences": [audience(rng, audience_id) for audience_id in audience_ids],
        "experiences": [experience(rng, one, audience_ids) for one in experience_ids],
    }
    if rng.random() < 0.5:
        result["format"] = "whichvariant/1"
    scheme = rng.choice([None, "murmur3", "xxh64"])
    if scheme is not None:
        result["scheme"] = scheme
    if rng.random() < 0.2:
        result["mergetags"] = [
            {"nt_mergetag_id": "traits.firstname", "nt_name": "First name", "nt_fallback": "you"}
        ]
    return result


def with_ties(rng: Random, ids: list[str]) -> list[str]:
    """Now and then an id once more in the other case, which ties in the order of answers."""
    if ids and rng.random() < 0.3:
        return list(dict.fromkeys([*ids, rng.choice(ids).swapcase()]))
    return ids


def unique_ids(rng: Random, count: int) -> list[str]:
    """Ids of every length modulo 4, some of them not ASCII."""
    ids: dict[str, None] = {}
    while len(ids) < count:
        if rng.random() < 0.5:
            ids[rng.choice(IDS)] = None
        else:
            alphabet = rng.choice(["abcXYZ019", "0123456789abcdef", "aé🎈-"])
            ids[scramble(rng, alphabet, 30)] = None
    return list(ids)


def audience(rng: Random, audience_id: str) -> dict[str, Any]:
    """One `nt_audience`."""
    result = {"nt_audience_id": audience_id, "nt_rules": rules(rng)}
    if rng.random() < 0.5:
        result["nt_name"] = "Audience " + audience_id
    return result


def rules(rng: Random) -> dict[str, Any]:
    """`nt_rules`: mostly the vendor's OR of ANDs, else groups at will."""
    if rng.random() < 0.6:
        return {
            "any": [
                {"all": [leaf(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]}
                for _ in range(rng.choice([1, 1, 2, 3]))
            ]
        }
    return group(rng, 4)


def group(rng: Random, depth: int) -> dict[str, Any]:
    """A group of groups and leaves, now and then an empty one."""
    kind = rng.choice(["any", "all", "not"])
    if kind == "not":
        return {"not": node(rng, depth - 1)}
    return {kind: [node(rng, depth - 1) for _ in range(rng.choice([1, 2, 2, 3, 0]))]}


def node(rng: Random, depth: int) -> dict[str, Any]:
    """A leaf, or a group while there is depth left."""
    return leaf(rng) if depth <= 0 or rng.random() < 0.5 else group(rng, depth)


def leaf(rng: Random) -> dict[str, Any]:
    """A leaf of any type, with every field that the vendor's editor writes."""
    kind = rng.choice(
        [
            "identify", "identify", "identify", "location", "session", "isReturningVisitor",
            "device", "page", "page", "track", "track", "screen",
        ]
    )  # fmt: skip
    result: dict[str, Any] = {"type": kind}
    if rng.random() < 0.5:  # the editor writes all fields, also those that the type does not use
        result |= {"key": "", "count": "1", "conditions": []}
    if kind == "identify":
        result |= {"key": rng.choice(TRAIT_KEYS), **comparison(rng)}
    elif kind == "location":
        result |= {"key": rng.choice(LOCATION_KEYS), **comparison(rng)}
    elif kind == "session":
        result |= {"key": rng.choice(SESSION_KEYS), **comparison(rng)}
    elif kind == "isReturningVisitor":
        result |= {
            "operator": name_of(rng, rng.choice(["equal", "equal", "notEqual"])),
            "value": rng.choice([True, False, "true", "false"]),
        }
        if rng.random() < 0.5:
            result["conditions"] = [
                {"key": condition_key("session_count"), **comparison(rng, counting=True)}
                for _ in range(rng.choice([1, 1, 2]))
            ]
    elif kind == "device":
        result |= device_fields(rng)
    else:
        result |= counter_fields(rng, kind)
    return result


def name_of(rng: Random, operator: str) -> str:
    """The operator's own name or one of its synonyms."""
    return rng.choice(SYNONYMS[operator].split())


def comparison(rng: Random, *, counting: bool = False) -> dict[str, Any]:
    """``operator`` and ``value`` of a leaf or a condition."""
    operators = ["equal", *sorted(ORDERINGS)] if counting else list(SYNONYMS)
    operator = rng.choice(operators)
    result: dict[str, Any] = {"operator": name_of(rng, operator)}
    if operator in ("exists", "notExists"):
        if rng.random() < 0.5:
            result["value"] = rng.choice(["", "*", "a"])  # ignored
    elif operator in ("in", "notIn"):
        result["value"] = [operand(rng) for _ in range(rng.choice([1, 2, 3, 4, 0]))]
        if rng.random() < 0.1:
            result["value"].append("*")
    elif operator == "matches":
        result["value"] = rng.choice(PATTERNS)
    elif operator in ORDERINGS:
        result["value"] = ordering_operand(rng) if not counting else rng.choice([1, "1", 2, "3", 0])
    elif counting:
        result["value"] = rng.choice([1, "1", 2, "*"])
    else:
        result["value"] = "*" if rng.random() < 0.1 else operand(rng)
    return result


def operand(rng: Random) -> Any:
    """A text, number or boolean."""
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(TEXTS)
    if kind < 0.6:
        return rng.choice(list(SPELT))
    return rng.choice(NUMBERS) if kind < 0.9 else rng.choice([True, False])


def ordering_operand(rng: Random) -> Any:
    """A number or numeric text."""
    if rng.random() < 0.5:
        return rng.choice(NUMBERS)
    return rng.choice([text for text in TEXTS if number_of(text) is not None])


def condition_key(condition_id: str, value: str | None = None) -> dict[str, Any]:
    """The key object of a condition, as the vendor's editor writes it."""
    return {
        "id": condition_id,
        "key": condition_id,
        "label": condition_id,
        "value": condition_id if value is None else value,
        "useOnce": True,
        "category": {"name": condition_id, "type": condition_id, "label": condition_id},
    }


def device_fields(rng: Random) -> dict[str, Any]:
    """Conditions on the device type, or the leaf's own operator and value."""

    def one() -> dict[str, Any]:
        operator = rng.choice(
            ["equal", "equal", "notEqual", "in", "notIn", "contains", "notContains", "matches",
             "startsWith", "endsWith", "exists", "notExists"]
        )  # fmt: skip
        value: Any = rng.choice([*DEVICES, "*", "Desktop", "e"])
        if operator in ("in", "notIn"):
            value = rng.sample(DEVICES, rng.randint(1, 3))
        elif operator == "matches":
            value = rng.choice(["^d", "e", "t$"])
        return {"operator": name_of(rng, operator), "value": value}

    if rng.random() < 0.3:
        return {**one(), "conditions": []}
    return {
        "operator": "equal",
        "value": rng.choice(["", "mobile"]),
        "conditions": [
            {"key": condition_key("type"), **one()} for _ in range(rng.choice([1, 1, 2]))
        ],
    }


def counter_fields(rng: Random, kind: str) -> dict[str, Any]:
    """``value``, ``operator``, ``count``, ``within`` and ``conditions`` of an activity leaf."""
    result: dict[str, Any] = {
        "conditions": [event_condition(rng) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    }
    if kind == "track":
        result["value"] = rng.choice(["*", *EVENT_NAMES])
    elif kind == "screen":
        result["value"] = rng.choice(["*", "", *SCREEN_NAMES])
    elif rng.random() < 0.5:
        result["value"] = rng.choice(["", "*", "ignored"])
    if rng.random() < 0.7:
        result["operator"] = name_of(rng, rng.choice(COUNT_OPERATORS))
    if rng.random() < 0.7:
        result["count"] = rng.choice(["1", 1, 2, "2", 3, 0, "0", 1.0])
    elif "count" in result:
        del result["count"]
    if rng.random() < 0.4:
        result["within"] = {"days": rng.choice([1, 7, 30, 0.5])}
    return result


def event_condition(rng: Random) -> dict[str, Any]:
    """A condition with any of the ids."""
    kind = rng.random()
    if kind < 0.4:
        key = condition_key(f"context_page_{rng.choice(PAGE_FIELDS)}", rng.choice(["", None]))
    elif kind < 0.6:
        key = condition_key("context_page_query", rng.choice(QUERY_NAMES))
    elif kind < 0.8:
        key = condition_key(f"context_campaign_{rng.choice(CAMPAIGN_FIELDS)}")
    else:
        key = condition_key(rng.choice(PROPERTY_IDS), rng.choice(PROPERTY_KEYS))
    return {"key": key, **comparison(rng)}


def experience(rng: Random, experience_id: str, audience_ids: list[str]) -> dict[str, Any]:
    """One `nt_experience`."""
    config: dict[str, Any] = {"components": components(rng)}
    if rng.random() < 0.95:
        config["traffic"] = 1 if rng.random() < 0.7 else rng.choice(TRAFFIC)
    kind = rng.random()
    if kind < 0.6:
        config["distribution"] = list(rng.choice(SHARES))
    elif kind < 0.7:
        config["distribution"] = [rng.random() / 2 for _ in range(rng.randint(1, 10))]
    elif kind < 0.9:
        config["distribution"] = explicit_segments(rng)
    sticky = rng.choice([None, False, True, True])
    if sticky is not None:
        config["sticky"] = sticky
    if rng.random() < 0.3:
        config |= {"primaryMetric": "", "distributionType": "even-split", "scattered": [1]}
    result: dict[str, Any] = {"nt_experience_id": experience_id, "nt_config": config}
    if rng.random() < 0.5:
        result |= {"nt_name": "X", "nt_type": rng.choice(["nt_experiment", "nt_personalization"])}
    if audience_ids and rng.random() < 0.8:
        audience_id = rng.choice(audience_ids)
        result["nt_audience"] = rng.choice(
            [audience_id, {"sys": {"type": "Link", "linkType": "Entry", "id": audience_id}}]
        )
    elif rng.random() < 0.5:
        result["nt_audience"] = None
    return result


def explicit_segments(rng: Random) -> list[dict[str, Any]]:
    """Segments with gaps and overlaps, in any order."""
    points = [0, 1, 0.5, 0.25, 0.75, 1 / 3, 1e-12, 1 - 2**-53, rng.random(), rng.random()]
    segments = []
    for _ in range(rng.randint(1, 5)):
        start, end = sorted([rng.choice(points), rng.choice(points)])
        segments.append({"index": rng.randint(0, 5), "start": start, "end": end})
    return segments


def components(rng: Random) -> list[dict[str, Any]]:
    """Entry replacements and inline variables, some with one baseline, some hidden."""
    return [
        entry_replacement(rng) if rng.random() < 0.6 else inline_variable(rng)
        for _ in range(rng.choice([1, 1, 2, 3, 0]))
    ]


def entry_replacement(rng: Random) -> dict[str, Any]:
    """A component that replaces an entry; its type may be left out."""
    baseline: dict[str, Any] = {"id": rng.choice(["entryA", "entryB", "entry \u00c4🎈", 'entry"'])}
    if rng.random() < 0.3:
        baseline |= {"title": "Hero", "hidden": rng.choice([False, True])}
    variants = []
    for _ in range(rng.choice([1, 1, 2, 3, 0])):
        variant: dict[str, Any] = {"id": rng.choice(["v1", "v2", "", "vä🎈", 'v"\\', "entryA"])}
        if variant["id"] == "":
            variant["hidden"] = True
        elif rng.random() < 0.3:
            variant["hidden"] = False
        variants.append(variant)
    result: dict[str, Any] = {"baseline": baseline, "variants": variants}
    if rng.random() < 0.5:
        result["type"] = "EntryReplacement"
    return result


INLINE_VALUES: dict[str, list[Any]] = {
    "String": ["Hello", "", "zoë 🎈", 'quo"te\\', "\x00\n\u2028", "long " * 50],
    "Number": [0, 1, -0.5, 12345, 1e21, 2**53, 0.1, 5e-324],
    "Boolean": [True, False],
    "Object": [{"flag": True}, {}, {"ä": [1, None, {"b": "🎈"}]}],
}


def inline_variable(rng: Random) -> dict[str, Any]:
    """A component that sets a keyed value; a variant may lack its value."""
    value_type = rng.choice(list(INLINE_VALUES))
    values = INLINE_VALUES[value_type]
    baseline: dict[str, Any] = {"value": rng.choice(values)}
    if rng.random() < 0.1:
        baseline["hidden"] = True
    return {
        "type": "InlineVariable",
        "key": rng.choice(["headline", "cta", "zoë", "🎈"]),
        "valueType": value_type,
        "baseline": baseline,
        "variants": [
            {"value": rng.choice(values)} if rng.random() < 0.85 else {}
            for _ in range(rng.choice([1, 1, 2, 3, 0]))
        ],
    }


# --- edges ---------------------------------------------------------------------------------------


def sharpen(rng: Random, configuration: dict[str, Any], visits: list[Visit]) -> None:
    """Move shares, segments and traffic to the very draws of the visitors, or next to them.

    Draws are 2^-32 apart, so no random boundary would ever meet one.
    """
    scheme = configuration.get("scheme", "murmur3")
    for entry in configuration["experiences"]:
        if rng.random() < 0.6:
            continue
        stable = rng.choice(visits).profile["stableId"]
        traffic, split = draws(scheme, entry["nt_experience_id"], stable)
        config = entry["nt_config"]
        if rng.random() < 0.3:
            config["traffic"] = neighbour(rng, traffic)
            continue
        config["traffic"] = 1
        point = neighbour(rng, split)
        part = rng.choice([0.1, 0.3, 0.7, 1 / 3]) * point
        config["distribution"] = rng.choice(
            [
                [point, 1 - point],
                [part, point - part, 1 - point],
                [point / 7] * 7,
                [point / 10] * 10,
                [{"index": 1, "start": 0, "end": point}],
                [{"index": 1, "start": point, "end": 1}],
                [{"index": 2, "start": point, "end": point}, {"index": 1, "start": 0, "end": 1}],
            ]
        )


def neighbour(rng: Random, draw: float) -> float:
    """The draw itself or the double next to it, within [0, 1]."""
    towards = rng.choice([draw, 0, 1])
    return math.nextafter(draw, towards)


# --- profiles ------------------------------------------------------------------------------------


def visit(rng: Random, configuration: dict[str, Any]) -> Visit:
    """A profile with device and events, aimed at the document's leaves."""
    leaves = [one for audience in configuration["audiences"] for one in leaves_of(audience)]
    return Visit(
        profile=profile(rng, configuration, leaves),
        device=rng.choice([*DEVICES, None]),
        events=events(rng, leaves),
    )


def leaves_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """All leaves of an audience."""
    found = []
    nodes = [entry["nt_rules"]]
    while nodes:
        one = nodes.pop()
        if "type" in one:
            found.append(one)
        else:
            nodes += [*one.get("any", []), *one.get("all", [])]
            nodes += [one["not"]] if "not" in one else []
    return found


def profile(
    rng: Random, configuration: dict[str, Any], leaves: list[dict[str, Any]]
) -> dict[str, Any]:
    """A profile in the API's shape, whole or with parts missing or of the wrong type."""
    result: dict[str, Any] = {
        "id": "some-id",
        "stableId": stable_id(rng),
        "random": 0.9275021184998337,
        "audiences": [],
        "traits": {},
        "location": {},
        "session": {
            "id": "s-1",
            "count": rng.choice([1, 2, 3, "1", 1.0]),
            "isReturningVisitor": rng.choice([False, True]),
            "landingPage": {"path": "/", "query": {}, "referrer": "", "search": "", "url": "a"},
            "activeSessionLength": 8,
            "averageSessionLength": 8.5,
        },
    }
    for path in rng.sample(PROFILE_PATHS, rng.choice([0, 1, 3, 6])):
        put(result, path, any_value(rng))
    for one in leaves:
        prefix = {"identify": "traits", "location": "location", "session": "session"}
        if one["type"] not in prefix or rng.random() < 0.4:
            continue
        segments = session_segments(one["key"]) if one["type"] == "session" else None
        path = (prefix[one["type"]], *(segments or one["key"].split(".")))
        put(result, path, aimed_value(rng, one))
    if rng.random() < 0.15:
        # A dotted key is a path: a property that is really spelt with a dot is another one.
        result["traits"]["a.b"] = any_value(rng)
    if rng.random() < 0.15:
        spoil(rng, result)

    known = [entry["nt_audience_id"] for entry in configuration["audiences"]]
    given = rng.sample(known, rng.randint(0, len(known)))
    given += rng.sample(["unknown", "A", "zoë", ""], rng.randint(0, 2))
    result["audiences"] = given + given[:1] * rng.choice([0, 0, 1])
    sticky = sticky_variants(rng, configuration)
    if sticky is not MISSING:
        result["stickyVariants"] = sticky
    if rng.random() < 0.1:
        result |= {"jurisdiction": "EU", "unknown": {"traits": {"plan": 1}, "stableId": "no"}}
    for key in ("random", "audiences", "traits", "location", "session"):
        if rng.random() < 0.05:
            del result[key]
    return result


def session_segments(key: str) -> list[str]:
    """A query parameter's name is one segment, whatever dots it has."""
    prefix = "landingPage.query."
    if key.startswith(prefix):
        return ["landingPage", "query", key.removeprefix(prefix)]
    return key.split(".")


PROFILE_PATHS = [
    *(("traits", *key.split(".")) for key in TRAIT_KEYS),
    *(("location", *key.split(".")) for key in LOCATION_KEYS),
    *(("session", *session_segments(key)) for key in SESSION_KEYS),
]


def put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path, putting objects in the way of it."""
    for segment in path[:-1]:
        if not isinstance(target.get(segment), dict):
            target[segment] = {}
        target = target[segment]
    target[path[-1]] = copy.deepcopy(value)


def spoil(rng: Random, result: dict[str, Any]) -> None:
    """Give one parent on many paths a type that it should not have, or make a whole part null."""
    wrong = rng.choice([None, [], ["a"], "text", 5, True, [{"path": "/"}]])
    if rng.random() < 0.2:
        result[rng.choice(["traits", "location", "session"])] = None
        return
    path = rng.choice(
        [
            ("session", "landingPage"), ("traits", "a"), ("traits", "a", "b"),
            ("session", "landingPage", "query"), ("location", "coordinates"),
        ]
    )  # fmt: skip
    put(result, path, wrong)


def any_value(rng: Random) -> Any:
    """Any JSON value of the pools."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(TEXTS)
    if kind < 0.7:
        return rng.choice(NUMBERS)
    return None if kind < 0.8 else copy.deepcopy(rng.choice(OTHERS))


def aimed_value(rng: Random, test: dict[str, Any]) -> Any:
    """A value at or near what a leaf or condition asks for."""
    value = test.get("value", "a")
    if isinstance(value, list):
        value = rng.choice(value) if value else "a"
    choice = rng.random()
    if choice < 0.1 or "value" not in test:
        return any_value(rng)
    if choice < 0.45:
        return value
    operator = CANONICAL.get(test["operator"])
    if operator in ORDERINGS and choice < 0.55:
        return rng.choice(LOOKALIKES)
    number = number_of(value)
    if number is not None and choice < 0.75:
        # The same number in other spellings, and its neighbours.
        above = math.nextafter(number, math.inf)
        return rng.choice(
            [
                number, text_of(number), repr(number), f"+{text_of(abs(number))}", [number],
                [text_of(number)], above if math.isfinite(above) else number,
                -math.nextafter(-number, 0), number / 2, -number, f" {text_of(number)}",
            ]
        )  # fmt: skip
    text = text_of(value)
    if text in SPELT and choice < 0.85:
        return copy.deepcopy(rng.choice(SPELT[text]))
    return rng.choice(
        [text, text + "x", "x" + text, f"x{text}x", [text], ["x", text], text.upper(),
         text.lower(), text[:-1], text[1:]]
    )  # fmt: skip


def stable_id(rng: Random) -> str:
    """Stable ids as they are, and as they should not be."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice([f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(256):064x}"])
    if kind < 0.6:
        return f"visitor-{rng.randint(0, 10**6)}"
    if kind < 0.9:
        return scramble(rng, rng.choice(["ab1", "aé", "ä日🎈", '"\\\x01/', "🎈"]), 40)
    return rng.choice(["x", "12", "123", "1234", "zoë", "x" * 5000, "é🎈" * 700])


def scramble(rng: Random, alphabet: str, longest: int) -> str:
    """A text of 1 to ``longest`` characters, from two draws: hypothesis pays for every draw."""
    local = Random(rng.randint(0, 2**32))
    return "".join(local.choice(alphabet) for _ in range(rng.randint(1, longest)))


def sticky_variants(rng: Random, configuration: dict[str, Any]) -> Any:
    """Stored choices: known and unknown experiences, indices that exist or do not."""
    if rng.random() < 0.3:
        return rng.choice([MISSING, MISSING, {}, None])
    choices: dict[str, Any] = {}
    for entry in configuration["experiences"]:
        if rng.random() < 0.6:
            choices[entry["nt_experience_id"]] = rng.choice([0, 1, 1, 2, 3, 5, 9, 300, 1.0])
    if rng.random() < 0.3:
        choices["unknown"] = 1
    return choices


# --- events --------------------------------------------------------------------------------------


def events(rng: Random, leaves: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """A history that activity leaves can count."""
    if rng.random() < 0.2:
        return rng.choice([None, []])
    counters = [one for one in leaves if one["type"] in ("page", "track", "screen")]
    result = []
    for _ in range(rng.randint(1, 6)):
        one = rng.choice(counters) if counters and rng.random() < 0.8 else None
        result.append(event(rng, one))
    return result


def event(rng: Random, counter: dict[str, Any] | None) -> dict[str, Any]:
    """One event, aimed at one activity leaf or at none."""
    kind = counter["type"] if counter else rng.choice(EVENT_TYPES)
    result: dict[str, Any] = {"type": kind, "channel": "web", "messageId": "m"}
    if kind == "track":
        names = [*EVENT_NAMES, *([counter["value"]] * 8 if counter else [])]
        result["event"] = rng.choice(names)
    context: dict[str, Any] = {"library": {"name": "x", "version": "1"}, "campaign": {}}
    properties: dict[str, Any] = {}
    result |= {"context": context, "properties": properties}
    if kind == "page":
        context["page"] = {"path": "/", "query": {}, "referrer": "", "search": "", "url": "u"}
        properties |= {"path": "/p", "query": {}, "referrer": "", "search": "?p", "url": "p"}
    if kind == "screen":
        names = [*SCREEN_NAMES, *([counter["value"]] * 8 if counter and counter["value"] else [])]
        properties["name"] = rng.choice(names)
    for condition in counter["conditions"] if counter else []:
        if rng.random() < 0.85:
            path = place_of(rng, condition["key"])
            put(result, path, aimed_value(rng, condition))
            if path[0] == "properties" and kind == "page" and rng.random() < 0.4:
                # What the context has comes first, null too.
                put(result, ("context", "page", *path[1:]), rng.choice([None, None, "context"]))
    if rng.random() < 0.2:
        path = rng.choice([("context", "page"), ("context", "page", "query"), ("properties",),
                           ("context", "campaign"), ("context", "page", "url"),
                           ("properties", "query"), ("properties", "cart")])  # fmt: skip
        if kind != "screen" or path != ("properties",):
            put(result, path, rng.choice([None, {}, "text", ["a"], 5]))
    if kind == "screen" and not isinstance(read(result, ["properties", "name"]), str):
        put(result, ("properties", "name"), rng.choice(SCREEN_NAMES))
    days = (counter or {}).get("within", {}).get("days", 7)
    stamp = timestamp(rng, days)
    if stamp is not None:
        result["timestamp"] = stamp
    return result


def place_of(rng: Random, key: dict[str, Any]) -> tuple[str, ...]:
    """Where a condition reads; pages and properties alike where it reads both."""
    condition_id = key["id"]
    parent = rng.choice([("context", "page"), ("properties",)])
    if condition_id in PROPERTY_IDS:
        return ("properties", *key["value"].split("."))
    if condition_id == "context_page_query":
        return (*parent, "query", key["value"])
    if condition_id.startswith("context_page_"):
        return (*parent, condition_id.removeprefix("context_page_"))
    return ("context", "campaign", condition_id.removeprefix("context_campaign_"))


def timestamp(rng: Random, days: float) -> str | None:
    """None, or ISO 8601 text, often within a millisecond of the edge of a window."""
    if rng.random() < 0.2:
        return None
    edge = -int(days * DAY_MS)
    offset = rng.choice([edge, edge - 1, edge + 1, 0, 60_000, edge * 2, -1000, edge // 2])
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW_MS + offset)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    return text + rng.choice(["Z", "+00:00"])


# --- JSON ----------------------------------------------------------------------------------------


def json_text(value: Any) -> bytes:
    """Plain JSON, also for integers that compact encoders refuse."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def odd_json(seed: int, value: Any) -> bytes:
    """The same value as JSON that no encoder would write: spaces, escapes, order, repeated keys."""
    rng = Random(seed)
    return (space(rng) + odd_value(rng, value) + space(rng)).encode()


def space(rng: Random) -> str:
    """White space, mostly none."""
    return "" if rng.random() < 0.7 else rng.choice([" ", "\n", "\t", "\r\n", "    "])


def odd_value(rng: Random, value: Any) -> str:
    """One value, written oddly."""
    if isinstance(value, str):
        return odd_text(rng, value)
    if isinstance(value, list):
        parts = [space(rng) + odd_value(rng, element) + space(rng) for element in value]
        return "[" + (",".join(parts) or space(rng)) + "]"
    if isinstance(value, dict):
        return odd_object(rng, value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return odd_number(rng, value)


def odd_object(rng: Random, value: dict[str, Any]) -> str:
    """An object with its keys in any order, some of them repeated: the last one wins."""
    keys = list(value)
    rng.shuffle(keys)
    members = [(key, odd_value(rng, value[key])) for key in keys]
    if members and rng.random() < 0.25:
        key = rng.choice(keys)
        last = next(place for place, member in enumerate(members) if member[0] == key)
        # What the earlier one holds must leave no trace, whatever it holds.
        loser = rng.choice(
            [None, 5, "text", [], {}, {"a": {"b": {"c": 5}}}, {"plan": "a", "city": "Berlin"},
             ["x", {"y": []}], {"count": 9, "landingPage": {"path": "/", "query": {"q": "a"}}}]
        )  # fmt: skip
        members.insert(rng.randint(0, last), (key, odd_value(rng, loser)))
    parts = [
        space(rng) + odd_text(rng, key) + space(rng) + ":" + space(rng) + text + space(rng)
        for key, text in members
    ]
    return "{" + (",".join(parts) or space(rng)) + "}"


def odd_text(rng: Random, text: str) -> str:
    """A string with needless escapes, surrogate pairs among them."""
    odd = rng.random() < 0.4
    result = []
    for character in text[:200]:
        if odd and rng.random() < 0.3:
            units = character.encode("utf-16-be")
            for start in range(0, len(units), 2):
                unit = f"{int.from_bytes(units[start : start + 2], 'big'):04x}"
                result.append("\\u" + (unit.upper() if rng.random() < 0.5 else unit))
        elif odd and character == "/" and rng.random() < 0.5:
            result.append("\\/")
        else:
            result.append(json.dumps(character, ensure_ascii=False)[1:-1])
    result.append(json.dumps(text[200:], ensure_ascii=False)[1:-1])
    return '"' + "".join(result) + '"'


def odd_number(rng: Random, number: float) -> str:
    """A number in one of the spellings that read back as the same double."""
    plain = json.dumps(number)
    spellings = [plain, plain]
    if isinstance(number, int):
        spellings += [f"{number}.0", f"{number}e0", f"{number}.000E+00"]
        spellings += [f"{number}0e-1"] if number else []
    elif "e" in plain:
        mantissa, exponent = plain.split("e")
        spellings += [f"{mantissa}E{exponent}", f"{mantissa}e{int(exponent):+05d}"]
    else:
        spellings += [f"{plain}0", f"{plain}e0", f"{plain}E-0", f"{plain}000000000000000000000000"]
    if number == 0:
        spellings += ["-0", "0e5", "-0.0", "0.0"]
    return rng.choice(spellings)


def doubles(value: Any) -> Any:
    """The value with every number a double: what any two spellings of it have in common."""
    if isinstance(value, dict):
        return {key: doubles(element) for key, element in value.items()}
    if isinstance(value, list):
        return [doubles(element) for element in value]
    return float(value) if is_number(value) else value


# --- the strategies ------------------------------------------------------------------------------


@st.composite
def documents(draw: st.DrawFn, *, audiences: int = 3, experiences: int = 3) -> dict[str, Any]:
    """Valid native documents."""
    return document(draw(rngs()), audiences=audiences, experiences=experiences)


@st.composite
def cases(draw: st.DrawFn, *, visits: int = 3) -> Case:
    """A document with several visits to select for."""
    rng = draw(rngs())
    return case(rng, document(rng, audiences=3, experiences=3), visits)


def rngs() -> st.SearchStrategy[Random]:
    """Random generators whose every draw hypothesis chooses, records and shrinks."""
    return st.randoms(use_true_random=False, note_method_calls=False)


def seeded_case(seed: int, *, visits: int = 50) -> Case:
    """The case of a seed, larger than what hypothesis can afford."""
    rng = Random(seed)
    configuration = document(rng, audiences=rng.randint(1, 10), experiences=rng.randint(1, 14))
    return case(rng, configuration, visits)


def case(rng: Random, configuration: dict[str, Any], visits: int) -> Case:
    """Visits aimed at a document, and then the document's boundaries at the visits."""
    result = Case(configuration, [visit(rng, configuration) for _ in range(visits)])
    sharpen(rng, configuration, result.visits)
    return result


assert set(SYNONYMS) == set(CANONICAL.values())

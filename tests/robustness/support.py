"""What the robustness tests share: a configuration with everything in it, and ways to break things.

Every random test has a fixed seed and a fixed number of rounds, so that the default run is the same
everywhere. ``WHICHVARIANT_FUZZ_SECONDS=N`` lets each of them go on with new seeds for N seconds.
"""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import orjson
import xxhash

from whichvariant import Engine
from whichvariant.compiler.program_file import MAGIC, VERSION, unpack_program

FUZZ_SECONDS = float(os.environ.get("WHICHVARIANT_FUZZ_SECONDS", "0"))
NOW = 1_760_000_000_000
DAY = 86_400_000

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
"""Whether the address sanitizer is loaded: it keeps freed memory, and everything is slower."""

SLOWNESS = 6 if SANITIZED else 1


def rounds(count: int, first: int = 0) -> Iterator[Random]:
    """Generators of random numbers with the seeds ``first``, ``first + 1``, …"""
    end = time.monotonic() + FUZZ_SECONDS
    seed = first
    while seed < first + count or time.monotonic() < end:
        yield Random(seed)
        seed += 1


def test(key: str, operator: str = "equal", value: Any = "x", kind: str = "identify") -> Any:
    """A leaf that compares one attribute."""
    return {"type": kind, "key": key, "operator": operator, "value": value}


test.__test__ = False  # type: ignore[attr-defined]


def audience(number: int | str, *leaves: Any) -> dict[str, Any]:
    """An audience for whom all leaves hold."""
    return {"nt_audience_id": f"a{number}", "nt_rules": {"all": list(leaves)}}


def experience(number: int | str, **config: Any) -> dict[str, Any]:
    """An experience for everyone, all of them in, two even variants."""
    audience_id = config.pop("audience", None)
    components = [{"baseline": {"id": f"entry{number}"}, "variants": [{"id": f"other{number}"}]}]
    return {
        "nt_experience_id": f"e{number}",
        "nt_type": "nt_experiment",
        "nt_audience": audience_id,
        "nt_config": {
            "traffic": 1, "distribution": [0.5, 0.5], "components": components, **config
        },
    }  # fmt: skip


def document(*leaves: Any, **fields: Any) -> dict[str, Any]:
    """A native document: one audience a leaf, and one sticky experience."""
    return {
        "format": "whichvariant/1",
        "audiences": [audience(number, leaf) for number, leaf in enumerate(leaves)],
        "experiences": [experience(0, sticky=True)],
        **fields,
    }


VARIABLE = {
    "type": "InlineVariable",
    "key": "theme",
    "valueType": "Object",
    "baseline": {"value": {"colour": "blue", "sizes": [1, 2.5, None, {"deep": [True]}]}},
    "variants": [{"value": {"colour": "grün"}}, {}],
}
PAGE = {
    "type": "page",
    "count": "2",
    "within": {"days": 3},
    "conditions": [
        {"key": {"id": "context_page_url"}, "operator": "contains", "value": "/shop"},
        {"key": {"id": "context_page_query", "value": "q"}, "operator": "exists"},
        {"key": {"id": "property", "value": "cart.total"}, "operator": "gt", "value": 5},
    ],
}
RICH: dict[str, Any] = {
    "format": "whichvariant/1",
    "scheme": "murmur3",
    "audiences": [
        audience("plan", test("plan", "in", ["pro", "team", 5, "7"])),
        audience("age", test("age", "gte", 18), test("age", "lessThan", "65")),
        audience("mail", test("mail", "matches", r"@example\.(org|com)$")),
        audience("text", test("note", "contains", "é🎈"), {"not": test("note", "endsWith", "!")}),
        audience("deep", test("a.b.c", "notEqual", "x"), test("a.b", "exists")),
        audience("city", test("city", "startsWith", "Ber", "location")),
        audience("north", test("coordinates.latitude", ">", 50.5, "location")),
        audience("query", test("landingPage.query.utm_source", "equal", "*", "session")),
        audience("long", test("averageSessionLength", "lte", 1876.3, "session")),
        audience(
            "back",
            {
                "type": "isReturningVisitor",
                "operator": "equal",
                "value": True,
                "conditions": [{"key": {"id": "session_count"}, "operator": "gt", "value": "1"}],
            },
        ),
        audience("phone", {"type": "device", "operator": "equal", "value": "mobile"}),
        audience("pages", PAGE),
        audience("track", {"type": "track", "value": "signup", "count": 1, "operator": "equal"}),
        audience("screen", {"type": "screen", "value": "Home", "operator": "lt", "count": 3}),
        audience("any", {"any": [test("x", "exists"), {"all": []}]}),
    ],
    "experiences": [
        experience(0, sticky=True),
        experience(1, audience="aplan", traffic=0.5, distribution=[0.2] * 5),
        experience(2, audience="adeep", components=[VARIABLE]),
        experience(
            3,
            audience="aany",
            sticky=True,
            distribution=[{"index": 1, "start": 0, "end": 0.25}],
        ),
        experience(4, audience="apages", traffic=0),
        experience(5, audience="anorth", components=[]),
    ],
    "mergetags": [{"nt_mergetag_id": "traits.name", "nt_name": "Name", "nt_fallback": "you"}],
}
PROFILE: dict[str, Any] = {
    "id": "visitor",
    "stableId": "zoë-123",
    "traits": {
        "plan": "pro", "age": 42, "mail": "ann@example.org", "note": "an é🎈 note",
        "a": {"b": {"c": [1, "two", None]}}, "x": None,
    },
    "location": {"city": "Berlin", "coordinates": {"latitude": 52.5, "longitude": 13.4}},
    "session": {
        "count": 3, "isReturningVisitor": True, "averageSessionLength": 1876.3,
        "landingPage": {"path": "/", "query": {"utm_source": "news"}},
    },
    "audiences": ["aplan", "aage", "unknown"],
    "stickyVariants": {"e0": 1, "e3": 0, "other": "x"},
}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {
        "type": "page",
        "timestamp": "2025-10-09T08:00:00.000Z",
        "context": {"page": {"url": "https://x.example/shop", "query": {"q": "1"}}},
        "properties": {"cart": {"total": 9.5}},
    },
    {"type": "track", "event": "signup", "timestamp": NOW - DAY, "properties": {"name": "n"}},
    {"type": "screen", "properties": {"name": "Home"}},
    {"type": "identify", "traits": {"plan": "pro"}},
]


def nested(depth: int, inner: Any = 1, key: str | None = None) -> Any:
    """``depth`` containers around a value: lists, or objects with one key."""
    value = inner
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


JUNK: list[Any] = [
    None, True, False, 0, 1, -1, -0.0, 0.5, 5, 255, 256, 65536, 2**31, 2**53 + 1, 2**63, -(2**63),
    2**64 - 1, 1e-320, 1e300, 1.7976931348623157e308, "", "*", "5", "x", "\x00", "é🎈", "a..b", ".",
    "(", "[", "1e999", "9" * 400, "0." + "0" * 400 + "1", "true", "equal", "e0", "aplan",
    "x" * 1025,
    "🎈" * 600, [], [[]], [None], {}, {"": {}}, {"a": {"b": 5}}, {"type": "page"}, {"any": []},
    ["pro"], [1, "two", {"x": [None]}], nested(64), nested(250), nested(64, key="any"),
    nested(70, {"all": []}, key="not"), {"days": 1e308}, list(range(300)), "2025-01-01", NOW,
]  # fmt: skip
"""Values of JSON that belong elsewhere."""

NOT_JSON: list[Any] = [
    math.nan, math.inf, -math.inf, "\ud800", "a\udfffb", {"\udc00": 1}, b"bytes", {1, 2}, (1, 2),
    {5: "key"}, {None: 1}, 10**300, 1j, object(), range(3), iter([1]), Exception, len,
]  # fmt: skip
"""What Python has and JSON has not."""

DEEP: list[Any] = [nested(3000), nested(3000, key="a")]
"""Deeper than Python's recursion limit."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside ``value``."""
    found = [path] if path else []
    steps: Any = ()
    if isinstance(value, dict):
        steps = value.items()
    elif isinstance(value, list):
        steps = enumerate(value)
    for step, item in steps:
        if len(path) < 12:
            found += places(item, (*path, step))
    return found


def mutate(rng: Random, value: Any, junk: list[Any]) -> Any:
    """A copy of ``value`` with one to four things replaced, removed, repeated, renamed or moved."""
    result = copy.deepcopy(value)
    everywhere = places(value)
    for _ in range(rng.randint(1, 4)):
        path = rng.choice(everywhere)
        try:
            target = result
            for step in path[:-1]:
                target = target[step]
            action = rng.randrange(7)
            if action == 0:
                del target[path[-1]]
            elif action == 1 and isinstance(target, list):
                target.extend(target[:50])
            elif action == 1:
                target[rng.choice(["", "type", "\x00", "x" * 2000, "value"])] = target[path[-1]]
            elif action == 2:
                # Whatever belongs somewhere else.
                other = value
                for step in rng.choice(everywhere):
                    other = other[step]
                target[path[-1]] = copy.deepcopy(other)
            else:
                target[path[-1]] = rng.choice(junk)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # An earlier change took the place away.
    return result


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    """``data`` truncated, with bytes flipped, removed or repeated, or with foreign ones put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(result) + 1)
        length = min(rng.choice([1, 1, 2, 8, 40]), len(result) - at)
        action = rng.randrange(7)
        if action == 0:
            del result[at:]
        elif action == 1:
            del result[at : at + length]
        elif action == 2:
            result[at:at] = result[at : at + length]
        elif action == 3 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif action == 4:
            result[at:at] = bytes(rng.randrange(256) for _ in range(length or 1))
        else:
            result[at : at + length * (action - 5)] = rng.choice(TOKENS)
        if not result:
            break
    return bytes(result)


TOKENS = [
    b'"', b"\\", b"\\u", b"\\ud83c", b"\\udf88", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]",
    b",",
    b":", b"null", b"true", b"false", b"nul", b"-", b"+", b".", b"e", b"E+", b"0", b"00", b"1e400",
    b"-1e-400", b"9" * 30, b"0.1e1", b"1e5", b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x00", b"\x1f",
    b"\x7f", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x8e\x88",
    b"\xf4\x90\x80\x80", b"\xff", b"[" * 300, b'{"a":' * 300, b'"stableId":', b'"traits":{',
    b'"stickyVariants":{"e0":1}', b'"audiences":["aage"]', b'"location":null,', b"/* */", b"NaN",
    b"Infinity", b"'",
]  # fmt: skip
"""Pieces that mean something to a scanner of JSON."""


Parts = tuple[dict[str, Any], dict[str, Any], str]


def program_parts(engine: Engine) -> Parts:
    """A compiled program taken apart: its tables, its configuration, the configuration's digest."""
    return unpack_program(engine.to_bytes())


def packed_program(tables: Any, native: Any, digest: Any) -> bytes:
    """A compiled program with a right digest, whatever is in it."""
    content = {"tables": tables, "configuration": native, "digest": digest}
    payload = msgpack.packb(content, use_bin_type=True)
    return sealed(payload)


def sealed(payload: bytes, version: Any = VERSION, magic: Any = MAGIC) -> bytes:
    """The envelope of a compiled program around a payload, with its right digest."""
    digest = xxhash.xxh3_128_hexdigest(payload)
    return bytes(msgpack.packb([magic, version, digest, payload], use_bin_type=True))


def as_json(value: Any) -> bytes:
    """The value as an ordinary encoder writes it; the fastest one stops at a depth of 254."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


PRELUDE = """
import gc, sys, time
from robustness.support import *
from whichvariant import Engine
from whichvariant.errors import *
"""


def run_apart(code: str, seconds: float = 60) -> str:
    """Run code in an interpreter of its own, so that a crash or a hang is no more than a failure.

    The output; AssertionError when the process dies, raises, or takes longer than ``seconds``.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment["PYTHONFAULTHANDLER"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            capture_output=True,
            text=True,
            timeout=seconds * SLOWNESS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"hangs: not done after {seconds * SLOWNESS:.0f} s") from None
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-3000:]}"
    return done.stdout


PARTS_OF_RICH = program_parts(Engine.from_dict(RICH))

"""Bodies that are nearly right: bytes changed, values of other types, structures bent."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from tests.server.events import PAGE, event, identify, page

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**63) - 1, 1.5, 1e308, -0.0),
    *("", "a", "0", "null", "\0", "😀", "x" * 5_000, "__proto__", "../..", "2026-11-01T00:00:00Z"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"a": {"b": []}}, ["a"] * 300),
]
"""What may stand where something else is expected."""

RAW = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"+1", b".5", b"1.", b"0x10", b"'a'",
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\x"', b'"\xff"', b'"\xc0\x80"', b'"\t"',
    b"[" * 200 + b"]" * 200, b"[" * 5_000, b'{"a":' * 100 + b"1" + b"}" * 100, b"1" * 5_000,
    b'{"a":1,"a":2}', b"{,}", b"[1,]", b"//", b"/**/", b"undefined", b"tru", b"",
]  # fmt: skip
"""Text that may stand where a value is; most of it is no JSON."""

_HOLE = "a hole to be filled"


def events() -> list[dict[str, Any]]:
    """One valid event of every kind, with every field that is looked at."""
    location = {"coordinates": {"latitude": 1.5, "longitude": 2}, "city": "Bonn", "country": "DE"}
    full = page()
    full["context"] |= {
        "app": {"name": "a", "version": "1"},
        "campaign": {"name": "n", "source": "s"},
        "locale": "de-DE",
        "location": location,
        "page": dict(PAGE, query={"a": "b"}),
        "userAgent": "Mozilla/5.0",
    }
    full["timestamp"] = "2026-11-01T12:00:00.000Z"
    component = event("component", componentId="c", experienceId="e", variantIndex=1)
    made = [
        full,
        event("track", event="bought", properties={"price": 3}),
        identify("user", plan="gold", nested={"a": [1, {"b": None}]}),
        event("screen", properties={"name": "home"}),
        component,
        event("alias"),
    ]
    return [{**one, "anonymousId": f"visitor-{number % 3}"} for number, one in enumerate(made)]


def body() -> dict[str, Any]:
    """A valid body of every POST endpoint."""
    options = {"location": {"city": "Rome", "countryCode": "IT"}, "features": ["location"]}
    return {"events": events(), "options": options}


def mutated(generator: random.Random) -> bytes:
    """A body with one to three things wrong, or at least unusual."""
    value: Any = copy.deepcopy(body())
    value["events"] = generator.sample(value["events"], generator.randint(1, 4))
    raw: list[bytes] = []
    for _ in range(generator.randint(1, 3)):
        value = _bent(generator, value, raw)
    data = json.dumps(value, ensure_ascii=generator.random() < 0.5).encode("utf-8", "replace")
    for text in raw:
        data = data.replace(json.dumps(_HOLE).encode(), text, 1)
    if generator.random() < 0.3:
        data = _corrupted(generator, data)
    return data


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            _places(inner, found)
    return found


def _bent(generator: random.Random, value: Any, raw: list[bytes]) -> Any:
    if not isinstance(value, dict | list) or generator.random() < 0.03:
        return generator.choice(VALUES)
    places = _places(value, [])
    if not places:
        return value
    holder, key = generator.choice(places)
    what = generator.randrange(7)
    if what <= 1:
        holder[key] = copy.deepcopy(generator.choice(VALUES))
    elif what == 2:
        del holder[key]
    elif what == 3 and isinstance(holder, dict):
        holder[generator.choice(["", "type", "events", "__proto__", "x" * 2_000, "\0"])] = 1
    elif what == 4 and isinstance(holder, list):
        holder.extend([copy.deepcopy(holder[key])] * generator.choice([1, 50, 1_100]))
    elif what == 5:
        raw.append(generator.choice(RAW))
        holder[key] = _HOLE
    else:
        holder[key] = [holder[key]]
    return value


def _corrupted(generator: random.Random, data: bytes) -> bytes:
    what = generator.randrange(6)
    at = generator.randrange(len(data) + 1)
    if what == 0:
        return data[:at]
    if what == 1:
        return data[:at] + generator.randbytes(generator.randint(1, 4)) + data[at:]
    if what == 2:
        return data[:at] + data[at + generator.randint(1, 40) :]
    if what == 3:
        return b"\xef\xbb\xbf" + data
    if what == 4:
        return data.decode("utf-8", "replace").encode(generator.choice(["utf-16", "utf-32"]))
    changed = bytearray(data)
    for _ in range(generator.randint(1, 8)):
        changed[generator.randrange(len(changed))] = generator.randrange(256)
    return bytes(changed)

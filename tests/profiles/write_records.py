"""Write the records in fixtures/records of the schema version that is current.

::

    PYTHONPATH=tests .venv/bin/python -m profiles.write_records

Run it once, when a new schema version is about to be released, and commit what it wrote. It never
touches a file that is there: what was released must be readable as it is.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import msgspec

from profiles.samples import (
    DAY,
    LAPTOP,
    MINUTE,
    NOW,
    PHONE,
    engine_of,
    event,
    identify,
    page,
    seen,
    track,
    tracked,
    views,
)
from whichvariant.profiles.aggregate import aggregate
from whichvariant.profiles.events import read_events
from whichvariant.profiles.history import decode_row, trim
from whichvariant.profiles.identity import merge
from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import SCHEMA, ProfileState, decode_state, encode_state, new_state

FOLDER = pathlib.Path(__file__).parents[2] / "fixtures" / "records"
RULES = engine_of(
    {"home": views(2, path="/"), "bought": tracked("buy", 1, days=7)}, {"tent": 2, "boots": 1}
)
FEW = ProfileSettings(history_events=4)
HAMBURG = Located(
    {
        "city": "Hamburg",
        "country": "Germany",
        "countryCode": "DE",
        "coordinates": {"latitude": 53.55, "longitude": 9.99},
    },
    {"en": "Hamburg", "de": "Hamburg", "ja": "ハンブルク"},
)


def visitor(name: str, random: int) -> tuple[ProfileState, list[tuple[int, bytes]]]:
    """A profile with a bit of everything, and the rows of its history."""
    state = new_state(name, random, NOW - 9 * DAY)
    state.counted = RULES.counters_digest
    requests = [
        (
            NOW - 9 * DAY,
            [
                page("/", NOW - 9 * DAY - 5, f"{name}-1", context={"userAgent": LAPTOP}),
                identify(f"{name}@example.com", None, f"{name}-2", plan="pro", nested={"a": [1]}),
            ],
            HAMBURG,
        ),
        (
            NOW - DAY,
            [
                track("buy", "2026-10-31T11:59:00+02:00", f"{name}-3", properties={"price": 9.5}),
                seen("tent", 2, NOW - DAY - 1, f"{name}-4"),
                event("alias", None, f"{name}-5"),
            ],
            None,
        ),
        (
            NOW,
            [
                page(
                    at=NOW,
                    message=f"{name}-6",
                    context={"userAgent": PHONE, "location": {"city": "Köln"}},
                    anonymousId="someone",
                ),
                event("screen", NOW - MINUTE, f"{name}-7", properties={"name": "map"}),
                identify("", NOW, f"{name}-8", **{"__proto__": None, "": 2**64 - 1, "π": -1e300}),
            ],
            HAMBURG,
        ),
    ]
    rows = []
    for now_ms, events, located in requests:
        read = read_events(events, now_ms)
        step = aggregate(state, read, now_ms, RULES, ProfileSettings(), located=located)
        state = step.state
        assert step.row is not None
        rows.append((state.kept.next - 1, step.row))
    return state, rows


def write(name: str, data: bytes, content: Any) -> None:
    path = FOLDER / f"v{SCHEMA}" / f"{name}.msgpack"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        print(f"{path}: there already")  # noqa: T201
        return
    path.write_bytes(data)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")


def write_state(name: str, data: bytes) -> None:
    plain = msgspec.json.encode(msgspec.to_builtins(decode_state(data)))
    write(name, data, json.loads(plain))


def main() -> None:
    """Write all that are not there."""
    write_state("new", encode_state(new_state("new", 0, NOW)))
    state, rows = visitor("visitor", 2**32 - 1)
    write_state("visitor", encode_state(state))
    bounded = trim(state, rows, RULES, FEW)
    write_state("bounded", encode_state(bounded.state))
    write_state("base", bounded.base)
    other, other_rows = visitor("survivor", 7)
    merged = merge(other, state, rows, NOW, ProfileSettings())
    write_state("merged", encode_state(merged.state))
    for number, data in other_rows:
        request = decode_row((number, data))
        located = request.located
        write(
            f"row-{number}",
            data,
            {
                "received_ms": request.received_ms,
                "located": None if located is None else [located.location, located.city_names],
                "events": [one.raw for one in request.events],
                "times": [one.at_ms for one in request.events],
            },
        )


if __name__ == "__main__":
    main()

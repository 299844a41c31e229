"""Nothing leaks: references, Python's memory and the process's, over many calls of every kind."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from robustness.support import (
    EVENTS,
    NOW,
    PARTS_OF_RICH,
    PROFILE,
    RICH,
    SANITIZED,
    as_json,
    document,
    packed_program,
)
from whichvariant import Engine
from whichvariant.errors import WhichVariantError

ENGINE = Engine.from_dict(RICH)
XXH64 = Engine.from_dict({**RICH, "scheme": "xxh64"})
TEXT = as_json(PROFILE)
SHORT_PROFILE = {"stableId": "s", "traits": {"plan": "pro", "age": 42}}
SHORT = as_json(SHORT_PROFILE)
BROKEN_TEXT = TEXT.replace(b'"age":42', b'"age":1e999')
ASKED: dict[str, Any] = {"device": "mobile", "events": EVENTS, "now": NOW}
ESCAPED = (
    b'{"stableId":"\\u00e9x","traits":{"plan":"\\u0070ro","note":"\\ud83c\\udf88","a":{"b":[1]}}}'
)


def refused(call: Callable[[], object]) -> None:
    with contextlib.suppress(WhichVariantError):
        call()
        raise AssertionError("accepted")


CALLS: dict[str, tuple[int, Callable[[], object]]] = {
    "select": (200_000, lambda: ENGINE.select(SHORT_PROFILE)),
    "select_long": (20_000, lambda: ENGINE.select(PROFILE)),
    "select_fresh": (50_000, lambda: ENGINE.select(PROFILE, fresh=True)),
    "select_given": (50_000, lambda: ENGINE.select(PROFILE, audiences="given")),
    "select_json": (200_000, lambda: ENGINE.select_json(SHORT)),
    "select_json_long": (20_000, lambda: ENGINE.select_json(TEXT)),
    "select_json_escaped": (50_000, lambda: ENGINE.select_json(ESCAPED)),
    "select_json_given": (50_000, lambda: ENGINE.select_json(TEXT, audiences="given")),
    "select_xxh64": (50_000, lambda: XXH64.select(PROFILE)),
    "events": (10_000, lambda: ENGINE.select(PROFILE, **ASKED)),
    "trace": (10_000, lambda: ENGINE.trace(PROFILE, **ASKED)),
    "explain": (200, lambda: str(ENGINE.explain(PROFILE, **ASKED))),
    "broken": (20_000, lambda: refused(lambda: ENGINE.select({**PROFILE, "traits": 5}))),
    "broken_value": (
        20_000,
        lambda: refused(lambda: ENGINE.select({"stableId": "s", "traits": {"age": float("nan")}})),
    ),
    "broken_sticky": (
        20_000,
        lambda: refused(lambda: ENGINE.select({**PROFILE, "stickyVariants": {"e0": "x"}})),
    ),
    "broken_id": (20_000, lambda: refused(lambda: ENGINE.select({**PROFILE, "stableId": 5}))),
    "broken_json": (20_000, lambda: refused(lambda: ENGINE.select_json(TEXT[:-1]))),
    "broken_json_value": (20_000, lambda: refused(lambda: ENGINE.select_json(BROKEN_TEXT))),
    "broken_events": (20_000, lambda: refused(lambda: ENGINE.select(PROFILE, events=[5]))),
    "engine": (300, lambda: Engine.from_dict(RICH)),
    "program": (300, lambda: Engine.from_bytes(packed_program(*PARTS_OF_RICH))),
    "broken_program": (
        300,
        lambda: refused(
            lambda: Engine.from_bytes(packed_program({**PARTS_OF_RICH[0], "graph": {}}, {}, ""))
        ),
    ),
    "broken_configuration": (
        300,
        lambda: refused(lambda: Engine.from_dict(document({"type": "nonsense"}))),
    ),
    "engine_in_a_cycle": (100, lambda: setattr(engine := Engine.from_dict(RICH), "me", engine)),
}


def resident() -> int:
    """The process's memory in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
@pytest.mark.skipif(SANITIZED, reason="the address sanitizer keeps freed memory")
def test_memory_stays_as_it_is(name: str) -> None:
    """A leak of one word a call would show: 200,000 calls are 1.6 MB."""
    count, call = CALLS[name]
    for _ in range(count // 10 + 20):
        call()
    gc.collect()
    before = resident()
    for _ in range(count):
        call()
    gc.collect()
    assert resident() - before < 300_000 + 2 * count


@pytest.mark.parametrize("name", CALLS)
def test_blocks_and_objects_stay_as_many(name: str) -> None:
    """tracemalloc sees Python's own memory to the byte, so that few calls are enough."""
    count, call = CALLS[name]
    count = min(count, 400 if "engine" not in name and "program" not in name else 8)
    if name == "explain":
        count = 20
    for _ in range(count):
        call()
    gc.collect()
    tracemalloc.start()
    try:
        call()
        gc.collect()
        before, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        for _ in range(count):
            call()
        gc.collect()
        after, more = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
    finally:
        tracemalloc.stop()
    assert more - objects < count / 2 + 5
    # What the sanitizer keeps is not given to anybody else, and tracemalloc takes that for used.
    assert SANITIZED or after - before < 16 * count + 4000


def test_reference_counts() -> None:
    """Exactly as many references after as before, to everything that goes in or comes out."""
    plan, stable_id, given = "pro" * 3, "id" * 3, "aplan" * 1
    profile = {
        "stableId": stable_id, "traits": {"plan": plan, "note": plan}, "audiences": [given, plan],
        "stickyVariants": {"e0": 1},
    }  # fmt: skip
    record = ENGINE.select(profile).experiences[0]
    error = None
    watched: list[Any] = [
        plan, stable_id, profile, profile["traits"], profile["audiences"], record,
        record["variants"], ENGINE, ENGINE.program, EVENTS[0], None, True,
    ]  # fmt: skip

    def everything() -> None:
        for _ in range(100):
            ENGINE.select(profile)
            ENGINE.select(profile, fresh=True, events=EVENTS, now=NOW)
            ENGINE.select(profile, audiences="given")
            ENGINE.select_json(TEXT, events=EVENTS, now=NOW)
            ENGINE.trace(profile)
            for bad in ({**profile, "traits": {"age": 10**400}}, {**profile, "location": 5}):
                refused(lambda bad=bad: ENGINE.select(bad))  # type: ignore[misc]
            refused(lambda: ENGINE.select(profile, events=[{"type": plan}]))

    everything()
    gc.collect()
    before = [sys.getrefcount(item) for item in watched]
    everything()
    gc.collect()
    after = [sys.getrefcount(item) for item in watched]
    # None, True and small ints belong to everybody; the rest must be exact.
    assert after[:-2] == before[:-2]
    assert all(abs(a - b) < 50 for a, b in zip(after[-2:], before[-2:], strict=True))
    assert error is None


def test_answers_outlive_their_engine() -> None:
    engine = Engine.from_dict(RICH)
    selection = engine.select(PROFILE)
    trace = engine.trace(PROFILE)
    wanted = str(selection)
    del engine
    gc.collect()
    assert str(selection) == wanted
    assert trace["selection"] == selection

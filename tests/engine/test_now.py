"""Time: windows to the millisecond, every spelling of a moment, and who reads the clock when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from core.small import Json, audience, document
from whichvariant import Engine, EventError, clock
from whichvariant.profiles.times import parse_time

DAY = 86_400_000
NOW = 1_793_534_400_000
MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)
V = {"stableId": "v"}


def windows(*days: float) -> Engine:
    """An audience per window: at least one page within that many days."""
    return Engine.from_dict(
        document(
            audiences=[
                audience(f"a{number}", {"type": "page", "within": {"days": length}})
                for number, length in enumerate(days)
            ]
        )
    )


ONE_DAY = windows(1)


def counts(engine: Engine, timestamp: Any, now: Any) -> bool:
    event: Json = {"type": "page"} if timestamp is ... else {"type": "page", "timestamp": timestamp}
    answers = engine.select(V, events=[event], now=now).audiences
    assert engine.select_json('{"stableId":"v"}', events=[event], now=now).startswith(
        b'{"audiences":["a0"]' if answers else b'{"audiences":[]'
    )
    return bool(answers)


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "inside"),
    [
        (0, True),
        (1, True),
        (DAY - 1, True),
        (DAY, True),
        (DAY + 1, False),
        (2 * DAY, False),
        (-1, True),
        (-100 * DAY, True),
    ],
)
def test_a_window_holds_its_oldest_millisecond(age: int, inside: bool) -> None:
    assert counts(ONE_DAY, NOW - age, NOW) is inside


@pytest.mark.parametrize("days", [1 / DAY, 0.5, 1 / 3, 1, 7, 30, 365.25, 1_000_000])
def test_windows_of_any_length(days: float) -> None:
    """Rounded to whole milliseconds when loaded."""
    length = round(days * DAY)
    engine = windows(days)
    assert counts(engine, 0, length)
    assert not counts(engine, 0, length + 1)


@pytest.mark.parametrize("timestamp", [..., None])
def test_an_event_without_a_timestamp_is_now(timestamp: Any) -> None:
    assert counts(ONE_DAY, timestamp, NOW)
    assert counts(ONE_DAY, timestamp, 0)


def test_windows_side_by_side() -> None:
    engine = windows(1, 2, 3)
    events = [{"type": "page", "timestamp": NOW - 2 * DAY}]
    assert engine.select(V, events=events, now=NOW).audiences == ["a1", "a2"]
    assert engine.select(V, events=events, now=NOW + 1).audiences == ["a2"]


def test_a_window_and_none() -> None:
    """Equal counters but for the window are counted apart."""
    rules = [{"type": "page", "count": 2}, {"type": "page", "count": 2, "within": {"days": 1}}]
    engine = Engine.from_dict(
        document(audiences=[audience(f"a{i}", r) for i, r in enumerate(rules)])
    )
    events = [{"type": "page", "timestamp": NOW - 2 * DAY}, {"type": "page", "timestamp": NOW}]
    assert engine.select(V, events=events, now=NOW).audiences == ["a0"]


# --- spellings -----------------------------------------------------------------------------------

SPELLINGS = [
    NOW,
    float(NOW),
    "2026-11-01T12:00:00Z",
    "2026-11-01T12:00:00.000Z",
    "2026-11-01T12:00:00",
    "2026-11-01 12:00",
    "2026-11-01T13:00:00+01:00",
    "2026-11-01T05:30:00-06:30",
    MOMENT,
    MOMENT.astimezone(timezone(timedelta(hours=-8))),
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_every_spelling_of_a_moment(spelling: Any) -> None:
    assert parse_time(spelling) == NOW
    assert counts(ONE_DAY, NOW - DAY, spelling)
    assert not counts(ONE_DAY, NOW - DAY - 1, spelling)
    assert counts(ONE_DAY, spelling, NOW + DAY)
    assert not counts(ONE_DAY, spelling, NOW + DAY + 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("2026-11-01", NOW - DAY // 2),
        ("2026-11-01T12:00:00.123456789Z", NOW + 123),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_texts(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 0), (-1, -1), (1.9, 1), (8.64e15, 8_640_000_000_000_000)]
)
def test_numbers(number: float, expected: int) -> None:
    assert parse_time(number) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "now",
            "1793534400000",
            "20261101",
            "2026-W44-7",
            "2026-13-01",
            "2026-11-01T25:00:00Z",
        ),
        *(" 2026-11-01", "2026-11-01T12:00:00Z ", "01.11.2026", "\ud800"),
        *(MOMENT.replace(tzinfo=None), date(2026, 11, 1), timedelta(1), Decimal(5)),
        *(
            True,
            [NOW],
            {},
            b"2026-11-01",
            float("nan"),
            float("inf"),
            8.64e15 + 1,
            -(2**63),
            10**400,
        ),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_time(value)
    for path, now, timestamp in (("now", value, NOW), ("events[1].timestamp", NOW, value)):
        events = [{"type": "track"}, {"type": "page", "timestamp": timestamp}]
        with pytest.raises(EventError, match="time") as refused:
            ONE_DAY.select(V, events=events, now=now)
        assert refused.value.path == path
        assert str(refused.value).startswith(f"{path}: ")


def test_times_are_read_only_where_a_window_asks() -> None:
    plain = Engine.from_dict(document(audiences=[audience("a0", {"type": "page"})]))
    assert counts(plain, "yesterday", "today")
    assert not ONE_DAY.select(V, events=[], now="today").audiences
    assert not ONE_DAY.select(V, now="today").audiences


# --- the clock -----------------------------------------------------------------------------------


class Clock:
    """Tells what it is told to, and how often it was asked."""

    def __init__(self, *times: int) -> None:
        self.times: Iterator[int] = iter(times)
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return next(self.times)


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a clock in the place of the real one; engines made afterwards have it."""

    def patch(*times: int) -> Clock:
        made = Clock(*times)
        monkeypatch.setattr(clock, "now_ms", made)
        return made

    return patch


def test_now_is_milliseconds_since_the_epoch() -> None:
    before = time.time()
    now = clock.now_ms()
    assert type(now) is int
    assert before * 1000 - 1 <= now <= time.time() * 1000


def test_without_now_the_clock_decides() -> None:
    present = clock.now_ms()
    assert counts(ONE_DAY, present, None)
    assert counts(ONE_DAY, present - DAY + 60_000, None)
    assert not counts(ONE_DAY, present - DAY - 1, None)


def test_an_engine_takes_its_clock_when_it_is_made(patched: Any) -> None:
    """So that replacing the clock later moves no engine that is serving."""
    patched_clock = patched(NOW)
    ONE_DAY.select(V, events=[{"type": "page"}])
    assert patched_clock.asked == 0
    engine = windows(1)
    assert engine.select(V, events=[{"type": "page", "timestamp": NOW - DAY}]).audiences == ["a0"]
    assert patched_clock.asked == 1


def test_the_clock_is_asked_once_a_selection(patched: Any) -> None:
    patched_clock = patched(NOW, NOW + 1)
    engine = windows(1, 2)
    events = [{"type": "page", "timestamp": NOW - DAY}] * 3
    assert engine.select(V, events=events).audiences == ["a0", "a1"]
    assert patched_clock.asked == 1
    assert engine.select_json('{"stableId":"v"}', events=events).startswith(b'{"audiences":["a1"]')
    assert patched_clock.asked == 2


@pytest.mark.parametrize(
    ("days", "events", "now"),
    [
        ([1], None, None),
        ([1], [], None),
        ([1], [{"type": "page"}], NOW),
        ([], [{"type": "page"}], None),
        ([], None, None),
    ],
)
def test_the_clock_is_not_asked_in_vain(patched: Any, days: Any, events: Any, now: Any) -> None:
    patched_clock = patched()
    windows(*days).select(V, events=events, now=now)
    windows(*days).explain(V, events=events, now=now)
    assert patched_clock.asked == 0


def test_the_clock_is_asked_for_a_copy_too(patched: Any) -> None:
    patched_clock = patched(NOW)
    engine = Engine.from_bytes(ONE_DAY.to_bytes())
    assert engine.select(V, events=[{"type": "page", "timestamp": NOW - DAY}]).audiences
    assert patched_clock.asked == 1


def test_an_explanation_is_of_one_moment(patched: Any) -> None:
    """Where a window ends between two looks at the clock, outcome and reason still agree."""
    patched(NOW, NOW + 1)
    explained = windows(1).explain(V, events=[{"type": "page", "timestamp": NOW - DAY}])
    [entry] = explained.to_dict()["audiences"]
    assert entry["matched"] is True

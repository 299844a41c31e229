"""Activity counters: what page, track and screen rules ask for, kept instead of recounted.

A counter without a window is a number. One with a window keeps the times of the newest events that
met it, because time alone changes how many of them still count (docs/profiles.md#activity).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Any

from whichvariant.profiles.settings import ActivityRules
from whichvariant.profiles.state import ProfileState

Activity = dict[int, int | list[int]]


def add_event(
    activity: Activity, rules: ActivityRules, event: Mapping[str, Any], at_ms: int, limit: int
) -> None:
    """Count one event. A counter with a window keeps the newest ``limit`` times."""
    keys = rules.counter_keys
    for number in rules.counters_met(event):
        key, window = keys[number]
        if window is None:
            count = activity.get(key, 0)
            assert isinstance(count, int)
            activity[key] = count + 1
        else:
            times = _times(activity, key).copy()
            insort(times, at_ms)
            activity[key] = times[-limit:]


def event_counts(state: ProfileState, rules: ActivityRules, now_ms: int) -> list[int] | None:
    """How many events meet each counter at ``now_ms``, for `Engine.select`.

    None where the configuration has no counters. The state must have been counted by these rules.
    """
    if not rules.counter_keys:
        return None
    activity = state.activity
    counts = []
    for key, window in rules.counter_keys:
        if window is None:
            count = activity.get(key, 0)
            assert isinstance(count, int)
        else:
            times = _times(activity, key)
            count = len(times) - bisect_left(times, now_ms - window)
        counts.append(count)
    return counts


def recount(
    activity: Activity,
    rules: ActivityRules,
    events: Iterable[tuple[Mapping[str, Any], int]],
    limit: int,
) -> Activity:
    """Counts by ``rules``: those of ``activity`` as they stand, the others from past events.

    ``events`` are pairs of an event and its time. A counter that the rules no longer have is
    forgotten, because later events would not be counted.
    """
    fresh: Activity = {}
    known = {key: activity[key] for key, _ in rules.counter_keys if key in activity}
    for event, at_ms in events:
        add_event(fresh, rules, event, at_ms, limit)
    return fresh | known


def add_counts(one: Activity, other: Activity, limit: int) -> Activity:
    """The counters of two profiles that become one."""
    both = dict(one)
    for key, count in other.items():
        if isinstance(count, int):
            mine = both.get(key, 0)
            assert isinstance(mine, int)
            both[key] = mine + count
        else:
            both[key] = sorted(_times(both, key) + count)[-limit:]
    return both


def _times(activity: Activity, key: int) -> list[int]:
    times = activity.get(key)
    return times if isinstance(times, list) else []

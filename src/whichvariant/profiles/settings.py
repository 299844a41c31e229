"""What aggregation is told: limits that an operator sets, and rules that a configuration sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """How profiles are kept. Lengths of time are milliseconds, sizes bytes of msgpack.

    ``history_events`` and ``history_size`` bound the history of one profile: at least the newest
    so many events are kept, and at most an eighth more, as far as they fit.
    """

    session_timeout_ms: int = 30 * 60 * 1000
    history_events: int = 1_000
    history_size: int = 4 * 1024 * 1024
    jurisdiction: Literal["US", "EU"] | None = None

    def __post_init__(self) -> None:
        if self.session_timeout_ms < 1:
            raise ValueError("session_timeout_ms must be at least 1")
        if not 1 <= self.history_events <= 100_000:
            raise ValueError("history_events must be 1 to 100000")
        if not 1 << 12 <= self.history_size <= 1 << 30:
            raise ValueError("history_size must be 4 KiB to 1 GiB")


class ActivityRules(Protocol):
    """What aggregation asks of a configuration. An `Engine` is one."""

    @property
    def counter_keys(self) -> tuple[tuple[int, int | None], ...]:
        """Of every counter: a key that is the same in each configuration that has it, its window.

        Keys are uint64; windows are milliseconds, None is unbounded.
        """
        ...

    @property
    def counters_digest(self) -> int:
        """A uint64 over all keys; 0 where there are none."""
        ...

    @property
    def sticky_experiences(self) -> Mapping[str, int]:
        """The highest variant index of every sticky experience."""
        ...

    def counters_met(self, event: Mapping[str, Any]) -> list[int]:
        """The numbers of the counters that an event meets."""
        ...

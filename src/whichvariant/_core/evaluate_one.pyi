from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict

from typing_extensions import Buffer, disjoint_base

from whichvariant._core.answers import Selection
from whichvariant._core.program import Program

MAX_PROFILE_BYTES: Final[int]
DEVICES: Final[frozenset[str]]
RULES: Final[str]

class _Trace(TypedDict):
    values: dict[tuple[str, ...], str | float]
    leaves: bytes
    audiences: bytes
    traffic: list[int]
    distribution: list[int]
    sticky: dict[str, int]
    selection: Selection

@disjoint_base
class Evaluator:
    def __init__(
        self,
        program: Program,
        profile_error: Callable[[str, str], Exception],
        event_error: Callable[[str, str], Exception],
        clock: Callable[[], int],
        parse_time: Callable[[object], int],
    ) -> None: ...
    @property
    def program(self) -> Program: ...
    def select(
        self,
        profile: Mapping[str, Any],
        *,
        device: str | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        counts: Sequence[int] | None = None,
        audiences: Literal["rules", "given"] = "rules",
        now: int | datetime | str | None = None,
        fresh: bool = False,
    ) -> Selection: ...
    def select_json(
        self,
        profile: Buffer | str,
        *,
        device: str | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        counts: Sequence[int] | None = None,
        audiences: Literal["rules", "given"] = "rules",
        now: int | datetime | str | None = None,
    ) -> bytes: ...
    def first_record(
        self,
        profile: Mapping[str, Any],
        among: tuple[int, ...],
        *,
        device: str | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        counts: Sequence[int] | None = None,
        now: int | datetime | str | None = None,
    ) -> int: ...
    def trace(
        self,
        profile: Mapping[str, Any],
        *,
        device: str | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        counts: Sequence[int] | None = None,
        audiences: Literal["rules", "given"] = "rules",
        now: int | datetime | str | None = None,
    ) -> _Trace: ...
    def counters_met(self, event: Mapping[str, Any]) -> list[int]: ...
    def measure_draws(self, stable_ids: list[str], rounds: int) -> None: ...
    def count_events(
        self, events: Sequence[Mapping[str, Any]] | None, *, now: int | datetime | str | None = None
    ) -> list[int]: ...

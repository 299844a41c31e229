from collections.abc import Callable
from typing import Final

from typing_extensions import disjoint_base

from whichvariant._core.program import Program

MAX_EVENTS: Final[int]
MAX_COUNT: Final[int]
EVENT_TYPES: Final[frozenset[str]]

@disjoint_base
class EventCounter:
    def __init__(
        self,
        program: Program,
        event_error: Callable[[str, str], Exception],
        clock: Callable[[], int],
        parse_time: Callable[[object], int],
    ) -> None: ...

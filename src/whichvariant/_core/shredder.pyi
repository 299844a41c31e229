from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from whichvariant._core.columns import Columns
from whichvariant._core.evaluate_one import MAX_PROFILE_BYTES as MAX_PROFILE_BYTES

@disjoint_base
class Shredder:
    def __init__(
        self, columns: Columns, count_events: Callable[[Any], list[list[int]] | None] | None
    ) -> None: ...
    @property
    def columns(self) -> Columns: ...

def number_of(text: str) -> int | float: ...

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from typing_extensions import Buffer, disjoint_base

DEF_LIMIT: Final[int]
OPERATIONS: Final[dict[str, int]]

class _Pattern(Protocol):
    def search(self, text: str, /) -> object: ...

@disjoint_base
class Arena: ...

@disjoint_base
class LeafTable:
    def __init__(
        self,
        paths: list[tuple[str, ...]],
        slot: Buffer,
        op: Buffer,
        number: Buffer,
        operands: Sequence[object],
    ) -> None: ...
    @property
    def paths(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def n_slots(self) -> int: ...
    @property
    def n_leaves(self) -> int: ...

def numeric_text(text: str) -> float | None: ...
def leaf_table(table: dict[str, Any], patterns: Callable[[str], _Pattern]) -> LeafTable: ...

from collections.abc import Callable
from typing import Any, Literal

from typing_extensions import disjoint_base

from whichvariant._core.leaf_table import LeafTable, _Pattern
from whichvariant._core.trie import DEVICE as DEVICE
from whichvariant._core.trie import PROFILE_ROLES as PROFILE_ROLES

@disjoint_base
class Program:
    def __init__(
        self,
        tables: dict[str, Any],
        patterns: Callable[[str], _Pattern],
        records: list[dict[str, Any]],
        changes: list[dict[str, Any]],
    ) -> None: ...
    @property
    def leaves(self) -> LeafTable: ...
    @property
    def event_leaves(self) -> LeafTable: ...
    @property
    def scheme(self) -> Literal["murmur3", "xxh64"]: ...
    @property
    def experience_ids(self) -> tuple[str, ...]: ...
    @property
    def audience_ids(self) -> tuple[str, ...]: ...
    @property
    def counters(
        self,
    ) -> tuple[tuple[str, str | None, tuple[tuple[int, int], ...], int | None], ...]: ...
    @property
    def has_windows(self) -> bool: ...
    @property
    def n_slots(self) -> int: ...
    def experience_audiences(self) -> list[int]: ...
    def highest_index(self, experience: int) -> int: ...

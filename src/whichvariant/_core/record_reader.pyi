from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from typing_extensions import Buffer, disjoint_base

from whichvariant._core.columns import Columns
from whichvariant._core.evaluate_one import MAX_PROFILE_BYTES as MAX_PROFILE_BYTES

FORMATS: Final[tuple[str, ...]]

_Rejected: TypeAlias = tuple[int, int, int, bytes | None, int, str | None]

@disjoint_base
class RecordReader:
    def __init__(
        self,
        columns: Columns,
        rows: int,
        count_events: Callable[[Any], list[list[int]] | None],
    ) -> None: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def records(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def full(self) -> bool: ...
    def begin(self, form: Literal["ndjson", "json", "msgpack"]) -> None: ...
    def take_rejected(self) -> list[_Rejected]: ...
    def feed(self, data: Buffer, final: bool) -> int: ...

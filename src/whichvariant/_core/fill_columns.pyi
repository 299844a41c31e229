from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

from whichvariant._core.columns import Columns

@disjoint_base
class ColumnFiller:
    def __init__(self, columns: Columns) -> None: ...
    @property
    def columns(self) -> Columns: ...
    def texts(
        self,
        column: int,
        offsets: Buffer,
        data: Buffer | None,
        validity: Buffer | None,
        offset: int,
        wide: bool,
    ) -> int: ...
    def dictionary(
        self,
        column: int,
        offsets: Buffer,
        data: Buffer | None,
        validity: Buffer | None,
        offset: int,
        wide: bool,
        n_texts: int,
    ) -> NDArray[np.uint32]: ...
    def codes(
        self,
        column: int,
        codes: NDArray[np.uint32],
        indices: Buffer,
        validity: Buffer | None,
        offset: int,
    ) -> None: ...
    def numbers(self, column: int, values: Buffer, validity: Buffer | None, offset: int) -> int: ...
    def booleans(
        self, column: int, values: Buffer, validity: Buffer | None, offset: int
    ) -> None: ...
    def objects(self, column: int, validity: Buffer | None, offset: int) -> None: ...
    def stable_ids(
        self,
        offsets: Buffer,
        data: Buffer | None,
        validity: Buffer | None,
        offset: int,
        wide: bool,
    ) -> tuple[int, str] | None: ...
    def merge(self, row: int, before: bytes, value: bytes, after: bytes) -> bool: ...
    def sticky(
        self,
        rows: NDArray[np.uint32],
        experiences: NDArray[np.uint32],
        indices: NDArray[np.int32],
    ) -> None: ...
    def map_choices(
        self,
        offsets: Buffer,
        validity: Buffer | None,
        offset: int,
        key_offsets: Buffer,
        key_data: Buffer | None,
        key_offset: int,
        wide_keys: bool,
        values: Buffer | None,
        value_offset: int,
        wide_values: bool,
        n_entries: int,
    ) -> bool: ...
    def counts(self, row: int, counts: Sequence[Sequence[int]]) -> None: ...

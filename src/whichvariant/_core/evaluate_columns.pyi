import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from whichvariant._core.columns import Columns
from whichvariant._core.program import Program

@disjoint_base
class ColumnEvaluator:
    def __init__(self, columns: Columns, number: int) -> None: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def program(self) -> Program: ...
    @property
    def absent(self) -> int: ...
    def evaluate(
        self,
        variants: NDArray[np.uint8] | NDArray[np.uint16] | None = None,
        audiences: NDArray[np.uint64] | None = None,
        first_row: int = 0,
    ) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], NDArray[np.uint64], NDArray[np.uint32]]: ...

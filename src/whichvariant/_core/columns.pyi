from typing import Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from whichvariant._core.draws import MAX_STABLE_ID as MAX_STABLE_ID
from whichvariant._core.layout import Layout

MAX_POOL_TEXTS: Final[int]
MAX_POOL_BYTES: Final[int]
MAX_ROWS: Final[int]

@disjoint_base
class Columns:
    def __init__(self, layout: Layout) -> None: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def n_rows(self) -> int: ...
    def clear(self) -> None: ...
    def blank(self, rows: int) -> None: ...
    def id_table(self) -> tuple[NDArray[np.uint64], bytes, NDArray[np.uint64]]: ...

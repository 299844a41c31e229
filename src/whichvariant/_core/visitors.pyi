import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

def visitor_keys(id_starts: NDArray[np.uint64], ids: NDArray[np.uint8]) -> NDArray[np.uint64]: ...
def count_shown(
    before: NDArray[np.uint8] | NDArray[np.uint16],
    codes_before: NDArray[np.uint16],
    after: NDArray[np.uint8] | NDArray[np.uint16],
    codes_after: NDArray[np.uint16],
    counts: NDArray[np.int64],
    changed: NDArray[np.uint8],
) -> None: ...

@disjoint_base
class VisitorSet:
    def __len__(self) -> int: ...
    def add(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]: ...
    def keys(self) -> NDArray[np.uint64]: ...

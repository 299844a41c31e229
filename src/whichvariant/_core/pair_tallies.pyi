import numpy as np
from numpy.typing import NDArray

def tally_pairs(
    before: NDArray[np.uint8] | NDArray[np.uint16] | None,
    after: NDArray[np.uint8] | NDArray[np.uint16],
    pairs: NDArray[np.int32],
    keys: NDArray[np.uint64],
    order: NDArray[np.uint32],
    counts: NDArray[np.int64],
    shown_apart: NDArray[np.uint8],
    smallest: NDArray[np.uint64],
    rows: NDArray[np.int64],
    moved: NDArray[np.uint8],
    changed: NDArray[np.uint8],
) -> None: ...
def count_common(bits: NDArray[np.uint64], counts: NDArray[np.int64]) -> None: ...

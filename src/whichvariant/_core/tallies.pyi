import numpy as np
from numpy.typing import NDArray

def digest(
    variants: NDArray[np.uint8] | NDArray[np.uint16],
    absent: int,
    experience_ids: list[str],
    id_starts: NDArray[np.uint64],
    ids: NDArray[np.uint8],
) -> int: ...
def count_pairs(
    before: NDArray[np.uint8] | NDArray[np.uint16],
    after: NDArray[np.uint8] | NDArray[np.uint16],
    n_before: int,
    n_after: int,
) -> NDArray[np.int64]: ...

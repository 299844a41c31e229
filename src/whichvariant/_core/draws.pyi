from typing import Final

MAX_STABLE_ID: Final[int]

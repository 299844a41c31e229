from typing import Final

FIXED_TEXTS: Final[dict[int, str]]

class BadValue(Exception): ...  # noqa: N818

from typing import Final

MAX_PATH: Final[int]
DEVICE: Final[tuple[str, str]]
ACTIVITY: Final[str]
PROFILE_ROLES: Final[dict[str, int]]
RECORD_ROLES: Final[dict[str, int]]

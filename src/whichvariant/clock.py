"""The only module that reads the time and makes random numbers."""

from __future__ import annotations

import os
import time


def now_ms() -> int:
    """Milliseconds since the Unix epoch, now."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds since some moment, which never go back: for measuring how long something takes."""
    return time.monotonic()


def random_bytes(count: int) -> bytes:
    """``count`` bytes that nobody can guess, for ids."""
    return os.urandom(count)

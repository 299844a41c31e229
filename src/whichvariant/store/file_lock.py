"""One writer at a time, over all processes.

SQLite lets writers of other processes wait by sleeping for longer and longer, so that one of them
can be passed over for more than a second. Whoever waits for an ``flock`` sleeps in the kernel and
is woken when it is free.
"""

from __future__ import annotations

import os
from types import TracebackType

try:
    import fcntl
except ImportError:
    # Importing must work everywhere, since much else does; opening a store says what is missing.
    HAS_FLOCK = False
else:
    HAS_FLOCK = True


class FileLock:
    """An exclusive lock on a file of its own, for one thread of this process at a time.

    The lock ends with the process, however that ends: the file may stay. It is not inherited by
    processes that are started; one that is forked closes its copy.
    """

    def __init__(self, path: str, mode: int) -> None:
        """Make the file if need be, with the permissions ``mode``.

        Raises:
            OSError: it can be neither made nor opened.
        """
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)

    def acquire(self) -> None:
        """Wait until nobody else holds the lock."""
        assert self._handle is not None
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let the next one in."""
        assert self._handle is not None
        fcntl.flock(self._handle, fcntl.LOCK_UN)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def close(self) -> None:
        """Give the file back; a lock that is held ends. Closing twice is no error.

        In a forked process this ends the child's share of the lock and leaves it with the parent:
        otherwise the child would hold it when the parent has died.
        """
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

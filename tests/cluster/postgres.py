"""A PostgreSQL that keeps its promises to the disk, can be killed as a whole, and comes back."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

from tests.cluster.ports import steady_port
from tests.postgres import PostgresServer

# As it comes, with nothing that would make it faster and less safe.
_SETTINGS = ("shared_buffers=64MB", "max_connections=100", "fsync=on", "synchronous_commit=on")
_END_S = 10.0


class Postgres(PostgresServer):
    """One server on a port that stays its own while it is down."""

    def __init__(self) -> None:
        super().__init__(_SETTINGS, steady_port())

    def kill(self) -> None:
        """SIGKILL to the first process and to every one that it started."""
        children = _children_of(self.pid)
        # Those who see that the first is gone would end in order.
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        super().kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _END_S
        while any(_is_alive(pid) for pid in children):
            assert time.monotonic() < until, "processes of PostgreSQL do not end"
            time.sleep(0.01)

    def dsn_at(self, port: int) -> str:
        """The URL of its database, by another port."""
        return self.dsn().replace(f":{self.port}/", f":{port}/")


def _children_of(pid: int) -> list[int]:
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _is_alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"

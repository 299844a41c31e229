"""Time limits of connections: what takes too long is ended, within a quarter of a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from whichvariant.server.gathering import Turn

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from whichvariant.server.protocol import Connection

_LONGEST_PACE_S = 0.25


class Watch:
    """Ends what takes too long: one timer for all connections instead of one for each."""

    def __init__(self, connection: Connection) -> None:
        limits = connection.limits
        self._loop = connection.loop
        self.turn = Turn(connection.loop)
        self._connections = cast("set[Connection]", connection.connections)
        self._timer: asyncio.TimerHandle | None = None
        shortest = min(
            limits.header_timeout_s,
            limits.idle_timeout_s,
            limits.send_timeout_s,
            limits.body_timeout_s,
        )
        self.pace_s = min(_LONGEST_PACE_S, max(0.02, shortest / 4))
        self.now = self._loop.time()

    def begin(self) -> None:
        """Somebody is there to be looked after."""
        if self._timer is None:
            self._look()

    def _look(self) -> None:
        now = self.now = self._loop.time()
        for connection in [
            connection
            for connection in self._connections
            if connection.due < now or connection.write_due < now
        ]:
            connection.overdue()
        self._timer = self._loop.call_later(self.pace_s, self._look) if self._connections else None


_watches: WeakKeyDictionary[ServerState, Watch] = WeakKeyDictionary()


def watch_of(connection: Connection) -> Watch:
    """The watch over a connection and all others of its server."""
    watch = _watches.get(connection.server_state)
    if watch is None:
        watch = _watches[connection.server_state] = Watch(connection)
    return watch

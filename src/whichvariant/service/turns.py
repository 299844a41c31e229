"""One writer at a time for each profile, and no more than a few that wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from types import TracebackType

from whichvariant.errors import ProfileOverload


class Turns:
    """Who may change a profile now. Other processes are kept out by versions, not by this."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        # A key is here while somebody has its turn; its queue holds those who wait.
        self._queues: dict[Hashable, deque[asyncio.Future[None]] | None] = {}

    def of(self, keys: Iterable[Hashable]) -> _Turn:
        """A context in which nobody else has the turn of any of the keys.

        ProfileOverload on entering, when too many wait already. ``keys`` must be in one order for
        everybody, or two may wait for each other.
        """
        return _Turn(self, tuple(keys))

    async def take(self, key: Hashable) -> None:
        """Wait for the turn of ``key``."""
        if key not in self._queues:
            self._queues[key] = None
            return
        queue = self._queues[key]
        if queue is None:
            queue = self._queues[key] = deque()
        if len(queue) >= self._waiting:
            raise ProfileOverload(
                f"more than {self._waiting} requests wait to change this profile; try again later"
            )
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It was handed over in the same moment: the next one gets it.
                self.give_back(key)
            elif turn in queue:
                queue.remove(turn)
            raise

    def give_back(self, key: Hashable) -> None:
        """Hand the turn of ``key`` to the next who waits."""
        queue = self._queues[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[key]


class _Turn:
    __slots__ = ("_keys", "_taken", "_turns")

    def __init__(self, turns: Turns, keys: tuple[Hashable, ...]) -> None:
        self._turns = turns
        self._keys = keys
        self._taken = 0

    async def __aenter__(self) -> None:
        try:
            for key in self._keys:
                await self._turns.take(key)
                self._taken += 1
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        for key in self._keys[: self._taken]:
            self._turns.give_back(key)
        self._taken = 0

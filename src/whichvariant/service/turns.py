"""One writer at a time for each profile, in the order of asking, and no more than a few that wait.

Whoever wants several profiles stands in the queues of all of them at once, and holds none while it
waits for another: taken one after the other, each would wait for everybody who waits for somebody,
and some for very long. Since all queues have the same order, whoever came first is first in all of
its own, so nobody waits for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from types import TracebackType

from whichvariant.errors import ProfileOverload


class Turns:
    """Who may change a profile now. Other processes are kept out by versions, not by this.

    ``waiting`` requests may stand in a profile's queue behind the one whose turn it is, and none
    waits for more than ``patience_s`` seconds; None: for as long as it takes.
    """

    def __init__(self, waiting: int, patience_s: float | None = None) -> None:
        self._waiting = waiting
        self.patience_s = patience_s
        # Who stands for a key, first the one whose turn it is. Mostly that one is alone.
        self._queues: dict[Hashable, _Turn | deque[_Turn]] = {}

    def of(self, keys: Iterable[Hashable], *, patient: bool = False) -> _Turn:
        """A context in which nobody else has the turn of any of the keys, which are all different.

        ProfileOverload on entering, when too many wait already, or when it took too long. Who is
        ``patient`` is never refused: nobody waits for the answer.
        """
        return _Turn(self, tuple(keys), patient)

    def _enter(self, turn: _Turn) -> int:
        """Stand in every queue. How many others have to leave first."""
        queues = self._queues
        for key in () if turn.patient else turn.keys:
            there = queues.get(key)
            if there is not None:
                count = len(there) if isinstance(there, deque) else 1
                if count > self._waiting:
                    raise ProfileOverload(
                        f"more than {self._waiting} requests wait to change this profile;"
                        " try again later"
                    )
        behind = 0
        for key in turn.keys:
            there = queues.get(key)
            if there is None:
                queues[key] = turn
                continue
            behind += 1
            if isinstance(there, deque):
                there.append(turn)
            else:
                queues[key] = deque((there, turn))
        return behind

    def _leave(self, turn: _Turn) -> None:
        """Stand in no queue any more, whether it was its turn or not."""
        queues = self._queues
        for key in turn.keys:
            there = queues[key]
            if not isinstance(there, deque):
                del queues[key]
                continue
            if there[0] is not turn:
                there.remove(turn)
                continue
            there.popleft()
            if there:
                there[0].come_forward()
            else:
                del queues[key]


class _Turn:
    __slots__ = ("_behind", "_turns", "_waits", "keys", "patient")

    def __init__(self, turns: Turns, keys: tuple[Hashable, ...], patient: bool) -> None:
        self._turns = turns
        self.keys = keys
        self.patient = patient
        self._behind = 0
        self._waits: asyncio.Future[None] | None = None

    async def __aenter__(self) -> None:
        self._behind = self._turns._enter(self)
        if not self._behind:
            return
        loop = asyncio.get_running_loop()
        self._waits = loop.create_future()
        timer = None
        if self._turns.patience_s is not None and not self.patient:
            timer = loop.call_later(self._turns.patience_s, self._give_up)
        try:
            await self._waits
        except BaseException:
            self._turns._leave(self)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._turns._leave(self)

    def come_forward(self) -> None:
        """One who stood in front is gone."""
        self._behind -= 1
        if not self._behind and self._waits is not None and not self._waits.done():
            self._waits.set_result(None)

    def _give_up(self) -> None:
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(
                ProfileOverload("others took too long to change this profile; try again later")
            )

"""Many clients at once, each asking any server for something, and every word of it recorded.

What they ask for comes from a seed. When what happens depends on the servers as well, so a seed
gives the same requests, not the same run.
"""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.cluster.configuration import Releases
from tests.cluster.groups import OWN, PROFILES_PER_GROUP, Group
from tests.cluster.linearizable import NEVER
from tests.cluster.operations import UNKNOWN, Action, Answer, Operation, Read, Update
from tests.cluster.saying import Implausible, answer_of, creation, request_of
from tests.cluster.wire import Lost, NotSent, Reply, Wire

_HOT = 8
_HOT_SHARE = 0.5
_MOST_ATTEMPTS = 4
_TIMEOUT_S = 3.0
_DAY_MS = 86_400_000

Choose = Callable[[random.Random], int]


class Load:
    """Clients, and what they recorded.

    ``refusals`` counts what was definitely not done, by reason; ``broken`` are answers that no
    server should give, whatever happens around it.
    """

    def __init__(
        self, ports: Sequence[int], releases: Releases, seed: int, profiles: int, pause_s: float
    ) -> None:
        self.seed = seed
        self.history: list[Group] = []
        self.refusals: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self.waits_s: list[float] = []
        self._ports = tuple(ports)
        self._releases = releases
        self._pause_s = pause_s
        self._first_ms = int(time.time() * 1000) - 30 * _DAY_MS
        self._generator = random.Random(seed)
        self._hot: collections.deque[Group] = collections.deque()
        self._live: list[Group] = []
        for _ in range(max(1, profiles // PROFILES_PER_GROUP)):
            self._live.append(self._new_group())

    def _new_group(self) -> Group:
        number = len(self.history)
        group = Group(number, f"{self.seed}-{number}", self._first_ms)
        self.history.append(group)
        return group

    async def run(self, clients: int, until: Callable[[], bool]) -> None:
        """All clients at work, until ``until`` says so and what was asked is answered."""
        await asyncio.gather(*(self._client(number, until) for number in range(clients)))

    async def read_everything(self, clients: int = 16) -> None:
        """Ask for every key of every group once more, so that the end is seen by everybody."""
        left = [
            (group, key)
            for group in self.history
            if group.ready
            for key in range(len(group.history.kinds))
        ]

        async def work(number: int) -> None:
            generator = random.Random(f"{self.seed}/last/{number}")
            client = _Client(self, clients + number, generator)
            while left:
                group, key = left.pop()
                answers = client.answers
                while client.answers == answers:
                    await client.attempt(group, Read(key), 1)
            await client.close()

        await asyncio.gather(*(work(number) for number in range(clients)))

    async def _client(self, number: int, until: Callable[[], bool]) -> None:
        generator = random.Random(f"{self.seed}/{number}")
        client = _Client(self, number, generator)
        while not until():
            group = self._choose(generator)
            if not group.ready:
                await client.open(group)
                continue
            await client.one(group)
            if self._pause_s:
                await asyncio.sleep(self._pause_s * 2 * generator.random())
        await client.close()

    def _choose(self, generator: random.Random) -> Group:
        if generator.random() < _HOT_SHARE:
            while len(self._hot) < _HOT:
                self._hot.append(self._replaced(generator))
            place = generator.randrange(_HOT)
            if self._hot[place].exhausted or generator.random() < 0.002:
                self._hot[place] = self._replaced(generator)
            return self._hot[place]
        return self._replaced(generator)

    def _replaced(self, generator: random.Random) -> Group:
        """Any group; in the place of one of which all is said, a new one."""
        place = generator.randrange(len(self._live))
        if self._live[place].exhausted:
            self._live[place] = self._new_group()
        return self._live[place]


class _Client:
    def __init__(self, load: Load, number: int, generator: random.Random) -> None:
        self._load = load
        self.answers = 0
        self._number = number
        self._generator = generator
        self._wires = [Wire(port, _TIMEOUT_S) for port in load._ports]

    async def close(self) -> None:
        for wire in self._wires:
            await wire.close()

    async def one(self, group: Group) -> None:
        """One request, and its repetitions where nobody knows what became of it."""
        action = group.next_action(self._generator)
        if action is None:
            await self._make(group)
            return
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            if await self.attempt(group, action, attempt):
                return
            if self._generator.random() < 0.25:
                return
            await asyncio.sleep(0.3 * self._generator.random())

    async def open(self, group: Group) -> None:
        """Get the ids that a group begins with."""
        ids: list[str] = []

        async def noted(server: int, reply: Reply, began: float) -> None:
            ids.append(_id_in(reply))

        while len(ids) < OWN:
            if not await self._asked(creation(group, None), noted):
                await asyncio.sleep(0.2)
        if not group.ready:
            group.open(ids)

    async def _make(self, group: Group) -> None:
        """A new profile. If nobody knows what became of it, nobody knows its id either."""
        said = group.saying(self._generator, UNKNOWN)

        async def noted(server: int, reply: Reply, began: float) -> None:
            ended = time.monotonic()
            key = group.key_of(_id_in(reply), "made")
            action = Update(type(said)(key, said.mark, said.at_ms, said.user, said.locks))
            self._record(group, server, 1, began, ended, action, reply)

        await self._asked(creation(group, said), noted)

    async def attempt(self, group: Group, action: Action, attempt: int) -> bool:
        """Ask once, as an SDK does: with one more try after 503. False: nobody knows."""

        async def noted(server: int, reply: Reply, began: float) -> None:
            self._record(group, server, attempt, began, time.monotonic(), action, reply)

        async def lost(server: int, began: float) -> None:
            self._note(group, server, attempt, began, NEVER, action, None)

        return await self._asked(request_of(group, action), noted, lost)

    async def _asked(
        self,
        request: tuple[str, str, bytes],
        noted: Callable[[int, Reply, float], Awaitable[None]],
        lost: Callable[[int, float], Awaitable[None]] | None = None,
    ) -> bool:
        """Send a request. True if it is known what became of it, be it that nothing did."""
        load = self._load
        again = True
        while True:
            server = self._generator.randrange(len(self._wires))
            began = time.monotonic()
            try:
                reply = await self._wires[server].ask(*request)
            except NotSent:
                load.refusals["no connection"] += 1
                await asyncio.sleep(0.05)
                continue
            except Lost as error:
                load.refusals[f"unknown: {str(error).partition(':')[0]}"] += 1
                if lost is not None:
                    await lost(server, began)
                return False
            load.waits_s.append(time.monotonic() - began)
            self.answers += reply.status in {200, 404}
            if reply.status in {200, 404}:
                await noted(server, reply, began)
                return True
            load.refusals[f"{reply.status}"] += 1
            if reply.status == 503 and again:
                again = False
                continue
            if reply.status in {429, 503}:
                return True
            if reply.status != 500:
                load.broken.append(f"{request[:2]} was answered {reply.status}: {reply.body!r}")
                return True
            # Something failed there, perhaps after it was done.
            if lost is not None:
                await lost(server, began)
            return False

    def _record(
        self,
        group: Group,
        server: int,
        attempt: int,
        began: float,
        ended: float,
        action: Action,
        reply: Reply,
    ) -> None:
        try:
            answer = answer_of(group, action, reply, self._load._releases)
        except (Implausible, KeyError, IndexError, ValueError) as error:
            self._load.broken.append(f"{action} was answered {reply}: {error!r}")
            return
        self._note(group, server, attempt, began, ended, action, answer)

    def _note(
        self,
        group: Group,
        server: int,
        attempt: int,
        began: float,
        ended: float,
        action: Action,
        answer: Answer | None,
    ) -> None:
        group.history.operations.append(
            Operation(group.number, self._number, server, attempt, began, ended, action, answer)
        )


def _id_in(reply: Reply) -> str:
    import json

    told: str = json.loads(reply.body)["data"]["profile"]["id"]
    return told

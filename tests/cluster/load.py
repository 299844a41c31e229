"""Many clients at once, each asking any server for something, and every word of it recorded.

What they ask for comes from a seed. When what happens depends on the servers as well, so a seed
gives the same requests, not the same run.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from tests.cluster.configuration import Releases
from tests.cluster.groups import OWN, PROFILES_PER_GROUP, Group
from tests.cluster.linearizable import NEVER
from tests.cluster.operations import UNKNOWN, Action, Operation, Read, Update
from tests.cluster.saying import Implausible, answer_of, creation, request_of
from tests.cluster.wire import Lost, NotSent, Reply, Wire

_HOT = 8
_HOT_SHARE = 0.5
_MOST_ATTEMPTS = 4
_TIMEOUT_S = 3.0
_DAY_MS = 86_400_000
_OUT_OF_REACH = b"profiles cannot be reached"
"""What a server says when it lost the database, perhaps in the middle of it all."""


Choose = Callable[[random.Random], int]
"""Which of the servers is to be asked next."""


class Load:
    """Clients, and what they recorded.

    ``refusals`` counts what was definitely not done, by reason; ``broken`` are answers that no
    server should give, whatever happens around it.
    """

    def __init__(
        self,
        ports: Sequence[int],
        releases: Releases,
        *,
        seed: int,
        profiles: int,
        pause_s: float,
        choose: Choose | None = None,
    ) -> None:
        self.seed = seed
        self.history: list[Group] = []
        self.refusals: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self.waits_s: list[float] = []
        self.releases = releases
        self.ports = tuple(ports)
        self.choose = choose or (lambda generator: generator.randrange(len(ports)))
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

    async def populate(self, clients: int = 16) -> None:
        """Say something of every profile of every group, so that all of them are there."""
        left = list(self._live)

        async def work(number: int) -> None:
            client = _Client(self, number, random.Random(f"{self.seed}/first/{number}"))
            while left:
                group = left.pop()
                await client.open(group)
                action = group.first_action(client.generator)
                for attempt in itertools.count(1):
                    if await client.attempt(group, action, attempt):
                        break
            await client.close()

        await asyncio.gather(*(work(number) for number in range(clients)))

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
        self.generator = generator
        self._wires = [Wire(port, _TIMEOUT_S) for port in load.ports]

    async def close(self) -> None:
        for wire in self._wires:
            await wire.close()

    async def one(self, group: Group) -> None:
        """One request, and its repetitions where nobody knows what became of it."""
        action = group.next_action(self.generator)
        if action is None:
            await self._make(group)
            return
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            if await self.attempt(group, action, attempt):
                return
            if self.generator.random() < 0.25:
                return
            await asyncio.sleep(0.3 * self.generator.random())

    async def open(self, group: Group) -> None:
        """Get the ids that a group begins with."""
        ids: list[str] = []
        while len(ids) < OWN:
            came = await self._asked(creation(group, None))
            if came.reply is not None:
                ids.append(_id_in(came.reply))
            else:
                await asyncio.sleep(0.2)
        if not group.ready:
            group.open(ids)

    async def _make(self, group: Group) -> None:
        """A new profile. If nobody knows what became of it, nobody knows its id either."""
        said = group.saying(self.generator, UNKNOWN)
        came = await self._asked(creation(group, said))
        if came.reply is not None:
            key = group.key_of(_id_in(came.reply), "made")
            self._record(group, Update(msgspec.structs.replace(said, key=key)), 1, came)

    async def attempt(self, group: Group, action: Action, attempt: int) -> bool:
        """Ask once, as an SDK does: with one more try after 503. False: nobody knows."""
        came = await self._asked(request_of(group, action))
        self._record(group, action, attempt, came)
        return came.ended != NEVER

    async def _asked(self, request: tuple[str, str, bytes]) -> _Came:
        """Send a request to whoever can be reached."""
        load = self._load
        again = True
        while True:
            server = load.choose(self.generator)
            began = time.monotonic()
            try:
                reply = await self._wires[server].ask(*request)
            except NotSent:
                load.refusals["no connection"] += 1
                await asyncio.sleep(0.05)
                continue
            except Lost as error:
                load.refusals[f"unknown: {str(error).partition(':')[0]}"] += 1
                return _Came(server, began, NEVER)
            ended = time.monotonic()
            load.waits_s.append(ended - began)
            if reply.status in {200, 404}:
                return _Came(server, began, ended, reply)
            load.refusals[f"{reply.status}"] += 1
            if reply.status == 500 or (reply.status == 503 and _OUT_OF_REACH in reply.body):
                # Something failed there, perhaps after it was done.
                return _Came(server, began, NEVER)
            if reply.status == 503 and again:
                again = False
                continue
            if reply.status not in {429, 503}:
                load.broken.append(f"{request[:2]} was answered {reply.status}: {reply.body!r}")
            return _Came(server, began, ended)

    def _record(self, group: Group, action: Action, attempt: int, came: _Came) -> None:
        answer = None
        if came.reply is not None:
            self.answers += 1
            try:
                answer = answer_of(group, action, came.reply, self._load.releases)
            except (Implausible, KeyError, IndexError, ValueError) as error:
                self._load.broken.append(f"{action} was answered {came.reply}: {error!r}")
                return
        elif came.ended != NEVER:
            return
        group.history.operations.append(
            Operation(
                group.number,
                self._number,
                came.server,
                attempt,
                came.began,
                came.ended,
                action,
                answer,
            )
        )


class _Came(NamedTuple):
    """What came of a request. ``ended`` is `NEVER` where nobody knows.

    Where that is known and there is no reply, it was refused and nothing was done.
    """

    server: int
    began: float
    ended: float
    reply: Reply | None = None


def _id_in(reply: Reply) -> str:
    told: str = json.loads(reply.body)["data"]["profile"]["id"]
    return told

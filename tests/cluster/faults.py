"""What goes wrong, in an order that a seed gives: servers, connections, PostgreSQL.

Several things can be wrong at once. Whatever is broken is healed after a while, so that the load
goes on; two of three servers may be away at a time.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator

from tests.cluster.servers import Cluster, Server

_PAUSE_S = (0.2, 1.5)
"""How long after one fault the next begins, whether that one is healed or not."""
_KILL_POSTGRES_EVERY_S = 25.0
_START_S = 60.0


class Faults:
    """Breaks things until told to stop.

    ``counts`` are faults by kind, ``log`` has a line for each, ``active_s`` is for how long at
    least one was going on, ``trouble`` what could not be healed.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.log: list[str] = []
        self.trouble: list[str] = []
        self.active_s = 0.0
        self._cluster = cluster
        self._generator = random.Random(f"faults of {seed}")
        self._away: set[int] = set()
        self._going_on = 0
        self._since = 0.0
        self._began = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._postgres_down = False
        self._next_kill = self._began + 8.0

    async def run(self, until: Callable[[], bool]) -> None:
        """Break one thing after the other, then let everything heal."""
        while not until():
            fault = self._choose()
            if fault is not None:
                task = asyncio.create_task(self._one(*fault))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self._generator.uniform(*_PAUSE_S))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.ready() for server in self._cluster.servers))

    async def _one(self, name: str, fault: Callable[[], Awaitable[None]]) -> None:
        self.counts[name] += 1
        self.log.append(f"{time.monotonic() - self._began:8.2f} {name}")
        try:
            with self._active():
                await fault()
        except Exception as error:  # noqa: BLE001 - it is told with the run's result
            self.trouble.append(f"{name}: {error!r}")

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        if self._going_on == 0:
            self._since = time.monotonic()
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1
            if self._going_on == 0:
                self.active_s += time.monotonic() - self._since

    def _choose(self) -> tuple[str, Callable[[], Awaitable[None]]] | None:
        generator = self._generator
        there = [server for server in self._cluster.servers if server.number not in self._away]
        choices: list[tuple[str, Callable[[Server], Awaitable[None]]]] = [
            ("server killed", self._kill),
            ("server paused", self._pause),
            ("server ended", self._end),
            ("release published", self._publish),
        ]
        if self._cluster.postgres is not None:
            if time.monotonic() >= self._next_kill and not self._postgres_down:
                self._next_kill = time.monotonic() + _KILL_POSTGRES_EVERY_S
                return "PostgreSQL killed", self._kill_postgres
            choices += [
                ("connections cut", self._cut),
                ("connections stalled", self._stall),
                ("connections refused", self._refuse),
                ("backends terminated", self._terminate),
            ] * 2
        name, fault = generator.choice(choices)
        server = generator.choice(self._cluster.servers)
        if name.startswith("server"):
            if len(there) < 2:
                return None
            server = generator.choice(there)
            # It is away from now on, not only once its task gets its turn.
            self._away.add(server.number)
        return name, lambda: fault(server)

    # ---- servers ------------------------------------------------------------------------------

    async def _kill(self, server: Server) -> None:
        try:
            await server.kill()
            await asyncio.sleep(self._generator.uniform(0, 1))
            await self._start(server)
        finally:
            self._away.discard(server.number)

    async def _start(self, server: Server) -> None:
        """As a supervisor would: one that does not find its database ends, and is tried again."""
        until = time.monotonic() + _START_S
        server.start()
        while not await server.says_ready():
            if not server.running:
                if server.proxy is None or time.monotonic() > until:
                    raise AssertionError(f"server {server.number} ended:\n{server.tail()}")
                self.counts["server started once more"] += 1
                server.start()
            await asyncio.sleep(0.1)

    async def _end(self, server: Server) -> None:
        try:
            code = await server.stop()
            if code != 0:
                self.trouble.append(f"server {server.number} ended with {code}:\n{server.tail()}")
            await self._start(server)
        finally:
            self._away.discard(server.number)

    async def _pause(self, server: Server) -> None:
        try:
            server.pause()
            # Now and then for longer than clients wait.
            await asyncio.sleep(self._generator.choice((0.3, 1, 2, 5)))
        finally:
            server.resume()
            self._away.discard(server.number)

    async def _publish(self, server: Server) -> None:
        releases = self._cluster.releases
        releases.publish("b" if releases.now == "a" else "a")

    # ---- connections --------------------------------------------------------------------------

    async def _cut(self, server: Server) -> None:
        assert server.proxy is not None
        for _ in range(self._generator.randrange(1, 4)):
            server.proxy.cut()
            await asyncio.sleep(self._generator.uniform(0, 0.5))

    async def _stall(self, server: Server) -> None:
        assert server.proxy is not None
        server.proxy.stall()
        try:
            await asyncio.sleep(self._generator.choice((0.2, 1, 3, 6)))
            if self._generator.random() < 0.5:
                server.proxy.cut()
        finally:
            server.proxy.resume()

    async def _refuse(self, server: Server) -> None:
        assert server.proxy is not None
        server.proxy.refusing = True
        server.proxy.cut()
        try:
            await asyncio.sleep(self._generator.choice((0.2, 1, 3)))
        finally:
            server.proxy.refusing = False

    # ---- PostgreSQL ---------------------------------------------------------------------------

    async def _terminate(self, server: Server) -> None:
        import asyncpg

        postgres = self._cluster.postgres
        assert postgres is not None
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(postgres.dsn(), timeout=5)
            try:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' "
                    "AND random() < 0.6"
                )
            finally:
                await connection.close(timeout=5)

    async def _kill_postgres(self) -> None:
        postgres = self._cluster.postgres
        assert postgres is not None
        self._postgres_down = True
        try:
            await asyncio.to_thread(postgres.kill)
            await asyncio.sleep(self._generator.uniform(0, 2))
            await asyncio.to_thread(postgres.start)
        finally:
            self._postgres_down = False

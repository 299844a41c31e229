"""Three servers, one store: processes as users run them, and what can be done to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.cluster.configuration import Releases
from tests.cluster.ports import steady_port
from tests.cluster.postgres import Postgres
from tests.cluster.proxy import Proxy
from tests.cluster.wire import Lost, NotSent, Reply, Wire
from tests.server.running import Served, launch

TOKEN = "a-token-of-operators-that-nobody-guesses"
API = "/v2/organizations/default/environments/main"
COUNT = 3
RELOAD_S = 0.3
_READY_S = 90.0


class Server:
    """One of them. ``proxy`` stands between it and PostgreSQL, where that is the store."""

    def __init__(
        self, number: int, folder: pathlib.Path, arguments: Sequence[str], proxy: Proxy | None
    ) -> None:
        self.number = number
        self.port = steady_port()
        self.proxy = proxy
        self.log = folder / f"server-{number}.log"
        self.paused = False
        self._arguments = tuple(arguments)
        self._served: Served | None = None

    def start(self) -> None:
        """Start a process. It takes a while to be ready."""
        env = {"WHICHVARIANT_ADMIN_TOKEN": TOKEN}
        self._served = launch(self.log, self.port, *self._arguments, env=env)
        self.paused = False

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._served is not None and self._served.process.poll() is None

    async def ready(self, within_s: float = _READY_S) -> None:
        """Wait until it says so."""
        until = time.monotonic() + within_s
        while not await self.says_ready():
            late = time.monotonic() > until
            assert self.running, f"server {self.number} ended:\n{self.tail()}"
            assert not late, f"server {self.number} is not ready:\n{self.tail()}"
            await asyncio.sleep(0.05)

    async def says_ready(self) -> bool:
        """What a balancer asks, on a connection of its own."""
        try:
            return (await self.ask("GET", "/readyz")).status == 200
        except (NotSent, Lost):
            return False

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """One request on a connection of its own."""
        wire = Wire(self.port, timeout_s=10)
        try:
            return await wire.ask(method, path, body)
        finally:
            await wire.close()

    async def admin(self, path: str) -> Any:
        """What the operator's endpoints tell, as JSON."""
        wire = Wire(self.port, timeout_s=30, headers={"authorization": f"Bearer {TOKEN}"})
        try:
            reply = await wire.ask("GET", f"/admin{path}")
        finally:
            await wire.close()
        assert reply.status == 200, reply
        return json.loads(reply.body)["data"]

    async def kill(self) -> None:
        """As a crash would."""
        assert self._served is not None
        await asyncio.to_thread(self._served.kill)

    async def stop(self) -> int:
        """As an operator would. Gives the exit code."""
        assert self._served is not None
        return await asyncio.to_thread(self._served.stop)

    def pause(self) -> None:
        """Stop it where it is."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        self._signal(signal.SIGCONT)
        self.paused = False

    def _signal(self, number: int) -> None:
        assert self._served is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._served.process.pid, number)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4000:]


class Cluster:
    """The servers, what they serve, and PostgreSQL if they keep profiles there."""

    def __init__(self, folder: pathlib.Path, releases: Releases) -> None:
        self.folder = folder
        self.releases = releases
        self.servers: list[Server] = []
        self.postgres: Postgres | None = None

    async def drained(self, within_s: float = 120.0) -> None:
        """Wait until everything that was accepted has been applied, and nothing was rejected."""
        until = time.monotonic() + within_s
        while True:
            inbox = await self.servers[0].admin("/inbox")
            assert inbox["rejectedCount"] == 0, inbox
            if inbox["waiting"] == 0:
                return
            assert time.monotonic() < until, f"the inbox is not worked off: {inbox}"
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def cluster(
    folder: pathlib.Path, store: str, *arguments: str, proxied: bool = False
) -> AsyncIterator[Cluster]:
    """Servers that are ready, until the block ends. ``store``: "embedded" or "postgresql".

    ``proxied``: there is a proxy of the running event loop before the database, for each server.
    """
    releases = Releases(folder / "configuration.json")
    together = Cluster(folder, releases)
    try:
        if store == "postgresql":
            together.postgres = await asyncio.to_thread(Postgres)
        for number in range(COUNT):
            proxy = None
            where = str(folder / "profiles.db")
            if together.postgres is not None:
                where = together.postgres.dsn()
            if together.postgres is not None and proxied:
                proxy = Proxy(together.postgres.port)
                await proxy.start()
                where = together.postgres.dsn_at(proxy.port)
            named = ["--config", str(releases.path), "--reload-s", str(RELOAD_S), "--store", where]
            together.servers.append(Server(number, folder, [*named, *arguments], proxy))
        # The first one makes the tables, if there are none.
        for server in together.servers:
            server.start()
            if server.number == 0:
                await server.ready()
        await asyncio.gather(*(server.ready() for server in together.servers))
        yield together
        codes = await asyncio.gather(*(server.stop() for server in together.servers))
        assert codes == [0] * COUNT, [server.tail() for server in together.servers]
    finally:
        for server in together.servers:
            if server.running:
                await server.kill()
            if server.proxy is not None:
                await server.proxy.close()
        if together.postgres is not None:
            await asyncio.to_thread(together.postgres.remove)

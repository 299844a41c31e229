"""What stands before servers: it asks each whether it is ready, and sends requests to those."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from tests.cluster.servers import Server
from tests.cluster.wire import Lost, NotSent, Wire

PACE_S = 0.1


class Balancer:
    """Knows who was ready when it asked last."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = tuple(servers)
        self.ready = {server.number for server in servers}

    def choose(self, generator: random.Random) -> int:
        """One of those that are ready."""
        return generator.choice(sorted(self.ready))

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask again and again while the block lasts."""
        tasks = [asyncio.create_task(self._watch(server)) for server in self._servers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, server: Server) -> None:
        wire = Wire(server.port, timeout_s=2)
        try:
            while True:
                if await _is_ready(wire):
                    self.ready.add(server.number)
                else:
                    self.ready.discard(server.number)
                await asyncio.sleep(PACE_S)
        finally:
            await wire.close()


async def _is_ready(wire: Wire) -> bool:
    try:
        return (await wire.ask("GET", "/readyz")).status == 200
    except (NotSent, Lost):
        return False

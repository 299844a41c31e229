"""Servers replaced one after the other, under load: no request fails, and nothing is lost."""

from __future__ import annotations

import asyncio
import pathlib

from tests.cluster.balancer import PACE_S, Balancer
from tests.cluster.checking import check
from tests.cluster.load import Load
from tests.cluster.servers import Cluster, cluster

DRAIN_S = 1.0


async def replace_all(servers: Cluster, balancer: Balancer) -> list[int]:
    """End each server, start it anew, and go on when it is asked again. Gives the exit codes."""
    codes = []
    for server in servers.servers:
        codes.append(await server.stop())
        assert server.number not in balancer.ready
        server.start()
        await server.ready()
        await asyncio.sleep(3 * PACE_S)
        assert server.number in balancer.ready
    return codes


async def test_a_rolling_restart(tmp_path: pathlib.Path) -> None:
    async with cluster(tmp_path, "postgresql", "--drain-s", str(DRAIN_S)) as servers:
        balancer = Balancer(servers.servers)
        ports = [server.port for server in servers.servers]
        load = Load(
            ports, servers.releases, seed=8, profiles=200, pause_s=0.02, choose=balancer.choose
        )
        over = asyncio.Event()
        async with balancer.asking():
            running = asyncio.create_task(load.run(16, over.is_set))
            codes = await replace_all(servers, balancer)
            over.set()
            await running
            await servers.drained()
            drained = asyncio.get_running_loop().time()
            await load.read_everything()
    assert codes == [0, 0, 0]
    # Not one 503, broken connection or timeout.
    assert dict(load.refusals) == {}
    assert load.broken == []
    checked = check([group.history for group in load.history if group.ready], drained)
    assert [finding.text for finding in checked.findings] == []
    assert checked.operations > 500

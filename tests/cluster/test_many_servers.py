"""Any request to any of three servers: overload, repetition and configurations hold across them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.cluster.balancer import Balancer
from tests.cluster.checking import check
from tests.cluster.groups import Group
from tests.cluster.load import Load
from tests.cluster.operations import Read, Said, Update
from tests.cluster.saying import answer_of, creation, request_of
from tests.cluster.servers import RELOAD_S, Cluster, cluster
from tests.cluster.wire import Reply, Wire

WAITING = 4
_NOW_MS = int(time.time() * 1000) - 86_400_000


@pytest.fixture(scope="module", params=["embedded", "postgresql"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Three servers for all tests, each of which runs an event loop of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with asyncio.Runner() as runner:
        made = cluster(folder, request.param, "--waiting-per-profile", str(WAITING))
        yield runner.run(made.__aenter__())
        runner.run(made.__aexit__(None, None, None))


@contextlib.asynccontextmanager
async def wires(servers: Cluster, each: int) -> AsyncIterator[list[Wire]]:
    """Connections to all servers in turn, ``each`` to every one."""
    made = [Wire(server.port, timeout_s=20) for _ in range(each) for server in servers.servers]
    try:
        yield made
    finally:
        for wire in made:
            await wire.close()


async def new_group(servers: Cluster, name: str) -> Group:
    """A group with one profile, its key 0, of which one thing was said."""
    group = Group(0, name, _NOW_MS)
    reply = await servers.servers[0].ask(*creation(group, Said(-1, 0, _NOW_MS)))
    group.key_of(json.loads(reply.body)["data"]["profile"]["id"], "made")
    group.marks = 1
    return group


def says(group: Group) -> Update:
    mark = group.marks
    group.marks += 1
    return Update(Said(0, mark, _NOW_MS + mark))


async def test_too_many_for_one_profile(servers: Cluster) -> None:
    """Each update is either acknowledged and applied once, or refused and not applied at all."""
    group = await new_group(servers, "crowded")
    async with wires(servers, each=20) as connections:
        sayings = [says(group) for _ in range(2 * len(connections))]
        replies: dict[int, Reply] = {}

        async def send(wire: Wire, some: list[Update]) -> None:
            for update in some:
                replies[update.said.mark] = await wire.ask(*request_of(group, update))

        await asyncio.gather(
            *(send(wire, sayings[number :: len(connections)])
              for number, wire in enumerate(connections))
        )  # fmt: skip
    done = {mark for mark, reply in replies.items() if reply.status == 200}
    refused = {mark: reply for mark, reply in replies.items() if reply.status != 200}
    for reply in refused.values():
        assert reply.status == 429, reply
        assert json.loads(reply.body)["error"]["code"] == "ERR_PROFILE_OVERLOAD"
        assert int(reply.headers["retry-after"]) >= 1
    assert len(done) > WAITING
    assert len(refused) > 0
    for server in servers.servers:
        reply = await server.ask(*request_of(group, Read(0)))
        answer = answer_of(group, Read(0), reply, servers.releases)
        assert answer is not None
        seen = answer.seen[0]
        assert seen.marks == sum(1 << mark for mark in done | {0})
        assert seen.count == len(done) + 1


async def test_the_same_to_all_at_once(servers: Cluster) -> None:
    """One event, sent to three servers in the same moment, again and again: it happens once."""
    group = await new_group(servers, "repeated")
    async with wires(servers, each=1) as connections:
        for number in range(1, 25):
            request = request_of(group, says(group))
            replies = await asyncio.gather(*(wire.ask(*request) for wire in connections))
            assert [reply.status for reply in replies] == [200] * len(replies)
            for reply in replies:
                answer = answer_of(group, Read(0), reply, servers.releases)
                assert answer is not None
                assert answer.seen[0].count == number + 1


async def test_the_ids_of_preflights_are_good_everywhere(servers: Cluster) -> None:
    for number, first in enumerate(servers.servers):
        group = Group(0, f"hydrated-{number}", _NOW_MS)
        reply = await first.ask(*creation(group, None))
        group.key_of(json.loads(reply.body)["data"]["profile"]["id"], "own")
        for server in servers.servers:
            reply = await server.ask(*request_of(group, says(group)))
            assert reply.status == 200


async def digests(servers: Cluster) -> set[str]:
    """What decides at each server, as ``/readyz`` says."""
    replies = await asyncio.gather(*(server.ask("GET", "/readyz") for server in servers.servers))
    found: set[str] = set()
    for reply in replies:
        told: Any = json.loads(reply.body)["data"]
        found |= {one["digest"] for one in told["environments"]}
    return found


async def converged(servers: Cluster, name: str) -> float:
    """Wait until every server decides by a release. Gives how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(20 * RELOAD_S + 10):
        while True:
            if await digests(servers) == {servers.releases.digests[name]}:
                return time.monotonic() - began
            await asyncio.sleep(0.02)


async def test_a_configuration_is_rolled_out(servers: Cluster) -> None:
    """Under load: every answer is of the release that its digest names, and all agree in the end.

    A file that is none changes nothing anywhere.
    """
    releases = servers.releases
    balancer = Balancer(servers.servers)
    ports = [server.port for server in servers.servers]
    load = Load(ports, releases, seed=4, profiles=50, pause_s=0.02, choose=balancer.choose)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(9, over.is_set))
    for name in ("b", "a", "b"):
        releases.publish(name)
        await converged(servers, name)
        await asyncio.sleep(0.2)
    releases.path.write_text('{"experiences": [')
    await asyncio.sleep(3 * RELOAD_S)
    assert await digests(servers) == {releases.digests["b"]}
    over.set()
    await running
    releases.publish("a")
    await converged(servers, "a")
    assert load.broken == []
    # A profile that many want to change at once may be refused, and nothing else.
    assert set(load.refusals) <= {"429"}
    await servers.drained()
    drained = time.monotonic()
    await load.read_everything()
    checked = check([group.history for group in load.history if group.ready], drained)
    assert [finding.text for finding in checked.findings] == []
    assert checked.operations > 200

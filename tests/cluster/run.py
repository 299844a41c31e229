"""A whole run: servers, load, faults, and whether what happened can be explained.

    python -m tests.cluster.run --store postgresql --seconds 600 --seed 7

says what came of it as one line of JSON; its exit code is 1 if something is wrong. What is not
said is taken from WHICHVARIANT_CLUSTER_SECONDS, …_SEED and …_PROFILES. With --keep the history is
kept in a file, which --check looks at once more. Lines of long runs are in ``runs.ndjson``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import pickle
import signal
import statistics
import sys
import tempfile
import time
from typing import NamedTuple

import msgspec
from tests.cluster.checking import Checked, check
from tests.cluster.faults import Faults
from tests.cluster.load import Load
from tests.cluster.operations import GroupHistory
from tests.cluster.servers import cluster


class Plan(NamedTuple):
    """What a run is to be. Clients rest for ``pause_s`` between requests, on average."""

    store: str
    seconds: float
    seed: int
    profiles: int
    clients: int = 24
    pause_s: float = 0.05
    faults: bool = True


class Kept(msgspec.Struct):
    """A history as a file has it, pickled. ``drained``: when all accepted had been applied."""

    groups: list[GroupHistory]
    drained: float


class Outcome(msgspec.Struct):
    """What came of a run. ``findings`` is what cannot be explained, and must be empty."""

    store: str
    seed: int
    seconds: float
    fault_seconds: float
    profiles: int
    operations: int
    counts: dict[str, int]
    refusals: dict[str, int]
    faults: dict[str, int]
    longest_s: float
    median_s: float
    findings: list[str]


async def carry_out(plan: Plan, folder: pathlib.Path) -> tuple[Outcome, Kept]:
    """Load and faults for ``plan.seconds``, then everything heals and is looked at once more."""
    findings: list[str] = []
    async with cluster(folder, plan.store, proxied=True) as servers:
        ports = [server.port for server in servers.servers]
        load = Load(
            ports,
            servers.releases,
            seed=plan.seed,
            profiles=plan.profiles,
            pause_s=plan.pause_s,
        )
        await load.populate()
        faults = Faults(servers, plan.seed)
        began = time.monotonic()

        def over() -> bool:
            return time.monotonic() - began > plan.seconds

        breaking = [faults.run(over)] if plan.faults else []
        await asyncio.gather(load.run(plan.clients, over), *breaking)
        seconds = time.monotonic() - began
        await servers.drained()
        drained = time.monotonic()
        await load.read_everything()
    kept = Kept([group.history for group in load.history if group.ready], drained)
    checked = check(kept.groups, kept.drained)
    findings += [f"{one.outcome}: {one.text}" for one in checked.findings]
    findings += load.broken + faults.trouble
    outcome = Outcome(
        plan.store,
        plan.seed,
        round(seconds, 1),
        round(faults.active_s, 1),
        _profiles_in(kept.groups),
        checked.operations,
        checked.counts,
        dict(load.refusals),
        dict(faults.counts),
        round(max(load.waits_s), 3),
        round(statistics.median(load.waits_s), 4),
        findings,
    )
    return outcome, kept


def _profiles_in(groups: list[GroupHistory]) -> int:
    """Keys, but those of users, that some answer showed as a profile's id."""
    return sum(
        len({seen.id for one in group.operations if one.answer for seen in one.answer.seen})
        for group in groups
    )


def again(path: pathlib.Path) -> Checked:
    """Check a history that was kept."""
    kept: Kept = pickle.loads(path.read_bytes())
    return check(kept.groups, kept.drained)


def _told(name: str, otherwise: str) -> str:
    return os.environ.get(f"WHICHVARIANT_CLUSTER_{name}", otherwise)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("embedded", "postgresql"), default="postgresql")
    parser.add_argument("--seconds", type=float, default=_told("SECONDS", "600"))
    parser.add_argument("--seed", type=int, default=_told("SEED", "1"))
    parser.add_argument("--profiles", type=int, default=_told("PROFILES", "10000"))
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--pause-s", type=float, default=0.05)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    chosen = parser.parse_args()
    # However it is told to end, it ends what it started.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if chosen.check is not None:
        checked = again(chosen.check)
        sys.stdout.write("\n".join(one.text for one in checked.findings))
        return 1 if checked.findings else 0
    plan = Plan(
        chosen.store,
        chosen.seconds,
        chosen.seed,
        chosen.profiles,
        chosen.clients,
        chosen.pause_s,
    )
    with tempfile.TemporaryDirectory(prefix="whichvariant-cluster-") as folder:
        outcome, kept = asyncio.run(carry_out(plan, pathlib.Path(folder)))
    if chosen.keep is not None:
        chosen.keep.write_bytes(pickle.dumps(kept))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())

"""Servers, connections and PostgreSQL fail under load: what happened can be explained.

A short run. ``make cluster-test`` is for long ones: ``WHICHVARIANT_CLUSTER_SECONDS``, ``…_SEED``
and ``…_PROFILES`` say for how long, from what, and with about how many.
"""

from __future__ import annotations

import asyncio
import os
import pathlib

import msgspec
import pytest
from tests.cluster.run import Outcome, Plan, carry_out

SECONDS = float(os.environ.get("WHICHVARIANT_CLUSTER_SECONDS", "12"))
SEED = int(os.environ.get("WHICHVARIANT_CLUSTER_SEED", "1"))
PROFILES = int(os.environ.get("WHICHVARIANT_CLUSTER_PROFILES", "300"))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What came of one run on PostgreSQL."""
    plan = Plan("postgresql", SECONDS, SEED, PROFILES)
    ended, _ = asyncio.run(carry_out(plan, tmp_path_factory.mktemp("faults")))
    return ended


def test_what_happened_can_be_explained(outcome: Outcome) -> None:
    assert outcome.findings == [], msgspec.json.encode(outcome)


def test_something_did_happen(outcome: Outcome) -> None:
    """Faults of every kind, and work that was done all the same."""
    done = sum(count for name, count in outcome.counts.items() if name.endswith("done"))
    unknown = sum(count for name, count in outcome.counts.items() if name.endswith("unknown"))
    assert done > 10 * SECONDS
    assert unknown > 0
    assert outcome.faults["PostgreSQL killed"] >= 1
    assert outcome.fault_seconds > SECONDS / 3


def test_embedded_as_well(tmp_path: pathlib.Path) -> None:
    """The same servers on one file of one machine, killed, paused and ended."""
    outcome, _ = asyncio.run(carry_out(Plan("embedded", 6.0, SEED, 200), tmp_path))
    assert outcome.findings == []
    assert sum(outcome.faults.values()) >= 3

"""One table: all decisions for one visitor, by this project and by what could stand in its place.

    python -m benchmarks.peers.run [--workload W1 --workload W2] [--peer growthbook ...]

Each engine gets the workload's audiences and experiences in its own configuration format and runs
in a process of its own, offline. "agree" is the share of (visitor, experience) pairs with full
traffic on which it includes and excludes the same visitors as we do: what could not be expressed
costs there. Which *variant* a visitor gets differs, since every engine hashes in its own way.
Turning a profile into the engine's plain attributes is not timed; making its user object is.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import pathlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.rules import Inexact, Peer
from benchmarks.prepared import PreparedEngine
from benchmarks.workloads import workload

ENGINES = {
    "whichvariant": "whichvariant",
    "naive": "naive Python interpreter",
    "eppo": "Eppo (Rust core)",
    "flagsmith": "Flagsmith engine",
    "growthbook": "GrowthBook",
    "statsig": "Statsig (Rust core)",
    "flagd": "flagd core (OpenFeature)",
    "launchdarkly": "LaunchDarkly",
    "optimizely": "Optimizely",
    "unleash": "Unleash engine (Rust)",
}
PROFILES = 100
SECONDS = 2.0
TIMEOUT_S = 120


def ours(document: Mapping[str, Any], inexact: Inexact) -> Peer:
    """This project's engine."""
    import whichvariant

    engine = whichvariant.Engine.from_dict(document)

    def decide(profile: Any) -> Any:
        selection = engine.select(profile)
        return selection.experiences, selection.changes, selection.audiences

    return Peer("select: experiences, changes and audiences", dict, decide, read_records)


def naive(document: Mapping[str, Any], inexact: Inexact) -> Peer:
    """The interpreter of `benchmarks.prepared`."""
    engine = PreparedEngine(document)
    return Peer("select: experiences, changes and audiences", dict, engine.select, read_records)


def read_records(answer: Any) -> list[tuple[str, int]]:
    """The decisions in records of the API's shape."""
    return [(record["experienceId"], record["variantIndex"]) for record in answer[0]]


def make(name: str, document: Mapping[str, Any], inexact: Inexact) -> Peer:
    """The engine of this name, loaded."""
    if name == "whichvariant":
        return ours(document, inexact)
    if name == "naive":
        return naive(document, inexact)
    return importlib.import_module(f"benchmarks.peers.{name}_peer").make(document, inexact)


def agreement(peer: Peer, document: Mapping[str, Any], profiles: list[Any]) -> float:
    """The share of pairs, among experiences with full traffic, that both include or exclude."""
    reference = PreparedEngine(document)
    full = {
        experience["nt_experience_id"]: experience.get("nt_audience")
        for experience in document["experiences"]
        if experience["nt_config"]["traffic"] == 1
    }
    same = 0
    for profile in profiles:
        audiences = set(reference.select(profile)[2]) | {None}
        included = {name for name, _ in peer.read(peer.decide(peer.prepare(profile)))}
        same += sum(
            (audience in audiences) == (name in included) for name, audience in full.items()
        )
    return same / (len(full) * len(profiles))


def measure(name: str, which: Any) -> dict[str, Any]:
    """One engine on one workload: median seconds for a visitor, and how well it agrees."""
    subject = workload(which)
    profiles = subject.profiles[:PROFILES]
    inexact = Inexact()
    started = time.perf_counter()
    peer = make(name, subject.document, inexact)
    loading = time.perf_counter() - started
    agree = agreement(peer, subject.document, profiles)
    prepared = [peer.prepare(profile) for profile in profiles]
    gc.collect()
    gc.freeze()
    rounds: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(rounds) < 3 or time.perf_counter() < until:
        # Processor time: a busy machine interrupts a long round, and hardly ever a short one.
        started = time.thread_time()
        for visitor in prepared:
            peer.decide(visitor)
        rounds.append((time.thread_time() - started) / len(prepared))
    peer.close()
    return {
        "seconds": statistics.median(rounds),
        "loading": loading,
        "agree": agree,
        "does": peer.does,
        "inexact": inexact.leaves,
    }


def offline() -> None:
    """No connection out of Python from here on; the Rust engines are configured to make none."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"this benchmark is offline, and something wants {address}")

    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]


def child(name: str, which: str) -> None:
    """In a process of its own: measure, and print JSON on the last line."""
    offline()
    logging.disable(logging.CRITICAL)
    print("\n" + json.dumps(measure(name, which)), flush=True)


def ask(name: str, which: str) -> dict[str, Any]:
    """Measure in a new process. ``{"failed": reason}`` where the engine cannot run."""
    command = [sys.executable, "-m", "benchmarks.peers.run", "--child", name, which]
    root = pathlib.Path(__file__).parents[2]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {TIMEOUT_S} s"}
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return {"failed": last}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description="compare with other engines, offline")
    parser.add_argument("--workload", action="append", choices=["W1", "W2", "W3"])
    parser.add_argument("--peer", action="append", choices=list(ENGINES))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    workloads = options.workload or ["W1", "W2"]
    names = options.peer or list(ENGINES)
    results = {name: {which: ask(name, which) for which in workloads} for name in names}
    print("All decisions for one visitor: µs of processor time, times slower than us, and")
    print("the share of audience decisions that agree with ours.\n")
    print(f"{'':28}" + "".join(f"{which:>32}" for which in workloads))
    notes = []
    for name in names:
        line = f"{ENGINES[name]:28}"
        for which in workloads:
            result = results[name][which]
            if "failed" in result:
                line += f"{'cannot run':>32}"
                notes.append(f"{ENGINES[name]} cannot run {which}: {result['failed']}")
                continue
            us = results.get("whichvariant", {}).get(which, {}).get("seconds")
            slower = f"({result['seconds'] / us:,.0f}x)" if us else ""
            line += f"{result['seconds'] * 1e6:>14,.1f} {slower:>9}{result['agree']:>8.1%}"
            notes.extend(
                f"{ENGINES[name]} on {which}: {count} leaves {what}"
                for what, count in result["inexact"].items()
            )
        print(line)
    print("\nWhat a timed call does")
    for name in names:
        does = {one["does"] for one in results[name].values() if "does" in one}
        if does:
            print(f"  {ENGINES[name]:26}{does.pop()}")
    if notes:
        print("\nNotes\n  " + "\n  ".join(notes))


if __name__ == "__main__":
    main()

"""How the suite measures, and the report after it."""

from __future__ import annotations

import functools
import gc
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import report
from benchmarks.workloads import Workload, workload

# Processor time of this thread. On a busy machine the wall clock would be unfair: a long round is
# interrupted almost surely, a short one hardly ever, and the median of short rounds would not show.
CLOCK = time.thread_time

# Profiles of one timed round. Rounds walk over all profiles of a workload, so that caches hold what
# they would hold in a process that serves many visitors.
PER_ROUND = 200
SECONDS_PER_PASS = 0.3

RESULTS = pytest.StashKey[dict[str, dict[str, list[float]]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    report.write(report.LAST, results)
    terminalreporter.write_line("")
    for line in report.lines(results, report.read(report.KEPT)):
        bad = line.startswith("WARNING") or line.endswith("BELOW")
        terminalreporter.write_line(line, yellow=bad)


@functools.cache
def cached_workload(name: Any) -> Workload:
    """W3 takes seconds to make, and several tests use it."""
    return workload(name)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, str, float], None]:
    """``record(group, row, value)``: put the value of one pass into the report."""

    def put(group: str, row: str, value: float) -> None:
        rows = request.config.stash[RESULTS].setdefault(group, {})
        rows.setdefault(row, []).append(value)

    return put


@pytest.fixture
def frozen() -> Iterator[None]:
    """Collects garbage, and keeps what other tests left behind out of the collections to come."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def time_each(
    benchmark: BenchmarkFixture, record: Callable[[str, str, float], None], frozen: None
) -> Callable[..., None]:
    """``time_each(group, row, call, items)``: the median time of ``call(item)``, over the items."""

    def measure(group: str, row: str, call: Callable[[Any], Any], items: list[Any]) -> None:
        benchmark.group = group
        count = min(PER_ROUND, len(items))
        windows = [
            list(itertools.islice(itertools.cycle(items), start, start + count))
            for start in range(0, len(items), count)
        ]
        rotation = itertools.cycle(windows)

        def run(window: list[Any]) -> None:
            for item in window:
                call(item)

        started = CLOCK()
        run(windows[0])
        per_round = CLOCK() - started
        benchmark.pedantic(
            run,
            setup=lambda: ((next(rotation),), {}),
            rounds=max(3, min(2000, int(SECONDS_PER_PASS / per_round))),
            warmup_rounds=1,
        )
        if benchmark.stats is not None:  # there are none under --benchmark-disable
            benchmark.extra_info["microseconds_each"] = benchmark.stats.stats.median / count * 1e6
            record(group, row, benchmark.stats.stats.median / count)

    return measure

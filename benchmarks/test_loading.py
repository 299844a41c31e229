"""What starting costs: loading and compiling W3, loading it compiled, and the memory it takes."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from benchmarks import report
from benchmarks.conftest import CLOCK, cached_workload

whichvariant = pytest.importorskip("whichvariant")

pytestmark = pytest.mark.benchmark(timer=CLOCK)

ROUNDS = 5


@pytest.fixture(scope="module")
def document() -> bytes:
    """W3 as the JSON text of a native document."""
    return orjson.dumps(cached_workload("W3").document)


@pytest.fixture(scope="module")
def saved(document: bytes) -> bytes:
    """W3 compiled."""
    return whichvariant.Engine.from_bytes(document).to_bytes()


@pytest.fixture
def sources(document: bytes, saved: bytes, frozen: None) -> dict[str, bytes]:
    """What each row loads."""
    return {report.COMPILE: document, report.SAVED: saved}


@pytest.mark.parametrize("row", [report.COMPILE, report.SAVED])
def test_load(
    benchmark: Any, record: Callable[..., None], sources: dict[str, bytes], row: str
) -> None:
    """From bytes to an engine that can answer."""
    benchmark.group = "loading"
    benchmark.pedantic(whichvariant.Engine.from_bytes, args=(sources[row],), rounds=ROUNDS)
    if benchmark.stats is not None:
        record("loading", row, benchmark.stats.stats.median)


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory(saved: bytes, tmp_path: pathlib.Path, record: Callable[..., None]) -> None:
    """Resident bytes, the median of three processes."""
    program, profiles = tmp_path / "w3.program", tmp_path / "profiles.json"
    program.write_bytes(saved)
    profiles.write_bytes(orjson.dumps(cached_workload("W3").profiles))
    root = pathlib.Path(__file__).parents[1]
    runs = []
    for _ in range(3):
        command = [sys.executable, "-m", "benchmarks.resident", str(program), str(profiles)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        runs.append([int(number) for number in done.stdout.split()])
    loaded, serving = (sorted(numbers)[1] for numbers in zip(*runs, strict=True))
    record("loading", report.RESIDENT, loaded)
    record("loading", report.SERVING, serving)

"""The server under load, one worker, beside the same stack answering bytes that stand ready.

Measured by the wall clock with wrk on loopback, in turns within a pass, so that what disturbs the
machine disturbs all rows. A row's value is seconds a request: the inverse of its rate.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import report, server_rows
from benchmarks.conftest import cached_workload
from benchmarks.serving import measuring
from benchmarks.test_profiles import page_event

CONNECTIONS = 32
PROFILES = 1_024
SECONDS = 3.0
API = "/v2/organizations/bench/environments/main"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """W1's document, and an event whose message id is a placeholder."""
    if measuring.wrk() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("wrk is not installed")
        pytest.skip("wrk is not installed")
    made = tmp_path_factory.mktemp("http")
    (made / "W1.json").write_text(json.dumps(cached_workload("W1").document))
    event = {**page_event(1), "messageId": "MESSAGE"}
    # Each is new when it arrives: the time of receipt counts, as for clocks that are ahead.
    for name in ("timestamp", "sentAt", "originalTimestamp"):
        event[name] = "2100-01-01T00:00:00.000Z"
    (made / "event.json").write_text(json.dumps({"events": [event]}, separators=(",", ":")))
    return made


def fill(address: str) -> list[str]:
    """Profiles with W1's traits; their paths."""
    profiles = cached_workload("W1").profiles
    made = []
    for number in range(PROFILES):
        identify = {
            **page_event(number),
            "messageId": f"identify-{number}",
            "type": "identify",
            "userId": "",
            "traits": profiles[number % len(profiles)]["traits"],
        }
        answer = measuring.post(f"{address}{API}/profiles", {"events": [identify]})
        made.append(f"{API}/profiles/{answer['data']['profile']['id']}")
    return made


@pytest.mark.parametrize("number", range(report.PASSES))
def test_server(
    benchmark: BenchmarkFixture,
    record: Callable[[str, str, float], None],
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    number: int,
) -> None:
    """Preflights, durable updates, and a constant answer of a preflight's size."""
    seconds = SECONDS if benchmark.enabled else 1.0
    event = folder / "event.json"
    port, other = measuring.free_port(), measuring.free_port()
    serve = ["-m", "whichvariant", "serve", "--port", str(port), "--organization", "bench"]
    serve += ["--config", str(folder / "W1.json"), "--store", str(tmp_path / "profiles.db")]
    found: dict[str, measuring.Measured] = {}

    def run() -> None:
        with measuring.server(serve, port, tmp_path / "server.log", "/readyz") as address:
            ids = tmp_path / "ids.txt"
            ids.write_text("\n".join(fill(address)))
            creations = tmp_path / "preflights.txt"
            creations.write_text(f"{API}/profiles?type=preflight\n")
            body = json.loads(event.read_text())
            answer = measuring.post(f"{address}{API}/profiles?type=preflight", body)
            size = len(json.dumps(answer, separators=(",", ":")))
            constant = ["-m", "benchmarks.serving.constant", str(other)]
            with measuring.server(
                constant, other, tmp_path / "constant.log", "/", CONSTANT_BYTES=str(size)
            ) as bare:
                for row, at, paths in (
                    (server_rows.CONSTANT, bare, creations),
                    (server_rows.PREFLIGHT, address, creations),
                    (server_rows.UPDATE, address, ids),
                ):
                    found[row] = measuring.load(
                        at,
                        event,
                        paths,
                        seconds=seconds,
                        connections=CONNECTIONS,
                        first=(number + 1) * 10**8,
                    )

    benchmark.pedantic(run, rounds=1)
    assert all(one.rate > 0 for one in found.values())
    if benchmark.enabled:
        for row, one in found.items():
            record(server_rows.SERVER, row, 1 / one.rate)
            for percent, value_ms in one.latency_ms.items():
                record(server_rows.latency_group(percent), row, value_ms / 1e3)

"""Servers as processes, and wrk's figures for them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LUA = pathlib.Path(__file__).parent / "load.lua"
_START_S = 60


class Measured(NamedTuple):
    """One run of wrk. Latencies are milliseconds by percentile."""

    rate: float
    latency_ms: dict[float, float]


def wrk() -> str | None:
    """The load generator, if it is installed."""
    return shutil.which("wrk")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(
    arguments: Sequence[str], port: int, log: pathlib.Path, ready: str, **environment: str
) -> Iterator[str]:
    """``python ARGUMENTS`` until the block ends; its address."""
    address = f"http://127.0.0.1:{port}"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WHICHVARIANT_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**inherited, **environment},
            start_new_session=True,
        )
    try:
        until = time.monotonic() + _START_S
        while not _answers(address + ready):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def post(url: str, body: Any) -> Any:
    """The answer to one request."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def load(
    address: str,
    event: pathlib.Path,
    paths: pathlib.Path,
    *,
    seconds: float,
    connections: int,
    first: int,
) -> Measured:
    """Closed-loop load by so many connections. RuntimeError if any request failed."""
    tool = wrk()
    assert tool is not None
    # wrk's durations are whole seconds.
    command = [tool, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(LUA)]
    done = subprocess.run(
        [*command, address, "--", str(event), str(paths), str(first)],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    found = json.loads(done.stdout.rpartition("RESULT ")[2])
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests failed")
    latency = {float(percent): us / 1e3 for percent, us in found["latency_us"].items()}
    return Measured(found["requests"] / found["duration_us"] * 1e6, latency)

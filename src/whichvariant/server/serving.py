"""The server under uvicorn: one process or several, how they are told things, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
import uvloop
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from whichvariant.errors import SettingsError
from whichvariant.server.app import MAIN_PROCESS, WORKERS_FOLDER, App, create_app
from whichvariant.server.logs import set_up_logs
from whichvariant.server.settings import ServerSettings
from whichvariant.store.opening import MEMORY

_LOG = logging.getLogger("whichvariant.server")

_HANDED_DOWN = "WHICHVARIANT_SERVING"
"""Carries the settings to worker processes, which start from nothing but their environment."""

_GRACE_S = 30
_BACKLOG = 2048
_START_S = 60.0
_ORPHAN_S = 1.0
_OTHER_FILES = 256
"""Open files of a process that are no clients' connections, generously."""


def serve(settings: ServerSettings) -> None:
    """Listen until a signal ends it. What was accepted is finished first.

    SIGTERM and SIGINT end it, SIGHUP loads configurations again. With workers SIGUSR2 replaces them
    one after the other.

    Raises
    ------
    WhichVariantError
        It cannot start: settings contradict each other, the port is taken, the store or a
        configuration cannot be used.
    """
    if settings.workers > 1 and settings.store == MEMORY:
        raise SettingsError("workers: with store 'memory' each would keep profiles of its own")
    set_up_logs(settings)
    _allow_connections(settings.max_connections)
    with _listening(settings) as listener:
        if settings.workers == 1:
            _serve_alone(settings, listener)
        else:
            _serve_together(settings, listener)


def worker_app() -> App:
    """The application of a worker process. uvicorn calls it within the event loop."""
    settings = msgspec.json.decode(os.environ[_HANDED_DOWN], type=ServerSettings)
    set_up_logs(settings)
    app = _prepared(create_app(settings))
    # uvicorn has just taken the signals; what it does about them comes after what we do.
    end = signal.getsignal(signal.SIGTERM)
    assert callable(end)
    _take_signals(app, lambda number: end(number, None))
    # Not what getppid says by now: the main process may be gone already.
    main = int(os.environ[MAIN_PROCESS])
    asyncio.get_running_loop().call_later(_ORPHAN_S, _end_with, main, end)
    return app


def _end_with(parent: int, end: Any) -> None:
    """End this worker when the process is gone that started it: nobody else would."""
    if os.getppid() != parent:
        _LOG.error("the server's main process is gone")
        end(signal.SIGTERM, None)
        return
    asyncio.get_running_loop().call_later(_ORPHAN_S, _end_with, parent, end)


def _serve_alone(settings: ServerSettings, listener: socket.socket) -> None:
    async def run() -> None:
        app = _prepared(create_app(settings))
        try:
            # Before uvicorn, which would not say why it fails.
            await app.start()
        except BaseException:
            await app.close()
            raise
        server = _Alone(uvicorn.Config(app, **_options(settings)), app)
        await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _serve_together(settings: ServerSettings, listener: socket.socket) -> None:
    # What keeps workers from starting is found here, once, where it can be said.
    catalog = asyncio.run(_rehearsed(settings)).catalog
    listener.set_inheritable(True)
    with tempfile.TemporaryDirectory(prefix="whichvariant-") as folder:
        os.environ[_HANDED_DOWN] = msgspec.json.encode(settings).decode()
        os.environ[WORKERS_FOLDER] = folder
        os.environ[MAIN_PROCESS] = str(os.getpid())
        config = uvicorn.Config(
            "whichvariant.server.serving:worker_app", factory=True, **_options(settings)
        )
        workers = _Workers(config, [listener])
        namespaces = [entry.namespace for entry in catalog.entries()]
        workers.ready = lambda: _announce(settings, listener, namespaces)
        workers.run()
    if workers.failed:
        raise SettingsError("workers: one could not start; the log says why")


async def _rehearsed(settings: ServerSettings) -> App:
    app = create_app(settings)
    try:
        await app.start()
    finally:
        await app.close()
    return app


def _options(settings: ServerSettings) -> dict[str, Any]:
    return {
        "workers": settings.workers,
        "loop": "uvloop",
        "http": "whichvariant.server.protocol:Connection",
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": _GRACE_S,
        "proxy_headers": False,
    }


def _prepared(app: App) -> App:
    """An app of a process that does nothing else."""
    app.on_loaded = _spare_collector
    if app.settings.otel:
        from whichvariant.server.tracing import set_up_exporter

        set_up_exporter()
    return app


def _spare_collector() -> None:
    """Let the garbage collector look at less, and less often.

    What is loaded stays. Requests that wait for the disk would be looked at again and again, while
    next to nothing of them is in cycles: it took a sixth of the time of durable updates.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _allow_connections(count: int) -> None:
    """Raise this process's limit of open files, which its workers inherit, as far as it may be."""
    needed = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # a sandbox that forbids it
        allowed = soft
    if allowed < needed:
        _LOG.warning("a process may open %d files only; max_connections is %d", allowed, count)


# ---- listening ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _listening(settings: ServerSettings) -> Iterator[socket.socket]:
    """The socket that all workers share."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno is not None:
            # The errors of names have numbers and words of their own.
            named = isinstance(error, socket.gaierror)
            reason = str(error.strerror) if named else os.strerror(error.errno)
        raise SettingsError(f"cannot listen on {host} port {port}: {reason}") from None
    with listener:
        yield listener


def _announce(settings: ServerSettings, listener: socket.socket, namespaces: list[Any]) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    _LOG.info("%s is ready", url)
    for organization, environment in namespaces:
        path = f"/v2/organizations/{organization}/environments/{environment}"
        _LOG.info("%s/%s: %s%s", organization, environment, url, path)


# ---- signals ------------------------------------------------------------------------------------


def _take_signals(app: App, end: Any) -> None:
    """SIGHUP reloads; SIGTERM and SIGINT end, after a while of draining if one is set."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            await app.reload()
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            _LOG.exception("configurations could not be loaded again")
        else:
            _LOG.info("looked at configurations again")

    def on_hup() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    def on_end(number: int) -> None:
        if app.stopping or app.settings.drain_s == 0 or number == signal.SIGINT:
            app.stopping = True
            end(number)
            return
        app.stopping = True
        _LOG.info("taking requests for %g s more", app.settings.drain_s)
        loop.call_later(app.settings.drain_s, end, number)

    loop.add_signal_handler(signal.SIGHUP, on_hup)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_end, number)


class _Alone(uvicorn.Server):
    """The only process of a server: signals end it well, so its exit code is 0."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(number: int) -> None:
            if self.should_exit and number == signal.SIGINT:
                self.force_exit = True
            self.should_exit = True

        _take_signals(self._app, end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        namespaces = [entry.namespace for entry in self._app.catalog.entries()]
        _announce(self._app.settings, sockets[0], namespaces)


class _Workers(Multiprocess):
    """Several processes: one that dies is replaced."""

    ready: Any
    failed = False

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_S) for process in self.processes):
            self.ready()

    def terminate_all(self) -> None:
        # As long as this process holds the socket, too, clients would get in and wait for nobody.
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        super().keep_subprocess_alive()
        for process in before:
            if process not in self.processes and not self.should_exit.is_set():
                _LOG.error("worker %s died and is replaced", process.pid)
        if any(process.exitcode == STARTUP_FAILURE for process in self.processes):
            self.failed = True

    def handle_hup(self) -> None:
        """Every worker looks at its configurations again."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGHUP)

    def handle_usr2(self) -> None:
        """New workers for old ones, each ready before the one that it replaces ends."""
        self.restart_all()

"""The server under uvicorn: one process or several, and how they end."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import uvicorn

from whichvariant.server.app import App, create_app
from whichvariant.server.inspector import check_inspector
from whichvariant.server.settings import ServerSettings

_HANDED_DOWN = "WHICHVARIANT_SERVING"
"""Carries the settings to worker processes, which start from nothing but their environment."""

_GRACE_S = 30


def serve(settings: ServerSettings) -> None:
    """Listen until a signal ends it. What was accepted is finished first.

    Raises SettingsError if settings contradict each other.
    """
    check_inspector(settings)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": _GRACE_S,
        "proxy_headers": False,
    }
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
    else:
        os.environ[_HANDED_DOWN] = msgspec.json.encode(settings).decode()
        uvicorn.run("whichvariant.server.serving:worker_app", factory=True, **options)


def worker_app() -> App:
    """The application of a worker process."""
    return create_app(msgspec.json.decode(os.environ[_HANDED_DOWN], type=ServerSettings))

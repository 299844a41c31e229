"""The Experience API over HTTP: an ASGI application, and what runs it (docs/server.md).

`create_app` makes the application; ``whichvariant serve`` runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichvariant.server.settings import ServerSettings

if TYPE_CHECKING:
    from whichvariant.server.app import App, create_app

__all__ = ["App", "ServerSettings", "create_app"]


def __getattr__(name: str) -> Any:
    # The command line reads settings without wanting a server.
    if name in {"App", "create_app"}:
        from whichvariant.server import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Both clients, called alike, so that every test asks the same of the two."""

from __future__ import annotations

import asyncio
from typing import Any

from whichvariant.client import AsyncExperienceClient, ExperienceClient


class Blocking:
    """The client for threads."""

    name = "blocking"

    def __init__(self, **settings: Any) -> None:
        self.client = ExperienceClient("default", **settings)

    def __getattr__(self, method: str) -> Any:
        return getattr(self.client, method)

    def close(self) -> None:
        """Close connections."""
        self.client.close()


class Asyncio:
    """The client for asyncio, in an event loop of its own that goes on between calls."""

    name = "asyncio"

    def __init__(self, **settings: Any) -> None:
        self.runner = asyncio.Runner()
        self.client = AsyncExperienceClient("default", **settings)

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            return self.runner.run(getattr(self.client, method)(*arguments, **options))

        return call

    def close(self) -> None:
        """Close connections, and the loop."""
        self.runner.run(self.client.aclose())
        self.runner.close()


Caller = Blocking | Asyncio
CALLERS = (Blocking, Asyncio)

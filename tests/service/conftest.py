"""Every store."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator

import pytest

from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore


@pytest.fixture(params=["memory", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[ProfileStore]:
    """An empty store of each kind."""
    made: ProfileStore
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = EmbeddedStore.open(tmp_path / "profiles.db")
    yield made
    asyncio.run(made.close())

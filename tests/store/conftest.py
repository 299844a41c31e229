"""Every store, for the tests that all of them have to pass."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator

import pytest

from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where a store can be made."""
    return tmp_path / "profiles.db"


@pytest.fixture(params=["memory", "embedded"])
def store(request: pytest.FixtureRequest, path: pathlib.Path) -> Iterator[ProfileStore]:
    """An empty store of each kind."""
    made: ProfileStore = MemoryStore() if request.param == "memory" else EmbeddedStore.open(path)
    yield made
    asyncio.run(made.close())

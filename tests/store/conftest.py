"""Every store, for the tests that all of them have to pass."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator

import pytest
from tests.postgres import used_schema

from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore
from whichvariant.store.postgres import PostgresStore


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where a store can be made."""
    return tmp_path / "profiles.db"


@pytest.fixture
def dsn() -> Iterator[str]:
    """Where a store in PostgreSQL can be made."""
    with used_schema() as made:
        yield made


@pytest.fixture(params=["memory", "embedded", "postgres"])
def store(request: pytest.FixtureRequest, path: pathlib.Path) -> Iterator[ProfileStore]:
    """An empty store of each kind."""
    made: ProfileStore
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "embedded":
        made = EmbeddedStore.open(path)
    else:
        made = asyncio.run(PostgresStore.open(request.getfixturevalue("dsn")))
    yield made
    asyncio.run(made.close())

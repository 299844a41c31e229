"""Every store."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator

import pytest
from tests.postgres import used_schema

from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore
from whichvariant.store.postgres import PostgresStore


@pytest.fixture
def dsn() -> Iterator[str]:
    """Where a store in PostgreSQL can be made."""
    with used_schema() as made:
        yield made


@pytest.fixture(params=["memory", "embedded", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[ProfileStore]:
    """An empty store of each kind."""
    made: ProfileStore
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "postgres":
        made = asyncio.run(PostgresStore.open(request.getfixturevalue("dsn")))
    else:
        made = EmbeddedStore.open(tmp_path / "profiles.db")
    yield made
    asyncio.run(made.close())

"""What happens between two statements, and after one of which nobody knows what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.postgres import schema

from store.shorthands import HERE, leads_to, put
from whichvariant.errors import StoreUnavailable
from whichvariant.store import ProfileRow
from whichvariant.store.postgres import PostgresStore
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.postgres_reads import Reads


@pytest.fixture
def dsn() -> Iterator[str]:
    """The URL of an empty schema."""
    with schema() as url:
        yield url


async def test_a_profile_that_comes_to_be_meanwhile_is_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """A key that was free when it was looked for, and is taken when others are asked for it."""
    async with await PostgresStore.open(dsn) as store:
        await put(store, "first")
        fetch = Reads._fetch

        async def later(self: Reads, statement: str, *arguments: Any) -> list[Any]:
            rows = await fetch(self, statement, *arguments)
            if not rows:
                monkeypatch.undo()
                await put(store, "p")
            return rows

        monkeypatch.setattr(Reads, "_fetch", later)
        found = await store.find(HERE, "p")
        assert found is None or (isinstance(found, ProfileRow) and found.id == "p")
        assert await leads_to(store, "p") == "p"


async def test_a_group_that_was_written_before_it_failed(
    monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """It is tried again one by one, and everybody hears that it was written, not of a conflict."""
    async with await PostgresStore.open(dsn) as store:
        await put(store, "first")
        run = Connections.run

        async def failing(self: Connections, work: Any, **options: Any) -> Any:
            await run(self, work, **options)
            monkeypatch.undo()
            raise StoreUnavailable("the connection was lost")

        monkeypatch.setattr(Connections, "run", failing)
        await asyncio.gather(put(store, "p"), put(store, "q"))
        assert await leads_to(store, "p") == "p"
        assert await leads_to(store, "q") == "q"

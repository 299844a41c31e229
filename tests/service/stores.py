"""What a store holds, and one that lets others come between."""

from __future__ import annotations

import asyncio
from typing import Any

from whichvariant.store import (
    Found,
    HistoryRow,
    MemoryStore,
    Namespace,
    ProfileStore,
    Transaction,
)


class Yielding(MemoryStore):
    """A store in memory whose answers take as long as other tasks want to do something."""

    async def find(self, namespace: Namespace, key: str) -> Found:
        await asyncio.sleep(0)
        return await super().find(namespace, key)

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        await asyncio.sleep(0)
        return await super().history(namespace, profile_id)

    async def commit(self, transaction: Transaction) -> None:
        await asyncio.sleep(0)
        await super().commit(transaction)
        await asyncio.sleep(0)


async def dump(store: ProfileStore) -> Any:
    """Everything that can be seen of a store: equal dumps mean that no byte has changed."""
    profiles = await store.scan(limit=100_000)
    names = await store.scan_names(limit=100_000)
    histories = [await store.history(space, row.id) for space, row in profiles]
    stats = await store.stats()
    return profiles, names, histories, await store.rejected(limit=100_000), stats.namespaces

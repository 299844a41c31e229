"""What a store holds, all of it."""

from __future__ import annotations

from typing import Any

from whichvariant.store import ProfileStore


async def dump(store: ProfileStore) -> Any:
    """Everything that can be seen of a store: equal dumps mean that no byte has changed."""
    profiles = await store.scan(limit=100_000)
    names = await store.scan_names(limit=100_000)
    histories = [await store.history(space, row.id) for space, row in profiles]
    stats = await store.stats()
    return profiles, names, histories, await store.rejected(limit=100_000), stats.namespaces

"""Transactions in few words."""

from __future__ import annotations

from typing import Any

from whichvariant.store import (
    Link,
    Merge,
    Namespace,
    ProfileRow,
    ProfileStore,
    Put,
    Transaction,
)
from whichvariant.store.protocol import Erase

HERE = Namespace("acme", "main")
THERE = Namespace("acme", "preview")

# Keys that break something somewhere: terminators, escapes, names of prototypes, wide characters,
# what sorts differently as UTF-16, and as much as is allowed.
HOSTILE = [
    "__proto__",
    "constructor",
    "\0",
    "a\0b",
    "a\0",
    "'; DROP TABLE profiles; --",
    "%s%n{}",
    "😀",
    "\ufffd",
    "\U00010000",
    "é",
    "e\u0301",
    " ",
    "A",
    "a",
    "x" * 1024,
    "😀" * 256,
]


async def put(
    store: ProfileStore, key: str, record: bytes = b"r", expects: int = 0, **more: Any
) -> None:
    space = more.pop("space", HERE)
    at_ms = more.pop("updated_ms", 1)
    await store.commit(Transaction(space, (Put(key, record, expects, at_ms, **more),)))


async def link(store: ProfileStore, alias: str, target: str) -> None:
    await store.commit(Transaction(HERE, links=(Link(alias, target),)))


async def merge(store: ProfileStore, source: str, into: str, expects: int = 1) -> None:
    await store.commit(Transaction(HERE, merges=(Merge(source, expects, into),)))


async def erase(store: ProfileStore, key: str, expects: int = 1, at_ms: int = 9) -> None:
    await store.commit(Transaction(HERE, erases=(Erase(key, expects, at_ms),)))


async def leads_to(store: ProfileStore, key: str) -> str | None:
    """The id of the profile that a key leads to."""
    found = await store.find(HERE, key)
    return found.id if isinstance(found, ProfileRow) else None


async def everything(store: ProfileStore) -> Any:
    """All that can be seen of a store, in pages of two."""
    profiles = []
    after = None
    while page := await store.scan(after=after, limit=2):
        profiles += page
        after = (page[-1][0], page[-1][1].id)
    names = []
    after = None
    while page_of_names := await store.scan_names(after=after, limit=2):
        names += page_of_names
        after = (page_of_names[-1][0], page_of_names[-1][1].key)
    histories = [await store.history(space, row.id) for space, row in profiles]
    aliases = [await store.aliases(space, row.id) for space, row in profiles]
    stats = await store.stats()
    return profiles, names, histories, aliases, await store.rejected(), stats.namespaces


async def every_kind(store: ProfileStore) -> dict[str, str]:
    """A key of each kind, and what a conflict over it says."""
    await put(store, "profile")
    await put(store, "gone")
    await put(store, "merged")
    await link(store, "alias", "profile")
    await merge(store, "merged", "profile")
    await erase(store, "gone")
    return {
        "profile": "profile",
        "alias": "an alias",
        "merged": "a forward",
        "gone": "a tombstone",
    }

"""A store by its name: a file, a database's URL, or the memory of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from whichvariant.errors import StoreError
from whichvariant.store.embedded import EmbeddedStore
from whichvariant.store.memory import MemoryStore
from whichvariant.store.postgres_target import is_postgres

if TYPE_CHECKING:
    from whichvariant.store.postgres import PostgresStore
    from whichvariant.store.protocol import ProfileStore

MEMORY: Final = "memory"
"""The name of a store that keeps profiles for as long as the process lives."""


async def open_store(name: str, *, create: bool = True, unfinished: bool = False) -> ProfileStore:
    """The store of this name: ``memory``, ``postgresql://...``, or else a file's path.

    ``unfinished`` opens one into which a copy has not come to its end.

    Raises:
        StoreError: it cannot be opened, or there is none and not ``create``.
    """
    if name == MEMORY:
        return MemoryStore()
    if is_postgres(name):
        return await postgres_store().open(name, create=create, unfinished=unfinished)
    return EmbeddedStore.open(name, create=create, unfinished=unfinished)


def postgres_store() -> type[PostgresStore]:
    """The class of stores in PostgreSQL.

    Raises:
        StoreError: what it needs is not installed.
    """
    require_asyncpg()
    from whichvariant.store.postgres import PostgresStore

    return PostgresStore


def require_asyncpg() -> None:
    """Raise StoreError where the driver for PostgreSQL is not installed."""
    try:
        import asyncpg  # noqa: F401
    except ImportError as error:
        raise StoreError(
            "stores in PostgreSQL need asyncpg: pip install 'whichvariant[postgres]'"
        ) from error

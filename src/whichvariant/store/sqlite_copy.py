"""Copies of a store that is in use."""

from __future__ import annotations

import contextlib
import os

import apsw

from whichvariant.clock import random_bytes
from whichvariant.errors import StoreError
from whichvariant.store.sqlite_errors import store_error
from whichvariant.store.sqlite_file import open_reader

_CACHE_BYTES = 8 * 1024 * 1024


def copy_file(source: str, path: str | os.PathLike[str], immutable: bool) -> None:
    """Write the state of a store into a new file, packed, checked on the way, and durable.

    It is written under a name of its own, and linked to ``path`` when it is on the disk.

    Raises:
        StoreError: ``path`` exists or cannot be written, or ``source`` is damaged.
    """
    target = os.path.abspath(path)
    if os.path.lexists(target):
        raise StoreError(f"{target}: there is such a file already")
    partial = f"{target}.{random_bytes(4).hex()}.partial"
    connection: apsw.Connection | None = None
    try:
        # SQLite fills an empty file, and would make one that everybody can read.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        connection = open_reader(source, cache_bytes=_CACHE_BYTES, immutable=immutable)
        connection.pragma("query_only", False)
        connection.execute("VACUUM INTO ?", (partial,))
        _sync(partial)
        _publish(partial, target)
        _sync(os.path.dirname(target))
    except (apsw.Error, OSError) as error:
        raise store_error(error, target, connection) from error
    finally:
        if connection is not None:
            connection.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def _publish(partial: str, target: str) -> None:
    try:
        os.link(partial, target)
    except FileExistsError:
        raise StoreError(f"{target}: there is such a file already") from None
    except OSError:
        # This file system has no links. Whoever makes the same file just now loses it.
        os.rename(partial, target)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The embedded store's file: making, opening, recognizing and upgrading it.

Whatever opens the file in this process has to go through SQLite. Closing a file of one's own would
take away the locks that SQLite's connections of the same process hold on it (that is how POSIX
record locks are), and another process could then do what they forbid.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import apsw
import apsw.sqlite_extra

from whichvariant.clock import random_bytes
from whichvariant.errors import StoreDamaged, StoreError, StoreForeign, StoreReadOnly
from whichvariant.store.file_lock import FileLock
from whichvariant.store.seals import holds, secret_seal
from whichvariant.store.sqlite_errors import store_error
from whichvariant.store.wal import examine_log

SCHEMA_VERSION = 1
PAGE_BYTES: Final = 8192
_HEADER_BYTES: Final = 100

# "wvps" in ASCII: what `file` and other programs can tell our files by.
_APPLICATION_ID: Final = 0x77767073
# Before, two processes that restart the write-ahead log at once could corrupt the file.
_SQLITE_OLDEST: Final = (3, 53, 0)
# Bytes at the end of each page that belong to its checksum; SQLite's cksumvfs wants just that many.
_CHECKSUM_BYTES: Final = 8
_VFS: Final = "cksmvfs"
# Waiting for SQLite's own locks. Ours come first, so that only a foreign program holds these long.
BUSY_MS: Final = 5000

_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE namespaces(
    number INTEGER PRIMARY KEY,
    organization BLOB NOT NULL,
    environment BLOB NOT NULL,
    seal INTEGER NOT NULL,
    UNIQUE(organization, environment)
);

-- An ordinary table, because pages of one without rowid hold records of up to 2 KB only.
CREATE TABLE profiles(
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    namespace INTEGER NOT NULL,
    version INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE(id, namespace)
);

CREATE TABLE history(
    profile INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY(profile, sequence)
) WITHOUT ROWID;

CREATE TABLE names(
    key BLOB NOT NULL,
    namespace INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    profile INTEGER,
    at_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY(key, namespace)
) WITHOUT ROWID;
CREATE INDEX names_by_profile ON names(profile) WHERE profile IS NOT NULL;

CREATE TABLE inbox(
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    payload BLOB NOT NULL
);

-- Apart from the inbox, so that claiming an item does not write its payload again.
CREATE TABLE claims(
    sequence INTEGER PRIMARY KEY,
    owner TEXT,
    made_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL
);

CREATE TABLE rejected(
    sequence INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    rejected_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seal INTEGER NOT NULL,
    payload BLOB NOT NULL
);
"""

MIGRATIONS: dict[int, Callable[[apsw.Connection], None]] = {}
"""By schema version: what makes the next one of it, inside a transaction."""


class OpenFile(NamedTuple):
    """A store's file, opened. ``writer`` and ``lock`` are None where it cannot be written."""

    path: str
    writer: apsw.Connection | None
    lock: FileLock | None
    secret: bytes
    immutable: bool


def open_file(path: str | os.PathLike[str], *, create: bool, cache_bytes: int) -> OpenFile:
    """Open a store, make it if ``create`` and there is none, upgrade it if it is an older one.

    A new file can be read and written by its owner only, and so can the files beside it.

    Raises:
        StoreError: it cannot be opened; ``StoreForeign``, ``StoreDamaged``, ``StoreReadOnly`` and
            ``StoreFull`` say more.
    """
    name = os.path.realpath(path)
    if not create and not os.path.exists(name):
        raise StoreError(f"{name}: there is no such file")
    require_sqlite()
    try:
        if create:
            _make_empty(name)
        if not (os.access(name, os.W_OK) and os.access(os.path.dirname(name), os.W_OK)):
            return _open_read_only(name, cache_bytes)
        # Whoever may read the file's rows may wait for its lock.
        lock = FileLock(f"{name}-lock", os.stat(name).st_mode & 0o666)
    except OSError as error:
        raise store_error(error, name, None) from error
    try:
        with lock:
            writer, secret = _open_writer(name, cache_bytes)
    except BaseException:
        lock.close()
        raise
    return OpenFile(name, writer, lock, secret, False)


_registering = threading.Lock()


def require_sqlite() -> None:
    """See to it that SQLite is recent enough, and knows how to check pages.

    Raises:
        StoreError: it is not, or does not.
    """
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < _SQLITE_OLDEST:
        oldest = ".".join(str(part) for part in _SQLITE_OLDEST)
        raise StoreError(f"SQLite {version} may corrupt the store; {oldest} or later is needed")
    with _registering:
        if _VFS in apsw.vfs_names():
            return
        default = apsw.vfs_names()[0]
        carrier = apsw.Connection(":memory:")
        try:
            apsw.sqlite_extra.load(carrier, "cksumvfs")
        except (LookupError, apsw.Error, apsw.sqlite_extra.NotAvailable) as error:
            raise StoreError(
                "this build of apsw lacks SQLite's checksums of pages (cksumvfs): "
                "install the wheel that PyPI has"
            ) from error
        finally:
            carrier.close()
        # It makes itself everybody's default; that is for others to decide.
        apsw.set_default_vfs(default)


def open_reader(path: str, *, cache_bytes: int, immutable: bool = False) -> apsw.Connection:
    """A connection that only reads. Raises apsw's errors."""
    if immutable:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"file:{quote(path)}?immutable=1", flags=flags, vfs=_VFS)
    else:
        # Readers of a write-ahead log mark in a shared file what they still need.
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=_VFS)
    _configure(connection, cache_bytes)
    connection.pragma("query_only", True)
    return connection


class RawFile:
    """A file's bytes as they are on the disk, without any check; through SQLite, see above."""

    def __init__(self, path: str) -> None:
        flags = [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0]
        self._stream = apsw.VFSFile("unix", path, flags)

    def size(self) -> int:
        """The file's size in bytes."""
        return self._stream.xFileSize()

    def read(self, offset: int, amount: int) -> bytes:
        """Up to ``amount`` bytes; fewer where the file ends."""
        amount = min(amount, self.size() - offset)
        return self._stream.xRead(amount, offset) if amount > 0 else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.xClose()


def _read_header(path: str) -> bytes:
    with RawFile(path) as raw:
        return raw.read(0, _HEADER_BYTES)


def _make_empty(name: str) -> None:
    try:
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    os.close(handle)
    folder = os.open(os.path.dirname(name), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _configure(connection: apsw.Connection, cache_bytes: int) -> None:
    connection.set_busy_timeout(BUSY_MS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    # Otherwise the last connection that is closed empties the log, even in a forked process that
    # never opened it. EmbeddedStore.close does it.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("cache_size", -(cache_bytes // 1024))
    connection.pragma("mmap_size", 0)  # pages in a mapping would not be checked
    connection.pragma("cell_size_check", True)
    connection.pragma("temp_store", "MEMORY")  # no personal data in temporary files


def _open_writer(name: str, cache_bytes: int) -> tuple[apsw.Connection, bytes]:
    connection: apsw.Connection | None = None
    opened = False
    try:
        _recognize(_read_header(name), name)
        damage = examine_log(f"{name}-wal")
        if damage is not None:
            raise StoreDamaged(
                f"{name}-wal: {damage.message}, and acknowledged writes follow it; "
                "the store has to be restored from a backup"
            )
        connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE, vfs=_VFS)
        _configure(connection, cache_bytes)
        if _is_empty(connection):
            connection.reserve_bytes("main", _CHECKSUM_BYTES)
            connection.pragma("page_size", PAGE_BYTES)
            connection.pragma("auto_vacuum", "INCREMENTAL")
        mode = connection.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise StoreError(f"{name}: this file system cannot have a write-ahead log")
        connection.pragma("synchronous", "FULL")
        # What is deleted is overwritten, because it may be what somebody wants forgotten.
        connection.pragma("secure_delete", True)
        connection.pragma("wal_autocheckpoint", 0)  # the writer's thread chooses when
        connection.pragma("journal_size_limit", 64 * 1024 * 1024)
        _bring_up_to_date(connection, name)
        _check_checksums(connection, name)
        secret = _read_secret(connection, name)
        opened = True
        return connection, secret
    except (apsw.Error, OSError) as error:
        raise store_error(error, name, connection) from error
    finally:
        if connection is not None and not opened:
            connection.close()


def _open_read_only(name: str, cache_bytes: int) -> OpenFile:
    connection: apsw.Connection | None = None
    try:
        _recognize(_read_header(name), name)
        log = f"{name}-wal"
        # With nothing in the log the file is all there is, and nobody can write to it.
        immutable = not os.path.exists(log) or os.path.getsize(log) == 0
        connection = open_reader(name, cache_bytes=cache_bytes, immutable=immutable)
        if _is_empty(connection):
            raise StoreReadOnly(f"{name}: the file is empty, and cannot be written")
        _check_version(connection, name)
        if connection.pragma("user_version") != SCHEMA_VERSION:
            raise StoreReadOnly(f"{name}: an older store has to be upgraded, and cannot be written")
        _check_checksums(connection, name)
        return OpenFile(name, None, None, _read_secret(connection, name), immutable)
    except apsw.CantOpenError as error:
        raise StoreReadOnly(
            f"{name}: it can be read only where its log can be written, because the log is in use"
        ) from error
    except (apsw.Error, OSError) as error:
        raise store_error(error, name, connection) from error
    finally:
        if connection is not None:
            connection.close()


def _recognize(header: bytes, name: str) -> None:
    """Whether it may be ours, from the header as it is on the disk."""
    # SQLite takes a file of one byte for an empty one.
    if not header and os.path.getsize(name) == 0:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise StoreForeign(f"{name}: the file is no store of profiles, or its header is damaged")
    ours = int.from_bytes(header[68:72], "big") == _APPLICATION_ID
    page_bytes = int.from_bytes(header[16:18], "big")
    # Byte 20 says whether there are checksums. Without them nothing would be checked.
    if page_bytes != PAGE_BYTES or header[20] != _CHECKSUM_BYTES:
        if ours:
            raise StoreDamaged(f"{name}: the header of page 1 is damaged")
        raise StoreForeign(f"{name}: the file is a database, but no store of profiles")


def _is_empty(connection: apsw.Connection) -> bool:
    # A process that died while it made the store leaves an empty file or a header.
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").get
    return tables == 0 and int(connection.pragma("application_id")) == 0


def _check_version(connection: apsw.Connection, name: str) -> None:
    if connection.pragma("application_id") != _APPLICATION_ID:
        raise StoreForeign(f"{name}: the file is a database, but no store of profiles")
    version = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise StoreForeign(
            f"{name}: a newer release made this store (its version is {version}, "
            f"this release knows {SCHEMA_VERSION})"
        )


def _bring_up_to_date(connection: apsw.Connection, name: str) -> None:
    """Make the tables, or make those of this version of older ones; under the file's lock."""
    with connection:
        if _is_empty(connection):
            connection.execute(_SCHEMA)
            secret = random_bytes(32)
            connection.execute(
                "INSERT INTO meta VALUES ('secret', ?, ?)", (secret, secret_seal(secret))
            )
            connection.pragma("application_id", _APPLICATION_ID)
            connection.pragma("user_version", SCHEMA_VERSION)
            return
        _check_version(connection, name)
        for version in range(connection.pragma("user_version"), SCHEMA_VERSION):
            MIGRATIONS[version](connection)
            connection.pragma("user_version", version + 1)


def _check_checksums(connection: apsw.Connection, name: str) -> None:
    if str(connection.pragma("checksum_verification")) != "1":
        raise StoreDamaged(f"{name}: the header of page 1 is damaged: it turns checksums off")


def _read_secret(connection: apsw.Connection, name: str) -> bytes:
    row: Any = connection.execute("SELECT value, seal FROM meta WHERE name = 'secret'").get
    if row is None or not holds(row[1], secret_seal, row[0]):
        raise StoreDamaged(f"{name}: the store's secret is damaged")
    return bytes(row[0])

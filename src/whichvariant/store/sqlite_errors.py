"""What SQLite complains about, in the words of our own errors."""

from __future__ import annotations

import errno

import apsw

from whichvariant.errors import StoreDamaged, StoreError, StoreFull, StoreReadOnly

# What SQLite reports as an error of writing, and is a lack of room all the same: the limit of a
# process on file sizes, and quotas.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_WRITING = (
    apsw.SQLITE_IOERR_WRITE,
    apsw.SQLITE_IOERR_SHMSIZE,
    apsw.SQLITE_IOERR_SHMOPEN,
    apsw.SQLITE_IOERR_TRUNCATE,
)


def store_error(error: Exception, path: str, connection: apsw.Connection | None) -> StoreError:
    """The error of our tree for one of SQLite's or of the system's. ``path`` names the store.

    ``connection`` is the one that failed, if there was one: it knows the system's error number.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        return _system_error(error.errno, path, str(error))
    said = f"{path}: {error}"
    if isinstance(error, apsw.FullError):
        return StoreFull(f"{path}: there is no room on the disk")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreDamaged(
            f"{path}: the file is damaged ({error}); "
            "`whichvariant profiles verify` names the places"
        )
    if isinstance(error, apsw.IOError):
        extended = getattr(error, "extendedresult", 0)
        if extended in (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS):
            return StoreDamaged(
                f"{path}: the checksum of a page is wrong; "
                "`whichvariant profiles verify` names the places"
            )
        number = 0 if connection is None else connection.system_errno
        if extended in _WRITING and number in _NO_ROOM:
            return StoreFull(f"{path}: there is no room on the disk ({errno.errorcode[number]})")
        return StoreError(said)
    if isinstance(error, apsw.ReadOnlyError):
        return StoreReadOnly(f"{path}: the file cannot be written ({error})")
    if isinstance(error, apsw.CantOpenError | apsw.PermissionsError):
        number = 0 if connection is None else connection.system_errno
        return _system_error(number, path, said)
    return StoreError(said)


def _system_error(number: int | None, path: str, said: str) -> StoreError:
    if number in _NO_ROOM:
        return StoreFull(f"{path}: there is no room on the disk ({errno.errorcode[number]})")
    if number in _FORBIDDEN:
        return StoreReadOnly(f"{path}: not permitted ({errno.errorcode[number]})")
    return StoreError(said)

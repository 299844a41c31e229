"""What PostgreSQL and its driver complain about, in the words of our own errors."""

from __future__ import annotations

import enum

import asyncpg

from whichvariant.errors import (
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)


class Trouble(enum.Enum):
    """What can be done about an error."""

    LOST = "the connection is gone, and nobody knows what became of what was asked"
    AGAIN = "nothing was applied, because somebody else was in the way: try again"
    BUSY = "the server takes no (further) connections now: try again"
    READ_ONLY = "this server takes no writes; another one may"
    FAILED = "it will not do"


# Others were in the way: serialization failures, deadlocks.
_AGAIN = ("40001", "40P01", "40003")
# Starting up, shutting down, too many connections.
_BUSY = ("57P03", "53300")
# The server ended the session: shut down, crashed, database dropped, sessions too long idle.
_LOST = ("57P01", "57P02", "57P04", "57P05", "25P03", "25P04")
_READ_ONLY = ("25006",)
_FULL = ("53100", "53400")
_DAMAGED = ("XX001", "XX002")
_NO_TABLES = ("42P01", "3F000", "42703")
_NOT_ALLOWED = ("42501",)
_NO_TIME = {
    "57014": "the statement took longer than the database's statement_timeout allows",
    "55P03": "somebody else has held a lock for longer than lock_timeout allows",
}


def trouble_of(error: BaseException, connection: asyncpg.Connection | None) -> Trouble:
    """What kind of error it is. ``connection`` is the one that was in use, if any."""
    state = getattr(error, "sqlstate", None) or ""
    if state in _AGAIN:
        return Trouble.AGAIN
    if state in _READ_ONLY:
        return Trouble.READ_ONLY
    if state in _BUSY:
        return Trouble.BUSY
    if state in _LOST or state.startswith("08") or isinstance(error, OSError):
        return Trouble.LOST
    if connection is not None and connection.is_closed():
        return Trouble.LOST
    return Trouble.FAILED


def store_error(error: BaseException, name: str) -> StoreError:
    """The error of our tree. ``name`` is the database as it may be shown."""
    if isinstance(error, StoreError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = f"{name}: {_first_line(error)}"
    if state in _READ_ONLY:
        return StoreReadOnly(f"{name}: the server takes no writes now (a standby, or read-only)")
    if state in _NOT_ALLOWED:
        return StoreReadOnly(f"{text}; grant the role what docs/postgresql.md lists")
    if state in _FULL:
        return StoreFull(text)
    if state in _DAMAGED:
        return StoreDamaged(text)
    if state in _NO_TABLES:
        return StoreForeign(f"{text}; the tables are not there, or not as this release knows them")
    if state in _NO_TIME:
        return StoreUnavailable(f"{name}: {_NO_TIME[state]}; nothing was applied")
    if trouble_of(error, None) is not Trouble.FAILED:
        return StoreUnavailable(text)
    return StoreError(text)


def _first_line(error: BaseException) -> str:
    # Details of an error quote values of rows, which are personal data; the first line does not.
    text = str(error).strip().partition("\n")[0]
    kind = type(error).__name__
    return f"{text} ({kind})" if text else kind

"""Reading all of a file, and naming what is damaged.

Four kinds of check, each of which sees what the others cannot: the checksum of every page, the
log's frames, SQLite's own check of how pages hang together, and the seal of every row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import apsw

from whichvariant.store.file_lock import FileLock
from whichvariant.store.protocol import Damage, Progress
from whichvariant.store.seals import (
    history_seal,
    holds,
    inbox_seal,
    name_seal,
    namespace_seal,
    profile_seal,
)
from whichvariant.store.sqlite_errors import store_error
from whichvariant.store.sqlite_file import PAGE_BYTES, RawFile, open_reader
from whichvariant.store.wal import examine_log, pages_in_log

# Pages that are read at once: 1 MB.
_PAGES = 128
_ROWS = 500
_CACHE_BYTES = 8 * 1024 * 1024
# SQLite leaves out the page at this offset: it locks its bytes, and never writes them.
_LOCK_PAGE = 0x40000000 // PAGE_BYTES + 1
# What SQLite's own check names. A file with more is not repaired by a longer list.
_NAMED = 100


def verify_file(
    path: str, lock: FileLock | None, immutable: bool, progress: Progress | None
) -> list[Damage]:
    """All damage of a store's file and log; none: an empty list.

    ``lock`` is the store's, if it can be written, and ``immutable`` that nobody can write to it.

    Raises:
        StoreError: the file cannot be opened at all.
    """
    try:
        connection = open_reader(path, cache_bytes=_CACHE_BYTES, immutable=immutable)
    except apsw.Error as error:
        raise store_error(error, path, None) from error
    try:
        verification = _Verification(path, connection, lock, progress)
        verification.check_pages()
        if not immutable:
            verification.check_log()
        verification.check_structure()
        verification.check_rows()
        return verification.found
    finally:
        connection.close()


class _Verification:
    def __init__(
        self,
        path: str,
        connection: apsw.Connection,
        lock: FileLock | None,
        progress: Progress | None,
    ) -> None:
        self.found: list[Damage] = []
        self._path = path
        self._connection = connection
        self._execute: Callable[..., Any] = connection.cursor().execute
        self._is_writable = lock is not None
        self._lock = contextlib.nullcontext() if lock is None else lock
        self._progress = progress
        with RawFile(path) as raw:
            self._bytes = raw.size()
        self._pages = -(-self._bytes // PAGE_BYTES)
        self._done = 0
        self._total = max(1, 2 * self._pages)

    def _note(self, place: str, message: object) -> None:
        self.found.append(Damage(place, str(message)))

    def _advance(self, steps: int) -> None:
        self._done += steps
        # There may be more than there was when it began.
        self._total = max(self._total, self._done)
        if self._progress is not None:
            self._progress(self._done, self._total)

    # ---- pages -----------------------------------------------------------------------------------

    def check_pages(self) -> None:
        with RawFile(self._path) as raw:
            for first in range(0, self._pages, _PAGES):
                count = min(_PAGES, self._pages - first)
                chunk = raw.read(first * PAGE_BYTES, count * PAGE_BYTES)
                for index in range(count):
                    page = chunk[index * PAGE_BYTES : (index + 1) * PAGE_BYTES]
                    self._check_page(first + index + 1, page, raw)
                self._advance(count)

    def _check_page(self, number: int, page: bytes, raw: RawFile) -> None:
        if number == _LOCK_PAGE or (len(page) == PAGE_BYTES and self._is_sound(page)):
            return
        # Perhaps it was just being written; nobody does while the lock is held. Or it could not be
        # written to the end, and the log still has it.
        with self._lock:
            if self._is_in_log(number):
                return
            page = raw.read((number - 1) * PAGE_BYTES, PAGE_BYTES)
        # Compacting may have cut it off meanwhile, and then nothing is left of it.
        if 0 < len(page) < PAGE_BYTES:
            self._note(f"page {number}", "the file ends within it")
        elif page and not self._is_sound(page):
            self._note(f"page {number}", "its checksum is wrong")

    def _is_in_log(self, number: int) -> bool:
        """Whether the file's page does not count yet, because the log cannot be moved into it."""
        if not self._is_writable:
            return number in pages_in_log(f"{self._path}-wal")
        try:
            pages, moved = self._connection.wal_checkpoint("main")
        except apsw.Error:
            return number in pages_in_log(f"{self._path}-wal")
        return moved < pages and number in pages_in_log(f"{self._path}-wal")

    def _is_sound(self, page: bytes) -> bool:
        sound: int = self._execute("SELECT verify_checksum(?)", (page,)).get
        return sound == 1

    def check_log(self) -> None:
        with self._lock:
            damage = examine_log(f"{self._path}-wal")
        if damage is not None:
            self._note(f"page {damage.page} in the log", damage.message)

    def check_structure(self) -> None:
        try:
            for (message,) in self._execute(f"PRAGMA integrity_check({_NAMED})").fetchall():
                if message != "ok":
                    self._note("structure", message)
        except apsw.Error as error:
            self._note("structure", self._say(error))
        self._advance(self._pages)

    def _say(self, error: apsw.Error) -> str:
        return str(store_error(error, self._path, self._connection))

    # ---- rows ------------------------------------------------------------------------------------

    def check_rows(self) -> None:
        self._check_namespaces()
        self._check_profiles()
        self._check_history()
        self._check_names()
        for table in ("inbox", "rejected"):
            self._check_items(table)

    def _check_namespaces(self) -> None:
        try:
            rows = self._execute(
                "SELECT number, organization, environment, seal FROM namespaces"
            ).fetchall()
        except apsw.Error as error:
            self._note("namespaces", self._say(error))
            return
        for number, organization, environment, seal in rows:
            if not holds(seal, namespace_seal, number, organization, environment):
                self._note(f"namespace {number}", "its seal is broken")
        self._advance(len(rows))

    def _check_profiles(self) -> None:
        def check(row: tuple[Any, ...]) -> bool:
            number, key, namespace, version, updated_ms, seal, record = row
            content = (number, key, namespace, version, updated_ms, record)
            return holds(seal, profile_seal, *content)

        columns = "number, id, namespace, version, updated_ms, seal, record"
        damaged = dict(self._numbered("profiles", "number", columns, check))
        if not damaged:
            return
        # The index still knows whose they are, if it is sound itself.
        names: dict[int, str] = {}
        with contextlib.suppress(apsw.Error):
            for number, key in self._execute(
                "SELECT number, id FROM profiles INDEXED BY sqlite_autoindex_profiles_1"
            ):
                if number in damaged:
                    names[number] = repr(key.decode(errors="backslashreplace"))
        for number, message in damaged.items():
            self._note(f"profile {names.get(number, f'of number {number}')}", message)

    def _check_items(self, table: str) -> None:
        def check(row: tuple[Any, ...]) -> bool:
            _, namespace, received_ms, seal, payload = row
            return holds(seal, inbox_seal, namespace, received_ms, payload)

        columns = "sequence, namespace, received_ms, seal, payload"
        for sequence, message in self._numbered(table, "sequence", columns, check):
            self._note(f"item {sequence} of {table}", message)

    def _numbered(
        self, table: str, key: str, columns: str, check: Callable[[tuple[Any, ...]], bool]
    ) -> Iterator[tuple[int, str]]:
        """The damaged rows of a table with integer keys: (key, what is wrong)."""
        following = f"SELECT {columns} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_ROWS}"
        single = f"SELECT {columns} FROM {table} WHERE {key} = ?"
        last = 0
        try:
            end = self._execute(f"SELECT coalesce(max({key}), 0) FROM {table}").get
        except apsw.Error as error:
            yield -1, self._say(error)
            return
        while last < end:
            try:
                rows = self._execute(following, (last,)).fetchall()
            except apsw.Error:
                # Somewhere ahead is a page that cannot be read. Go on row by row until behind it.
                rows = []
                for number in range(last + 1, min(end, last + _ROWS) + 1):
                    try:
                        rows += self._execute(single, (number,)).fetchall()
                    except apsw.Error as error:
                        yield number, self._say(error)
                last = min(end, last + _ROWS)
            else:
                if not rows:
                    break
                last = rows[-1][0]
            yield from ((row[0], "its seal is broken") for row in rows if not check(row))
            self._advance(len(rows))

    def _check_history(self) -> None:
        profile, sequence = 0, -1
        while True:
            try:
                rows = self._execute(
                    "SELECT profile, sequence, seal, data FROM history "
                    f"WHERE (profile, sequence) > (?, ?) ORDER BY 1, 2 LIMIT {_ROWS}",
                    (profile, sequence),
                ).fetchall()
            except apsw.Error as error:
                # What is behind it cannot be told apart by number; the pages are named above.
                self._note(f"history from profile number {profile} on", self._say(error))
                return
            if not rows:
                return
            for owner, number, seal, data in rows:
                if not holds(seal, history_seal, owner, number, data):
                    self._note(f"history of profile number {owner}", "a seal is broken")
            profile, sequence = rows[-1][:2]
            self._advance(len(rows))

    def _check_names(self) -> None:
        key, namespace = b"", 0
        while True:
            try:
                rows = self._execute(
                    "SELECT key, namespace, kind, profile, at_ms, seal FROM names "
                    f"WHERE (key, namespace) > (?, ?) ORDER BY 1, 2 LIMIT {_ROWS}",
                    (key, namespace),
                ).fetchall()
            except apsw.Error as error:
                shown = key.decode(errors="backslashreplace")
                self._note(f"keys from {shown!r} on", self._say(error))
                return
            if not rows:
                return
            for key, namespace, kind, profile, at_ms, seal in rows:
                if not holds(seal, name_seal, key, namespace, kind, profile, at_ms):
                    shown = key.decode(errors="backslashreplace")
                    self._note(f"key {shown!r}", "its seal is broken")
            self._advance(len(rows))

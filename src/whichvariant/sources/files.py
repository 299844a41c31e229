"""Configurations from files and directories, looked at again and again.

What is served is always something that was whole: a file that is being written, cannot be read or
has gone does not replace what was loaded from it before.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import SettingsError, WhichVariantError
from whichvariant.sources.catalog import Catalog, Turn

_LOG = logging.getLogger("whichvariant.configuration")

_SUFFIXES = frozenset({".json", ".msgpack", ".program"})
_ATTEMPTS = 5
_PAUSE_S = 0.05
_RECENT_MS = 2_000
_PIECE_BYTES = 1 << 20
_LOOKS_UNTIL_GONE = 2

Signature: TypeAlias = tuple[tuple[str, int, int, int, int, int], ...]
"""Name, device, inode, size, times of writing and of change of every file of an environment."""


class _Seen(NamedTuple):
    """What files looked like when they were loaded last, and what came of it.

    ``settled`` says that another look need not read them again if they look the same.
    """

    signature: Signature
    content: bytes
    settled: bool
    trouble: str


@dataclass(slots=True)
class _Found:
    """What lies in the folders."""

    paths: dict[Namespace, list[str]] = field(default_factory=dict)
    empty: set[Namespace] = field(default_factory=set)
    unreadable: dict[Path, str] = field(default_factory=dict)


class FileSource:
    """The configurations that paths name, each path for an environment of its own or a folder.

    Parameters
    ----------
    files
        The documents of each environment, merged in this order.
    folders
        Directories of ``ORGANIZATION/ENVIRONMENT/*.json`` and ``ORGANIZATION/ENVIRONMENT.json``.
        Environments come and go with what lies there.
    taken
        Environments that have another source; what folders hold for them is left out.
    locale
        As in `Engine.load`.
    """

    def __init__(
        self,
        files: dict[Namespace, list[str]],
        folders: list[Path],
        *,
        taken: Set[Namespace] = frozenset(),
        strict: bool,
        reload_s: float,
        locale: str | None = None,
    ) -> None:
        self._files = files
        self._folders = folders
        self._taken = taken
        self._strict = strict
        self._locale = locale
        self._reload_s = reload_s
        self._seen: dict[Namespace, _Seen | None] = {}
        self._missing: dict[Namespace, int] = {}
        self._turn = Turn()

    async def load(self, catalog: Catalog) -> None:
        """Load everything. SettingsError if a folder cannot be read: who knows what is in it."""
        async with self._turn():
            found = await asyncio.to_thread(self._find)
            for path, reason in found.unreadable.items():
                raise SettingsError(f"config: {path}: {reason}")
            await self._take(catalog, found, None)

    async def run(self, catalog: Catalog) -> None:
        """Look for changes until cancelled."""
        while self._reload_s > 0:
            await asyncio.sleep(self._reload_s)
            await self.refresh(catalog, None)

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        """Load again what has changed, now."""
        only = None if namespaces is None else frozenset(namespaces)
        async with self._turn():
            await self._take(catalog, await asyncio.to_thread(self._find), only)

    async def _take(self, catalog: Catalog, found: _Found, only: Set[Namespace] | None) -> None:
        for namespace in sorted(self._seen.keys() | found.paths.keys()):
            if only is not None and namespace not in only:
                continue
            barred = next(self._barred(namespace, found), None)
            if barred is not None:
                # Part of it may lie there, so that loading the rest would be wrong.
                self._fail(catalog, namespace, barred, unread=True)
            elif namespace in found.paths:
                self._missing.pop(namespace, None)
                await self._load(catalog, namespace, found.paths[namespace])
            elif namespace in found.empty:
                self._fail(catalog, namespace, "its folder holds no documents", unread=True)
            else:
                self._miss(catalog, namespace)

    def _barred(self, namespace: Namespace, found: _Found) -> Iterator[str]:
        for folder in self._folders:
            for path in (folder, folder / namespace[0], folder / namespace[0] / namespace[1]):
                if path in found.unreadable:
                    yield f"{path}: {found.unreadable[path]}"

    def _miss(self, catalog: Catalog, namespace: Namespace) -> None:
        # Who replaces a folder removes it first. It has to be gone for longer than that.
        missing = self._missing.get(namespace, 0) + 1
        self._missing[namespace] = missing
        if missing >= _LOOKS_UNTIL_GONE:
            _LOG.warning("the configuration of %s/%s is gone", *namespace)
            del self._seen[namespace], self._missing[namespace]
            catalog.remove(namespace)

    def _fail(
        self, catalog: Catalog, namespace: Namespace, trouble: str, *, unread: bool = False
    ) -> None:
        if catalog.failed(namespace, trouble, unread=unread):
            _LOG.error("the configuration of %s/%s cannot be used: %s", *namespace, trouble)

    # ---- one environment ----------------------------------------------------------------------

    async def _load(self, catalog: Catalog, namespace: Namespace, paths: list[str]) -> None:
        source = ", ".join(paths)
        entry = catalog.find(namespace)
        if entry is None or entry.source != source:
            catalog.expect(namespace, source)
        signature = await asyncio.to_thread(_signature, paths)
        seen = self._seen.setdefault(namespace, None)
        if seen is None or seen.signature != signature or not seen.settled:
            content = await asyncio.to_thread(_content, paths)
            if seen is None or seen.content != content:
                await self._read(catalog, namespace, paths)
                return
            settled = not _is_recent(signature)
            seen = _Seen(signature, content, settled, seen.trouble)
            self._seen[namespace] = seen
        if seen.trouble:
            self._fail(catalog, namespace, seen.trouble)
        else:
            catalog.confirm(namespace, clock.now_ms())

    async def _read(self, catalog: Catalog, namespace: Namespace, paths: list[str]) -> None:
        """Load until what was there before loading is what is there after it."""
        for attempt in range(_ATTEMPTS):
            signature = await asyncio.to_thread(_signature, paths)
            content = await asyncio.to_thread(_content, paths)
            engine, trouble, passing = await asyncio.to_thread(
                _compiled, paths, self._strict, self._locale
            )
            if content == await asyncio.to_thread(_content, paths):
                break
            await asyncio.sleep(_PAUSE_S * (attempt + 1))
        else:
            self._seen[namespace] = None
            self._fail(catalog, namespace, "its files keep changing", unread=True)
            return
        if passing:
            # Nothing about the files may change when the disk, say, recovers.
            self._seen[namespace] = None
        else:
            settled = not _is_recent(signature)
            self._seen[namespace] = _Seen(signature, content, settled, trouble)
        if engine is None:
            self._fail(catalog, namespace, trouble, unread=passing)
        elif catalog.replace(namespace, engine, clock.now_ms()) == "new":
            _LOG.info("the configuration of %s/%s is %s", *namespace, engine.digest)

    # ---- folders ------------------------------------------------------------------------------

    def _find(self) -> _Found:
        found = _Found({namespace: list(paths) for namespace, paths in self._files.items()})
        for folder in self._folders:
            for organization in _inside(folder, found):
                for environment in _inside(organization, found):
                    self._find_environment(organization, environment, found)
        return found

    def _find_environment(self, organization: Path, environment: Path, found: _Found) -> None:
        if environment.is_dir():
            name = environment.name
            documents = [path for path in _inside(environment, found) if _is_document(path)]
        elif _is_document(environment):
            name = environment.stem
            documents = [environment]
        else:
            return
        namespace = Namespace(organization.name, name)
        if namespace in self._taken:
            return
        if documents:
            found.paths.setdefault(namespace, []).extend(map(str, documents))
        else:
            found.empty.add(namespace)


def _inside(folder: Path, found: _Found) -> list[Path]:
    """What lies in a folder, by name; hidden ones (a deployment's temporary links) left out."""
    try:
        return sorted(path for path in folder.iterdir() if _is_shown(path.name))
    except NotADirectoryError:
        return []
    except OSError as error:
        found.unreadable[folder] = error.strerror or str(error)
        return []


def _is_shown(name: str) -> bool:
    # A name that is no text cannot be in the path of a request.
    return not name.startswith(".") and name.isprintable()


def _is_document(path: Path) -> bool:
    return path.suffix in _SUFFIXES and path.is_file()


def _signature(paths: list[str]) -> Signature:
    signature = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            signature.append((path, 0, 0, 0, 0, 0))
        else:
            signature.append(
                (
                    path,
                    status.st_dev,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
            )
    return tuple(signature)


def _is_recent(signature: Signature) -> bool:
    """Whether a file was written so lately that the next writing may leave it the same times."""
    now_ms = clock.now_ms()
    return any(0 <= now_ms - one[4] // 1_000_000 < _RECENT_MS for one in signature)


def _content(paths: list[str]) -> bytes:
    """A hash over what is in the files, and over which of them cannot be read."""
    content = hashlib.blake2b(digest_size=16)
    for path in paths:
        content.update(b"\0" + os.fsencode(path) + b"\0")
        try:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    content.update(piece)
        except OSError as error:
            content.update(b"unreadable %d" % (error.errno or 0))
    return content.digest()


def _compiled(
    paths: list[str], strict: bool, locale: str | None
) -> tuple[Engine | None, str, bool]:
    """The engine of documents; or why there is none, and whether that may pass by itself."""
    try:
        return Engine.load(*paths, strict=strict, locale=locale), "", False
    except (WhichVariantError, OSError, MemoryError) as error:
        passing = isinstance(error.__cause__ or error, OSError | MemoryError)
        return None, str(error) or type(error).__name__, passing
    except Exception as error:  # noqa: BLE001 - whatever a file brings about, the rest goes on
        _LOG.exception("loading %s failed", ", ".join(paths))
        return None, f"{type(error).__name__}: {error}", False

"""Configurations from files and directories, looked at again and again."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
from collections.abc import Iterable
from typing import TypeAlias

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import SettingsError, WhichVariantError
from whichvariant.server.catalog import Catalog
from whichvariant.server.settings import ServerSettings

_LOG = logging.getLogger("whichvariant.server.configuration")

_SUFFIXES = frozenset({".json", ".msgpack", ".program"})

Signature: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of every file of an environment."""


class FileSource:
    """The configurations that paths name, each path for an environment of its own or a folder.

    Parameters
    ----------
    files
        The documents of each environment, merged in this order.
    folders
        Directories of ``ORGANIZATION/ENVIRONMENT/*.json`` and ``ORGANIZATION/ENVIRONMENT.json``.
        Environments come and go with what lies there.
    """

    def __init__(
        self,
        files: dict[Namespace, list[str]],
        folders: list[pathlib.Path],
        *,
        strict: bool,
        reload_s: float,
    ) -> None:
        self._files = files
        self._folders = folders
        self._strict = strict
        self._reload_s = reload_s
        self._seen: dict[Namespace, Signature] = {}

    async def load(self, catalog: Catalog) -> None:
        """Load everything. The first error is raised if not one environment could be loaded."""
        errors = await self._look(catalog, None)
        if errors and not any(entry.engine for entry in catalog.entries()):
            raise errors[0]

    async def run(self, catalog: Catalog) -> None:
        """Look for changes until cancelled."""
        while self._reload_s > 0:
            await asyncio.sleep(self._reload_s)
            await self._look(catalog, None)

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        """Load again what has changed, now."""
        await self._look(catalog, None if namespaces is None else frozenset(namespaces))

    async def _look(
        self, catalog: Catalog, only: frozenset[Namespace] | None
    ) -> list[WhichVariantError]:
        found = await asyncio.to_thread(self._found)
        for namespace in self._seen.keys() - found.keys():
            _LOG.warning("the configuration of %s/%s is gone", *namespace)
            del self._seen[namespace]
            catalog.remove(namespace)
        errors = []
        for namespace, paths in found.items():
            if only is not None and namespace not in only:
                continue
            error = await self._load(catalog, namespace, paths)
            if error is not None:
                errors.append(error)
        return errors

    async def _load(
        self, catalog: Catalog, namespace: Namespace, paths: list[str]
    ) -> WhichVariantError | None:
        signature = await asyncio.to_thread(_signature, paths)
        if self._seen.get(namespace) == signature:
            return None
        self._seen[namespace] = signature
        catalog.expect(namespace, ", ".join(paths))
        try:
            engine = await asyncio.to_thread(Engine.load, *paths, strict=self._strict)
        except WhichVariantError as error:
            catalog.failed(namespace, str(error))
            _LOG.error("the configuration of %s/%s cannot be used: %s", *namespace, error)
            return error
        if catalog.replace(namespace, engine, clock.now_ms()) == "new":
            _LOG.info("the configuration of %s/%s is %s", *namespace, engine.digest)
        return None

    def _found(self) -> dict[Namespace, list[str]]:
        found = {namespace: list(paths) for namespace, paths in self._files.items()}
        for folder in self._folders:
            for organization in _entries(folder):
                for environment in _entries(organization):
                    if environment.is_dir():
                        name = environment.name
                        documents = [path for path in _entries(environment) if _is_document(path)]
                    elif _is_document(environment):
                        name = environment.stem
                        documents = [environment]
                    else:
                        continue
                    if documents:
                        namespace = Namespace(organization.name, name)
                        found.setdefault(namespace, []).extend(map(str, documents))
        return found


def file_sources(settings: ServerSettings) -> list[FileSource]:
    """The sources for ``settings.config``. SettingsError if a folder is none."""
    files: dict[Namespace, list[str]] = {}
    folders: list[pathlib.Path] = []
    for text in settings.config:
        namespace, path = parse_place(text, settings)
        if namespace is None and os.path.isdir(path):
            folders.append(pathlib.Path(path))
        else:
            plain = Namespace(settings.organization, settings.environment)
            files.setdefault(namespace or plain, []).append(path)
    if not files and not folders:
        return []
    return [FileSource(files, folders, strict=settings.strict, reload_s=settings.reload_s)]


def parse_place(text: str, settings: ServerSettings) -> tuple[Namespace | None, str]:
    """``ORGANIZATION/ENVIRONMENT=FILE`` as its two parts; without the first, None and the path."""
    name, equals, path = text.partition("=")
    parts = name.split("/")
    if not equals or len(parts) != 2 or not all(parts) or parts[0] in {".", ".."}:
        return None, text
    if os.path.exists(text):
        return None, text
    if not path:
        raise SettingsError(f"config: {text!r} names no file")
    return Namespace(*parts), path


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    """What lies in a folder, by name; hidden ones (a deployment's temporary links) left out."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except NotADirectoryError:
        return []
    except OSError as error:
        raise SettingsError(f"config: {folder}: {error.strerror}") from None


def _is_document(path: pathlib.Path) -> bool:
    return path.suffix in _SUFFIXES and path.is_file()


def _signature(paths: list[str]) -> Signature:
    signature = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            signature.append((path, 0, 0, 0))
        else:
            signature.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(signature)

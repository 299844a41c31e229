"""Which configuration decides for which organization and environment, now.

The catalog is what requests ask; sources fill it. A source that fails changes nothing: the last
good engine goes on serving, and the trouble stays visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import ConfigurationUnavailable


@dataclass(slots=True)
class Entry:
    """One environment: its engine, where that came from, and what went wrong lately.

    ``engine`` is None as long as nothing could be loaded. ``loaded_ms`` is when the engine came
    into use, ``checked_ms`` when its source was last looked at with success. ``trouble`` is why the
    newest state of the source is not in use, normally "".
    """

    namespace: Namespace
    source: str = ""
    engine: Engine | None = None
    loaded_ms: int = 0
    checked_ms: int = 0
    trouble: str = ""
    digest_header: tuple[bytes, bytes] = field(default=(b"", b""))


class Catalog:
    """Engines by namespace. Replaced one at a time, each at once and whole."""

    def __init__(self, engines: Mapping[Namespace, Engine] | None = None, now_ms: int = 0) -> None:
        self._entries: dict[Namespace, Entry] = {}
        for namespace, engine in (engines or {}).items():
            self.expect(namespace, "given")
            self.replace(namespace, engine, now_ms)

    def expect(self, namespace: Namespace, source: str) -> None:
        """There is to be a configuration for ``namespace``, even if none could be loaded yet."""
        self._entries.setdefault(namespace, Entry(namespace)).source = source

    def replace(self, namespace: Namespace, engine: Engine, now_ms: int) -> Literal["same", "new"]:
        """Let ``engine`` decide from now on; "same" if it says what the one before said."""
        entry = self._entries.setdefault(namespace, Entry(namespace))
        entry.trouble = ""
        entry.checked_ms = now_ms
        # Findings may differ where what was withheld is broken in another way now.
        if entry.engine is not None and (entry.engine.digest, entry.engine.findings) == (
            engine.digest,
            engine.findings,
        ):
            return "same"
        entry.engine = engine
        entry.loaded_ms = now_ms
        entry.digest_header = (b"x-whichvariant-configuration", engine.digest.encode())
        return "new"

    def failed(self, namespace: Namespace, trouble: str) -> None:
        """A source could not be loaded; what was serving goes on."""
        self._entries.setdefault(namespace, Entry(namespace)).trouble = trouble

    def remove(self, namespace: Namespace) -> None:
        """There is no configuration for ``namespace`` any more."""
        self._entries.pop(namespace, None)

    def find(self, namespace: Namespace) -> Entry | None:
        """The entry of a namespace; None if nobody ever spoke of it."""
        return self._entries.get(namespace)

    def engine(self, namespace: Namespace) -> Engine | None:
        """The engine that decides for a namespace, now; None if it has no configuration.

        ConfigurationUnavailable if it is to have one that could not be loaded so far.
        """
        entry = self._entries.get(namespace)
        if entry is None:
            return None
        if entry.engine is None:
            raise ConfigurationUnavailable("the configuration could not be loaded yet")
        return entry.engine

    def entries(self) -> list[Entry]:
        """All entries, by namespace."""
        return [self._entries[namespace] for namespace in sorted(self._entries)]

    @property
    def ready(self) -> bool:
        """Whether every expected environment can be decided for."""
        return all(entry.engine is not None for entry in self._entries.values())


class Source(Protocol):
    """Where configurations come from. It fills a catalog, and keeps it up to date."""

    async def load(self, catalog: Catalog) -> None:
        """Fill the catalog for the first time. Failures go to `Catalog.failed`."""
        ...

    async def run(self, catalog: Catalog) -> None:
        """Keep it up to date until cancelled."""
        ...

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        """Look at once, for these namespaces or all."""
        ...

"""Which configuration decides for which organization and environment, now.

The catalog is what requests ask; sources fill it. A source that fails changes nothing: the last
good engine goes on serving, and the trouble stays visible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import ConfigurationUnavailable

_decided: ContextVar[Entry | None] = ContextVar("decided", default=None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One environment: its engine, where that came from, and what went wrong lately.

    ``engine`` is None as long as nothing could be loaded. ``loaded_ms`` is when the engine came
    into use, ``checked_ms`` when its source was last looked at with success. ``trouble`` is why the
    newest state of the source is not in use, normally ""; ``unread``, that it could not be read at
    all. ``cached`` says that the engine is from a copy that an earlier run kept, and that its
    source was not reached since.

    An entry never changes. What changes is which one the catalog has: who holds one has an engine
    and the header that belongs to it.
    """

    namespace: Namespace
    source: str = ""
    engine: Engine | None = None
    loaded_ms: int = 0
    checked_ms: int = 0
    trouble: str = ""
    unread: bool = False
    cached: bool = False
    digest_header: tuple[bytes, bytes] = (b"", b"")


class Catalog:
    """Engines by namespace. Replaced one at a time, each at once and whole.

    ``on_change`` is called with every entry whose engine or trouble is another one than before,
    where the source found that out.
    """

    def __init__(
        self,
        engines: Mapping[Namespace, Engine] | None = None,
        now_ms: int = 0,
        *,
        on_change: Callable[[Entry], None] | None = None,
    ) -> None:
        self._entries: dict[Namespace, Entry] = {}
        self._on_change = on_change
        for namespace, engine in (engines or {}).items():
            self.expect(namespace, "given")
            self.replace(namespace, engine, now_ms)

    def expect(self, namespace: Namespace, source: str) -> None:
        """There is to be a configuration for ``namespace``, even if none could be loaded yet."""
        self._put(replace(self._entry(namespace), source=source))

    def replace(
        self, namespace: Namespace, engine: Engine, now_ms: int, *, cached: bool = False
    ) -> Literal["same", "new"]:
        """Let ``engine`` decide from now on; "same" if it says what the one before said."""
        entry = _well(self._entry(namespace), now_ms, cached=cached)
        old = entry.engine
        # Findings may differ where what was withheld is broken in another way now.
        same = old is not None and (old.digest, old.findings) == (engine.digest, engine.findings)
        if not same:
            header = (b"x-whichvariant-configuration", engine.digest.encode())
            entry = replace(entry, engine=engine, loaded_ms=now_ms, digest_header=header)
        self._put(entry)
        return "same" if same else "new"

    def confirm(self, namespace: Namespace, now_ms: int) -> None:
        """The source was looked at, and what serves is what it has."""
        self._put(_well(self._entry(namespace), now_ms, cached=False))

    def failed(self, namespace: Namespace, trouble: str, *, unread: bool = False) -> bool:
        """A source could not be loaded; what was serving goes on. False if that is known."""
        entry = self._entry(namespace)
        self._put(replace(entry, trouble=trouble, unread=unread))
        return entry.trouble != trouble

    def remove(self, namespace: Namespace) -> None:
        """There is no configuration for ``namespace`` any more."""
        if self._entries.pop(namespace, None) is not None and self._on_change is not None:
            self._on_change(Entry(namespace, trouble="the configuration is gone", unread=True))

    def _entry(self, namespace: Namespace) -> Entry:
        return self._entries.get(namespace) or Entry(namespace)

    def _put(self, entry: Entry) -> None:
        before = self._entry(entry.namespace)
        self._entries[entry.namespace] = entry
        changed = (before.engine, before.trouble) != (entry.engine, entry.trouble)
        if changed and self._on_change is not None:
            self._on_change(entry)

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
        _decided.set(entry)
        return entry.engine

    @staticmethod
    def decided() -> Entry | None:
        """The entry whose engine was handed out last in this task: the one that decided.

        The catalog may have another one by now.
        """
        return _decided.get()

    @staticmethod
    def forget_decided() -> None:
        """What `decided` gives is nobody's business any more."""
        _decided.set(None)

    def entries(self) -> list[Entry]:
        """All entries, by namespace."""
        return [self._entries[namespace] for namespace in sorted(self._entries)]

    def unavailable(self) -> frozenset[Namespace]:
        """Those that are expected, and could not be loaded so far."""
        return frozenset(entry.namespace for entry in self._entries.values() if not entry.engine)

    @property
    def ready(self) -> bool:
        """Whether every expected environment can be decided for."""
        return all(entry.engine is not None for entry in self._entries.values())


def _well(entry: Entry, now_ms: int, *, cached: bool) -> Entry:
    return replace(entry, checked_ms=now_ms, trouble="", unread=False, cached=cached)


class Source(Protocol):
    """Where configurations come from. It fills a catalog, and keeps it up to date."""

    async def load(self, catalog: Catalog) -> None:
        """Fill the catalog for the first time. Failures go to `Catalog.failed`.

        WhichVariantError if it cannot even be told which environments there are to be.
        """
        ...

    async def run(self, catalog: Catalog) -> None:
        """Keep it up to date until cancelled."""
        ...

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        """Look at once, for these namespaces or all."""
        ...


class Turn:
    """A lock for whichever event loop asks: looks at one source come one after the other."""

    def __init__(self) -> None:
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> asyncio.Lock:
        """The running loop's lock."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock

"""What a server works with while it runs: store, service, inbox, configurations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from whichvariant import clock
from whichvariant.errors import StoreClosed
from whichvariant.server.endpoints import Endpoints
from whichvariant.server.metrics import Shared
from whichvariant.server.settings import ServerSettings
from whichvariant.server.visitors import Visitors, VisitorSources
from whichvariant.service import ProfileService
from whichvariant.service.inbox import Inbox
from whichvariant.sources.catalog import Catalog, Source
from whichvariant.store.protocol import ProfileStore

_LOG = logging.getLogger("whichvariant.server")
_LONGEST_PAUSE_S = 30.0


class Running:
    """One event loop's part of a server. Made by `start`, ended by `stop`."""

    def __init__(
        self,
        settings: ServerSettings,
        catalog: Catalog,
        store: ProfileStore,
        sources: Sequence[Source],
        visitors: VisitorSources,
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self.store = store
        self.sources = tuple(sources)
        self.service = ProfileService(store, catalog.engine, settings.service_settings())
        self.inbox = Inbox(self.service, unavailable=catalog.unavailable)
        self.endpoints = Endpoints(self.service, self.inbox, catalog, settings.max_batches)
        self.visitors = Visitors(visitors)
        self.loop = asyncio.get_running_loop()
        self.started_ms = clock.now_ms()
        self.stopping = False
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, shared: Shared | None = None) -> None:
        """Start what goes on in the background, publishing numbers for other workers too."""
        self._tasks.append(asyncio.create_task(self._drain(), name="inbox"))
        self._tasks += [
            asyncio.create_task(self._follow(source), name=f"configuration {number}")
            for number, source in enumerate(self.sources)
        ]
        if shared is not None and shared.among_others:
            self._tasks.append(asyncio.create_task(shared.run(), name="metrics"))
        following = self.visitors.run(self.settings.reload_s)
        self._tasks.append(asyncio.create_task(following, name="visitors"))

    async def end(self) -> None:
        """Finish what was begun, in the background too. The store stays open."""
        self.stopping = True
        self._stop.set()
        inbox, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.gather(inbox, *others, return_exceptions=True)
        await self.visitors.close()

    async def _drain(self) -> None:
        """Apply what was accepted; whatever goes wrong, go on after a while."""
        pause_s = 0.5
        while not self._stop.is_set():
            try:
                await self.inbox.run(self._stop)
                pause_s = 0.5
            except StoreClosed:
                return
            except Exception:  # noqa: BLE001 - whatever it is, batches must not wait for ever
                _LOG.exception("applying accepted batches failed; going on in %.1f s", pause_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _follow(self, source: Source) -> None:
        while True:
            try:
                await source.run(self.catalog)
                return
            except Exception:  # noqa: BLE001 - whatever it is, the next look may succeed
                _LOG.exception("following a configuration failed; going on")
                await asyncio.sleep(_LONGEST_PAUSE_S)

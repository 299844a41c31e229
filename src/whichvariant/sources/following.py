"""One environment's engine, kept up to date in the background (docs/client.md#configurations)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Self

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import ConfigurationUnavailable
from whichvariant.sources.catalog import Catalog, Entry, Source
from whichvariant.sources.files import FileSource

_LOG = logging.getLogger("whichvariant.configuration")

DELIVERY_URL = "https://cdn.contentful.com"
"""Where Contentful's Delivery API is."""

_PLAIN = Namespace("default", "main")


class Follower:
    """Follows a source of configurations, in a thread of its own.

    ::

        with Follower.files("space.json") as follower:
            follower.engine.select(profile)

    What cannot be loaded changes nothing: the last good engine goes on. Open it after forking: a
    thread does not follow into the child. Closed, it can be opened again.

    Parameters
    ----------
    source
        Where configurations come from.
    namespace
        Which of its environments.
    """

    def __init__(self, source: Source, namespace: Namespace = _PLAIN) -> None:
        self._source = source
        self._namespace = namespace
        self._catalog = Catalog(on_change=self._tell)
        self._listeners: list[Callable[[Entry], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._loaded = threading.Event()
        self._failure: BaseException | None = None

    # ---- sources ------------------------------------------------------------------------------

    @classmethod
    def files(
        cls,
        *paths: str | os.PathLike[str],
        poll_s: float = 5.0,
        strict: bool = False,
        locale: str | None = None,
        namespace: Namespace = _PLAIN,
    ) -> Self:
        """Follows files, which are merged; or one folder of ``ORGANIZATION/ENVIRONMENT/*.json``.

        Parameters
        ----------
        poll_s
            How often to look; 0 never.
        strict
            Refuse a configuration with errors whole, in place of withholding what is at fault.
        locale
            As in `Engine.load`.
        namespace
            The environment; it matters for a folder only.
        """
        named = [os.fspath(path) for path in paths]
        files, folders = {namespace: named}, list[pathlib.Path]()
        if len(named) == 1 and os.path.isdir(named[0]):
            files, folders = {}, [pathlib.Path(named[0])]
        source = FileSource(files, folders, strict=strict, reload_s=poll_s, locale=locale)
        return cls(source, namespace)

    @classmethod
    def delivery(
        cls,
        space: str,
        token: str,
        *,
        environment: str = "master",
        url: str = DELIVERY_URL,
        poll_s: float = 30.0,
        cache: str | os.PathLike[str] | None = None,
        strict: bool = False,
    ) -> Self:
        """Follows a space at Contentful, through its Delivery API. Needs httpx.

        ``cache`` is a folder for what was read last, so that a start does not depend on Contentful.
        """
        from whichvariant.sources.delivery import DeliverySource, Place

        place = Place(_PLAIN, space, environment, token)
        folder = None if cache is None else pathlib.Path(cache)
        return cls(DeliverySource([place], url, poll_s=poll_s, cache=folder, strict=strict))

    # ---- following ----------------------------------------------------------------------------

    def open(self) -> Self:
        """Load for the first time, and go on following. Once loaded, or known not to be, returns.

        WhichVariantError if the source cannot even tell what there is to be. A configuration that
        cannot be loaded is no error: `entry` says so, and the next look may mend it.
        """
        if self._thread is not None:
            raise RuntimeError("the follower is open already")
        self._thread = threading.Thread(
            target=self._run, name="whichvariant-configuration", daemon=True
        )
        self._thread.start()
        self._loaded.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            self._end(self._thread)
            raise failure
        return self

    def close(self) -> None:
        """Stop following. The last engine stays."""
        thread, loop, main = self._thread, self._loop, self._main
        if thread is None or loop is None or main is None:
            return
        with contextlib.suppress(RuntimeError):  # its loop may be over
            loop.call_soon_threadsafe(main.cancel)
        self._end(thread)

    def _end(self, thread: threading.Thread) -> None:
        if thread is not threading.current_thread():  # a listener may close it
            thread.join()
        self._thread = self._loop = self._main = None
        self._loaded.clear()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self, timeout_s: float = 60.0) -> None:
        """Look now, and return when that is done. TimeoutError if it takes longer."""
        if self._loop is None:
            raise RuntimeError("the follower is not open")
        looking = self._source.refresh(self._catalog, [self._namespace])
        asyncio.run_coroutine_threadsafe(looking, self._loop).result(timeout_s)

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._main = asyncio.current_task()
            await self._source.load(self._catalog)
            self._loaded.set()
            await self._source.run(self._catalog)
            # A source that does not look by itself is told to.
            await asyncio.Event().wait()

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where `open` waits
            if self._loaded.is_set():
                _LOG.exception("following the configuration has ended")
            self._failure = error
        finally:
            self._loaded.set()

    # ---- who wants to know --------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Entry], None]) -> None:
        """Call ``listener`` with the entry whenever its engine or its trouble is another one.

        It is called in the follower's thread, which waits for it, while it opens too.
        """
        self._listeners.append(listener)

    def _tell(self, entry: Entry) -> None:
        if entry.namespace != self._namespace:
            return
        for listener in self._listeners:
            try:
                listener(entry)
            except Exception:  # noqa: BLE001 - following goes on, whatever they do
                _LOG.exception("a listener to the configuration failed")

    # ---- what it has --------------------------------------------------------------------------

    @property
    def entry(self) -> Entry | None:
        """The engine with when it was loaded and looked after, and what went wrong lately."""
        return self._catalog.find(self._namespace)

    @property
    def engine(self) -> Engine:
        """The engine that decides now. ConfigurationUnavailable if nothing was loaded so far."""
        entry = self.entry
        if entry is None or entry.engine is None:
            trouble = entry.trouble if entry is not None else "there is none"
            raise ConfigurationUnavailable(f"no configuration could be loaded yet: {trouble}")
        return entry.engine

    def age_s(self) -> float | None:
        """Seconds since the source was last looked at with success; None if it never was."""
        entry = self.entry
        if entry is None or entry.engine is None or entry.cached:
            return None
        return max(0.0, (clock.now_ms() - entry.checked_ms) / 1000)

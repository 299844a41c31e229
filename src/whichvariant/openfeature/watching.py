"""A configuration in files that is loaded again when they change.

What serves is always something that was whole: files that are being written, that are broken or
gone do not replace what was loaded before.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from whichvariant.engine import Engine
from whichvariant.errors import WhichVariantError

_LOG = logging.getLogger("whichvariant.openfeature")

_ATTEMPTS = 5
_PAUSE_S = 0.05

Signature = tuple[tuple[int, ...] | str, ...]


class Ticker:
    """Calls something every ``every_s`` seconds, in a thread of its own; never with 0."""

    def __init__(self, every_s: float, call: Callable[[], None]) -> None:
        self._every_s = every_s
        self._call = call
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not begun."""
        if self._every_s > 0 and self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._run, name="whichvariant-openfeature", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has ended."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._call()


class Watcher:
    """Looks at files every ``reload_s`` seconds, in a thread of its own.

    ``on_engine`` is called with every engine that was loaded again, ``on_trouble`` with why there
    is none, both from that thread.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        strict: bool,
        locale: str | None,
        reload_s: float,
        on_engine: Callable[[Engine], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._paths = [os.fspath(path) for path in paths]
        self._strict = strict
        self._locale = locale
        self._on_engine = on_engine
        self._on_trouble = on_trouble
        self._seen: Signature | None = None
        self._ticker = Ticker(reload_s, self.look)

    def load(self) -> Engine:
        """The engine of the files as they are. WhichVariantError, OSError if there is none."""
        for _ in range(_ATTEMPTS):
            before = _signature(self._paths)
            self._seen = before
            try:
                engine = Engine.load(*self._paths, strict=self._strict, locale=self._locale)
            except (WhichVariantError, OSError):
                if _signature(self._paths) == before:
                    raise
            else:
                if _signature(self._paths) == before:
                    return engine
            # Somebody is writing.
            time.sleep(_PAUSE_S)
        self._seen = None
        raise OSError(f"{', '.join(self._paths)}: the files keep changing")

    def start(self) -> None:
        """Look for changes from now on."""
        self._ticker.start()

    def stop(self) -> None:
        """Look no more."""
        self._ticker.stop()

    def look(self) -> None:
        """Load again if the files look different from what was loaded last."""
        if _signature(self._paths) == self._seen:
            return
        try:
            engine = self.load()
        except (WhichVariantError, OSError) as error:
            self._on_trouble(str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever a file brings about, looking goes on
            _LOG.exception("loading %s failed", ", ".join(self._paths))
            self._on_trouble(f"{type(error).__name__}: {error}")
        else:
            self._on_engine(engine)


def _signature(paths: Sequence[str]) -> Signature:
    """What tells whether files have changed, without reading them."""
    found: list[tuple[int, ...] | str] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            found.append(type(error).__name__)
        else:
            found.append(
                (
                    status.st_dev,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
            )
    return tuple(found)

"""What a replay keeps on disk while it runs: the parts that are done, so that it can be resumed.

A directory holds ``run.json``, which says what run it belongs to, and for each unit that is done
its part of the report, the keys of its visitors, and what it refused. Each file is written whole or
not at all, and a unit's part last; so whatever is there can be used, at whatever moment the run
ended.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from whichvariant.atomic_write import write_atomically
from whichvariant.errors import ReplayError

_RUN = "run.json"
_LOCK = "lock"

Facts = dict[str, Any]


def partial_path(directory: str, unit: int, excluded: str = "") -> str:
    """The part of one unit; ``excluded`` names what was left out in a second reading."""
    return os.path.join(directory, f"unit-{unit:06d}{excluded and '-' + excluded}.partial")


def keys_path(directory: str, unit: int) -> str:
    """The keys of one unit's visitors."""
    return os.path.join(directory, f"unit-{unit:06d}.keys")


def rejects_path(directory: str, unit: int) -> str:
    """What one unit refused, one a line."""
    return os.path.join(directory, f"unit-{unit:06d}.rejects")


def _lock(handle: int) -> None:
    """Lock an open file until it is closed; BlockingIOError or PermissionError if it is locked."""
    try:
        import fcntl
    except ImportError:  # on Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class State:
    """The directory of one run, held against any other run as long as this object is open."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """
        Raises
        ------
        ReplayError
            Another run is using the directory.
        OSError
            It cannot be made or written.
        """
        self.directory = os.fspath(directory)
        Path(self.directory).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(os.path.join(self.directory, _LOCK), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._lock)
        except (BlockingIOError, PermissionError):
            os.close(self._lock)
            raise ReplayError(f"{self.directory}: another run is using it") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the directory."""
        os.close(self._lock)

    def stored(self) -> Facts | None:
        """What run the directory belongs to, None for none yet."""
        path = os.path.join(self.directory, _RUN)
        try:
            with open(path, "rb") as stream:
                facts: Facts = orjson.loads(stream.read())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError as error:
            raise ReplayError(f"{path}: damaged: {error}") from error
        return facts

    def claim(self, facts: Facts) -> None:
        """Make sure that the directory belongs to the run that ``facts`` describe.

        Raises
        ------
        ReplayError
            It belongs to another; the message says what differs.
        """
        stored = self.stored()
        if stored is None:
            write_atomically(os.path.join(self.directory, _RUN), orjson.dumps(facts))
            return
        differing = [key for key in facts if stored.get(key) != facts[key]]
        if differing:
            what = ", ".join(_WORDS.get(key, key) for key in differing)
            raise ReplayError(
                f"{self.directory}: it keeps the state of another run: {what} changed."
                " Give another directory, or remove this one"
            )

    def is_done(self, unit: int, excluded: str = "") -> bool:
        """Whether the part of a unit is there."""
        return os.path.exists(partial_path(self.directory, unit, excluded))


_WORDS = {
    "version": "the version of the format",
    "old": "the old configuration",
    "new": "the new configuration",
    "source": "the profiles",
    "now": "the time",
}

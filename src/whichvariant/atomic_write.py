"""Files that are either the old one or the whole new one, whatever happens in between."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_NEW_FILE_MODE = 0o666
_PRIVATE_MODE = 0o600


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path`` by ``data``, as `atomic_file` does.

    Raises:
        OSError: the directory or the disk refused; ``filename`` is ``path``.
    """
    with atomic_file(path) as stream:
        stream.write(data)


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[IO[bytes]]:
    """Replace the file at ``path`` by what is written: temporary file beside it, fsync, rename.

    On any failure, also one of whoever writes, the temporary file is removed and the old file stays
    untouched. A link is followed. Something that is not a regular file (``/dev/null``, a named
    pipe) is written to, because renaming over it would destroy it. The permissions of an existing
    file are kept; a new one that is ``private`` is its owner's alone.

    Raises:
        OSError: the directory or the disk refused; ``filename`` is ``path``.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as stream:
            yield stream
        return

    temporary: str | None = None
    try:
        with _named(path):
            handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
        raw = _BlamingFile(handle, path)
        try:
            buffered = io.BufferedWriter(raw)
            yield buffered
            buffered.flush()
            with _named(path):
                if hasattr(os, "fchmod"):  # Windows has no such permissions
                    wanted = _PRIVATE_MODE if private and mode is None else _permissions(mode)
                    os.fchmod(handle, wanted)
                os.fsync(handle)
        finally:
            # The buffer goes with it: what a failure left there is not written.
            raw.close()
        with _named(path):
            os.replace(temporary, target)
        temporary = None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    _sync_directory(target.parent)


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Blame ``path``: the reader knows the name that was asked for, not the temporary one."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), os.fspath(path)) from error


class _BlamingFile(io.FileIO):
    """A file whose errors blame another name than its own."""

    def __init__(self, handle: int, path: str | os.PathLike[str]) -> None:
        super().__init__(handle, "wb")
        self._path = path

    def write(self, data: Any, /) -> int:
        with _named(self._path):
            return os.write(self.fileno(), data)


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both names lead to the same existing file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _permissions(mode: int | None) -> int:
    if mode is not None:
        return stat.S_IMODE(mode)
    # The process's mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return _NEW_FILE_MODE & ~mask


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable; some file systems cannot, and the file is complete anyway."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)

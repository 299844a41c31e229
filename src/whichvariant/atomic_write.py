"""Files that are either the old one or the whole new one, whatever happens in between."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_NEW_FILE_MODE = 0o666
_PRIVATE_MODE = 0o600


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path`` by ``data``, as `writing_atomically` does.

    Raises:
        OSError: the directory or the disk refused; ``filename`` is ``path``.
    """
    with writing_atomically(path) as write:
        write(data)


@contextmanager
def writing_atomically(
    path: str | os.PathLike[str], *, private: bool = False
) -> Iterator[Callable[[bytes], None]]:
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
        with open(target, "wb", buffering=0) as stream:
            handle = stream.fileno()
            yield lambda data: _write_all(handle, data)
        return

    temporary: str | None = None
    try:
        with _named(path):
            handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
        try:

            def write(data: bytes) -> None:
                with _named(path):
                    _write_all(handle, data)

            yield write
            with _named(path):
                os.fchmod(handle, _PRIVATE_MODE if private and mode is None else _permissions(mode))
                os.fsync(handle)
        finally:
            os.close(handle)
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


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both names lead to the same existing file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


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


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to that appears at ``path`` when all is written, or not at all.

    For what is too large to hold. On any failure, one of the caller's included, nothing is left.

    Raises:
        OSError: the directory or the disk refused; ``filename`` is ``path``.
    """
    target = Path(os.path.realpath(path))
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), _permissions(None))
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        if temporary is not None and error.filename not in (None, temporary):
            raise
        raise type(error)(error.errno, error.strerror or str(error), os.fspath(path)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    _sync_directory(target.parent)

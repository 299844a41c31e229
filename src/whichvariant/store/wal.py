"""Whether all of a write-ahead log can be replayed.

SQLite replays a log up to the first frame whose checksum is wrong, and takes what follows for the
remains of a power loss. Damage in the middle would so undo acknowledged writes without a word,
or worse: pages of old frames would hide newer ones in the file. A power loss can only cut off the
last transaction, because each is on the disk before the next begins. So if a further transaction of
this log follows behind a wrong frame, it is damage.

The format: https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC_LITTLE = 0x377F0682
_MAGIC_BIG = 0x377F0683
# Frames that are read at once: 2 MB of 8 KB pages.
_CHUNK = 256
_WORD = 0xFFFFFFFF


class LogDamage(NamedTuple):
    """A wrong frame that others follow. ``page`` is the page it holds, 0 for the log's header."""

    frame: int
    page: int
    message: str


def examine_log(path: str) -> LogDamage | None:
    """Check every frame of a log to which nobody writes meanwhile.

    None: all of it can be replayed, apart from the remains of one transaction that was never
    acknowledged; or there is no log.

    Raises:
        OSError: the log cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return _examine(stream, os.fstat(stream.fileno()).st_size)
    except FileNotFoundError:
        return None


def pages_in_log(path: str) -> set[int]:
    """The pages of which a log has a newer state, whether or not that has been moved already.

    Raises:
        OSError: the log cannot be read.
    """
    pages: set[int] = set()
    try:
        with open(path, "rb") as stream:
            header = stream.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES:
                return pages
            page_size = int.from_bytes(header[8:12], "big")
            at = _HEADER_BYTES
            while len(frame := stream.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES:
                if frame[8:16] != header[16:24]:
                    break  # of a generation before
                pages.add(int.from_bytes(frame[:4], "big"))
                at += _FRAME_HEADER_BYTES + page_size
                stream.seek(at)
    except FileNotFoundError:
        pass
    return pages


def _examine(stream: BinaryIO, size: int) -> LogDamage | None:
    header = stream.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    magic, _, page_size, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", header)
    order = "<" if magic == _MAGIC_LITTLE else ">"
    words = np.frombuffer(header[:24], dtype=f"{order}u4").astype(np.uint32)
    frame_bytes = page_size + _FRAME_HEADER_BYTES
    state = _advance((0, 0), _contributions(words.reshape(1, -1))[0], 3)
    plausible = page_size >= 512 and page_size & (page_size - 1) == 0
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or state != (sum1, sum2) or not plausible:
        # The header is on the disk before the first frame is written.
        if size <= _HEADER_BYTES:
            return None
        return LogDamage(0, 0, "the header of the log is damaged")

    salts = struct.pack(">2I", salt1, salt2)
    wrong: LogDamage | None = None
    ended = False
    index = 0
    while chunk := stream.read(frame_bytes * _CHUNK):
        count = len(chunk) // frame_bytes
        frames = np.frombuffer(chunk[: count * frame_bytes], np.uint8).reshape(count, frame_bytes)
        sums = None if wrong else _frame_sums(frames, order)
        for at in range(count):
            page, commit = struct.unpack_from(">2I", chunk, at * frame_bytes)
            ours = chunk[at * frame_bytes + 8 : at * frame_bytes + 16] == salts
            if wrong is None:
                assert sums is not None
                state = _advance(state, sums[at], (page_size + 8) // 8)
                stored = struct.unpack_from(">2I", chunk, at * frame_bytes + 16)
                if not ours or state != stored:
                    message = f"frame {index} of the log, for page {page}, is damaged"
                    wrong = LogDamage(index, page, message)
                    ended = ours and commit != 0
            elif ours and ended:
                return wrong
            elif ours and commit != 0:
                ended = True
            index += 1
        if count < _CHUNK:
            break
    return None


def _frame_sums(frames: npt.NDArray[np.uint8], order: str) -> npt.NDArray[np.uint32]:
    # The salts and the checksum itself are not summed.
    summed = np.concatenate((frames[:, :8], frames[:, _FRAME_HEADER_BYTES:]), axis=1)
    return _contributions(summed.view(f"{order}u4").astype(np.uint32, copy=False))


# The checksum is a recurrence over pairs of words (x, y), modulo 2**32:
# s becomes s + x + t, and then t becomes t + y + s,
# which is linear: (s, t) := M (s, t) + A (x, y) with M = A = ((1, 1), (1, 2)) and A's second column
# (0, 1). A row of pairs therefore adds a sum of its words with fixed weights, which vectorizes, to
# what the state before it becomes by a power of M.


def _powers(count: int) -> list[tuple[int, int, int, int]]:
    powers = [(1, 0, 0, 1)]
    for _ in range(count):
        a, b, c, d = powers[-1]
        powers.append(((a + b) & _WORD, (a + 2 * b) & _WORD, (c + d) & _WORD, (c + 2 * d) & _WORD))
    return powers


_CACHE: dict[int, tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], tuple[int, ...]]] = {}


def _weights(pairs: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], tuple[int, ...]]:
    if pairs not in _CACHE:
        powers = _powers(pairs)
        for_s = np.empty(2 * pairs, np.uint32)
        for_t = np.empty(2 * pairs, np.uint32)
        for index in range(pairs):
            a, b, c, d = powers[pairs - 1 - index]
            # x enters as (1, 1), y as (0, 1), then the remaining steps follow.
            for_s[2 * index], for_s[2 * index + 1] = (a + b) & _WORD, b
            for_t[2 * index], for_t[2 * index + 1] = (c + d) & _WORD, d
        _CACHE[pairs] = (for_s, for_t, powers[pairs])
    return _CACHE[pairs]


def _contributions(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """What each row of words adds to the state: shape (rows, 2)."""
    for_s, for_t, _ = _weights(words.shape[1] // 2)
    s = (words * for_s).sum(axis=1, dtype=np.uint32)
    t = (words * for_t).sum(axis=1, dtype=np.uint32)
    return np.stack((s, t), axis=1)


def _advance(
    state: tuple[int, int], addition: npt.NDArray[np.uint32], pairs: int
) -> tuple[int, int]:
    a, b, c, d = _weights(pairs)[2]
    s, t = state
    return (
        (a * s + b * t + int(addition[0])) & _WORD,
        (c * s + d * t + int(addition[1])) & _WORD,
    )

"""Stable ids made to draw what a test wants: murmur3 runs backwards as well as forwards.

The last four characters of a text are one block of the hash. Only their low bytes count, so any
block can be spelt in characters, and any of the 2^32 hashes reached. That puts visitors on the
very edges of segments, where a random id comes once in four thousand million.
"""

from __future__ import annotations

from oracle.oracle import low_bytes, rotate_left

WORD = 0xFFFFFFFF


def stable_id_drawing(kind: str, experience_id: str, wanted: int, start: str = "v") -> str:
    """A stable id, beginning with ``start``, whose hash of that kind is ``wanted``."""
    start += "." * (-len(low_bytes(f"{kind}-{experience_id}-{start}")) % 4)
    prefix = low_bytes(f"{kind}-{experience_id}-{start}")
    state = unfinish(wanted) ^ (len(prefix) + 4)
    state = (state - 0xE6546B64) * pow(5, -1, 2**32) & WORD
    state = rotate_left(state, 32 - 13)
    word = (state ^ state_after(prefix)) * pow(0x1B873593, -1, 2**32) & WORD
    word = rotate_left(word, 32 - 15) * pow(0xCC9E2D51, -1, 2**32) & WORD
    # Letters from U+0100 on carry any low byte and are neither control characters nor ASCII.
    return start + "".join(chr(0x100 + byte) for byte in word.to_bytes(4, "little"))


def unfinish(hashed: int) -> int:
    """The state before the finaliser."""
    hashed ^= hashed >> 16
    hashed = hashed * pow(0xC2B2AE35, -1, 2**32) & WORD
    hashed ^= hashed >> 13 ^ hashed >> 26
    hashed = hashed * pow(0x85EBCA6B, -1, 2**32) & WORD
    return hashed ^ hashed >> 16


def state_after(blocks: bytes) -> int:
    """The state after whole blocks, from seed 0."""
    state = 0
    for start in range(0, len(blocks), 4):
        word = int.from_bytes(blocks[start : start + 4], "little") * 0xCC9E2D51 & WORD
        word = rotate_left(word, 15) * 0x1B873593 & WORD
        state = rotate_left(state ^ word, 13) * 5 + 0xE6546B64 & WORD
    return state

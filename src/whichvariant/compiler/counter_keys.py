"""What profiles are told of a program: its counters by name, and its sticky experiences.

A program numbers its counters as it meets them. Counts that are kept with a profile need a name
that depends on what is counted alone: a hash of event type, name, conditions and window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack
import numpy as np
from xxhash import xxh3_64_intdigest

from whichvariant._core.leaf_table import OPERATIONS


class CounterKeys(NamedTuple):
    """``keys``: of every counter, by its number, its key (uint64) and its window in milliseconds,
    None for an unbounded one. ``digest``: a uint64 over all keys, 0 where there are none.
    """

    keys: tuple[tuple[int, int | None], ...]
    digest: int


def counter_keys(tables: dict[str, Any]) -> CounterKeys:
    """The keys of all counters in a program's tables."""
    counters = tables["counters"]
    if not counters:
        return CounterKeys((), 0)
    leaves = tables["event_leaves"]
    slots = np.frombuffer(leaves["slot"], "<u4").tolist()
    numbers = np.frombuffer(leaves["number"], "<f8").tolist()
    operations = leaves["op"]
    keys = []
    for event_type, name, conditions, window in counters:
        described = sorted(
            msgpack.packb(
                [
                    leaves["paths"][slots[leaf]],
                    _OPERATION_NAMES[operations[leaf]],
                    numbers[leaf],
                    leaves["operands"][leaf],
                    wanted,
                ],
                unicode_errors="surrogatepass",
            )
            for leaf, wanted in conditions
        )
        text = msgpack.packb([event_type, name, described, window], unicode_errors="surrogatepass")
        keys.append((xxh3_64_intdigest(text), window))
    every = b"".join(key.to_bytes(8, "little") for key, _ in sorted(set(keys), key=_by_key))
    # 0 is kept for "no counters".
    return CounterKeys(tuple(keys), xxh3_64_intdigest(every) or 1)


def sticky_experiences(tables: dict[str, Any]) -> dict[str, int]:
    """The highest variant index of every sticky experience in a program's tables."""
    experiences = tables["experiences"]
    highest = np.frombuffer(experiences["highest_index"], "<u2").tolist()
    return {
        experience: index
        for experience, sticky, index in zip(
            tables["experience_ids"], experiences["sticky"], highest, strict=True
        )
        if sticky
    }


def _by_key(key: tuple[int, int | None]) -> int:
    return key[0]


_OPERATION_NAMES = {number: name for name, number in OPERATIONS.items()}

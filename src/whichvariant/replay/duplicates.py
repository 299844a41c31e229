"""Counting each visitor once, exactly, in bounded memory.

A visitor is a stable id, told apart by its 128-bit key. The first record of a visitor counts, in
the order of the source. Records are taken in *runs* of so many that a run's keys fit in memory.
Within a run every repetition is seen at once. The sorted keys of each run are kept on disk, and
compared when all units are done; a unit with visitors that an earlier run has too is read once
more, without them. So nothing is read twice unless there are duplicates across runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from whichvariant._core.visitors import VisitorSet
from whichvariant.atomic_write import write_atomically
from whichvariant.errors import ReplayError
from whichvariant.replay.batches import Keys

RUN_RECORDS = 1 << 21
"""Records of a run: a table of their keys takes 64 MiB."""

_BUCKET_KEYS = 1 << 20
_NO_KEYS = np.empty((2, 0), np.uint64)


class KeySet:
    """Keys seen so far: the newest in a table, older ones in sorted runs of 16 bytes a key."""

    def __init__(self) -> None:
        self._newest = VisitorSet()
        self._runs: list[Keys] = []

    def add(self, keys: Keys) -> NDArray[np.bool_]:
        """Add ``keys``; for each whether it is the first of its kind."""
        first = self._newest.add(keys)
        for run in self._runs:
            first &= ~contains(run, keys)
        if len(self._newest) >= RUN_RECORDS:
            self._runs.append(sorted_keys(self._newest.keys()))
            self._newest = VisitorSet()
        return first

    def take(self) -> Keys:
        """All keys, sorted; the set is empty then."""
        keys = np.concatenate([*self._runs, self._newest.keys()], axis=1)
        self._runs, self._newest = [], VisitorSet()
        return sorted_keys(keys)


def sorted_keys(keys: Keys) -> Keys:
    """``keys`` in the order of their high halves."""
    # A stable sort finds what is in order already.
    return keys[:, np.argsort(keys[0], kind="stable")]


def contains(run: Keys, keys: Keys) -> NDArray[np.bool_]:
    """For each of ``keys`` whether ``run``, which is sorted, has it."""
    found = np.zeros(keys.shape[1], np.bool_)
    if run.shape[1] == 0:
        return found
    places = np.searchsorted(run[0], keys[0])
    open_ = np.arange(keys.shape[1])
    while len(open_):
        # Different visitors may share the high half: look on while it is the same.
        places_open = places[open_]
        inside = places_open < run.shape[1]
        open_, places_open = open_[inside], places_open[inside]
        same = run[0, places_open] == keys[0, open_]
        open_, places_open = open_[same], places_open[same]
        hit = run[1, places_open] == keys[1, open_]
        found[open_[hit]] = True
        open_ = open_[~hit]
        places[open_] += 1
    return found


@dataclass(slots=True)
class UnitKeys:
    """Which rows of one unit count: no repetition within a run, none of ``excluded``.

    ``excluded`` are sorted keys by run, of visitors that earlier runs have.
    """

    excluded: Mapping[int, Keys] = field(default_factory=dict)
    endless: bool = False
    duplicates: int = 0
    _set: KeySet = field(default_factory=KeySet)
    _run: int = 0
    _done: list[Keys] = field(default_factory=list)

    def first(self, keys: Keys, record: int) -> NDArray[np.bool_]:
        """Which rows of a batch count; ``record`` is the number of its first record."""
        run = 0 if self.endless else record // RUN_RECORDS
        while self._run < run:
            self._done.append(self._set.take())
            self._run += 1
        counts = self._set.add(keys)
        excluded = self.excluded.get(run)
        if excluded is not None:
            counts &= ~contains(excluded, keys)
        self.duplicates += int(np.count_nonzero(~counts))
        return counts

    def runs(self) -> list[Keys]:
        """The keys of every run, sorted."""
        return [*self._done, self._set.take()]


def write_runs(path: str, runs: list[Keys]) -> None:
    """Keep the keys of a unit, whole or not at all."""
    lengths = np.array([len(runs), *(run.shape[1] for run in runs)], np.uint64)
    write_atomically(path, lengths.tobytes() + b"".join(run.tobytes() for run in runs))


class Run(Protocol):
    """The sorted keys of one run."""

    @property
    def n(self) -> int:
        """How many keys it has."""
        ...

    def high_halves(self) -> NDArray[np.uint64]:
        """The high halves of all keys."""
        ...

    def part(self, low: int, high: int) -> Keys:
        """Some of the keys."""
        ...


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run in memory."""

    keys: Keys

    @property
    def n(self) -> int:
        """How many keys it has."""
        return len(self.high_halves())

    def high_halves(self) -> NDArray[np.uint64]:
        """The high halves of all keys."""
        halves: NDArray[np.uint64] = self.keys[0]
        return halves

    def part(self, low: int, high: int) -> Keys:
        """Some of the keys."""
        return self.keys[:, low:high]


@dataclass(frozen=True, slots=True)
class KeptRun:
    """The sorted keys of a run on disk; nothing of them stays in memory.

    Mapped files would: pages that were looked at, with all around them, stay resident.
    """

    path: str
    offset: int
    n: int

    def high_halves(self) -> NDArray[np.uint64]:
        """The high halves of all keys."""
        return self._read(0, self.n)

    def part(self, low: int, high: int) -> Keys:
        """Some of the keys."""
        return np.stack([self._read(low, high), self._read(self.n + low, self.n + high)])

    def _read(self, low: int, high: int) -> NDArray[np.uint64]:
        found = np.fromfile(self.path, np.uint64, high - low, offset=self.offset + 8 * low)
        if len(found) != high - low:
            raise ReplayError(f"{self.path}: the kept keys are damaged")
        return found


def read_runs(path: str) -> list[KeptRun]:
    """The runs of a unit."""
    n = np.fromfile(path, np.uint64, 1)
    lengths = np.fromfile(path, np.uint64, int(n[0]), offset=8) if len(n) else n
    if len(n) == 0 or len(lengths) != n[0]:
        raise ReplayError(f"{path}: the kept keys are damaged")
    runs = []
    at = 8 * (1 + len(lengths))
    for length in lengths.tolist():
        runs.append(KeptRun(path, at, length))
        at += 16 * length
    if at != os.path.getsize(path):
        raise ReplayError(f"{path}: the kept keys are damaged")
    return runs


def across_runs(paths: Iterable[tuple[int, str]]) -> dict[int, dict[int, Keys]]:
    """The visitors of each unit and run that an earlier run has too: sorted keys.

    ``paths`` are numbers of units, in order, and where their keys are kept. Keys are compared by
    ranges that fit in memory.
    """
    return later_runs(
        [(unit, number, run) for unit, path in paths for number, run in enumerate(read_runs(path))]
    )


def later_runs(runs: Sequence[tuple[int, int, Run]]) -> dict[int, dict[int, Keys]]:
    """As `across_runs`, for the sorted keys of (unit, number of its run), in order."""
    runs = [run for run in runs if run[2].n]
    found: dict[int, dict[int, list[Keys]]] = {}
    if len(runs) < 2:
        return {}
    total = sum(run.n for _, _, run in runs)
    bits = max((total // _BUCKET_KEYS).bit_length(), 0)
    bounds = [_bounds(run, bits) for _, _, run in runs]
    for bucket in range(1 << bits):
        parts = []
        owners = []
        for owner, (_, _, run) in enumerate(runs):
            low, high = bounds[owner][bucket : bucket + 2].tolist()
            parts.append(run.part(low, high))
            owners.append(np.full(high - low, owner, np.int64))
        keys = np.concatenate(parts, axis=1)
        owner_of = np.concatenate(owners)
        for owner, key in _later(keys, owner_of):
            unit, number, _ = runs[owner]
            found.setdefault(unit, {}).setdefault(number, []).append(key)
    return {
        unit: {
            number: sorted_keys(np.concatenate(several, axis=1))
            for number, several in by_run.items()
        }
        for unit, by_run in found.items()
    }


def _bounds(run: Run, bits: int) -> NDArray[np.int64]:
    """Where each of 2**bits equal ranges of keys begins in a run, and where the last one ends."""
    if bits == 0:
        return np.array([0, run.n])
    starts = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return np.concatenate([[0], np.searchsorted(run.high_halves(), starts), [run.n]])


def _later(keys: Keys, owners: NDArray[np.int64]) -> Iterator[tuple[int, Keys]]:
    """Keys that more than one owner has, for each owner but the first."""
    # What is concatenated is sorted, run by run, which a stable sort makes use of. Equal keys stay
    # in the order of their owners.
    order = np.argsort(keys[0], kind="stable")
    high = keys[0, order]
    near = np.flatnonzero(high[1:] == high[:-1])
    if len(near) == 0:
        return
    rows = order[np.unique(np.concatenate([near, near + 1]))]
    rows = rows[np.lexsort((owners[rows], keys[1, rows], keys[0, rows]))]
    ordered, of = keys[:, rows], owners[rows]
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (ordered[:, 1:] == ordered[:, :-1]).all(axis=0)
    for owner in np.unique(of[again]).tolist():
        yield owner, ordered[:, again & (of == owner)]


def digest_of(excluded: Mapping[int, Keys]) -> str:
    """16 hexadecimal digits that name what is excluded; none for nothing."""
    if not excluded:
        return ""
    state = xxhash.xxh3_64()
    for run, keys in sorted(excluded.items()):
        state.update(run.to_bytes(8, "little") + np.ascontiguousarray(keys).tobytes())
    return state.hexdigest()

"""The report of some visitors: exact counts, samples, and what was refused. Parts add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgpack
import numpy as np
import xxhash

from whichvariant.errors import ReplayError
from whichvariant.replay.plan import Counts, Plan

_MAGIC = b"whichvariant-partial/2\n"
_DIGESTS = 1 << 128

SAMPLES = 5
"""How many visitors are kept of each cell: those with the smallest keys, whoever counts them."""

MOST_REFUSALS = 100
"""How many refused records are kept with their places, of the first that come."""


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """One visitor of a cell, and the record they came from; numbers count within the unit."""

    key: int
    stable_id: str
    unit: int
    record: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that was left out. Numbers count within the unit, ``line`` from 1."""

    unit: int
    record: int
    line: int | None
    offset: int | None
    reason: str


Cell = tuple[int, int, int]
"""Number of the pair of experiences, row and column of its transitions."""


@dataclass(slots=True)
class UnitFacts:
    """What one unit of work held."""

    records: int = 0
    rejected: int = 0
    lines: int | None = None
    bytes: int = 0


@dataclass(slots=True)
class Partial:
    """Counts, samples and refusals of some units; ``counts`` is laid out by a `Plan`."""

    counts: Counts
    samples: dict[Cell, list[Sample]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    units: dict[int, UnitFacts] = field(default_factory=dict)
    duplicates: int = 0
    input_digest: int = 0
    old_digest: int = 0
    new_digest: int = 0
    others: dict[str, dict[int, int]] = field(default_factory=dict)
    """Stored selections of experiences that the new configuration lacks: counts by index."""

    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Requests (msgpack) of first samples, by unit and record, as far as they were kept."""

    @classmethod
    def empty(cls, plan: Plan) -> Self:
        """Nobody yet."""
        return cls(np.zeros(plan.size, np.int64))

    def add(self, other: Partial) -> None:
        """Count ``other`` too. The sum does not depend on the order of parts."""
        self.counts += other.counts
        for cell, samples in other.samples.items():
            both = self.samples.get(cell, []) + samples
            self.samples[cell] = sorted(both)[:SAMPLES]
        firsts = self.first_samples()
        both_records = self.records | other.records
        self.records = {at: data for at, data in both_records.items() if at in firsts}
        self.refusals = sorted(
            self.refusals + other.refusals, key=lambda refusal: (refusal.unit, refusal.record)
        )[:MOST_REFUSALS]
        self.units.update(other.units)
        self.duplicates += other.duplicates
        self.input_digest = (self.input_digest + other.input_digest) % _DIGESTS
        self.old_digest = (self.old_digest + other.old_digest) % _DIGESTS
        self.new_digest = (self.new_digest + other.new_digest) % _DIGESTS
        for identifier, by_index in other.others.items():
            mine = self.others.setdefault(identifier, {})
            for index, count in by_index.items():
                mine[index] = mine.get(index, 0) + count

    def first_samples(self) -> set[tuple[int, int]]:
        """Unit and record of the first sample of every cell."""
        return {(samples[0].unit, samples[0].record) for samples in self.samples.values()}

    @classmethod
    def sum(cls, plan: Plan, parts: Iterable[Partial]) -> Self:
        """All of ``parts`` together."""
        total = cls.empty(plan)
        for part in parts:
            total.add(part)
        return total

    # ---- on disk, and between processes ---------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The part as bytes, with a checksum."""
        body: bytes = msgpack.packb(
            {
                "counts": self.counts.astype("<i8").tobytes(),
                "samples": [
                    [*cell, [[s.key, s.stable_id, s.unit, s.record] for s in samples]]
                    for cell, samples in sorted(self.samples.items())
                ],
                "refusals": [[r.unit, r.record, r.line, r.offset, r.reason] for r in self.refusals],
                "units": [
                    [unit, facts.records, facts.rejected, facts.lines, facts.bytes]
                    for unit, facts in sorted(self.units.items())
                ],
                "duplicates": self.duplicates,
                "digests": [
                    value.to_bytes(16, "big")
                    for value in (self.input_digest, self.old_digest, self.new_digest)
                ],
                "others": [
                    [identifier, sorted(by_index.items())]
                    for identifier, by_index in sorted(self.others.items())
                ],
                "records": [[*at, data] for at, data in sorted(self.records.items())],
            }
        )
        return _MAGIC + xxhash.xxh3_128_digest(body) + body

    @classmethod
    def from_bytes(cls, data: bytes, plan: Plan) -> Self:
        """
        Raises:
            ReplayError: ``data`` is damaged, or was counted by another plan.
        """
        head = len(_MAGIC)
        body = data[head + 16 :]
        if data[:head] != _MAGIC or data[head : head + 16] != xxhash.xxh3_128_digest(body):
            raise ReplayError("a kept part of the report is damaged")
        fields: Mapping[str, Any] = msgpack.unpackb(body)
        counts = np.frombuffer(fields["counts"], "<i8").astype(np.int64)
        if len(counts) != plan.size:
            raise ReplayError("a kept part of the report belongs to other configurations")
        digests = [int.from_bytes(value, "big") for value in fields["digests"]]
        return cls(
            counts,
            {
                (pair, row, column): [Sample(*sample) for sample in samples]
                for pair, row, column, samples in fields["samples"]
            },
            [Refusal(*refusal) for refusal in fields["refusals"]],
            {unit: UnitFacts(*facts) for unit, *facts in fields["units"]},
            fields["duplicates"],
            digests[0],
            digests[1],
            digests[2],
            {identifier: dict(pairs) for identifier, pairs in fields["others"]},
            {(unit, record): data for unit, record, data in fields["records"]},
        )

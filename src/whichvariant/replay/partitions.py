"""Replays on engines of others: counting partitions of tables wherever they are, and joining.

An engine runs `PartitionCounter` over its partitions, however it divides them, and hands back one
row for each. Those rows make the report. Partitions have no order, so of several records of one
visitor the one counts whose JSON text comes first; where they decide alike, as repeated rows do,
the report is that of `replay`, digest and all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from whichvariant import clock
from whichvariant.columns import Intake
from whichvariant.profiles.times import parse_time
from whichvariant.replay.batches import Batch, Keys
from whichvariant.replay.duplicates import HeldRun, contains, later_runs, sorted_keys
from whichvariant.replay.partial import SAMPLES, Partial, UnitFacts
from whichvariant.replay.plan import Plan
from whichvariant.replay.reading import RefusedRecord, UnitReader
from whichvariant.replay.report import Report, RunFacts
from whichvariant.replay.sources import Source
from whichvariant.replay.stored import StoredSelections
from whichvariant.replay.tally import Tally

if TYPE_CHECKING:
    from whichvariant.engine import Engine

COLUMNS = ("partial", "keys", "rows")
"""What a partition gives, each as bytes: its report, its visitors' keys, and rows put aside."""

Row = Mapping[str, Any]
Runner = Callable[["PartitionCounter"], Iterable[Row]]
"""Runs a counter over all partitions, and returns their rows."""

_NO_KEYS: Keys = np.empty((2, 0), np.uint64)


@dataclass(slots=True)
class _Refusals:
    count: int = 0

    def advanced(self, records: int, n_bytes: int) -> None:
        """Nobody is waiting."""

    def refused(self, record: RefusedRecord) -> None:
        """Counted; where it stood, the engine does not say."""
        self.count += 1


@dataclass(frozen=True)
class PartitionCounter:
    """Counts partitions. It crosses to wherever they are.

    ``aside`` are sorted keys of visitors who have several records: they are not counted, their rows
    are handed back.
    """

    old: Engine | None
    new: Engine
    now: int
    stored: bool = False
    samples: int = SAMPLES
    deduplicate: bool = True
    aside: Keys = field(default_factory=lambda: _NO_KEYS)

    def plan(self) -> Plan:
        """How to count."""
        return Plan(self.old, self.new, stored=self.stored)

    def of(self, tables: Iterable[Any]) -> dict[str, bytes]:
        """One row for all of ``tables``: a partition."""
        plan = self.plan()
        tally = Tally(plan, 0, samples=self.samples)
        refusals = _Refusals()
        keys: list[Keys] = []
        rows: list[Any] = []
        records = 0
        for table, batch in self._batches(tables, refusals):
            records += batch.new.n_rows
            if not self.aside.shape[1]:
                keys.append(batch.keys)
                tally.add(batch)
                continue
            put_aside = contains(self.aside, batch.keys)
            if put_aside.any():
                rows.append(table.filter(_mask(put_aside)))
            tally.add(batch.take(~put_aside))
        partial = tally.finish()
        partial.units[0] = UnitFacts(records + refusals.count, refusals.count)
        joined = sorted_keys(np.concatenate(keys, axis=1)) if keys else _NO_KEYS
        return {
            "partial": partial.to_bytes(),
            "keys": joined.tobytes() if self.deduplicate else b"",
            "rows": json.dumps([row for part in rows for row in part.to_pylist()]).encode()
            if rows
            else b"",
        }

    def _batches(self, tables: Iterable[Any], refusals: _Refusals) -> Iterator[tuple[Any, Batch]]:
        engines = [self.new] if self.old is None else [self.new, self.old]
        intake = Intake(*engines, now=self.now)
        stored = StoredSelections(self.new) if self.stored else None
        for table in tables:
            source = Source.of_tables([table])
            for decided in UnitReader(source, source.units[0], intake, refusals):
                new = decided.results[0]
                if stored is None:
                    old = decided.results[1] if len(decided.results) > 1 else None
                    yield decided.table, Batch.of(old, new)
                    continue
                side, refused = stored.of("arrow", decided, new, 0)
                for row, error in refused.items():
                    refusals.refused(RefusedRecord(row, None, None, None, error))
                keep = np.ones(new.n_rows, np.bool_)
                keep[list(refused)] = False
                rows = decided.table if keep.all() else decided.table.filter(_mask(keep))
                yield rows, Batch.of(side, new).take(keep)


def replay_partitions(
    old: Engine | Literal["stored"] | None,
    new: Engine,
    run: Runner,
    *,
    now: int | datetime | str | None = None,
    deduplicate: bool = True,
    samples: int = SAMPLES,
    names: tuple[str | None, str | None] = (None, None),
) -> Report:
    """The report over partitions that ``run`` counts. As `whichvariant.replay.replay`.

    The keys of all visitors come together here, 16 bytes each; ``deduplicate=False`` does without,
    where every visitor is known to stand once. Partitions are counted again where that is not so.
    Samples have no place, and no explanation.
    """
    started, start_ms = datetime.now(UTC), clock.now_ms()
    at = start_ms if now is None else parse_time(now)
    counter = PartitionCounter(
        None if old == "stored" else old, new, at, old == "stored", samples, deduplicate
    )
    plan = counter.plan()
    rows = list(run(counter))
    aside = _repeated(rows)
    repeated: list[dict[str, Any]] = []
    if aside.shape[1]:
        rows = list(run(replace(counter, aside=aside)))
        repeated = [record for row in rows if row["rows"] for record in json.loads(row["rows"])]
    total = Partial.empty(plan)
    records = rejected = 0
    for row in rows:
        part = Partial.from_bytes(bytes(row["partial"]), plan)
        records += part.units[0].records
        rejected += part.units[0].rejected
        total.add(part)
    if repeated:
        chosen = _first_of_each(repeated)
        part = Partial.from_bytes(counter.of([_table(chosen)])["partial"], plan)
        total.add(part)
        total.duplicates = len(repeated) - len(chosen)
    total.units = {0: UnitFacts(records, rejected)}
    seconds = (clock.now_ms() - start_ms) / 1000
    facts = RunFacts(started, seconds, records, 0, 0, len(rows))
    return Report(plan, total, None, facts, names=names, now=at)


def _mask(keep: Any) -> Any:
    import pyarrow as pa

    return pa.array(keep)


def _repeated(rows: Iterable[Row]) -> Keys:
    """The visitors who stand more than once, sorted."""
    runs = []
    found = []
    for number, row in enumerate(rows):
        keys = np.frombuffer(bytes(row["keys"]), np.uint64).reshape(2, -1)
        order = np.lexsort((keys[1], keys[0]))
        keys = keys[:, order]
        again = np.zeros(keys.shape[1], np.bool_)
        again[1:] = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
        found.append(keys[:, again])
        runs.append((number, 0, HeldRun(keys[:, ~again])))
    found += [keys for by_run in later_runs(runs).values() for keys in by_run.values()]
    if not found:
        return _NO_KEYS
    return sorted_keys(np.unique(np.concatenate(found, axis=1), axis=1))


def _first_of_each(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a visitor: the one whose JSON text comes first."""
    chosen: dict[str, tuple[str, dict[str, Any]]] = {}
    for record in records:
        text = json.dumps(record, sort_keys=True)
        known = chosen.get(record["stableId"])
        if known is None or text < known[0]:
            chosen[record["stableId"]] = text, record
    return [record for _, (_, record) in sorted(chosen.items())]


def _table(records: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(records)

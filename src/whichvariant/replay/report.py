"""The report of a replay, as JSON: `whichvariant-replay/1`, described in docs/replay.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import orjson
import xxhash

from whichvariant.contracts import Configuration, Experience
from whichvariant.replay.partial import Cell, Partial
from whichvariant.replay.places import Places
from whichvariant.replay.plan import CAUSES, NOT_SET, Counts, Pair, Plan, Spot
from whichvariant.replay.statistics import exact_shares, sample_ratio

FORMAT = "whichvariant-replay/1"

_MOST_FILES = 1000
_MOST_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What differs between two runs that come to the same."""

    started: datetime
    seconds: float
    records: int
    workers: int
    resumed_units: int
    units: int


class Report:
    """What a replay found. `to_dict` is the whole of it; `digest` names it."""

    def __init__(
        self,
        plan: Plan,
        total: Partial,
        places: Places | None,
        run: RunFacts,
        *,
        names: tuple[str | None, str | None],
        now: int,
        explanations: Mapping[Cell, Mapping[str, Any]] | None = None,
        limits: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.plan = plan
        self.total = total
        self.limits: list[Mapping[str, Any]] = list(limits)
        self._places = places
        self._run = run
        self._names = names
        self._now = now if plan.windows else None
        self._explanations = explanations or {}
        self._views = plan.views(total.counts)
        self._compared = plan.against != "nothing"

    @property
    def counted(self) -> int:
        """Visitors counted."""
        return int(self._views["totals"][0][0])

    @property
    def moved(self) -> int | None:
        """Visitors with another index in any experience; None without an old side."""
        return int(self._views["totals"][0][1]) if self._compared else None

    @property
    def changed(self) -> int | None:
        """Visitors who would be shown anything else; None without an old side."""
        return int(self._views["totals"][0][2]) if self._compared else None

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over programs, time (where rules have windows), who was counted,
        what they get, and all counts. Equal for equal results, however they were come by."""
        total = self.total
        old = self.plan.old
        head = [
            FORMAT,
            self.plan.against,
            old and old.digest,
            self.plan.new.digest,
            self._now,
            *(f"{part:032x}" for part in (total.input_digest, total.old_digest, total.new_digest)),
            sorted([key, sorted(found.items())] for key, found in total.others.items()),
        ]
        state = xxhash.xxh3_128(orjson.dumps(head))
        state.update(total.counts.astype("<i8").tobytes())
        return state.hexdigest()

    def __repr__(self) -> str:
        return f"<Report {self.digest[:12]}: {self.counted} visitors, {self.moved} moved>"

    def to_json(self) -> bytes:
        """The report as indented JSON, with a line feed at its end."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps(self.to_dict(), option=options)

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object."""
        plan, total = self.plan, self.total
        facts = total.units.values()
        digests = {
            "input": f"{total.input_digest:032x}",
            "old": None if plan.old is None else f"{total.old_digest:032x}",
            "new": f"{total.new_digest:032x}",
        }
        return {
            "format": FORMAT,
            "digest": self.digest,
            "against": plan.against,
            "configurations": self._configurations(),
            "now": self._now,
            "digests": digests,
            "source": self._source(),
            "run": self._run_dict(),
            "visitors": {
                "records": sum(unit.records for unit in facts),
                "rejected": sum(unit.rejected for unit in facts),
                "duplicates": total.duplicates,
                "counted": self.counted,
                "moved": self.moved,
                "changed": self.changed,
            },
            "rejected": self._rejected(),
            "experiences": [
                *(self._experience(number, pair) for number, pair in enumerate(plan.pairs)),
                *(self._other(identifier) for identifier in sorted(total.others)),
            ],
            "entries": [
                self._entry(spot, table)
                for spot, table in zip(plan.entries, self._views["entries"], strict=True)
            ],
            "variables": [
                self._variable(spot, table)
                for spot, table in zip(plan.variables, self._views["variables"], strict=True)
            ],
            "audiences": self._audiences(),
            "overlap": {
                "old": plan.old_configuration
                and _overlap(
                    plan.old_configuration, plan.experiments_old, self._views["overlap_old"][0]
                ),
                "new": _overlap(
                    plan.new_configuration, plan.experiments_new, self._views["overlap_new"][0]
                ),
            },
            "limits": [dict(limit) for limit in self.limits],
        }

    # ---- the run ------------------------------------------------------------------------------

    def _configurations(self) -> dict[str, Any]:
        plan = self.plan
        old: dict[str, Any] | None = None
        if plan.old_configuration is not None:
            old = _configuration(self._names[0], plan.old_configuration)
        elif plan.against == "stored":
            old = dict.fromkeys(("name", "digest", "scheme", "experiences", "audiences"))
        return {"old": old, "new": _configuration(self._names[1], plan.new_configuration)}

    def _source(self) -> dict[str, Any]:
        files = self._places.files if self._places else []
        sizes = [file.bytes for file in files]
        return {
            "files": [
                {
                    "name": file.name,
                    "format": file.format,
                    "compression": file.compression,
                    "bytes": file.bytes,
                    "records": file.records,
                    "rejected": file.rejected,
                }
                for file in files[:_MOST_FILES]
            ],
            "filesLeftOut": max(len(files) - _MOST_FILES, 0),
            "bytes": None if None in sizes else sum(size for size in sizes if size is not None),
        }

    def _run_dict(self) -> dict[str, Any]:
        from whichvariant import __version__

        run = self._run
        return {
            "startedAt": run.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "seconds": round(run.seconds, 3),
            "profilesPerSecond": round(run.records / run.seconds) if run.seconds else None,
            "workers": run.workers,
            "resumedUnits": run.resumed_units,
            "units": run.units,
            "tool": f"whichvariant {__version__}",
        }

    def _rejected(self) -> dict[str, Any]:
        count = sum(unit.rejected for unit in self.total.units.values())
        shown = []
        for refusal in self.total.refusals:
            fields: dict[str, Any] = {"file": None, "record": refusal.record, "line": None}
            offset = refusal.offset
            if self._places is not None:
                place = self._places.of(refusal.unit, refusal.record, refusal.line)
                fields = {"file": place.file, "record": place.record, "line": place.line}
                offset = self._places.offset(refusal.unit, refusal.offset)
            shown.append({**fields, "offset": offset, "reason": refusal.reason})
        return {"count": count, "shown": shown, "leftOut": count - len(shown)}

    # ---- experiences --------------------------------------------------------------------------

    def _experience(self, number: int, pair: Pair) -> dict[str, Any]:
        plan = self.plan
        cells = self._views["cells"][number]
        causes = self._views["causes"][number]
        n_old = pair.n_old
        if plan.against == "stored":
            # There is room for more indices than were met.
            met = np.flatnonzero(cells[:-1].any(axis=1))
            n_old = max(pair.n_new, int(met[-1]) + 1 if len(met) else 0)
            cells = np.concatenate([cells[:n_old], cells[-1:]])
            causes = np.concatenate([causes[:, :n_old], causes[:, -1:]], axis=1)
        before = _find(plan.old_configuration, pair.old)
        after = _find(plan.new_configuration, pair.new)
        if plan.against == "stored":
            before = None
        known = after or before
        assert known is not None
        moved = causes.sum(axis=(0, 1, 2)) if self._compared else None
        entered = int(causes[:, -1, :].sum())
        left = int(causes[:, :, -1].sum())
        old = None
        if plan.against == "stored":
            old = _stored_side(cells)
        elif before is not None:
            old = self._side("old", before, pair.audience_old, cells.sum(axis=1))
        new = None
        if after is not None:
            new = self._side("new", after, pair.audience_new, cells.sum(axis=0))
        status = "both" if pair.old is not None and pair.new is not None else "new"
        if pair.new is None:
            status = "removed"
        return {
            "id": pair.id,
            "name": known.name,
            "type": known.type,
            "status": status,
            "edited": plan.is_edited("experience", pair.id),
            "old": old,
            "new": new,
            "moved": None if moved is None else int(moved),
            "entered": entered if self._compared else None,
            "left": left if self._compared else None,
            "switched": int(moved) - entered - left if moved is not None else None,
            "causes": _by_cause(causes, everything=True) if self._compared else None,
            "transitions": {
                "old": [*range(n_old), None],
                "new": [*range(pair.n_new), None],
                "counts": cells.tolist(),
            }
            if self._compared
            else None,
            "cells": self._cells(number, cells, causes),
            "sampleRatio": {
                "old": self._ratio("old", number, before, cells.sum(axis=1)),
                "new": self._ratio("new", number, after, cells.sum(axis=0)),
            },
        }

    def _side(
        self, side: str, experience: Experience, audience: int, by_index: Counts
    ) -> dict[str, Any]:
        configuration = self.plan.new_configuration
        if side == "old" and self.plan.old_configuration is not None:
            configuration = self.plan.old_configuration
        matched = self.counted
        named = None
        if audience >= 0:
            found = configuration.audiences[audience]
            named = {"id": found.id, "name": found.name}
            number = next(
                n
                for n, pair in enumerate(self.plan.audiences)
                if (pair.old if side == "old" else pair.new) == audience
            )
            matched = int(self._views["audiences"][0][number, 0 if side == "old" else 1])
        return {
            "audience": named,
            "traffic": experience.traffic,
            "sticky": experience.sticky,
            "shares": exact_shares(configuration.scheme, experience),
            "matched": matched,
            "present": int(by_index[:-1].sum()),
            "counts": by_index[:-1].tolist(),
        }

    def _cells(self, number: int, cells: Counts, causes: Counts) -> list[dict[str, Any]]:
        result = []
        for a, b in np.argwhere(cells).tolist():
            was = None if a == cells.shape[0] - 1 else a
            is_ = None if b == cells.shape[1] - 1 else b
            if was is None and is_ is None:
                continue
            # Absence is the last row of what was counted, whatever rows are shown.
            row = self._views["cells"][number].shape[0] - 1 if was is None else a
            result.append(
                {
                    "from": was,
                    "to": is_,
                    "count": int(cells[a, b]),
                    "causes": _by_cause(causes[:, a, b]),
                    "samples": self._samples((number, row, b)),
                }
            )
        return result

    def _samples(self, cell: Cell) -> list[dict[str, Any]]:
        result = []
        for position, sample in enumerate(self.total.samples.get(cell, [])):
            file: str | None = None
            record: int | None = None
            line: int | None = None
            if self._places is not None:
                place = self._places.of(sample.unit, sample.record)
                file, record, line = place.file, place.record, place.line
            result.append(
                {
                    "stableId": sample.stable_id,
                    "file": file,
                    "record": record,
                    "line": line,
                    "explanation": self._explanations.get(cell) if position == 0 else None,
                }
            )
        return result

    def _ratio(
        self, side: str, number: int, experience: Experience | None, by_index: Counts
    ) -> dict[str, Any] | None:
        if experience is None:
            return None
        configuration = self.plan.new_configuration
        if side == "old" and self.plan.old_configuration is not None:
            configuration = self.plan.old_configuration
        held = self._views[f"held_{side}"][number][:-1]
        drawn = by_index[:-1] - held
        shares = exact_shares(configuration.scheme, experience)
        return sample_ratio(drawn.tolist(), shares, int(held.sum()))

    def _other(self, identifier: str) -> dict[str, Any]:
        """An experience that only stored selections have."""
        by_index = self.total.others[identifier]
        n = max(by_index) + 1
        counts = np.zeros(n + 1, np.int64)
        for index, count in by_index.items():
            counts[index] = count
        moved = int(counts.sum())
        counts[n] = self.counted - moved
        return {
            "id": identifier,
            "name": "",
            "type": None,
            "status": "removed",
            "edited": False,
            "old": _stored_side(counts[:, None]),
            "new": None,
            "moved": moved,
            "entered": 0,
            "left": moved,
            "switched": 0,
            "causes": {cause: moved if cause == "removed" else 0 for cause in CAUSES},
            "transitions": {
                "old": [*range(n), None],
                "new": [None],
                "counts": counts[:, None].tolist(),
            },
            "cells": [
                {
                    "from": index,
                    "to": None,
                    "count": count,
                    "causes": {"removed": count},
                    "samples": [],
                }
                for index, count in sorted(by_index.items())
            ],
            "sampleRatio": {"old": None, "new": None},
        }

    # ---- what is seen ---------------------------------------------------------------------------

    def _entry(self, spot: Spot, table: Counts) -> dict[str, Any]:
        def kind(entry: str) -> str:
            if entry == spot.name:
                return "baseline"
            return "variant" if entry else "empty"

        return {
            "baseline": spot.name,
            **self._who(spot, table),
            "shown": [
                {"entry": entry, "kind": kind(entry), **self._before_after(table, code)}
                for code, entry in enumerate(spot.shown)
            ],
            "flows": [
                {"from": spot.shown[a], "to": spot.shown[b], "count": count}
                for a, b, count in self._flows(table)
            ],
        }

    def _variable(self, spot: Spot, table: Counts) -> dict[str, Any]:
        return {
            "key": spot.name,
            **self._who(spot, table),
            "values": [
                {
                    "set": value is not NOT_SET,
                    "value": None if value is NOT_SET else value,
                    **self._before_after(table, code),
                }
                for code, value in enumerate(spot.shown)
            ],
            "flows": [{"from": a, "to": b, "count": count} for a, b, count in self._flows(table)],
        }

    def _who(self, spot: Spot, table: Counts) -> dict[str, Any]:
        old = self.plan.old_configuration
        return {
            "old": [] if old is None else [old.experiences[e].id for e, _ in spot.old],
            "new": [self.plan.new_configuration.experiences[e].id for e, _ in spot.new],
            "changed": sum(count for _, _, count in self._flows(table)) if self._compared else None,
        }

    def _before_after(self, table: Counts, code: int) -> dict[str, int | None]:
        before = int(table[code, :].sum()) if self._compared else None
        return {"old": before, "new": int(table[:, code].sum())}

    def _flows(self, table: Counts) -> list[tuple[int, int, int]]:
        if not self._compared:
            return []
        return [(a, b, int(table[a, b])) for a, b in np.argwhere(table).tolist() if a != b]

    def _audiences(self) -> list[dict[str, Any]]:
        plan = self.plan
        compared = plan.against == "configuration"
        result = []
        table = self._views["audiences"][0].tolist()
        for pair, (was, is_, entered, left) in zip(plan.audiences, table, strict=True):
            new = None if pair.new is None else plan.new_configuration.audiences[pair.new]
            known = new
            if known is None:
                assert plan.old_configuration is not None
                assert pair.old is not None
                known = plan.old_configuration.audiences[pair.old]
            both = pair.old is not None and pair.new is not None
            result.append(
                {
                    "id": pair.id,
                    "name": known.name,
                    "status": "both" if both else "new" if new is not None else "removed",
                    "edited": plan.is_edited("audience", pair.id),
                    "old": was if compared and pair.old is not None else None,
                    "new": is_ if pair.new is not None else None,
                    "entered": entered if compared else None,
                    "left": left if compared else None,
                }
            )
        return result


def _configuration(name: str | None, configuration: Configuration) -> dict[str, Any]:
    return {
        "name": name,
        "digest": configuration.digest,
        "scheme": configuration.scheme,
        "experiences": len(configuration.experiences),
        "audiences": len(configuration.audiences),
    }


def _find(configuration: Configuration | None, number: int | None) -> Experience | None:
    if configuration is None or number is None:
        return None
    return configuration.experiences[number]


def _stored_side(cells: Counts) -> dict[str, Any]:
    by_index = cells.sum(axis=1)[:-1]
    unknown = dict.fromkeys(("audience", "traffic", "sticky", "shares", "matched"))
    return {**unknown, "present": int(by_index.sum()), "counts": by_index.tolist()}


def _by_cause(causes: Counts, *, everything: bool = False) -> dict[str, int]:
    totals = causes.reshape(len(CAUSES), -1).sum(axis=1).tolist()
    return {
        cause: count for cause, count in zip(CAUSES, totals, strict=True) if count or everything
    }


def _overlap(
    configuration: Configuration, experiments: Sequence[int], table: Counts
) -> dict[str, Any]:
    ids = [configuration.experiences[number].id for number in experiments]
    pairs: list[dict[str, Any]] = [
        {"one": ids[a], "other": ids[b], "both": int(table[a, b])}
        for a, b in np.argwhere(table).tolist()
        if a < b
    ]
    pairs.sort(key=lambda pair: -pair["both"])
    return {
        "experiments": [
            {"id": identifier, "present": int(table[number, number])}
            for number, identifier in enumerate(ids)
        ],
        "pairs": pairs[:_MOST_PAIRS],
        "pairsLeftOut": max(len(pairs) - _MOST_PAIRS, 0),
    }

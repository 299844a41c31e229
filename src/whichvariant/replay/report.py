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

from whichvariant.contracts import Configuration
from whichvariant.replay.partial import Cell, Partial
from whichvariant.replay.places import Places
from whichvariant.replay.plan import NOT_SET, Counts, Plan, Spot
from whichvariant.replay.report_experiences import ExperienceReports

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
        experiences = ExperienceReports(
            plan, total, self._views, places=self._places, explanations=self._explanations
        )
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
                *(experiences.of(number) for number in range(len(plan.pairs))),
                *(experiences.of_other(identifier) for identifier in sorted(total.others)),
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

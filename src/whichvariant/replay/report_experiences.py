"""What the report says about each experience: transitions, causes, samples, sample ratios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from whichvariant.contracts import Configuration, Experience
from whichvariant.replay.partial import Cell, Partial
from whichvariant.replay.places import Places
from whichvariant.replay.plan import CAUSES, Counts, Pair, Plan
from whichvariant.replay.statistics import exact_shares, sample_ratio


class ExperienceReports:
    """The ``experiences`` of a report, one by one."""

    def __init__(
        self,
        plan: Plan,
        total: Partial,
        views: Mapping[str, list[Counts]],
        *,
        places: Places | None,
        explanations: Mapping[Cell, Mapping[str, Any]],
    ) -> None:
        self.plan = plan
        self.total = total
        self.counted = int(views["totals"][0][0])
        self._views = views
        self._places = places
        self._explanations = explanations
        self._compared = plan.against != "nothing"

    def of(self, number: int) -> dict[str, Any]:
        """The experience of one pair of the plan."""
        plan = self.plan
        pair: Pair = plan.pairs[number]
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

    def of_other(self, identifier: str) -> dict[str, Any]:
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

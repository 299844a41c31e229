"""A replay's report, worked out one visitor at a time from `Engine.select` and `Engine.explain`.

Slow and plain on purpose: no columns, no vectors, no merging, nothing of `whichvariant.replay`. It
exists to disagree.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from whichvariant import Engine

ABSENT = None
CAUSES = ("audience", "traffic", "sticky", "distribution", "new", "removed")

Record = Mapping[str, Any]
"""A request: ``profile``, and perhaps ``device``, ``events`` and, as stored, ``experiences``."""


class Side:
    """What one configuration gives one visitor, and why."""

    def __init__(self, engine: Engine, record: Record, now: int | None) -> None:
        arguments = {
            "device": record.get("device"),
            "events": record.get("events"),
            "now": now,
        }
        selection = engine.select(record["profile"], **arguments)
        explained = engine.explain(record["profile"], **arguments).to_dict()
        self.audiences = set(selection.audiences)
        self.index = {r["experienceId"]: r["variantIndex"] for r in selection.experiences}
        self.matched: dict[str, bool] = {}
        self.held: dict[str, bool] = {}
        for part in explained["experiences"]:
            self.matched[part["id"]] = part["audience"]["matched"]
            self.held[part["id"]] = (
                part.get("sticky", {}).get("used", False) and part["id"] in self.index
            )
        self.entries: dict[str, str] = {}
        for chosen in selection.experiences:
            for baseline, entry in chosen["variants"].items():
                self.entries.setdefault(baseline, entry)
        self.values: dict[str, str] = {}
        for change in selection.changes:
            self.values.setdefault(change["key"], json.dumps(change["value"], sort_keys=True))


def cause_of(identifier: str, old: Side, new: Side) -> str | None:
    """Why a visitor moved in one experience: the first step at which the sides differ."""
    before, after = old.index.get(identifier), new.index.get(identifier)
    if before == after:
        return None
    if identifier not in old.matched:
        return "new"
    if identifier not in new.matched:
        return "removed"
    if old.matched[identifier] != new.matched[identifier]:
        return "audience"
    if before is None or after is None:
        return "traffic"
    return "sticky" if old.held[identifier] != new.held[identifier] else "distribution"


def first_of_each(records: Iterable[Record]) -> list[Record]:
    """One record for each stable id: the first."""
    seen: dict[str, Record] = {}
    for record in records:
        seen.setdefault(record["profile"]["stableId"], record)
    return list(seen.values())


def brute_force(
    old: Engine | None, new: Engine, records: Sequence[Record], *, now: int | None
) -> dict[str, Any]:
    """The counts of the report: everything but samples, digests, names and the run itself."""
    kept = first_of_each(records)
    sides = [(Side(old, r, now) if old else None, Side(new, r, now)) for r in kept]
    moved = changed = 0
    cells: Counter[tuple[str, int | None, int | None]] = Counter()
    causes: Counter[tuple[str, int | None, int | None, str]] = Counter()
    audiences: dict[str, Counter[str]] = {}
    entries: Counter[tuple[str, str, str]] = Counter()
    values: Counter[tuple[str, str | None, str | None]] = Counter()
    drawn: dict[str, dict[str, Counter[int]]] = {"old": {}, "new": {}}
    held: dict[str, Counter[str]] = {"old": Counter(), "new": Counter()}
    matched: dict[str, Counter[str]] = {"old": Counter(), "new": Counter()}
    both: dict[str, Counter[tuple[str, str]]] = {"old": Counter(), "new": Counter()}
    for before, after in sides:
        identifiers = {*(before.matched if before else ()), *after.matched}
        for name, side in (("old", before), ("new", after)):
            if side is None:
                continue
            for identifier, index in side.index.items():
                if side.held[identifier]:
                    held[name][identifier] += 1
                else:
                    drawn[name].setdefault(identifier, Counter())[index] += 1
            for identifier, is_matched in side.matched.items():
                matched[name][identifier] += is_matched
            present = sorted(side.index)
            for at, one in enumerate(present):
                for other in present[at + 1 :]:
                    both[name][one, other] += 1
        for identifier in identifiers:
            cell = (
                identifier,
                before and before.index.get(identifier),
                after.index.get(identifier),
            )
            cells[cell] += 1
            if before and (cause := cause_of(identifier, before, after)):
                causes[(*cell, cause)] += 1
        moved += before is not None and before.index != after.index
        ids = {
            *(a.id for a in new.configuration.audiences),
            *(a.id for a in (old.configuration.audiences if old else ())),
        }
        for identifier in ids:
            counts = audiences.setdefault(identifier, Counter())
            was, is_ = (
                bool(before and identifier in before.audiences),
                identifier in after.audiences,
            )
            counts["old"] += was
            counts["new"] += is_
            counts["entered"] += is_ and not was
            counts["left"] += was and not is_
        differs = False
        for baseline in _baselines(old, new):
            pair = tuple(
                side.entries.get(baseline, baseline) if side else baseline
                for side in (before, after)
            )
            entries[(baseline, *pair)] += 1
            differs |= pair[0] != pair[1]
        for key in _keys(old, new):
            pair = tuple(side.values.get(key) if side else None for side in (before, after))
            values[(key, *pair)] += 1
            differs |= pair[0] != pair[1]
        changed += differs
    return {
        "records": len(records),
        "duplicates": len(records) - len(kept),
        "counted": len(kept),
        "moved": moved if old else None,
        "changed": changed if old else None,
        "cells": cells,
        "causes": causes,
        "audiences": audiences,
        "entries": entries,
        "values": values,
        "drawn": drawn,
        "held": held,
        "matched": matched,
        "both": both,
    }


def _baselines(*engines: Engine | None) -> set[str]:
    return {
        component.baseline
        for engine in engines
        if engine
        for experience in engine.configuration.experiences
        for component in experience.components
        if not hasattr(component, "key")
    }


def _keys(*engines: Engine | None) -> set[str]:
    return {
        component.key
        for engine in engines
        if engine
        for experience in engine.configuration.experiences
        for component in experience.components
        if hasattr(component, "key")
    }

"""A report beside what `brute_force` counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from replay.brute_force import Record, brute_force
from whichvariant import Engine


def assert_equals_brute_force(
    report: dict[str, Any],
    old: Engine | None,
    new: Engine,
    records: Sequence[Record],
    *,
    now: int | None,
) -> None:
    """Every count of ``report`` is what one visitor after the other gives."""
    wanted = brute_force(old, new, records, now=now)
    visitors = report["visitors"]
    for key in ("duplicates", "counted", "moved", "changed"):
        assert visitors[key] == wanted[key], key
    _experiences(report, wanted, compared=old is not None)
    _audiences(report, wanted, compared=old is not None)
    _shown(report, wanted, compared=old is not None)
    for side in ("old", "new"):
        overlap = report["overlap"][side]
        if overlap is None:
            continue
        ids = {experiment["id"] for experiment in overlap["experiments"]}
        both = {
            frozenset(pair): count
            for pair, count in wanted["both"][side].items()
            if ids.issuperset(pair)
        }
        found = {frozenset((p["one"], p["other"])): p["both"] for p in overlap["pairs"]}
        assert found == both


def _experiences(report: dict[str, Any], wanted: dict[str, Any], *, compared: bool) -> None:
    cells: Counter[Any] = Counter()
    causes: Counter[Any] = Counter()
    for experience in report["experiences"]:
        identifier = experience["id"]
        for cell in experience["cells"]:
            place = (identifier, cell["from"], cell["to"])
            cells[place] = cell["count"]
            assert 1 <= len(cell["samples"]) <= min(cell["count"], 5)
            for cause, count in cell["causes"].items():
                causes[(*place, cause)] = count
        if compared:
            by_cause = experience["causes"]
            assert experience["moved"] == sum(by_cause.values())
            movers = sum(
                cell["count"] for cell in experience["cells"] if cell["from"] != cell["to"]
            )
            assert experience["moved"] == movers
            parts = ("entered", "left", "switched")
            assert experience["moved"] == sum(experience[part] for part in parts)
            counts = experience["transitions"]["counts"]
            assert sum(map(sum, counts)) == wanted["counted"]
        for side in ("old", "new"):
            shown, ratio = experience[side], experience["sampleRatio"][side]
            if shown is None:
                assert ratio is None
                continue
            drawn = wanted["drawn"][side].get(identifier, Counter())
            held = wanted["held"][side][identifier]
            assert shown["present"] == sum(shown["counts"]) == drawn.total() + held
            assert shown["matched"] == wanted["matched"][side][identifier]
            assert ratio["sticky"] == held
            assert ratio["observed"] == [drawn[i] for i in range(len(shown["counts"]))]
            assert sum(shown["shares"]) == 1
    nobody = [cell for cell in wanted["cells"] if cell[1] is None and cell[2] is None]
    for cell in nobody:
        del wanted["cells"][cell]
    assert cells == wanted["cells"]
    assert causes == wanted["causes"]


def _audiences(report: dict[str, Any], wanted: dict[str, Any], *, compared: bool) -> None:
    for audience in report["audiences"]:
        counts = wanted["audiences"].get(audience["id"], Counter())
        if audience["new"] is not None:
            assert audience["new"] == counts["new"]
        if compared:
            assert (audience["old"] or 0) == counts["old"]
            assert audience["entered"] == counts["entered"]
            assert audience["left"] == counts["left"]


def _shown(report: dict[str, Any], wanted: dict[str, Any], *, compared: bool) -> None:
    entries: Counter[Any] = Counter()
    for (baseline, was, is_), count in wanted["entries"].items():
        entries["new", baseline, is_] += count
        if compared:
            entries["old", baseline, was] += count
            entries["flow", baseline, was, is_] += count if was != is_ else 0
    found: Counter[Any] = Counter()
    for entry in report["entries"]:
        name = entry["baseline"]
        for shown in entry["shown"]:
            found["new", name, shown["entry"]] += shown["new"]
            found["old", name, shown["entry"]] += shown["old"] or 0
        for flow in entry["flows"]:
            found["flow", name, flow["from"], flow["to"]] += flow["count"]
        if compared:
            assert entry["changed"] == sum(flow["count"] for flow in entry["flows"])
    assert +found == +entries

    values: Counter[Any] = Counter()
    for (key, was, is_), count in wanted["values"].items():
        values["new", key, is_] += count
        if compared:
            values["old", key, was] += count
            values["flow", key, was, is_] += count if was != is_ else 0
    found = Counter()
    for variable in report["variables"]:
        key = variable["key"]
        texts = [
            _canonical(value["value"]) if value["set"] else None for value in variable["values"]
        ]
        for text, value in zip(texts, variable["values"], strict=True):
            found["new", key, text] += value["new"]
            found["old", key, text] += value["old"] or 0
        for flow in variable["flows"]:
            found["flow", key, texts[flow["from"]], texts[flow["to"]]] += flow["count"]
    assert +found == +values


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

"""Which experiments share visitors."""

from __future__ import annotations

import math
from typing import Any

from whichvariant.replay.page.markup import (
    Column,
    fold,
    name,
    plural,
    share_of,
    table,
)

_MOST_SIDES = 18
_MOST_PAIRS = 60
_STEPS = 7


def overlap(report: dict[str, Any]) -> str:
    """The section: a matrix of the largest experiments, and the pairs as a table."""
    new, old = report["overlap"]["new"], report["overlap"]["old"]
    experiments = sorted(new["experiments"], key=lambda e: -e["present"])
    if len(experiments) < 2:
        return "<p>There are not two experiments that could share visitors.</p>"
    names = {e["id"]: e["name"] or e["id"] for e in report["experiences"]}
    both = {frozenset((p["one"], p["other"])): p["both"] for p in new["pairs"]}
    before = {frozenset((p["one"], p["other"])): p["both"] for p in (old or {}).get("pairs", ())}
    known = not new["pairsLeftOut"]
    left_out = len(experiments) - _MOST_SIDES
    shown = experiments[:_MOST_SIDES]
    note = ""
    if left_out > 0:
        note = f" The {_MOST_SIDES} largest of {len(experiments):,} experiments."
    return (
        '<p class="lead">How many per cent of the smaller experiment&rsquo;s visitors are in the'
        f" other one too, after the change.{note}</p>"
        f"{_matrix(shown, names, both, known)}{_pairs(report, names, before)}"
    )


def _matrix(
    experiments: list[dict[str, Any]],
    names: dict[str, str],
    both: dict[frozenset[str], int],
    known: bool,
) -> str:
    rows = []
    for y, one in enumerate(experiments):
        cells = []
        for x, other in enumerate(experiments):
            if x > y:
                cells.append("<td></td>")
                continue
            if x == y:
                cells.append(f'<td class="self">{y + 1}</td>')
                continue
            count = both.get(frozenset((one["id"], other["id"])), 0 if known else None)
            smaller = min(one["present"], other["present"])
            if count is None:
                cells.append('<td class="h0">?</td>')
                continue
            share = count / smaller if smaller else 0.0
            step = min(math.ceil(share * _STEPS), _STEPS)
            cells.append(f'<td class="h{step}" data-v="{count}">{_short(share)}</td>')
        rows.append(
            f'<tr><th scope="row"><span class="num">{y + 1}</span>'
            f" {name(names.get(one['id'], one['id']), 60)}<small>{one['present']:,}</small></th>"
            f"{''.join(cells)}</tr>"
        )
    columns = [
        Column('<span class="unseen">Experiment</span>'),
        *(Column(str(number + 1), "n") for number in range(len(experiments))),
    ]
    return table("Overlap of experiments", columns, rows, classes="matrix")


def _short(share: float) -> str:
    if not share:
        return "·"
    return "&lt;1" if share < 0.01 else f"{math.floor(share * 100)}"


def _pairs(report: dict[str, Any], names: dict[str, str], before: dict[frozenset[str], int]) -> str:
    new, old = report["overlap"]["new"], report["overlap"]["old"]
    counted = report["visitors"]["counted"]
    if not new["pairs"]:
        return ""
    rows = []
    for number, pair in enumerate(new["pairs"][:_MOST_PAIRS]):
        was = ""
        if old is not None:
            known = before.get(frozenset((pair["one"], pair["other"])))
            if known is None and not old["pairsLeftOut"]:
                known = 0
            was = f'<td class="n">{"–" if known is None else f"{known:,}"}</td>'
        rows.append(
            f'<tr data-at="overlap.new.pairs.{number}">'
            f"<td>{name(names.get(pair['one'], pair['one']), 80)}</td>"
            f"<td>{name(names.get(pair['other'], pair['other']), 80)}</td>{was}"
            f'<td class="n" data-f="both" data-v="{pair["both"]}">{pair["both"]:,}</td>'
            f'<td class="n wide">{share_of(pair["both"], counted)}</td></tr>'
        )
    columns = [
        Column("One"),
        Column("Other"),
        Column("Before", "n") if old is not None else None,
        Column("After" if old is not None else "In both", "n"),
        Column("of all visitors", "n wide"),
    ]
    total = len(new["pairs"]) + new["pairsLeftOut"]
    left_out = total - len(rows)
    note = f'<p class="note">{left_out:,} more in the JSON report.</p>' if left_out > 0 else ""
    shown = table("Visitors in both", columns, rows, attributes="data-sortable data-copy") + note
    return fold(f"The numbers: {plural(total, 'pair')}", shown)

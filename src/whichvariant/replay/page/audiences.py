"""How large audiences are, before and after."""

from __future__ import annotations

from typing import Any

from whichvariant.replay.page.markup import (
    Column,
    cell,
    dumbbell,
    fold,
    plural,
    table,
    text,
    title_of,
)

_MOST_ROWS = 300

Audience = dict[str, Any]


def audiences(report: dict[str, Any]) -> str:
    """The section: audiences that change, then those that do not."""
    compared = report["against"] == "configuration"
    numbered = sorted(
        enumerate(report["audiences"]),
        key=lambda item: (-_flow(item[1]), item[1]["status"] == "both", -_size(item[1])),
    )
    if not numbered:
        return "<p>No audience in either configuration.</p>"
    left_out = len(numbered) - _MOST_ROWS
    numbered = numbered[:_MOST_ROWS]
    most = max(report["visitors"]["counted"], 1)
    if not compared:
        shown = _table(numbered, most, compared)
    else:
        changing = [i for i in numbered if _flow(i[1]) or i[1]["status"] != "both"]
        still = [item for item in numbered if item not in changing]
        shown = (
            _table(changing, most, compared)
            if changing
            else "<p>Every audience has the visitors it had.</p>"
        )
        if still:
            some = plural(len(still), "audience")
            verb = "keeps its" if len(still) == 1 else "keep their"
            shown += fold(f"{some} {verb} visitors", _table(still, most, compared))
    if left_out > 0:
        shown += f'<p class="note">{left_out:,} more are in the JSON report.</p>'
    return shown


def _flow(audience: Audience) -> int:
    return (audience["entered"] or 0) + (audience["left"] or 0)


def _size(audience: Audience) -> int:
    return max(audience["old"] or 0, audience["new"] or 0)


def _table(numbered: list[tuple[int, Audience]], most: int, compared: bool) -> str:
    rows = []
    for number, audience in numbered:
        badge = ""
        if compared and audience["status"] != "both":
            badge = f' <span class="badge {audience["status"]}">{audience["status"]}</span>'
        elif compared and audience["edited"]:
            badge = ' <span class="badge edited">edited</span>'
        sub = text(audience["id"], 80) if audience["name"] else ""
        parts = [
            f'<tr data-at="audiences.{number}">',
            f'<th scope="row">{title_of(audience)}{badge}<small><bdi>{sub}</bdi></small></th>',
            f'<td class="plot" data-v="{audience["new"] or 0}">',
            f"{dumbbell(audience['old'], audience['new'], most)}</td>",
        ]
        keys = ("old", "new", "entered", "left") if compared else ("new",)
        parts += [
            cell(key, audience[key], "n wide" if key in ("entered", "left") else "n")
            for key in keys
        ]
        rows.append("".join(parts) + "</tr>")
    columns = [
        Column("Audience"),
        Column(
            f'<span class="axis"><span>0</span><span>{most:,}</span></span>',
            "plot",
        ),
        Column('<span class="dotkey b"></span>Before', "n") if compared else None,
        Column('<span class="dotkey"></span>After' if compared else "Visitors", "n"),
        Column("Entered", "n wide") if compared else None,
        Column("Left", "n wide") if compared else None,
    ]
    return table(
        "Audience sizes", columns, rows, attributes="data-sortable data-copy", classes="audiences"
    )

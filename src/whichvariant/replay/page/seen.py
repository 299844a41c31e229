"""What visitors are shown, for each baseline entry and each inline variable."""

from __future__ import annotations

import json
from typing import Any

from whichvariant.replay.page.markup import (
    Column,
    cell,
    figure,
    fold,
    identifier,
    name,
    pair_of_bars,
    plural,
    share_of,
    table,
    text,
    within,
)

_MOST_SPOTS = 150
_ROOM = 600_000
_MOST_VALUES = 12
_MOST_FLOWS = 24
_MOST_EXPERIENCES = 6
_OPEN_AT_FIRST = 4

Spot = dict[str, Any]


def seen(report: dict[str, Any]) -> str:
    """The section: what changes, then what stays."""
    spots = [("entries", number, spot) for number, spot in enumerate(report["entries"])]
    spots += [("variables", number, spot) for number, spot in enumerate(report["variables"])]
    if not spots:
        return "<p>No experience replaces an entry or sets a variable.</p>"
    spots.sort(key=lambda item: -(item[2]["changed"] or 0))
    names = {e["id"]: e["name"] or e["id"] for e in report["experiences"]}
    compared = report["against"] != "nothing"
    drawn = within(
        (
            _spot(
                report,
                item,
                names,
                is_open=not compared or (place < _OPEN_AT_FIRST and bool(item[2]["changed"])),
            )
            for place, item in enumerate(spots[:_MOST_SPOTS])
        ),
        _ROOM,
    )
    left_out = len(spots) - len(drawn)
    if not compared:
        result = "".join(drawn)
    else:
        changing = sum(bool(spot["changed"]) for _, _, spot in spots)
        result = "".join(drawn[:changing])
        if not changing:
            result = "<p>Every entry and variable shows every visitor what it did.</p>"
        still = drawn[changing:]
        if still:
            verb = "shows" if len(still) == 1 else "show"
            some = plural(len(still), "entry or variable", "entries and variables")
            result += fold(f"{some} {verb} the same as before", "".join(still))
    if left_out > 0:
        result += f'<p class="note">{left_out:,} more are in the JSON report.</p>'
    return result


def _spot(
    report: dict[str, Any], item: tuple[str, int, Spot], names: dict[str, str], *, is_open: bool
) -> str:
    kind, number, spot = item
    compared = report["against"] != "nothing"
    counted = report["visitors"]["counted"]
    key = "shown" if kind == "entries" else "values"
    title = spot["baseline"] if kind == "entries" else spot["key"]
    said = ""
    if compared:
        said = (
            f'<span class="said"><b>{figure("changed", spot["changed"])}</b> see something else,'
            f" {share_of(spot['changed'], counted)}</span>"
            if spot["changed"]
            else '<span class="said quiet">as before</span>'
        )
    ids = list(dict.fromkeys([*spot["old"], *spot["new"]]))
    by = ", ".join(name(names.get(one, one), 80) for one in ids[:_MOST_EXPERIENCES])
    more = f" and {len(ids) - _MOST_EXPERIENCES} more" if len(ids) > _MOST_EXPERIENCES else ""
    word = "in place of entry" if kind == "entries" else "variable"
    return (
        f'<details class="spot" data-at="{kind}.{number}"{" open" if is_open else ""}><summary>'
        f'<span class="title"><small>{word}</small> {identifier(title, 120)}</span>{said}</summary>'
        f"{_values(spot, key, counted, compared)}"
        f"{_flows(spot, key) if compared else ''}"
        f'<p class="note">Decided by {by}{more}.</p></details>'
    )


def _values(spot: Spot, key: str, counted: int, compared: bool) -> str:
    things = list(enumerate(spot[key]))
    things.sort(key=lambda item: -max(item[1]["old"] or 0, item[1]["new"]))
    none = [item for item in things if not item[1]["old"] and not item[1]["new"]]
    met = [item for item in things if item not in none]
    rows = []
    for number, thing in met[:_MOST_VALUES]:
        parts = [
            f'<tr><th scope="row">{label(thing)}</th>',
            f'<td class="plot">{pair_of_bars(thing["old"], thing["new"], counted)}</td>',
        ]
        if compared:
            parts.append(cell(f"{key}.{number}.old", thing["old"]))
        parts.append(cell(f"{key}.{number}.new", thing["new"]))
        parts.append(f'<td class="n wide">{share_of(thing["new"], counted)}</td>')
        rows.append("".join(parts) + "</tr>")
    columns = [
        Column("Shown"),
        Column('<span class="unseen">Visitors</span>', "plot"),
        Column('<span class="barkey b"></span>Before', "n") if compared else None,
        Column('<span class="barkey"></span>After' if compared else "Visitors", "n"),
        Column("of all", "n wide"),
    ]
    words = []
    if len(met) > _MOST_VALUES:
        words.append(f"{len(met) - _MOST_VALUES} more are in the JSON report.")
    if none:
        some = ", ".join(label(thing) for _, thing in none[:_MOST_EXPERIENCES])
        tail = f" and {len(none) - _MOST_EXPERIENCES} more" * (len(none) > _MOST_EXPERIENCES)
        words.append(f"Shown to nobody: {some}{tail}.")
    note = f'<p class="note">{" ".join(words)}</p>' if words else ""
    return table("What is shown", columns, rows, attributes="data-copy", classes="values") + note


def label(thing: dict[str, Any]) -> str:
    """What is shown, as markup."""
    if "entry" in thing:
        if not thing["entry"]:
            return "<i>nothing</i>"
        tail = ' <span class="quiet">baseline</span>' if thing["kind"] == "baseline" else ""
        return identifier(thing["entry"], 100) + tail
    if not thing["set"]:
        return "<i>the site&rsquo;s own default</i>"
    return identifier(json.dumps(thing["value"], ensure_ascii=False), 100)


def _flows(spot: Spot, key: str) -> str:
    flows = sorted(enumerate(spot["flows"]), key=lambda item: -item[1]["count"])
    if not flows:
        return ""
    things = spot[key]
    by_name = {thing["entry"]: thing for thing in things} if key == "shown" else things
    rows = [
        f"<tr><td>{label(by_name[one['from']])}</td><td>{label(by_name[one['to']])}</td>"
        f"{cell(f'flows.{number}.count', one['count'])}</tr>"
        for number, one in flows[:_MOST_FLOWS]
    ]
    columns = [Column("Before"), Column("After"), Column("Visitors", "n")]
    left_out = len(flows) - _MOST_FLOWS
    note = f'<p class="note">{left_out} more in the JSON report.</p>' if left_out > 0 else ""
    shown = table("Who sees what instead", columns, rows, attributes="data-copy") + note
    return fold(f"Who sees what instead: {text(plural(len(flows), 'way'))}", shown)

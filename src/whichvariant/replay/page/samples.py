"""Some visitors of each transition, and why the first of them gets what they get."""

from __future__ import annotations

import json
from typing import Any

from whichvariant.replay.page.markup import (
    drawing,
    fold,
    identifier,
    name,
    plural,
    position,
    text,
    variant,
)

_MOST_RULE_LINES = 60
_MOST_SEGMENTS = 24
_MOST_CELLS = 24
_MARKS = {
    True: '<span class="yes">✓<span class="unseen"> met</span></span>',
    False: '<span class="no">✗<span class="unseen"> not met</span></span>',
}


def samples(cells: list[dict[str, Any]], *, explained: bool, compared: bool) -> str:
    """Visitors of each transition; those who moved come first."""
    sampled = [cell for cell in cells if cell["samples"]]
    sampled.sort(key=lambda c: (c["from"] == c["to"], -c["count"]))
    parts = [_cell(cell, explained=explained, compared=compared) for cell in sampled[:_MOST_CELLS]]
    left_out = len(sampled) - _MOST_CELLS
    if left_out > 0:
        parts.append(f'<p class="note">{left_out:,} more ways in the JSON report.</p>')
    return "".join(parts)


def _cell(cell: dict[str, Any], *, explained: bool, compared: bool) -> str:
    first = cell["samples"][0]["explanation"] if explained else None
    head = f"{variant(cell['from'])} → {variant(cell['to'])}"
    if not compared:
        head = variant(cell["to"])
    elif cell["from"] == cell["to"]:
        head = f"{variant(cell['from'])}, as before"
    some = f"{len(cell['samples'])} of {cell['count']:,}"
    if cell["count"] == len(cell["samples"]):
        some = plural(cell["count"], "visitor")
    moved = compared and cell["from"] != cell["to"]
    mark = '<span class="key m"></span>' if moved else '<span class="key s"></span>'
    lines = "".join(
        f"<li>{identifier(sample['stableId'])}{_place(sample)}</li>" for sample in cell["samples"]
    )
    why = ""
    if first is not None:
        why = f"<h5>Why the first of them</h5>{_explanation(first, compared)}"
    return fold(
        f"{mark}{head.capitalize()}<span class=quiet>{some}</span>",
        f'<ul class="ids">{lines}</ul>{why}',
        "fold sample",
    )


def _place(sample: dict[str, Any]) -> str:
    if sample["file"] is None:
        return ""
    at = f"line {sample['line']:,}" if sample["line"] else f"record {sample['record']:,}"
    return f" <span class=quiet>{name(sample['file'])}, {at}</span>"


def _explanation(explained: dict[str, Any], compared: bool) -> str:
    old, new = explained["old"], explained["new"]
    if old is not None and old == new:
        return f'<div class="why"><div>{_side(new, "Before and after", "")}</div></div>'
    sides = [("Before", old), ("After", new)] if compared and old is not None else [("", new)]
    rules = [_rule_of(side) for _, side in sides]
    same = len(rules) == 2 and rules[0] == rules[1] and rules[0] != ""
    parts = []
    for number, (title, side) in enumerate(sides):
        if side is None:
            parts.append(f"<div><h6>{title}</h6><p>The configuration has no such experience.</p>")
        else:
            rule = '<p class="note">The same rule as before.</p>' if same and number else None
            parts.append(f"<div>{_side(side, title, rule)}")
        parts.append("</div>")
    return (
        f'<div class="why two">{"".join(parts)}</div>'
        if len(sides) == 2
        else (f'<div class="why">{"".join(parts)}</div>')
    )


def _side(side: dict[str, Any], title: str, rule: str | None) -> str:
    head = f"<h6>{title}</h6>" if title else ""
    outcome = side["outcome"]
    if outcome == "selected":
        outcome = variant(side.get("variantIndex"))
    audience = side["audience"]
    if audience is None:
        who = f"<p>{_MARKS[True]} everyone is in the audience</p>"
    else:
        shown = rule or _rule_of(side)
        who = (
            f"<p>{_MARKS[bool(audience['matched'])]} audience"
            f" {name(audience['name'] or audience['id'])}</p>{shown}"
        )
    return (
        f"{head}<p><strong>{text(outcome).capitalize()}</strong></p>"
        f"{who}{_traffic(side['traffic'])}{_sticky(side)}{_distribution(side)}"
    )


def _rule_of(side: dict[str, Any] | None) -> str:
    if side is None or side["audience"] is None or not side["audience"].get("rule"):
        return ""
    left = [_MOST_RULE_LINES]
    return f'<ul class="rule">{_rule(side["audience"]["rule"], left)}</ul>'


def _rule(node: dict[str, Any], left: list[int]) -> str:
    """A rule as nested lists, as `whichvariant explain` prints it; cut where it is too long."""
    for kind, words in (("any", "any of"), ("all", "all of")):
        if kind in node:
            if len(node[kind]) == 1:
                return _rule(node[kind][0], left)
            inside = "".join(_rule(child, left) for child in node[kind])
            return f"<li>{_MARKS[bool(node['matched'])]} {words}<ul>{inside}</ul></li>"
    if "not" in node:
        inside = _rule(node["not"], left)
        return f"<li>{_MARKS[bool(node['matched'])]} not<ul>{inside}</ul></li>"
    left[0] -= 1
    if left[0] < 0:
        return "<li>…</li>" if left[0] == -1 else ""
    if "attribute" not in node:
        return f"<li>{_MARKS[bool(node.get('matched'))]} {text(_json(node))}</li>"
    actual = f"is {_json(node['actual'])}" if "actual" in node else "is missing"
    operand = f" {_json(node['operand'])}" if node.get("operand") is not None else ""
    return (
        f"<li>{_MARKS[bool(node['matched'])]} <bdi>{text(node['attribute'])}</bdi>"
        f" <span class=quiet>{text(node.get('operator', ''))}</span> <bdi>{text(operand)}</bdi>"
        f" <span class=quiet>({text(actual)})</span></li>"
    )


def _traffic(traffic: dict[str, Any]) -> str:
    share = traffic["allocation"]
    sign = "&lt;" if traffic["in"] else "≥"
    strip = drawing(
        f'<rect class="seg1" width="{position(share)}" y="4" height="8"/>'
        f'<rect class="seg0" x="{position(share)}" width="{position(1 - share)}" y="4" height="8"/>'
        + _tick(traffic["draw"]),
        16,
    )
    return (
        f"<p>{_MARKS[bool(traffic['in'])]} traffic draw {traffic['draw']:.4f} {sign}"
        f" {share:g}</p>{strip}"
    )


def _sticky(side: dict[str, Any]) -> str:
    sticky = side.get("sticky")
    if not sticky:
        return ""
    if sticky["stored"] is None:
        return "<p>Sticky; nothing stored yet</p>"
    use = "kept" if sticky["used"] else "not kept"
    return f"<p>Sticky; stored {text(variant(sticky['stored']))}, {use}</p>"


def _distribution(side: dict[str, Any]) -> str:
    drawn = side["distribution"]
    rects = "".join(
        f'<rect class="seg{s["index"] % 4}" x="{position(s["start"])}"'
        f' width="{position(s["end"] - s["start"])}" y="4" height="8"/>'
        for s in drawn["segments"][:_MOST_SEGMENTS]
        if s["end"] > s["start"]
    )
    index = drawn.get("index")
    found = "no variant" if index is None else text(variant(index))
    return (
        f"<p>Distribution draw {drawn['draw']:.4f}: {found}</p>"
        f"{drawing(rects + _tick(drawn['draw']), 16)}"
    )


def _tick(draw: float) -> str:
    return f'<line class="tick" x1="{position(draw)}" x2="{position(draw)}" y1="0" y2="16"/>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

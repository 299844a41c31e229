"""Where the visitors of one experience go: variants before, variants after, and the way between."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whichvariant.replay.page.markup import plural, variant

_MOST_HEIGHT = 150.0
_LEAST_HEIGHT = 72.0
_LEAST_SLOT = 34.0
_LEAST_RIBBON = 1.5
_MOST_NODES = 8
_REST = -1

Node = int | None


@dataclass(slots=True)
class _Ribbon:
    start: Node
    end: Node
    count: int
    moved: bool
    height: float = 0.0
    y_start: float = 0.0
    y_end: float = 0.0


def flow(cells: Sequence[dict[str, Any]]) -> str:
    """The drawing of an experience's transitions; nothing where nobody is on either side.

    Those who are absent before and after are in no cell, and would dwarf everybody else.
    """
    old = _nodes(cells, "from")
    new = _nodes(cells, "to")
    ribbons: dict[tuple[Node, Node, bool], _Ribbon] = {}
    for cell in cells:
        start = cell["from"] if cell["from"] in old else _REST
        end = cell["to"] if cell["to"] in new else _REST
        key = start, end, cell["from"] != cell["to"]
        ribbon = ribbons.setdefault(key, _Ribbon(*key[:2], 0, key[2]))
        ribbon.count += cell["count"]
    total = sum(ribbon.count for ribbon in ribbons.values())
    if not total:
        return ""
    # One broad ribbon says no more than a narrow one.
    room = min(_LEAST_HEIGHT + 26 * (len(ribbons) - 1), _MOST_HEIGHT)
    for ribbon in ribbons.values():
        ribbon.height = max(ribbon.count / total * room, _LEAST_RIBBON)
    ordered = sorted(ribbons.values(), key=lambda r: (_rank(r.start), _rank(r.end), r.moved))
    left, left_height = _column(old, ordered, start=True)
    right, right_height = _column(new, ordered, start=False)
    height = max(left_height, right_height)
    paths = "".join(_path(ribbon) for ribbon in sorted(ordered, key=lambda r: r.moved))
    bars = "".join(f'<rect class="k" y="{y:.1f}" width="1" height="{h:.1f}"/>' for y, h in left[1])
    bars += "".join(
        f'<rect class="k" x="99" y="{y:.1f}" width="1" height="{h:.1f}"/>' for y, h in right[1]
    )
    moved = sum(ribbon.count for ribbon in ordered if ribbon.moved)
    label = f"Before on the left, after on the right: {plural(moved, 'visitor')} of {total:,} moved"
    size = f'height="{height:.0f}"'
    return (
        f'<div class="flow" role="img" aria-label="{label}">'
        f'<svg class="from" {size}>{left[0]}</svg>'
        f'<svg class="ways" {size} viewBox="0 0 100 {height:.0f}" preserveAspectRatio="none">'
        f"{paths}{bars}</svg>"
        f'<svg class="to" {size}>{right[0]}</svg></div>'
    )


def _nodes(cells: Sequence[dict[str, Any]], side: str) -> set[Node]:
    """What stands on one side: the largest, where there are too many."""
    totals: dict[Node, int] = {}
    for cell in cells:
        totals[cell[side]] = totals.get(cell[side], 0) + cell["count"]
    if len(totals) <= _MOST_NODES:
        return set(totals)
    return set(sorted(totals, key=lambda node: (node is not None, -totals[node]))[:_MOST_NODES])


def _rank(node: Node) -> tuple[int, int]:
    if node is None:
        return 2, 0
    return (1, 0) if node == _REST else (0, node)


def _column(
    nodes: set[Node], ribbons: Sequence[_Ribbon], *, start: bool
) -> tuple[tuple[str, list[tuple[float, float]]], float]:
    """Labels and bars of one side, top down; gives each ribbon its place on that side."""
    here = {ribbon.start if start else ribbon.end for ribbon in ribbons}
    y = 2.0
    labels = []
    bars = []
    anchor = 'x="100%" dx="-9" text-anchor="end"' if start else 'x="0" dx="9"'
    for node in sorted(here, key=_rank):
        mine = [r for r in ribbons if (r.start if start else r.end) == node]
        # In the order of the other side, ribbons cross as little as they can.
        mine.sort(key=lambda r: _rank(r.end if start else r.start))
        height = sum(ribbon.height for ribbon in mine)
        slot = max(height, _LEAST_SLOT - 4)
        top = y + (slot - height) / 2
        bars.append((top, height))
        for ribbon in mine:
            if start:
                ribbon.y_start = top
            else:
                ribbon.y_end = top
            top += ribbon.height
        middle = y + slot / 2
        named = "others" if node == _REST else variant(node)
        count = sum(ribbon.count for ribbon in mine)
        labels.append(
            f'<text {anchor} y="{middle - 2:.1f}">{html.escape(named)}</text>'
            f'<text class="s" {anchor} y="{middle + 12:.1f}">{count:,}</text>'
        )
        y += slot + 8
    return ("".join(labels), bars), y - 4


def _path(ribbon: _Ribbon) -> str:
    a, b, h = ribbon.y_start, ribbon.y_end, ribbon.height
    names = ["others" if node == _REST else variant(node) for node in (ribbon.start, ribbon.end)]
    says = f"{ribbon.count:,}: {names[0]} → {names[1]}"
    kind = "m" if ribbon.moved else "s"
    return (
        f'<path class="{kind}" d="M1 {a:.1f}C50 {a:.1f} 50 {b:.1f} 99 {b:.1f}V{b + h:.1f}'
        f'C50 {b + h:.1f} 50 {a + h:.1f} 1 {a + h:.1f}Z"><title>{says}</title></path>'
    )

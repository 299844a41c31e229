"""Texts, figures, bars and tables of the page, as HTML.

Whatever comes from outside goes through `text`, `name` or `identifier`; everything else that these
functions are given is markup already.

Figures can be read by a program: an element with ``data-f`` and ``data-v`` is the value of the
report at the path ``data-f``, below the ``data-at`` of the nearest element around it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_MOST_TEXT = 160
# Control characters, the marks that turn the direction of writing, and halves of surrogate pairs,
# which cannot be encoded: they are written out, so that a name cannot pass for another one.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


def text(value: object, most: int = _MOST_TEXT) -> str:
    """Any value as escaped text, not longer than ``most`` characters."""
    shown = str(value)
    if len(shown) > most:
        shown = shown[: most - 1] + "…"
    shown = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)
    return html.escape(shown)


def name(value: object, most: int = _MOST_TEXT) -> str:
    """A name, kept from turning the direction of what stands around it."""
    return f"<bdi>{text(value, most)}</bdi>"


def identifier(value: object, most: int = _MOST_TEXT) -> str:
    """An id, a path or a digest."""
    return f"<code><bdi>{text(value, most)}</bdi></code>"


def title_of(thing: dict[str, Any]) -> str:
    """The name of an experience or audience, or its id where it has no name."""
    return name(thing["name"] or thing["id"])


def variant(index: int | None) -> str:
    """How an index is called."""
    if index is None:
        return "absent"
    return f"variant {index}" if index else "baseline"


# ---- figures -------------------------------------------------------------------------------------


def plain(value: float | None) -> str:
    """A number for people."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def figure(path: str, value: int | None) -> str:
    """A count that a program can find, too."""
    if value is None:
        return '<span class="none">–</span>'
    return f'<span data-f="{path}" data-v="{value}">{value:,}</span>'


def percent(share: float) -> str:
    """A share; only nothing is 0%, only everything is 100%."""
    if share <= 0:
        return "0%"
    if share >= 1:
        return "100%"
    if share < 0.0005:
        return "<0.1%"
    if share >= 0.9995:
        return ">99.9%"
    return f"{share:.1%}".replace(".0%", "%")


def share_of(part: float | None, whole: int) -> str:
    """A part of a whole in per cent, as markup."""
    if part is None or not whole:
        return "–"
    share = percent(part / whole)
    # In a column of shares the decimal points stand below one another.
    return html.escape(share if share in ("0%", "100%") or "." in share else share[:-1] + ".0%")


def p_value(p: float | None) -> str:
    """A probability, as markup."""
    if p is None:
        return "–"
    return "&lt;0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """``1 visitor``, ``2 visitors``."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


# ---- bars ----------------------------------------------------------------------------------------


def position(value: float) -> str:
    """A share as a coordinate, short: plots stand in the page thousands of times."""
    return f"{min(max(value, 0), 1) * 100:.2f}".rstrip("0").rstrip(".") + "%"


def drawing(inside: str, height: int, label: str = "", classes: str = "") -> str:
    """A drawing as wide as there is room: across in per cent, down in pixels."""
    role = f'role="img" aria-label="{label}"' if label else 'aria-hidden="true"'
    kind = f"p {classes}".strip()
    return f'<svg class="{kind}" height="{height}" {role}>{inside}</svg>'


def stacked(parts: Iterable[tuple[str, int]], whole: int, height: int = 14) -> str:
    """Parts of a whole, one beside the other; each with its class."""
    if not whole:
        return drawing("", height)
    at = 0
    inside = []
    for kind, count in parts:
        if count > 0:
            inside.append(
                f'<rect class="{kind}" x="{position(at / whole)}" width="{position(count / whole)}"'
                f' height="{height}"/>'
            )
            at += count
    return drawing("".join(inside), height, classes="stack")


def dumbbell(old: int | None, new: int | None, most: int) -> str:
    """A ring for before, a dot for after, and the way between."""
    most = most or 1
    inside = '<line class="g" x1="0%" x2="100%" y1="8" y2="8"/>'
    if old is not None and new is not None and old != new:
        ends = sorted((old, new))
        x1, x2 = position(ends[0] / most), position(ends[1] / most)
        inside += f'<line class="way" x1="{x1}" x2="{x2}" y1="8" y2="8"/>'
    if old is not None:
        inside += f'<circle class="b" cx="{position(old / most)}" cy="8" r="4.5"/>'
    if new is not None:
        inside += f'<circle class="a" cx="{position(new / most)}" cy="8" r="4"/>'
    return drawing(inside, 16, classes="dots")


def pair_of_bars(old: int | None, new: int, most: int) -> str:
    """Before above after."""
    most = most or 1
    inside = ""
    if old is not None:
        inside += f'<rect class="b" y="1" width="{position(old / most)}" height="5"/>'
    inside += f'<rect class="a" y="8" width="{position(new / most)}" height="7"/>'
    return drawing(inside, 16)


# ---- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``kind`` is its class: ``n`` for numbers, ``plot`` for drawings."""

    head: str
    kind: str = ""


def table(
    caption: str,
    columns: Sequence[Column | None],
    rows: Iterable[str],
    *,
    attributes: str = "",
    classes: str = "",
) -> str:
    """A table in a frame that scrolls by itself where the screen is narrow."""
    heads = "".join(
        f'<th scope="col" class="{column.kind}">{column.head}</th>'
        if column.kind
        else f'<th scope="col">{column.head}</th>'
        for column in columns
        if column is not None
    )
    return (
        f'<div class="scroll"><table class="{classes}" {attributes}>'
        f'<caption class="unseen">{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def cell(path: str, value: int | None, kind: str = "n") -> str:
    """A table's cell with a count that a program can find."""
    if value is None:
        return f'<td class="{kind}">–</td>'
    return f'<td class="{kind}" data-f="{path}" data-v="{value}">{value:,}</td>'


def size(markup: str) -> int:
    """What markup takes in the page, in bytes."""
    return len(markup.encode())


def within(parts: Iterable[str], room: int) -> list[str]:
    """The first of ``parts``, as many as ``room`` bytes hold."""
    result = []
    for part in parts:
        room -= size(part)
        if room < 0:
            break
        result.append(part)
    return result


def fold(summary: str, inside: str, classes: str = "fold") -> str:
    """Something that is closed at first."""
    return f'<details class="{classes}"><summary>{summary}</summary>{inside}</details>'

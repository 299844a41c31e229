"""The observed split of an experience against the configured one."""

from __future__ import annotations

import math
from typing import Any

from whichvariant.replay.page.markup import (
    Column,
    drawing,
    p_value,
    plural,
    position,
    share_of,
    table,
    variant,
)

_MOST_ROWS = 16
# Half the width of the band in which 95% of fair draws fall, in standard errors.
_BAND = 1.96
# A share below this is one hash in four billion: an end of the first segment, not a variant.
NO_SHARE = 1e-6


def is_split(ratio: dict[str, Any] | None) -> bool:
    """Does the experience draw between at least two indices?"""
    if ratio is None:
        return False
    return bool(ratio["suspicious"]) or sum(share > NO_SHARE for share in ratio["shares"]) > 1


def verdict(ratio: dict[str, Any]) -> str:
    """What the test says, in words, as markup."""
    if ratio["pValue"] is None:
        return "Nothing to test."
    p = ratio["pValue"]
    found = (
        f"χ² = {ratio['chiSquare']:.2f}, {plural(ratio['degreesOfFreedom'], 'degree')} of freedom,"
        f' <span class="nobreak">p = {p_value(p)}</span>'.replace("= &lt;", "&lt; ")
    )
    if ratio["suspicious"]:
        return f'<strong class="alarm">Not by chance</strong> ({found}).'
    return f"As chance would have it ({found})."


def split(ratio: dict[str, Any], path: str) -> str:
    """The plot, which is a table: how far each share is from the configured one."""
    drawn = ratio["drawn"]
    rows = [
        (index, share, ratio["observed"][index], ratio["expected"][index])
        for index, share in enumerate(ratio["shares"])
        if share > NO_SHARE or ratio["observed"][index]
    ]
    left_out = len(rows) - _MOST_ROWS
    rows = rows[:_MOST_ROWS]
    off = {}
    errors = {}
    for index, share, observed, _ in rows:
        errors[index] = _BAND * math.sqrt(share * (1 - share) / drawn) if drawn else 0.0
        off[index] = observed / drawn - share if drawn else 0.0
    widest = max([*(abs(v) for v in off.values()), *errors.values(), 1e-9]) * 1.15
    lines = [
        f'<tr><th scope="row">{variant(index).capitalize()}</th>'
        f'<td class="n">{share_of(share, 1)}</td>'
        f'<td class="n">{share_of(observed, drawn)}</td>'
        f'<td class="n wide" data-f="{path}.observed.{index}" data-v="{observed}">{observed:,}</td>'
        f'<td class="n wide">{expected:,.1f}</td>'
        f'<td class="plot">{_row(off[index], errors[index], widest)}</td></tr>'
        for index, share, observed, expected in rows
    ]
    points = f"{widest * 100:.1f}" if widest >= 0.001 else f"{widest * 100:.2g}"
    scale = (
        f'<span class="axis"><span>−{points}</span><span>as configured</span>'
        f"<span>+{points}</span></span>"
    )
    columns = [
        Column("Variant"),
        Column("Configured", "n"),
        Column("Observed", "n"),
        Column("Visitors", "n wide"),
        Column("Expected", "n wide"),
        Column(scale, "plot"),
    ]
    note = f"<p class=note>{left_out} more in the JSON report.</p>" if left_out > 0 else ""
    return (
        table("Observed split against the configured one", columns, lines, classes="split") + note
    )


def _row(off: float, error: float, widest: float) -> str:
    def at(value: float) -> float:
        return 0.5 + value / widest / 2

    outside = abs(off) > error
    return drawing(
        f'<rect class="band" x="{position(at(-error))}" y="3"'
        f' width="{position(at(error) - at(-error))}" height="14" rx="2"/>'
        '<line class="g" x1="50%" x2="50%" y1="0" y2="20"/>'
        f'<circle class="{"out" if outside else "a"}" cx="{position(at(off))}" cy="10" r="4"/>',
        20,
        label=f"{off * 100:+.2f} points; 95% of fair draws within {error * 100:.2f}",
        classes="dots",
    )

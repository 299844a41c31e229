"""All experiences in one table, and each by itself."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from whichvariant.replay.page.flow import flow
from whichvariant.replay.page.markup import (
    Column,
    cell,
    dumbbell,
    fold,
    identifier,
    name,
    p_value,
    percent,
    plural,
    share_of,
    size,
    stacked,
    table,
    text,
    title_of,
    variant,
    within,
)
from whichvariant.replay.page.samples import samples
from whichvariant.replay.page.split import NO_SHARE, is_split, split, verdict

# What may be taken, in bytes: 2,000 experiences have to open on a telephone.
_ROOM_ROWS = 1_500_000
_ROOM_EXPLAINED = 900_000
_ROOM_SAMPLED = 1_200_000
_ROOM_PLAIN = 1_900_000
_MOST_CELLS = 24
_MOST_SHARES = 8
_OPEN_AT_FIRST = 2
# How many the head of the page names, with links to their folds.
MOST_NAMED = 5
MOST_MOVERS = 10

CAUSES = {
    "audience": "audience rule",
    "traffic": "traffic",
    "sticky": "sticky choice",
    "distribution": "distribution",
    "new": "new experience",
    "removed": "removed experience",
    "unknown": "not known from what was stored",
}
_TYPES = {"nt_experiment": "experiment", "nt_personalization": "personalisation"}

Experience = dict[str, Any]


def in_order(report: dict[str, Any]) -> list[tuple[int, Experience]]:
    """Experiences with their places in the report, those that want attention first."""
    return sorted(
        enumerate(report["experiences"]),
        key=lambda item: (-(item[1]["moved"] or 0), not is_alarm(item[1]), -_present(item[1])),
    )


def alarms(report: dict[str, Any]) -> list[tuple[int, Experience]]:
    """Experiences whose split is off, with their places in the report."""
    return [item for item in in_order(report) if is_alarm(item[1])]


def is_alarm(experience: Experience) -> bool:
    """Is the split after the change one that chance does not explain?"""
    ratio = experience["sampleRatio"]["new"]
    return bool(ratio and ratio["suspicious"])


def _present(experience: Experience) -> int:
    return max((side["present"] for side in _sides(experience) if side), default=0)


def _sides(experience: Experience) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    return experience["old"], experience["new"]


def tags(experience: Experience) -> list[str]:
    """What the list can be narrowed to."""
    found = []
    if experience["moved"]:
        found.append("moved")
    if is_alarm(experience):
        found.append("alarm")
    if experience["moved"] is not None:
        if experience["edited"]:
            found.append("edited")
        if experience["status"] != "both":
            found.append(experience["status"])
    return found


def badges(experience: Experience) -> str:
    """The tags that are worth a word beside a name."""
    return "".join(
        f' <span class="badge {tag}">{"split off" if tag == "alarm" else tag}</span>'
        for tag in tags(experience)
        if tag != "moved"
    )


def cause_bar(experience: Experience, whole: int, height: int = 14) -> str:
    """Who moved, by cause, as one bar."""
    causes = experience["causes"] or {}
    parts = [(f"c-{cause}", causes.get(cause, 0)) for cause in CAUSES]
    return stacked(parts, whole, height)


def legend(causes: Sequence[str]) -> str:
    """The colours of causes."""
    items = "".join(
        f'<li><svg class="swatch" aria-hidden="true"><rect class="c-{cause}" width="10"'
        f' height="10" rx="2"/></svg>{CAUSES[cause]}</li>'
        for cause in CAUSES
        if cause in causes
    )
    return f'<ul class="legend">{items}</ul>'


def experiences(report: dict[str, Any]) -> str:
    """The section: the table, then one fold each."""
    ordered = in_order(report)
    if not ordered:
        return "<p>No experience in either configuration.</p>"
    folds = _folds(report, ordered)
    rows = within(_rows(report, ordered, set(folds)), _ROOM_ROWS)
    left_out = len(ordered) - len(rows)
    without = len(rows) - len(folds)
    notes = ""
    if without > 0:
        notes += (
            f'<p class="note">{plural(without, "experience")} with the fewest moves'
            f" {'stands' if without == 1 else 'stand'} in the table alone, to keep this page"
            " small. The JSON report has everything.</p>"
        )
    if left_out > 0:
        notes += f'<p class="note">{left_out:,} more are in the JSON report alone.</p>'
    return (
        f"{_overview(rows, report['against'] != 'nothing')}{notes}"
        '<h3 id="each">One by one</h3>'
        '<div class="each" data-list="experiences">'
        f"{''.join(folds[number] for number, _ in ordered if number in folds)}</div>"
    )


def _rows(
    report: dict[str, Any], ordered: Sequence[tuple[int, Experience]], detailed: set[int]
) -> Iterator[str]:
    compared = report["against"] != "nothing"
    counted = report["visitors"]["counted"]
    most = max((_present(experience) for _, experience in ordered), default=0)
    for number, experience in ordered:
        old, new = _sides(experience)
        ratio = experience["sampleRatio"]["new"]
        title = title_of(experience)
        if number in detailed:
            title = f'<a href="#experience-{number}">{title}</a>'
        sub = text(experience["id"], 80) if experience["name"] else ""
        name_cell = f'<th scope="row">{title}{badges(experience)}<small><bdi>{sub}</bdi></small>'
        before = old["present"] if old else (0 if compared else None)
        after = new["present"] if new else 0
        dots = dumbbell(before, after, most)
        parts = [
            f'<tr data-at="experiences.{number}" data-tags="{" ".join(tags(experience))}">',
            f"{name_cell}</th>",
        ]
        if compared:
            parts.append(cell("old.present", old["present"] if old else None, "n narrow-off"))
        parts.append(cell("new.present", new["present"] if new else None, "n narrow-off"))
        parts.append(f'<td class="plot narrow-off" data-v="{after - (before or 0)}">{dots}</td>')
        if compared:
            parts.append(cell("moved", experience["moved"]))
            share = share_of(experience["moved"], counted)
            parts.append(f'<td class="n" data-v="{experience["moved"]}">{share}</td>')
        parts.append(_p_cell(ratio))
        yield "".join(parts) + "</tr>"


def _overview(rows: Sequence[str], compared: bool) -> str:
    columns = [
        Column("Experience"),
        Column("Before", "n narrow-off") if compared else None,
        Column("After" if compared else "Visitors", "n narrow-off"),
        Column(
            '<span class="dotkey b"></span>before <span class="dotkey a"></span>after'
            if compared
            else "In it",
            "plot narrow-off",
        ),
        Column("Moved", "n") if compared else None,
        Column("of all", "n") if compared else None,
        Column("Split: p", "n"),
    ]
    return table(
        "Experiences, before and after",
        columns,
        rows,
        attributes='data-list="experiences" data-sortable id="overview"',
        classes="overview",
    )


def _p_cell(ratio: dict[str, Any] | None) -> str:
    if not is_split(ratio) or ratio is None or ratio["pValue"] is None:
        return '<td class="n" data-v="2">–</td>'
    kind = "n alarm" if ratio["suspicious"] else "n"
    mark = "▲ " if ratio["suspicious"] else ""
    return (
        f'<td class="{kind}" data-v="{ratio["pValue"]:.6g}">{mark}{p_value(ratio["pValue"])}</td>'
    )


# ---- one experience ------------------------------------------------------------------------------


def _folds(report: dict[str, Any], ordered: Sequence[tuple[int, Experience]]) -> dict[int, str]:
    """Experiences, each with as much as there is room for; those that the head names come first."""
    named = [*alarms(report)[:MOST_NAMED], *ordered[:MOST_MOVERS]]
    by_need = dict([*named, *ordered])
    opened = {number for number, _ in ordered[:_OPEN_AT_FIRST]}
    result: dict[int, str] = {}
    used = 0
    compared = report["against"] != "nothing"
    for number, experience in by_need.items():
        is_open = compared and number in opened and bool(experience["moved"])
        for room, sampled, explained in (
            (_ROOM_EXPLAINED, True, True),
            (_ROOM_SAMPLED, True, False),
            (_ROOM_PLAIN, False, False),
        ):
            if used >= room:
                continue
            part = _fold(
                report, number, experience, sampled=sampled, explained=explained, is_open=is_open
            )
            if used + size(part) <= room:
                result[number] = part
                used += size(part)
                break
    return result


def _fold(
    report: dict[str, Any],
    number: int,
    experience: Experience,
    *,
    sampled: bool,
    explained: bool,
    is_open: bool,
) -> str:
    compared = experience["moved"] is not None
    counted = report["visitors"]["counted"]
    kind = _TYPES.get(experience["type"], "")
    said = ""
    if compared:
        moved = experience["moved"]
        said = (
            f'<span class="said">{cause_bar(experience, counted, 8)}<b>{moved:,}</b> moved</span>'
            if moved
            else '<span class="said quiet">nobody moved</span>'
        )
    elif experience["new"]:
        said = f'<span class="said"><b>{experience["new"]["present"]:,}</b> in it</span>'
    summary = (
        f'<span class="title">{title_of(experience)}{badges(experience)}'
        f"<small>{kind}</small></span>{said}"
    )
    cells = experience["cells"]
    drawn = flow(cells) if experience["moved"] else ""
    left = (
        (f"<h4>Where visitors go</h4>{drawn}{_absent(experience)}" if drawn else "")
        + _transitions(experience)
        + _split(experience)
    )
    right = f"{_causes(experience)}<h4>Settings</h4>{_settings(experience)}"
    some = samples(cells, explained=explained, compared=compared) if sampled else ""
    some = f"<h4>Sample visitors</h4>{some}" if some else ""
    return (
        f'<details class="exp" id="experience-{number}" data-at="experiences.{number}"'
        f' data-tags="{" ".join(tags(experience))}"{" open" if is_open else ""}>'
        f"<summary>{summary}</summary>"
        f'<div class="body"><p class="id">{identifier(experience["id"])}</p>'
        f'<div class="halves"><div>{left}</div><div>{right}</div></div>{some}</div></details>'
    )


def _absent(experience: Experience) -> str:
    transitions = experience["transitions"]
    both = None
    if transitions["old"][-1] is None and transitions["new"][-1] is None:
        both = transitions["counts"][-1][-1]
    if not both:
        return ""
    return f'<p class="note">Not drawn: {both:,} absent before and after.</p>'


def _transitions(experience: Experience) -> str:
    """The table behind the drawing."""
    cells = sorted(experience["cells"], key=lambda c: (c["from"] == c["to"], -c["count"]))
    if not cells or experience["moved"] is None:
        return ""
    present = sum(c["count"] for c in cells) or 1
    places = {id(c): n for n, c in enumerate(experience["cells"])}
    rows = []
    for c in cells[:_MOST_CELLS]:
        moved = c["from"] != c["to"]
        why = ", ".join(
            CAUSES[cause] if count == c["count"] else f"{CAUSES[cause]} {count:,}"
            for cause, count in c["causes"].items()
        )
        rows.append(
            f"<tr{' class=moved' if moved else ''}>"
            f"<td>{variant(c['from']).capitalize()}</td><td>{variant(c['to']).capitalize()}</td>"
            f"{cell(f'cells.{places[id(c)]}.count', c['count'])}"
            f'<td class="n">{share_of(c["count"], present)}</td>'
            f"<td>{why if moved else '<span class=quiet>stay</span>'}</td></tr>"
        )
    columns = [
        Column("Before"),
        Column("After"),
        Column("Visitors", "n"),
        Column("Share", "n"),
        Column("Cause"),
    ]
    shown = table("Transitions", columns, rows, attributes="data-copy")
    if len(cells) > _MOST_CELLS:
        shown += f'<p class="note">{len(cells) - _MOST_CELLS} more in the JSON report.</p>'
    return fold("The numbers", shown) if experience["moved"] else fold("Who stays", shown)


def _causes(experience: Experience) -> str:
    if not experience["moved"]:
        return ""
    parts = "".join(
        f'<li><svg class="swatch" aria-hidden="true"><rect class="c-{cause}" width="10"'
        f' height="10" rx="2"/></svg>{CAUSES[cause]}'
        f' <b data-f="causes.{cause}" data-v="{count}">{count:,}</b></li>'
        for cause, count in experience["causes"].items()
        if count
    )
    ways = "".join(
        f'<div><dt>{word}</dt><dd data-f="{key}" data-v="{experience[key]}">'
        f"{experience[key]:,}</dd></div>"
        for key, word in (("entered", "came in"), ("left", "went out"), ("switched", "switched"))
    )
    return (
        f"<h4>Why they move</h4>{cause_bar(experience, experience['moved'], 12)}"
        f'<ul class="legend">{parts}</ul><dl class="ways-of">{ways}</dl>'
    )


def _split(experience: Experience) -> str:
    old, new = experience["sampleRatio"]["old"], experience["sampleRatio"]["new"]
    if new is None or not is_split(new) or not new["drawn"]:
        return ""
    held = ""
    if new["sticky"]:
        held = f" {plural(new['sticky'], 'visitor')} kept a stored choice and are not tested."
    before = ""
    if old is not None and old["pValue"] is not None and is_split(old):
        found = p_value(old["pValue"])
        before = (
            f' <span class="quiet">Before: p {found if "&lt;" in found else "= " + found}.</span>'
        )
    return (
        f"<h4>Split, against the configured one</h4>{split(new, 'sampleRatio.new')}"
        f'<p class="note">{verdict(new)}{held}{before} Percentage points off; the band holds 95%'
        " of fair draws.</p>"
    )


def _settings(experience: Experience) -> str:
    """What is configured and who is in it, before and after."""
    old, new = _sides(experience)
    compared = experience["moved"] is not None
    rows = []
    for label, path, show in (
        ("Audience", "", _audience),
        ("Traffic", "", lambda side: _maybe(side["traffic"], percent)),
        ("Sticky", "", lambda side: _maybe(side["sticky"], lambda on: "yes" if on else "no")),
        ("Distribution", "", _shares),
        ("In the audience", "matched", None),
        ("Get a record", "present", None),
    ):
        if show is None:
            pair = [None if side is None else side[path] for side in (old, new)]
            shown = [cell(f"{s}.{path}", v) for s, v in zip(("old", "new"), pair, strict=True)]
        else:
            words = ["–" if side is None else show(side) for side in (old, new)]
            pair = list(words)
            shown = [f'<td class="n">{word}</td>' for word in words]
        differs = compared and old is not None and new is not None and pair[0] != pair[1]
        differs = differs and "–" not in pair and None not in pair
        if not compared:
            shown = shown[1:]
        rows.append(
            f'<tr{" class=differs" if differs else ""}><th scope="row">{label}</th>'
            f"{''.join(shown)}</tr>"
        )
    columns = [
        Column('<span class="unseen">Setting</span>'),
        Column("Before", "n") if compared else None,
        Column("After" if compared else '<span class="unseen">Value</span>', "n"),
    ]
    return table("Settings", columns, rows, attributes="data-copy", classes="settings")


def _whole(share: float) -> float:
    """A share without the one hash in four billion that an end of a segment has."""
    return round(share, 6) if min(share, 1 - share) < NO_SHARE else share


def _maybe(value: Any, show: Any) -> str:
    return "–" if value is None else html.escape(show(value))


def _audience(side: dict[str, Any]) -> str:
    if side["shares"] is None:
        return "–"
    audience = side["audience"]
    return "everyone" if audience is None else name(audience["name"] or audience["id"], 80)


def _shares(side: dict[str, Any]) -> str:
    shares = side["shares"]
    if shares is None:
        return "–"
    words = [percent(_whole(share)) for share in shares[:_MOST_SHARES]]
    more = " / …" if len(shares) > _MOST_SHARES else ""
    return html.escape(" / ".join(words)) + more

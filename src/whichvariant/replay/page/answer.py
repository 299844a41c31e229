"""The head of the page: may this be published, and what wants a look first?"""

from __future__ import annotations

from typing import Any

from whichvariant.replay.page.experiences import (
    MOST_MOVERS,
    MOST_NAMED,
    alarms,
    badges,
    cause_bar,
    in_order,
    legend,
)
from whichvariant.replay.page.markup import (
    Column,
    cell,
    figure,
    p_value,
    plain,
    plural,
    share_of,
    stacked,
    table,
    text,
    title_of,
)

_MOST_LIMITS = 100

Report = dict[str, Any]


def answer(report: Report) -> str:
    """Question, verdict, the one number, and what to look at."""
    visitors = report["visitors"]
    kind, verdict = _verdict(report)
    marks = {"yes": "✓", "no": "✕", "look": "▲", "open": "●"}
    return (
        f'<p class="question">{_question(report)}</p>'
        f"<h1>{_headline(visitors)}</h1>"
        f'<p class="verdict {kind}"><span aria-hidden="true">{marks[kind]}</span> {verdict}</p>'
        f"{_measures(visitors)}{_limits(report)}{_attention(report)}"
    )


def _question(report: Report) -> str:
    new, old = report["configurations"]["new"], report["configurations"]["old"]
    named = f"<bdi>{text(new['name'] or 'the new configuration', 80)}</bdi>"
    if report["against"] == "nothing":
        return f"What do visitors get from {named}?"
    before = "what was stored"
    if report["against"] == "configuration":
        before = f"<bdi>{text((old and old['name']) or 'the one before', 80)}</bdi>"
    return f"May I publish {named} in the place of {before}?"


def _headline(visitors: dict[str, Any]) -> str:
    counted, changed, moved = visitors["counted"], visitors["changed"], visitors["moved"]
    if not counted:
        return "No visitor was counted."
    everybody = figure("visitors.counted", counted)
    noun = "visitor" if counted == 1 else "visitors"
    if changed is None:
        return f"{everybody} {noun} counted."
    if changed:
        number = figure("visitors.changed", changed)
        return f"<em>{number}</em> of {everybody} {noun} would see something else."
    but = ""
    if moved:
        but = f", though {figure('visitors.moved', moved)} of {everybody} move"
    return f"Nobody would see anything else{but}."


def _verdict(report: Report) -> tuple[str, str]:
    """How the answer looks, and what it says."""
    limits = report["limits"]
    exceeded = [limit for limit in limits if limit["exceeded"]]
    off = len(alarms(report))
    alarm = ""
    if off:
        alarm = f"{plural(off, 'split')} not explained by chance"
    if exceeded:
        named = ", ".join(text(limit["limit"], 60) for limit in exceeded[:MOST_NAMED])
        tail = f"; {alarm}" if alarm else ""
        verb = "is" if len(exceeded) == 1 else "are"
        of = f"{len(exceeded)} of {plural(len(limits), 'limit')}"
        return "no", f"No: {of} {verb} exceeded ({named}){tail}."
    if off:
        return "look", f"Look first: {alarm}."
    if not report["visitors"]["counted"]:
        return "look", "There is nothing to judge by."
    if limits:
        kept = "the limit is" if len(limits) == 1 else f"all {len(limits)} limits are"
        return "yes", f"Yes: {kept} kept."
    if report["against"] == "nothing":
        return "open", "There is nothing to compare with; every split is as chance would have it."
    if not report["visitors"]["changed"] and not report["visitors"]["moved"]:
        return "yes", "Yes: every visitor keeps what they have."
    return "open", "No limits were set, and no split is off: the numbers are yours to judge."


def _measures(visitors: dict[str, Any]) -> str:
    counted = visitors["counted"]
    if visitors["changed"] is None or not counted:
        return ""
    rows = "".join(
        f'<div class="measure"><span class="what"><b>{figure(f"visitors.{key}", visitors[key])}</b>'
        f"<b>{share_of(visitors[key], counted)}</b> {words}</span>"
        f"{stacked([(kind, visitors[key]), ('rest', counted - visitors[key])], counted, 14)}</div>"
        for key, kind, words in (
            ("changed", "seen", "would see something else: another entry or value somewhere"),
            ("moved", "moves", "move: come in, go out, or get another variant somewhere"),
        )
    )
    return f'<div class="measures">{rows}</div>'


def _limits(report: Report) -> str:
    limits = report["limits"]
    if not limits:
        return ""
    rows = []
    for number, limit in enumerate(limits[:_MOST_LIMITS]):
        exceeded = limit["exceeded"]
        value = limit["value"]
        if value is None:
            shown = "beyond measure" if exceeded else "nothing to measure"
        elif limit["limit"].rstrip().endswith("%"):
            shown = f"{value:.4%}"
        else:
            shown = plain(value)
        state = '<td class="alarm">✕ exceeded</td>' if exceeded else '<td class="kept">✓ kept</td>'
        rows.append(
            f'<tr data-at="limits.{number}" data-exceeded="{str(exceeded).lower()}">'
            f'<th scope="row"><code>{text(limit["limit"])}</code></th>'
            f'<td class="n">{shown}</td>{state}</tr>'
        )
    columns = [Column("Limit"), Column("Is", "n"), Column('<span class="unseen">Verdict</span>')]
    return table("Limits", columns, rows, classes="limits", attributes='id="limits"')


def _attention(report: Report) -> str:
    """Facts that are no verdict, and still should not be overlooked."""
    items = []
    off = alarms(report)
    if off:
        named = ", ".join(
            f'<a href="#experience-{number}">{title_of(experience)}</a>'
            f" (p {_compared(experience['sampleRatio']['new']['pValue'])})"
            for number, experience in off[:MOST_NAMED]
        )
        more = f" and {len(off) - MOST_NAMED} more" if len(off) > MOST_NAMED else ""
        items.append(f'<li class="alarm">The split is not the configured one: {named}{more}.</li>')
    for status, words in (("removed", "would lose"), ("new", "would get")):
        if report["against"] == "nothing":
            break
        found = [item for item in in_order(report) if item[1]["status"] == status]
        if found:
            times = sum(experience["moved"] or 0 for _, experience in found)
            named = ", ".join(title_of(experience) for _, experience in found[:MOST_NAMED])
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            whom = f"{plural(times, 'visitor')} {words} it"
            if len(found) > 1:
                whom = f"visitors {words} one of them {plural(times, 'time')}"
            items.append(f"<li>{status.capitalize()}: {named}{more}; {whom}.</li>")
    visitors = report["visitors"]
    if visitors["rejected"]:
        items.append(
            f'<li><a href="#provenance">{plural(visitors["rejected"], "record")}</a> of'
            f" {visitors['records']:,} could not be read and"
            f" {'is' if visitors['rejected'] == 1 else 'are'} not counted.</li>"
        )
    return f'<ul class="attention">{"".join(items)}</ul>' if items else ""


def _compared(p: float) -> str:
    shown = p_value(p)
    return f"&lt; {shown[4:]}" if shown.startswith("&lt;") else f"= {shown}"


def movers(report: Report) -> str:
    """The biggest movers, coloured by cause."""
    ordered = [item for item in in_order(report) if item[1]["moved"]]
    if not ordered:
        return "<p>Nobody moves: every visitor keeps the variant of every experience.</p>"
    most = ordered[0][1]["moved"]
    counted = report["visitors"]["counted"]
    shown = ordered[:MOST_MOVERS]
    met = [
        cause
        for _, experience in shown
        for cause, count in (experience["causes"] or {}).items()
        if count
    ]
    rows = [
        f'<tr data-at="experiences.{number}"><th scope="row">'
        f'<a href="#experience-{number}">{title_of(experience)}</a>{badges(experience)}</th>'
        f'<td class="plot">{cause_bar(experience, most, 16)}</td>'
        f"{cell('moved', experience['moved'])}"
        f'<td class="n">{share_of(experience["moved"], counted)}</td></tr>'
        for number, experience in shown
    ]
    columns = [
        Column("Experience"),
        Column('<span class="unseen">Moved, by cause</span>', "plot"),
        Column("Moved", "n"),
        Column("of all", "n"),
    ]
    rest = len(ordered) - len(shown)
    still = len(report["experiences"]) - len(ordered)
    words = []
    if rest:
        words.append(f"{plural(rest, 'more experience')} with moves below")
    if still:
        words.append(f"{plural(still, 'experience')} without any")
    tail = f'<p class="note">{"; ".join(words).capitalize()}.</p>' if words else ""
    return (
        legend(met)
        + table(
            "The experiences with the most moves, by cause",
            columns,
            rows,
            classes="movers",
            attributes="data-copy",
        )
        + tail
    )

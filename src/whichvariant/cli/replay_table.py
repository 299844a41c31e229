"""The readable form of a replay's report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from whichvariant.cli.terminal import Screen, Style, columns_of, pad, plural, printable

_MOST_NAME = 40
_LEAST_NAME = 16
_SAMPLES_SHOWN = 2
_PAIRS_SHOWN = 5
_REJECTED_SHOWN = 5
_GAP = "  "

Report = Mapping[str, Any]


def report_lines(report: Report, screen: Screen) -> Iterator[str]:
    """The report for people, line by line."""
    yield from _head(report, screen)
    yield from _rejected(report, screen)
    yield from _experiences(report, screen)
    yield from _moves(report, screen)
    yield from _seen(report, screen)
    yield from _audiences(report, screen)
    yield from _ratios(report, screen)
    yield from _overlap(report, screen)
    yield from _limits(report, screen)
    yield ""
    yield screen.style(f"digest {report['digest']}", "dim")


def _head(report: Report, screen: Screen) -> Iterator[str]:
    visitors, run = report["visitors"], report["run"]
    new, old = report["configurations"]["new"], report["configurations"]["old"]
    dot = f" {screen.dot} "
    for label, side in (("old", old), ("new", new)):
        if side is None:
            continue
        if side["digest"] is None:
            yield "old  as stored with the profiles"
            continue
        facts = (
            printable(side["name"] or "configuration"),
            plural(side["experiences"], "experience"),
            plural(side["audiences"], "audience"),
            side["scheme"],
            side["digest"][:12],
        )
        yield f"{label}  {dot.join(facts)}"
    line = plural(visitors["counted"], "visitor")
    if run["profilesPerSecond"]:
        line += f" in {run['seconds']:,.1f} s"
    extra = [f"{visitors[key]:,} {key}" for key in ("duplicates", "rejected") if visitors[key]]
    yield line + "".join(dot + part for part in extra)
    if visitors["moved"] is not None:
        yield ""
        for key, words in (
            ("moved", "get another variant, or come in or go out"),
            ("changed", "would see something else"),
        ):
            share = _share(visitors[key], visitors["counted"])
            count = f"{visitors[key]:,}"
            style: Style = "bold" if visitors[key] else "green"
            yield f"{screen.style(count, style)} {share} {words}"


def _rejected(report: Report, screen: Screen) -> Iterator[str]:
    shown = report["rejected"]["shown"][:_REJECTED_SHOWN]
    if not shown:
        return
    yield ""
    yield screen.style("Refused", "bold")
    for refusal in shown:
        place = (
            f"{refusal['file']}:{refusal['line']}"
            if refusal["line"]
            else (f"{refusal['file']}, record {refusal['record']:,}")
        )
        text = f"{printable(place)}: {printable(refusal['reason'])}"
        yield screen.clip(f"  {text}", screen.width)
    more = report["rejected"]["count"] - len(shown)
    if more > 0:
        yield f"  {screen.ellipsis} and {more:,} more"


def _experiences(report: Report, screen: Screen) -> Iterator[str]:
    compared = report["visitors"]["moved"] is not None
    heads = ["experience", "", "visitors", "", "", "by variant"]
    if compared:
        heads = ["experience", "", "before", "after", "moved", ""]
    rows: list[list[str]] = []
    styles: list[Style] = []
    counted = report["visitors"]["counted"]
    for experience in report["experiences"]:
        old, new = experience["old"], experience["new"]
        status = (
            experience["status"]
            if experience["status"] != "both"
            else ("edited" if experience["edited"] else "")
        )
        name = printable(experience["name"] or experience["id"])
        if compared:
            moved = experience["moved"]
            rows.append(
                [
                    name,
                    status,
                    f"{old['present']:,}" if old else "-",
                    f"{new['present']:,}" if new else "-",
                    f"{moved:,}" if moved else "",
                    _share(moved, counted) if moved else "",
                ]
            )
            styles.append("yellow" if moved else "")
        else:
            split = " / ".join(f"{count:,}" for count in new["counts"])
            rows.append([name, "", f"{new['present']:,}", "", "", split])
            styles.append("")
    yield from _table("Experiences", heads, rows, styles, screen)


def _moves(report: Report, screen: Screen) -> Iterator[str]:
    if report["visitors"]["moved"] is None:
        return
    arrow = screen.arrow
    for experience in report["experiences"]:
        movers = [cell for cell in experience["cells"] if cell["from"] != cell["to"]]
        if not movers:
            continue
        yield ""
        name = printable(experience["name"] or experience["id"])
        yield screen.clip(screen.style(name, "bold"), None) + screen.style(
            f"  {experience['id']}" if experience["name"] else "", "dim"
        )
        movers.sort(key=lambda cell: -cell["count"])
        counts = [f"{cell['count']:,}" for cell in movers]
        width = max(map(len, counts))
        for cell, count in zip(movers, counts, strict=True):
            way = f"{_variant(cell['from'])} {arrow} {_variant(cell['to'])}"
            why = ", ".join(
                cause if number == cell["count"] else f"{cause} {number:,}"
                for cause, number in cell["causes"].items()
            )
            ids = ", ".join(
                printable(sample["stableId"]) for sample in cell["samples"][:_SAMPLES_SHOWN]
            )
            line = f"  {count:>{width}}  {pad(way, 24)}  {pad(why, 12)}"
            room = None if screen.width is None else max(screen.width - columns_of(line) - 2, 0)
            shown = screen.clip(ids, room) if room is None or room > 12 else ""
            yield f"{line}  {screen.style(shown, 'dim')}".rstrip()


def _seen(report: Report, screen: Screen) -> Iterator[str]:
    compared = report["visitors"]["moved"] is not None
    counted = report["visitors"]["counted"]
    heads = [
        "shown in place of",
        "",
        "before" if compared else "",
        "visitors" if not compared else "after",
        "",
        "",
    ]
    rows: list[list[str]] = []
    styles: list[Style] = []
    for kind, spots in (("baseline", report["entries"]), ("key", report["variables"])):
        for spot in spots:
            if compared and not spot["changed"]:
                continue
            rows.append([printable(spot[kind]), "", "", "", "", ""])
            styles.append("bold")
            for thing in spot.get("shown", spot.get("values", ())):
                label = _shown_label(thing)
                before = "" if thing["old"] is None else f"{thing['old']:,}"
                if thing["old"] != thing["new"]:
                    rows.append(
                        [
                            f"  {label}",
                            "",
                            before,
                            f"{thing['new']:,}",
                            _share(thing["new"], counted),
                            "",
                        ]
                    )
                    styles.append("")
    if rows:
        yield from _table("What is seen", heads, rows, styles, screen)


def _shown_label(thing: Mapping[str, Any]) -> str:
    if "entry" in thing:
        return printable(thing["entry"]) or "(nothing)"
    if not thing["set"]:
        return "(the site's own default)"
    import orjson

    return printable(orjson.dumps(thing["value"]).decode())


def _audiences(report: Report, screen: Screen) -> Iterator[str]:
    compared = report["against"] == "configuration"
    heads = [
        "audience",
        "",
        "before" if compared else "",
        "after" if compared else "visitors",
        "entered" if compared else "",
        "left" if compared else "",
    ]
    rows: list[list[str]] = []
    styles: list[Style] = []
    for audience in report["audiences"]:
        differs = bool(audience["entered"] or audience["left"]) or audience["status"] != "both"
        if compared and not differs:
            continue
        if audience["new"] is None and not compared:
            continue
        status = audience["status"] if compared and audience["status"] != "both" else ""
        rows.append(
            [
                printable(audience["name"] or audience["id"]),
                status,
                "" if audience["old"] is None else f"{audience['old']:,}",
                "-" if audience["new"] is None else f"{audience['new']:,}",
                f"{audience['entered']:,}" if audience["entered"] else "",
                f"{audience['left']:,}" if audience["left"] else "",
            ]
        )
        styles.append("yellow" if compared else "")
    if rows:
        yield from _table("Audiences", heads, rows, styles, screen)


def _ratios(report: Report, screen: Screen) -> Iterator[str]:
    heads = ["sample ratio", "", "drawn", "observed", "configured", "p"]
    rows: list[list[str]] = []
    styles: list[Style] = []
    for experience in report["experiences"]:
        ratio = experience["sampleRatio"]["new"]
        if ratio is None or ratio["pValue"] is None:
            continue
        observed = " / ".join(f"{count / ratio['drawn']:.1%}" for count in ratio["observed"])
        shares = " / ".join(f"{share:.1%}" for share in ratio["shares"])
        suspicious = ratio["suspicious"]
        rows.append(
            [
                printable(experience["name"] or experience["id"]),
                "",
                f"{ratio['drawn']:,}",
                observed,
                shares,
                f"{ratio['pValue']:.3g}{' !' if suspicious else ''}",
            ]
        )
        styles.append("red" if suspicious else "")
    if rows:
        yield from _table("Sample ratio", heads, rows, styles, screen)


def _overlap(report: Report, screen: Screen) -> Iterator[str]:
    pairs = report["overlap"]["new"]["pairs"][:_PAIRS_SHOWN]
    if not pairs:
        return
    names = {e["id"]: printable(e["name"] or e["id"]) for e in report["experiences"]}
    yield ""
    yield screen.style("In two experiments at once", "bold")
    width = max(len(f"{pair['both']:,}") for pair in pairs)
    for pair in pairs:
        line = f"  {pair['both']:>{width},}  {names[pair['one']]} + {names[pair['other']]}"
        yield screen.clip(line, screen.width)
    more = len(report["overlap"]["new"]["pairs"]) - len(pairs)
    if more:
        yield f"  {screen.ellipsis} and {plural(more, 'more pair')}"


def _limits(report: Report, screen: Screen) -> Iterator[str]:
    if report["limits"]:
        yield ""
    for limit in report["limits"]:
        exceeded = limit["exceeded"]
        mark = screen.style("exceeded" if exceeded else "kept", "red" if exceeded else "green")
        value = limit["value"]
        if value is None:
            text = "beyond measure" if exceeded else "nothing to measure"
        elif limit["limit"].endswith("%"):
            text = f"{value:.4%}"
        else:
            text = f"{value:,.6g}"
        yield f"limit {printable(limit['limit'])}: {mark}, it is {text}"


# ---- laying out ----------------------------------------------------------------------------------


def _table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    styles: Sequence[Style],
    screen: Screen,
) -> Iterator[str]:
    """A table whose first column gives way where the screen is narrow."""
    rows = list(rows)
    widths = [
        max(columns_of(row[column]) for row in [heads, *rows]) for column in range(len(heads))
    ]
    used = [column for column in range(len(heads)) if widths[column]]
    widths[0] = min(widths[0], _MOST_NAME)
    if screen.width is not None:
        others = sum(widths[column] + len(_GAP) for column in used[1:])
        widths[0] = max(min(widths[0], screen.width - others), _LEAST_NAME)
    yield ""
    for number, row in enumerate([heads, *rows]):
        cells = [pad(screen.clip(row[0], widths[0]), widths[0])]
        for column in used[1:]:
            space = " " * (widths[column] - columns_of(row[column]))
            # Words stand on the left, numbers on the right.
            cells.append(row[column] + space if column == 1 else space + row[column])
        line = _GAP.join(cells).rstrip()
        yield screen.style(line, "dim" if number == 0 else styles[number - 1])


def _variant(index: int | None) -> str:
    if index is None:
        return "absent"
    return f"variant {index}" if index else "baseline"


def _share(count: int, whole: int) -> str:
    if not whole:
        return ""
    share = count / whole
    return f"({share:.1%})" if share >= 0.001 or not count else "(<0.1%)"

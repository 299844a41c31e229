"""Where the numbers come from, and how to prove that another run came to the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from whichvariant.replay.page.markup import (
    Column,
    cell,
    figure,
    fold,
    identifier,
    plural,
    table,
    text,
)

_MOST_FILES = 100
_MOST_REJECTED = 100
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def provenance(report: dict[str, Any]) -> str:
    """The section."""
    return (
        f"{_sum(report)}{_rejected(report)}"
        f'<div class="halves apart"><div><h3>Digests</h3>{_digests(report)}</div>'
        f"<div><h3>Run</h3>{_run(report)}</div></div>"
        f"<h3>Sources</h3>{_files(report)}"
    )


def _sum(report: dict[str, Any]) -> str:
    visitors = report["visitors"]
    parts = (
        ("records", "", "records"),
        ("rejected", "<span>−</span>", "rejected"),
        ("duplicates", "<span>−</span>", "duplicates"),
        ("counted", "<span>=</span>", "visitors counted"),
    )
    return (
        '<div class="sum">'
        + "".join(
            f"<div>{sign}<b>{figure(f'visitors.{key}', visitors[key])}</b>"
            f"<small>{word}</small></div>"
            for key, sign, word in parts
        )
        + "</div>"
    )


def _rejected(report: dict[str, Any]) -> str:
    rejected = report["rejected"]
    if not rejected["shown"]:
        return ""
    rows = [
        f"<tr><td>{identifier(one['file'] or '')}</td>"
        f'<td class="n">{one["line"] or one["record"]:,}</td>'
        f"<td>{text(one['reason'], 300)}</td></tr>"
        for one in rejected["shown"][:_MOST_REJECTED]
    ]
    left_out = rejected["count"] - len(rows)
    note = f'<p class="note">{left_out:,} more are not shown.</p>' if left_out > 0 else ""
    columns = [Column("File"), Column("Line or record", "n"), Column("Reason")]
    shown = table("Rejected records", columns, rows, attributes="data-copy") + note
    return fold(f"{plural(rejected['count'], 'rejected record')}", shown)


def _digests(report: dict[str, Any]) -> str:
    configurations, digests = report["configurations"], report["digests"]
    old = configurations["old"]
    rows = [
        ("This result", report["digest"]),
        ("Visitors", digests["input"]),
        ("New configuration", configurations["new"]["digest"]),
        ("Old configuration", old and old["digest"]),
        ("Selections, new", digests["new"]),
        ("Selections, old", digests["old"]),
    ]
    return _facts([(label, identifier(value)) for label, value in rows if value])


def _run(report: dict[str, Any]) -> str:
    run, now = report["run"], report["now"]
    facts = []
    for label, key in (("New", "new"), ("Old", "old")):
        side = report["configurations"][key]
        if side is None:
            continue
        if side["digest"] is None:
            facts.append((label, "selections stored with the visitors"))
            continue
        sizes = f"{plural(side['experiences'], 'experience')}, "
        sizes += plural(side["audiences"], "audience")
        named = identifier(side["name"] or "configuration")
        facts.append((label, f"{named}, {sizes}, {text(side['scheme'])}"))
    if now is not None:
        facts.append(("Now, for rules with a window", _moment(now)))
    facts.append(("Started", text(run["startedAt"])))
    speed = ""
    if run["profilesPerSecond"]:
        speed = f", {run['profilesPerSecond']:,} profiles/s"
    facts.append(("Took", f"{run['seconds']:,.1f} s{speed}, {plural(run['workers'], 'worker')}"))
    if run["resumedUnits"]:
        facts.append(("Resumed", f"{run['resumedUnits']:,} of {plural(run['units'], 'unit')}"))
    facts.append(("By", text(run["tool"])))
    return _facts(facts)


def _moment(now_ms: int) -> str:
    try:
        return datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(" ", "seconds")[:19] + " UTC"
    except (OverflowError, ValueError, OSError):
        return f"{now_ms:,} ms"


def _facts(facts: list[tuple[str, str]]) -> str:
    inside = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in facts)
    return f'<dl class="facts">{inside}</dl>'


def _files(report: dict[str, Any]) -> str:
    source = report["source"]
    if not source["files"]:
        return "<p>Handed over in the program, not read from files.</p>"
    rows = []
    for number, file in enumerate(source["files"][:_MOST_FILES]):
        packed = f", {text(file['compression'])}" if file["compression"] else ""
        rows.append(
            f'<tr data-at="source.files.{number}"><td>{identifier(file["name"], 300)}</td>'
            f'<td>{text(file["format"])}{packed}</td><td class="n">{_size(file["bytes"])}</td>'
            f"{cell('records', file['records'])}{cell('rejected', file['rejected'])}</tr>"
        )
    left_out = len(source["files"]) - len(rows) + source["filesLeftOut"]
    note = f'<p class="note">{plural(left_out, "more file")} not shown.</p>' if left_out > 0 else ""
    columns = [
        Column("File"),
        Column("Format"),
        Column("Size", "n"),
        Column("Records", "n"),
        Column("Rejected", "n"),
    ]
    return table("Sources", columns, rows, attributes="data-sortable data-copy") + note


def _size(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "–"
    size = float(n_bytes)
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:,.0f} {_UNITS[unit]}" if unit == 0 else f"{size:,.1f} {_UNITS[unit]}"

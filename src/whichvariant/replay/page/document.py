"""The page around its sections: one file, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from whichvariant.replay.page.answer import answer, movers
from whichvariant.replay.page.audiences import audiences
from whichvariant.replay.page.experiences import experiences
from whichvariant.replay.page.markup import plural, text
from whichvariant.replay.page.overlap import overlap
from whichvariant.replay.page.provenance import provenance
from whichvariant.replay.page.seen import seen

FORMAT = "whichvariant-replay/1"


def render(report: dict[str, Any]) -> str:
    """A report as one self-contained HTML page.

    The page opens offline and asks for nothing: its style and script are inside, and its own
    content security policy allows nothing else. It works without the script, which adds sorting,
    searching and copying. However much a report holds, the page stays below 5 MB: it shows what
    matters most and says what it leaves to the JSON report.

    Raises
    ------
    ValueError
        ``report`` is of another format.
    """
    if report["format"] != FORMAT:
        raise ValueError(f"a page shows reports of the format {FORMAT}, not {report['format']!r}")
    compared = report["against"] != "nothing"
    sections = [
        ("movers", "Who moves, and why", movers(report)) if compared else None,
        ("experiences", "Experiences", experiences(report)),
        ("seen", "What visitors see", seen(report)),
        ("audiences", "Audiences", audiences(report)),
        ("overlap", "Overlap", overlap(report)),
        ("provenance", "Provenance", provenance(report)),
    ]
    present = [section for section in sections if section is not None]
    links = "".join(f'<a href="#{key}">{_NAV.get(key, title)}</a>' for key, title, _ in present)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title">{title}{_beside(report, key)}</h2>{inside}</section>'
        for key, title, inside in present
    )
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f'<meta name="generator" content="{text(report["run"]["tool"])}">'
        f"<title>{_title(report)}</title><style>{style}</style></head>"
        f'<body data-digest="{text(report["digest"])}">'
        '<a class="skip" href="#top">To the answer</a>'
        f'<nav aria-label="Sections"><div><a href="#top">Answer</a>{links}</div></nav>'
        f'<main id="top" tabindex="-1"><header>{answer(report)}</header>{body}</main>'
        f"<footer><p>{text(report['run']['tool'])}, {text(report['run']['startedAt'])}."
        " A visitor is one stable id. “Baseline” is variant 0;"
        " “absent” is outside the audience or the traffic.</p></footer>"
        f"<script>{script}</script></body></html>\n"
    )


_NAV = {"movers": "Movers", "seen": "What is seen"}


def _beside(report: dict[str, Any], key: str) -> str:
    """How many there are, beside a title."""
    count = {
        "experiences": len(report["experiences"]),
        "audiences": len(report["audiences"]),
        "seen": len(report["entries"]) + len(report["variables"]),
    }.get(key)
    return "" if count is None else f' <span class="of">{count:,}</span>'


def _title(report: dict[str, Any]) -> str:
    visitors = report["visitors"]
    if visitors["changed"] is None:
        return f"Replay: {plural(visitors['counted'], 'visitor')}"
    return f"Replay: {visitors['changed']:,} of {visitors['counted']:,} would see something else"


@cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"

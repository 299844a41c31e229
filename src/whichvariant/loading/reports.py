"""Collecting findings, and naming the places they concern.

Places are kept as linked tuples and written out only when something is found, since nearly every
value of a configuration is fine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from whichvariant.contracts import Finding, JsonValue
from whichvariant.loading.codes import FINDING_CODES

Place: TypeAlias = "str | tuple[Place, str | int]"
"""A value's place: a prefix such as ``entries[12].fields``, or a place and one step from there."""

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*", re.ASCII)


def step_text(step: str | int) -> str:
    """One step of a path: ``.key``, ``[3]``, or ``["odd key"]`` where a dot would mislead."""
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_KEY.fullmatch(step):
        return f".{step}"
    shown = step if len(step) <= 80 else f"{step[:79]}…"
    escaped = shown.encode("utf-8", "backslashreplace").decode("utf-8")
    return f'["{escaped}"]'


def path_text(place: Place) -> str:
    """The place written out, e.g. ``audiences[0].nt_rules.any[0].operator``."""
    steps: list[str] = []
    while isinstance(place, tuple):
        place, step = place
        steps.append(step_text(step))
    steps.append(place)
    return "".join(reversed(steps)).removeprefix(".")


def json_type(value: JsonValue) -> str:
    """What a message calls a value: its JSON type, with an article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def shown(value: JsonValue) -> str:
    """A value as a message quotes it, cut to a readable length."""
    if isinstance(value, (dict, list)):
        return json_type(value)
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


@dataclass(slots=True)
class Report:
    """The findings of one entry, or of one document as a whole.

    ``subject`` is the entry's id once that is known. ``failed`` says whether any of the findings is
    an error, which is when the entry is withheld.
    """

    source: str
    subject: str = ""
    findings: list[Finding] = field(default_factory=list)
    failed: bool = False

    def add(self, code: str, place: Place, message: str) -> None:
        """Record a finding; its severity is the code's."""
        severity = FINDING_CODES[code].severity
        self.findings.append(
            Finding(severity, code, message, path_text(place), self.source, self.subject)
        )
        if severity == "error":
            self.failed = True

    def concern(self, subject: str) -> None:
        """Say what the report is about, for what it says already too."""
        self.subject = subject
        self.findings = [replace(finding, subject=subject) for finding in self.findings]

    def clear(self) -> None:
        """Take everything back, when the entry turns out not to count."""
        self.findings.clear()
        self.failed = False

    def wrong_type(self, place: Place, expected: str, value: JsonValue) -> None:
        """Record that a value has another JSON type than its field takes."""
        self.add("wrong-type", place, f"expected {expected}, got {json_type(value)}")


def refuses_the_whole(findings: Iterable[Finding]) -> bool:
    """Whether a finding leaves nothing to serve: an error without one entry to withhold."""
    return any(FINDING_CODES[finding.code].whole for finding in findings)

"""What loading found: one line for a person, four fields for a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong, or doubtful, in a configuration source.

    ``path`` leads to the value, e.g. ``entries[12].fields.nt_rules.any[0].all[2].operator``; locale
    keys of an export are left out. ``source`` is the file's name as given. ``subject`` is the id of
    the experience, audience or merge tag that it concerns, or "".
    """

    severity: Severity
    code: str
    message: str
    path: str = ""
    source: str = ""
    subject: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.source, self.path) if part)
        return f"{self.severity}[{self.code}] {place}: {self.message}"

    def to_dict(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "path": self.path,
            "source": self.source,
            "subject": self.subject,
        }

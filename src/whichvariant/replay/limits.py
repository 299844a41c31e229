"""Limits on what a replay may find: ``moved>1%``, ``srm<0.001``, ``growth[loyal]>20%``.

A limit is a subject, perhaps one id in brackets, a comparison, and a number. It is exceeded when it
is true. With ``%`` the number is a share, without it a count.

==============  =============================================  ====================================
subject         counts                                         ``%`` is a share of
==============  =============================================  ====================================
``moved``       visitors who move; ``[experience]``: in it     visitors counted
``changed``     visitors shown anything else;                  visitors counted
                ``[baseline or key]``: in its place
``entered``     visitors who come into an experience, of the   visitors counted
                one with the most; ``left``, ``switched``
                likewise; ``[experience]``: of that one
``growth``      visitors an audience gains, of the one with    visitors it had
                the most; ``shrinkage`` loses; ``[audience]``
``rejected``    records refused                                records
``duplicates``  further records of visitors counted already    records
``srm``         the smallest p-value of the sample-ratio       (no share)
                checks of the new side; ``[experience]``
==============  =============================================  ====================================
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_PATTERN = re.compile(
    r"\s*(?P<subject>[a-z]+)\s*(?:\[(?P<id>[^\]]+)\])?\s*"
    r"(?P<operator>>=|<=|>|<)\s*(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?\s*"
)
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_OF_EXPERIENCES = ("entered", "left", "switched")
_OF_AUDIENCES = ("growth", "shrinkage")
SUBJECTS = (
    "moved", "changed", *_OF_EXPERIENCES, *_OF_AUDIENCES, "rejected", "duplicates", "srm",
)  # fmt: skip
_WITHOUT_ID = ("rejected", "duplicates")
_COMPARED = ("moved", "changed", *_OF_EXPERIENCES, *_OF_AUDIENCES)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. ``text`` is how it was written."""

    text: str
    subject: str
    identifier: str | None
    comparison: str
    number: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> Limit:
        """
        Raises:
            ValueError: ``text`` is no limit; the message says what is wrong.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no limit; write 'moved>1%' or 'srm<0.001'")
        subject, identifier = found["subject"], found["id"]
        if subject not in SUBJECTS:
            raise ValueError(f"{text!r}: {subject!r} is none of {', '.join(SUBJECTS)}")
        if identifier is not None and subject in _WITHOUT_ID:
            raise ValueError(f"{text!r}: {subject!r} is not counted by id")
        is_share = found["percent"] is not None
        if is_share and subject == "srm":
            raise ValueError(f"{text!r}: a p-value is no share; write 'srm<0.001'")
        number = float(found["number"]) / (100 if is_share else 1)
        return cls(text.strip(), subject, identifier, found["operator"], number, is_share)

    def check(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """What the report says of this limit, as the report's ``limits`` has it.

        ``value`` is null where there is nothing to measure, and then nothing is exceeded; growth
        from nothing is null too, and beyond every limit.

        Raises
        ------
        ValueError
            The report has no such experience or audience, or compares nothing.
        """
        if self.subject in _COMPARED and report["against"] == "nothing":
            raise ValueError(f"{self.text!r} needs an old side to compare with")
        if self.subject in _OF_AUDIENCES and report["against"] != "configuration":
            raise ValueError(f"{self.text!r} needs an old configuration: its audiences are counted")
        value = self._measure(report)
        exceeded = value is not None and _OPERATORS[self.comparison](value, self.number)
        if value is not None and math.isinf(value):
            value = None
        return {
            "limit": self.text,
            "subject": self.subject,
            "value": value,
            "exceeded": exceeded,
        }

    def _measure(self, report: Mapping[str, Any]) -> float | None:
        visitors = report["visitors"]
        counted = visitors["counted"]
        match self.subject:
            case "rejected" | "duplicates":
                return self._of(visitors[self.subject], visitors["records"])
            case "moved" if self.identifier is None:
                return self._of(visitors["moved"], counted)
            case "changed" if self.identifier is None:
                return self._of(visitors["changed"], counted)
            case "changed":
                spots = [*report["entries"], *report["variables"]]
                found = self._named(spots, lambda spot: spot.get("baseline", spot.get("key")))
                return self._of(max(spot["changed"] for spot in found), counted)
            case "growth" | "shrinkage":
                sign = 1 if self.subject == "growth" else -1
                return _largest(
                    self._of(sign * ((a["new"] or 0) - (a["old"] or 0)), a["old"] or 0)
                    for a in self._named(report["audiences"], lambda audience: audience["id"])
                )
            case "srm":
                ratios = [e["sampleRatio"]["new"] for e in self._experiences(report)]
                p_values = [r["pValue"] for r in ratios if r and r["pValue"] is not None]
                return min(p_values, default=None)
            case _:
                return _largest(
                    self._of(e[self.subject], counted) for e in self._experiences(report)
                )

    def _experiences(self, report: Mapping[str, Any]) -> list[Any]:
        return self._named(report["experiences"], lambda experience: experience["id"])

    def _named(self, things: Iterable[Any], name: Callable[[Any], Any]) -> list[Any]:
        found = [thing for thing in things if self.identifier in (None, name(thing))]
        if not found and self.identifier is not None:
            raise ValueError(f"{self.text!r}: the report has no {self.identifier!r}")
        return found

    def _of(self, count: int, whole: int) -> float:
        if not self.is_share:
            return float(count)
        if whole == 0:
            return math.inf if count > 0 else 0.0
        return count / whole


def _largest(values: Iterable[float]) -> float | None:
    return max(values, default=None)

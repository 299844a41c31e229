"""The readable form of one selection: who, which audiences, what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from whichvariant.cli.terminal import Screen, Style, columns_of, pad, plural, printable
from whichvariant.contracts import Configuration, JsonValue

_AUDIENCES_LABEL = "  audiences  "
_INDENT = "  "
_GAP = "  "
_STICKY = "sticky"
_LEAST_NAME_COLUMNS = 24
_MOST_NAME_COLUMNS = 40
_ROW_SHOWN_COLUMNS = 47
"""What the last column of a row needs: two ids as Contentful makes them, and an arrow."""

_LEAST_VALUE_COLUMNS = 12
_MOST_VALUE_COLUMNS = 60
_MOST_SHOWN = 6


@dataclass(frozen=True, slots=True)
class _Shown:
    """One thing an experience shows: ``left``, a sign, ``right``."""

    left: str
    sign: str
    right: str
    style: Style


@dataclass(frozen=True, slots=True)
class _Line:
    """Styled text, and its columns without the style."""

    text: str
    columns: int


def visitor_head(screen: Screen, profile: Mapping[str, JsonValue], device: str | None) -> list[str]:
    """The id, and beside or below it where the visitor is, how often they came, on what."""
    identifier = profile.get("id") or profile.get("stableId") or "?"
    name = screen.clip(printable(str(identifier)), screen.width)
    known = [printable(fact) for fact in (*_facts(profile), device) if fact]
    facts = f" {screen.dot} ".join(known)
    head = screen.style(name, "bold")
    if not facts:
        return [head]
    if screen.width is None or columns_of(name + _GAP + facts) <= screen.width:
        return [head + _GAP + screen.style(facts, "dim")]
    return [head, _INDENT + screen.style(screen.clip(facts, screen.width - 2), "dim")]


class VisitorBlocks:
    """Renders selections of one configuration, all in the same columns.

    The columns follow from the configuration and the screen alone, so that blocks line up while
    visitors are still being read.
    """

    def __init__(self, configuration: Configuration, screen: Screen) -> None:
        self._screen = screen
        self._audience_names = {
            audience.id: printable(audience.name or audience.id)
            for audience in configuration.audiences
        }
        self._names = {
            experience.id: printable(experience.name or experience.id)
            for experience in configuration.experiences
        }
        self._highest = {
            experience.id: experience.highest_index for experience in configuration.experiences
        }
        self._variant_columns = max(
            (columns_of(_variant(highest, highest)) for highest in self._highest.values()),
            default=0,
        )
        self._lay_out()

    def _lay_out(self) -> None:
        """Decide between rows and, on a narrow screen, what is shown below each experience."""
        longest = max(map(columns_of, self._names.values()), default=0)
        self._name_columns = min(longest, _MOST_NAME_COLUMNS)
        self._shown_columns: int | None = None
        self._stacked = False
        if self._screen.width is None:
            return
        room = self._screen.width - len(_INDENT + _GAP) - self._variant_columns
        in_rows = room - len(_GAP) - _ROW_SHOWN_COLUMNS
        if in_rows >= min(self._name_columns, _LEAST_NAME_COLUMNS):
            self._name_columns = min(self._name_columns, in_rows)
            self._shown_columns = room - len(_GAP) - self._name_columns
        else:
            self._stacked = True
            self._name_columns = max(min(self._name_columns, room), 4)
            self._shown_columns = self._screen.width - len(_INDENT) * 2

    def render(
        self,
        profile: Mapping[str, JsonValue],
        device: str | None,
        selection: Mapping[str, Any],
    ) -> str:
        """The block for one visitor, without a final line feed."""
        lines = visitor_head(self._screen, profile, device)
        lines += self._audiences(selection["audiences"])
        changes: dict[str, list[Mapping[str, JsonValue]]] = {}
        for change in selection["changes"]:
            changes.setdefault(change["meta"]["experienceId"], []).append(change)
        for record in selection["experiences"]:
            lines += self._experience(record, changes.get(record["experienceId"], ()))
        if not selection["experiences"]:
            lines.append(_INDENT + self._screen.style("no experience", "dim"))
        return "\n".join(lines)

    def _audiences(self, ids: Iterable[str]) -> list[str]:
        names = [self._audience_names.get(identifier, printable(identifier)) for identifier in ids]
        lines = self._screen.listing(_AUDIENCES_LABEL, names or ["none"])
        return lines if names else [self._screen.style(line, "dim") for line in lines]

    def _experience(
        self, record: Mapping[str, Any], changes: Iterable[Mapping[str, JsonValue]]
    ) -> list[str]:
        identifier, index = record["experienceId"], record["variantIndex"]
        name = self._names.get(identifier, printable(identifier))
        name = pad(self._screen.clip(name, self._name_columns), self._name_columns)
        variant = pad(_variant(index, self._highest.get(identifier, index)), self._variant_columns)
        head = _INDENT + name + _GAP + self._screen.style(variant, "green" if index else "dim")
        shown = [line for thing in _shown(record, changes) for line in self._thing(thing)]
        if len(shown) > _MOST_SHOWN:
            rest = plural(len(shown) - _MOST_SHOWN + 1, "more line")
            shown[_MOST_SHOWN - 1 :] = [self._line(f"{self._screen.ellipsis} {rest}", "dim")]
        if self._stacked:
            if record.get("sticky"):
                head += _GAP + self._screen.style(_STICKY, "yellow")
            return [head.rstrip(), *(_INDENT * 2 + line.text for line in shown)]
        if record.get("sticky"):
            self._mark_sticky(shown)
        if not shown:
            return [head.rstrip()]
        indent = len(_INDENT + _GAP + _GAP) + self._name_columns + self._variant_columns
        first, *others = (line.text for line in shown)
        return [head + _GAP + first, *(" " * indent + line for line in others)]

    def _mark_sticky(self, shown: list[_Line]) -> None:
        """Put the mark behind the last line where there is room for it, else below."""
        mark = self._line(_STICKY, "yellow")
        last = shown[-1] if shown else None
        if last is not None and (
            self._shown_columns is None
            or last.columns + len(_GAP) + mark.columns <= self._shown_columns
        ):
            mark = _Line(last.text + _GAP + mark.text, 0)
            shown.pop()
        shown.append(mark)

    def _thing(self, thing: _Shown) -> Iterator[_Line]:
        """``left sign right`` in one line where it fits, else broken before the sign."""
        screen, room = self._screen, self._shown_columns
        sign = {"->": screen.arrow}.get(thing.sign, thing.sign)
        left, right = printable(thing.left), printable(thing.right)
        if not right:
            yield self._line(screen.clip(left, room), thing.style)
            return
        if thing.sign == "=":
            # The rest of a long value is worth less than a second line.
            over = _MOST_VALUE_COLUMNS if room is None else room - columns_of(left) - 3
            right = screen.clip(right, min(max(over, _LEAST_VALUE_COLUMNS), _MOST_VALUE_COLUMNS))
        columns = columns_of(left) + columns_of(sign) + columns_of(right) + 2
        if room is None or columns <= room:
            text = f"{screen.style(left, 'dim')} {sign} {screen.style(right, thing.style)}"
            yield _Line(text, columns)
            return
        yield self._line(screen.clip(left, room), "dim")
        right = screen.clip(right, room - columns_of(sign) - 1)
        text = f"{sign} {screen.style(right, thing.style)}"
        yield _Line(text, columns_of(f"{sign} {right}"))

    def _line(self, text: str, style: Style) -> _Line:
        return _Line(self._screen.style(text, style), columns_of(text))


def _shown(
    record: Mapping[str, Any], changes: Iterable[Mapping[str, JsonValue]]
) -> Iterator[_Shown]:
    for baseline, chosen in record["variants"].items():
        if chosen == baseline:
            yield _Shown(f"{baseline} stays", "", "", "dim")
        elif chosen:
            yield _Shown(baseline, "->", chosen, "cyan")
        else:
            yield _Shown(baseline, "->", "(nothing)", "yellow")
    for change in changes:
        value = orjson.dumps(change["value"]).decode()
        yield _Shown(change["key"], "=", value, "cyan" if record["variantIndex"] else "")


def _variant(index: int, highest: int) -> str:
    return f"variant {index} of {max(highest, index)}" if index else "baseline"


def _facts(profile: Mapping[str, JsonValue]) -> Iterator[str]:
    """Where the visitor is and how often they came; whatever is missing or odd is left out."""
    location = profile.get("location")
    if isinstance(location, dict):
        city = location.get("city")
        country = location.get("countryCode") or location.get("country")
        yield ", ".join(part for part in (city, country) if isinstance(part, str) and part)
    session = profile.get("session")
    if isinstance(session, dict):
        count = session.get("count")
        if isinstance(count, int) and not isinstance(count, bool):
            yield f"visit {count}"

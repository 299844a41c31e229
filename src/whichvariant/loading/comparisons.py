"""One attribute compared with one value: operator, operand, ``*`` (docs/rules.md "Operators")."""

from __future__ import annotations

from typing import Final

import re2

from whichvariant.contracts import JsonValue, Operand, Operator, Path, Test
from whichvariant.loading.numeric import is_number, number_text, to_number
from whichvariant.loading.operators import OPERATORS, ORDERING, WILDCARD
from whichvariant.loading.reports import Place, Report, shown

_PATTERN_OPTIONS: Final = re2.Options()
_PATTERN_OPTIONS.log_errors = False


def read_operator(
    fields: dict[str, JsonValue], place: Place, report: Report, default: Operator | None = None
) -> Operator | None:
    """The canonical operator of a leaf or condition; None with a finding when it has none."""
    value = fields.get("operator")
    if value is None:
        if default is None:
            report.add("missing-operator", (place, "operator"), "no operator")
        return default
    if not isinstance(value, str):
        report.wrong_type((place, "operator"), "text", value)
        return None
    operator = OPERATORS.get(value)
    if operator is None:
        report.add("unknown-operator", (place, "operator"), f"unknown operator {shown(value)}")
    return operator


def read_comparison(
    fields: dict[str, JsonValue],
    place: Place,
    report: Report,
    path: Path | None,
    fallback: Path | None = None,
) -> Test | None:
    """The test that a leaf's or condition's ``operator`` and ``value`` make of an attribute.

    ``path`` is None when the attribute itself had a finding; operator and value are read all the
    same, so that one pass finds everything.
    """
    operator = read_operator(fields, place, report)
    if operator is None:
        return None
    value = fields.get("value")
    value_place = (place, "value")
    if value == "*" and operator in WILDCARD:
        operator = WILDCARD[operator]
    if operator in {"exists", "notExists"}:
        return None if path is None else Test(path, operator, None, fallback)
    operand = _operand(operator, value, value_place, report)
    if operand is None or path is None:
        return None
    return Test(path, operator, operand, fallback)


def _operand(operator: Operator, value: JsonValue, place: Place, report: Report) -> Operand:
    if operator in {"in", "notIn"}:
        return _list_operand(operator, value, place, report)
    if value is None:
        report.add("missing-value", place, f"{operator} needs a value")
        return None
    if operator in ORDERING:
        number = to_number(value)
        if number is None:
            message = f"{operator} needs a number or numeric text, got {shown(value)}"
            report.add("not-a-number", place, message)
        return number
    element = _element(value, place, report)
    if element is None or operator in {"equal", "notEqual"}:
        return element
    text = element if isinstance(element, str) else number_text(element)
    if operator == "matches":
        return _pattern(text, place, report)
    if not text:
        report.add("empty-value", place, f"{operator} with empty text")
    return text


def _list_operand(operator: Operator, value: JsonValue, place: Place, report: Report) -> Operand:
    if value is None:
        report.add("missing-value", place, f"{operator} needs a list")
        return None
    if not isinstance(value, list):
        report.add("not-a-list", place, f"{operator} needs a list, got {shown(value)}")
        return None
    if not value:
        report.add("empty-list", place, f"{operator} with an empty list")
    elements = [_element(item, (place, index), report) for index, item in enumerate(value)]
    known = tuple(element for element in elements if element is not None)
    return known if len(known) == len(elements) else None


def _element(value: JsonValue, place: Place, report: Report) -> str | float | None:
    """Text as it is, a number as a double, a boolean as its text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return float(value) + 0.0
    report.wrong_type(place, "text, a number or a boolean", value)
    return None


def _pattern(pattern: str, place: Place, report: Report) -> str | None:
    """The pattern itself, once RE2 has compiled it."""
    try:
        re2.compile(pattern, _PATTERN_OPTIONS)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        report.add("invalid-regex", place, f"RE2 does not take the pattern: {reason}")
        return None
    return pattern

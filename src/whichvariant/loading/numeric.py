"""Numbers as rules read and write them: JavaScript's doubles (docs/rules.md "Values")."""

from __future__ import annotations

import math
import re
from typing import Final, TypeGuard

from whichvariant.contracts import JsonValue

_NUMERIC_TEXT: Final = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII
)


def number_text(number: float) -> str:
    """The text of a finite double as JavaScript's ``String()`` writes it.

    >>> number_text(5.0), number_text(1e21), number_text(1e-7), number_text(-0.0)
    ('5', '1e+21', '1e-7', '0')
    """
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    # repr gives the shortest digits that read back as the same double, which is also what
    # JavaScript prints; only where it puts the point and the exponent differs.
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction.rstrip("0") if fraction.rstrip("0") else whole
    point = len(whole) + int(exponent or 0)
    leading = len(digits) - len(digits.lstrip("0"))
    digits, point = digits[leading:], point - leading
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def is_number(value: JsonValue) -> TypeGuard[float]:
    """Whether a JSON value is a number; a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def to_number(value: JsonValue) -> float | None:
    """A number, or numeric text, as a finite double without the sign of zero; else None."""
    if isinstance(value, str):
        if not _NUMERIC_TEXT.fullmatch(value):
            return None
    elif not is_number(value):
        return None
    number = float(value)
    return number + 0.0 if math.isfinite(number) else None

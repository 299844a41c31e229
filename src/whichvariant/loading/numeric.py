"""Numbers as rules read and write them: JavaScript's doubles (docs/rules.md "Values")."""

from __future__ import annotations

import math
from typing import TypeGuard

from whichvariant._core.coercion import number_text
from whichvariant._core.leaf_table import numeric_text
from whichvariant.contracts import JsonValue

__all__ = ["is_number", "number_text", "to_number"]


def is_number(value: JsonValue) -> TypeGuard[float]:
    """Whether a JSON value is a number; a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def to_number(value: JsonValue) -> float | None:
    """A number, or numeric text, as a finite double without the sign of zero; else None."""
    if isinstance(value, str):
        # The core's own reading: what loading takes for a number is one to the rules as well.
        number = numeric_text(value)
    elif is_number(value):
        number = float(value)
    else:
        return None
    return number + 0.0 if number is not None and math.isfinite(number) else None

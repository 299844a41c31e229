"""A configuration as feature flags: keys and what a visitor gets for them (docs/openfeature.md).

Pure, and below everything that has a protocol: `whichvariant.openfeature` and the server's OFREP
endpoints ask the same `FlagSet`. It decides nothing itself; every answer is the engine's.
"""

from whichvariant.flags.context import (
    Visitor,
    is_plain,
    on_top_of,
    visitor_of,
    with_dates_as_texts,
)
from whichvariant.flags.flag import MISMATCH, NOBODY, Choice, Flag, FlagKind, Reason
from whichvariant.flags.flag_set import FlagSet

__all__ = [
    "MISMATCH",
    "NOBODY",
    "Choice",
    "Flag",
    "FlagKind",
    "FlagSet",
    "Reason",
    "Visitor",
    "is_plain",
    "on_top_of",
    "visitor_of",
    "with_dates_as_texts",
]

"""Merge tags: a value of the visitor's profile, by the id that content names it with.

An id is a path into the profile, with dots or underscores: ``traits_first_name`` may mean
``traits.first_name`` as well as ``traits.first.name``. The readings are tried with as few dots
as possible first, and the first one that leads to something counts [sdk].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from whichvariant._core.coercion import number_text
from whichvariant.entries.shapes import Entry, content_type

MAX_ID_CHARACTERS = 256
"""Longer ids name nothing: each underscore is one more reading, and each reading a walk."""

# What JavaScript's trim() takes away; Python's strip() differs in a few characters.
_BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_BLOCKED = frozenset({"__proto__", "prototype", "constructor"})


def merge_tag_value(profile: Mapping[str, Any] | None, tag_id: str) -> str | None:
    """The text of a merge tag for a profile in the API's shape; None where there is none.

    Empty texts, zero and false count as not there [sdk]. An object or an array is no text: there is
    nothing to show for it, and no further reading is tried [policy].
    """
    if profile is None or len(tag_id) > MAX_ID_CHARACTERS:
        return None
    for path in _readings(tag_id):
        value = _at(profile, path)
        # JavaScript's truth: empty objects and arrays are something, NaN is not.
        if isinstance(value, Mapping | list) or (value and not _is_nan(value)):
            return _text(value)
    return None


def merge_tag(
    profile: Mapping[str, Any] | None, tag_id: str, fallback: str | None = None
) -> str | None:
    """As `merge_tag_value`, or else the fallback; an empty fallback is none [sdk]."""
    return merge_tag_value(profile, tag_id) or fallback or None


def is_merge_tag(entry: Entry) -> bool:
    """Whether an entry is an `nt_mergetag` that names something."""
    return content_type(entry) == "nt_mergetag" and isinstance(
        entry["fields"].get("nt_mergetag_id"), str
    )


def merge_tag_of(profile: Mapping[str, Any] | None, entry: Entry) -> str | None:
    """The text of an `nt_mergetag` entry: the profile's value, or `nt_fallback`, or None."""
    fallback = entry["fields"].get("nt_fallback")
    return merge_tag(
        profile, entry["fields"]["nt_mergetag_id"], fallback if isinstance(fallback, str) else None
    )


def _readings(tag_id: str) -> Iterator[str]:
    parts = tag_id.split("_")
    for dots in range(len(parts)):
        path = [".".join(parts[:dots]), "_".join(parts[dots:])]
        yield ".".join(part for part in path if part)


def _at(profile: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = profile
    keys = path.strip(_BLANKS).split(".")
    if not all(keys) or not _BLOCKED.isdisjoint(keys):
        return None
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list):
            value = _item(value, key)
        else:
            return None
    return value


def _item(items: list[Any], key: str) -> Any:
    """What JavaScript's own property ``key`` of an array is: an element, or the length."""
    if key == "length":
        return len(items)
    if not (key.isascii() and key.isdigit()) or (key != "0" and key.startswith("0")):
        return None
    return items[int(key)] if len(key) < 10 and int(key) < len(items) else None


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true"
    if isinstance(value, int | float):
        try:
            return number_text(float(value))
        except (OverflowError, ValueError):
            return None
    return None

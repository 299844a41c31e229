"""JSON values on their way into a store: whether all of one can be kept, and as what bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from whichvariant.errors import EventError

MAX_DEPTH = 128
"""The deepest nesting of a value."""

MAX_PATH = 200
"""The most characters of a path that an error names; keys may be as long as the value."""


def _plain(value: Any) -> Any:
    """What msgspec takes for JSON only in its exact type, in that type."""
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_pack = msgspec.msgpack.Encoder(enc_hook=_plain).encode

# Bytes that open a map or a list in msgpack, and bytes that open what is no JSON: binary data and
# extensions. Texts hold some of them too, so they only tell when there is nothing to look for.
_OPENING = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_FOREIGN = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
# A double that is not finite. No text has these bytes, but a length or another number may.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def pack_json(value: Any, path: str, limit: int) -> bytes:
    """``value`` as msgpack, at most ``limit`` bytes.

    Whole numbers beyond 64 bits become doubles, as they are in JavaScript.

    Raises
    ------
    EventError
        With the path, below ``path``, of what is no JSON value, a text with a lone surrogate, a
        number that no double holds, or nested too deeply; or the value is too large.
    """
    try:
        try:
            packed = _pack(value)
        except OverflowError:
            packed = _pack(_with_doubles(value, (None, path), 0))
    except (TypeError, ValueError, RecursionError) as error:
        # UnicodeEncodeError is a ValueError.
        check_json(value, path)
        raise EventError(path, str(error)) from None
    if len(packed) > limit:
        raise EventError(path, f"{len(packed)} bytes as msgpack, at most {limit} are allowed")
    if (
        len(packed) - len(packed.translate(None, _OPENING)) > MAX_DEPTH
        or len(packed.translate(None, _FOREIGN)) != len(packed)
        or _NOT_FINITE.search(packed) is not None
    ):
        check_json(value, path)
    return packed


def mismatch(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec finds wrong, in our words, and where: ``.context.page``, or nothing."""
    message = str(error)
    place = _MISMATCH_PLACE.search(message)
    if place:
        message = message[: place.start()]
        if place[1]:
            message = f"a key is no text: {message}"
    return message[:1].lower() + message[1:].replace("`", ""), place[2] if place else ""


_MISMATCH_PLACE = re.compile(r" - at (`key` in )?`\$([^`]*)`$")

_Place: TypeAlias = tuple["_Place | None", str]
"""Where a value is: the place of what holds it, and the last step. Spelt only for an error."""


def check_json(value: Any, path: str) -> None:
    """Raise EventError for the first part of ``value`` that is not JSON, or lies too deep."""
    stack: list[tuple[_Place, Any, int]] = [((None, path), value, 0)]
    while stack:
        place, current, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise EventError(_spelt(place), "nested too deeply")
        if isinstance(current, str):
            _check_text(current, place)
        elif isinstance(current, Mapping):
            for key, element in current.items():
                if not isinstance(key, str):
                    raise EventError(
                        _spelt(place), f"a key is {type(key).__name__}, expected a text"
                    )
                _check_text(key, place)
                stack.append(((place, f".{key}"), element, depth + 1))
        elif isinstance(current, (list, tuple)):
            stack.extend(
                ((place, f"[{number}]"), element, depth + 1)
                for number, element in enumerate(current)
            )
        elif isinstance(current, float):
            if not math.isfinite(current):
                raise EventError(_spelt(place), f"{float(current)!r} is not a JSON number")
        elif current is not None and not isinstance(current, (bool, int)):
            raise EventError(_spelt(place), f"{type(current).__name__} is not JSON")


def _spelt(place: _Place) -> str:
    steps = []
    at: _Place | None = place
    while at is not None:
        at, step = at
        steps.append(step[:MAX_PATH])
    return "".join(reversed(steps))[:MAX_PATH]


def _check_text(text: str, place: _Place) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EventError(_spelt(place), "a text with a lone surrogate") from None


def _with_doubles(value: Any, place: _Place, depth: int) -> Any:
    """A copy of ``value`` whose whole numbers all fit into 64 bits or are doubles."""
    if depth > MAX_DEPTH:
        raise EventError(_spelt(place), "nested too deeply")
    if isinstance(value, Mapping):
        return {
            key: _with_doubles(element, (place, f".{key}"), depth + 1)
            for key, element in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            _with_doubles(element, (place, f"[{number}]"), depth + 1)
            for number, element in enumerate(value)
        ]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            raise EventError(_spelt(place), "a number too large for a double") from None
    return value

"""What a record of visitors may look like: a profile, a request, or a response of the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from whichvariant.contracts import JsonValue
from whichvariant.errors import EventError, InputError, ProfileError

_SKIP = 1 << 20
_BOM = b"\xef\xbb\xbf"
# The last three are what `select --json` and `profiles export` print beside a visitor.
_REQUEST_KEYS = frozenset({"profile", "device", "events", "experiences", "changes", "stored"})


@dataclass(frozen=True, slots=True)
class Request:
    """One visitor to select for. ``device`` and ``events`` are None where the input has none."""

    profile: dict[str, JsonValue]
    device: str | None = None
    events: list[JsonValue] | None = None


def request_of(value: JsonValue) -> Request:
    """The visitor that ``value`` describes, whichever of the accepted shapes it has.

    Raises:
        InputError: it has none of them.
    """
    if not isinstance(value, dict):
        hint = "; write one profile a line" if isinstance(value, list) else ""
        raise ProfileError("", f"expected a profile, not {kind_of(value)}{hint}")
    if "data" in value and isinstance(value["data"], dict) and "id" not in value:
        data = value["data"]
        if "profile" not in data:
            raise ProfileError("data", "a response without a profile")
        return Request(_profile(data["profile"], "data.profile"))
    if "profile" not in value or "id" in value or "stableId" in value:
        return Request(value)
    # A misspelt key would silently select for another visitor than the one meant.
    unknown = [key for key in value if key not in _REQUEST_KEYS]
    if unknown:
        raise InputError(str(unknown[0]), "a request has only 'profile', 'device' and 'events'")
    device = value.get("device")
    if device is not None and not isinstance(device, str):
        raise InputError("device", f"expected a text, not {kind_of(device)}")
    events = value.get("events")
    if events is not None and not isinstance(events, list):
        raise EventError("events", f"expected a list, not {kind_of(events)}")
    return Request(_profile(value["profile"], "profile"), device, events)


def _profile(value: JsonValue, path: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ProfileError(path, f"expected an object, not {kind_of(value)}")
    return value


class Lines(Protocol):
    """What lines are read from: any binary file."""

    def readline(self, size: int, /) -> bytes:
        """The next line, at most so many bytes of it; empty at the end."""
        ...


def numbered_lines(stream: Lines, limit: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream that are not blank, with their numbers, counted from 1.

    Of a line of more than ``limit`` bytes only so much comes that it is seen to be too long. A byte
    order mark at the very start is no part of the first line.
    """
    number = 0
    while raw := stream.readline(limit + 2):
        number += 1
        if len(raw) > limit and not raw.endswith(b"\n"):
            while (rest := stream.readline(_SKIP)) and not rest.endswith(b"\n"):
                pass
        if number == 1:
            raw = raw.removeprefix(_BOM)
        if raw and not raw.isspace():
            yield number, raw


def kind_of(value: Any) -> str:
    """What JSON calls the type of ``value``, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"

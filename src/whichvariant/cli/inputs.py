"""Visitors as the commands read them: one JSON value, or one a line.

An input is a profile, a request ``{"profile", "device"?, "events"?}``, or a response of the API
(``{"data": {"profile": …}}``). What ``select --json`` and ``profiles export`` print are requests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import click
import orjson

from whichvariant.cli.terminal import is_terminal
from whichvariant.columns.requests import Request, kind_of, numbered_lines, request_of
from whichvariant.contracts import JsonValue
from whichvariant.errors import DocumentError, EventError, InputError, ProfileError

STDIN = "-"

_LIMIT = 64 * 1024 * 1024
"""The longest input in bytes: the engine's own limit for one profile."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of input as it stands, and its number, counted from 1."""

    number: int
    raw: bytes

    def request(self) -> Request:
        """The visitor on this line.

        Raises:
            InputError: it is not JSON, or none of the accepted shapes.
        """
        return request_of(parse(self.raw))


class ProfileSource:
    """Visitors from one stream, read as they are asked for, never all at once.

    ``many`` says whether the stream holds one value a line. It is found by looking at no more than
    two lines, except for a single value that itself spans lines.
    """

    def __init__(self, stream: BinaryIO, name: str, *, ndjson: bool = False) -> None:
        """
        Raises:
            DocumentError: there is nothing but blanks.
        """
        self.name = name
        self._lines = _numbered_lines(stream)
        self._pending: list[Line] = []
        first = next(self._lines, None)
        if first is None:
            raise DocumentError("no profile, the input is empty", source=name)
        self._pending.append(first)
        self.many = ndjson or self._looks_like_lines(first)

    def __iter__(self) -> Iterator[Line]:
        while self._pending:
            yield self._pending.pop(0)
        yield from self._lines

    def only(self) -> Line:
        """The first line, for an input that is not ``many``."""
        return self._pending[0]

    def place(self, line: Line) -> str:
        """Where ``line`` stands, for messages."""
        return f"{self.name}:{line.number}" if self.many else self.name

    def _looks_like_lines(self, first: Line) -> bool:
        complete = _is_json(first.raw)
        second = next(self._lines, None)
        if second is None:
            return False
        self._pending.append(second)
        if complete or _is_json_object(second.raw):
            return True
        # Neither line stands for itself, so it is one value written over several lines. The line
        # feeds of blank lines are put back: messages about broken JSON count them.
        parts = [b"\n" * (first.number - 1) + first.raw]
        previous, size = first, len(first.raw)
        for line in self._rest_after(second):
            gap = b"\n" * (line.number - previous.number - 1)
            parts.append(gap + line.raw)
            size += len(parts[-1])
            if size > _LIMIT:
                raise DocumentError("one value of more than 64 MiB", source=self.name)
            previous = line
        self._pending = [Line(first.number, b"".join(parts))]
        return False

    def _rest_after(self, second: Line) -> Iterator[Line]:
        yield second
        yield from self._lines


@contextmanager
def open_profiles(path: str, *, ndjson: bool = False) -> Iterator[ProfileSource]:
    """The visitors in the file at ``path``, or on standard input for ``-``.

    Raises:
        OSError: the file cannot be read.
        DocumentError: it is empty.
    """
    if path == STDIN:
        if is_terminal(sys.stdin):
            click.echo("reading a profile from the terminal, Ctrl-D ends it", err=True)
        yield ProfileSource(sys.stdin.buffer, "<stdin>", ndjson=ndjson)
        return
    with open(path, "rb") as stream:
        yield ProfileSource(stream, path, ndjson=ndjson)


@contextmanager
def blaming(place: str) -> Iterator[None]:
    """Put ``place``, a file or a line of one, before what is wrong with an input.

    Raises:
        DocumentError: for an InputError inside.
    """
    try:
        yield
    except InputError as error:
        raise DocumentError(str(error), source=place) from error


def read_events(path: str) -> list[JsonValue]:
    """The events in a file: a JSON list, one a line, or a request body ``{"events": […]}``.

    Raises:
        OSError: the file cannot be read.
        EventError: it holds something else.
    """
    with open(path, "rb") as stream:
        raw = stream.read(_LIMIT + 1).removeprefix(_BOM)
    if len(raw) > _LIMIT:
        raise EventError(path, "more than 64 MiB of events")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        lines = [line for line in raw.split(b"\n") if line.strip()]
        if len(lines) > 1 and _is_json(lines[0]):
            try:
                return [orjson.loads(line) for line in lines]
            except orjson.JSONDecodeError:
                raise EventError(path, "not every line is JSON") from None
        raise EventError(path, f"not JSON: {_reason(error)}") from None
    if isinstance(value, dict):
        value = value.get("events", [value])
    if not isinstance(value, list):
        raise EventError(path, f"expected a list of events, not {kind_of(value)}")
    return value


def parse(raw: bytes) -> JsonValue:
    """``raw`` as JSON.

    Raises:
        ProfileError: it is not, with the place inside it.
    """
    if len(raw) > _LIMIT:
        raise ProfileError("", "longer than 64 MiB")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProfileError("", f"not JSON: {_reason(error)}") from None


def _numbered_lines(stream: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank. Of one beyond the limit only so much that it is seen to be."""
    for number, raw in numbered_lines(stream, _LIMIT):
        yield Line(number, raw)


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_json_object(raw: bytes) -> bool:
    return raw.lstrip().startswith(b"{") and _is_json(raw)


def _reason(error: orjson.JSONDecodeError) -> str:
    """The decoder's reason and place; the line only where there are several."""
    place = f"column {error.colno}"
    if error.doc.rstrip("\n").count("\n"):
        place = f"line {error.lineno}, {place}"
    return f"{error.msg} ({place})"

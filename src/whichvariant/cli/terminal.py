"""What a terminal needs: width, colour, text that cannot steer it, a progress line."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TextIO, TypeAlias

Style: TypeAlias = Literal["", "bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: dict[str, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}

_PROGRESS_INTERVAL_S = 0.1
_FALLBACK_COLUMNS = 80


def printable(text: str) -> str:
    """``text`` with control and other invisible characters escaped.

    Ids, names and values come from files and visitors; printed raw, an escape sequence in one of
    them could recolour, overwrite or forge what the reader sees.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def columns_of(text: str) -> int:
    """How many terminal columns ``text`` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def pad(text: str, width: int) -> str:
    """``text`` filled with spaces on the right up to ``width`` columns."""
    return text + " " * (width - columns_of(text))


@dataclass(frozen=True, slots=True)
class Screen:
    """Where readable output goes. ``width`` is None where lines need no limit (a pipe, a file)."""

    width: int | None
    colour: bool
    arrow: str = "→"
    dot: str = "·"
    ellipsis: str = "…"

    @classmethod
    def of(cls, stream: TextIO | None = None) -> Screen:
        """The screen behind ``stream``, by default standard output.

        Colour needs a terminal and no ``NO_COLOR``. A set ``COLUMNS`` is the width, also in a pipe.
        """
        stream = stream or sys.stdout
        terminal = is_terminal(stream)
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        width: int | None = None
        if terminal or os.environ.get("COLUMNS", "").isdecimal():
            width = max(shutil.get_terminal_size((_FALLBACK_COLUMNS, 24)).columns, 20)
        try:
            "→·…".encode(stream.encoding or "ascii")
        except (UnicodeError, LookupError):
            return cls(width, colour, arrow="->", dot="-", ellipsis="...")
        return cls(width, colour)

    def style(self, text: str, style: Style) -> str:
        """``text`` in ``style`` where colour is wanted; pad before, escapes have no width."""
        if not self.colour or not style or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"

    def clip(self, text: str, width: int | None) -> str:
        """``text`` in at most ``width`` columns, an ellipsis marking what is cut."""
        if width is None or columns_of(text) <= width:
            return text
        room = max(width - len(self.ellipsis), 0)
        kept = ""
        for char in text:
            if columns_of(kept + char) > room:
                break
            kept += char
        return kept + self.ellipsis

    def wrapped(self, text: str, *, indent: int) -> list[str]:
        """``text`` in lines that start at column ``indent`` and end within the width."""
        lines = [text]
        if self.width is not None:
            # Breaking between words is fine; a path or an id must stay in one piece to be copied.
            lines = textwrap.wrap(
                text,
                max(self.width - indent, 20),
                break_long_words=False,
                break_on_hyphens=False,
            )
        return [" " * indent + line for line in lines]

    def listing(self, label: str, items: Iterable[str]) -> list[str]:
        """``label`` and the items with dots between, wrapped between items under the first one."""
        separator, indent = f" {self.dot} ", " " * columns_of(label)
        lines: list[str] = []
        line = ""
        for item in items:
            longer = f"{line}{separator}{item}" if line else item
            if (
                line
                and self.width
                and columns_of(f"{indent}{longer}{separator}".rstrip()) > self.width
            ):
                lines.append(f"{line}{separator}".rstrip())
                longer = item
            line = longer
        lines.append(line)
        return [label + lines[0], *(indent + line for line in lines[1:])]


def is_terminal(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal; a closed or replaced stream is none."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def plural(count: int, noun: str, nouns: str = "") -> str:
    """``1 error``, ``2 errors``; ``nouns`` where the plural is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


class Progress:
    """One line on standard error that is rewritten in place, and gone at the end.

    Shown only where standard error is a terminal and ``wanted``: a log needs no such line, and
    where standard output scrolls on the same terminal it would be torn apart.
    """

    def __init__(self, label: str, *, wanted: bool = True) -> None:
        self._label = label
        self._shown = wanted and is_terminal(sys.stderr)
        self._next_s = 0.0
        self._dirty = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def update(self, text: str) -> None:
        """Show ``text`` after the label, at most ten times a second."""
        if not self._shown:
            return
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _PROGRESS_INTERVAL_S
        width = shutil.get_terminal_size((_FALLBACK_COLUMNS, 24)).columns
        line = f"{self._label} {text}"[: max(width - 1, 1)]
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
        self._dirty = True

    def clear(self) -> None:
        """Take the line away, so that something else can be printed there."""
        if self._dirty:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._dirty = False

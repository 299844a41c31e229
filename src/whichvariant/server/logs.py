"""The server's log: lines on standard error, as JSON or as text (docs/server.md#logs).

An error's own message may quote what a visitor sent, so a traceback is written without it, unless
the error is one that only speaks of the operator's files and settings.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from whichvariant.errors import (
    ConfigurationError,
    DocumentError,
    ProgramError,
    SettingsError,
    StoreClosed,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
)
from whichvariant.server.settings import ServerSettings

_OPERATORS = (
    ConfigurationError,
    DocumentError,
    ProgramError,
    SettingsError,
    StoreClosed,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
)

# Their notes about starting and stopping are ours to make.
_CHATTY = ("uvicorn", "uvicorn.error", "asyncio", "httpx", "httpcore", "opentelemetry")


def set_up_logs(settings: ServerSettings) -> None:
    """Lead every logger of this process to standard error, in the format that is set."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level if level < logging.INFO else max(level, logging.WARNING))


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and what the record adds."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["trace"] = spell_error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """One line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        parts = [record.getMessage(), *(f"{name}={value}" for name, value in fields.items())]
        text = " ".join(parts).replace("\n", " ")
        if record.levelno != logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + spell_error(record.exc_info[1])
        return f"whichvariant: {text}"


def spell_error(error: BaseException) -> str:
    """Where an error came from, and its kind; its message only where that is no visitor's."""
    lines = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines += traceback.format_tb(link.__traceback__)
        lines.append(f"{_kind_of(link)}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if link is not None:
            lines.append("which followed on\n")
    return "".join(lines).rstrip("\n")


def _kind_of(error: BaseException) -> str:
    kind = type(error).__qualname__
    if isinstance(error, _OPERATORS):
        return f"{kind}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{kind}: {error.strerror}"
    return kind


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

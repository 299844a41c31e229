"""JSON on standard output: pretty for one answer, in the order the keys were put."""

from __future__ import annotations

import sys

import orjson

from whichvariant.contracts import JsonValue


def print_json(value: JsonValue) -> None:
    """Print ``value``, indented by two."""
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)

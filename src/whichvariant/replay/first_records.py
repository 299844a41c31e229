"""The records of first samples, kept from tables while these are at hand.

Explaining a sample needs its record. Of a table it is a few rows, and finding them again means to
decode most of the source once more; so a worker keeps those that are the first samples of a cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgpack

from whichvariant.columns.arrow import without_nulls

_PARTS = ("traits", "location", "session", "stickyVariants")


class FirstRecords:
    """Rows of the tables of one unit, by the numbers of their records."""

    def __init__(self) -> None:
        self._kept: list[tuple[Sequence[int], Any]] = []

    def keep(self, table: Any, first: int, records: Sequence[int]) -> None:
        """Keep some rows of ``table``, the first row of which is the record ``first``."""
        if records:
            self._kept.append((records, table.take([record - first for record in records])))

    def packed(self, wanted: set[int]) -> dict[int, bytes]:
        """Those of ``wanted`` that were kept, as requests in msgpack; not what it cannot hold."""
        found = {}
        for records, table in self._kept:
            for row, record in enumerate(records):
                if record in wanted and record not in found:
                    with suppress(ValueError, TypeError, OverflowError):
                        found[record] = msgpack.packb(request_in(table.slice(row, 1)))
        return found


def request_in(row: Any) -> dict[str, Any]:
    """A row of a table as a request. A null says that there is nothing."""
    values: dict[str, Any] = without_nulls(row.to_pylist(maps_as_pydicts="lossy")[0])
    request: dict[str, Any] = {
        key: _parsed(values.pop(key)) for key in ("device", "events") if key in values
    }
    profile: dict[str, Any] = {}
    for name, value in values.items():
        if name in _PARTS:
            profile[name] = {**_parsed(value), **profile.get(name, {})}
        elif name.split(".", 1)[0] in _PARTS:
            *path, last = name.split(".")
            node = profile
            for key in path:
                node = node.setdefault(key, {})
            node[last] = value
        elif name in ("id", "stableId"):
            profile[name] = value
    return {"profile": profile, **request}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    return json.loads(value)

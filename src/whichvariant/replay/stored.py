"""Stored selections: what records say their visitors got, as the old side of a replay.

A record has them as ``experiences`` beside its profile, as a response of the API has, or in it: a
list of ``{"experienceId", "variantIndex"}``, further keys allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import orjson

from whichvariant.columns import ColumnsResult, Intake
from whichvariant.engine import Engine
from whichvariant.errors import InputError, ProfileError
from whichvariant.replay.batches import StoredSide
from whichvariant.replay.reading import Decided

HIGHEST_INDEX = 63
"""The highest variant index that a stored selection may have."""

_BETWEEN = b" \t\r\n,["
_BOM = b"\xef\xbb\xbf"


class StoredSelections:
    """Reads the old side of batches from their records."""

    def __init__(self, new: Engine) -> None:
        self._engine = new
        self._numbers = {
            identifier: number for number, identifier in enumerate(new.program.experience_ids)
        }

    def of(
        self, form: str, decided: Decided, new: ColumnsResult, first_record: int
    ) -> tuple[StoredSide, dict[int, InputError]]:
        """The old side of a batch, and the rows that have none, with the reason.

        ``first_record`` is the number of the first record in the batch's bytes.
        """
        if decided.table is not None:
            values = _column_values(decided.table)
        else:
            by_record = dict(enumerate(records_in(form, decided.data, self._engine), first_record))
            values = [
                _experiences_of(parsed_record(form, by_record[int(record)]))
                for record in decided.records
            ]
        variants = np.full(new.variants.shape, new.absent, new.variants.dtype)
        others: list[tuple[int, str, int]] = []
        refused: dict[int, InputError] = {}
        for row, value in enumerate(values):
            try:
                for identifier, index in _pairs(value):
                    number = self._numbers.get(identifier)
                    if number is None:
                        others.append((row, identifier, index))
                    else:
                        variants[number, row] = index
            except InputError as error:
                refused[row] = error
        return StoredSide(variants, tuple(others)), refused


def _pairs(value: Any) -> Iterator[tuple[str, int]]:
    if not isinstance(value, list):
        raise ProfileError("experiences", "there are no stored selections")
    seen = set()
    for number, record in enumerate(value):
        place = f"experiences[{number}]"
        if not isinstance(record, dict):
            raise ProfileError(place, "expected an object")
        identifier, index = record.get("experienceId"), record.get("variantIndex")
        if not isinstance(identifier, str):
            raise ProfileError(f"{place}.experienceId", "expected a text")
        if isinstance(index, bool) or not isinstance(index, int):
            raise ProfileError(f"{place}.variantIndex", "expected a whole number")
        if not 0 <= index <= HIGHEST_INDEX:
            raise ProfileError(f"{place}.variantIndex", f"expected 0 to {HIGHEST_INDEX}")
        if identifier in seen:
            raise ProfileError(f"{place}.experienceId", "this experience is there twice")
        seen.add(identifier)
        yield identifier, index


def _experiences_of(record: Any) -> Any:
    """The stored selections of one record, wherever they stand; None for none."""
    for holder in (record, record.get("data"), record.get("profile")):
        if isinstance(holder, dict) and "experiences" in holder:
            return holder["experiences"]
    return None


def _column_values(table: Any) -> list[Any]:
    if "experiences" not in table.schema.names:
        return [None] * table.num_rows
    values = table.column("experiences").to_pylist()
    return [_parsed(value) if isinstance(value, str) else value for value in values]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def parsed_record(form: str, data: bytes) -> Any:
    """What one record holds.

    Raises:
        ValueError: it holds nothing.
    """
    if form != "msgpack":
        return orjson.loads(data)
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except (TypeError, msgpack.UnpackException) as error:
        raise ValueError(str(error)) from None


def records_in(form: str, data: bytes, engine: Engine) -> Iterator[bytes]:
    """The records in a stretch of a source that begins and ends between records.

    Those that no engine takes are among them.
    """
    if form == "ndjson":
        for line in data.removeprefix(_BOM).split(b"\n"):
            if line and not line.isspace():
                yield line.strip()
    elif form == "msgpack":
        unpacker = msgpack.Unpacker(max_buffer_size=0)
        unpacker.feed(data)
        start = 0
        while start < len(data):
            try:
                unpacker.skip()
            except (ValueError, msgpack.UnpackException):
                # Cut off, or no msgpack: the last thing there is.
                yield data[start:]
                return
            yield data[start : unpacker.tell()]
            start = unpacker.tell()
    else:
        yield from _elements(data.removeprefix(_BOM).lstrip(_BETWEEN), engine)


def _elements(data: bytes, engine: Engine) -> Iterator[bytes]:
    """The elements of a stretch of an array, told apart by the core's own reader."""
    intake = Intake(engine, rows=1)
    intake.begin("json")
    data = b"[" + data
    at = 0
    while at < len(data):
        start = at
        at += intake.feed(memoryview(data)[at:], final=True)
        for rejected in intake.take_rejected():
            yield data[rejected.offset : rejected.offset + rejected.length]
            start = rejected.offset + rejected.length
        if intake.n_rows:
            yield data[start:at].strip(_BETWEEN)
            intake.evaluate()
        elif at == start:
            return

"""Documents: bytes, files and callers' objects, read as plain JSON values of bounded size.

A document that leaves this module holds only dict (with text keys), list, str, int, float, bool and
None, nested at most 256 deep, without NaN, infinities, lone surrogates or integers beyond 64 bits,
and has one of the known shapes (docs/configuration.md "Documents").
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgpack
import orjson

from whichvariant.contracts import JsonValue
from whichvariant.errors import DocumentError
from whichvariant.loading.reports import Place, json_type, path_text, shown

DocumentKind: TypeAlias = Literal["native", "export", "delivery", "entry"]

FORMAT: Final = "whichvariant/1"
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
MAX_NESTING: Final = 256
MAX_VALUES: Final = 10_000_000
"""Values in one document that was not read as JSON text, whose length bounds it already."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_MSGPACK_LIST_ITEMS: Final = 1_000_000
"""msgpack makes room for as many items as a list's header claims; this bounds what it believes."""


@dataclass(slots=True)
class Document:
    """One source: the name to show for it, and its content as plain JSON values."""

    name: str
    data: dict[str, JsonValue]
    _checked: bool = field(default=False, init=False, repr=False, compare=False)

    @property
    def checked(self) -> bool:
        """Whether this module made the document, so that its data is known to be plain."""
        return self._checked


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a configuration file; the document's name is the path as given.

    Raises DocumentError when the file cannot be read or is not a configuration document.
    """
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DocumentError(f"cannot be read: {reason}", source=name) from error
    except ValueError as error:
        raise DocumentError(f"cannot be read: {error}", source=name) from error
    return parse_document(data, name)


def parse_document(data: bytes | bytearray | memoryview, name: str) -> Document:
    """Parse JSON text in UTF-8 (a byte order mark is tolerated), or msgpack.

    It is msgpack when the first byte cannot start JSON text. Raises DocumentError with the position
    or the path of what is wrong.
    """
    content = memoryview(data).cast("B")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DocumentError("is larger than 256 MiB", source=name)
    start = bytes(content[:3])
    if not start:
        raise DocumentError("is empty", source=name)
    if start == _BYTE_ORDER_MARK:
        content = content[3:]
    elif start[:2] in _UTF16_MARKS:
        raise DocumentError("is UTF-16 text; JSON has to be UTF-8", source=name)
    elif start[0] >= 0x80:
        return check_document(_unpack(content, name), name)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"is not valid JSON: {error}", source=name) from error
    document = _shaped(value, name)
    _check_nesting(document.data, name)
    return document


def check_document(data: object, name: str) -> Document:
    """Make a document of a caller's object: a deep copy in plain JSON values.

    Mappings are taken as objects, lists and tuples as lists, and integers beyond 64 bits as
    doubles, which is what reading them from JSON text gives. Raises DocumentError with the path for
    anything that JSON cannot hold (other types, keys that are not text, NaN, infinities, lone
    surrogates), for nesting beyond 256, which is also how a cycle ends, and for an unknown shape.
    """
    return _shaped(_plain_copy(data, name), name)


def document_kind(data: Mapping[str, JsonValue]) -> DocumentKind | None:
    """Which of the known shapes the data has; None for none of them."""
    if "format" in data:
        return "native" if data["format"] == FORMAT else None
    if isinstance(data.get("experiences"), list) or isinstance(data.get("audiences"), list):
        return "native"
    if isinstance(data.get("entries"), list):
        return "export"
    if isinstance(data.get("items"), list):
        return "delivery"
    sys, fields = data.get("sys"), data.get("fields")
    if isinstance(sys, dict) and sys.get("type") == "Entry" and isinstance(fields, dict):
        return "entry"
    return None


def _shaped(value: JsonValue, name: str) -> Document:
    if not isinstance(value, dict):
        raise DocumentError(f"expected an object, got {json_type(value)}", source=name)
    if document_kind(value) is None:
        if "format" in value:
            message = f"expected {FORMAT!r}, got {shown(value['format'])}"
            raise DocumentError(message, source=name, path="format")
        raise DocumentError(
            "is no configuration: it has neither `experiences` or `audiences` (native), nor "
            "`entries` (a space export), nor `items` or a single entry (Delivery API)",
            source=name,
        )
    document = Document(name, value)
    document._checked = True
    return document


def _check_nesting(data: dict[str, JsonValue], name: str) -> None:
    """Refuse parsed JSON that nests too deep, one level of containers at a time."""
    levels: list[list[Any]] = [[data]]
    while len(levels) <= MAX_NESTING:
        below = [
            child
            for container in levels[-1]
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not below:
            return
        levels.append(below)
    # The path of one offender, found by asking each level for the container that holds it.
    steps: list[str | int] = []
    child = levels.pop()[0]
    while levels:
        for container in levels.pop():
            pairs = container.items() if type(container) is dict else enumerate(container)
            found = next((key for key, value in pairs if value is child), None)
            if found is not None:
                steps.append(found)
                child = container
                break
    place: Place = ""
    for step in reversed(steps):
        place = (place, step)
    raise DocumentError(
        f"is nested deeper than {MAX_NESTING} levels", source=name, path=path_text(place)
    )


class _Pairs(list[tuple[object, object]]):
    """A msgpack map as its pairs, for when its keys cannot be the keys of a dict."""


def _unpack(content: memoryview, name: str) -> object:
    limits = {
        "strict_map_key": False,
        "max_array_len": min(len(content), _MSGPACK_LIST_ITEMS),
        "max_map_len": min(len(content), _MSGPACK_LIST_ITEMS),
    }
    try:
        try:
            return msgpack.unpackb(content, **limits)
        except TypeError:
            # A map or list as a key is not hashable. Read again for the path to it.
            return msgpack.unpackb(content, object_pairs_hook=_Pairs, **limits)
    except msgpack.ExtraData as error:
        message = f"is neither JSON nor msgpack: {len(error.extra)} bytes follow the first value"
        raise DocumentError(message, source=name) from error
    except msgpack.StackError as error:
        raise DocumentError(f"is nested deeper than {MAX_NESTING} levels", source=name) from error
    except (ValueError, MemoryError) as error:
        reason = str(error) or "not a msgpack format"
        raise DocumentError(f"is not valid msgpack: {reason}", source=name) from error


_Work: TypeAlias = tuple[Any, "list[JsonValue] | dict[str, JsonValue]", int, Place]
"""A container to copy: the source, its copy so far, its depth, and its place."""


def _plain_copy(root: object, name: str) -> JsonValue:
    """Copy a foreign value into plain JSON values without recursion, or raise DocumentError."""

    def refuse(place: Place, message: str) -> DocumentError:
        return DocumentError(message, source=name, path=path_text(place))

    def text(value: str, place: Place) -> str:
        # A subclass may print as something else than it holds, so its own __str__ is not asked.
        plain = value if type(value) is str else str.__str__(value)
        if not plain.isascii():
            try:
                plain.encode()
            except UnicodeEncodeError as error:
                message = f"has a lone surrogate at character {error.start}"
                raise refuse(place, message) from error
        return plain

    def copied(value: object, place: Place, depth: int) -> JsonValue:
        if isinstance(value, str):
            return text(value, place)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            whole = int.__int__(value)
            if _INT64_MIN <= whole <= _UINT64_MAX:
                return whole
            try:
                return float(whole)
            except OverflowError:
                raise refuse(place, "is an integer too large for a double") from None
        if isinstance(value, float):
            number = float.__float__(value)
            if not math.isfinite(number):
                raise refuse(place, f"is {number}, which JSON cannot hold")
            return number
        if isinstance(value, msgpack.ExtType):
            raise refuse(place, f"is a msgpack extension (type {value.code}), not JSON")
        if isinstance(value, (Mapping, _Pairs)):
            copy: Any = {}
        elif isinstance(value, (list, tuple)):
            copy = []
        elif isinstance(value, (bytes, bytearray, memoryview)):
            raise refuse(place, "is binary data, not JSON")
        else:
            raise refuse(place, f"is a Python {type(value).__name__}, not JSON")
        if depth > MAX_NESTING:
            message = f"is nested deeper than {MAX_NESTING} levels, or contains itself"
            raise refuse(place, message)
        waiting.append((value, copy, depth, place))
        return copy

    waiting: list[_Work] = []
    result = copied(root, "", 1)
    values = 0
    while waiting:
        source, target, depth, place = waiting.pop()
        values += len(source)
        if values > MAX_VALUES:
            raise refuse("", f"holds more than {MAX_VALUES:,} values, or contains itself")
        if isinstance(target, list):
            for index, value in enumerate(source):
                target.append(copied(value, (place, index), depth + 1))
            continue
        for key, value in source if isinstance(source, _Pairs) else source.items():
            if not isinstance(key, str):
                raise refuse(place, f"has a key that is not text but {_key_type(key)}")
            here = (place, key)
            target[text(key, here)] = copied(value, here, depth + 1)
    return result


def _key_type(key: object) -> str:
    return "null" if key is None else f"a Python {type(key).__name__}"

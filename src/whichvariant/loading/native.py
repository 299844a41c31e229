"""The native document: the vendor's field names in three flat lists (docs/configuration.md)."""

from __future__ import annotations

from typing import Final

from whichvariant.contracts import JsonValue
from whichvariant.loading.documents import Document
from whichvariant.loading.entries import EntryKind, RawEntry
from whichvariant.loading.reports import Report, json_type

LISTS: Final[dict[str, EntryKind]] = {
    "audiences": "audience",
    "experiences": "experience",
    "mergetags": "mergetag",
}


def read_native(document: Document, report: Report) -> list[RawEntry]:
    """The raw entries of a native document. What is no entry goes into the document's report."""
    entries: list[RawEntry] = []
    for name, kind in LISTS.items():
        value: JsonValue = document.data.get(name)
        if value is None:
            continue
        if not isinstance(value, list):
            message = f"expected a list, got {json_type(value)}"
            report.add("malformed-document", name, message)
            continue
        for index, fields in enumerate(value):
            place = f"{name}[{index}]"
            if isinstance(fields, dict):
                entries.append(RawEntry(kind, fields, place, Report(document.name)))
            else:
                report.wrong_type(place, "an object", fields)
    return entries

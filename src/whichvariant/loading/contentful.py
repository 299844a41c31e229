"""Contentful's shapes: the space export, and the Delivery API's responses.

Both give entries with ``sys`` and ``fields``. In an export each field is keyed by locale, and
drafts and archived entries are among the published ones; in a response fields are flat [doc].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from whichvariant.contracts import JsonValue
from whichvariant.loading.documents import Document, document_kind
from whichvariant.loading.entries import EntryKey, EntryKind, RawEntry
from whichvariant.loading.locales import locale_order
from whichvariant.loading.numeric import is_number
from whichvariant.loading.reports import Report, json_type, path_text

CONTENT_TYPES: Final[dict[str, EntryKind]] = {
    "nt_audience": "audience",
    "nt_experience": "experience",
    "nt_mergetag": "mergetag",
}


@dataclass(slots=True)
class ContentfulEntries:
    """The raw entries of a document, and why others are not served: ``a draft`` or ``archived``."""

    entries: list[RawEntry] = field(default_factory=list)
    unserved: dict[EntryKey, str] = field(default_factory=dict)


def read_contentful(document: Document, locale: str | None, report: Report) -> ContentfulEntries:
    """Read an export, a Delivery API response, or one entry of one.

    ``locale`` is the one asked for; only exports have a choice. Raises DocumentError when an export
    does not have it, or does not say which of several is the default. What cannot even be told to
    be one of our entries goes into the document's report.
    """
    exported = document_kind(document.data) == "export"
    found = ContentfulEntries()
    nodes = list(_our_entries(document.data, report))
    locales = (
        locale_order(document, [node.get("fields") for _, _, node in nodes], locale)
        if exported
        else ()
    )
    for place, kind, node in nodes:
        sys = node["sys"]
        sys_id = sys.get("id")
        key = (_space_id(sys), sys_id if isinstance(sys_id, str) else "")
        state = unserved_state(sys, exported)
        if state is not None:
            found.unserved[key] = state
            continue
        own = Report(document.name, key[1])
        raw = RawEntry(kind, {}, path_text((place, "fields")), own, key, sys.get("updatedAt"))
        if not key[1]:
            own.wrong_type(((place, "sys"), "id"), "text", sys_id)
        fields = node.get("fields", {})
        if not isinstance(fields, dict):
            own.wrong_type(raw.place, "an object", fields)
            raw.readable = False
        elif exported:
            raw.fields = _localised(fields, locales, raw)
            _note_unpublished_changes(sys, place, own)
        else:
            raw.fields = fields
        found.entries.append(raw)
    return found


_Node = tuple[str, EntryKind, dict[str, JsonValue]]


def _our_entries(data: dict[str, JsonValue], report: Report) -> Iterator[_Node]:
    """Place, kind and node of each entry of our content types."""
    for place, node in _all_entries(data, report):
        if not isinstance(node, dict):
            report.wrong_type(place, "an object", node)
            continue
        sys = node.get("sys")
        if not isinstance(sys, dict):
            report.wrong_type((place, "sys"), "an object", sys)
            continue
        type_ = sys.get("type")
        if isinstance(type_, str) and type_ != "Entry":
            continue  # Assets and tombstones of deleted entries stand in the same lists.
        content_type = _link_id(sys.get("contentType"))
        if content_type is None:
            message = "the entry does not say its content type"
            report.add("wrong-type", ((place, "sys"), "contentType"), message)
        elif content_type in CONTENT_TYPES:
            yield place, CONTENT_TYPES[content_type], node


def _all_entries(data: dict[str, JsonValue], report: Report) -> Iterator[tuple[str, JsonValue]]:
    kind = document_kind(data)
    if kind == "entry":
        yield "", data
        return
    name = "entries" if kind == "export" else "items"
    for index, node in enumerate(data[name]):
        yield f"{name}[{index}]", node
    includes = data.get("includes")
    if kind == "export" or includes is None:
        return
    if not isinstance(includes, dict):
        message = f"expected an object, got {json_type(includes)}"
        report.add("malformed-document", "includes", message)
        return
    included = includes.get("Entry")
    if included is None:
        return
    if not isinstance(included, list):
        message = f"expected a list, got {json_type(included)}"
        report.add("malformed-document", "includes.Entry", message)
        return
    for index, node in enumerate(included):
        yield f"includes.Entry[{index}]", node


def _link_id(link: JsonValue) -> str | None:
    """The id in ``{"sys": {"id": …}}``, or None when it has another form."""
    sys = link.get("sys") if isinstance(link, dict) else None
    identifier = sys.get("id") if isinstance(sys, dict) else None
    return identifier if isinstance(identifier, str) else None


def _space_id(sys: dict[str, JsonValue]) -> str:
    return _link_id(sys.get("space")) or ""


def unserved_state(sys: dict[str, JsonValue], exported: bool) -> str | None:
    """Why an entry is not served, ``archived`` or ``a draft``; None if it is."""
    if sys.get("archivedVersion") is not None or sys.get("archivedAt") is not None:
        return "archived"
    # A response of the Delivery API holds published entries only, and older ones do not say so.
    if exported and sys.get("publishedVersion") is None and sys.get("publishedAt") is None:
        return "a draft"
    return None


def _note_unpublished_changes(sys: dict[str, JsonValue], place: str, report: Report) -> None:
    """Warn where an export shows an editor's changes: publishing itself adds one to the version."""
    version, published = sys.get("version"), sys.get("publishedVersion")
    if is_number(version) and is_number(published) and version > published + 1:
        message = f"version {version} is exported, version {published} is published"
        report.add("unpublished-changes", ((place, "sys"), "version"), message)


def _localised(
    fields: dict[str, JsonValue], locales: tuple[str, ...], raw: RawEntry
) -> dict[str, JsonValue]:
    """Each field's value in the first of the locales that has one."""
    flat: dict[str, JsonValue] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            known = (value[code] for code in locales if value.get(code) is not None)
            flat[name] = next(known, None)
        elif value is not None:
            raw.report.wrong_type((raw.place, name), "an object keyed by locale", value)
    return flat

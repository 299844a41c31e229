"""Contentful documents with their links resolved: objects that hold each other.

That is what Contentful's own clients make of a response, and what `resolve` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from whichvariant.entries.shapes import link_of
from whichvariant.errors import DocumentError
from whichvariant.loading import check_document
from whichvariant.loading.contentful import unserved_state
from whichvariant.loading.documents import Document, document_kind
from whichvariant.loading.locales import locale_order


class LinkedEntries(NamedTuple):
    """The entries of a document, linked.

    Attributes
    ----------
    items
        Those that were asked for, in the document's order; of an export all.
    by_id
        Every entry, those that came along with a response too.
    """

    items: list[dict[str, Any]]
    by_id: dict[str, dict[str, Any]]


def link_entries(document: Mapping[str, Any], *, locale: str | None = None) -> LinkedEntries:
    """The published entries of a Delivery API response, of one entry, or of a space export.

    A link to an entry or asset that is in the document becomes that object, the same one wherever
    it is linked; other links stay. Fields of an export, which has them by locale, are read in
    ``locale`` with its fallbacks, by default the export's own default locale. The document is
    copied.

    Raises
    ------
    DocumentError
        It is no such document, or does not have the locale.
    """
    checked = check_document(document, "entries")
    kind = document_kind(checked.data)
    if kind not in {"export", "delivery", "entry"}:
        raise DocumentError("no Contentful entries: a native document", source="entries")
    exported = kind == "export"
    # Assets have ids of their own: the same text may name an entry and an asset.
    found: dict[tuple[str, str], dict[str, Any]] = {}
    items = []
    nodes = [
        (linked, node)
        for linked, node in _nodes(checked.data, kind)
        if isinstance(node, dict) and isinstance(node.get("sys"), dict)
    ]
    locales = _locales(checked, nodes, locale) if exported else ()
    for asked, node in nodes:
        sys = node["sys"]
        sort = str(sys.get("type", "Entry"))
        if not isinstance(sys.get("id"), str) or unserved_state(sys, exported) is not None:
            continue
        fields = node.get("fields")
        known = fields if isinstance(fields, dict) else {}
        made = {**node, "fields": _flat(known, locales) if exported else known}
        # A response may repeat an entry among its includes.
        held = found.setdefault((sort, sys["id"]), made)
        if asked and sort == "Entry":
            items.append(held)
    for made in found.values():
        made["fields"] = _linked(made["fields"], found)
    by_id = {name: made for (sort, name), made in found.items() if sort == "Entry"}
    return LinkedEntries(items, by_id)


def _nodes(data: dict[str, Any], kind: str) -> Iterator[tuple[bool, Any]]:
    """Each entry and asset, and whether it is one of those that were asked for."""
    if kind == "entry":
        yield True, data
        return
    for node in data["entries" if kind == "export" else "items"]:
        yield True, node
    included = data.get("includes")
    groups = [data.get("assets")] if kind == "export" else []
    groups += [included.get("Entry"), included.get("Asset")] if isinstance(included, dict) else []
    for group in groups:
        for node in group if isinstance(group, list) else []:
            yield False, node


def _locales(
    document: Document, nodes: list[tuple[bool, dict[str, Any]]], asked: str | None
) -> tuple[str, ...]:
    return locale_order(document, [node.get("fields") for _, node in nodes], asked)


def _flat(fields: dict[str, Any], locales: tuple[str, ...]) -> dict[str, Any]:
    """Each field's value in the first of the locales that has one; others are not there."""
    flat = {}
    for name, value in fields.items():
        values = value if isinstance(value, dict) else {}
        known = next((values[code] for code in locales if values.get(code) is not None), None)
        if known is not None:
            flat[name] = known
    return flat


def _linked(value: Any, found: dict[tuple[str, str], dict[str, Any]]) -> Any:
    # A document that was checked is nested 256 deep at most.
    if isinstance(value, dict):
        link = link_of(value)
        if link is not None:
            return found.get(link, value)
        return {name: _linked(item, found) for name, item in value.items()}
    if isinstance(value, list):
        return [_linked(item, found) for item in value]
    return value

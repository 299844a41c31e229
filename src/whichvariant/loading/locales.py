"""The locales of a space export: which to try for a field, in which order."""

from __future__ import annotations

from collections.abc import Iterable

from whichvariant.contracts import JsonValue
from whichvariant.errors import DocumentError
from whichvariant.loading.documents import Document
from whichvariant.loading.reports import json_type


def locale_order(
    document: Document, all_fields: Iterable[JsonValue], asked: str | None
) -> tuple[str, ...]:
    """The locales to try for each field: the one asked for, its fallbacks, then the default.

    ``all_fields`` are the fields of the entries that are read. The default comes last because a
    field that is not localised has a value only there. Raises DocumentError when the export does
    not have the locale, or does not say which of several is the default.
    """
    fallbacks, default = _declared_locales(document)
    if not fallbacks:
        # An export of content alone lists no locales. One that all fields share is no guess.
        codes = sorted(
            {
                code
                for fields in all_fields
                if isinstance(fields, dict)
                for value in fields.values()
                if isinstance(value, dict)
                for code in value
            }
        )
        fallbacks = dict.fromkeys(codes)
        default = codes[0] if len(codes) == 1 else None
    known = ", ".join(fallbacks) or "none"
    if asked is not None and asked not in fallbacks and fallbacks:
        message = f"has no locale {asked!r}; it has {known}"
        raise DocumentError(message, source=document.name, path="locales")
    if asked is None and default is None and fallbacks:
        message = f"does not say which locale is the default; ask for one of {known}"
        raise DocumentError(message, source=document.name, path="locales")
    order: list[str] = []
    code = asked if asked is not None else default
    while code is not None and code not in order:
        order.append(code)
        code = fallbacks.get(code)
    if default is not None and default not in order:
        order.append(default)
    return tuple(order)


def _declared_locales(document: Document) -> tuple[dict[str, str | None], str | None]:
    """Each locale's fallback, and the default, as the export's ``locales`` has them."""

    def refuse(path: str, expected: str, value: JsonValue) -> DocumentError:
        message = f"expected {expected}, got {json_type(value)}"
        return DocumentError(message, source=document.name, path=path)

    locales = document.data.get("locales")
    if locales is None:
        return {}, None
    if not isinstance(locales, list):
        raise refuse("locales", "a list", locales)
    fallbacks: dict[str, str | None] = {}
    default: str | None = None
    for index, entry in enumerate(locales):
        place = f"locales[{index}]"
        if not isinstance(entry, dict):
            raise refuse(place, "an object", entry)
        code, fallback = entry.get("code"), entry.get("fallbackCode")
        if not isinstance(code, str):
            raise refuse(f"{place}.code", "text", code)
        if fallback is not None and not isinstance(fallback, str):
            raise refuse(f"{place}.fallbackCode", "text", fallback)
        fallbacks[code] = fallback
        if entry.get("default") is True:
            default = code
    if default is None and len(fallbacks) == 1:
        default = next(iter(fallbacks))
    return fallbacks, default

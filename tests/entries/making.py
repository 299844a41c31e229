"""Entries as the Delivery API gives them, in a word."""

from __future__ import annotations

from typing import Any


def entry(identifier: str, kind: str = "hero", **fields: Any) -> Any:
    """An entry of a content type, with these fields."""
    content_type = {"sys": {"type": "Link", "linkType": "ContentType", "id": kind}}
    return {
        "sys": {"id": identifier, "type": "Entry", "contentType": content_type},
        "metadata": {"tags": []},
        "fields": fields,
    }

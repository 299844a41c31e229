"""The envelope around every answer (reference: "Response envelope")."""

from __future__ import annotations

from typing import Any

import orjson

INVALID_DATA = "ERR_INVALID_DATA"
INTERNAL = "ERR_INTERNAL_SERVER_ERROR"


def success(data: Any) -> bytes:
    """An answer with data."""
    return orjson.dumps({"data": data, "error": None, "message": "ok"})


def failure(code: str, message: str) -> bytes:
    """An answer that says what went wrong.

    Parts of a message may be quoted from what a client sent; characters that UTF-8 does not have
    are replaced.
    """
    text = message.encode("utf-8", "replace").decode()
    return orjson.dumps({"message": text, "data": {}, "error": {"code": code}})

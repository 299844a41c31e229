"""Which pages of other origins may call, and what they are told about it (CORS)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

EXPOSED = b"traceparent, x-whichvariant-configuration, retry-after, etag"
_MAX_AGE_S = b"86400"
_LONGEST = 1_024


class Cors:
    """The headers for pages of other origins.

    With '*' among ``origins`` every page may call, as with the hosted API. Credentials are never
    allowed: nothing here is decided by cookies.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        allowed = frozenset(origin.encode() for origin in origins)
        self._every = b"*" in allowed
        self._allowed = allowed

    def headers(self, headers: Mapping[bytes, bytes]) -> Headers:
        """What an answer carries."""
        if self._every:
            return _FOR_ALL
        origin = headers.get(b"origin")
        if origin is None or origin not in self._allowed:
            return _VARIES
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            *_VARIES,
        )

    def preflight(self, headers: Mapping[bytes, bytes], methods: str) -> Headers:
        """What the browser is answered that asks before it calls."""
        answer = self.headers(headers)
        if answer is _VARIES:
            return answer
        asked = headers.get(b"access-control-request-headers", b"content-type")[:_LONGEST]
        return (
            *answer,
            (b"access-control-allow-methods", methods.encode()),
            # Whatever a page would like to send: what is not read here does no harm.
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", _MAX_AGE_S),
            (b"vary", b"access-control-request-headers"),
        )


_FOR_ALL: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", EXPOSED),
)
_VARIES: Headers = ((b"vary", b"origin"),)

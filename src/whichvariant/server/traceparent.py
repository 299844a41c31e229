"""Who asked, across services: the `traceparent` header (W3C Trace Context, level 1)."""

from __future__ import annotations

import random
import re

# Version 00 has exactly these parts; later ones may have more, which are not passed on.
_FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?=-|$)")
_LONGEST = 512
_NONE = (b"0" * 32, b"0" * 16)


def trace_id(given: bytes | None) -> str | None:
    """The number of a caller's trace; None if the header is missing or to be ignored."""
    found = None if given is None or len(given) > _LONGEST else _FORM.match(given)
    return None if found is None or found[1] == _NONE[0] else found[1].decode()


def own_traceparent(given: bytes | None) -> bytes | None:
    """The header for an answer: the caller's trace, and a number for our part of it.

    None if the caller sent none, or one that is to be ignored.
    """
    if given is None or len(given) > _LONGEST:
        return None
    found = _FORM.match(given)
    if found is None or found[1] == _NONE[0] or found[2] == _NONE[1]:
        return None
    # Not a secret: it only has to differ from others of the same trace.
    span = random.getrandbits(64) or 1
    return b"00-%b-%016x-%b" % (found[1], span, found[3])

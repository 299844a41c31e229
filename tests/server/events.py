"""Events as clients send them."""

from __future__ import annotations

import itertools
from typing import Any

_numbers = itertools.count(1)

PAGE = {
    "path": "/",
    "query": {},
    "referrer": "",
    "search": "",
    "url": "https://shop.example/",
}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event with all that is required but what ``fields`` has to say."""
    return {
        "channel": "web",
        "context": {"library": {"name": "tests", "version": "3.20.0"}},
        "messageId": f"message-{next(_numbers)}",
        "type": kind,
        **fields,
    }


def page(**properties: Any) -> dict[str, Any]:
    """A page view."""
    return event("page", properties={**PAGE, **properties})


def identify(user_id: str = "", **traits: Any) -> dict[str, Any]:
    """An identify event."""
    return event("identify", userId=user_id, traits=traits)

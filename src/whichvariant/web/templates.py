"""What template tags of every engine do: find the request's experiences, and write HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from whichvariant.web.experiences import Experiences, tracking_attributes

# What could end the element, or begin a comment, in a script (HTML Standard, "script").
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"}


def experiences_of(variables: Mapping[str, Any]) -> Experiences:
    """The experiences of a template's context: its own, or those of its request.

    Without any, as where a template is rendered for no request, everything is everybody's.
    """
    request = variables.get("request")
    state = getattr(request, "state", None)
    for found in (
        variables.get("experiences"),
        getattr(request, "experiences", None),
        getattr(state, "experiences", None),
    ):
        if isinstance(found, Experiences):
            return found
    return Experiences(lambda: None)


def tracking_html(entry: object) -> str:
    """The attributes of a resolved entry's element, escaped; none where nothing is shown."""
    if not isinstance(entry, Mapping):
        return ""
    attributes = tracking_attributes(entry)
    return " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())


def handoff_html(experiences: Experiences, element_id: str) -> str:
    """A script element that holds profile, experiences and changes as JSON."""
    text = json.dumps(experiences.handoff(), ensure_ascii=False, separators=(",", ":"))
    for character, escaped in _IN_SCRIPT.items():
        text = text.replace(character, escaped)
    return f'<script type="application/json" id="{escape(element_id)}">{text}</script>'

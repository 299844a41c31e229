"""Paths of findings, read back: where in a document they lead."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r'\.?([A-Za-z_$][A-Za-z0-9_$-]*)|\[(\d+)\]|\["((?:[^"]|"(?!\]))*)"\]')


def steps_of(path: str) -> list[str | int]:
    """``a.b[3]["odd key"]`` as ``["a", "b", 3, "odd key"]``."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        assert match is not None, path
        key, index, odd = match.groups()
        steps.append(int(index) if index is not None else key if key is not None else odd)
        position = match.end()
    return steps


def leads_somewhere(document: Any, path: str) -> bool:
    """Whether all of the path but its last step is there; a finding may be about an absence.

    Contentful leaves out an entry's ``fields`` when there are none.
    """
    value = document
    steps = steps_of(path)
    for step in steps[:-1]:
        try:
            value = value[step]
        except KeyError:
            return step == "fields"
        except (IndexError, TypeError):
            return False
    if not steps:
        return True
    return isinstance(value, list if isinstance(steps[-1], int) else dict)

"""The storefront of fixtures/: its engine, its visitors, and what they are known to get."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import pytest

from whichvariant import Engine

FOLDER = pathlib.Path(__file__).parents[2] / "fixtures" / "storefront"
NATIVE = FOLDER / "native.json"
SPACE = FOLDER / "space.json"
DOCUMENT: dict[str, Any] = json.loads(NATIVE.read_text(encoding="utf-8"))
NOW = 1_793_534_400_000


def lines(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


class Visitor:
    """One visitor: a profile, what a request says besides, and the answer."""

    def __init__(self, line: dict[str, Any], answer: dict[str, Any]) -> None:
        self.profile: dict[str, Any] = line.get("profile", line)
        self.situation: dict[str, Any] = {"now": NOW}
        if "profile" in line:
            self.situation |= {"device": line.get("device"), "events": line.get("events")}
        self.answer = answer


VISITORS = [
    Visitor(line, answer)
    for line, answer in zip(lines("profiles.ndjson"), lines("expected.ndjson"), strict=True)
]

each_visitor = pytest.mark.parametrize(
    "visitor", VISITORS, ids=[visitor.profile["id"][:16] for visitor in VISITORS]
)


@functools.cache
def engine_of(scheme: str = "murmur3") -> Engine:
    """One engine for all tests: it is immutable."""
    return Engine.from_dict({**DOCUMENT, "scheme": scheme})

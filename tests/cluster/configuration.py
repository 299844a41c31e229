"""The configuration that the clusters of these tests serve, in several releases.

It makes visible in every answer what the checker wants to know: how many events were counted, as
the audiences ``hits-001``, ``hits-002``, …; which variant a profile is locked to; which release
decided.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from tests.core.small import audience, document, experience

from whichvariant import Engine

MOST_HITS = 256
"""How many events of one profile can be told apart."""

LOCKED = "locked"
"""The sticky experience. Nobody gets anything but variant 0 by chance."""

VARIANTS = 4
RELEASE = "release"
"""The key of the change that names the release."""


def release(name: str, *, asks_anew: bool = False) -> dict[str, Any]:
    """A release of the configuration. ``asks_anew``: it counts something that others do not."""
    counters = {"hits": "hit", "any": "*"} if asks_anew else {"hits": "hit"}
    audiences = [
        audience(f"{prefix}-{count:03d}", _tracked(event, count))
        for prefix, event in counters.items()
        for count in range(1, MOST_HITS + 1)
    ]
    entries = [{"id": f"{LOCKED}-{number}"} for number in range(VARIANTS)]
    locked = experience(
        LOCKED,
        sticky=True,
        distribution=[1.0] + [0.0] * (VARIANTS - 1),
        components=[{"type": "EntryReplacement", "baseline": entries[0], "variants": entries[1:]}],
    )
    named = {"key": RELEASE, "valueType": "String", "baseline": {"value": name}, "variants": []}
    shown = experience(
        "shown", distribution=[1.0], components=[{"type": "InlineVariable", **named}]
    )
    return document([locked, shown], audiences)


def _tracked(event: str, count: int) -> dict[str, Any]:
    leaf = {"type": "track", "operator": "greaterThanInclusive", "value": event, "count": count}
    return {"any": [{"all": [leaf]}]}


class Releases:
    """A file with the configuration in it, that one release after the other is written to."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._documents = {name: release(name, asks_anew=name != "a") for name in ("a", "b")}
        self.digests = {
            name: Engine.from_dict(document).digest for name, document in self._documents.items()
        }
        self.now = ""
        self.publish("a")

    def publish(self, name: str) -> None:
        """Let the file have a release, whole from one moment to the next."""
        half = self.path.with_suffix(".new")
        half.write_text(json.dumps(self._documents[name]))
        os.replace(half, self.path)
        self.now = name

    def name_of(self, digest: str) -> str:
        """The release with a digest. KeyError if none has it."""
        return {digest: name for name, digest in self.digests.items()}[digest]

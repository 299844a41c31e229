"""Numbers for Prometheus (docs/server.md#metrics).

Requests leave their marks in plain lists and dicts, which costs well under a microsecond; only a
scrape makes metrics of them. Labels are the operator's words (organizations, environments,
experiences of configurations) or ours, never a visitor's: what clients make up grows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.server.routing import CREATE, FLAG, FLAGS, IMPORT, PROFILE, UPSERT

BOUNDS_S = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the latency's buckets, in seconds; one more bucket has the rest."""

ENDPOINTS = {
    (CREATE, "POST"): "create",
    (PROFILE, "POST"): "update",
    (PROFILE, "GET"): "get",
    (PROFILE, "DELETE"): "delete",
    (UPSERT, "POST"): "upsert",
    (IMPORT, "POST"): "import",
    (FLAG, "POST"): "flag",
    (FLAGS, "POST"): "flags",
}
PREFLIGHT, OTHER = "preflight", "other"

PUBLISH_S = 1.0
"""How often a worker writes its numbers down for the others."""

_FOLD = 256
_SUFFIX = ".numbers"


def endpoint_of(kind: str, method: str, query: bytes) -> str:
    """An endpoint's name, as in metrics, logs and traces."""
    name = ENDPOINTS.get((kind, method), OTHER)
    if query and name in {"create", "update"} and b"preflight" in query:
        return PREFLIGHT
    return name


class Latency(msgspec.Struct):
    """Requests of one endpoint with one status: how many in each bucket, and seconds in all."""

    endpoint: str
    status: int
    counts: list[int]
    seconds: float = 0.0


class Chosen(msgspec.Struct):
    """How often one experience was in an answer with one variant."""

    organization: str
    environment: str
    experience: str
    variant: int
    count: int


class Numbers(msgspec.Struct):
    """What one process counted. ``process`` names it, ``at_ms`` is when this was written."""

    process: str
    at_ms: int
    at_work: int
    latencies: list[Latency]
    chosen: list[Chosen]


class Metrics:
    """What this process has seen; ``at_work`` says how many requests are being worked on."""

    def __init__(self, at_work: Callable[[], int]) -> None:
        self._at_work = at_work
        self.process = f"{os.getpid()}-{clock.random_bytes(4).hex()}"
        self._latencies: dict[tuple[str, int], Latency] = {}
        self._pending: dict[Namespace, list[list[dict[str, Any]]]] = {}
        self._chosen: Counter[tuple[Namespace, str, int]] = Counter()

    # ---- the hot path -------------------------------------------------------------------------

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered."""
        latency = self._latencies.get((endpoint, status))
        if latency is None:
            latency = Latency(endpoint, status, [0] * (len(BOUNDS_S) + 1))
            self._latencies[endpoint, status] = latency
        latency.counts[bisect_left(BOUNDS_S, seconds)] += 1
        latency.seconds += seconds

    def selected(self, namespace: Namespace, experiences: list[dict[str, Any]]) -> None:
        """An answer of a namespace that is configured had these records, which never change."""
        pending = self._pending.get(namespace)
        if pending is None:
            pending = self._pending[namespace] = []
        pending.append(experiences)
        if len(pending) >= _FOLD:
            self._fold(namespace)

    def _fold(self, namespace: Namespace) -> None:
        """Count the records of the answers since last time.

        An engine hands out the same records again and again, so they are counted by identity, as
        long as they are held here, and read once each.
        """
        records = list(chain.from_iterable(self._pending.pop(namespace, ())))
        by_number = dict(zip(map(id, records), records, strict=True))
        for number, count in Counter(map(id, records)).items():
            record = by_number[number]
            self._chosen[namespace, record["experienceId"], record["variantIndex"]] += count

    # ---- what it comes to ---------------------------------------------------------------------

    def numbers(self) -> Numbers:
        """Everything so far."""
        for namespace in tuple(self._pending):
            self._fold(namespace)
        return Numbers(
            self.process,
            clock.now_ms(),
            self._at_work(),
            list(self._latencies.values()),
            [
                Chosen(*namespace, experience, variant, count)
                for (namespace, experience, variant), count in self._chosen.items()
            ],
        )


class Shared:
    """The numbers of all workers of one server, through files in a folder of theirs.

    Each worker writes its own, often. What a worker that died had counted stays counted.
    """

    def __init__(self, metrics: Metrics, folder: str | os.PathLike[str] | None) -> None:
        self._metrics = metrics
        self._folder = None if folder is None else pathlib.Path(folder)

    @property
    def among_others(self) -> bool:
        """Whether there may be other workers."""
        return self._folder is not None

    def publish(self) -> None:
        """Write this process's numbers down."""
        if self._folder is not None:
            path = self._folder / (self._metrics.process + _SUFFIX)
            # Others find the old numbers or the new ones. Nobody needs them after a power loss.
            beside = path.with_suffix(".new")
            beside.write_bytes(msgspec.msgpack.encode(self._metrics.numbers()))
            beside.replace(path)

    async def run(self) -> None:
        """Publish until cancelled, and once more then."""
        try:
            while True:
                self.publish()
                await asyncio.sleep(PUBLISH_S)
        finally:
            self.publish()

    def numbers(self) -> list[Numbers]:
        """The numbers of every process, this one's as they are now."""
        own = self._metrics.numbers()
        if self._folder is None:
            return [own]
        found = [own]
        for path in sorted(self._folder.glob("*" + _SUFFIX)):
            if path.stem != own.process:
                with contextlib.suppress(FileNotFoundError):
                    found.append(msgspec.msgpack.decode(path.read_bytes(), type=Numbers))
        return found

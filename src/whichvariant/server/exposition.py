"""Metrics in Prometheus' format, made of what `metrics` has counted (docs/server.md#metrics)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from whichvariant import __version__
from whichvariant.server.metrics import BOUNDS_S, PUBLISH_S, Numbers
from whichvariant.sources.catalog import Entry
from whichvariant.store.protocol import Pulse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PLACE = ("organization", "environment")
_BUCKETS = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
_LIVE_MS = 10_000 * PUBLISH_S


def exposition(
    numbers: Sequence[Numbers], entries: Iterable[Entry], pulse: Pulse | None, now_ms: int
) -> bytes:
    """All metrics of a server.

    Parameters
    ----------
    numbers
        Those of each process.
    entries
        The environments that are configured.
    pulse
        The store's; None if it does not answer.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(numbers, tuple(entries), pulse, now_ms))
    if len(numbers) == 1:
        # Of several processes nobody would know which one they are about.
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(
        self,
        numbers: Sequence[Numbers],
        entries: Sequence[Entry],
        pulse: Pulse | None,
        now_ms: int,
    ) -> None:
        self._numbers = numbers
        self._live = [one for one in numbers if one.at_ms > now_ms - _LIVE_MS]
        self._entries = entries
        self._pulse = pulse
        self._now_ms = now_ms

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "whichvariant_info", "The server's version.", ("version",), [((__version__,), 1)]
        )
        yield _one("whichvariant_workers", "Processes that serve.", len(self._live))
        yield _one(
            "whichvariant_requests_at_work",
            "Requests that are being worked on.",
            sum(one.at_work for one in self._live),
        )
        yield from self._requests()
        yield self._selections()
        yield from self._configurations()
        yield from self._store()

    def _requests(self) -> Iterator[Metric]:
        counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_BUCKETS))
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        overloads = {"429": 0, "503": 0}
        for latency in (latency for one in self._numbers for latency in one.latencies):
            key = (latency.endpoint, f"{latency.status // 100}xx")
            counts[key] = [a + b for a, b in zip(counts[key], latency.counts, strict=True)]
            seconds[key] += latency.seconds
            if str(latency.status) in overloads:
                overloads[str(latency.status)] += sum(latency.counts)
        durations = HistogramMetricFamily(
            "whichvariant_request_duration_seconds",
            "How long requests took, until their answer was handed over.",
            labels=("endpoint", "status"),
        )
        for key in sorted(counts):
            total = 0
            buckets = []
            for bound, count in zip(_BUCKETS, counts[key], strict=True):
                total += count
                buckets.append((bound, float(total)))
            durations.add_metric(key, buckets, seconds[key])
        yield durations
        refused = CounterMetricFamily(
            "whichvariant_overloads",
            "Requests refused for too much work: 429 about one profile, 503 altogether.",
            labels=("status",),
        )
        for status, count in overloads.items():
            refused.add_metric((status,), count)
        yield refused

    def _selections(self) -> Metric:
        totals: dict[tuple[str, str, str, str], int] = defaultdict(int)
        for chosen in (chosen for one in self._numbers for chosen in one.chosen):
            place = (chosen.organization, chosen.environment)
            totals[*place, chosen.experience, str(chosen.variant)] += chosen.count
        selections = CounterMetricFamily(
            "whichvariant_selections",
            "How often an experience was in an answer with a variant; 0 is the baseline.",
            labels=(*_PLACE, "experience", "variant"),
        )
        for key in sorted(totals):
            selections.add_metric(key, totals[key])
        return selections

    def _configurations(self) -> Iterator[Metric]:
        entries = [(tuple(entry.namespace), entry) for entry in self._entries]
        loaded = [(place, entry, entry.engine) for place, entry in entries if entry.engine]
        yield _gauge(
            "whichvariant_configuration_info",
            "The configuration that decides, by its digest.",
            (*_PLACE, "digest"),
            [((*place, engine.digest), 1) for place, _, engine in loaded],
        )
        yield _gauge(
            "whichvariant_configuration_loaded_timestamp_seconds",
            "Since when it decides.",
            _PLACE,
            [(place, entry.loaded_ms / 1000) for place, entry, _ in loaded],
        )
        yield _gauge(
            "whichvariant_configuration_experiences",
            "How many experiences it has.",
            _PLACE,
            [(place, len(engine.program.experience_ids)) for place, _, engine in loaded],
        )
        yield _gauge(
            "whichvariant_configuration_errors",
            "Errors in it; what they concern is left out.",
            _PLACE,
            [
                (place, sum(finding.severity == "error" for finding in engine.findings))
                for place, _, engine in loaded
            ],
        )
        yield _gauge(
            "whichvariant_configuration_trouble",
            "1 if the newest state of its source could not be used.",
            _PLACE,
            [(place, 1 if entry.trouble else 0) for place, entry in entries],
        )
        yield _gauge(
            "whichvariant_configuration_ready",
            "1 if there is a configuration to decide by.",
            _PLACE,
            [(place, 1 if entry.engine else 0) for place, entry in entries],
        )

    def _store(self) -> Iterator[Metric]:
        pulse = self._pulse
        yield _one("whichvariant_store_up", "1 if the store answers.", 0 if pulse is None else 1)
        if pulse is None:
            return
        age_s = 0.0 if pulse.oldest_ms is None else (self._now_ms - pulse.oldest_ms) / 1000
        yield _one("whichvariant_inbox_waiting", "Batches that wait.", pulse.waiting)
        yield _one(
            "whichvariant_inbox_oldest_seconds", "How long the oldest has waited.", max(0.0, age_s)
        )
        yield _one(
            "whichvariant_inbox_rejected", "Batches that could not be applied.", pulse.rejected
        )
        yield _one("whichvariant_store_size_bytes", "The store's files.", pulse.size_bytes)
        yield _one(
            "whichvariant_store_trouble",
            "1 if the store has trouble that fails no request yet.",
            1 if pulse.trouble else 0,
        )


def _gauge(
    name: str,
    help_text: str,
    labels: Sequence[str],
    values: Iterable[tuple[Sequence[str], float]],
) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _one(name: str, help_text: str, value: float) -> Metric:
    return _gauge(name, help_text, (), [((), value)])

"""How long a selection takes: batches for the throughput, single calls for the percentiles.

Absolute times depend on the machine and the minute. What is compared is therefore measured in
turns, batch by batch, and judged by the ratio within each turn.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from statistics import median, quantiles
from time import perf_counter_ns
from typing import TypeAlias

from whichvariant import Engine
from whichvariant.contracts import JsonValue

Call: TypeAlias = Callable[[], object]

_BATCH_NS = 10_000_000
"""A batch runs at least this long, a hundred thousand times the timer's resolution."""

_THROUGHPUT_SHARE = 0.65
_LEAST_TURNS = 5
_LEAST_CALLS = 50
_MOST_SAMPLES = 2_000_000
_WARM_UP_PASSES = 3

PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))


@dataclass(frozen=True, slots=True)
class BenchVisitor:
    """One visitor in every form that a selection takes."""

    raw: bytes
    profile: dict[str, JsonValue]
    device: str | None
    events: list[JsonValue] | None


@dataclass(slots=True)
class Series:
    """What is measured of one way to call: nanoseconds a call, by batch and by single call.

    A batch is ``passes`` times every ``stride``-th call. One of both is 1: few calls are repeated
    to fill a batch, many are spread over several, each a fair sample of all.
    """

    calls: Sequence[Call]
    batches_ns: list[float] = field(default_factory=list)
    samples_ns: array[int] = field(default_factory=lambda: array("q"))
    passes: int = 1
    stride: int = 1

    def warm_up(self) -> int:
        """Call everything until caches and branch predictors have seen it; nanoseconds a pass.

        The fastest pass counts: the others were interrupted.
        """
        passes_ns: list[int] = []
        while len(passes_ns) < _WARM_UP_PASSES or sum(passes_ns) < _BATCH_NS:
            passes_ns.append(_time(self.calls))
        return max(min(passes_ns), 1)

    def batch(self, turn: int) -> float:
        """Measure the batch of this turn: nanoseconds a call."""
        calls = self._calls_of(turn)
        elapsed_ns = sum(_time(calls) for _ in range(self.passes))
        per_call_ns = elapsed_ns / (self.passes * len(calls))
        self.batches_ns.append(per_call_ns)
        return per_call_ns

    def sample(self, turn: int) -> bool:
        """Measure each call of this turn on its own; False when there are samples enough."""
        if len(self.samples_ns) >= _MOST_SAMPLES:
            return False
        calls = self._calls_of(turn)
        # The series before this one may have emptied the caches; in a service of its own it would
        # not have.
        _time(calls)
        keep = self.samples_ns.append
        for call in calls:
            started = perf_counter_ns()
            call()
            keep(perf_counter_ns() - started)
        return True

    def _calls_of(self, turn: int) -> Sequence[Call]:
        return self.calls[turn % self.stride :: self.stride]

    def to_dict(self) -> dict[str, JsonValue]:
        """The figures: of batches the median and the best, of single calls the percentiles."""
        ordered = sorted(self.samples_ns)
        per_call_ns = median(self.batches_ns)
        return {
            "per_call_ns": round(per_call_ns, 1),
            "best_ns": round(min(self.batches_ns), 1),
            "per_second": round(1e9 / per_call_ns),
            "batches": len(self.batches_ns),
            "calls_a_batch": self.passes * -(-len(self.calls) // self.stride),
            "latency_ns": {
                **{
                    name: ordered[min(int(share * len(ordered)), len(ordered) - 1)]
                    for name, share in PERCENTILES
                },
                "max": ordered[-1],
                "samples": len(ordered),
            },
        }


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one takes as the other: the median turn, and the middle half."""

    median: float
    low: float
    high: float
    turns: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        return cls(median(ratios), low, high, len(ratios))

    def to_dict(self) -> dict[str, JsonValue]:
        """The figures, to four decimals."""
        return {
            "median": round(self.median, 4),
            "low_quartile": round(self.low, 4),
            "high_quartile": round(self.high, 4),
            "turns": self.turns,
        }


def engine_calls(
    engine: Engine, visitors: Sequence[BenchVisitor], now: int | None
) -> dict[str, list[Call]]:
    """Each way to select, as calls without arguments: one for each visitor."""

    def calls(
        select: Callable[..., object], of: Callable[[BenchVisitor], object], **more: object
    ) -> list[Call]:
        return [
            partial(select, of(visitor), device=visitor.device, events=visitor.events, **more)
            for visitor in visitors
        ]

    return {
        "dict in, shared records": calls(engine.select, _profile, now=now),
        "dict in, fresh records": calls(engine.select, _profile, now=now, fresh=True),
        "bytes in, bytes out": calls(engine.select_json, _raw, now=now),
    }


def empty_calls(visitors: Sequence[BenchVisitor]) -> list[Call]:
    """Calls in the same form that do nothing: what the measuring itself costs."""
    return [
        partial(_nothing, visitor.profile, device=visitor.device, events=visitor.events, now=None)
        for visitor in visitors
    ]


def measure(
    ways: Mapping[str, Sequence[Series]],
    seconds: float,
    progress: Callable[[float], None],
) -> dict[str, Ratio]:
    """Measure everything in turns for about ``seconds``; ``progress`` hears the share that is done.

    Each turn takes one batch of every series. The series of one way are rivals: their order is
    reversed every other turn, so that neither profits from being second. Returned are, for ways
    with two rivals, the ratios second / first.
    """
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    budget_ns = round(seconds * 1e9)
    with _steady_memory():
        for rivals in ways.values():
            _size_batches(rivals)
        started_ns = perf_counter_ns()
        for turn in count():
            spent_ns = perf_counter_ns() - started_ns
            progress(min(spent_ns / budget_ns, 1.0))
            if turn >= _LEAST_TURNS and spent_ns >= budget_ns * _THROUGHPUT_SHARE:
                break
            for name, rivals in ways.items():
                order = rivals if turn % 2 == 0 else rivals[::-1]
                took = {id(series): series.batch(turn) for series in order}
                if len(rivals) == 2:
                    ratios[name].append(took[id(rivals[1])] / took[id(rivals[0])])
        for turn in count():
            more = [series.sample(turn) for rivals in ways.values() for series in rivals]
            spent_ns = perf_counter_ns() - started_ns
            progress(min(spent_ns / budget_ns, 1.0))
            if spent_ns >= budget_ns or not any(more):
                break
    return {name: Ratio.of(values) for name, values in ratios.items() if values}


def _size_batches(rivals: Sequence[Series]) -> None:
    """Warm up, and give all rivals the same batches, of about the wanted length for the fastest."""
    pass_ns = min([series.warm_up() for series in rivals])
    for series in rivals:
        series.passes = max(1, -(-_BATCH_NS // pass_ns))
        series.stride = max(1, min(pass_ns // _BATCH_NS, len(series.calls) // _LEAST_CALLS))


def _time(calls: Sequence[Call]) -> int:
    """Nanoseconds for one pass over ``calls``."""
    started = perf_counter_ns()
    for call in calls:
        call()
    return perf_counter_ns() - started


@contextmanager
def _steady_memory() -> Iterator[None]:
    """Keep the collector on, as in a server, but away from what was there before the measuring."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _profile(visitor: BenchVisitor) -> object:
    return visitor.profile


def _raw(visitor: BenchVisitor) -> object:
    return visitor.raw


def _nothing(profile: object, *, device: object, events: object, now: object) -> None:
    """What an empty call calls."""

"""``whichvariant bench``: how fast a configuration is, on this machine."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import islice

import click
import orjson

from whichvariant import Engine, __version__
from whichvariant.atomic_write import write_atomically
from whichvariant.cli.bench_report import FORMAT, compare, read_saved, report_lines
from whichvariant.cli.inputs import blaming, open_profiles
from whichvariant.cli.json_output import print_json
from whichvariant.cli.measuring import (
    BenchVisitor,
    Series,
    empty_calls,
    engine_calls,
    measure,
)
from whichvariant.cli.options import (
    config_option,
    example,
    instant,
    json_option,
    lenient_option,
    load_engine,
)
from whichvariant.cli.synthetic_profiles import synthetic_visitors
from whichvariant.cli.terminal import Progress, Screen
from whichvariant.clock import now_ms
from whichvariant.contracts import JsonValue
from whichvariant.errors import WhichVariantError

_EMPTY = "empty call"
_YARDSTICK = "orjson.loads"
_SYNTHETIC_NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@click.command(
    short_help="Measure selection: throughput, and single calls.",
    epilog=example(
        "Example:  whichvariant bench --config space.json --against next.json --seconds 10",
        "Exit codes: 0 measured, 2 usage, unreadable or refused.",
    ),
)
@config_option
@click.option(
    "--profiles",
    "profiles_file",
    metavar="FILE",
    help="Visitors to measure with, one a line.  [default: made up from what the rules mention]",
)
@click.option(
    "--count",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="How many visitors to make up, or to read at most.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of made-up visitors.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=6.0,
    show_default=True,
    help="How long to measure, warm-up aside.",
)
@click.option(
    "--now",
    type=instant,
    metavar="TIME",
    help="The time that rules with a window count back from.  [default: for made-up visitors a"
    " fixed time, else the clock, read once]",
)
@click.option("--no-events", is_flag=True, help="Measure without the visitors' events.")
@click.option(
    "--against",
    metavar="FILE",
    multiple=True,
    help="Another configuration, measured in turns with the first. Repeat it as --config.",
)
@click.option("--save", "save_file", metavar="FILE", help="Write the result as JSON.")
@click.option("--compare", "compare_file", metavar="FILE", help="Compare with a saved result.")
@json_option
@lenient_option
def bench(
    *,
    configs: tuple[str, ...],
    profiles_file: str | None,
    count: int,
    seed: int,
    seconds: float,
    now: int | None,
    no_events: bool,
    against: tuple[str, ...],
    save_file: str | None,
    compare_file: str | None,
    as_json: bool,
    lenient: bool,
) -> None:
    """Measure selection: throughput, and percentiles of single calls.

    Measured are dicts and bytes in, shared and fresh records out. To compare two configurations
    use --against: both run in turns in one process. To compare two builds, --save with the one and
    --compare with the other, on the same quiet machine.
    """
    saved = read_saved(compare_file) if compare_file is not None else None
    if now is None:
        # Made-up events are dated back from it; a fixed time makes the same visitors every time.
        now = _SYNTHETIC_NOW_MS if profiles_file is None else now_ms()
    first = load_engine(configs, lenient=lenient)
    engines = [(configs, first)]
    if against:
        engines.append((against, load_engine(against, lenient=lenient)))
    if profiles_file is None:
        visitors = _made_up([engine for _, engine in engines], count, seed, now)
        origin = f"made up, seed {seed}"
    else:
        visitors = _read(profiles_file, count)
        origin = profiles_file
    if no_events:
        visitors = [replace(visitor, events=None) for visitor in visitors]
    for _, engine in engines:
        _check(engine, visitors, now)
    with Progress("measuring") as progress:
        data = _measured(engines, visitors, seconds, now, progress)
    data["visitors"] = {"origin": origin, **data["visitors"]}
    if saved is not None and compare_file is not None:
        data["compared"] = compare(saved, data, compare_file)
    if as_json:
        print_json(data)
    else:
        for line in report_lines(data, Screen.of()):
            sys.stdout.write(line + "\n")
    if save_file is not None:
        document = {key: value for key, value in data.items() if key != "compared"}
        write_atomically(save_file, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _measured(
    engines: Sequence[tuple[Sequence[str], Engine]],
    visitors: Sequence[BenchVisitor],
    seconds: float,
    now: int,
    progress: Progress,
) -> dict[str, JsonValue]:
    """The result as a JSON object."""
    ways: dict[str, list[Series]] = {
        _EMPTY: [Series(empty_calls(visitors))],
        _YARDSTICK: [Series([partial(orjson.loads, visitor.raw) for visitor in visitors])],
    }
    for _, engine in engines:
        for name, calls in engine_calls(engine, visitors, now).items():
            ways.setdefault(name, []).append(Series(calls))
    ratios = measure(ways, seconds, lambda done: progress.update(f"{done:.0%}"))
    empty, yardstick = ways.pop(_EMPTY)[0].to_dict(), ways.pop(_YARDSTICK)[0].to_dict()
    data: dict[str, JsonValue] = {
        "format": FORMAT,
        "whichvariant": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} CPUs",
        "seconds": seconds,
        "configuration": _facts(*engines[0]),
        "visitors": _visitor_facts(visitors),
        "overhead": {
            "call_ns": empty["per_call_ns"],
            "timed_call_ns": empty["latency_ns"]["p50"],
        },
        "yardstick": {"name": f"{_YARDSTICK} of the same profiles", **yardstick},
        "ways": {name: series[0].to_dict() for name, series in ways.items()},
    }
    if len(engines) > 1:
        data["against"] = {
            "configuration": _facts(*engines[1]),
            "ways": {name: series[1].to_dict() for name, series in ways.items()},
            "ratios": {name: ratio.to_dict() for name, ratio in ratios.items()},
        }
    return data


def _facts(files: Sequence[str], engine: Engine) -> dict[str, JsonValue]:
    return {
        "files": list(files),
        "digest": engine.digest,
        "scheme": engine.scheme,
        "experiences": len(engine.configuration.experiences),
        "audiences": len(engine.configuration.audiences),
    }


def _visitor_facts(visitors: Sequence[BenchVisitor]) -> dict[str, JsonValue]:
    """Enough to see whether two results were measured with the same visitors."""
    checksum = blake2b(digest_size=8)
    for visitor in visitors:
        checksum.update(orjson.dumps([visitor.profile, visitor.device, visitor.events]))
    return {
        "count": len(visitors),
        "mean_bytes": round(sum(len(visitor.raw) for visitor in visitors) / len(visitors)),
        "mean_events": round(
            sum(len(visitor.events or ()) for visitor in visitors) / len(visitors), 1
        ),
        "checksum": checksum.hexdigest(),
    }


def _made_up(engines: Sequence[Engine], count: int, seed: int, now: int) -> list[BenchVisitor]:
    configurations = [engine.configuration for engine in engines]
    return [
        BenchVisitor(orjson.dumps(visitor.profile), visitor.profile, visitor.device, visitor.events)
        for visitor in synthetic_visitors(configurations, count, seed=seed, now_ms=now)
    ]


def _read(path: str, count: int) -> list[BenchVisitor]:
    """The first ``count`` visitors of a file; a bad line ends it: half a workload is another."""
    visitors = []
    with open_profiles(path) as source:
        for line in islice(source, count):
            with blaming(source.place(line)):
                request = line.request()
            raw = orjson.dumps(request.profile)
            visitors.append(BenchVisitor(raw, request.profile, request.device, request.events))
    return visitors


def _check(engine: Engine, visitors: Sequence[BenchVisitor], now: int) -> None:
    """Select once in every way before any is measured: the time of a wrong answer says nothing."""
    for position, visitor in enumerate(visitors, start=1):
        with blaming(f"visitor {position}"):
            selection = engine.select(
                visitor.profile, device=visitor.device, events=visitor.events, now=now
            )
            answer = orjson.loads(
                engine.select_json(
                    visitor.raw, device=visitor.device, events=visitor.events, now=now
                )
            )
        if (
            answer["audiences"] != list(selection.audiences)
            or answer["experiences"] != list(selection.experiences)
            or answer["changes"] != list(selection.changes)
        ):
            raise WhichVariantError(
                f"visitor {position} gets different answers as dict and as bytes; please report it"
            )

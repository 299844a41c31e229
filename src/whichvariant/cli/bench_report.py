"""The result of ``bench``: read back, compared, and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from whichvariant.cli.terminal import Screen, plural
from whichvariant.contracts import JsonValue
from whichvariant.errors import DocumentError

FORMAT = "whichvariant-bench/1"

_LATENCIES = ("p50", "p90", "p99", "p99.9", "max")
_SAME = (
    (("configuration", "digest"), "another configuration"),
    (("visitors", "checksum"), "other visitors"),
    (("python",), "another Python"),
    (("machine",), "another machine"),
)


def read_saved(path: str) -> dict[str, Any]:
    """A result that ``--save`` wrote.

    Raises:
        OSError: the file cannot be read.
        DocumentError: it is something else.
    """
    with open(path, "rb") as stream:
        raw = stream.read()
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"not a saved result: {error.msg}", source=path) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DocumentError(f"not a saved result of the format {FORMAT}", source=path)
    return data


def compare(saved: dict[str, Any], data: dict[str, Any], path: str) -> dict[str, JsonValue]:
    """``data`` against ``saved``: the ratio of medians, now / then, for every way both have.

    ``adjusted`` divides by the yardstick's ratio. The yardstick, parsing the same profiles, is no
    part of this package, so what happens to it is what happened to the machine.
    """
    try:
        machine = data["yardstick"]["per_call_ns"] / saved["yardstick"]["per_call_ns"]
        ratios = {
            name: way["per_call_ns"] / saved["ways"][name]["per_call_ns"]
            for name, way in data["ways"].items()
            if name in saved["ways"]
        }
        differs = [text for keys, text in _SAME if _at(saved, keys) != _at(data, keys)]
        then = str(saved["whichvariant"])
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise DocumentError(f"a damaged result: {error!r}", source=path) from None
    return {
        "file": path,
        "whichvariant": then,
        "differs": differs,
        "machine": round(machine, 4),
        "ways": {
            name: {"ratio": round(ratio, 4), "adjusted": round(ratio / machine, 4)}
            for name, ratio in ratios.items()
        },
    }


def report_lines(data: dict[str, Any], screen: Screen) -> Iterator[str]:
    """The result for a reader."""
    columns = max(map(len, data["ways"]))
    yield screen.style(
        f"whichvariant {data['whichvariant']}, Python {data['python']}, {data['machine']}", "dim"
    )
    yield from screen.wrapped(_configuration(data["configuration"]), indent=0)
    visitors = data["visitors"]
    events = f", {visitors['mean_events']} events" if visitors["mean_events"] else ""
    yield (
        f"{plural(visitors['count'], 'visitor')} ({visitors['origin']}),"
        f" {visitors['mean_bytes']:,} bytes{events} each"
    )
    yield from _throughput(data, columns, screen)
    yield from _latency(data, columns, screen)
    if "against" in data:
        yield from _against(data["against"], columns, screen)
    if "compared" in data:
        yield from _compared(data["compared"], columns, screen)


def _configuration(facts: dict[str, Any]) -> str:
    return (
        f"{' + '.join(facts['files'])}: {plural(facts['experiences'], 'experience')},"
        f" {plural(facts['audiences'], 'audience')}, {facts['scheme']}, {facts['digest'][:12]}"
    )


def _throughput(data: dict[str, Any], columns: int, screen: Screen) -> Iterator[str]:
    yield ""
    heading = f"{'Throughput':{columns + 2}}{'median':>10}{'best':>10}{'a second':>13}"
    yield screen.style(heading, "bold")
    for name, way in data["ways"].items():
        yield (
            f"  {name:{columns}}{_micro(way['per_call_ns']):>10}{_micro(way['best_ns']):>10}"
            f"{way['per_second']:>13,}"
        )
    yardstick = data["yardstick"]
    yield screen.style(
        f"  {'(orjson.loads alone)':{columns}}{_micro(yardstick['per_call_ns']):>10}"
        f"{_micro(yardstick['best_ns']):>10}{yardstick['per_second']:>13,}",
        "dim",
    )
    yield screen.style(
        f"  µs a visitor; an empty call, {_micro(data['overhead']['call_ns'])}, is part of each",
        "dim",
    )


def _latency(data: dict[str, Any], columns: int, screen: Screen) -> Iterator[str]:
    yield ""
    heading = f"{'Single calls':{columns + 2}}" + "".join(f"{name:>7}" for name in _LATENCIES)
    yield screen.style(heading, "bold")
    for name, way in data["ways"].items():
        figures = "".join(f"{_micro(way['latency_ns'][column]):>7}" for column in _LATENCIES)
        yield f"  {name:{columns}}{figures}"
    yield screen.style(
        f"  µs; the timer and an empty call, {_micro(data['overhead']['timed_call_ns'])},"
        " are part of each",
        "dim",
    )


def _against(against: dict[str, Any], columns: int, screen: Screen) -> Iterator[str]:
    yield ""
    yield screen.style("Against", "bold")
    yield from screen.wrapped(_configuration(against["configuration"]), indent=2)
    for name, ratio in against["ratios"].items():
        median = f"{ratio['median']:.3f}"
        yield (
            f"  {name:{columns}}{_micro(against['ways'][name]['per_call_ns']):>8}"
            f"  {screen.style(median, 'bold')} times"
            f" ({ratio['low_quartile']:.3f}-{ratio['high_quartile']:.3f})"
        )
    turns = max((ratio["turns"] for ratio in against["ratios"].values()), default=0)
    yield screen.style(
        f"  times the first's: median, middle half of {plural(turns, 'turn')}", "dim"
    )


def _compared(compared: dict[str, Any], columns: int, screen: Screen) -> Iterator[str]:
    yield ""
    yield (
        screen.style("Compared", "bold")
        + f" with {compared['file']}"
        + (f" (whichvariant {compared['whichvariant']})")
    )
    for name, way in compared["ways"].items():
        adjusted = f"{way['adjusted']:.3f}"
        yield (
            f"  {name:{columns}}  {way['ratio']:.3f} times,"
            f" {screen.style(adjusted, 'bold')} adjusted"
        )
    yield screen.style(
        f"  times then's; adjusted by orjson.loads, {compared['machine']:.3f} times", "dim"
    )
    if compared["differs"]:
        yield screen.style(f"  not alike: {', '.join(compared['differs'])}", "yellow")


def _micro(nanoseconds: float) -> str:
    """Microseconds with three digits that matter."""
    value = nanoseconds / 1000
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _at(data: dict[str, Any], keys: tuple[str, ...]) -> JsonValue:
    value: Any = data
    for key in keys:
        value = value[key]
    return value

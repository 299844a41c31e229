"""The report's part about the server: names of rows, their table, targets, ratios and the plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.figures import Results, Target, median, quotient, shown

SERVER = "server"
CONSTANT = "same stack, constant answer"
PREFLIGHT = "preflight"
UPDATE = "durable update"
ROWS = (CONSTANT, PREFLIGHT, UPDATE)

PERCENTILES = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
_WIDTH = 44


def latency_group(percent: float) -> str:
    """The group of results that has a percentile of every row, in seconds."""
    return f"server latency p{percent:g}"


def targets(results: Results) -> Iterator[Target]:
    """The promises about the server."""
    for row, bound in ((PREFLIGHT, 0.5), (UPDATE, 0.3)):
        yield Target(
            f"server: {row}s, against a constant answer by the same stack",
            quotient(results, SERVER, CONSTANT, row),
            bound,
            "at least",
            "x",
        )


def ratios(results: Results) -> Mapping[str, float | None]:
    """Ratios that are better when larger."""
    return {
        f"{SERVER}: {row} / {CONSTANT}": quotient(results, SERVER, CONSTANT, row)
        for row in ROWS[1:]
    }


def lines(results: Results) -> Iterator[str]:
    """The tables, and the latencies as a plot."""
    if SERVER not in results:
        return
    yield ""
    yield "The server, W1, one worker, 32 connections: requests a second, and against the stack"
    for row in ROWS:
        seconds = median(results, SERVER, row)
        if seconds is not None:
            ratio = quotient(results, SERVER, CONSTANT, row)
            yield f"  {row:38}{1 / seconds:>11,.0f}{ratio or 0:>8.2f}x"
    yield ""
    yield "Latency in milliseconds, by percentile"
    found = {
        row: [median(results, latency_group(percent), row) for percent in PERCENTILES]
        for row in ROWS
    }
    yield f"  {'':22}" + "".join(f"{f'p{percent:g}':>8}" for percent in PERCENTILES)
    for row, values in found.items():
        cells = (shown(None if value is None else value * 1e3) for value in values)
        yield f"  {row:22.22}" + "".join(f"{cell:>8}" for cell in cells)
    yield from _plot(found)


def _plot(found: Mapping[str, list[float | None]]) -> Iterator[str]:
    """A bar for every row and percentile, as long as the latency, on one scale."""
    longest = max((value or 0.0 for values in found.values() for value in values[:-2]), default=0.0)
    if not longest:
        return
    for row, values in found.items():
        yield f"  {row}"
        for percent, value in zip(PERCENTILES[:-2], values, strict=False):
            if value is not None:
                bar = "█" * max(1, round(_WIDTH * value / longest))
                yield f"  {f'p{percent:g}':>8} {bar} {shown(value * 1e3)} ms"

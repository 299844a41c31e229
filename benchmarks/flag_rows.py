"""The report's part about flags: names of rows, their table, targets and ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.figures import Results, Target, median, quotient, shown

WORKLOADS = ("W1", "W2", "W3")

SELECT = "engine.select, all experiences"
PROVIDER = "whichvariant provider, one flag"
CLIENT = "the same through the SDK's client"
FLAGD = "flagd provider, in process"
FLAGD_CLIENT = "flagd through the SDK's client"
MEMORY = "the SDK's in-memory provider, a constant"
VARIABLE = "environment variables, a constant"
ROWS = (SELECT, PROVIDER, FLAGD, MEMORY, VARIABLE, CLIENT, FLAGD_CLIENT)


def group(name: str) -> str:
    """The group of results of a workload."""
    return f"flags {name}"


def targets(results: Results) -> Iterator[Target]:
    """The promises about the OpenFeature provider.

    Of the published providers that run in the process and need no service, flagd's is the only one
    that evaluates rules for a visitor; the others look a constant up, and are there to see how much
    of an evaluation is the SDK's own.
    """
    for name in WORKLOADS:
        yield Target(
            f"{name}: OpenFeature provider faster than flagd's in process",
            quotient(results, group(name), FLAGD, PROVIDER),
            1,
            "at least",
            "x",
        )
    yield Target(
        "W1: OpenFeature provider, one flag, against engine.select",
        quotient(results, group("W1"), PROVIDER, SELECT),
        4,
        "at most",
        "x",
    )


def ratios(results: Results) -> Mapping[str, float | None]:
    """Ratios that are better when larger."""
    found: dict[str, float | None] = {}
    for name in WORKLOADS:
        for row in (SELECT, FLAGD, MEMORY, VARIABLE):
            found[f"flags {name}: {PROVIDER} / {row}"] = quotient(
                results, group(name), row, PROVIDER
            )
    return found


def lines(results: Results) -> Iterator[str]:
    """The table."""
    if not any(group(name) in results for name in WORKLOADS):
        return
    yield ""
    yield "One flag of OpenFeature: µs of processor time, and times the OpenFeature provider's"
    yield f"{'':40}" + "".join(f"{name:>11}{'':>9}" for name in WORKLOADS)
    for row in ROWS:
        line = f"  {row:38.38}"
        for name in WORKLOADS:
            seconds = median(results, group(name), row)
            line += f"{shown(None if seconds is None else seconds * 1e6):>11}"
            line += f"{shown(quotient(results, group(name), row, PROVIDER), 'x'):>9}"
        yield line

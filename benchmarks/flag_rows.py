"""The report's part about flags: names of rows, their table, targets and ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.figures import Results, Target, median, quotient, shown

WORKLOADS = ("W1", "W2", "W3")

SELECT = "engine.select, all experiences"
PROVIDER = "whichvariant provider, one flag"
CLIENT = "the same through the SDK's client"
CONFIGCAT = "ConfigCat provider"
FLAGD = "flagd provider, in process"
LAUNCHDARKLY = "LaunchDarkly provider"
GROWTHBOOK = "GrowthBook provider"
UNLEASH = "Unleash provider"
FLAGD_CLIENT = "flagd through the SDK's client"
MEMORY = "the SDK's in-memory provider, a constant"
VARIABLE = "environment variables, a constant"
PUBLISHED = (CONFIGCAT, FLAGD, LAUNCHDARKLY, GROWTHBOOK, UNLEASH)
"""Those that evaluate rules for a visitor in the process."""
ROWS = (SELECT, PROVIDER, *PUBLISHED, MEMORY, VARIABLE, CLIENT, FLAGD_CLIENT)


def group(name: str) -> str:
    """The group of results of a workload."""
    return f"flags {name}"


def fastest(results: Results, name: str) -> float | None:
    """How many times longer the fastest published provider takes than this project's."""
    found = [quotient(results, group(name), row, PROVIDER) for row in PUBLISHED]
    return min((one for one in found if one is not None), default=None)


def targets(results: Results) -> Iterator[Target]:
    """The promises about the OpenFeature provider.

    Providers that look a constant up are no part of them; they are there to see how much of an
    evaluation is the SDK's own.
    """
    for name in WORKLOADS:
        yield Target(
            f"{name}: OpenFeature provider faster than every published one in process",
            fastest(results, name),
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
        for row in (SELECT, *PUBLISHED, MEMORY, VARIABLE):
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

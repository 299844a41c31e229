"""The report's part about profiles: names of rows, their table, targets and ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.figures import Results, Target, median, quotient, shown

AGGREGATION = "aggregation, {} events"
DECODE = "msgspec, typed decoding"
AGGREGATE = "whichvariant, check + aggregate + select"

SERVICE = "service"
TWO = "service, two processes"
RAW_STORE = "raw store, durable writes"
UPDATE = "durable updates"
PREFLIGHT = "preflights"
GET = "reads"
_ROWS = (RAW_STORE, UPDATE, PREFLIGHT, GET)


def targets(results: Results) -> Iterator[Target]:
    """The promises about profiles."""
    one = AGGREGATION.format(1)
    yield Target(
        "one page event: aggregate and select W1, against its typed decoding",
        quotient(results, one, AGGREGATE, DECODE),
        10,
        "at most",
        "x",
    )
    yield Target(
        "durable updates by 32 callers, against the raw store's writes",
        quotient(results, SERVICE, RAW_STORE, UPDATE),
        0.6,
        "at least",
        "x",
    )


def ratios(results: Results) -> Mapping[str, float | None]:
    """Ratios that are better when larger."""
    found = {
        f"{group}: decoding / aggregate": quotient(results, group, DECODE, AGGREGATE)
        for group in (AGGREGATION.format(1), AGGREGATION.format(50))
    }
    for group in (SERVICE, TWO):
        for row in _ROWS[1:]:
            found[f"{group}: {row} / {RAW_STORE}"] = quotient(results, group, RAW_STORE, row)
    return found


def lines(results: Results) -> Iterator[str]:
    """The tables."""
    groups = [AGGREGATION.format(events) for events in (1, 50)]
    if any(group in results for group in groups):
        yield ""
        yield "Events into a profile of W1: microseconds of processor time a request"
        for group in groups:
            decoding, whole = median(results, group, DECODE), median(results, group, AGGREGATE)
            if decoding is not None and whole is not None:
                ratio = quotient(results, group, AGGREGATE, DECODE)
                yield (
                    f"  {group:24} typed decoding {shown(decoding * 1e6):>6}"
                    f"   aggregate + select {shown(whole * 1e6):>6}   {shown(ratio, 'x'):>6}"
                )
    for group in (SERVICE, TWO):
        if group in results:
            yield ""
            yield f"The {group}, W1, 32 callers each: a second, and against the raw store"
            for row in _ROWS:
                seconds = median(results, group, row)
                if seconds is not None:
                    ratio = quotient(results, group, RAW_STORE, row)
                    yield f"  {row:38}{1 / seconds:>11,.0f}{shown(ratio, 'x'):>9}"

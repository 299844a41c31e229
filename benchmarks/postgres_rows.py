"""The report's part about the store in PostgreSQL: names of rows, their table, targets, ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.figures import Results, Target, median, quotient, shown

GROUPS = {1: "PostgreSQL, one process", 2: "PostgreSQL, two processes"}
BARE = "bare UPDATE ... RETURNING, asyncpg"
STORE = "store, the same bytes"
UPDATE = "durable updates by the service"
_ROWS = (BARE, STORE, UPDATE)


def targets(results: Results) -> Iterator[Target]:
    """The promises about PostgreSQL."""
    for group in GROUPS.values():
        yield Target(
            f"{group}: durable updates, against bare transactions of their size",
            quotient(results, group, BARE, UPDATE),
            0.5,
            "at least",
            "x",
        )


def ratios(results: Results) -> Mapping[str, float | None]:
    """Ratios that are better when larger."""
    return {
        f"{group}: {row} / {BARE}": quotient(results, group, BARE, row)
        for group in GROUPS.values()
        for row in _ROWS[1:]
    }


def lines(results: Results) -> Iterator[str]:
    """The tables."""
    for group in GROUPS.values():
        if group not in results:
            continue
        yield ""
        yield f"{group}: durable writes a second, 32 callers each"
        for row in _ROWS:
            seconds = median(results, group, row)
            rate = None if seconds is None else 1 / seconds
            ratio = shown(quotient(results, group, BARE, row), "x")
            yield f"  {row:40}{shown(rate):>11}{ratio:>9}"

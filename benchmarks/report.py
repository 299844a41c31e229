"""What `make bench` prints: one table of ratios of one run, the targets, and what has changed.

The suite records medians here (`benchmarks/conftest.py`), as seconds per profile or per call. After
a run they stand in ``benchmarks/results/last.json``; ``benchmarks/ratios.json`` keeps the ratios of
an earlier run, and a ratio that has since fallen by more than a fifth is pointed out. Ratios, since
every time depends on the machine and on what else it was doing.

    python -m benchmarks.report            print the last run again
    python -m benchmarks.report --keep     and make its ratios the ones to compare with
    python -m benchmarks.report --strict   and exit with 1 when a target is missed or a ratio fell
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import flag_rows, postgres_rows, profile_rows, server_rows
from benchmarks.figures import Results, Target, median, quotient, shown

FOLDER = pathlib.Path(__file__).parent
LAST = FOLDER / "results" / "last.json"
KEPT = FOLDER / "ratios.json"

WORKLOADS = ("W1", "W2", "W3")
NAIVE = "naive interpreter"
PREPARED = "prepared interpreter"
GENERATED = "generated code"
GENERATED_RECORDS = "generated code, shared records"
SHARED = "whichvariant, shared records"
FRESH = "whichvariant, fresh records"
BYTES = "whichvariant, bytes to bytes"
AROUND = "orjson.loads + select + orjson.dumps"
ROWS = (NAIVE, PREPARED, GENERATED, GENERATED_RECORDS, SHARED, FRESH, BYTES, AROUND)

COLUMNS = "whichvariant, columns"
ONE_THREAD = "the same by the clock, one thread"
TWO_THREADS = "the same by the clock, two threads"
LOOP = "whichvariant, select in a loop"
NUMPY = "NumPy, chunks of 16,384 rows"
POLARS = "polars streaming + NumPy draws"
DUCKDB = "DuckDB + NumPy draws"
FROM_LINES = "whichvariant, from NDJSON bytes"
FROM_ORJSON = "orjson + lists + whichvariant, columns"
FROM_PARQUET = "whichvariant, from Parquet"
CROWD_ROWS = (
    COLUMNS, TWO_THREADS, LOOP, NUMPY, POLARS, DUCKDB, FROM_LINES, FROM_ORJSON, FROM_PARQUET,
)  # fmt: skip

LEVELS = ("avx512", "avx2", "baseline")
COMPILE = "load and compile W3"
SAVED = "load a saved W3"
RESIDENT = "resident memory of a saved W3"
SERVING = "the same after 200 profiles"

FALLEN = 0.8

PASSES = int(os.environ.get("WHICHVARIANT_BENCH_PASSES", "5"))


def targets(results: Results) -> list[Target]:
    """Every target with its measured value."""
    found = [
        Target(
            f"{name}: shared records faster than the naive interpreter",
            quotient(results, name, NAIVE, SHARED),
            bound,
            "at least",
            "x",
        )
        for name, bound in zip(WORKLOADS, (15, 120, 250), strict=True)
    ]
    found.append(
        Target(
            "W2: shared records faster than generated code without records",
            quotient(results, "W2", GENERATED, SHARED),
            8,
            "at least",
            "x",
        )
    )
    found.extend(
        Target(
            f"{name}: bytes to bytes faster than orjson around select",
            quotient(results, name, AROUND, BYTES),
            3,
            "at least",
            "x",
        )
        for name in WORKLOADS
    )
    found.extend(
        Target(
            f"both murmur3 draws of 200 experiences, against xxh64, {level}",
            quotient(results, "hashing", f"murmur3 {level}", f"xxh64 {level}"),
            bound,
            "at most",
            "x",
        )
        for level, bound in (("avx512", 2), ("avx2", 4))
    )
    found.extend(crowd_targets(results))
    seconds = median(results, "loading", COMPILE)
    found.append(Target("load and compile W3", seconds, 1, "at most", "s"))
    resident = median(results, "loading", RESIDENT)
    found.append(
        Target(
            "resident memory of a compiled W3",
            None if resident is None else resident / 1e6,
            20,
            "at most",
            "MB",
        )
    )
    found.extend(profile_rows.targets(results))
    found.extend(server_rows.targets(results))
    found.extend(flag_rows.targets(results))
    found.extend(postgres_rows.targets(results))
    return found


def crowd_targets(results: Results) -> list[Target]:
    """The promises about many profiles, all on W2."""
    group = "crowd W2"
    found = [
        Target(text, quotient(results, group, above, below), bound, "at least", "x")
        for text, above, below, bound in (
            ("W2: columns faster than chunked NumPy", NUMPY, COLUMNS, 5),
            ("W2: columns faster than polars", POLARS, COLUMNS, 10),
            ("W2: columns faster than select in a loop", LOOP, COLUMNS, 15),
            ("W2: two threads faster than one", ONE_THREAD, TWO_THREADS, 1.7),
            ("W2: from NDJSON faster than orjson and lists", FROM_ORJSON, FROM_LINES, 3),
        )
    ]
    seconds = median(results, group, FROM_PARQUET)
    rate = None if seconds is None else 1e-6 / seconds
    found.append(Target("W2: from Parquet, million profiles/s", rate, 2, "at least", ""))
    return found


def ratios(results: Results) -> dict[str, float]:
    """The ratios worth keeping, all of them better when larger."""
    found: dict[str, float | None] = {}
    for name in WORKLOADS:
        for row in ROWS[1:]:
            found[f"{name}: {row} / {NAIVE}"] = quotient(results, name, NAIVE, row)
        found[f"{name}: {BYTES} / {AROUND}"] = quotient(results, name, AROUND, BYTES)
    for name in WORKLOADS:
        for row in (LOOP, NUMPY, POLARS, DUCKDB):
            found[f"{name}: {COLUMNS} / {row}"] = quotient(results, f"crowd {name}", row, COLUMNS)
        found[f"{name}: {FROM_LINES} / {FROM_ORJSON}"] = quotient(
            results, f"crowd {name}", FROM_ORJSON, FROM_LINES
        )
    for level in LEVELS:
        found[f"hashing: murmur3 / xxh64, {level}"] = quotient(
            results, "hashing", f"xxh64 {level}", f"murmur3 {level}"
        )
    found[f"loading: {SAVED} / {COMPILE}"] = quotient(results, "loading", COMPILE, SAVED)
    found.update(profile_rows.ratios(results))
    found.update(server_rows.ratios(results))
    found.update(flag_rows.ratios(results))
    found.update(postgres_rows.ratios(results))
    return {name: round(value, 3) for name, value in found.items() if value is not None}


def fallen(now: Mapping[str, float], kept: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(name, kept, now) of the ratios that fell by more than a fifth."""
    return [
        (name, kept[name], value)
        for name, value in now.items()
        if name in kept and value < FALLEN * kept[name]
    ]


# --- the table ----------------------------------------------------------------------------------


def lines(results: Results, kept: Mapping[str, float] | None) -> Iterator[str]:
    """The report, line by line."""
    if any(name in results for name in WORKLOADS):
        yield "All decisions for one profile: µs of processor time, and times faster than naive"
        yield f"{'':40}" + "".join(f"{name:>11}{'':>9}" for name in WORKLOADS)
        for row in ROWS:
            line = f"  {row:38}"
            for name in WORKLOADS:
                seconds = median(results, name, row)
                line += f"{shown(None if seconds is None else seconds * 1e6):>11}"
                line += f"{shown(quotient(results, name, NAIVE, row), 'x'):>9}"
            yield line
    if any(f"crowd {name}" in results for name in WORKLOADS):
        yield ""
        yield "Many profiles: ns of processor time each, and times slower than columns"
        yield f"{'':40}" + "".join(f"{name:>11}{'':>9}" for name in WORKLOADS)
        for row in (CROWD_ROWS[0], ONE_THREAD, *CROWD_ROWS[1:]):
            line = f"  {row:38}"
            for name in WORKLOADS:
                seconds = median(results, f"crowd {name}", row)
                line += f"{shown(None if seconds is None else seconds * 1e9):>11}"
                line += f"{shown(quotient(results, f'crowd {name}', row, COLUMNS), 'x'):>9}"
            yield line
    if "hashing" in results:
        yield ""
        yield "Hashing the id and both draws of 200 experiences: microseconds"
        for level in LEVELS:
            murmur3 = median(results, "hashing", f"murmur3 {level}")
            xxh64 = median(results, "hashing", f"xxh64 {level}")
            if murmur3 is not None and xxh64 is not None:
                ratio = quotient(results, "hashing", f"murmur3 {level}", f"xxh64 {level}")
                yield (
                    f"  {level:10} murmur3 {shown(murmur3 * 1e6):>6}"
                    f"   xxh64 {shown(xxh64 * 1e6):>6}   {shown(ratio, 'x'):>6}"
                )
    loading = results.get("loading", {})
    if loading:
        yield ""
        yield "Loading W3"
        for row, values in loading.items():
            unit, scale = ("MB", 1e6) if row in {RESIDENT, SERVING} else ("s", 1)
            yield f"  {row:38}{shown(statistics.median(values) / scale, unit):>14}"
    yield from profile_rows.lines(results)
    yield from server_rows.lines(results)
    yield from flag_rows.lines(results)
    yield from postgres_rows.lines(results)
    yield ""
    yield "Targets"
    for target in targets(results):
        mark = {True: "ok", False: "BELOW", None: "not measured"}[target.met]
        yield (
            f"  {target.text:66}{shown(target.value, target.unit):>9}"
            f"   {target.kind} {target.bound:g} {target.unit:3} {mark}"
        )
    yield ""
    if kept is None:
        yield "No kept ratios to compare with; `python -m benchmarks.report --keep` keeps these."
        return
    dropped = fallen(ratios(results), kept)
    for name, before, now in dropped:
        yield f"WARNING  {name}: fell from {shown(before, 'x')} to {shown(now, 'x')}"
    if not dropped:
        yield "No ratio fell by more than 20 % since the kept ones (benchmarks/ratios.json)."


def read(path: pathlib.Path) -> Any:
    """A JSON file's content, None where there is no such file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def write(path: pathlib.Path, content: Any) -> None:
    """A JSON file that is pleasant to compare line by line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(description="print the last benchmark run")
    parser.add_argument("--keep", action="store_true", help="keep this run's ratios")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on a miss or a fall")
    options = parser.parse_args()
    results = read(LAST)
    if results is None:
        print("there is no run to report: run `make bench` first", file=sys.stderr)
        return 1
    kept = read(KEPT)
    print("\n".join(lines(results, kept)))
    missed = any(target.met is False for target in targets(results))
    dropped = fallen(ratios(results), kept or {})
    if options.keep:
        write(KEPT, ratios(results))
    return 1 if options.strict and (missed or dropped) else 0


if __name__ == "__main__":
    sys.exit(main())

"""The resident memory of replays of 1, 10 and 50 million profiles, in one figure.

    python -m benchmarks.memory [MILLIONS ...] [--folder DIR] [--workload W2] [--figure FILE]

Makes Parquet files of a million profiles each in DIR (by default a temporary directory; 50 million
of W2 take 2.6 GB), replays so many of them in a process of its own each time, one worker, two
configurations, and looks at the resident size of that process ten times a second. Prints a
table; the figure is an SVG.

No two visitors have one id. The figure counts what belongs to the process: pages of files that are
mapped for a moment (keys, at the end) are shown apart from memory that was asked for.
"""

from __future__ import annotations

import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.columns.crowd import crowd
from whichvariant import Engine
from whichvariant.replay import replay

MILLION = 1_000_000
SAMPLES_EACH_S = 10
POINTS = 200  # of a line of the figure


def engines(name: str) -> tuple[Engine, Engine]:
    """The workload, and before it the same with half the traffic for every tenth experience."""
    document = crowd(name, 1).subject.document
    old = copy.deepcopy(document)
    for experience in old["experiences"][::10]:
        experience["nt_config"]["traffic"] = 0.5
    return Engine.from_dict(old), Engine.from_dict(document)


def write_file(path: pathlib.Path, table: pa.Table, seed: int) -> None:
    """The rows of ``table`` under ids of their own."""
    n = table.num_rows
    random = np.random.default_rng(seed)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[random.integers(0, 16, (n, 32), np.uint8)]
    ids = np.full((n, 36), ord("-"), np.uint8)
    for start, stop, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        ids[:, at : at + stop - start] = digits[:, start:stop]
    starts = np.arange(0, 36 * (n + 1), 36, dtype=np.int32)
    column = pa.StringArray.from_buffers(n, pa.py_buffer(starts), pa.py_buffer(ids))
    table = table.set_column(table.schema.names.index("stableId"), "stableId", column)
    part = path.with_suffix(".part")
    pq.write_table(table, part, row_group_size=1 << 17)
    part.rename(path)


def make_files(folder: pathlib.Path, workload: str, count: int) -> list[pathlib.Path]:
    """``count`` files of a million profiles; those that are there already stay."""
    files = [folder / f"{workload}-{number:03}.parquet" for number in range(count)]
    table = None
    for number, path in enumerate(files):
        if not path.exists():
            table = crowd(workload, MILLION).table if table is None else table
            write_file(path, table, number)
    return files


def sizes() -> tuple[int, int]:
    """Bytes of this process that are resident: its own ones, and those of files."""
    fields = dict(
        line.split(":", 1)
        for line in pathlib.Path("/proc/self/status").read_text("ascii").splitlines()
    )
    anonymous, of_files = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return anonymous, of_files


def measure(workload: str, files: list[str]) -> dict[str, Any]:
    """Replay ``files`` in this process; what was resident meanwhile."""
    old, new = engines(workload)
    seen: list[tuple[float, int, int, int]] = []
    records = 0
    over = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        while not over.wait(1 / SAMPLES_EACH_S):
            seen.append((time.monotonic() - started, records, *sizes()))

    def advance(step: Any) -> None:
        nonlocal records
        records = step.records

    before = sizes()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        report = replay(old, new, files, workers=1, progress=advance)
    finally:
        over.set()
        thread.join()
    assert report.counted == len(files) * MILLION
    return {"before": before, "seen": seen, "seconds": time.monotonic() - started}


def draw(found: dict[int, dict[str, Any]], path: str, workload: str) -> None:
    """Resident memory over the profiles read."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "memory"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    for millions, result in found.items():
        step = 1 + len(result["seen"]) // POINTS
        _, records, own, of_files = np.array(result["seen"][::step]).T
        (line,) = axes.plot(
            records / 1e6, own / 2**20, label=f"{millions} million, memory of its own"
        )
        axes.plot(
            records / 1e6, (own + of_files) / 2**20, ":", color=line.get_color(),
            label=f"{millions} million, with pages of files",
        )  # fmt: skip
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0, max(found) * 1.1)
    ticks = [0, 0.5, *sorted(found)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0)
    axes.set_xlabel("million profiles read")
    axes.set_ylabel("resident, MiB")
    axes.set_title(f"Replay of {workload}, Parquet, one worker", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", nargs="*", type=int, default=[1, 10, 50])
    parser.add_argument("--folder")
    parser.add_argument("--workload", default="W2", choices=("W1", "W2", "W3"))
    parser.add_argument("--figure", default="build/memory.svg")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        json.dump(measure(options.workload, options.measure), sys.stdout)
        return
    with tempfile.TemporaryDirectory(prefix="whichvariant-memory-") as temporary:
        folder = pathlib.Path(options.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = make_files(folder, options.workload, max(options.millions))
        found: dict[int, dict[str, Any]] = {}
        print("million profiles   before   largest   at the end   with files   seconds")
        for millions in sorted(options.millions):
            command = [sys.executable, "-m", "benchmarks.memory", "--workload", options.workload]
            command += ["--measure", *map(str, files[:millions])]
            answer = subprocess.run(command, check=True, capture_output=True)
            result = found[millions] = json.loads(answer.stdout)
            own = [one[2] >> 20 for one in result["seen"]]
            both = [(one[2] + one[3]) >> 20 for one in result["seen"]]
            print(
                f"{millions:16}   {result['before'][0] >> 20:6}   {max(own):7}   {own[-1]:10}"
                f"   {max(both):10}   {result['seconds']:7.1f}",
                flush=True,
            )
    pathlib.Path(options.figure).parent.mkdir(parents=True, exist_ok=True)
    draw(found, options.figure, options.workload)
    print(options.figure)


if __name__ == "__main__":
    main()

"""Prints what a saved program adds to the resident memory of a process.

    python -m benchmarks.resident PROGRAM PROFILES

PROGRAM is a saved program, PROFILES a JSON list of profiles. Two numbers of bytes come out: after
loading, and after selecting for every profile, since an engine may put off some of its work.
A process of its own, because the memory that a long-lived one gets back from itself does not show.
"""

from __future__ import annotations

import ctypes
import gc
import pathlib
import sys

import orjson

import whichvariant


def resident_bytes() -> int:
    """The resident size of this process, once free memory is given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
    pages = int(pathlib.Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096


def main(program: str, profiles: str) -> None:
    """Measure; a small engine comes first, so that what is loaded lazily is not counted."""
    tiny = whichvariant.Engine.from_dict({"format": "whichvariant/1", "audiences": []})
    whichvariant.Engine.from_bytes(tiny.to_bytes()).select({"stableId": "a"})
    visitors = orjson.loads(pathlib.Path(profiles).read_bytes())
    before = resident_bytes()
    engine = whichvariant.Engine.from_bytes(pathlib.Path(program).read_bytes())
    loaded = resident_bytes()
    for visitor in visitors:
        engine.select(visitor)
    print(loaded - before, resident_bytes() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Build of the Cython core; everything declarative stands in pyproject.toml.

Environment:
    WHICHVARIANT_BUILD=debug     bounds checks, C assertions and no optimisation in the core
    WHICHVARIANT_BUILD=sanitize  as debug, with the address and undefined-behaviour sanitizers
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = [
    "activity",
    "allocation",
    "answers",
    "cells",
    "coercion",
    "evaluate_one",
    "hashing",
    "leaf_table",
    "program",
    "scanner",
    "scratch",
]
BUILD = os.environ.get("WHICHVARIANT_BUILD", "release")

if BUILD not in {"release", "debug", "sanitize"}:
    raise SystemExit(f"WHICHVARIANT_BUILD={BUILD!r}: expected release, debug or sanitize")

CHECKED = BUILD != "release"
MSVC = sys.platform == "win32"

if MSVC:
    COMPILE_ARGS, LINK_ARGS = ["/O2"], []
elif BUILD == "release":
    # No -march: wheels travel. Vector code is compiled once per level and chosen at run time.
    COMPILE_ARGS, LINK_ARGS = ["-O3", "-fno-math-errno", "-g0"], []
else:
    COMPILE_ARGS, LINK_ARGS = ["-O1", "-g", "-UNDEBUG"], []
    if BUILD == "sanitize":
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        COMPILE_ARGS += [*flags, "-fno-omit-frame-pointer"]
        LINK_ARGS += flags


def extension(name: str) -> Extension:
    return Extension(
        f"whichvariant._core.{name}",
        [f"ext/whichvariant/_core/{name}.pyx"],
        include_dirs=["ext/whichvariant/_core"],
        define_macros=[("WV_CHECKED", "1" if CHECKED else "0")],
        extra_compile_args=COMPILE_ARGS,
        extra_link_args=LINK_ARGS,
    )


setup(
    ext_modules=cythonize(
        [extension(name) for name in MODULES],
        include_path=["ext"],
        build_dir=f"build/cython-{BUILD}",
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": CHECKED,
            "cdivision": True,
            "embedsignature": True,
        },
    )
)

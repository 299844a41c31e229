"""Build of the Cython core; everything declarative stands in pyproject.toml.

Environment:
    WHICHVARIANT_BUILD=debug     bounds checks, None checks and C assertions in the core, -O1
    WHICHVARIANT_BUILD=sanitize  as debug, with the address and undefined-behaviour sanitizers

Every kind of build has its own folder below build/, so that none picks up another's objects.
No -march: wheels travel. Vector code is compiled once per level and chosen at run time (simd.h).
"""

import os
import pathlib
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = pathlib.Path("ext/whichvariant/_core")
# Plain Python that runs for every request, compiled as it stands. Without a compiled file beside it
# a module works just the same.
PLAIN = [
    f"src/whichvariant/profiles/{name}.py"
    for name in (
        "activity",
        "aggregate",
        "answer",
        "api_profile",
        "json_values",
        "location",
        "session",
        "times",
    )
]
BUILDS = ("release", "debug", "sanitize")  # the core knows which it is by this place
BUILD = os.environ.get("WHICHVARIANT_BUILD", "release")

if BUILD not in BUILDS:
    raise SystemExit(f"WHICHVARIANT_BUILD={BUILD!r}: expected release, debug or sanitize")

CHECKED = BUILD != "release"

# These are always a mistake, in generated C too, and some compilers only mention them.
ERRORS = [
    "implicit-function-declaration",
    "incompatible-pointer-types",
    "int-conversion",
    "return-type",
    "uninitialized",
]


def flags() -> tuple[list[str], list[str]]:
    """Arguments for compiling and for linking, for this platform and kind of build."""
    if sys.platform == "win32":
        if BUILD == "sanitize":
            raise SystemExit("WHICHVARIANT_BUILD=sanitize needs GCC or Clang")
        return (["/Od", "/Zi", "/UNDEBUG"] if CHECKED else ["/O2", "/fp:precise"]), []
    # Contraction (a * b + c in one rounding) differs by processor, and answers may not.
    compiling = ["-ffp-contract=off", *(f"-Werror={name}" for name in ERRORS)]
    if not CHECKED:
        return [*compiling, "-O3", "-fno-math-errno", "-g0"], []
    compiling += ["-O1", "-g", "-UNDEBUG"]
    if BUILD == "debug":
        return compiling, []
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    return [*compiling, *sanitizers, "-fno-omit-frame-pointer"], sanitizers


COMPILING, LINKING = flags()


def extension(name: str) -> Extension:
    return Extension(
        f"whichvariant._core.{name}",
        [f"{CORE.as_posix()}/{name}.pyx"],
        include_dirs=[CORE.as_posix()],
        depends=sorted(path.as_posix() for path in CORE.glob("*.h")),
        define_macros=[("WV_BUILD", str(BUILDS.index(BUILD)))],
        extra_compile_args=COMPILING,
        extra_link_args=LINKING,
    )


def plain(path: str) -> Extension:
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    return Extension(name, [path], extra_compile_args=COMPILING, extra_link_args=LINKING)


setup(
    ext_modules=cythonize(
        # Nothing but Python's own rules here: annotations are for readers and type checkers.
        [plain(path) for path in PLAIN],
        build_dir=f"build/cython-{BUILD}",
        compiler_directives={"language_level": 3, "annotation_typing": False},
    )
    + cythonize(
        [extension(path.stem) for path in sorted(CORE.glob("*.pyx"))],
        include_path=["ext"],
        build_dir=f"build/cython-{BUILD}",
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": CHECKED,
            "nonecheck": CHECKED,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
    options={
        "build": {"build_base": f"build/{BUILD}"},
        "build_ext": {"parallel": os.cpu_count() or 1},
    },
)

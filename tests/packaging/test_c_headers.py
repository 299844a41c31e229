"""The C headers of the core compile without a warning, here and for the other platform."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.toolchain

CORE = pathlib.Path(__file__).parents[2] / "ext" / "whichvariant" / "_core"
HEADERS = sorted(path.name for path in CORE.glob("*.h"))
STRICT = ["-O3", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
def test_a_header_compiles_on_its_own(compiler: str, header: str) -> None:
    if shutil.which(compiler) is None:
        reason = f"{compiler} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    finished = subprocess.run(
        # Python.h, which comes first in the modules, asks for the GNU extensions.
        [compiler, *STRICT, "-D_GNU_SOURCE", f"-I{CORE}", "-x", "c", "-"],
        input=f'#include "{header}"\n',
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stderr

"""The types that callers see, held by mypy in strict mode."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def test_public_types() -> None:
    if importlib.util.find_spec("mypy") is None:
        reason = "mypy is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    finished = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(HERE / "public_api.py")],
        cwd=HERE.parents[1],
        # A type checker has nothing to do with the sanitizers, and is slow enough.
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr

"""Ways to run the command."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cli_cases import SPACE
from click.testing import CliRunner, Result

from whichvariant.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run the command in this process; nothing it does may end in a traceback."""

    def invoke(*args: object, stdin: str | bytes | None = None, **environment: str) -> Result:
        result = CliRunner(env={"COLUMNS": None, **environment}).invoke(
            cli, [str(arg) for arg in args], input=stdin, prog_name="whichvariant"
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result

    return invoke


@pytest.fixture
def space(tmp_path: pathlib.Path) -> pathlib.Path:
    """The configuration as a file."""
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SPACE))
    return path


@pytest.fixture
def broken_space(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two errors, in the rules of the Berliners and in what is for them, and one warning."""
    document = json.loads(json.dumps(SPACE))
    document["audiences"][0]["nt_rules"]["any"][0]["all"][0]["operator"] = "resembles"
    document["audiences"][1]["nt_rules"]["any"].append({"all": []})
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(document))
    return path


# Whoever runs the tests in the background has told them, and all they start, to ignore interrupts.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("whichvariant", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def shell() -> Callable[..., subprocess.Popen[bytes]]:
    """Start the command as a process of its own."""

    def start(*args: object, **options: Any) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"COLUMNS", "NO_COLOR", "TERM"}
        }
        environment.update(options.pop("environment", {}))
        interruptible = options.pop("interruptible", False)
        start = ["-c", INTERRUPTIBLE] if interruptible else ["-m", "whichvariant"]
        return subprocess.Popen(
            [sys.executable, *start, *map(str, args)],
            env={"TERM": "xterm", **environment},
            **{
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )

    return start

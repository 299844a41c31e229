"""examples/profiles.py does what it says."""

from __future__ import annotations

import pathlib
import subprocess
import sys

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "profiles.py"


def test_the_example_runs():
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    moments = [line.split(",")[0] for line in lines if not line.startswith(" ")]
    assert moments == ["Monday", "Wednesday", "Tuesday", "Friday", "Tuesday"]
    assert [line.split("visit ")[1] for line in lines if "visit " in line] == ["1", "2", "1", "3"]
    assert "  traits       {'firstname': 'Zoë', 'newsletter': True, 'plan': 'pro'}" in lines
    assert "the kept history of the profile begins at" in lines[-1]

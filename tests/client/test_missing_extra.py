"""What is said where httpx is not installed."""

from __future__ import annotations

import subprocess
import sys


def test_without_httpx() -> None:
    # None in sys.modules is how Python is told that a module is not there.
    script = "import sys; sys.modules['httpx'] = None; import whichvariant.{}"
    command = [sys.executable, "-c", script.format("client")]
    finished = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 1
    said = finished.stderr.splitlines()[-1]
    assert said == (
        "ModuleNotFoundError: whichvariant.client needs httpx: pip install 'whichvariant[client]'"
    )
    for name in ("events", "sources.following"):
        subprocess.run([sys.executable, "-c", script.format(name)], check=True)

"""examples/client.py does what it says."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import REPOSITORY
from tests.server.running import Served, free_port

EXAMPLE = REPOSITORY / "examples" / "client.py"


def run(address: str) -> subprocess.CompletedProcess[str]:
    """The example, with this server."""
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, address],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_example_runs(server: Served) -> None:
    done = run(server.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    moments = [line for line in lines if not line.startswith(" ")]
    assert moments == [
        "A visitor of /tents with {'name': 'winter-sale', 'source': 'mail'} who prefers de-DE",
        "The first page, decided by local",
        "The second page, decided by remote",
        "What is stored, decided by remote",
        "Deleted",
    ]
    profiles = [line.split()[1] for line in lines if line.startswith("  profile")]
    assert len(profiles) == 3
    assert len(set(profiles)) == 1
    assert sum("traits {'plan': 'gold'}" in line for line in lines) == 2
    assert "  session      1, in Berlin, DE" in lines
    assert any("berlinStore9HeACecnqO7" in line for line in lines)
    assert (
        lines[-1] == "  Get profile: answered 404, ERR_PROFILE_NOT_FOUND: there is no such profile"
    )


def test_without_a_server() -> None:
    done = run(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.startswith("Batch upsert profiles (sync): no connection: ")

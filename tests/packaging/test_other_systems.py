"""What runs where there is no POSIX, judged by taking POSIX away from this interpreter."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SHOP = ROOT / "fixtures" / "storefront"
SPACE, PROFILES = str(SHOP / "space.json"), str(SHOP / "profiles.ndjson")

WITHOUT_POSIX = """
import concurrent.futures.process, multiprocessing.util, os, signal, subprocess, sys, types
import fcntl as real
windows = types.ModuleType("msvcrt")
windows.LK_NBLCK = 2
windows.locking = lambda handle, mode, size: real.flock(handle, real.LOCK_EX | real.LOCK_NB)
sys.modules["msvcrt"] = windows
for name in ("fcntl", "resource", "uvloop", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for name in ("fork", "register_at_fork", "fchmod", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW",
             "getuid", "geteuid", "sched_getaffinity", "statvfs", "killpg", "setsid", "mkfifo"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGALRM", "SIGPIPE", "SIGCHLD"):
    if hasattr(signal, name):
        delattr(signal, name)
sys.argv[0] = "whichvariant"
from whichvariant.cli.main import main
main()
"""


def without_posix(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ},
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("select", "--config", SPACE, "--profile", PROFILES),
        ("lint", SPACE, "--fail-on", "error"),
        ("compile", SPACE, "-o", "{folder}/space.program"),
        ("convert", SPACE, "-o", "{folder}/native.json"),
        ("digest", SPACE),
        ("generate", "--config", SPACE, "--count", "5", "-o", "{folder}/visitors.ndjson"),
        ("combinations", "--config", SPACE, "--variable", "season", "--profiles", PROFILES),
        ("replay", "--config", SPACE, "--profiles", PROFILES, "--workers", "1",
         "--out", "{folder}/out", "--assignments", "ndjson"),
        ("profiles", "--help"),
        ("serve", "--help"),
        ("--version",),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_command_runs(tmp_path: pathlib.Path, arguments: tuple[str, ...]) -> None:
    finished = without_posix(*(word.format(folder=tmp_path) for word in arguments))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--config", SPACE), "serving needs a POSIX system"),
        (("profiles", "stats", "--store", "{folder}/shop.db"), "needs a POSIX system"),
    ],
    ids=["serve", "profiles"],
)
def test_what_needs_posix_says_so(
    tmp_path: pathlib.Path, arguments: tuple[str, ...], message: str
) -> None:
    finished = without_posix(*(word.format(folder=tmp_path) for word in arguments))
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr

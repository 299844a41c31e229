"""The vendor's SDKs from npm, installed once for all tests of this folder.

They are installed into ``.cache/sdk``, and again whenever ``package.json`` here changes. Without
Node the tests are skipped, except in a continuous build.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass
from typing import NoReturn

import pytest

HERE = pathlib.Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "sdk"

INSTALL_SECONDS = 300
BUNDLE_SECONDS = 60


@dataclass(frozen=True)
class Installed:
    """Node, and the folder that holds ``node_modules``."""

    node: str
    folder: pathlib.Path

    def bundle(self, entry: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
        """One script for a page, of ``entry`` and all it imports."""
        command = [
            self.node,
            str(self.folder / "node_modules" / "esbuild" / "bin" / "esbuild"),
            str(entry),
            "--bundle",
            "--format=iife",
            "--jsx=automatic",
            "--log-level=error",
            '--define:process.env.NODE_ENV="production"',
            f"--outfile={into}",
        ]
        finished = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "NODE_PATH": str(self.folder / "node_modules")},
            timeout=BUNDLE_SECONDS,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return into


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where a test that does not run would go unnoticed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def needed(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"these tests need {name}")
    return found


def installed() -> Installed:
    """The SDKs, installed if need be."""
    node, npm = needed("node"), needed("npm")
    wanted = (HERE / "package.json").read_text()
    done = CACHE / "installed.json"
    CACHE.parent.mkdir(exist_ok=True)
    # Tests run in several processes, and one of them installs.
    with (CACHE.parent / "sdk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(CACHE, ignore_errors=True)
            CACHE.mkdir()
            (CACHE / "package.json").write_text(wanted)
            finished = subprocess.run(
                [
                    npm,
                    "install",
                    "--no-package-lock",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                ],
                capture_output=True,
                encoding="utf-8",
                cwd=CACHE,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if finished.returncode != 0:
                unavailable(f"npm could not install the SDKs:\n{finished.stderr[-2000:]}")
            done.write_text(wanted)  # last, so that a broken install is not taken for a whole one
    return Installed(node, CACHE)

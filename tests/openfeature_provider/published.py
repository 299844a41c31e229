"""OpenFeature's published scenarios, from the only package that carries any.

The source distribution of OpenFeature's flagd provider 0.1.5 holds the gherkin files of the suite
that all its flagd providers run. It is downloaded by pip into ``.cache/gherkin``, once; it is
neither installed nor copied. Without a package index the tests are skipped, except in a continuous
build.
"""

from __future__ import annotations

import fcntl
import functools
import pathlib
import subprocess
import sys
import tarfile
from typing import Any

from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler
from tests.sdk.npm import unavailable

VERSION = "0.1.5"
SHA256 = "e00d67eb6987cdfd62cb60ecf0b2b2bb12f9834f9d009e63af2dbbf73d7603d9"
CACHE = pathlib.Path(__file__).parents[2] / ".cache" / "gherkin"
DOWNLOAD_SECONDS = 180

Scenario = list[str]
"""The texts of its steps, its background's first, with what an outline's examples say."""


@functools.cache
def scenarios() -> dict[str, list[Scenario]]:
    """All scenarios of all files by name; of an outline one for each example."""
    found: dict[str, list[Scenario]] = {}
    with tarfile.open(_distribution()) as archive:
        for name in sorted(archive.getnames()):
            if not name.endswith(".feature"):
                continue
            member = archive.extractfile(name)
            assert member is not None
            document: Any = Parser().parse(member.read().decode())
            document["uri"] = name
            for pickle in Compiler().compile(document):
                steps = [step["text"] for step in pickle["steps"]]
                found.setdefault(pickle["name"], []).append(steps)
    return found


def _distribution() -> pathlib.Path:
    path = CACHE / f"openfeature_provider_flagd-{VERSION}.tar.gz"
    CACHE.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes, and one of them downloads.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            wanted = CACHE / "requirements.txt"
            wanted.write_text(f"openfeature-provider-flagd=={VERSION} --hash=sha256:{SHA256}\n")
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
            command += ["--no-binary", "openfeature-provider-flagd", "--require-hashes"]
            finished = subprocess.run(
                [*command, "-r", str(wanted), "-d", str(CACHE)],
                capture_output=True,
                encoding="utf-8",
                timeout=DOWNLOAD_SECONDS,
                check=False,
            )
            if finished.returncode != 0:
                unavailable(f"pip could not download the scenarios:\n{finished.stderr[-2000:]}")
    return path

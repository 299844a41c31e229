"""examples/check_configuration.py and examples/replay_plots.py do what they say."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
SHOP = REPOSITORY / "fixtures" / "storefront" / "native.json"


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script, with every warning an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_check_of_a_change(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "summary.md"
    done = run(EXAMPLES / "check_configuration.py", GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 0, done.stderr
    assert "## What this configuration would do" in done.stdout
    assert page.read_text() == done.stdout
    found = re.search(r"([\d,]+) of ([\d,]+) visitors", done.stdout)
    assert found is not None
    moved, counted = (int(number.replace(",", "")) for number in found.groups())
    assert 0 < moved < counted == 5_000


def test_a_limit_that_is_exceeded_and_a_broken_configuration(tmp_path: pathlib.Path) -> None:
    profiles = tmp_path / "profiles.ndjson"
    profiles.write_bytes((SHOP.parent / "profiles.ndjson").read_bytes())
    document = json.loads(SHOP.read_text())
    for one in document["experiences"]:
        one["nt_config"]["traffic"] = 0
    next_path = tmp_path / "next.json"
    next_path.write_text(json.dumps(document))
    asked = ["--config", next_path, "--against", SHOP, "--profiles", profiles]
    check = EXAMPLES / "check_configuration.py"
    done = run(check, *asked, "--fail-if", "moved>1%")
    assert done.returncode == 1
    assert "- limit `moved>1%`: **exceeded**" in done.stdout

    document["experiences"][0]["nt_config"]["traffic"] = 7
    next_path.write_text(json.dumps(document))
    done = run(check, *asked)
    assert done.returncode == 1
    assert "\nerror out-of-range: traffic" in done.stdout

    next_path.write_text("nothing of the kind")
    assert run(check, *asked).returncode == 2


def test_the_plots(tmp_path: pathlib.Path) -> None:
    done = run(EXAMPLES / "replay_plots.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[\d,]+ of 20,000 visitors move; digest [0-9a-f]{32}$", done.stdout, re.M)
    for name in ("transitions", "split", "causes"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

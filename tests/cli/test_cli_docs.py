"""docs/cli.md: what its examples show is what comes out."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from whichvariant.cli.main import cli

REPOSITORY = pathlib.Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "cli.md").read_text()
# Blocks marked "text" show times, or wording that is the engine's own; those are not held to.
BLOCKS = re.findall(r"^```console\n\$ (.+?)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
# The first example of the stored profiles fills the store of those that follow it.
FILL = next(command for command, _ in BLOCKS if command.startswith("whichvariant profiles import"))


def pattern_of(expected: str) -> str:
    """The expected output as a pattern: a line of only ``…`` stands for any number of lines."""
    return "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in expected.splitlines()
    )


@pytest.mark.parametrize(("command", "expected"), BLOCKS, ids=[block[0] for block in BLOCKS])
def test_the_example_is_real(tmp_path, command, expected):
    (tmp_path / "fixtures").symlink_to(REPOSITORY / "fixtures")
    script = tmp_path / "whichvariant"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m whichvariant "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "COLUMNS": "100",
        "WHICHVARIANT_STORE": "shop.db",
    }

    def shell(line: str) -> str:
        result = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        return result.stdout.decode()

    stored = command.startswith(("whichvariant profiles", "whichvariant store"))
    if stored and command != FILL:
        shell(FILL)
    printed = shell(command)
    assert re.fullmatch(pattern_of(expected), printed), printed


def test_every_command_has_an_example():
    for name in cli.commands:
        assert f"$ whichvariant {name} " in PAGE

"""docs/storage.md: its commands do what it says."""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import subprocess
import sys

from store.shorthands import everything, put
from whichvariant.store import EmbeddedStore

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "storage.md").read_text()


def test_the_commands_work(tmp_path: pathlib.Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    script = commands / "whichvariant"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m whichvariant "$@"\n')
    script.chmod(0o755)
    path = tmp_path / "profiles.db"

    async def fill() -> object:
        async with EmbeddedStore.open(path) as store:
            await put(store, "p", b"\x80")
            return await everything(store)

    async def read_again() -> object:
        async with EmbeddedStore.open(path, create=False) as store:
            return await everything(store)

    before = asyncio.run(fill())
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        subprocess.run(
            ["/bin/sh", "-eu", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
            check=True,
            timeout=60,
        )
        assert asyncio.run(read_again()) == before
    assert (tmp_path / "aside" / "profiles.db").exists()


def test_the_example_in_python_works(tmp_path: pathlib.Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    body = "\n".join(f"    {line}" for line in code.splitlines())
    program = f"import asyncio\nasync def main():\n{body}\n    print(row)\nasyncio.run(main())\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("ProfileRow(id='p1', version=1"), done.stderr


def test_what_it_names_is_there() -> None:
    repository = pathlib.Path(__file__).parents[2]
    for name in re.findall(r"`((?:src|tests)/[\w/.]+)`", PAGE):
        assert (repository / name).exists(), name

"""examples/openfeature_flags.py and the program in docs/openfeature.md do what they say."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from tests.conftest import REPOSITORY

DOCS = (REPOSITORY / "docs" / "openfeature.md").read_text("utf-8")


def run(path: pathlib.Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        capture_output=True,
        cwd=REPOSITORY,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_example_runs() -> None:
    lines = run(REPOSITORY / "examples" / "openfeature_flags.py").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "a gold customer in Berlin",
        "somebody on a phone in Boston",
        "somebody of whom nothing is known",
        "changed: checkout.buttonLabel, checkoutButton9Bkn1YGp",
        "now the button says 'Pay now, safely'",
    ]
    buttons = [line.split(maxsplit=1)[1] for line in lines if "checkout.buttonLabel  " in line]
    assert [re.split(r"  +", button) for button in buttons] == [
        ["Pay securely", "SPLIT", "variant-1"],
        ["Buy now", "SPLIT", "baseline"],
        ["Buy now", "DEFAULT", "-"],
    ]


def test_the_program_of_the_docs(tmp_path: pathlib.Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    checked = re.sub(
        r"^(client\.get.*?)  # (.*?)(?::.*)?$", r"assert \1 == \2", program, flags=re.M
    )
    assert checked.count("assert ") == 3
    path = tmp_path / "program.py"
    path.write_text(checked)
    run(path)


@pytest.mark.parametrize("name", ["traits", "location", "session", "stickyVariants"])
def test_the_table_of_attributes_has_every_object(name: str) -> None:
    assert f"| `{name}` (object), `{name}." in DOCS

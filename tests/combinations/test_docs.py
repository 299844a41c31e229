"""docs/combinations.md: its first example gives what it shows, and its keys are made as it says."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "combinations.md").read_text(encoding="utf-8")


def test_the_example_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code, shown = re.findall(r"^```(?:python|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[:2]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "combinations.md", "exec"), {})
    assert said.getvalue() == shown

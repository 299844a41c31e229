"""docs/rendering.md: what it lists is what there is."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest

from whichvariant.web import CookieSettings, Experiences, WebSettings

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "rendering.md").read_text()


def names(heading: str) -> list[str]:
    """The names in the first column of the table after a line."""
    rows = PAGE.partition(heading)[2].partition("\n\n|")[2].partition("\n\n")[0].splitlines()
    return [name for row in rows for name in re.findall(r"`(\w+)", row.partition(" | ")[0])]


@pytest.mark.parametrize("settings", [WebSettings, CookieSettings])
def test_settings(settings: type) -> None:
    fields = [field.name for field in dataclasses.fields(settings)]
    assert names(f"\n`{settings.__name__}`:") == fields


def test_what_a_view_has() -> None:
    public = {name for name in vars(Experiences) if not name.startswith("_")}
    for_middleware = {"used", "seal", "decided"}
    assert set(names("## What a view has")) == public - for_middleware

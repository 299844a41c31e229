"""docs/server.md: what it lists is what there is."""

from __future__ import annotations

from tests.server.settings_table import PAGE, current, table

from whichvariant.server.endpoints import METHODS
from whichvariant.server.failures import _STATUS
from whichvariant.server.settings_sources import all_settings


def test_the_table_of_settings_is_complete() -> None:
    assert current() == table(), "write it anew: python -m tests.server.settings_table"
    assert all(setting.description for setting in all_settings())


def test_every_error_code_and_method_is_listed() -> None:
    page = PAGE.read_text()
    for code in _STATUS:
        assert f"`{code}`" in page
    for method in {method for methods in METHODS.values() for method in methods}:
        assert f"| `{method}` |" in page

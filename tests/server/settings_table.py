"""The table of settings in docs/server.md, from the settings themselves.

``python -m tests.server.settings_table`` writes it anew.
"""

from __future__ import annotations

from typing import Any

from tests.conftest import REPOSITORY

from whichvariant.server.settings_sources import all_settings

PAGE = REPOSITORY / "docs" / "server.md"
BEGIN = "<!-- settings: made by python -m tests.server.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """A row for each setting."""
    lines = ["| setting | in the environment | default | |", "|---|---|---|---|"]
    for setting in all_settings():
        name = f"`{setting.name}` (secret)" if setting.secret else f"`{setting.flag}`"
        description = setting.description.replace("|", "\\|")
        lines.append(
            f"| {name} | `{setting.variable}` | {_spelled(setting.default)} | {description} |"
        )
    return "\n".join(lines) + "\n"


def _spelled(value: Any) -> str:
    if value in ((), None, ""):
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def current() -> str:
    """What the page has between its marks."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, mark, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{mark}{table()}{END}{rest.partition(END)[2]}")

"""examples/fastapi_ssr.py and examples/django_ssr.py do what they say, and show the same."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

SECTIONS = [
    "Go further", "Boots for every terrain", "Rucksacks", "Stoves", "Read our guides",
    "Get the app", "One letter a month, no noise", "Pay securely",
    "cache-control: private, no-cache",
]  # fmt: skip


@pytest.mark.parametrize("name", ["fastapi_ssr.py", "django_ssr.py"])
def test_example(name: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    lines = [line.strip() for line in finished.stdout.splitlines()]
    cookies = [line for line in lines if line.startswith("set-cookie: ntaid=visitor-3;")]
    assert len(cookies) == 2
    assert all("SameSite=Lax" in line and "Secure" in line for line in cookies)
    assert [line for line in lines if line not in cookies] == [
        "GET /",
        "Hello in your town!",
        "Free returns, 60 days",
        *SECTIONS,
        "GET /?city=Berlin",
        "Hello in Berlin!",
        "Try it on: Oranienstraße, open until 8 pm",
        *SECTIONS,
        "GET /about",
        "cache-control: -",
        "set-cookie: -",
    ]

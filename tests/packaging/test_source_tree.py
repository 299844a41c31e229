"""Rules for the files under version control that no linter knows."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CODE = {".py", ".pyi", ".pyx", ".pxd", ".h", ".c", ".cjs", ".mjs", ".js"}

# Inputs that are broken on purpose.
BROKEN = ROOT / "tests" / "robustness" / "corpus"

LONGEST_MODULE = 500
LONGEST_LINE = 100
LONG_MODULES: set[str] = set()
"""Modules that may be longer. Empty, and should stay so: split instead."""

# Written in two pieces, so that this file names none of them.
REGISTRIES = [
    name + "." + domain
    for name, domain in [
        ("pypi", "org"), ("pythonhosted", "org"), ("pypa", "io"), ("npmjs", "org"),
        ("npmjs", "com"), ("yarnpkg", "com"), ("deb.debian", "org"), ("debian", "net"),
        ("ubuntu", "com"), ("crates", "io"), ("golang", "org"), ("conda", "io"),
        ("anaconda", "org"), ("docker", "io"), ("ghcr", "io"),
    ]
]  # fmt: skip
MACHINE_PATH = re.compile(
    r"(?<![\w.~:/-])/(?:root|work|mnt|home/\w+|Users/\w+)/[\w.-]+|[A-Z]:\\\\?Users\\"
)


@functools.cache
def tracked() -> list[pathlib.Path]:
    """Files under version control, and new ones that are not ignored."""
    reason = ""
    if shutil.which("git") is None:
        reason = "git is not installed"
    elif not (ROOT / ".git").exists():
        reason = "this is no checkout"
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and BROKEN not in path.parents]


def texts() -> list[tuple[str, str]]:
    """(path, content) of every text file."""
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((path.relative_to(ROOT).as_posix(), data.decode("utf-8")))
    return found


def code() -> list[tuple[str, str]]:
    return [(name, text) for name, text in texts() if pathlib.PurePath(name).suffix in CODE]


def test_there_are_files() -> None:
    assert len(code()) > 50


def test_no_registry_is_named() -> None:
    named = [(name, host) for name, text in texts() for host in REGISTRIES if host in text.lower()]
    assert not named


def test_no_path_of_one_machine() -> None:
    found = [
        (name, match.group()) for name, text in texts() for match in MACHINE_PATH.finditer(text)
    ]
    assert not found


def test_modules_are_short() -> None:
    lengths = {
        name: text.count("\n")
        for name, text in code()
        if name.startswith(("src/", "ext/", "benchmarks/"))
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE}
    assert set(too_long) == LONG_MODULES, too_long


def test_lines_are_short() -> None:
    too_long = [
        f"{name}:{number} has {len(line)} columns"
        for name, text in code()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert not too_long


def test_text_files_end_with_one_newline() -> None:
    bad = [
        name
        for name, text in texts()
        if text
        and (not text.endswith("\n") or text.endswith("\n\n"))
        and not name.startswith("fixtures/")
    ]
    assert not bad


def test_no_carriage_returns_or_conflict_markers() -> None:
    marker = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    bad = [name for name, text in code() if "\r\n" in text or marker.search(text)]
    assert not bad


def test_the_core_imports_nothing_else_of_the_package() -> None:
    """import-linter reads Python only."""
    statement = re.compile(r"^\s*(?:from|c?import)\s+(whichvariant[\w.]*)", re.MULTILINE)
    foreign = [
        (name, match.group(1))
        for name, text in texts()
        if name.startswith("ext/") or name.endswith(".pyi")
        for match in statement.finditer(text)
        if not match.group(1).startswith("whichvariant._core")
    ]
    assert not foreign

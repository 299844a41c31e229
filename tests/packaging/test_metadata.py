"""What the installed package says about itself, and what its distributions will hold."""

from __future__ import annotations

import importlib.metadata
import pathlib
import tomllib
from typing import Any

import pytest

import whichvariant
from whichvariant import _core

ROOT = pathlib.Path(__file__).parents[2]
CORE = ROOT / "ext" / "whichvariant" / "_core"


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_one_version(declared: dict[str, Any]) -> None:
    assert whichvariant.__version__ == declared["project"]["version"]
    assert importlib.metadata.version("whichvariant") == declared["project"]["version"]


def test_every_public_name_is_there() -> None:
    assert sorted(whichvariant.__all__) == whichvariant.__all__
    for name in whichvariant.__all__:
        assert hasattr(whichvariant, name)


def test_every_compiled_module_has_a_stub() -> None:
    modules = {path.stem for path in CORE.glob("*.pyx")}
    installed = {
        path.stem for folder in _core.__path__ for path in pathlib.Path(folder).glob("*.pyi")
    }
    assert modules
    assert installed == modules


def test_no_compiled_module_is_older_than_its_source() -> None:
    """Plain modules that are compiled as they stand would otherwise hide what was changed."""
    compiled = sorted((ROOT / "src").rglob("profiles/*.so"))
    for path in compiled:
        source = path.with_name(path.name.partition(".")[0] + ".py")
        assert path.stat().st_mtime >= source.stat().st_mtime, f"{source.name}: run make test"


def test_the_package_is_marked_as_typed(declared: dict[str, Any]) -> None:
    assert (ROOT / "src" / "whichvariant" / "py.typed").is_file()
    package_data = declared["tool"]["setuptools"]["package-data"]
    assert package_data == {
        "whichvariant.server.inspector": ["*.html", "*.css", "*.js", "*.svg"],
        "whichvariant": ["py.typed"],
        "whichvariant._core": ["*.pyi"],
        "whichvariant.replay.page": ["*.css", "*.js"],
    }


def test_every_file_of_a_page_is_packed(declared: dict[str, Any]) -> None:
    package_data = declared["tool"]["setuptools"]["package-data"]
    for package in ("whichvariant.server.inspector", "whichvariant.replay.page"):
        folder = ROOT / "src" / pathlib.PurePath(*package.split("."))
        files = {path.name for path in folder.iterdir() if path.is_file()}
        packed = {path.name for glob in package_data[package] for path in folder.glob(glob)}
        assert packed == {name for name in files if not name.endswith(".py")}
        assert any(name.endswith(".css") for name in packed)


def test_the_source_distribution_will_hold_what_it_is_built_from() -> None:
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    for folder in ("ext", "tests", "fixtures", "docs", "benchmarks"):
        assert f"graft {folder}" in lines
    assert any(line.startswith("include ") and "Makefile" in line.split() for line in lines)


def test_the_build_takes_no_instruction_set_for_granted() -> None:
    for name in ("setup.py", "pyproject.toml", "Makefile"):
        text = (ROOT / name).read_text()
        for flag in ("-march=", "-mtune=", "-mavx", "/arch:"):
            assert flag not in text, f"{name} has {flag}"

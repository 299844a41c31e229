"""What an installation must be able to do, asked of an environment that has nothing else in it.

python .ci/smoke.py dist/FILE       # what the wheel or source distribution consists of
PYTHON .ci/smoke.py --installed     # the package as installed for PYTHON
"""

import importlib.metadata
import importlib.resources
import json
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures" / "storefront"
SPACE = FIXTURES / "space.json"
PROFILES = FIXTURES / "profiles.ndjson"
NOW = "2026-11-01T12:00:00Z"
EXTRAS = {"client", "geo", "openfeature", "otel", "postgres", "ray", "replay", "server", "spark"}
MODULES = sorted(path.stem for path in (ROOT / "ext/whichvariant/_core").glob("*.pyx"))

PACKAGED = sorted(
    path.relative_to(ROOT / "src").as_posix()
    for folder in ("server/inspector", "replay/page")
    for path in (ROOT / "src/whichvariant" / folder).iterdir()
    if path.is_file()
)
"""The files of pages, code and data alike."""


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"smoke test: {message}")


def check_wheel(path: pathlib.Path) -> None:
    """Compiled modules, stubs, pages and the typing marker are in; sources and tests are not."""
    names = zipfile.ZipFile(path).namelist()
    missing = [name for name in PACKAGED if name not in names]
    expect(not missing, f"{path.name} lacks {missing[:5]}")
    for module in MODULES:
        start = f"whichvariant/_core/{module}."
        expect(f"{start}pyi" in names, f"no stub of {module} in {path.name}")
        compiled = [name for name in names if name.startswith(start) and name.endswith(".so")]
        expect(len(compiled) == 1, f"compiled {module} in {path.name}: {compiled}")
    expect("whichvariant/py.typed" in names, f"no py.typed in {path.name}")
    metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
    lines = zipfile.ZipFile(path).read(metadata).decode().splitlines()
    extras = {line.partition(": ")[2] for line in lines if line.startswith("Provides-Extra: ")}
    expect(extras >= EXTRAS, f"{path.name} lacks extras: {sorted(EXTRAS - extras)}")
    foreign = [
        name
        for name in names
        if not name.startswith(("whichvariant/", "whichvariant-"))
        or name.endswith((".pyx", ".pxd", ".c", ".h", ".pyc"))
    ]
    expect(not foreign, f"{path.name} holds {foreign[:5]}")


def check_sdist(path: pathlib.Path) -> None:
    """Everything that is under version control and not about the repository itself is in."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    missing = [
        name for name in tracked if name not in names and not name.startswith((".ci/", ".git"))
    ]
    expect(not missing, f"{path.name} lacks {len(missing)} files: {missing[:5]}")
    expect("ext/whichvariant/_core/program.pyx" in names, f"no Cython sources in {path.name}")
    made = [name for name in names if name.endswith((".so", ".c", ".pyc")) and name not in tracked]
    expect(not made, f"{path.name} holds {made[:5]}")


def check_installed() -> None:
    """Import, command and answers, with nothing of the checkout on the path."""
    import whichvariant

    folder = pathlib.Path(whichvariant.__file__).parent
    expect(ROOT / "src" not in folder.parents, f"imported from the checkout: {folder}")
    expect((folder / "py.typed").is_file(), "no py.typed")
    expect((folder / "_core" / "program.pyi").is_file(), "no stubs")
    version = importlib.metadata.version("whichvariant")
    expect(whichvariant.__version__ == version, "__version__ is not the metadata's")
    expect(not installed("cython"), "the environment is not empty: it has Cython")

    command = pathlib.Path(sysconfig.get_path("scripts")) / "whichvariant"
    said = run([command, "--version"])
    expect(version in said, f"--version says {said!r}")
    answers = run(
        [command, "select", "--config", SPACE, "--profile", PROFILES, "--now", NOW, "--json"]
    ).splitlines()
    expected = (FIXTURES / "expected.ndjson").read_text(encoding="utf-8").splitlines()
    expect(len(answers) == len(expected), f"{len(answers)} answers for {len(expected)} visitors")
    for number, (answer, wanted) in enumerate(zip(answers, expected, strict=True), 1):
        got, want = json.loads(answer), json.loads(wanted)
        for key in ("experiences", "changes"):
            expect(got[key] == want[key], f"visitor {number} gets other {key}")
    print(f"whichvariant {version} works: {folder}")


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def run(command: list[object]) -> str:
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, encoding="utf-8"
    ).stdout


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if argument == "--installed":
            check_installed()
        elif argument.endswith(".whl"):
            check_wheel(pathlib.Path(argument))
        else:
            check_sdist(pathlib.Path(argument))

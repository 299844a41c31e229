"""Every folder of fixtures/conformance, run through the public Engine by both of its entry points.

A case is data: a configuration, a request, and what must come of it. Expected values are derived
outside the engine (each SOURCE.md says how), so a failure here is a question about the engine, or
about the page that the case quotes, and never a reason to copy the engine's answer into the case.
"""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest

import whichvariant
from whichvariant import ConfigurationError, Engine

CASES = pathlib.Path(__file__).parents[2] / "fixtures" / "conformance"
FILES = ("config.json", "request.json", "expected.json", "SOURCE.md")
FOLDERS = sorted(path for path in CASES.iterdir() if path.is_dir())
NAMES = [folder.name for folder in FOLDERS]

REQUEST_KEYS = {"profile", "device", "events", "now", "audiences", "strict"}
ANSWER_KEYS = {"audiences", "experiences", "changes"}


def read(folder: pathlib.Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def canonical(value: Any) -> str:
    """JSON text with sorted keys: unlike ``==`` it tells 1 from true and from 1.0."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)


def load(folder: pathlib.Path, request: dict[str, Any]) -> Engine:
    return Engine.load(str(folder / "config.json"), strict=request.get("strict", True))


def arguments(request: dict[str, Any]) -> dict[str, Any]:
    return {
        name: request[name] for name in ("device", "events", "now", "audiences") if name in request
    }


def select(folder: pathlib.Path) -> Any:
    request = read(folder, "request.json")
    engine = load(folder, request)
    return engine.select(request["profile"], **arguments(request)).to_dict()


def select_fresh(folder: pathlib.Path) -> Any:
    request = read(folder, "request.json")
    engine = load(folder, request)
    return engine.select(request["profile"], fresh=True, **arguments(request)).to_dict()


def select_json(folder: pathlib.Path) -> Any:
    request = read(folder, "request.json")
    engine = load(folder, request)
    profile = json.dumps(request["profile"], ensure_ascii=False).encode()
    return json.loads(engine.select_json(profile, **arguments(request)))


ENTRY_POINTS = [select, select_fresh, select_json]


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_case_is_complete(folder: pathlib.Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    request, expected = read(folder, "request.json"), read(folder, "expected.json")
    assert "profile" in request
    assert set(request) <= REQUEST_KEYS
    if "error" in expected:
        assert set(expected) == {"error"}
        assert "type" in expected["error"]
        assert set(expected["error"]) <= {"type", "path", "code"}
    else:
        assert set(expected) - {"findings"} == ANSWER_KEYS
    source = (folder / "SOURCE.md").read_text(encoding="utf-8")
    for heading in ("Rule", "Standing", "Derived"):
        assert f"- **{heading}**: " in source
    assert re.search(r"\[(doc|sdk|recorded|policy)\]", source), "no standing"


def test_there_are_enough_cases() -> None:
    assert len(FOLDERS) >= 40


@pytest.mark.parametrize("answer_of", ENTRY_POINTS)
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_case_comes_out_as_expected(folder: pathlib.Path, answer_of: Any) -> None:
    expected = read(folder, "expected.json")
    if "error" in expected:
        check_error(folder, answer_of, expected["error"])
        return
    answer = answer_of(folder)
    assert set(answer) == ANSWER_KEYS
    for name in ("audiences", "experiences", "changes"):
        assert canonical(answer[name]) == canonical(expected[name]), name


def check_error(folder: pathlib.Path, answer_of: Any, expected: dict[str, str]) -> None:
    with pytest.raises(getattr(whichvariant, expected["type"])) as caught:
        answer_of(folder)
    error = caught.value
    assert type(error).__name__ == expected["type"]
    if isinstance(error, ConfigurationError):
        errors = [
            (finding.code, finding.path)
            for finding in error.findings
            if finding.severity == "error"
        ]
        if "path" in expected:
            assert (expected["code"], expected["path"]) in errors
        else:
            assert expected["code"] in {code for code, _ in errors}
    elif "path" in expected:
        assert error.path == expected["path"]


@pytest.mark.parametrize(
    "folder",
    [folder for folder in FOLDERS if "findings" in read(folder, "expected.json")],
    ids=lambda folder: folder.name,
)
def test_findings_stay_visible(folder: pathlib.Path) -> None:
    engine = load(folder, read(folder, "request.json"))
    found = [
        {"severity": finding.severity, "code": finding.code, "path": finding.path}
        for finding in engine.findings
    ]
    for finding in read(folder, "expected.json")["findings"]:
        assert finding in found

"""OpenFeature's own OFREP providers for JavaScript, under Node, against the server."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import pytest
from tests.flags.documents import document, experience, trait_audience, variable
from tests.sdk.npm import HERE, Installed
from tests.server.running import served

pytestmark = pytest.mark.sdk


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(
        json.dumps(
            document(
                experience("1", variable("boolean", False, True)),
                experience("2", variable("string", "x", text)),
                experience("3", variable("integer", 0, 10)),
                experience("4", variable("float", 0.25, 0.5)),
                experience("5", variable("object", {}, {"a": [1]})),
                experience("6", variable("split", "x", "y"), distribution=(0.5, 0.5)),
                experience("7", variable("gold", "no", "yes"), audience="gold"),
                experience("8", variable("off", "no", "yes"), traffic=0),
                audiences=(trait_audience("gold", "plan", "gold"),),
            )
        )
    )
    return path


@pytest.fixture(scope="module")
def seen(packages: Installed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the providers were answered."""
    folder = tmp_path_factory.mktemp("ofrep")
    config = write(folder / "flags.json", "hi")
    new = write(folder / "new", "changed")
    with served(folder, "--reload-s", "0.1", config=config) as server:
        told = {"base": server.api, "from": str(new), "to": str(config)}
        finished = subprocess.run(
            [packages.node, str(HERE / "ofrep.cjs"), json.dumps(told)],
            capture_output=True,
            encoding="utf-8",
            cwd=packages.folder,
            timeout=90,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


VALUES = {
    "boolean": True,
    "integer": 10,
    "float": 0.5,
    "object": {"a": [1]},
    "gold": "yes",
}


def by_key(found: list[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    seen: dict[str, list[dict[str, Any]]] = {}
    for key, details in found:
        seen.setdefault(key, []).append(details)
    return seen


@pytest.mark.parametrize("side", ["server", "page"])
def test_values(seen: dict[str, Any], side: str) -> None:
    found = by_key(seen[side]["found"])
    for key, value in VALUES.items():
        (details,) = found[key]
        assert details["value"] == value
        assert "errorCode" not in details
        assert details["variant"] == "variant-1"
        assert details["flagMetadata"]["variantIndex"] == 1
    assert found["gold"][0]["reason"] == "TARGETING_MATCH"
    assert found["boolean"][0]["reason"] == "STATIC"
    text, as_boolean = found["string"]
    assert text["value"] == "hi"
    assert (as_boolean["value"], as_boolean["errorCode"]) == (False, "TYPE_MISMATCH")
    assert found["nothing"][0]["errorCode"] == "FLAG_NOT_FOUND"
    assert found["off"][0]["value"] == "mine"


def test_what_a_server_is_told(seen: dict[str, Any]) -> None:
    answered = seen["server"]
    assert answered["without"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert answered["wrong"]["errorCode"] == "INVALID_CONTEXT"


def test_the_caller_s_default(seen: dict[str, Any]) -> None:
    """An answer without a value, which the provider for pages knows."""
    assert by_key(seen["page"]["found"])["off"][0]["reason"] == "DISABLED"
    blue = seen["page"]["blue"]
    assert (blue["value"], blue["reason"]) == ("mine", "DEFAULT")
    assert "errorCode" not in blue


def test_answers_are_the_protocols(seen: dict[str, Any]) -> None:
    """As OpenFeature's client for the protocol understands them: it refuses all other shapes."""
    found = seen["protocol"]
    flags = found["flags"]["body"]["flags"]
    assert [one["body"] for one in found["ones"]] == flags
    assert {flag["key"] for flag in flags} >= {*VALUES, "string", "split", "off", "7"}
    by_key = {one["body"]["key"]: one["details"] for one in found["ones"]}
    for key, value in VALUES.items():
        assert by_key[key]["value"] == value
        assert by_key[key]["variant"] == "variant-1"
        assert by_key[key]["flagMetadata"]["variantIndex"] == 1
    for one, reason in ((found["blue"], "DEFAULT"), (found["off"], "DISABLED")):
        assert "value" not in one["body"]
        assert (one["details"]["value"], one["details"]["reason"]) == ("mine", reason)


@pytest.mark.parametrize(
    ("which", "status", "code"),
    [
        ("unknown", 404, "FLAG_NOT_FOUND"),
        ("keyless", 400, "TARGETING_KEY_MISSING"),
        ("wrong", 400, "INVALID_CONTEXT"),
        ("elsewhere", 404, "FLAG_NOT_FOUND"),
        ("allWrong", 400, "INVALID_CONTEXT"),
        ("allElsewhere", 404, "GENERAL"),
    ],
)
def test_failures_are_the_protocols(
    seen: dict[str, Any], which: str, status: int, code: str
) -> None:
    found = seen["protocol"][which]
    assert (found["status"], found["body"]["errorCode"]) == (status, code)


def test_all_flags_as_the_protocol_has_them(seen: dict[str, Any]) -> None:
    found = seen["protocol"]
    assert (found["same"]["status"], found["same"]["etag"]) == (304, found["flags"]["etag"])
    codes = {one.get("errorCode") for one in found["allKeyless"]["body"]["flags"]}
    assert codes == {None, "TARGETING_KEY_MISSING"}


def test_polling(seen: dict[str, Any]) -> None:
    exchanges = seen["page"]["exchanges"]
    (status, asked, etag), *others = exchanges
    assert (status, asked) == (200, None)
    unchanged = [one for one in others if one[0] == 304]
    assert unchanged
    for _, named, given in unchanged:
        assert named == given
    assert any(named == etag for _, named, _ in unchanged)
    assert seen["page"]["changes"][0] is not None
    assert seen["page"]["changed"]["value"] == "changed"

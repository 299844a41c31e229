"""The reference's own examples, verbatim but for the address, against a running server.

They are cut out of the reference where it stands, by language, and run by the programs they are
written for: curl, Node and Python. The answers have the documented shapes, exactly.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.conftest import REPOSITORY
from tests.sdk import shapes
from tests.sdk.npm import needed, unavailable
from tests.server.events import page
from tests.server.running import Served, served

pytestmark = [pytest.mark.sdk, pytest.mark.shared_data]

REFERENCE = REPOSITORY.parent / "shared" / "reference" / "experience-api.txt"
HOSTED = "https://experience.ninetailed.co"
RUN_SECONDS = 30

SECTIONS = (
    "Create profile",
    "Update profile",
    "Get profile",
    "Batch upsert profiles (sync)",
    "Delete profile",
)
SHAPES = {
    "Create profile": shapes.ONE_PROFILE,
    "Update profile": shapes.ONE_PROFILE,
    "Get profile": shapes.ONE_PROFILE,
    "Batch upsert profiles (sync)": shapes.MANY_PROFILES,
    "Delete profile": shapes.NOTHING,
}
BATCH_ID = "18635fe9cc665fd113547e897c13862b"

# Where an example begins and ends; a curl command goes on while its lines end in a backslash.
EXAMPLES = {
    "javascript": re.compile(
        r"^const response = await fetch\(.*?^const data = await .*?;$", re.M | re.S
    ),
    "curl": re.compile(r"^curl -L \\\n(?:.*\\\n)*.*$", re.M),
    "python": re.compile(r"^import requests$.*?^data = response\.json\(\)$", re.M | re.S),
    # The body, if there is one, comes next: JSON that says itself where it ends.
    "http": re.compile(r"^(?:GET|POST|DELETE) /v2/\S+ HTTP/1\.1(?:\n[\w-]+: .*)+$", re.M),
}


@dataclass(frozen=True)
class Example:
    """One example of the reference, as it stands there."""

    section: str
    language: str
    text: str


def examples() -> list[Example]:
    """All of them; none where the reference is not there."""
    if not REFERENCE.exists():
        return []
    text = REFERENCE.read_text(encoding="utf-8")
    # The titles of sections stand alone on their lines, and the method comes next.
    starts = [
        (found.start(), found[1])
        for found in re.finditer(r"^(\w.*)\n(?:\[(?:POST|GET|DELETE)\]https://)", text, re.M)
    ]
    ends = [start for start, _ in starts[1:]] + [text.index("\nFAQ\n")]
    return [
        Example(title, language, text[found.start() : _end(text, found, language)])
        for (start, title), end in zip(starts, ends, strict=True)
        for language, pattern in EXAMPLES.items()
        for found in pattern.finditer(text, start, end)
    ]


def _end(text: str, found: re.Match[str], language: str) -> int:
    if language == "http" and text.startswith("\n{", found.end()):
        return json.JSONDecoder().raw_decode(text, found.end() + 1)[1]
    return found.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def profile_id(server: Served) -> str:
    """A profile that is there."""
    answer = httpx.post(f"{server.api}/profiles", json={"events": [page()]}).json()
    found: str = answer["data"]["profile"]["id"]
    return found


def addressed(example: Example, server: Served, profile_id: str) -> str:
    """The example's text, with what it leaves open filled in."""
    text = example.text.replace(HOSTED, server.url)
    text = text.replace(HOSTED.removeprefix("https://"), f"127.0.0.1:{server.port}")
    for name, value in (
        ("organizationId", "default"),
        ("environmentSlug", "main"),
        ("profileId", profile_id),
    ):
        text = text.replace(f"{{{name}}}", value)
    return text


def run(language: str, text: str, folder: pathlib.Path) -> Any:
    """What an example received."""
    if language == "http":
        return by_hand(text)
    if language == "curl":
        needed("curl")
        command = [needed("bash"), "-c", text]
    elif language == "javascript":
        script = folder / "example.mjs"
        script.write_text(f"{text}\nconsole.log(JSON.stringify(data));\n")
        command = [needed("node"), str(script)]
    else:
        script = folder / "example.py"
        script.write_text(f"{text}\nimport json\nprint(json.dumps(data))\n")
        command = [sys.executable, str(script)]
    no_proxy = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    finished = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env=no_proxy,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def by_hand(text: str) -> Any:
    """The request as it is written; only its length and its end are added."""
    head, _, body = text.partition("\n{")
    content = ("{" + body).encode() if body else b""
    host = re.search(r"^Host: ([\d.]+):(\d+)$", head, re.M)
    assert host is not None
    lines = [*head.strip().split("\n"), f"Content-Length: {len(content)}", "Connection: close"]
    with socket.create_connection((host[1], int(host[2])), timeout=RUN_SECONDS) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        with connection.makefile("rb") as stream:
            answer = stream.read()
    head_of_answer, _, content_of_answer = answer.partition(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 200 "), head_of_answer
    return json.loads(content_of_answer)


def test_the_reference_is_read_whole() -> None:
    """Every endpoint with a request of its own has its four examples."""
    if not REFERENCE.exists():
        unavailable("the reference (../shared/reference) is not there")
    found = {(example.section, example.language) for example in examples()}
    assert found == {(section, language) for section in SECTIONS for language in EXAMPLES}


@pytest.mark.parametrize(
    "example", examples(), ids=lambda example: f"{example.section}-{example.language}"
)
def test_examples(
    example: Example, server: Served, profile_id: str, tmp_path: pathlib.Path
) -> None:
    answer = run(example.language, addressed(example, server, profile_id), tmp_path)
    data = shapes.check(answer, SHAPES[example.section])
    if example.section == "Create profile":
        profile = data["profile"]
        assert profile["id"] == profile["stableId"]
        assert profile["session"]["count"] == 1
        assert profile["session"]["landingPage"]["query"] == {
            "utm_campaign": "example_campaign",
            "utm_content": "example_content",
        }
    elif example.section == "Update profile":
        assert data["profile"]["traits"] == {"favAnimal": "fox"}
    elif example.section == "Get profile":
        assert data["profile"]["id"] == profile_id
    elif example.section == "Delete profile":
        gone = httpx.get(f"{server.api}/profiles/{profile_id}")
        assert gone.status_code == 404
        shapes.check(gone.json(), shapes.FAILURE)
    else:
        (profile,) = data["profiles"]
        assert profile["id"] == profile["stableId"] == BATCH_ID


@pytest.mark.parametrize("language", sorted(set(EXAMPLES) - {"http"}))
def test_the_batch_example_for_the_asynchronous_endpoint(
    language: str, server: Served, tmp_path: pathlib.Path
) -> None:
    """ "The request body is the same": so are its examples, at the other path."""
    for example in examples():
        if (example.section, example.language) == ("Batch upsert profiles (sync)", language):
            text = addressed(example, server, "").replace("/main/events", "/main/import/events")
            shapes.check(run(language, text, tmp_path), shapes.ACCEPTED)
            return
    unavailable("the reference (../shared/reference) is not there")

"""The OpenAPI document: what it promises is what the server does."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import httpx
from tests.conftest import REPOSITORY
from tests.server.running import Served, served

from whichvariant.server import ServerSettings
from whichvariant.server.endpoints import METHODS
from whichvariant.server.openapi import document

TOKEN = "a-token-of-operators-that-nobody-guesses"

# The names that the server under test knows: of others it says no more than that.
CONFIG = """\
[parameters]
"path.organizationId" = "default"
"path.environmentSlug" = "main"

# Without a context, or a targeting key in it, one flag may be answered and another not: that is up
# to the configuration, which a schema does not know (tests/server/test_ofrep.py).
[[operations]]
include-path-regex = "/ofrep/v1/evaluate/flags/"
checks.negative_data_rejection.enabled = false
"""


def test_schemathesis_finds_nothing(tmp_path: pathlib.Path) -> None:
    """All checks, over all operations: examples, edges, random requests, and requests in turn."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with served(tmp_path) as server:
        done = subprocess.run(
            [
                pathlib.Path(sys.executable).parent / "st",
                *("--config-file", "schemathesis.toml", "run", f"{server.url}/openapi.json"),
                # All checks, unless the file says otherwise; naming them would count for more.
                *("--seed", "7", "--max-examples", "25", "--no-color"),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.server.stateful_requests",
                "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
            },
            capture_output=True,
            text=True,
            timeout=1_200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20_000:]
        operations = len([method for path in paths(server) for method in path if method in _VERBS])
        assert f"Tested: {operations}" in done.stdout
        linked = re.search(r"API Links: +(\d+) covered", done.stdout)
        assert linked is not None
        assert int(linked[1]) >= 3, done.stdout[-2_000:]
        assert "Traceback" not in server.log.read_text()


_VERBS = frozenset({"get", "post", "delete", "put", "patch", "head", "options"})


def paths(server: Served) -> list[dict[str, object]]:
    """The operations of each path of a running server."""
    described = httpx.get(f"{server.url}/openapi.json").json()
    return list(described["paths"].values())


def test_every_endpoint_is_described(server: Served) -> None:
    described = document(ServerSettings())["paths"]
    base = "/v2/organizations/{organizationId}/environments/{environmentSlug}"
    found = {
        path.removeprefix(base): {verb.upper() for verb in operations if verb in _VERBS}
        for path, operations in described.items()
        if path.startswith(base)
    }
    assert found == {
        "/profiles": set(METHODS["create"]),
        "/profiles/{profileId}": set(METHODS["profile"]),
        "/events": set(METHODS["upsert"]),
        "/import/events": set(METHODS["import"]),
        "/ofrep/v1/evaluate/flags": set(METHODS["flags"]),
        "/ofrep/v1/evaluate/flags/{key}": set(METHODS["flag"]),
    }
    assert httpx.get(f"{server.url}/openapi.json").json()["openapi"].startswith("3.1")


def test_operators_paths_are_described_where_there_are_operators() -> None:
    assert not any(path.startswith("/admin") for path in document(ServerSettings())["paths"])
    settings = ServerSettings(admin_token=TOKEN)
    described = document(settings)
    admin = {path for path in described["paths"] if path.startswith("/admin")}
    assert len(admin) >= 6
    for path in admin:
        for verb, operation in described["paths"][path].items():
            if verb in _VERBS:
                assert operation["security"] == [{"adminToken": []}], (path, verb)


def test_the_page_needs_nothing_from_elsewhere(server: Served) -> None:
    answer = httpx.get(f"{server.url}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)
    assert "/organizations/{organizationId}/environments/{environmentSlug}/profiles" in answer.text
    for verb in ("post", "get", "delete"):
        assert verb in answer.text

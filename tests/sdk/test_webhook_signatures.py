"""Signatures as Contentful's own toolkit makes them are those that the webhook takes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.sdk.npm import Installed

from whichvariant.server.webhook import is_signed

SECRET = "0123456789abcdef" * 4
NOW = 1_793_534_400_000

SCRIPT = """
const { signRequest } = require("@contentful/node-apps-toolkit");
let text = "";
process.stdin.on("data", (piece) => (text += piece));
process.stdin.on("end", () => {
  const cases = JSON.parse(text);
  const signed = cases.map(({ secret, request, now }) => signRequest(secret, request, now));
  process.stdout.write(JSON.stringify(signed));
});
"""

REQUESTS: list[dict[str, Any]] = [
    {"method": "POST", "path": "/webhooks/contentful", "body": '{"sys": {"id": "a"}}'},
    {"method": "POST", "path": "/experience/webhooks/contentful", "body": ""},
    {
        "method": "POST",
        "path": "/webhooks/contentful",
        "body": '{"fields": {"title": "für Zoë 😀"}}',
        "headers": {
            "X-Contentful-Topic": "ContentManagement.Entry.publish",
            "Content-Type": "application/vnd.contentful.management.v1+json",
            "X-Contentful-Webhook-Name": " spaces around ",
        },
    },
]


@pytest.mark.sdk
def test_the_toolkits_signatures(packages: Installed) -> None:
    cases = [{"secret": SECRET, "request": request, "now": NOW} for request in REQUESTS]
    done = subprocess.run(
        [packages.node, "-e", SCRIPT],
        input=json.dumps(cases),
        capture_output=True,
        encoding="utf-8",
        cwd=packages.folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for request, added in zip(REQUESTS, json.loads(done.stdout), strict=True):
        given = {**request.get("headers", {}), **added}
        headers = {name.lower(): str(value) for name, value in given.items()}
        body = request["body"].encode()
        path = request["path"]
        assert is_signed(SECRET, "POST", path, headers, body, NOW + 1_000), request
        assert not is_signed(SECRET, "POST", path, headers, body + b"x", NOW), request
        assert not is_signed(SECRET, "POST", path + "/", headers, body, NOW), request

"""The vendor's API clients under Node, asked from here."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.sdk.npm import HERE, Installed

_numbers = itertools.count(1)

CONTEXT = {
    "url": "https://shop.example/tents?utm_campaign=winter-sale&utm_source=mail&size=2",
    "referrer": "https://search.example/",
    "locale": "de-DE",
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "document": {"title": "Tents"},
}


@dataclass
class Outcome:
    """What became of one call: a value or an error, what went over the wire, what was logged."""

    value: Any
    error: dict[str, str] | None
    exchanges: list[dict[str, Any]]
    log: list[str]

    def ok(self) -> Any:
        """The value, of a call that must not fail."""
        assert self.error is None, (self.error, self.log)
        return self.value


class Clients:
    """A Node process that runs the SDKs' clients against one server."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def call(
        self, method: str, *arguments: Any, client: str = "shared", **settings: Any
    ) -> Outcome:
        """One call of a method of a client made with ``settings``."""
        settings = {"clientId": "default", "environment": "main", "url": self.url, **settings}
        return self._ask(
            {"client": client, "settings": settings, "method": method, "arguments": arguments}
        )

    def event(self, kind: str, **data: Any) -> dict[str, Any]:
        """An event as the SDK builds it."""
        number = next(_numbers)
        data = {"messageId": f"sdk-{number}", "ctx": CONTEXT, **data}
        if "timestamp" not in data:
            data["timestamp"] = 1_760_000_000_000 + number
        built: dict[str, Any] = self._ask({"build": kind, "data": data}).ok()
        return built

    def parse(self, schema: str, value: Any) -> Outcome:
        """What a schema of the SDK makes of a value."""
        return self._ask({"parse": schema, "value": value})

    def addresses(self, texts: list[str]) -> list[list[Any] | None]:
        """Pathname, search string and parameters of each as JavaScript has them, or None."""
        found: list[list[Any] | None] = self._ask({"addresses": texts}).ok()
        return found

    def _ask(self, question: dict[str, Any]) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Outcome(answer.get("value"), answer.get("error"), answer["exchanges"], answer["log"])


@contextlib.contextmanager
def clients(packages: Installed, url: str) -> Iterator[Clients]:
    """Clients of the server at ``url``, until the block ends."""
    with subprocess.Popen(
        [packages.node, str(HERE / "api_client.cjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=packages.folder,
    ) as process:
        try:
            yield Clients(process, url)
        finally:
            process.kill()

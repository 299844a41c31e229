"""A stand-in for Contentful's Delivery API: the Sync API and locales of one space.

Written from its documentation: pages of bounded size, tokens that name a moment, deleted entries,
rate limits, errors in the API's own shape.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import httpx

Answer: TypeAlias = tuple[int, bytes, dict[str, str]]
"""Status, body and headers."""

SPACE, ENVIRONMENT, TOKEN = "space1", "master", "the-delivery-token"
BASE = "https://cdn.example"
ROOT = f"/spaces/{SPACE}/environments/{ENVIRONMENT}"


def delivered(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of an export as the API gives it."""
    sys = entry["sys"]
    kept = {key: sys[key] for key in ("id", "type", "contentType", "updatedAt") if key in sys}
    return {"sys": kept, "fields": copy.deepcopy(entry.get("fields", {}))}


class DeliveryApi:
    """The API. ``publish`` and ``delete`` change the space; ``fail`` lets answers fail."""

    def __init__(self, export: dict[str, Any], *, page_size: int = 7) -> None:
        self.locales = export["locales"]
        self.page_size = page_size
        self.entries: dict[str, dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.fail: list[httpx.Response] = []
        self.expired: set[str] = set()
        for entry in export["entries"]:
            if entry["sys"].get("publishedVersion") or entry["sys"].get("publishedAt"):
                self.publish(entry)

    def publish(self, entry: dict[str, Any]) -> None:
        """An entry is there, or is another one now."""
        item = delivered(entry)
        self.entries[item["sys"]["id"]] = item
        self.log.append(item)

    def delete(self, entry_id: str) -> None:
        """An entry is gone."""
        del self.entries[entry_id]
        self.log.append({"sys": {"type": "DeletedEntry", "id": entry_id}})

    def transport(self) -> httpx.MockTransport:
        """To be asked by httpx."""
        return httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        status, body, headers = self.answer(
            request.url.path,
            request.url.query.decode(),
            request.headers.get("authorization", ""),
        )
        return httpx.Response(status, headers=headers, content=body)

    def answer(self, path: str, query: str, authorization: str) -> Answer:
        """Status, body and headers."""
        self.asked.append(f"{path}?{query}")
        if self.fail:
            failure = self.fail.pop(0)
            return failure.status_code, failure.content, dict(failure.headers)
        if authorization != f"Bearer {TOKEN}":
            return _error(401, "AccessTokenInvalid")
        if path == f"{ROOT}/locales":
            return _ok({"sys": {"type": "Array"}, "items": self.locales})
        if path != f"{ROOT}/sync":
            return _error(404, "NotFound")
        given = {name: values[0] for name, values in parse_qs(query).items()}
        if given.get("initial") == "true":
            return self._page("entries", 0, len(self.log))
        token = given.get("sync_token", "")
        if token in self.expired or token.count("-") != 2:
            return _error(400, "BadRequest")
        kind, begin, end = token.split("-")
        if kind == "next":
            return self._page("changes", int(begin), len(self.log))
        return self._page(kind, int(begin), int(end))

    def _page(self, kind: str, begin: int, end: int) -> Answer:
        items = list(self.entries.values()) if kind == "entries" else self.log[:end]
        page = items[begin : begin + self.page_size]
        after = begin + len(page)
        url = f"https://elsewhere.example{ROOT}/sync?sync_token="
        more = after < len(items)
        place = (
            {"nextPageUrl": f"{url}{kind}-{after}-{end}"}
            if more
            else {"nextSyncUrl": f"{url}next-{end}-0"}
        )
        return _ok({"sys": {"type": "Array"}, "items": page, **place})


def _ok(body: object) -> Answer:
    return 200, json.dumps(body).encode(), {"content-type": "application/json"}


def _error(status: int, name: str) -> Answer:
    body = {"sys": {"type": "Error", "id": name}, "message": "secret words of theirs"}
    return status, json.dumps(body).encode(), {"content-type": "application/json"}


def too_many(reset: str) -> httpx.Response:
    """What the API answers to whoever asks too often."""
    headers = {"x-contentful-ratelimit-reset": reset}
    return httpx.Response(429, headers=headers, json={"sys": {"id": "RateLimitExceeded"}})


@contextlib.contextmanager
def listening(api: DeliveryApi) -> Iterator[str]:
    """The stand-in on loopback; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            status, body, headers = api.answer(path, query, self.headers.get("authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

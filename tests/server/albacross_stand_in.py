"""A server that answers like Albacross' Reveal API, as far as the test says."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

KEY = "key-of-the-tests"

ACME = {
    "name": "Acme",
    "country": "SE",
    "url": "acme.example",
    "number": "SE123282543",
    "description": "",
    "founded_year": 2013,
    "address": {"address": "Kungsgatan 26", "city": "Stockholm", "zip_code": "19587"},
    "linkedin_url": None,
    "employees": {"from": 11, "to": 50, "range": "11-50"},
    "nace_code": {"code": "73", "category": "Advertising and market research"},
    "linkedin_industry_code": {"code": "80", "category": "Marketing And Advertising"},
    "something_new": {"of": "theirs"},
}
ACME_TRAIT = {
    name: value
    for name, value in ACME.items()
    if name not in {"description", "linkedin_url", "something_new"}
}


class StandIn:
    """What it answers by path's last part, what it was asked, and whether it answers at all."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.url = ""

    def company(self, address: str, company: Any = ACME) -> None:
        """Let an address be a company's."""
        self.answers[address] = (200, json.dumps(company).encode())


@contextlib.contextmanager
def albacross() -> Iterator[StandIn]:
    """The stand-in, listening on loopback."""
    stand_in = StandIn()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            folder, _, address = self.path.rpartition("/")
            stand_in.asked.append(address)
            status, body = stand_in.answers.get(address, (204, b""))
            if self.headers["authorization"] != f"Api-Key {KEY}":
                stand_in.wrong.append("authorization")
                status, body = 401, b'{"infos":[],"errors":["Authentication required"]}'
            if folder != "/reveal/company":
                stand_in.wrong.append(self.path)
                status, body = 404, b""
            stand_in.open.wait(30)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("location", "/elsewhere")
                if status != 204:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away is part of these tests."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stand_in.url = f"http://127.0.0.1:{server.server_port}/reveal"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.open.set()
        server.shutdown()
        server.server_close()
        thread.join()

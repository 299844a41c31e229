"""A client that says exactly what it is told to, byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from typing import Any, NamedTuple

API = "/v2/organizations/default/environments/main"


class Answer(NamedTuple):
    """One answer: ``headers`` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The code of an error, whose envelope is looked at on the way."""
        envelope = json.loads(self.body)
        assert set(envelope) == {"message", "data", "error"}
        assert envelope["data"] == {}
        assert envelope["message"]
        code: str = envelope["error"]["code"]
        return code

    @property
    def data(self) -> Any:
        """What the envelope of a success holds."""
        envelope = json.loads(self.body)
        assert envelope["error"] is None
        return envelope["data"]


class Client:
    """A socket with the bytes that came and were not asked for yet."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._come = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """All of it, each piece by itself."""
        for piece in pieces:
            self.socket.sendall(piece)

    def try_to_send(self, data: bytes) -> None:
        """Perhaps the server does not want all of it."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def ask(self, *pieces: bytes) -> Answer:
        """Send and read one answer."""
        self.send(*pieces)
        return self.answer()

    def answer(self) -> Answer:
        """The next answer; EOFError if the server ends the connection instead."""
        head = self._until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        status = int(lines[0].split(" ")[1])
        if status == 100:
            return Answer(status, headers, b"")
        size = int(headers.get("content-length", "0"))
        while len(self._come) < size:
            self._receive()
        body, self._come = self._come[:size], self._come[size:]
        return Answer(status, headers, body)

    def ends(self) -> bool:
        """Wait for the server to end the connection; False if it says something more."""
        try:
            return not self._come and not self.socket.recv(65536)
        except ConnectionError:
            return True

    def reset(self) -> None:
        """End it as a crash would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self._come:
            self._receive()
        head, _, self._come = self._come.partition(end)
        return head + end

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server ended the connection")
        self._come += data


def request(
    method: str,
    target: str | bytes,
    *headers: str,
    body: bytes | None = None,
    version: str = "1.1",
) -> bytes:
    """The bytes of a request."""
    target = target.encode() if isinstance(target, str) else target
    lines = [f"{method} ".encode() + target + f" HTTP/{version}".encode(), b"Host: shop.example"]
    lines += [header.encode("latin-1") for header in headers]
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body or b""])


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no memory at all")


def elapsed_s(begin: float) -> float:
    """Seconds since ``begin``, of `time.monotonic`."""
    return time.monotonic() - begin

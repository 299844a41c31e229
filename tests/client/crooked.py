"""A server that does with every request what it is told to, good or bad."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Deed = Callable[["Crooked", socket.socket], None]
"""What is done with a connection whose request was read. It may close it."""

PROFILE = {"id": "p", "stableId": "p"}
ONE = {"profile": PROFILE, "experiences": [], "changes": []}
ONE_ANSWER = tuple(ONE.values())


class Asked(NamedTuple):
    """A request as it came."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What the body holds."""
        return json.loads(self.body)


class Crooked:
    """Listens on loopback. Each request has the next deed done to it; after the last, `ok`."""

    def __init__(self, *deeds: Deed) -> None:
        self.deeds = list(deeds)
        self.asked: list[Asked] = []
        self.at: list[float] = []
        self.over = threading.Event()
        self.lost = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.came = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        for number in range(1_000):
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(self._serve, number, connection)

    def _serve(self, number: int, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            stream = connection.makefile("rb")
            while (first := stream.readline()) and not self.over.is_set():
                method, target, _ = first.decode().split(" ")
                headers = {}
                while (line := stream.readline().strip()) != b"":
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                body = stream.read(int(headers.get("content-length", "0")))
                self.asked.append(Asked(number, method, target, headers, body))
                self.at.append(time.monotonic())
                self.came.set()
                deed = self.deeds.pop(0) if self.deeds else ok
                deed(self, connection)

    def close(self) -> None:
        """No more requests."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        # Clients keep theirs, to use them again.
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def crooked(*deeds: Deed) -> Iterator[Crooked]:
    """A server until the block ends."""
    server = Crooked(*deeds)
    try:
        yield server
    finally:
        server.close()


# ---- deeds --------------------------------------------------------------------------------------


def answer(status: int, body: Any, **headers: str) -> Deed:
    """An answer; ``body`` is bytes, or goes out as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in named.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Said", f"content-length: {len(data)}", *lines])

    def deed(server: Crooked, connection: socket.socket) -> None:
        connection.sendall(head.encode() + b"\r\n\r\n" + data)

    return deed


def data(value: Any, **headers: str) -> Deed:
    """A success."""
    return answer(200, {"data": value, "error": None, "message": "ok"}, **headers)


def refusal(status: int, code: str, **headers: str) -> Deed:
    """A failure in the API's envelope."""
    envelope = {"message": "a message", "data": {}, "error": {"code": code}}
    return answer(status, envelope, **headers)


ok = data(ONE)
busy = refusal(503, "ERR_INTERNAL_SERVER_ERROR")


def silent(server: Crooked, connection: socket.socket) -> None:
    """Says nothing until the client has gone, which is noted."""
    connection.settimeout(20)
    if connection.recv(1) == b"":
        server.lost.set()
    raise OSError


def hang_up(server: Crooked, connection: socket.socket) -> None:
    """Closes the connection without an answer."""
    raise OSError


def half(server: Crooked, connection: socket.socket) -> None:
    """Closes in the middle of an answer."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"data"')
    raise OSError


def trickle(server: Crooked, connection: socket.socket) -> None:
    """An answer whose body comes a byte at a time, and never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not server.over.is_set():
        connection.sendall(b" ")
        time.sleep(0.02)
    raise OSError


def flood(server: Crooked, connection: socket.socket) -> None:
    """An answer that is larger than any."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    piece = b" " * (1 << 20)
    while not server.over.is_set():
        connection.sendall(piece)
    raise OSError

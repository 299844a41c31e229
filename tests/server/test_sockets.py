"""What clients can do to a connection, over real ones: the server says so and stays healthy."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import time
from collections.abc import Iterator

import pytest
from tests.server.events import identify, page
from tests.server.raw import API, Answer, Client, elapsed_s, memory_kib, request
from tests.server.running import Served, served

from whichvariant.server.protocol import MOST_AHEAD

SLOW_S = 0.8
HEADS = 8_192
CONNECTIONS = 150
LARGEST = 1 << 20


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with narrow limits."""
    with served(
        tmp_path_factory.mktemp("strict"),
        *("--header-timeout-s", str(SLOW_S), "--body-timeout-s", str(SLOW_S)),
        *("--idle-timeout-s", str(2 * SLOW_S), "--send-timeout-s", str(SLOW_S)),
        *("--max-header-bytes", str(HEADS), "--max-connections", str(CONNECTIONS)),
        *("--max-body-bytes", str(LARGEST)),
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _stays_healthy(strict: Served) -> Iterator[None]:
    """After every test the server answers, has not lost a thing and has not grown much."""
    before = memory_kib(strict.process.pid)
    yield
    assert strict.process.poll() is None
    with Client(strict.port) as client:
        assert create(client).status == 200
        assert client.ask(request("GET", "/healthz")).status == 200
    grown = memory_kib(strict.process.pid) - before
    assert grown < 48 << 10, f"{grown} KiB more than before"
    assert "Traceback" not in strict.log.read_text()


BODY = json.dumps({"events": [page()]}).encode()
CREATE = request("POST", f"{API}/profiles", body=BODY)
NEXT = request("GET", "/healthz")


def create(client: Client) -> Answer:
    return client.ask(CREATE)


# ---- time ---------------------------------------------------------------------------------------


def test_a_head_that_never_ends(strict: Served) -> None:
    begin = time.monotonic()
    with Client(strict.port) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ")
        with contextlib.suppress(OSError):
            while not readable(client, 0.1):
                client.send(b"x")
        answer = client.answer()
        assert answer.status == 408
        assert answer.error == "ERR_INVALID_DATA"
        assert answer.headers["connection"] == "close"
        assert client.ends()
    assert elapsed_s(begin) < SLOW_S + 2


def test_a_connection_that_says_nothing(strict: Served) -> None:
    begin = time.monotonic()
    with Client(strict.port) as client:
        assert client.ends()
    assert elapsed_s(begin) < SLOW_S + 2


def test_a_connection_that_says_nothing_more(strict: Served) -> None:
    with Client(strict.port) as client:
        create(client)
        begin = time.monotonic()
        assert client.ends()
        assert SLOW_S < elapsed_s(begin) < 2 * SLOW_S + 2


def test_empty_lines_are_no_sign_of_life(strict: Served) -> None:
    begin = time.monotonic()
    with Client(strict.port) as client:
        with contextlib.suppress(OSError):
            while not readable(client, 0.1):
                client.send(b"\r\n")
        assert client.ends()
    assert elapsed_s(begin) < SLOW_S + 2


@pytest.mark.parametrize("target", [f"{API}/profiles", "/healthz", "/nowhere"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_never_ends(strict: Served, target: str, chunked: bool) -> None:
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000"
    begin = time.monotonic()
    with Client(strict.port) as client:
        client.send(request("POST", target, length))
        with contextlib.suppress(OSError):
            while not readable(client, 0.1):
                client.send(b"1\r\n \r\n" if chunked else b" ")
        answer = client.answer()
        assert answer.status == (408 if target.startswith(API) else answer.status)
        assert answer.status in {404, 405, 408}
        assert answer.error == "ERR_INVALID_DATA"
        assert answer.headers["connection"] == "close"
        assert client.ends()
    assert elapsed_s(begin) < SLOW_S + 3


def test_slow_but_in_time(strict: Served) -> None:
    with Client(strict.port) as client:
        for cut in range(0, len(CREATE), 200):
            client.send(CREATE[cut : cut + 200])
            time.sleep(0.02)
        assert client.answer().status == 200
        assert create(client).status == 200


def test_byte_by_byte(strict: Served) -> None:
    with Client(strict.port) as client:
        client.send(*(CREATE[at : at + 1] for at in range(len(CREATE))))
        assert client.answer().status == 200
        assert create(client).status == 200


# ---- size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * HEADS),
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: %b" % (b"x" * 2 * HEADS),
        b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * HEADS),
        b"GET /healthz?%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * HEADS),
        b"GET /healthz HTTP/1.1\r\n%b\r\n" % (b"X: y\r\n" * 101),
        b"GET /healthz HTTP/1.1\r\n%b: y\r\n\r\n" % (b"X" * HEADS),
    ],
    ids=["value", "value without end", "path", "query", "many", "name"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_huge_heads(strict: Served, head: bytes, at_once: bool) -> None:
    with Client(strict.port) as client:
        if at_once:
            client.send(head)
        else:
            for cut in range(0, len(head), 1000):
                client.try_to_send(head[cut : cut + 1000])
        answer = client.answer()
        assert answer.status == 431
        assert answer.error == "ERR_INVALID_DATA"
        assert client.ends()


def test_a_head_within_limits_and_a_large_body_in_one_read(strict: Served) -> None:
    body = json.dumps({"events": [page(filling="x" * 100_000)]}).encode()
    with Client(strict.port) as client:
        answer = client.ask(request("POST", f"{API}/profiles", body=body))
        assert answer.status == 200
        assert create(client).status == 200


@pytest.mark.parametrize("size", [LARGEST + 1, 50 << 20])
def test_announced_too_large(strict: Served, size: int) -> None:
    with Client(strict.port) as client:
        client.send(request("POST", f"{API}/profiles", f"Content-Length: {size}"))
        answer = client.answer()
        assert answer.status == 413
        assert answer.error == "ERR_INVALID_DATA"
        assert answer.headers["connection"] == "close"
        assert client.ends()


def test_too_large_and_still_sending(strict: Served) -> None:
    """The answer can be read although the server reads nothing of it."""
    with Client(strict.port) as client:
        client.send(request("POST", f"{API}/profiles", f"Content-Length: {16 << 20}"))
        for _ in range(16):
            client.try_to_send(b"x" * (1 << 20))
        assert client.answer().status == 413


@pytest.mark.parametrize("piece", [b"1\r\nx\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"])
def test_chunks_without_end(strict: Served, piece: bytes) -> None:
    with Client(strict.port) as client:
        client.send(request("POST", f"{API}/profiles", "Transfer-Encoding: chunked"))
        pieces = piece * (65_536 // len(piece))
        with contextlib.suppress(OSError):
            for _ in range(200):
                if readable(client, 0):
                    break
                client.send(pieces)
        answer = client.answer()
        assert answer.status in {408, 413}
        assert client.ends()


@pytest.mark.parametrize("trailer", [b"X: y\r\n" * 1000, b"X: " + b"y" * 65_536])
def test_trailers_without_end(strict: Served, trailer: bytes) -> None:
    with Client(strict.port) as client:
        client.send(request("POST", f"{API}/profiles", "Transfer-Encoding: chunked"), b"0\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1_000):
                if readable(client, 0):
                    break
                client.send(trailer)
        answer = client.answer()
        assert answer.status == (431 if len(trailer) < 10_000 else 413)
        assert answer.error == "ERR_INVALID_DATA"
        assert client.ends()


def test_trailers_are_no_headers(strict: Served) -> None:
    chunk = b"%x\r\n%b\r\n0\r\nContent-Type: text/xml\r\n\r\n" % (len(BODY), BODY)
    head = request("POST", f"{API}/profiles", "Transfer-Encoding: chunked")
    with Client(strict.port) as client:
        assert client.ask(head + chunk).status == 200
        assert client.ask(head, chunk).status == 200
        assert create(client).status == 200


# ---- broken requests ----------------------------------------------------------------------------

POST = f"POST {API}/profiles HTTP/1.1\r\nHost: a\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/3.7\r\n\r\n",
        b"GET /healthz HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET /healthz\r\nHost: a\r\n\r\n",
        b"get /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FROB /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health\xffz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHo st: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: a\nY: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: a\n\n",
        b"GET /healthz HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nnothing\r\n\r\n",
        b"CONNECT shop.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length: 2, 2\r\n\r\n{}",
        POST + b"Content-Length: \r\n\r\n{}",
        POST + b"Content-Length: 99999999999999999999999999\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nZ\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}X\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_broken(strict: Served, sent: bytes) -> None:
    """Whatever two servers could understand differently is refused, and nothing after it read."""
    with Client(strict.port) as client:
        client.send(sent + NEXT)
        answer = client.answer()
        assert answer.status == 400
        assert answer.error == "ERR_INVALID_DATA"
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.ends()


def test_broken_behind_others(strict: Served) -> None:
    """The answer to a broken request is not taken for that to another one."""
    with Client(strict.port) as client:
        client.send(CREATE + NEXT + b"hello\r\n\r\n" + NEXT)
        assert client.answer().data["profile"]
        assert client.answer().data == {"status": "ok"}
        assert client.answer().status == 400
        assert client.ends()


def test_broken_body_behind_others(strict: Served) -> None:
    broken = POST + b"Transfer-Encoding: chunked\r\n\r\nZ\r\n\r\n"
    for pieces in ([CREATE + broken], [CREATE, broken], [CREATE + broken[:-6], broken[-6:]]):
        with Client(strict.port) as client:
            client.send(*pieces)
            assert client.answer().data["profile"]
            assert client.answer().status == 400
            assert client.ends()


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_upgrades_are_answered_as_if_not_asked_for(strict: Served, upgrade: str) -> None:
    with Client(strict.port) as client:
        sent = request("GET", "/healthz", "Connection: Upgrade", f"Upgrade: {upgrade}")
        # It is answered in this protocol, and what follows is read as the next request.
        answer = client.ask(sent + NEXT + b"\x00\x01\x02 no request\r\n")
        assert answer.status == 200
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.ends()


# ---- one connection, several requests -----------------------------------------------------------


def test_pipelined_in_order(strict: Served) -> None:
    with Client(strict.port) as client:
        client.send(b"".join(request("GET", f"{API}/profiles/p{n}") for n in range(8)) + CREATE)
        asked = [client.answer().status for _ in range(8)]
        assert asked == [404] * 8
        assert client.answer().status == 200
        batches = [
            json.dumps({"events": [{**page(), "anonymousId": f"in-order-{n}"}]}).encode()
            for n in range(12)
        ]
        client.send(b"".join(request("POST", f"{API}/events", body=body) for body in batches))
        for number in range(12):
            assert client.answer().data["profiles"][0]["id"] == f"in-order-{number}"


def test_too_many_ahead(strict: Served) -> None:
    """Thousands of tiny requests in one piece are not all taken in."""
    with Client(strict.port) as client:
        client.try_to_send(b"GET /healthz HTTP/1.1\r\n\r\n" * 50_000)
        answered = 0
        while (answer := client.answer()).status == 200:
            answered += 1
        assert 1 <= answered <= 20
        assert answer.status == 503
        assert client.ends()


def test_who_asks_and_never_reads(strict: Served) -> None:
    """Answers that nobody reads do not pile up, and keep nobody else from being answered."""
    large = json.dumps({"events": [identify(filling="x" * 200_000)]}).encode()
    with Client(strict.port) as client:
        profile = client.ask(request("POST", f"{API}/profiles", body=large)).data["profile"]
        assert create(client).status == 200
    asked = 200
    get = request("GET", f"{API}/profiles/{profile['id']}")
    clients = [Client(strict.port) for _ in range(10)]
    for client in clients:
        client.send(get * MOST_AHEAD)
    before = memory_kib(strict.process.pid)
    for client in clients:
        client.socket.settimeout(0.01)
        with contextlib.suppress(OSError):
            for _ in range(asked - MOST_AHEAD):
                client.socket.sendall(get)
    with Client(strict.port) as other:
        assert create(other).status == 200
    assert memory_kib(strict.process.pid) - before < 32 << 10
    time.sleep(SLOW_S + 1)
    for client in clients:
        client.socket.settimeout(10)
        come = 0
        with contextlib.suppress(ConnectionError):
            while data := client.socket.recv(1 << 20):
                come += len(data)
        # It is over, and not because everything was read.
        assert come < 200_000 * asked
        client.socket.close()


def test_expecting_to_continue(strict: Served) -> None:
    head = request(
        "POST", f"{API}/profiles", f"Content-Length: {len(BODY)}", "Expect: 100-continue"
    )
    with Client(strict.port) as client:
        assert client.ask(head).status == 100
        assert client.ask(BODY).status == 200
        assert create(client).status == 200


@pytest.mark.parametrize(
    ("target", "size", "status"),
    [(f"{API}/profiles", LARGEST + 1, 413), ("/nowhere", 10, 404), (f"{API}/events/x", 10, 404)],
)
def test_refused_before_the_body_is_sent(
    strict: Served, target: str, size: int, status: int
) -> None:
    """What comes next is a body or a request, and nobody can tell: the connection ends."""
    head = request("POST", target, f"Content-Length: {size}", "Expect: 100-continue")
    with Client(strict.port) as client:
        answer = client.ask(head)
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        client.try_to_send(NEXT)
        assert client.ends()


def test_after_an_error_the_connection_goes_on(strict: Served) -> None:
    with Client(strict.port) as client:
        for body in (b"", b"{", b"[]", b'{"events": []}', b"\xff"):
            answer = client.ask(request("POST", f"{API}/profiles", body=body))
            assert (answer.status, answer.error) == (400, "ERR_INVALID_DATA")
        assert client.ask(request("PUT", f"{API}/profiles", body=BODY)).status == 405
        assert client.ask(request("GET", "/nowhere", body=BODY)).status == 404
        assert create(client).status == 200


# ---- ends ---------------------------------------------------------------------------------------


def test_half_closed(strict: Served) -> None:
    with Client(strict.port) as client:
        client.send(CREATE + NEXT)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().status == 200
        assert client.answer().status == 200
        assert client.ends()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_half_closed_in_the_middle(strict: Served, share: float) -> None:
    with Client(strict.port) as client:
        client.send(CREATE[: int(share * len(CREATE))])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ends()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_reset_in_the_middle(strict: Served, share: float) -> None:
    for _ in range(20):
        client = Client(strict.port)
        client.send(CREATE[: int(share * len(CREATE))])
        client.reset()


def test_http_1_0(strict: Served) -> None:
    old = request("POST", f"{API}/profiles", body=BODY, version="1.0")
    with Client(strict.port) as client:
        assert client.ask(old).status == 200
        assert client.ends()


def test_many_idle_connections(strict: Served) -> None:
    """The newest are told that there are too many; places are free again when others end."""
    clients = [Client(strict.port) for _ in range(CONNECTIONS + 20)]
    try:
        refused = 0
        for client in clients[CONNECTIONS:]:
            answer = client.answer()
            assert (answer.status, answer.error) == (503, "ERR_INTERNAL_SERVER_ERROR")
            assert answer.headers["retry-after"] == "1"
            assert client.ends()
            refused += 1
        assert refused == 20
        assert create(clients[0]).status == 200
    finally:
        for client in clients:
            client.socket.close()
    until = time.monotonic() + 5
    while True:
        with Client(strict.port) as client, contextlib.suppress(EOFError, ConnectionError):
            if create(client).status == 200:
                return
        assert time.monotonic() < until


# ---- targets ------------------------------------------------------------------------------------


def test_absolute_targets(strict: Served) -> None:
    with Client(strict.port) as client:
        for target in ("http://shop.example/healthz", "http://other.example:81/healthz"):
            assert client.ask(request("GET", target)).status == 200
        path = f"http://shop.example{API}/profiles"
        assert client.ask(request("POST", path, body=BODY)).status == 200


@pytest.mark.parametrize(
    ("profile_id", "status"),
    [
        ("%2F", 404),
        ("%2e%2e", 404),
        ("..", 404),
        ("%00", 404),
        ("%C0%AF", 400),
        ("%ED%A0%80", 400),
        ("%F4%90%80%80", 400),
        ("%", 404),
        ("%4", 404),
        ("%zz", 404),
        ("%25", 404),
        ("%F0%9F%92%A9", 404),
        ("a;b=c", 404),
        ("a%3Fb", 404),
        ("x" * 1_025, 404),
        ("%41" * 2_000, 404),
    ],
)
def test_odd_ids(strict: Served, profile_id: str, status: int) -> None:
    with Client(strict.port) as client:
        for method in ("GET", "DELETE", "POST"):
            body = BODY if method == "POST" else None
            answer = client.ask(request(method, f"{API}/profiles/{profile_id}", body=body))
            assert answer.status == status
            code = "ERR_PROFILE_NOT_FOUND" if status == 404 else "ERR_INVALID_DATA"
            assert answer.error == code
        assert create(client).status == 200


@pytest.mark.parametrize("name", ["%2F", "..", "%00", "MAIN", "main%20", "main.", "m%61in%2F"])
def test_odd_environments(strict: Served, name: str) -> None:
    path = f"/v2/organizations/default/environments/{name}/profiles"
    with Client(strict.port) as client:
        answer = client.ask(request("POST", path, body=BODY))
        assert (answer.status, answer.error) == (404, "ERR_CONFIG_NOT_FOUND")


def test_encoded_letters_are_letters(strict: Served) -> None:
    path = "/v2/organizations/%64efault/environments/m%61in/profiles"
    with Client(strict.port) as client:
        assert client.ask(request("POST", path, body=BODY)).status == 200


def test_long_targets(tmp_path: pathlib.Path) -> None:
    """Heads may be large; what is in them has limits of its own."""
    with served(tmp_path, "--max-header-bytes", "100000") as server, Client(server.port) as client:
        for target in (f"{API}/profiles/{'x' * 9_000}", f"{API}/profiles/{'%41' * 9_000}"):
            assert client.ask(request("GET", target)).status == 414
        query = f"{API}/profiles?locale={'x' * 9_000}"
        answer = client.ask(request("POST", query, body=BODY))
        assert (answer.status, answer.error) == (414, "ERR_INVALID_DATA")
        assert create(client).status == 200


def readable(client: Client, within_s: float) -> bool:
    """Whether the server says something."""
    timeout = client.socket.gettimeout()
    client.socket.settimeout(within_s or 0.001)
    try:
        client.socket.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        client.socket.settimeout(timeout)
    return True

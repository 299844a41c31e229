"""Requests that come whole are answered without ASGI's messages, and nobody can tell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from tests.server.events import identify, page
from tests.server.raw import API, Answer, Client, request
from tests.server.running import Served, served
from uvicorn.server import ServerState

from whichvariant.server import create_app
from whichvariant.server.app import App
from whichvariant.server.direct import LARGEST_BODY
from whichvariant.server.protocol import MOST_AHEAD, Connection
from whichvariant.store.opening import open_store

PROFILES = f"{API}/profiles"
PREFLIGHT = f"{PROFILES}?type=preflight"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("direct")) as running:
        yield running


def post(
    target: str, body: bytes, *, lines: tuple[str, ...] = (), kind: str = "application/json"
) -> bytes:
    """The bytes of a request."""
    head = [f"POST {target} HTTP/1.1", "host: shop.example", f"content-type: {kind}", *lines]
    return "\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body


def whole(server: Served, sent: bytes) -> Answer:
    """As most requests come."""
    with Client(server.port) as client:
        return client.ask(sent)


def chunked(server: Served, sent: bytes) -> Answer:
    """Which always takes the ordinary way."""
    head, _, body = sent.partition(b"\r\n\r\n")
    head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    assert b"chunked" in head
    return whole(server, b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body))


def comparable(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """All of an answer but what differs from one to the next: ids, times, draws."""
    headers = {k: v for k, v in answer.headers.items() if k not in {"date", "content-length"}}
    if "traceparent" in headers:
        trace, _, end = headers["traceparent"].rpartition("-")
        headers["traceparent"] = f"{trace.rpartition('-')[0]} {end}"
    assert ("content-length" in answer.headers) == (answer.status != 304)
    return answer.status, headers, shape(json.loads(answer.body))


def shape(value: Any) -> Any:
    """The keys and types of a value; texts of errors as they are."""
    if isinstance(value, dict):
        return {
            key: each if key in {"message", "code"} else shape(each)
            for key, each in value.items()
            # Of somebody new they depend on the draw.
            if key not in {"experiences", "changes"}
        }
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value)


def events(*given: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"events": given, **more}).encode()


def batch() -> bytes:
    return events({**page(), "anonymousId": "somebody"}, {**identify(a=1), "anonymousId": "other"})


def paged() -> bytes:
    return events(page())


NAMED = events(identify("direct-name", a=1))
LOCATED = events(page(), options={"location": {"city": "Bonn"}, "features": ["location"]})
WRONG = events({**page(), "messageId": 5})
V3 = "/v3/spaces/default/environments/main/profiles?type=preflight"
ELSEWHERE = "/v2/organizations/none/environments/main/profiles?type=preflight"
TRACED = (f"traceparent: {TRACE}",)

CASES = {
    "create": lambda: post(PROFILES, paged()),
    "preflight": lambda: post(PREFLIGHT, paged()),
    "preflight in German": lambda: post(f"{PROFILES}?locale=de&type=preflight", paged()),
    "preflight of a known name": lambda: post(PREFLIGHT, NAMED),
    "preflight with a location": lambda: post(PREFLIGHT, LOCATED),
    "upsert": lambda: post(f"{API}/events", batch()),
    "import": lambda: post(f"{API}/import/events", batch()),
    "plain text": lambda: post(PROFILES, paged(), kind="text/plain;charset=UTF-8"),
    "newest SDK": lambda: post(V3, paged()),
    "trace": lambda: post(PROFILES, paged(), lines=TRACED),
    "trace of a preflight": lambda: post(PREFLIGHT, paged(), lines=TRACED),
    "no JSON": lambda: post(PREFLIGHT, b'{"events": ['),
    "no events": lambda: post(PREFLIGHT, b"{}"),
    "wrong event": lambda: post(PREFLIGHT, WRONG),
    "wrong type": lambda: post(f"{PROFILES}?type=other", paged()),
    "wrong content type": lambda: post(PREFLIGHT, paged(), kind="text/html"),
    "compressed": lambda: post(PROFILES, paged(), lines=("content-encoding: gzip",)),
    "unknown profile": lambda: post(f"{PROFILES}/nobody-{time.time()}", paged()),
    "unknown environment": lambda: post(ELSEWHERE, paged()),
    "unknown path": lambda: post(f"{API}/profile", paged()),
    "escaped path": lambda: post(f"{API}/%70rofiles?type=preflight", paged()),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_answer_either_way(server: Served, case: str) -> None:
    assert comparable(whole(server, CASES[case]())) == comparable(chunked(server, CASES[case]()))


@pytest.mark.parametrize("way", [whole, chunked])
def test_a_preflight_of_a_stored_profile(server: Served, way: Callable[..., Answer]) -> None:
    with Client(server.port) as client:
        key = client.ask(CASES["create"]()).data["profile"]["id"]
    answer = way(server, post(f"{PROFILES}/{key}?type=preflight", events(identify(a=1))))
    assert answer.data["profile"]["id"] == key
    assert answer.data["profile"]["traits"] == {"a": 1}
    with Client(server.port) as client:
        found = client.ask(request("GET", f"{PROFILES}/{key}")).data["profile"]
    assert found["traits"] == {}


async def test_what_is_taken() -> None:
    straight = create_app().straight
    plain = [(b"host", b"shop.example"), (b"content-length", b"120")]
    taken = straight.takes(PREFLIGHT.encode(), plain, None)
    assert taken is not None
    assert (taken.method, taken.route.kind) == ("POST", "create")
    assert taken.scope["query_string"] == b"type=preflight"
    longer = [(b"content-length", b"%d" % (LARGEST_BODY + 1))]
    for headers in (
        plain[:1],
        longer,
        [(b"content-length", b"9999999")],
        [*plain, (b"expect", b"100-continue")],
        [*plain, (b"transfer-encoding", b"chunked")],
    ):
        assert straight.takes(PREFLIGHT.encode(), headers, None) is None
    for target in ("/", "/metrics", "/ofrep/v1/evaluate/flags", f"{API}/%70rofiles", "*"):
        assert straight.takes(target.encode(), plain, None) is None


def test_what_is_acknowledged_is_kept(server: Served) -> None:
    with Client(server.port) as client:
        key = client.ask(CASES["create"]()).data["profile"]["id"]
        for number in range(3):
            sent = post(f"{PROFILES}/{key}", body=events(identify(**{f"n{number}": 1})))
            assert client.ask(sent).status == 200
        found = client.ask(request("GET", f"{PROFILES}/{key}")).data["profile"]
    assert found["traits"] == {"n0": 1, "n1": 1, "n2": 1}


def test_a_preflight_that_was_answered_at_once_is_kept_nowhere_and_its_id_works(
    server: Served,
) -> None:
    with Client(server.port) as client:
        key = client.ask(CASES["preflight"]()).data["profile"]["id"]
        assert client.ask(request("GET", f"{PROFILES}/{key}")).status == 404
        answer = client.ask(post(f"{PROFILES}/{key}", body=paged()))
        assert answer.data["profile"]["id"] == key


@pytest.mark.parametrize("kind", ["create", "preflight"])
def test_answers_keep_the_order_of_their_requests(server: Served, kind: str) -> None:
    """Sent in one go, some answered at once and some not."""
    queries = ["?type=preflight", "", "?type=preflight", "", "?type=other", ""]
    if kind == "create":
        queries.reverse()
    sent = [post(f"{PROFILES}{query}", body=paged()) for query in queries]
    with Client(server.port) as client:
        client.send(b"".join(sent))
        answers = [client.answer() for _ in sent]
        for query, answer in zip(queries, answers, strict=True):
            assert answer.status == (400 if "other" in query else 200)
            if answer.status == 200:
                key = answer.data["profile"]["id"]
                found = client.ask(request("GET", f"{PROFILES}/{key}")).status
                assert found == (404 if "preflight" in query else 200)


@pytest.mark.parametrize("query", ["", "?type=preflight"])
def test_the_client_ends_the_connection(server: Served, query: str) -> None:
    sent = post(f"{PROFILES}{query}", body=paged(), lines=("connection: close",))
    with Client(server.port) as client:
        answer = client.ask(sent)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert client.ends()


@pytest.mark.parametrize("query", ["", "?type=preflight", "?type=other"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_client_that_says_no_more_gets_its_answers(
    server: Served, query: str, count: int
) -> None:
    with Client(server.port) as client:
        client.send(post(f"{PROFILES}{query}", paged()) * count)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(count):
            assert client.answer().status == (400 if "other" in query else 200)
        assert client.ends()


def test_bytes_of_finished_requests_do_not_count(tmp_path: pathlib.Path) -> None:
    """However many requests come in one read, and wherever it cuts the last."""
    with served(tmp_path, "--max-header-bytes", "2048", "--max-body-bytes", "2048") as server:
        one = CASES["preflight"]()
        for cut in (40, len(one) - 10):
            with Client(server.port) as client:
                client.send(one * 12 + one[:cut])
                assert [client.answer().status for _ in range(12)] == [200] * 12
                time.sleep(0.05)
                assert client.ask(one[cut:]).status == 200


def test_one_read_does_not_keep_the_others_waiting(server: Served) -> None:
    """Of many requests ahead of their answers, only so many are answered at once."""
    count = 300
    statuses = []
    with Client(server.port) as client:
        client.send(CASES["preflight"]() * count)
        with contextlib.suppress(EOFError, ConnectionError):
            for _ in range(count):
                statuses.append(client.answer().status)  # noqa: PERF401 - as far as they come
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= MOST_AHEAD
    assert whole(server, CASES["preflight"]()).status == 200


def test_work_for_who_is_gone_is_counted(tmp_path: pathlib.Path) -> None:
    name = 'whichvariant_request_duration_seconds_count{endpoint="create",status="2xx"} '
    with served(tmp_path) as server:
        for _ in range(20):
            client = Client(server.port)
            client.send(CASES["create"]())
            client.reset()
        time.sleep(0.5)
        with Client(server.port) as client:
            text = client.ask(request("GET", "/metrics")).body.decode()
        assert server.stop() == 0
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
    assert int(float(found[0])) == asyncio.run(stored(tmp_path / "profiles.db")) > 0


async def stored(path: pathlib.Path) -> int:
    """How many profiles a store has."""
    store = await open_store(str(path))
    try:
        return sum(each.profiles for each in (await store.stats()).namespaces)
    finally:
        await store.close()


async def test_an_app_made_of_it_sees_every_request() -> None:
    class Own(App):
        async def __call__(self, *exchange: Any) -> None:
            """Something else."""

    own = create_app()
    config = uvicorn.Config(own, http=Connection, access_log=False, proxy_headers=False)
    config.load()
    assert Connection(config, ServerState(), {})._straight is own.straight
    own.__class__ = Own
    assert Connection(config, ServerState(), {})._straight is None


def test_a_refusal_that_ends_the_connection(server: Served) -> None:
    with Client(server.port) as client:
        assert client.ask(CASES["wrong content type"]()).headers["connection"] == "close"
        assert client.ends()


def test_the_client_is_gone_before_its_answer(server: Served) -> None:
    """What it asked for is done all the same, and the server goes on."""
    with Client(server.port) as client:
        key = client.ask(CASES["create"]()).data["profile"]["id"]
    for number in range(20):
        body = events(identify(**{f"n{number}": number}))
        with Client(server.port) as client:
            client.send(post(f"{PROFILES}/{key}", body=body))
    end = time.monotonic() + 10
    while True:
        with Client(server.port) as client:
            traits = client.ask(request("GET", f"{PROFILES}/{key}")).data["profile"]["traits"]
        if len(traits) == 20 or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert traits == {f"n{number}": number for number in range(20)}
    assert "Traceback" not in server.log.read_text()


def test_too_many_at_once(tmp_path: pathlib.Path) -> None:
    """The limit on requests at work holds for both ways."""
    with served(tmp_path, "--max-requests", "1") as server:
        clients = [Client(server.port) for _ in range(40)]
        body = events(*(identify(**{f"n{number}": number}) for number in range(200)))
        sent = post(PROFILES, body=body)
        for client in clients:
            client.send(sent)
        statuses = [client.answer().status for client in clients]
        for client in clients:
            client.socket.close()
        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        assert whole(server, CASES["preflight"]()).status == 200


def test_both_ways_are_counted(server: Served) -> None:
    name = 'whichvariant_request_duration_seconds_count{endpoint="preflight",status="2xx"} '

    def counted() -> int:
        with Client(server.port) as client:
            text = client.ask(request("GET", "/metrics")).body.decode()
        found = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
        return int(float(found[0])) if found else 0

    before = counted()
    whole(server, CASES["preflight"]())
    chunked(server, CASES["preflight"]())
    assert counted() == before + 2

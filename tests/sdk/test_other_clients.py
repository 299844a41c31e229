"""Clients that are not the vendor's: curl, Python, Node; old HTTP; and the paths of new SDKs."""

from __future__ import annotations

import gzip
import http.client
import json
import pathlib
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from tests.sdk import shapes
from tests.sdk.npm import needed
from tests.server.events import identify, page
from tests.server.running import Served, served

pytestmark = pytest.mark.sdk

RUN_SECONDS = 30
BODY = json.dumps({"events": [page()]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


def run(*command: str, given: str | None = None) -> str:
    """What a program prints."""
    finished = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        input=given,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def one(text: str | bytes) -> Any:
    """The data of an answer about one profile."""
    return shapes.check(json.loads(text), shapes.ONE_PROFILE)


# ---- curl ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-H", "content-type: application/json"),
        ("-H", "content-type: text/plain"),
        ("-H", "content-type:"),
        ("-H", "transfer-encoding: chunked"),
        ("-H", "expect: 100-continue"),
        ("--compressed",),
        ("--http1.0",),
        ("--http2",),
        ("--json",),
    ],
    ids=" ".join,
)
def test_curl(server: Served, options: tuple[str, ...]) -> None:
    data = () if options == ("--json",) else ("-d",)
    answer = run(needed("curl"), "-sS", f"{server.api}/profiles", *options, *data, BODY)
    assert one(answer)["profile"]["session"]["count"] == 1


def test_curl_sends_a_large_body_when_told_to_go_on(server: Served, tmp_path: pathlib.Path) -> None:
    """Above a megabyte curl asks first whether its body is wanted, and then waits."""
    events = [
        {**page(), "properties": {**page()["properties"], "more": "x" * 2_000}} for _ in range(600)
    ]
    (tmp_path / "body.json").write_text(json.dumps({"events": events}))
    assert (tmp_path / "body.json").stat().st_size > 1 << 20
    command = [needed("curl"), "-sSv", "--expect100-timeout", "20", f"{server.api}/profiles"]
    command += ["-d", f"@{tmp_path / 'body.json'}"]
    finished = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=RUN_SECONDS, check=True
    )
    assert "100 Continue" in finished.stderr
    one(finished.stdout)


def test_a_form_is_told_what_is_expected(server: Served) -> None:
    answer = requests.post(f"{server.api}/profiles", data={"events": "[]"}, timeout=10)
    assert answer.status_code == 400
    assert shapes.FAILURE(answer.json(), "answer") is None
    assert answer.json()["message"].startswith("body: not JSON")


# ---- Python, Node -------------------------------------------------------------------------------


def test_requests_keeps_its_connection(server: Served) -> None:
    with requests.Session() as session:
        created = session.post(f"{server.api}/profiles", json={"events": [page()]}, timeout=10)
        profile = one(created.content)["profile"]
        path = f"{server.api}/profiles/{profile['id']}"
        for number in range(5):
            events = [identify(number=number)]
            answer = session.post(path, json={"events": events}, timeout=10)
            assert one(answer.content)["profile"]["traits"] == {"number": number}
        assert session.delete(path, timeout=10).json()["data"] == {}
        gone = session.get(path, timeout=10)
        assert gone.status_code == 404
        shapes.check(gone.json(), shapes.FAILURE)


NODE_HTTP = """
const http = require('node:http');
const [url, body] = process.argv.slice(1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const post = (to, text) => new Promise((resolve, reject) => {
  const request = http.request(to, { method: 'POST', agent }, (response) => {
    const pieces = [];
    response.on('data', (piece) => pieces.push(piece));
    response.on('end', () => resolve(Buffer.concat(pieces).toString()));
  });
  request.on('error', reject);
  for (let at = 0; at < text.length; at += 50) request.write(text.slice(at, at + 50));
  request.end();
});
(async () => {
  console.log(await post(`${url}/profiles`, body));
  console.log(await post(`${url}/profiles`, body));
  agent.destroy();
})();
"""


def test_node_http(server: Served) -> None:
    """No content type at all, and a chunked body in pieces."""
    lines = run(needed("node"), "-e", NODE_HTTP, server.api, BODY).splitlines()
    first, second = (one(line)["profile"]["id"] for line in lines)
    assert first != second


NODE_FETCH = """
const [url, body] = process.argv.slice(1);
(async () => {
  const answers = await Promise.all(
    [{}, { keepalive: true }, { headers: { 'content-type': 'application/json' } }].map((more) =>
      fetch(`${url}/profiles`, { method: 'POST', body, ...more }).then((answer) => answer.text())));
  answers.forEach((answer) => console.log(answer));
})();
"""


def test_node_fetch(server: Served) -> None:
    for line in run(needed("node"), "-e", NODE_FETCH, server.api, BODY).splitlines():
        one(line)


# ---- HTTP, as old and as odd as it comes --------------------------------------------------------


def raw(server: Served, request: bytes) -> tuple[bytes, bytes]:
    """Head and content of the answer to a request, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=RUN_SECONDS) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            head, _, content = stream.read().partition(b"\r\n\r\n")
    return head, content


def test_http_1_0(server: Served) -> None:
    path = server.api.removeprefix(server.url).encode()
    body = BODY.encode()
    request = b"POST %b/profiles HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)
    head, content = raw(server, request)
    assert b" 200 " in head.splitlines()[0]
    profile = one(content)["profile"]
    head, content = raw(
        server, b"GET %b/profiles/%b HTTP/1.0\r\n\r\n" % (path, profile["id"].encode())
    )
    assert one(content)["profile"] == profile


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("piece", [1 << 16, 7])
def test_an_offer_of_http_2_is_not_taken_up(server: Served, chunked: bool, piece: int) -> None:
    """Java's `HttpClient` makes one with every request, by whatever pieces it arrives."""
    path = server.api.removeprefix(server.url).encode()
    body = BODY.encode()
    framed = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    if chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    ask = b"POST %b/profiles HTTP/1.1\r\nHost: s\r\n%b%b" % (path, OFFER, framed)
    last = b"GET /healthz HTTP/1.1\r\nHost: s\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=RUN_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = ask + ask + last
        for at in range(0, len(request), piece):
            connection.sendall(request[at : at + piece])
        answers = []
        with connection.makefile("rb") as stream:
            for _ in range(3):
                head = [line.strip() for line in iter(stream.readline, b"\r\n")]
                assert head[0] == b"HTTP/1.1 200 OK"
                length = next(line for line in head if line.lower().startswith(b"content-length"))
                answers.append(stream.read(int(length.split(b":")[1])))
            assert stream.read() == b""
    assert one(answers[0])["profile"]["id"] != one(answers[1])["profile"]["id"]
    assert json.loads(answers[2])["data"] == {"status": "ok"}


def test_what_is_no_http(server: Served) -> None:
    head, content = raw(server, b"\x16\x03\x01 hello\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    shapes.check(json.loads(content), shapes.FAILURE)


def test_names_of_headers_in_any_case(server: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=RUN_SECONDS)
    path = server.api.removeprefix(server.url) + "/profiles"
    connection.request("POST", path, BODY, {"CONTENT-TYPE": "TEXT/PLAIN;CHARSET=UTF-8"})
    one(connection.getresponse().read())
    connection.close()


def test_accept_encoding(server: Served) -> None:
    """Whoever takes compressed answers gets one it can read."""
    for accepted in ("gzip", "gzip, deflate, br, zstd", "identity", "*;q=0"):
        headers = {"accept-encoding": accepted, "connection": "close"}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=RUN_SECONDS)
        path = server.api.removeprefix(server.url) + "/profiles"
        connection.request("POST", path, BODY, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.getheader("content-encoding") == "gzip":
            content = gzip.decompress(content)
        else:
            assert answer.getheader("content-encoding") in {None, "identity"}
        one(content)
        connection.close()


def test_accept_is_not_looked_at(server: Served) -> None:
    for accepted in ("text/html", "*/*", "application/xml"):
        headers = {"accept": accepted, "content-type": "text/plain"}
        one(httpx.post(f"{server.api}/profiles", content=BODY, headers=headers).content)


# ---- the newest SDKs, which are not on npm yet --------------------------------------------------

# As contentful/optimization's `EventBuilder` makes it, for an app that is no page.
OPTIMIZATION_EVENT = {
    "channel": "mobile",
    "context": {
        "app": {"name": "shop", "version": "2.0.0"},
        "campaign": {},
        "gdpr": {"isConsentGiven": True},
        "library": {"name": "Contentful Optimization SDK", "version": "0.1.0"},
        "locale": "en-US",
        "screen": {"name": "Home"},
    },
    "messageId": "optimization-1",
    "originalTimestamp": "2026-01-01T00:00:00.000Z",
    "sentAt": "2026-01-01T00:00:00.000Z",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "type": "screen",
    "name": "Home",
    "properties": {"name": "Home"},
}
OPTIMIZATION_VIEW = {
    **{name: OPTIMIZATION_EVENT[name] for name in ("channel", "context", "timestamp")},
    "messageId": "optimization-2",
    "type": "component",
    "componentType": "Entry",
    "componentId": "checkoutOnePage4O5qnE2",
    "experienceId": "paymentSteps30J1b3rRrF",
    "variantIndex": 1,
    "viewDurationMs": 2_000,
    "viewId": "view-1",
}


def test_the_paths_of_the_newest_sdks(server: Served) -> None:
    """`/v3/spaces/…/environments/…` is asked by their `ExperienceApiClient`."""
    base = f"{server.url}/v3/spaces/default/environments/main"
    body = {
        "events": [OPTIMIZATION_EVENT, OPTIMIZATION_VIEW],
        "options": {"features": ["ip-enrichment", "location"]},
    }
    text = {"content-type": "text/plain"}
    created = httpx.post(f"{base}/profiles?locale=en-US", content=json.dumps(body), headers=text)
    profile = one(created.content)["profile"]
    assert profile["stickyVariants"] == {"paymentSteps30J1b3rRrF": 1}
    for there in (base, server.api):
        assert one(httpx.get(f"{there}/profiles/{profile['id']}").content)["profile"] == profile
    many = {**body, "events": [{**each, "anonymousId": "v3"} for each in body["events"]]}
    answer = httpx.post(f"{base}/events", json=many)
    shapes.check(answer.json(), shapes.MANY_PROFILES)
    for wrong in ("v3/organizations", "v2/spaces", "v4/spaces"):
        path = f"{server.url}/{wrong}/default/environments/main/profiles"
        assert httpx.post(path, json=body).status_code == 404

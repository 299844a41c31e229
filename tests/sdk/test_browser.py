"""The vendor's browser SDK with its plugins, in a real browser, against our server."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.replay import browser as browsing
from tests.sdk.npm import HERE, Installed
from tests.server.running import STOREFRONT, Served, served

from whichvariant import Engine

pytestmark = pytest.mark.sdk

PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title>
<h1>A shop</h1><p id="profile"></p><ul id="experiences"></ul><script src="/page.js"></script>
</html>"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The storefront's native document, to be changed while it serves."""
    path = tmp_path_factory.mktemp("config") / "space.json"
    path.write_bytes((STOREFRONT.parent / "native.json").read_bytes())
    return path


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, config: pathlib.Path) -> Iterator[Served]:
    """A server that looks at its configuration often."""
    folder = tmp_path_factory.mktemp("browser")
    with served(folder, "--reload-s", "0.1", config=config) as running:
        yield running


@pytest.fixture(scope="module")
def site(packages: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, of an origin of its own."""
    script = packages.bundle(HERE / "page.js", tmp_path_factory.mktemp("page") / "page.js")
    files = {"/": (PAGE, "text/html"), "/page.js": (script.read_bytes(), "text/javascript")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, kind = files.get(self.path.partition("?")[0], (b"", ""))
            self.send_response(200 if kind else 404)
            self.send_header("content-type", f"{kind or 'text/plain'}; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

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


class Visit:
    """One browser tab on the page."""

    def __init__(self, page: Any, site: str, api: Served) -> None:
        self.page = page
        self.sent: list[Any] = []
        self.failed: list[str] = []
        self._api = api
        self._address = f"{site}/?api={quote(api.url, safe='')}"
        page.on("request", self._note)
        page.on("requestfailed", lambda request: self.failed.append(request.url))
        page.on("pageerror", lambda error: self.failed.append(str(error)))

    def _note(self, request: Any) -> None:
        if request.url.startswith(self._api.url):
            self.sent.append(request)

    def open(self) -> None:
        """Load the page, and wait for what its page view brings."""
        self.page.goto(self._address)
        self.page.evaluate("() => window.ready")
        self.page.wait_for_function("() => document.getElementById('profile').textContent")

    def call(self, script: str, argument: Any = None) -> Any:
        """Something with the SDK; waits for its promise."""
        found = self.page.evaluate(f"(x) => window.ninetailedUnderTest.{script}", argument)
        assert self.page.evaluate("() => window.problems") == []
        return found

    def consent(self) -> None:
        """Without it the privacy plugin sends page views and tracks alone."""
        self.page.evaluate("() => window.ninetailed.consent(true)")

    @property
    def profile_id(self) -> str:
        return str(self.page.inner_text("#profile"))

    def shown(self) -> list[tuple[str, int]]:
        """What the page says was selected."""
        items = self.page.eval_on_selector_all(
            "#experiences li", "all => all.map(e => e.innerText)"
        )
        return [(item.split(" ")[0], int(item.split(" ")[1])) for item in items]

    def stored(self) -> dict[str, Any]:
        """The profile as the server has it, and what it decides."""
        answer = httpx.get(f"{self._api.api}/profiles/{self.profile_id}")
        data: dict[str, Any] = answer.raise_for_status().json()["data"]
        return data

    def until(self, script: str, argument: Any = None) -> None:
        """Wait for something on the page."""
        self.page.wait_for_function(script, arg=argument)


@pytest.fixture
def visit(site: str, api: Served) -> Iterator[Visit]:
    """A new visitor."""
    with browsing.chromium() as browser, contextlib.closing(browser.new_page()) as page:
        made = Visit(page, site, api)
        yield made
        assert made.failed == []


def selected(data: dict[str, Any]) -> list[tuple[str, int]]:
    """The same of an answer."""
    return [(one["experienceId"], one["variantIndex"]) for one in data["experiences"]]


def test_a_page_view_selects_and_shows(visit: Visit, config: pathlib.Path) -> None:
    visit.open()
    data = visit.stored()
    assert visit.shown() == selected(data)
    engine = Engine.load(config)
    mine = engine.select(data["profile"], device="desktop")
    assert [(one["experienceId"], one["variantIndex"]) for one in mine.experiences] == visit.shown()
    assert data["profile"]["session"]["landingPage"]["path"] == "/"
    # Another origin, as plain text: a browser asks no leave for that.
    assert {request.method for request in visit.sent} == {"POST"}
    assert all("text/plain" in request.headers["content-type"] for request in visit.sent)


def test_a_visitor_comes_back(visit: Visit) -> None:
    visit.open()
    first = visit.profile_id
    shown = visit.shown()
    visit.open()
    assert visit.profile_id == first
    assert visit.shown() == shown
    visit.call("reset()")
    visit.open()
    assert visit.profile_id != first


def test_identify_and_track_change_what_is_selected(visit: Visit) -> None:
    visit.open()
    before = visit.stored()["profile"]["audiences"]
    visit.call("identify('', x)", {"plan": "silver"})
    assert visit.stored()["profile"]["traits"] == {}
    visit.consent()
    traits = {"membership": {"tier": "gold"}, "address": {"city": "Köln"}}
    visit.call("identify('', x)", traits)
    visit.call("track('Product Added', x)", {"price": 12.5})
    data = visit.stored()
    assert data["profile"]["traits"] == traits
    new = set(data["profile"]["audiences"]) - set(before)
    assert new >= {"goldMembers5VvWQC8Yo9j", "cartAbandoners8Vzfmbzu"}
    assert visit.shown() == selected(data)


def test_a_known_user_on_another_device(site: str, api: Served) -> None:
    user = f"user-{time.time_ns()}"
    ids = []
    with browsing.chromium() as browser:
        for _ in range(2):
            with contextlib.closing(browser.new_context()) as context:
                visit = Visit(context.new_page(), site, api)
                visit.open()
                visit.consent()
                visit.call("identify(x, {})", user)
                visit.until("() => document.getElementById('profile').textContent")
                visit.open()
                ids.append(visit.profile_id)
                assert visit.failed == []
    assert ids[0] == ids[1]


def test_a_sticky_choice_stays(visit: Visit, config: pathlib.Path) -> None:
    visit.open()
    visit.consent()
    visit.call("track('Product Added')")
    sticky = [one for one in visit.stored()["experiences"] if one.get("sticky")]
    experience, index = sticky[0]["experienceId"], sticky[0]["variantIndex"]
    view = {"experienceId": experience, "componentId": "hero", "variantIndex": index}
    visit.call("trackStickyComponentView(x)", view)
    # Its queue is emptied before the event is in it: the next call takes it along.
    visit.call("track('Seen')")
    assert visit.stored()["profile"]["stickyVariants"] == {experience: index}

    before = config.read_text()
    document = json.loads(before)
    changed = _everybody_elsewhere(document, experience, index)
    try:
        config.write_text(json.dumps(changed))
        digest = Engine.load(config).digest
        until = time.monotonic() + 20
        while True:
            answer = httpx.get(f"{visit._api.api}/profiles/{visit.profile_id}")
            if answer.headers["x-whichvariant-configuration"] == digest:
                break
            assert time.monotonic() < until
            time.sleep(0.05)
        visit.open()
        assert (experience, index) in visit.shown()
        # Who comes now gets another one.
        newcomer = httpx.post(
            f"{visit._api.api}/profiles?type=preflight",
            json={"events": [event for one in visit.sent for event in said(one) if _acts(event)]},
        ).json()["data"]
        assert (experience, index) not in selected(newcomer)
    finally:
        config.write_text(before)


def said(request: Any) -> list[dict[str, Any]]:
    """The events of a request."""
    events: list[dict[str, Any]] = json.loads(request.post_data)["events"]
    return events


def _acts(event: dict[str, Any]) -> bool:
    return event["type"] in {"page", "track"}


def _everybody_elsewhere(document: dict[str, Any], experience: str, index: int) -> dict[str, Any]:
    """The document with all of an experience's visitors on another variant than ``index``."""
    found = next(one for one in document["experiences"] if one["nt_experience_id"] == experience)
    shares = found["nt_config"].get("distribution") or [0.5, 0.5]
    other = next(place for place in range(len(shares)) if place != index)
    found["nt_config"]["distribution"] = [float(place == other) for place in range(len(shares))]
    return document


def test_a_json_body_is_asked_leave_for(visit: Visit) -> None:
    """With a content type that browsers ask leave for, as `fetch` with JSON does."""
    visit.open()
    status = visit.page.evaluate(
        """async ([url, events]) => {
            const answer = await fetch(url, {
                method: "POST",
                headers: {"Content-Type": "application/json", "X-Own": "1"},
                body: JSON.stringify({events}),
                keepalive: true,
            });
            const body = await answer.json();
            return [answer.status, answer.headers.get("x-whichvariant-configuration"), body.error];
        }""",
        [f"{visit._api.api}/profiles", json.loads(visit.sent[0].post_data)["events"]],
    )
    assert status[0] == 200
    assert len(status[1]) == 32
    assert status[2] is None

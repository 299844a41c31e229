"""A page that our middleware rendered comes alive in a browser, with the vendor's SDK.

The server decides by preflights of the API and sets the cookie; the SDK's plugin for server-side
rendering takes the id out of it, and the page view that it sends makes the profile.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from tests.replay import browser as browsing
from tests.sdk.npm import HERE, Installed
from tests.server.running import STOREFRONT, Served, free_port, served

from whichvariant import Engine, events
from whichvariant.client import AsyncExperienceClient, AsyncPreflight
from whichvariant.web import CookieSettings, EngineDecider, WebSettings
from whichvariant.web.asgi import ExperienceMiddleware

pytestmark = pytest.mark.sdk

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
"""A browser without a window says so, and would count as no person's."""

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title>
<p id="named">{}</p><ul id="server">{}</ul><p id="profile"></p><ul id="experiences"></ul>
<script src="/page.js"></script></html>"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API, with profiles."""
    with served(tmp_path_factory.mktemp("api")) as running:
        yield running


def application(
    decider: Any, script: pathlib.Path, client: AsyncExperienceClient | None = None
) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if client is not None:
            await client.aclose()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(
        ExperienceMiddleware,
        decider=decider,
        settings=WebSettings(skip=("/page.js", "/favicon"), timeout_s=20, cookie=CookieSettings()),
    )

    @app.get("/")
    async def home(request: Request) -> HTMLResponse:
        records = request.state.experiences.experiences
        named = request.state.experiences.profile_id
        items = (f"<li>{one['experienceId']} {one['variantIndex']}</li>" for one in records)
        return HTMLResponse(PAGE.format(named, "".join(items)))

    @app.get("/page.js")
    async def page() -> FileResponse:
        return FileResponse(script)

    @app.post("/insights")
    async def insights() -> dict[str, str]:
        return {}

    return app


@contextlib.contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The site, of an origin of its own."""
    port = free_port()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def script(packages: Installed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return packages.bundle(HERE / "page.js", tmp_path_factory.mktemp("page") / "page.js")


def asking(api: Served, script: pathlib.Path) -> FastAPI:
    """A site that asks the API."""
    client = AsyncExperienceClient("default", "main", base_url=api.url)
    return application(AsyncPreflight(remote=client, remote_timeout_s=10), script, client)


def shown(page: Any, place: str) -> list[str]:
    found: list[str] = page.eval_on_selector_all(f"#{place} li", "all => all.map(e => e.innerText)")
    return found


def opened(page: Any, site: str, api: Served) -> None:
    page.goto(f"{site}/?api={quote(api.url, safe='')}")
    page.evaluate("() => window.ready")
    page.wait_for_function("() => document.getElementById('profile').textContent")


def test_the_browser_goes_on_with_what_the_server_showed(api: Served, script: pathlib.Path) -> None:
    with (
        running(asking(api, script)) as site,
        browsing.chromium() as browser,
        contextlib.closing(browser.new_context(user_agent=FIREFOX)) as context,
    ):
        page = context.new_page()
        opened(page, site, api)
        visitor = page.inner_text("#profile")
        (cookie,) = [one for one in context.cookies() if one["name"] == "ntaid"]
        assert cookie["value"] == visitor
        assert page.inner_text("#named") == visitor
        assert cookie["httpOnly"] is False
        assert shown(page, "server") == shown(page, "experiences") != []
        stored = httpx.get(f"{api.api}/profiles/{visitor}").raise_for_status().json()["data"]
        # The preflight stored nothing: one page view, the browser's.
        assert stored["profile"]["session"]["count"] == 1
        opened(page, site, api)
        assert page.inner_text("#profile") == visitor
        assert shown(page, "server") == shown(page, "experiences")


def created(api: Served, url: str) -> str:
    """The id of a new profile."""
    context = events.RequestContext(url=url, user_agent=FIREFOX)
    answer = httpx.post(f"{api.api}/profiles", json={"events": [events.page(context)]})
    return str(answer.raise_for_status().json()["data"]["profile"]["id"])


def test_the_cookie_of_a_deleted_profile(api: Served, script: pathlib.Path) -> None:
    with running(asking(api, script)) as site:
        visitor = created(api, site)
        with httpx.Client(headers={"user-agent": FIREFOX}) as browser:
            browser.cookies.set("ntaid", visitor)
            assert browser.get(site).headers["set-cookie"].startswith(f"ntaid={visitor};")
            httpx.delete(f"{api.api}/profiles/{visitor}").raise_for_status()
            browser.cookies.set("ntaid", visitor)
            answer = browser.get(site)
        assert "<li>" in answer.text
        assert not answer.headers["set-cookie"].startswith(f"ntaid={visitor};")


def test_a_guessed_alias_leads_nowhere(api: Served, script: pathlib.Path) -> None:
    """The API answers to it; the page must not."""
    visitor = created(api, "http://127.0.0.1/")
    event = events.identify("customer-7", {"firstname": "Zoë"})
    httpx.post(f"{api.api}/profiles/{visitor}", json={"events": [event]}).raise_for_status()
    assert httpx.get(f"{api.api}/profiles/customer-7").json()["data"]["profile"]["id"] == visitor
    with running(asking(api, script)) as site:
        headers = {"user-agent": FIREFOX, "cookie": "ntaid=customer-7"}
        answer = httpx.get(site, headers=headers)
    assert visitor not in answer.text
    assert visitor not in answer.headers["set-cookie"]


def test_the_engine_alone_gives_the_same_variants(api: Served, script: pathlib.Path) -> None:
    """With the id of a stored profile, experiences that need no past come out equal."""
    visitor = created(api, "http://127.0.0.1/")
    decider = EngineDecider(Engine.load(STOREFRONT))
    with (
        running(application(decider, script)) as site,
        browsing.chromium() as browser,
        contextlib.closing(browser.new_context(user_agent=FIREFOX)) as context,
    ):
        context.add_cookies([{"name": "ntaid", "value": visitor, "url": site}])
        page = context.new_page()
        opened(page, site, api)
        assert page.inner_text("#profile") == visitor
        assert shown(page, "server") == shown(page, "experiences") != []

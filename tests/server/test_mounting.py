"""Mounted into other applications: Starlette, FastAPI, Django; with and without lifespan events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.server.events import page
from tests.server.running import STOREFRONT, free_port

from whichvariant.server import App

PATH = "/experience/v2/organizations/shop/environments/main"


async def home(request: Request) -> PlainTextResponse:
    """Something of the outer application's own."""
    return PlainTextResponse("at home")


def in_starlette(app: App) -> Any:
    return Starlette(routes=[Mount("/experience", app), Route("/", home)])


def in_fastapi(app: App) -> Any:
    outer = FastAPI()
    outer.add_route("/", home)
    outer.mount("/experience", app)
    return outer


def within(app: App) -> Any:
    """Mounted twice, one into the other."""
    return Starlette(routes=[Mount("/", in_starlette(app))])


def by_hand(app: App) -> Any:
    """As an application does that knows nothing of mounting: all paths with one beginning."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/experience/"):
            await app({**scope, "root_path": "/experience"}, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse("at home")(scope, receive, send)

    return outer


async def all_endpoints(client: httpx.AsyncClient) -> None:
    """What a client does, below where the app is mounted."""
    assert (await client.get("/")).text == "at home"
    created = await client.post(f"{PATH}/profiles", json={"events": [page()]})
    assert created.status_code == 200, created.text
    key = created.json()["data"]["profile"]["id"]
    for path in (f"{PATH}/profiles/{key}", f"{PATH}/profiles/{key}?type=preflight"):
        updated = await client.post(path, json={"events": [page()]})
        assert updated.status_code == 200, updated.text
    assert (await client.get(f"{PATH}/profiles/{key}")).json()["data"]["profile"]["id"] == key
    batch = {"events": [{**page(), "anonymousId": "a visitor/%41"}]}
    assert (await client.post(f"{PATH}/events", json=batch)).status_code == 200
    odd = await client.get(f"{PATH}/profiles/a%20visitor%2F%2541")
    assert odd.json()["data"]["profile"]["id"] == "a visitor/%41"
    assert (await client.post(f"{PATH}/import/events", json=batch)).status_code == 200
    assert (await client.options(f"{PATH}/profiles")).status_code == 204
    assert (await client.get("/experience/healthz")).status_code == 200
    assert (await client.get("/experience/readyz")).status_code == 200
    described = (await client.get("/experience/openapi.json")).json()
    assert described["servers"] == [{"url": "/experience"}]
    unknown = await client.get("/experience/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "ERR_INVALID_DATA"
    assert (await client.delete(f"{PATH}/profiles/{key}")).status_code == 200


@pytest.mark.parametrize("mount", [in_starlette, in_fastapi, within, by_hand])
async def test_without_lifespan_events(
    make_app: Callable[..., App], mount: Callable[[App], Any]
) -> None:
    """It starts with its first request."""
    app = make_app()
    transport = httpx.ASGITransport(mount(app))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            await all_endpoints(client)
    finally:
        await app.close()


@pytest.mark.parametrize("make", [Starlette, FastAPI])
async def test_within_an_outer_lifespan(make_app: Callable[..., App], make: Any) -> None:
    """`start` and `close` where the outer application begins and ends, as the docs say."""
    app = make_app()

    @contextlib.asynccontextmanager
    async def lifespan(outer: Any) -> AsyncIterator[None]:
        await app.start()
        try:
            yield
        finally:
            await app.close()

    outer = make(lifespan=lifespan)
    outer.add_route("/", home)
    outer.mount("/experience", app)
    transport = httpx.ASGITransport(outer)
    async with (
        outer.router.lifespan_context(outer),
        httpx.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        await all_endpoints(client)


DJANGO = """
    import os

    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    from whichvariant import Engine, Namespace
    from whichvariant.server import ServerSettings, create_app

    settings.configure(
        ALLOWED_HOSTS=["*"], DEBUG=False, ROOT_URLCONF=__name__, SECRET_KEY="of a test"
    )
    urlpatterns = [path("", lambda request: HttpResponse("at home"))]
    django = get_asgi_application()
    experience = create_app(
        ServerSettings(store=os.environ["PROFILES"]),
        engines={Namespace("shop", "main"): Engine.load(os.environ["SPACE"])},
    )


    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await experience(scope, receive, send)
        elif scope["path"].startswith("/experience/"):
            await experience({**scope, "root_path": "/experience"}, receive, send)
        else:
            await django(scope, receive, send)
"""


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_beside_django(tmp_path: pathlib.Path, lifespan: str) -> None:
    """In one process with Django, under a plain uvicorn."""
    (tmp_path / "site_of_a_test.py").write_text(textwrap.dedent(DJANGO))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "site_of_a_test:application"]
    command += ["--port", str(port), "--lifespan", lifespan, "--log-level", "warning"]
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PROFILES": str(tmp_path / "profiles.db"),
        "SPACE": str(STOREFRONT),
    }
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/").status_code == 200:
                    break
            assert time.monotonic() < until
            time.sleep(0.05)

        async def ask() -> None:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                await all_endpoints(client)

        asyncio.run(ask())
    finally:
        process.terminate()
        process.wait(30)
    assert (tmp_path / "profiles.db").exists()

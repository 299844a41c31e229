"""Servers to ask: in this process, and as a process of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.server.running import STOREFRONT, Served, served

from whichvariant import Engine, Namespace
from whichvariant.server import App, ServerSettings, create_app
from whichvariant.store import MemoryStore

SHOP = Namespace("shop", "main")
OTHER = Namespace("shop", "staging")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The storefront's."""
    return Engine.load(STOREFRONT)


@contextlib.asynccontextmanager
async def client_of(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app in this process, below the paths of ``SHOP``."""
    await app.start()
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    base = f"http://server/v2/organizations/{SHOP.organization}/environments/{SHOP.environment}"
    try:
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            yield client
    finally:
        await app.close()


@pytest.fixture
def make_app(engine: Engine) -> Callable[..., App]:
    """An app with the storefront in two environments, and a store in memory."""

    def make(**settings: Any) -> App:
        return create_app(
            ServerSettings(**settings),
            engines={SHOP: engine, OTHER: engine},
            store=MemoryStore(),
        )

    return make


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server process for a module's tests."""
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running

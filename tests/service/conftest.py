"""Every store, and tests that are coroutines."""

from __future__ import annotations

import asyncio
import inspect
import pathlib
from collections.abc import Iterator

import pytest

from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(params=["memory", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[ProfileStore]:
    """An empty store of each kind."""
    made: ProfileStore
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = EmbeddedStore.open(tmp_path / "profiles.db")
    yield made
    asyncio.run(made.close())

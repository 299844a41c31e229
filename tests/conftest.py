"""Fixtures shared by all tests; and tests that are coroutines."""

from __future__ import annotations

import asyncio
import inspect
import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The third-party data beside the project, read in place; a continuous build must have it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        reason = "the third-party data (../shared/data) is not there"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder

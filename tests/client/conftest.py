"""What the tests of the clients share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.callers import CALLERS, Caller
from tests.server.geo_fixture import write_database
from tests.server.running import STOREFRONT, Served, served

MakeCaller = Callable[..., Caller]


@pytest.fixture(params=CALLERS, ids=lambda kind: kind.name)
def make_caller(request: pytest.FixtureRequest) -> Iterator[MakeCaller]:
    """Makes clients of one kind, closed at the end."""
    made: list[Caller] = []

    def make(**settings: Any) -> Caller:
        made.append(request.param(**settings))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server of two environments, which knows where addresses are."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "configurations" / "default").mkdir(parents=True)
    for environment in ("main", "staging"):
        shutil.copy(STOREFRONT, folder / "configurations" / "default" / f"{environment}.json")
    database = write_database(folder / "city.mmdb")
    arguments = ("--trusted-proxies", "127.0.0.1", "--geo-database", str(database))
    with served(folder, *arguments, config=folder / "configurations") as running:
        yield running


@pytest.fixture
def api(make_caller: MakeCaller, server: Served) -> Caller:
    """A client of the real server."""
    return make_caller(base_url=server.url)

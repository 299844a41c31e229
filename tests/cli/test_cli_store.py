"""`whichvariant store`, and stores in PostgreSQL for all commands on profiles."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.postgres import schema

from whichvariant.store import HistoryRow, Namespace, Put, Transaction
from whichvariant.store.opening import open_store

SHOP = pathlib.Path(__file__).parents[2] / "fixtures" / "storefront"
SECRET = "geheim"


@pytest.fixture
def url() -> Iterator[str]:
    """A schema without tables, by a URL with a password."""
    with schema() as dsn:
        yield dsn.replace("postgres@", f"postgres:{SECRET}@")


def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "whichvariant", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done


def fill(name: str) -> None:
    async def main() -> None:
        async with await open_store(name) as store:
            for key in ("p", "q"):
                put = Put(key, b"x", 0, 1, (HistoryRow(1, b"h"),))
                await store.commit(Transaction(Namespace("o", "e"), (put,)))

    asyncio.run(main())


def test_migrate(url: str) -> None:
    dry = run("store", "migrate", "--store", url, "--dry-run").stdout
    assert "CREATE TABLE wv_keys" in dry
    assert run("store", "digest", "--store", url, code=2).stderr.count("store migrate") == 1
    first = run("store", "migrate", "--store", url).stdout
    assert "to version 1: tables\n" in first
    assert first.endswith("the tables are of version 2\n")
    assert "as they should be" in run("store", "migrate", "--store", url).stdout
    assert run("store", "migrate", "--store", url, "--dry-run").stdout == "-- nothing to do\n"
    down = json.loads(run("store", "migrate", "--store", url, "--to", "1", "--json").stdout)
    assert [(step["version"], step["direction"]) for step in down["steps"]] == [(2, "down")]
    assert down["version"] == 1
    refused = run("profiles", "stats", "--store", url, code=2)
    assert "whichvariant store migrate" in refused.stderr


def test_only_databases_are_migrated(tmp_path: pathlib.Path) -> None:
    done = run("store", "migrate", "--store", str(tmp_path / "p.db"), code=2)
    assert "only stores in PostgreSQL" in done.stderr


def test_copy_there_and_back(tmp_path: pathlib.Path, url: str) -> None:
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    fill(one)
    there = run("store", "copy", one, url).stdout
    assert "2 profiles, 2 rows of history" in there
    back = json.loads(run("store", "copy", url, two, "--json").stdout)
    assert (back["profiles"], back["history"], back["resumed"]) == (2, 2, False)
    digests = {run("store", "digest", "--store", name).stdout.strip() for name in (one, url, two)}
    assert digests == {back["digest"]}
    assert "not empty" in run("store", "copy", one, url, code=2).stderr


def test_what_is_not_copied(tmp_path: pathlib.Path) -> None:
    one = str(tmp_path / "one.db")
    assert "no such file" in run("store", "copy", one, str(tmp_path / "two.db"), code=2).stderr
    fill(one)
    assert "same store" in run("store", "copy", one, one, code=2).stderr
    assert "in memory" in run("store", "copy", one, "memory", code=2).stderr


def test_no_password_is_printed(tmp_path: pathlib.Path, url: str) -> None:
    """``run`` looks at everything that is printed."""
    run("store", "migrate", "--store", url)
    visitors = str(SHOP / "profiles.ndjson")
    where = ("--organization", "o", "--environment", "e")
    done = run("profiles", "import", visitors, "--store", url, *where)
    assert "postgres:***@" in done.stdout
    for command in ("stats", "verify", "compact", "inbox"):
        run("profiles", command, WHICHVARIANT_STORE=url)
    refused = run("profiles", "backup", str(tmp_path / "b.db"), "--store", url, code=2)
    assert "pg_dump" in refused.stderr
    run("profiles", "stats", "--store", f"{url}&pool_size=none", code=2)
    run("profiles", "stats", "--store", url.replace("/postgres?", "/nowhere?"), code=2)
    config = ("--config", str(SHOP / "space.json"), "--check")
    assert "postgres:***@" in run("serve", *config, "--store", url).stdout
    assert "postgres:***@" in run("serve", *config, "--json", WHICHVARIANT_STORE=url).stdout


def test_replay_from_what_is_exported(tmp_path: pathlib.Path, url: str) -> None:
    """Straight from the database: the same report as from a file that holds the same."""
    path = str(tmp_path / "one.db")
    visitors = str(SHOP / "profiles.ndjson")
    where = ("--organization", "o", "--environment", "e")
    run("profiles", "import", visitors, "--store", path, *where)
    run("store", "copy", path, url)
    exported = [run("profiles", "export", "--store", name).stdout for name in (path, url)]
    assert exported[0] == exported[1]
    config = str(SHOP / "space.json")
    done = subprocess.run(
        [sys.executable, "-m", "whichvariant", "replay", "--config", config, "--profiles", "-",
         "--format", "ndjson", "--json"],
        input=exported[1], capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)

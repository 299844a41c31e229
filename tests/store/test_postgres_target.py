"""URLs of databases: what is ours in them, and what nobody may see."""

from __future__ import annotations

import pickle

import pytest
from tests.postgres import within

from whichvariant.errors import StoreError
from whichvariant.store.postgres import PostgresStore
from whichvariant.store.postgres_target import is_postgres, read_target, shown

SECRET = "geheim"
URLS = {
    "postgresql://app:geheim@db/profiles": "postgresql://app:***@db/profiles",
    "postgres://app:ge:he@im:geheim@db": "postgres://app:***@db",
    "postgresql://db/x?password=geheim&sslmode=require": (
        "postgresql://db/x?password=***&sslmode=require"
    ),
    "postgresql://db?user=a&PassWord=geheim": "postgresql://db?user=a&PassWord=***",
    "postgresql://db?p%61ssword=geheim": "postgresql://db?p%61ssword=***",
    "postgresql://a:geheim@h1:1,h2:2/x?sslpassword=geheim": (
        "postgresql://a:***@h1:1,h2:2/x?sslpassword=***"
    ),
    "postgresql://app@db/profiles": "postgresql://app@db/profiles",
    "postgresql://app:@db/profiles": "postgresql://app:***@db/profiles",
    "postgresql://": "postgresql://",
    "/var/lib/app:geheim@x.db": "/var/lib/app:geheim@x.db",
}


@pytest.mark.parametrize("url", URLS)
def test_no_password_is_shown(url: str) -> None:
    assert shown(url) == URLS[url]
    if is_postgres(url):
        assert SECRET not in shown(url)
        assert SECRET not in repr(read_target(url))


async def test_no_password_is_in_errors(dsn: str) -> None:
    nowhere = dsn.replace("postgres@", "postgres:geheim@").replace("/postgres?", "/nowhere?")
    for wrong in (nowhere, "postgresql://app:geheim@127.0.0.1:1/x?connect_timeout=1&patience=0.1"):
        with pytest.raises(StoreError) as caught:
            await PostgresStore.open(wrong)
        assert SECRET not in str(caught.value)
        assert SECRET not in str(pickle.loads(pickle.dumps(caught.value)))


def test_our_parameters_are_taken_out() -> None:
    target = read_target(
        "postgresql://a@h1,h2/x?pool_size=3&patience=0.5&search_path=s%20t&connect_timeout=2"
        "&pool_timeout=7&statement_timeout=9"
    )
    assert target.dsn == "postgresql://a@h1,h2/x?search_path=s+t&statement_timeout=9"
    assert (target.connections, target.patience_s) == (3, 0.5)
    assert (target.connect_timeout_s, target.pool_timeout_s) == (2, 7)
    assert target.named == {"search_path", "statement_timeout"}
    assert target.several_hosts
    assert not read_target("postgresql://a,b@h1/x").several_hosts
    assert read_target("postgresql://h/x?target_session_attrs=any").chooses_host


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "nan", "inf", "1e9"])
@pytest.mark.parametrize("name", ["pool_size", "patience", "connect_timeout", "pool_timeout"])
def test_what_is_no_number(name: str, value: str) -> None:
    with pytest.raises(StoreError, match=name):
        read_target(f"postgresql://a:geheim@h/x?{name}={value}")


async def test_settings_of_the_url_win(dsn: str) -> None:
    async with await PostgresStore.open(within(dsn, statement_timeout="7s")) as store:
        here = store._here()
        seen = await here.connections.run(
            lambda connection, _: connection.fetchrow(
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                "current_setting('application_name'), current_setting('synchronous_commit')"
            )
        )
    assert tuple(seen) == ("7s", "5s", "whichvariant", "on")


async def test_commits_wait_for_the_disk_whatever_the_default_is(dsn: str) -> None:
    async with await PostgresStore.open(within(dsn, synchronous_commit="off")) as store:
        seen = await store._here().connections.run(
            lambda connection, _: connection.fetchval("SHOW synchronous_commit")
        )
    assert seen == "on"

"""PostgreSQL that goes away, says no, or is in a hurry: what the store makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest
from tests.postgres import EMPTY, PostgresServer, connected, execute, within

from store.cutting import Wire
from store.shorthands import HERE, THERE, everything, leads_to, link, merge, put
from whichvariant.errors import (
    StoreConflict,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from whichvariant.store import (
    Erase,
    HistoryRow,
    Link,
    Merge,
    ProfileRow,
    Put,
    Tombstone,
    Transaction,
)
from whichvariant.store.postgres import PostgresStore
from whichvariant.store.postgres_errors import store_error


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module alone, which may stop it."""
    made = PostgresServer()
    yield made
    made.remove()


@pytest.fixture
def own(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """The URL of a schema on that server."""
    name = f"s{abs(hash(request.node.nodeid))}"
    execute(server.dsn(), f"DROP SCHEMA IF EXISTS {name} CASCADE", f"CREATE SCHEMA {name}")
    return server.dsn(search_path=name)


# ---- connections that are cut --------------------------------------------------------------------

COMMITS = {
    "a new profile": Transaction(HERE, (Put("new", b"1", 0, 1, (HistoryRow(1, b"h"),)),)),
    "an update": Transaction(HERE, (Put("p", b"2", 1, 1, (HistoryRow(2, b"h"),)),)),
    "a link": Transaction(HERE, links=(Link("alias", "p"),)),
    "a merge": Transaction(
        HERE, (Put("q", b"2", 1, 1, (HistoryRow(2, b"h"),)),), merges=(Merge("p", 1, "q"),)
    ),
    "an erasure": Transaction(HERE, erases=(Erase("p", 1, 5),)),
    "dropping history": Transaction(HERE, (Put("p", b"2", 1, 1, (HistoryRow(2, b"h"),), (1,)),)),
}


async def prepared(dsn: str) -> PostgresStore:
    store = await PostgresStore.open(dsn)
    await put(store, "p", append=(HistoryRow(1, b"p"),))
    await put(store, "q", append=(HistoryRow(1, b"q"),))
    return store


@pytest.mark.parametrize("side", ["request", "reply"])
@pytest.mark.parametrize("kind", COMMITS)
async def test_a_commit_happens_once_wherever_its_connection_is_cut(
    own: str, kind: str, side: str
) -> None:
    """Cut after the n-th thing that is said on either side, for every n until nothing is cut."""
    expected = None
    for number in range(40):
        await emptied(own)
        async with Wire(own) as wire:
            store = await prepared(wire.dsn)
            said = 0
            cuts = 0

            def look(data: bytes, number: int = number) -> bytes | None:
                nonlocal said, cuts
                said += 1
                if said == number + 1:
                    cuts += 1
                    return None
                return data

            setattr(wire, f"before_{side}", look)
            await store.commit(COMMITS[kind])
            setattr(wire, f"before_{side}", lambda data: data)
            there = await everything(store)
            assert await store.verify() == []
            await store.close()
        if cuts == 0:
            assert number > 0
            assert there == expected
            return
        assert expected in (None, there)
        expected = there
    raise AssertionError("there was always something left to cut")


async def emptied(dsn: str) -> None:
    async with await PostgresStore.open(dsn), connected(dsn) as connection:
        await connection.execute(EMPTY)


async def test_a_write_that_others_wrote_over_is_not_said_to_be_done(own: str) -> None:
    only_one = within(own, pool_size="1")
    async with Wire(only_one) as wire, await PostgresStore.open(only_one) as other:
        store = await prepared(wire.dsn)
        # Both have the statement by now, so that the next thing said about it is its outcome.
        await put(store, "p", b"known", 1)
        await put(other, "q", b"known", 1)
        rival: list[asyncio.Task[None]] = []

        def cut(data: bytes) -> bytes | None:
            # The commit came through, but nobody hears of it before somebody else writes.
            wire.refusing = True

            async def write() -> None:
                await put(other, "p", b"rival", 3)
                wire.refusing = False

            rival.append(asyncio.create_task(write()))
            wire.before_reply = lambda data: data
            return None

        wire.before_reply = cut
        with pytest.raises(StoreUnavailable, match="cannot be told"):
            await put(store, "p", b"mine", 2)
        await asyncio.gather(*rival)
        assert await store.find(HERE, "p") == ProfileRow("p", 4, 1, b"rival")
        await store.close()


async def test_reading_goes_on_when_connections_were_cut(own: str) -> None:
    async with Wire(own) as wire:
        store = await prepared(wire.dsn)
        for _ in range(5):
            wire.cut()
            assert await leads_to(store, "p") == "p"
            assert await store.history(HERE, "p") == [(1, b"p")]
        await store.close()


async def test_what_was_enqueued_is_not_asked_for_twice(own: str) -> None:
    async with Wire(within(own, pool_size="1")) as wire:
        store = await prepared(wire.dsn)
        await store.enqueue(HERE, b"known", 1)
        wire.before_reply = lambda data: None
        with pytest.raises(StoreUnavailable, match="may or may not"):
            await store.enqueue(HERE, b"x", 1)
        wire.before_reply = lambda data: data
        assert [one.payload for one in await store.claim("one", 9, 10, 1)] == [b"known", b"x"]
        await store.close()


async def test_a_database_that_stays_away_is_not_waited_for_long(own: str) -> None:
    async with Wire(within(own, patience="0.5")) as wire:
        store = await prepared(wire.dsn)
        wire.refusing = True
        wire.cut()
        begun = time.monotonic()
        outcomes = await asyncio.gather(
            put(store, "new"),
            store.find(HERE, "p"),
            merge(store, "p", "q"),
            store.enqueue(HERE, b"", 1),
            store.pulse(),
            return_exceptions=True,
        )
        assert [type(one) for one in outcomes] == [StoreUnavailable] * 5
        assert time.monotonic() - begun < 10
        wire.refusing = False
        assert await leads_to(store, "q") == "q"
        assert "lost" in (await store.pulse()).trouble
        await store.close()


# ---- a server that dies --------------------------------------------------------------------------


async def test_killed_and_started_again(server: PostgresServer, own: str) -> None:
    """Writers go on through a crash of the server; what they were told of is there, once."""
    async with await PostgresStore.open(within(own, patience="60")) as store:
        written: dict[str, int] = {}
        stop = asyncio.Event()

        async def write(name: str) -> None:
            version = 0
            while not stop.is_set():
                await put(store, name, b"%d" % version, version, append=(HistoryRow(version, b""),))
                version += 1
                written[name] = version

        tasks = [asyncio.create_task(write(f"w{at}")) for at in range(8)]
        for _ in range(2):
            await asyncio.sleep(0.3)
            before = dict(written)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            until = time.monotonic() + 60
            while any(written[name] <= before[name] + 1 for name in before):
                assert time.monotonic() < until
                await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*tasks)
        for name, version in written.items():
            row = await store.find(HERE, name)
            assert isinstance(row, ProfileRow)
            assert (row.version, row.record) == (version, b"%d" % (version - 1))
            assert [one.sequence for one in await store.history(HERE, name)] == list(range(version))
        assert await store.verify() == []


async def test_stopped_in_order(server: PostgresServer, own: str) -> None:
    async with await PostgresStore.open(within(own, patience="60")) as store:
        await put(store, "p")
        await asyncio.to_thread(server.stop)
        waiting = asyncio.create_task(put(store, "p", b"2", 1))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        await waiting
        assert await store.find(HERE, "p") == ProfileRow("p", 2, 1, b"2")


# ---- a server that says no -----------------------------------------------------------------------


async def test_a_server_that_takes_no_writes(own: str) -> None:
    await (await prepared(own)).close()
    async with await PostgresStore.open(within(own, default_transaction_read_only="on")) as store:
        assert await leads_to(store, "p") == "p"
        assert (await store.stats()).namespaces[0].profiles == 2
        assert await store.verify() == []
        for writing in (
            put(store, "new"),
            put(store, "p", b"", 1),
            link(store, "alias", "p"),
            merge(store, "p", "q"),
            store.enqueue(HERE, b"", 1),
        ):
            with pytest.raises(StoreReadOnly):
                await writing
        assert await store.claim("one", 1, 1, 1) == []
        with pytest.raises(StoreReadOnly):
            await put(store, "new", space=THERE)
    async with await PostgresStore.open(own) as store:
        assert [row.id for _, row in await store.scan()] == ["p", "q"]


async def test_writes_go_on_where_a_server_takes_them_again(own: str) -> None:
    """As after a failover: the server that was the standby is the one to write to."""
    role = "ALTER ROLE postgres {} default_transaction_read_only"
    async with (
        await PostgresStore.open(own) as store,
        connected(own) as connection,
    ):
        await put(store, "p")
        await connection.execute(role.format("SET") + " = on")
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND application_name = 'whichvariant'"
            )
            with pytest.raises(StoreReadOnly):
                await put(store, "p", b"2", 1)
            assert await leads_to(store, "p") == "p"
        finally:
            await connection.execute(role.format("RESET"))
        # Once in a while it is tried whether that is still so.
        await asyncio.sleep(1.1)
        await put(store, "p", b"2", 1)


async def test_of_several_hosts_the_one_that_takes_writes_is_chosen(
    server: PostgresServer, own: str
) -> None:
    settings = ["default_transaction_read_only=on", "fsync=off"]
    standby = await asyncio.to_thread(PostgresServer, settings)
    try:
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{server.port}"
        dsn = own.replace(f"127.0.0.1:{server.port}", hosts)
        async with await PostgresStore.open(dsn) as store:
            await put(store, "p")
            assert await leads_to(store, "p") == "p"
        async with await PostgresStore.open(own) as store:
            assert await leads_to(store, "p") == "p"
    finally:
        await asyncio.to_thread(standby.remove)


async def test_a_role_that_may_only_read(own: str) -> None:
    await (await prepared(own)).close()
    schema = own.rpartition("=")[2]
    async with connected(own) as connection:
        await connection.execute(
            f"DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; "
            f"GRANT USAGE ON SCHEMA {schema} TO reader; "
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
        )
    async with await PostgresStore.open(own.replace("postgres@", "reader@")) as store:
        assert await leads_to(store, "p") == "p"
        with pytest.raises(StoreReadOnly, match="permission denied"):
            await put(store, "new")


async def test_a_role_that_may_make_no_tables(own: str) -> None:
    async with connected(own) as connection:
        await connection.execute(
            "DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN; "
            f"GRANT USAGE ON SCHEMA {own.rpartition('=')[2]} TO poor"
        )
    with pytest.raises(StoreReadOnly, match="run 'whichvariant store migrate"):
        await PostgresStore.open(own.replace("postgres@", "poor@"))


# ---- limits --------------------------------------------------------------------------------------


async def test_a_statement_that_takes_too_long_fails_alone(own: str) -> None:
    async with (
        await PostgresStore.open(within(own, lock_timeout="300ms")) as store,
        connected(own) as rival,
    ):
        for key in ("a", "b", "c"):
            await put(store, key)
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute("SELECT 1 FROM wv_keys WHERE key = 'b' FOR UPDATE")
        # Together, and the one whose row somebody holds for ever does not take others with it.
        outcomes = await asyncio.gather(
            *(put(store, key, b"2", 1) for key in ("a", "b", "c")), return_exceptions=True
        )
        assert [type(one) for one in outcomes] == [type(None), StoreUnavailable, type(None)]
        assert "lock_timeout" in str(outcomes[1])
        assert "nothing was applied" in str(outcomes[1])
        await transaction.rollback()
        await put(store, "b", b"2", 1)


async def test_a_statement_timeout(own: str) -> None:
    async with (
        await PostgresStore.open(within(own, statement_timeout="200ms")) as store,
        connected(own) as rival,
    ):
        await put(store, "p")
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute("LOCK TABLE wv_keys")
        with pytest.raises(StoreUnavailable, match="statement_timeout"):
            await store.find(HERE, "p")
        await transaction.rollback()
        assert await leads_to(store, "p") == "p"


async def test_a_pool_that_is_busy(own: str) -> None:
    async with (
        await PostgresStore.open(within(own, pool_size="2", pool_timeout="0.2")) as store,
        connected(own) as rival,
    ):
        await put(store, "p")
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute("LOCK TABLE wv_keys")
        waiting = [asyncio.create_task(store.history(HERE, "p")) for _ in range(2)]
        waiting += [asyncio.create_task(store.aliases(HERE, f"{at}")) for at in range(6)]
        done = await asyncio.wait(waiting, timeout=2)
        await transaction.rollback()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        busy = [one for one in outcomes if isinstance(one, StoreUnavailable)]
        assert busy
        assert "2 connections have been busy" in str(busy[0])
        assert done
        assert await leads_to(store, "p") == "p"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (asyncpg.DiskFullError, StoreFull),
        (asyncpg.ReadOnlySQLTransactionError, StoreReadOnly),
        (asyncpg.InsufficientPrivilegeError, StoreReadOnly),
        (asyncpg.DataCorruptedError, StoreDamaged),
        (asyncpg.IndexCorruptedError, StoreDamaged),
        (asyncpg.UndefinedTableError, StoreForeign),
        (asyncpg.QueryCanceledError, StoreUnavailable),
        (asyncpg.TooManyConnectionsError, StoreUnavailable),
        (asyncpg.CannotConnectNowError, StoreUnavailable),
        (ConnectionRefusedError, StoreUnavailable),
        (asyncpg.InvalidPasswordError, StoreError),
        (asyncpg.ProgramLimitExceededError, StoreError),
    ],
)
def test_errors_in_our_words(kind: type[Exception], expected: type[StoreError]) -> None:
    error = store_error(kind("what happened\nDETAIL: Key (id)=(visitor) ..."), "postgresql://db/x")
    assert type(error) is expected
    assert "visitor" not in str(error)
    assert str(error).startswith("postgresql://db/x: ")


async def test_a_full_disk(own: str) -> None:
    """No room in the database's temporary space stands for no room at all: the code is the same."""
    async with (
        await PostgresStore.open(own) as store,
        connected(own) as connection,
    ):
        await put(store, "p")
        await connection.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON wv_keys "
            "FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
        before = await everything(store)
        for writing in (put(store, "p", b"2", 1), put(store, "q"), link(store, "a", "p")):
            with pytest.raises(StoreFull, match="could not extend"):
                await writing
        assert await everything(store) == before
        await connection.execute("DROP FUNCTION full_disk CASCADE")
        await put(store, "p", b"2", 1)


# ---- others in the way ---------------------------------------------------------------------------


async def test_merges_in_a_circle_do_not_wait_for_each_other(own: str) -> None:
    async with await PostgresStore.open(own) as one, await PostgresStore.open(own) as two:
        for at in range(20):
            a, b = f"a{at}", f"b{at}"
            await asyncio.gather(put(one, a), put(one, b))
            outcomes = await asyncio.gather(
                merge(one, a, b), merge(two, b, a), return_exceptions=True
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == [
                "NoneType",
                "StoreConflict",
            ]
            assert await leads_to(one, a) == await leads_to(one, b)


async def test_a_link_and_an_erasure_at_once(own: str) -> None:
    async with await PostgresStore.open(own) as one, await PostgresStore.open(own) as two:
        for at in range(30):
            key = f"p{at}"
            await put(one, key)
            transaction = Transaction(HERE, erases=(Erase(key, 1, 5),))
            outcomes = await asyncio.gather(
                link(one, f"alias {at}", key), two.commit(transaction), return_exceptions=True
            )
            assert outcomes[1] is None
            assert isinstance(outcomes[0], StoreConflict | None)
            assert await two.find(HERE, key) == Tombstone(5)
            assert await two.find(HERE, f"alias {at}") is None
        assert await one.verify() == []


async def test_a_key_is_taken_once(own: str) -> None:
    async with await PostgresStore.open(own) as one, await PostgresStore.open(own) as two:
        await put(one, "p")
        for at in range(30):
            key = f"k{at}"
            outcomes = await asyncio.gather(
                put(one, key), link(two, key, "p"), put(two, key), return_exceptions=True
            )
            conflicts = [one for one in outcomes if isinstance(one, StoreConflict)]
            assert len(conflicts) == 2, outcomes
            assert outcomes.count(None) == 1
        assert await one.verify() == []

"""Every statement of a request goes by an index, however large the tables are, or seem to be."""

from __future__ import annotations

import asyncpg
import pytest

from store.shorthands import HERE, link, put
from whichvariant.store import HistoryRow
from whichvariant.store import postgres_commits as commits
from whichvariant.store import postgres_inbox as inbox
from whichvariant.store import postgres_puts as puts
from whichvariant.store import postgres_reads as reads
from whichvariant.store import postgres_rows as rows
from whichvariant.store.postgres import PostgresStore
from whichvariant.store.postgres_pool import connect
from whichvariant.store.postgres_target import read_target

KEYS = [b"%064d" % at for at in range(20)]
NUMBERS = [1] * len(KEYS)
STATEMENTS = {
    "find": (reads._FIND, (1, KEYS[0])),
    "find many": (reads._FIND_MANY, (1, KEYS)),
    "follow": (reads._FOLLOW, (1, b"alias")),
    "elsewhere": (reads._ELSEWHERE, (b"nobody",)),
    "history": (reads._HISTORY, (1, KEYS[0])),
    "aliases": (reads._ALIASES, (1, KEYS[0])),
    "scan": (reads._SCAN, (1, b"", 100)),
    "scan names": (reads._SCAN_NAMES, (1, b"", 100)),
    "lock": (commits._LOCK, (1, KEYS)),
    "names": (commits._NAMES, (1, KEYS)),
    "histories": (rows._HISTORIES, (1, KEYS)),
    "update": (
        puts._STATEMENTS[True, True],
        (1, 5, KEYS, NUMBERS, NUMBERS, NUMBERS, KEYS, KEYS, NUMBERS, NUMBERS, KEYS),
    ),
    "claim": (inbox._CLAIM, (b"one", 1, 2, 3, [], 10)),
    "release": (inbox._RELEASE, ([1, 2], b"one")),
}


async def planned(connection: asyncpg.Connection, name: str) -> str:
    statement, arguments = STATEMENTS[name]
    lines = await connection.fetch(f"EXPLAIN {statement}", *arguments)
    return "\n".join(row[0] for row in lines)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_plans(dsn: str, analyzed: bool) -> None:
    async with await PostgresStore.open(dsn) as store:
        for key in KEYS:
            await put(store, key.decode(), append=(HistoryRow(1, b"x"),))
        await link(store, "alias", KEYS[0].decode())
        await store.enqueue(HERE, b"x", 1)
        connection = await connect(read_target(dsn))
        try:
            if analyzed:
                await connection.execute("ANALYZE")
            for name in STATEMENTS:
                plan = await planned(connection, name)
                for bad in ("Seq Scan", "Hash", "Bitmap", "Merge Join"):
                    assert bad not in plan, (name, plan)
                if name not in {"lock", "histories", "aliases"}:
                    assert "Sort" not in plan, (name, plan)
        finally:
            await connection.close()

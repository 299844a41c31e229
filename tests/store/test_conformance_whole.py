"""What every store does: the inbox, scans, hostile input, closing."""

from __future__ import annotations

import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from store.shorthands import (
    HERE,
    HOSTILE,
    THERE,
    erase,
    every_kind,
    everything,
    leads_to,
    link,
    merge,
    put,
)
from whichvariant.errors import StoreClosed, StoreConflict, StoreError, StoreRefused
from whichvariant.store import (
    CLOCK_TOLERANCE_MS,
    DATA_LIMIT_BYTES,
    Bury,
    Forward,
    HistoryRow,
    Link,
    MemoryStore,
    Name,
    Namespace,
    ProfileRow,
    ProfileStore,
    Put,
    Tombstone,
    Transaction,
)

# ---- the inbox -----------------------------------------------------------------------------------


async def test_the_inbox_is_claimed_oldest_first(store: ProfileStore) -> None:
    sequences = [await store.enqueue(space, b"x", 5) for space in (HERE, THERE, HERE)]
    assert sequences == sorted(set(sequences))
    first = await store.claim("one", 2, 1000, 100)
    assert [tuple(item) for item in first] == [
        (sequences[0], HERE, b"x", 5, 1),
        (sequences[1], THERE, b"x", 5, 1),
    ]
    assert [item.sequence for item in await store.claim("two", 5, 1000, 100)] == sequences[2:]
    assert await store.claim("one", 5, 1000, 1099) == []
    assert await store.claim("one", 0, 1000, 5000) == []


async def test_namespaces_can_be_left_out_of_a_claim(store: ProfileStore) -> None:
    sequences = [await store.enqueue(space, b"x", 5) for space in (HERE, THERE, HERE)]
    nowhere = Namespace("nobody", "main")
    assert await store.claim("one", 9, 1000, 100, [HERE, THERE]) == []
    (item,) = await store.claim("one", 9, 1000, 100, {HERE, nowhere})
    assert (item.sequence, item.namespace) == (sequences[1], THERE)
    # What was left out was not claimed.
    rest = await store.claim("one", 9, 1000, 100, (nowhere,))
    assert [(item.sequence, item.attempts) for item in rest] == [
        (sequences[0], 1),
        (sequences[2], 1),
    ]


async def test_leases_end(store: ProfileStore) -> None:
    sequence = await store.enqueue(HERE, b"x", 5)
    await store.claim("one", 1, 1000, 100)
    assert await store.claim("two", 1, 1000, 1099) == []
    assert [item.attempts for item in await store.claim("two", 1, 1000, 1100)] == [2]
    await store.release([sequence], "one")  # which does not hold it any more
    assert await store.claim("three", 1, 1000, 1101) == []
    await store.release([sequence, 999], "two")
    assert [item.attempts for item in await store.claim("three", 1, 1000, 1101)] == [3]


async def test_a_clock_that_goes_back_does_not_keep_items(store: ProfileStore) -> None:
    await store.enqueue(HERE, b"x", 5)
    now_ms = 10**9
    await store.claim("one", 1, 10**8, now_ms)
    assert await store.claim("two", 1, 10**8, now_ms - CLOCK_TOLERANCE_MS) == []
    assert len(await store.claim("two", 1, 10**8, now_ms - CLOCK_TOLERANCE_MS - 1)) == 1


async def test_an_item_is_finished_once(store: ProfileStore) -> None:
    sequence = await store.enqueue(HERE, b"x", 5)
    await store.claim("one", 1, 10, 0)
    await store.claim("two", 1, 10, 20)
    # In a transaction of another namespace, and by one whose lease has ended: all the same.
    await store.commit(Transaction(THERE, (Put("p", b"", 0, 1),), finishes=(sequence,)))
    with pytest.raises(StoreConflict) as caught:
        await store.commit(Transaction(THERE, (Put("p", b"", 1, 1),), finishes=(sequence,)))
    assert caught.value.key == str(sequence)
    assert await store.find(THERE, "p") == ProfileRow("p", 1, 1, b"")
    assert await store.claim("three", 5, 10, 10**6) == []
    assert await store.enqueue(HERE, b"y", 6) > sequence


async def test_rejected_items(store: ProfileStore) -> None:
    sequences = [await store.enqueue(HERE, b"%d" % at, 5) for at in range(4)]
    await store.claim("one", 1, 10, 0)
    for sequence in (*sequences[:3], sequences[0], 10**6):
        await store.reject(sequence, "why \ud800", 7)
    items = await store.rejected()
    assert [tuple(item) for item in items] == [
        (sequences[at], HERE, b"%d" % at, 5, 1 if at == 0 else 0, "why \\ud800", 7)
        for at in range(3)
    ]
    assert await store.rejected(limit=1) == items[:1]
    assert await store.rejected(after=items[0].sequence) == items[1:]
    assert await store.rejected(limit=0) == []
    with pytest.raises(StoreConflict):
        await store.commit(Transaction(HERE, finishes=(sequences[0],)))
    stats = (await store.stats()).namespaces
    assert [(one.inbox, one.rejected) for one in stats] == [(1, 3)]
    assert await store.discard([sequences[0], 10**6]) == 1
    assert await store.requeue([sequences[0], sequences[2]]) == 1
    assert await store.rejected() == items[1:2]
    claimed = await store.claim("two", 9, 10, 20)
    assert [(item.sequence, item.attempts) for item in claimed] == [
        (sequences[2], 1),
        (sequences[3], 1),
    ]


async def test_sequence_numbers_are_not_used_twice(store: ProfileStore) -> None:
    last = await store.enqueue(HERE, b"", 1)
    await store.commit(Transaction(HERE, finishes=(last,)))
    following = await store.enqueue(HERE, b"", 1)
    await store.reject(following, "", 1)
    await store.discard([following])
    assert last < following < await store.enqueue(HERE, b"", 1)


# ---- scanning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_scans_go_on_where_they_were(store: ProfileStore, limit: int) -> None:
    spaces = [Namespace("b", "x"), Namespace("a", "y"), Namespace("a", "x")]
    keys = ["b", "a", "ab", "é", "😀", "\uffff", "Z"]
    for space in spaces:
        for key in keys:
            await put(store, key, space=space)
            alias = Transaction(space, links=(Link(f"alias {key}", key),))
            await store.commit(alias)

    async def walk(scan: Any, space: Namespace | None) -> list[tuple[Namespace, str]]:
        seen: list[tuple[Namespace, str]] = []
        while page := await scan(space, seen[-1] if seen else None, limit):
            assert len(page) <= limit
            seen += [(there, one[0]) for there, one in page]
        return seen

    for scan, prefix in ((store.scan, ""), (store.scan_names, "alias ")):
        for space in (None, *spaces):
            expected = [
                (there, prefix + key)
                for there in sorted(spaces)
                for key in sorted(keys)
                if space in (None, there)
            ]
            assert await walk(scan, space) == expected
        assert await scan(None, None, 0) == []
        assert await scan(None, (Namespace("c", "c"), ""), 5) == []
        assert await scan(HERE, None, 5) == []
        # Behind a key that is not there, or in no namespace that is.
        assert [one[1][0] for one in await scan(spaces[0], (spaces[0], "aba"), 9)]
        assert (await scan(None, (Namespace("a", "xx"), "q"), 1))[0][0] == Namespace("a", "y")


async def test_names_are_listed_with_all_they_say(store: ProfileStore) -> None:
    await every_kind(store)
    assert await store.scan_names() == [
        (HERE, Name("alias", "alias", "profile", 0)),
        (HERE, Name("gone", "tombstone", "", 9)),
        (HERE, Name("merged", "forward", "profile", 0)),
    ]


async def test_what_scans_say_makes_the_same_store(store: ProfileStore) -> None:
    await every_kind(store)
    copy = MemoryStore()
    for space, row in await store.scan():
        await copy.commit(Transaction(space, (Put(row.id, row.record, 0, row.updated_ms),)))
    for space, name in await store.scan_names():
        links = (Link(name.key, name.id),) if name.kind == "alias" else ()
        forwards = (Forward(name.key, name.id),) if name.kind == "forward" else ()
        burials = (Bury(name.key, name.at_ms),) if name.kind == "tombstone" else ()
        await copy.commit(Transaction(space, links=links, forwards=forwards, burials=burials))
    assert await everything(copy) == await everything(store)


# ---- hostile input -------------------------------------------------------------------------------


async def test_hostile_keys_are_keys(store: ProfileStore) -> None:
    for key in HOSTILE:
        await put(store, key, key.encode())
        await put(store, "p", key.encode(), space=Namespace(key, key))
    for key in HOSTILE:
        assert await store.find(HERE, key) == ProfileRow(key, 1, 1, key.encode())
        assert await store.find(Namespace(key, key), "p") == ProfileRow("p", 1, 1, key.encode())
    assert [row.id for _, row in await store.scan(HERE)] == sorted(HOSTILE)
    await put(store, "target")
    for key in HOSTILE:
        await merge(store, key, "target")
        assert await leads_to(store, key) == "target"
    await erase(store, "target")
    for key in HOSTILE:
        assert await store.find(HERE, key) == Tombstone(9)


@pytest.mark.parametrize("key", ["", "\ud800", "a\udfffb", "x" * 1025, "😀" * 257])
async def test_what_no_key_is(store: ProfileStore, key: str) -> None:
    await put(store, "p")
    refused: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.find(HERE, key),
        lambda: store.find(Namespace(key, "x"), "p"),
        lambda: store.find(Namespace("x", key), "p"),
        lambda: store.history(HERE, key),
        lambda: store.aliases(HERE, key),
        lambda: store.enqueue(Namespace("x", key), b"", 1),
        lambda: store.claim(key, 1, 1, 1),
        lambda: store.scan(Namespace(key, "x")),
        lambda: put(store, key),
        lambda: put(store, "q", space=Namespace(key, "x")),
        lambda: link(store, key, "p"),
        lambda: link(store, "a", key),
        lambda: merge(store, key, "p"),
        lambda: merge(store, "p", key),
        lambda: erase(store, key),
        lambda: store.commit(Transaction(HERE, forwards=(Forward(key, "p"),))),
        lambda: store.commit(Transaction(HERE, burials=(Bury(key, 1),))),
    ]
    before = await everything(store)
    for call in refused:
        with pytest.raises(StoreRefused):
            await call()
    assert await everything(store) == before


async def test_what_no_data_is(store: ProfileStore) -> None:
    huge = bytes(DATA_LIMIT_BYTES + 1)
    beyond = 2**63
    refused: list[Callable[[], Awaitable[Any]]] = [
        lambda: put(store, "p", huge),
        lambda: put(store, "p", append=(HistoryRow(1, huge),)),
        lambda: put(store, "p", append=(HistoryRow(-1, b""),)),
        lambda: put(store, "p", append=(HistoryRow(beyond, b""),)),
        lambda: put(store, "p", drop=(beyond,)),
        lambda: put(store, "p", drop=range(-5, 5)),
        lambda: put(store, "p", updated_ms=beyond),
        lambda: erase(store, "p", at_ms=-beyond - 1),
        lambda: store.commit(Transaction(HERE, burials=(Bury("p", beyond),))),
        lambda: store.commit(Transaction(HERE, finishes=(beyond,))),
        lambda: store.enqueue(HERE, huge, 1),
        lambda: store.enqueue(HERE, b"", beyond),
        lambda: store.claim("me", 1, beyond, 1),
        lambda: store.release([beyond], "me"),
        lambda: store.reject(beyond, "", 1),
        lambda: store.requeue([beyond]),
        lambda: store.discard([beyond]),
    ]
    for call in refused:
        with pytest.raises(StoreRefused):
            await call()
    assert (await store.stats()).namespaces == ()


async def test_large_data_is_kept(store: ProfileStore) -> None:
    record = bytes(range(256)) * 40_000
    await put(store, "p", record, append=(HistoryRow(1, record[1:]),))
    row = await store.find(HERE, "p")
    assert isinstance(row, ProfileRow)
    assert row.record == record
    assert await store.history(HERE, "p") == [(1, record[1:])]
    await store.enqueue(HERE, record, 1)
    assert (await store.claim("me", 1, 1, 1))[0].payload == record


# ---- the store itself ----------------------------------------------------------------------------


async def test_the_secret(store: ProfileStore) -> None:
    assert len(store.secret) == 32
    assert store.secret == store.secret
    assert len(set(store.secret)) > 8


async def test_a_sound_store_verifies(store: ProfileStore) -> None:
    await every_kind(store)
    steps: list[tuple[int, int]] = []
    assert await store.verify(lambda done, total: steps.append((done, total))) == []
    assert steps[-1][0] == steps[-1][1]
    assert await store.verify() == []
    await store.compact()
    assert await store.verify() == []


async def test_the_pulse_counts_what_waits(store: ProfileStore) -> None:
    pulse = await store.pulse()
    assert (pulse.waiting, pulse.oldest_ms, pulse.rejected) == (0, None, 0)
    first = await store.enqueue(HERE, b"a", 500)
    second = await store.enqueue(THERE, b"b", 700)
    third = await store.enqueue(HERE, b"c", 900)
    pulse = await store.pulse()
    assert (pulse.waiting, pulse.oldest_ms, pulse.rejected) == (3, 500, 0)
    # Being claimed is no way out of the inbox.
    await store.claim("me", 1, 1_000, 1_000)
    assert (await store.pulse()).waiting == 3
    await store.reject(first, "no use", 1_000)
    await store.commit(Transaction(THERE, finishes=(second,)))
    pulse = await store.pulse()
    assert (pulse.waiting, pulse.oldest_ms, pulse.rejected) == (1, 900, 1)
    await store.commit(Transaction(HERE, finishes=(third,)))
    await store.discard([first])
    pulse = await store.pulse()
    assert (pulse.waiting, pulse.oldest_ms, pulse.rejected) == (0, None, 0)
    assert pulse.trouble == ""
    assert pulse.size_bytes == sum((await store.stats()).files.values())


async def test_stats_count(store: ProfileStore) -> None:
    assert (await store.stats()).namespaces == ()
    await every_kind(store)
    await put(store, "p", space=THERE)
    await store.enqueue(THERE, b"", 1)
    stats = await store.stats()
    assert [tuple(one) for one in stats.namespaces] == [
        (HERE, 1, 1, 1, 1, 0, 0),
        (THERE, 1, 0, 0, 0, 1, 0),
    ]
    assert stats.trouble == ""


async def test_a_closed_store_refuses(store: ProfileStore, tmp_path: pathlib.Path) -> None:
    async with store as same:
        assert same is store
        await put(store, "p")
    await store.close()
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.find(HERE, "p"),
        lambda: store.history(HERE, "p"),
        lambda: store.aliases(HERE, "p"),
        lambda: put(store, "q"),
        lambda: store.enqueue(HERE, b"", 1),
        lambda: store.claim("me", 1, 1, 1),
        lambda: store.release([1], "me"),
        lambda: store.reject(1, "", 1),
        store.rejected,
        lambda: store.requeue([1]),
        lambda: store.discard([1]),
        store.scan,
        store.scan_names,
        store.stats,
        store.pulse,
        store.compact,
        store.verify,
        lambda: store.backup(tmp_path / "copy"),
    ]
    for call in calls:
        with pytest.raises(StoreClosed):
            await call()


async def test_a_copy_needs_a_file(store: ProfileStore, tmp_path: pathlib.Path) -> None:
    if isinstance(store, MemoryStore):
        with pytest.raises(StoreError):
            await store.backup(tmp_path / "copy")

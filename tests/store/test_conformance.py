"""What every store does: profiles, keys, merging, erasing, transactions, namespaces."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from store.shorthands import (
    HERE,
    THERE,
    erase,
    every_kind,
    everything,
    leads_to,
    link,
    merge,
    put,
)
from whichvariant.errors import StoreConflict
from whichvariant.store import (
    Bury,
    Elsewhere,
    Erase,
    Forward,
    HistoryRow,
    Link,
    Merge,
    Namespace,
    ProfileRow,
    ProfileStore,
    Put,
    Tombstone,
    Transaction,
)

# ---- profiles ------------------------------------------------------------------------------------


async def test_a_profile_is_found_as_it_was_put(store: ProfileStore) -> None:
    await put(store, "p", b"\0\xff", updated_ms=123)
    assert await store.find(HERE, "p") == ProfileRow("p", 1, 123, b"\0\xff")


async def test_versions_count_writes(store: ProfileStore) -> None:
    await put(store, "p", b"one")
    await put(store, "p", b"two", 1, updated_ms=-5)
    await put(store, "p", b"", 2, updated_ms=7)
    assert await store.find(HERE, "p") == ProfileRow("p", 3, 7, b"")


async def test_an_unknown_key_is_nowhere(store: ProfileStore) -> None:
    assert await store.find(HERE, "p") is None
    await put(store, "p")
    assert await store.find(HERE, "q") is None
    assert await store.history(HERE, "q") == []
    assert await store.aliases(HERE, "q") == []
    assert await store.history(THERE, "p") == []


@pytest.mark.parametrize("expects", [0, 2, -1, 99])
async def test_a_wrong_version_is_a_conflict(store: ProfileStore, expects: int) -> None:
    await put(store, "p", b"one")
    with pytest.raises(StoreConflict) as caught:
        await put(store, "p", b"two", expects, append=(HistoryRow(1, b"h"),))
    assert caught.value.key == "p"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert await store.find(HERE, "p") == ProfileRow("p", 1, 1, b"one")
    assert await store.history(HERE, "p") == []


async def test_an_update_of_nothing_is_a_conflict(store: ProfileStore) -> None:
    with pytest.raises(StoreConflict):
        await put(store, "p", b"one", 1)
    assert await store.find(HERE, "p") is None


async def test_an_alias_is_not_written_to_as_a_profile(store: ProfileStore) -> None:
    await put(store, "p")
    await link(store, "a", "p")
    for expects in (0, 1):
        with pytest.raises(StoreConflict):
            await put(store, "a", b"two", expects)


# ---- history -------------------------------------------------------------------------------------


async def test_history_grows_is_replaced_and_dropped(store: ProfileStore) -> None:
    rows = tuple(HistoryRow(sequence, b"%d" % sequence) for sequence in (5, 1, 3, 0))
    await put(store, "p", append=rows)
    assert await store.history(HERE, "p") == sorted(rows)
    await put(store, "p", b"r", 1, append=(HistoryRow(0, b"base"), HistoryRow(6, b"")), drop=(3, 4))
    assert await store.history(HERE, "p") == [(0, b"base"), (1, b"1"), (5, b"5"), (6, b"")]
    await put(store, "p", b"r", 2, append=(HistoryRow(1, b"again"),), drop=range(1, 6))
    assert await store.history(HERE, "p") == [(0, b"base"), (1, b"again"), (6, b"")]


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        (range(0, 10, 3), [1, 2, 4, 5, 7, 8]),
        (range(9, 4, -1), [0, 1, 2, 3, 4]),
        (range(4, 4), list(range(10))),
        (range(2, 10**15), [0, 1]),
        ((), list(range(10))),
        ((9, 0, 9, 77), list(range(1, 9))),
    ],
)
async def test_what_drop_may_be(store: ProfileStore, drop: Any, left: list[int]) -> None:
    await put(store, "p", append=tuple(HistoryRow(at, b"x") for at in range(10)))
    await put(store, "p", b"r", 1, drop=drop)
    assert [row.sequence for row in await store.history(HERE, "p")] == left


async def test_histories_are_apart(store: ProfileStore) -> None:
    await put(store, "p", append=(HistoryRow(1, b"p"),))
    await put(store, "q", append=(HistoryRow(1, b"q"),))
    await put(store, "p", space=THERE, append=(HistoryRow(1, b"there"),))
    await put(store, "p", b"r", 1, drop=(1,))
    assert await store.history(HERE, "q") == [(1, b"q")]
    assert await store.history(THERE, "p") == [(1, b"there")]


# ---- keys ----------------------------------------------------------------------------------------


async def test_aliases_lead_to_their_profile(store: ProfileStore) -> None:
    await put(store, "p")
    for alias in ("b", "a", "c"):
        await link(store, alias, "p")
    assert [await leads_to(store, alias) for alias in "abc"] == ["p", "p", "p"]
    assert await store.aliases(HERE, "p") == ["a", "b", "c"]
    assert await store.history(HERE, "a") == []
    assert await store.aliases(HERE, "a") == []


TAKING: dict[str, Callable[[str], Transaction]] = {
    "put": lambda key: Transaction(HERE, (Put(key, b"new", 0, 1),)),
    "link": lambda key: Transaction(HERE, links=(Link(key, "profile"),)),
    "forward": lambda key: Transaction(HERE, forwards=(Forward(key, "profile"),)),
    "bury": lambda key: Transaction(HERE, burials=(Bury(key, 5),)),
}


@pytest.mark.parametrize("taking", TAKING)
@pytest.mark.parametrize("key", ["profile", "alias", "merged", "gone"])
async def test_a_key_is_one_thing(store: ProfileStore, taking: str, key: str) -> None:
    kinds = await every_kind(store)
    before = await everything(store)
    with pytest.raises(StoreConflict, match=kinds[key]) as caught:
        await store.commit(TAKING[taking](key))
    assert caught.value.key == key
    assert await everything(store) == before


@pytest.mark.parametrize("taking", TAKING)
async def test_a_free_key_is_taken(store: ProfileStore, taking: str) -> None:
    await every_kind(store)
    await store.commit(TAKING[taking]("new"))
    expected = {"put": "new", "link": "profile", "forward": "profile", "bury": None}[taking]
    assert await leads_to(store, "new") == expected


@pytest.mark.parametrize("target", ["alias", "merged", "gone", "nobody"])
@pytest.mark.parametrize(
    "writing",
    [
        lambda target: Transaction(HERE, links=(Link("new", target),)),
        lambda target: Transaction(HERE, forwards=(Forward("new", target),)),
        lambda target: Transaction(HERE, merges=(Merge("profile", 1, target),)),
        lambda target: Transaction(HERE, merges=(Merge(target, 1, "profile"),)),
        lambda target: Transaction(HERE, erases=(Erase(target, 1, 1),)),
        lambda target: Transaction(HERE, (Put(target, b"", 1, 1),)),
    ],
)
async def test_only_profiles_are_led_to(
    store: ProfileStore, target: str, writing: Callable[[str], Transaction]
) -> None:
    await every_kind(store)
    before = await everything(store)
    with pytest.raises(StoreConflict, match=f"'{target}': there is no profile"):
        await store.commit(writing(target))
    assert await everything(store) == before


# ---- merging and erasing -------------------------------------------------------------------------


async def test_merges_of_merges(store: ProfileStore) -> None:
    for key in "abc":
        await put(store, key, append=(HistoryRow(1, key.encode()),))
    await link(store, "alias of a", "a")
    await merge(store, "a", "b")
    await link(store, "alias of b", "b")
    await merge(store, "b", "c")
    for key in ("a", "b", "alias of a", "alias of b"):
        assert await leads_to(store, key) == "c"
        assert await store.history(HERE, key) == []
    assert await store.aliases(HERE, "c") == ["alias of a", "alias of b"]
    assert await store.history(HERE, "c") == [(1, b"c")]
    row = await store.find(HERE, "a")
    assert row == ProfileRow("c", 1, 1, b"r")


async def test_a_merge_expects_its_source(store: ProfileStore) -> None:
    await put(store, "a")
    await put(store, "b")
    for transaction in (Merge("a", 2, "b"), Merge("a", 0, "b"), Merge("a", 1, "a")):
        with pytest.raises(StoreConflict):
            await store.commit(Transaction(HERE, merges=(transaction,)))
    assert [await leads_to(store, key) for key in "ab"] == ["a", "b"]


async def test_erasing_leaves_tombstones_but_for_aliases(store: ProfileStore) -> None:
    for key in "abc":
        await put(store, key, append=(HistoryRow(1, b"x"),))
    await link(store, "alias", "a")
    await merge(store, "a", "b")
    with pytest.raises(StoreConflict):
        await erase(store, "b", expects=2)
    await erase(store, "b", at_ms=77)
    assert [await store.find(HERE, key) for key in "ab"] == [Tombstone(77)] * 2
    assert await store.find(HERE, "alias") is None
    assert await store.history(HERE, "b") == []
    assert await store.scan() == [(HERE, ProfileRow("c", 1, 1, b"r"))]
    await link(store, "alias", "c")
    assert await leads_to(store, "alias") == "c"
    await erase(store, "c", at_ms=78)
    assert await store.find(HERE, "a") == Tombstone(77)
    assert await store.find(HERE, "c") == Tombstone(78)


async def test_an_erased_profile_leaves_nothing_to_a_new_one(store: ProfileStore) -> None:
    await put(store, "p", append=(HistoryRow(1, b"old"),))
    await link(store, "a", "p")
    await erase(store, "p")
    await put(store, "q")
    assert await store.history(HERE, "q") == []
    assert await store.aliases(HERE, "q") == []


# ---- transactions --------------------------------------------------------------------------------


async def test_a_transaction_sees_its_own_writes_in_order(store: ProfileStore) -> None:
    await put(store, "old")
    item = await store.enqueue(HERE, b"", 1)
    await store.commit(
        Transaction(
            HERE,
            puts=(Put("p", b"one", 0, 1), Put("p", b"two", 1, 2), Put("old", b"r", 1, 3)),
            links=(Link("alias", "old"),),
            merges=(Merge("old", 2, "p"),),
            erases=(),
            forwards=(Forward("older", "p"),),
            burials=(Bury("dead", 5),),
            finishes=(item,),
        )
    )
    assert await store.find(HERE, "alias") == ProfileRow("p", 2, 2, b"two")
    assert [await leads_to(store, key) for key in ("old", "older")] == ["p", "p"]
    assert await store.find(HERE, "dead") == Tombstone(5)
    await store.commit(Transaction(HERE, (Put("p", b"", 2, 1),), erases=(Erase("p", 3, 6),)))
    assert await store.find(HERE, "older") == Tombstone(6)


GOOD = {
    "puts": (Put("new", b"n", 0, 1, (HistoryRow(1, b"n"),)), Put("p", b"2", 1, 2)),
    "links": (Link("another", "p"),),
    "merges": (Merge("q", 1, "p"),),
    "erases": (Erase("r", 1, 1),),
    "forwards": (Forward("older", "p"),),
    "burials": (Bury("dead", 1),),
}
BAD = {
    "puts": Put("p", b"", 1, 1),
    "links": Link("alias", "p"),
    "merges": Merge("nobody", 1, "p"),
    "erases": Erase("nobody", 1, 1),
    "forwards": Forward("older", "p"),
    "burials": Bury("dead", 1),
    "finishes": 10**6,
}


@pytest.mark.parametrize("kind", BAD)
async def test_all_or_nothing(store: ProfileStore, kind: str) -> None:
    for key in "pqr":
        await put(store, key, append=(HistoryRow(1, b"x"),))
    await link(store, "alias", "q")
    item = await store.enqueue(HERE, b"payload", 1)
    before = await everything(store)
    fields: dict[str, Any] = {**GOOD, "finishes": (item,)}
    with pytest.raises(StoreConflict):
        await store.commit(Transaction(HERE, **{**fields, kind: (*fields[kind], BAD[kind])}))
    assert await everything(store) == before
    await store.commit(Transaction(HERE, **fields))
    assert await leads_to(store, "alias") == "p"
    assert await store.claim("me", 10, 1, 1) == []


async def test_an_empty_transaction(store: ProfileStore) -> None:
    await store.commit(Transaction(HERE))
    assert (await store.stats()).namespaces == ()


# ---- namespaces ----------------------------------------------------------------------------------


async def test_namespaces_do_not_meet(store: ProfileStore) -> None:
    await put(store, "p", b"here")
    await put(store, "p", b"there", space=THERE)
    await link(store, "a", "p")
    await erase(store, "p")
    assert await store.find(THERE, "p") == ProfileRow("p", 1, 1, b"there")
    with pytest.raises(StoreConflict):
        await put(store, "q", b"x", 1, space=THERE)


async def test_elsewhere(store: ProfileStore) -> None:
    spaces = [Namespace("b", "x"), Namespace("a", "y"), Namespace("a", "x")]
    for space in spaces:
        await put(store, "p", space=space)
    assert await store.find(HERE, "p") == Elsewhere(tuple(sorted(spaces)))
    assert await store.find(spaces[0], "p") == ProfileRow("p", 1, 1, b"r")
    await put(store, "mine")
    await link(store, "alias", "mine")
    await put(store, "merged")
    await merge(store, "merged", "mine")
    for key in ("mine", "alias", "merged"):
        assert await store.find(THERE, key) == Elsewhere((HERE,))
    await erase(store, "mine")
    for key in ("mine", "alias", "merged"):
        assert await store.find(THERE, key) is None


async def test_parts_of_namespaces_are_not_mixed_up(store: ProfileStore) -> None:
    spaces = [Namespace("a", "bc"), Namespace("ab", "c"), Namespace("a\0b", "c")]
    for space in spaces:
        await put(store, "p", space.organization.encode(), space=space)
    for space in spaces:
        row = await store.find(space, "p")
        assert isinstance(row, ProfileRow)
        assert row.record == space.organization.encode()

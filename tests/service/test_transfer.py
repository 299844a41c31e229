"""Profiles out of a store and into another in full; erased; looked at."""

from __future__ import annotations

import asyncio
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from xxhash import xxh3_64_intdigest

from service.transfer_shop import (
    DAY,
    OTHER,
    SHOP,
    START,
    Pipe,
    Reports,
    Shop,
    dump,
    event,
    exported,
    lines,
    profile,
    stream_of,
)
from whichvariant import HistoryUnavailable, Namespace, ProfileNotFound
from whichvariant.errors import DocumentError, NamespaceMismatch
from whichvariant.service.inspection import look_up, namespaces, state_of_whole
from whichvariant.service.transfer import (
    Exported,
    Imported,
    Purged,
    erase,
    export_profiles,
    import_profiles,
    purge,
)
from whichvariant.store import EmbeddedStore, MemoryStore

# ---- in full ------------------------------------------------------------------------------------


def test_a_full_export_becomes_a_store_that_answers_the_same(tmp_path):
    async def main() -> None:
        # The history is short, so that some of it is in the base.
        shop = Shop(MemoryStore(), history_events=10)
        ids = await shop.fill()
        data = await exported(shop.store, full=True)
        async with EmbeddedStore.open(tmp_path / "copy.db") as copy:
            done = await import_profiles(copy, io.BytesIO(data), START)
            assert done == Imported(profiles=3, aliases=1, forwards=1, tombstones=1, entries=5)
            assert await dump(copy) == await dump(shop.store)
            assert await exported(copy, full=True) == data
            other = Shop(copy, history_events=10)
            other.clock.ms = shop.clock.ms
            for name, at in [
                ("reader", None),
                ("reader", shop.clock.ms - 2 * DAY),
                ("known", None),
            ]:
                here = await shop.service.get(SHOP, ids[name], at=at)
                assert await other.service.get(SHOP, ids[name], at=at) == here
            for service in (shop.service, other.service):
                merged = await service.get(SHOP, ids["merged"])
                assert merged == await service.get(SHOP, "ada")
                with pytest.raises(ProfileNotFound, match="deleted"):
                    await service.get(SHOP, ids["gone"])
                with pytest.raises(NamespaceMismatch):
                    await service.get(SHOP, ids["other"])
                with pytest.raises(HistoryUnavailable):
                    await service.get(SHOP, ids["reader"], at=START)
            # A request that was answered before is still known.
            before = await dump(copy, versions=True)
            await other.service.update(SHOP, ids["reader"], [event("page", "r29")])
            assert await dump(copy, versions=True) == before

    asyncio.run(main())


def test_importing_twice_changes_nothing():
    async def main() -> None:
        shop = Shop(MemoryStore())
        await shop.fill()
        for full in (True, False):
            data = await exported(shop.store, full=full)
            copy = MemoryStore()
            await import_profiles(copy, io.BytesIO(data), START)
            before = await dump(copy, versions=True)
            done = await import_profiles(copy, io.BytesIO(data), START + DAY)
            assert (done.profiles, done.bad) == (0, 0)
            assert done.existing == done.entries
            assert await dump(copy, versions=True) == before

    asyncio.run(main())


def test_one_namespace_of_several_and_into_another():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        assert [line["profile"]["id"] for line in await lines(shop.store, OTHER)] == [ids["other"]]
        assert await namespaces(shop.store) == [SHOP, OTHER]
        copy = MemoryStore()
        data = await exported(shop.store, SHOP, full=True)
        elsewhere = Namespace("new", "place")
        await import_profiles(copy, io.BytesIO(data), START, into=elsewhere)
        assert await namespaces(copy) == [elsewhere]
        assert len(await copy.scan(elsewhere)) == 2

    asyncio.run(main())


@pytest.mark.parametrize("pipe", [False, True])
def test_damage_is_noticed_and_never_stored(pipe):
    async def main() -> None:
        shop = Shop(MemoryStore())
        await shop.fill()
        data = await exported(shop.store, full=True)
        whole = await dump(shop.store)
        places = [*range(1, len(data), 97), len(data) - 1, len(data) - 40]
        damaged = [
            data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :] for place in places
        ]
        for number, broken in enumerate(
            [*damaged, *(data[:place] for place in places), data + data]
        ):
            copy = MemoryStore()
            stream = Pipe(broken) if pipe else io.BytesIO(broken)
            with pytest.raises(DocumentError, match=r"^x\.wvp: .*export"):
                await import_profiles(copy, stream, START, source="x.wvp")
            there = await dump(copy)
            if pipe:
                assert all(one in whole for one in there if len(one) == 3), number
            else:
                assert there == []

    asyncio.run(main())


def frame(*payload: Any) -> bytes:
    packed = msgpack.packb(payload)
    return msgpack.packb([xxh3_64_intdigest(packed), packed])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (frame("whichvariant-profiles", 2, 0, 1), "newer release"),
        (frame("whichvariant-profiles", 1, 0, 99), "newer release"),
        (frame("tombstone", "a", "b", "c", 1), "not an export"),
        (frame("something", 1), "damaged"),
        (frame("whichvariant-profiles", 1, 0, 1) * 2, "another export's header"),
        (frame("whichvariant-profiles", 1, 0, 1), "cut off after 0 entries"),
        (b"\x92\x01", "not an export"),
        (b"\x92\xc0\xc0", "damaged"),
    ],
)
def test_what_is_no_full_export_is_refused(data, message):
    with pytest.raises(DocumentError, match=message):
        asyncio.run(import_profiles(MemoryStore(), io.BytesIO(data), START))


def test_an_entry_with_a_record_that_is_none_is_left_out():
    async def main() -> None:
        shop = Shop(MemoryStore())
        await shop.fill()
        from whichvariant.service import full_export

        parts: list[bytes] = []
        writer = full_export.Writer(parts.append, START)
        row = (await shop.store.scan(SHOP))[0][1]
        writer.add(full_export.Profile(*SHOP, row.id, 5, b"\xc1", (), ()))
        writer.add(full_export.Profile(*SHOP, "mine", 5, row.record, (), ()))
        writer.add(full_export.Profile(*SHOP, row.id, 5, row.record, ((1, b"x"),), ("", "a")))
        writer.add(full_export.Forward(*SHOP, "old", "nobody"))
        writer.finish()
        copy, reports = MemoryStore(), Reports()
        stream = io.BytesIO(b"".join(parts))
        done = await import_profiles(copy, stream, START, source="f", report=reports)
        assert done == Imported(bad=4, entries=4)
        assert [place for place, _ in reports] == [f"f: entry {number}" for number in (1, 2, 3, 4)]
        assert "cannot be read" in reports[0][1]
        assert f"the record of 'mine' is that of {row.id!r}" in reports[1][1]
        assert "must not be empty" in reports[2][1]
        assert "'nobody', which is no profile here" in reports[3][1]
        assert await dump(copy) == []

    asyncio.run(main())


def test_a_tombstone_does_not_kill_and_does_not_yield():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        before = await exported(shop.store, full=True)
        await erase(shop.store, SHOP, ids["reader"], START)
        after = await exported(shop.store, full=True)
        # What was deleted here does not come back from an older export.
        done = await import_profiles(shop.store, io.BytesIO(before), START)
        assert (done.profiles, done.erased, done.bad) == (0, 1, 0)
        # What was deleted there is named, and stays until somebody deletes it.
        older, reports = MemoryStore(), Reports()
        await import_profiles(older, io.BytesIO(before), START)
        done = await import_profiles(older, io.BytesIO(after), START, report=reports)
        assert done.bad == 1
        assert f"{ids['reader']!r} was deleted there but leads to a profile here" in reports[0][1]

    asyncio.run(main())


# ---- while others write -------------------------------------------------------------------------


class Meddling(MemoryStore):
    """A store in which something happens just after it was read."""

    def __init__(self, meddle: Callable[[Meddling], Any]) -> None:
        super().__init__()
        self.meddle: Callable[[Meddling], Any] | None = meddle

    async def aliases(self, *arguments: Any) -> list[str]:
        found = await super().aliases(*arguments)
        await self._once()
        return found

    async def scan(self, *arguments: Any, **more: Any) -> Any:
        found = await super().scan(*arguments, **more)
        await self._once()
        return found

    async def _once(self) -> None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle(self)


def test_a_profile_is_exported_as_of_one_moment():
    async def main() -> None:
        async def write(store: Meddling) -> None:
            await Shop(store).service.update(SHOP, "v", [event("page", "two")])

        store = Meddling(write)
        meddle, store.meddle = store.meddle, None
        shop = Shop(store)
        await shop.service.upsert(SHOP, [event("page", "one", anonymousId="v")])
        store.meddle = meddle
        ((line),) = await lines(store)
        assert [one["messageId"] for one in line["events"]] == ["one", "two"]

    asyncio.run(main())


def test_a_profile_that_is_deleted_meanwhile_is_not_exported():
    async def main() -> None:
        async def delete(store: Meddling) -> None:
            await erase(store, SHOP, "v", START)

        for full in (False, True):
            store = Meddling(delete)
            meddle, store.meddle = store.meddle, None
            await import_profiles(store, stream_of(profile("v")), START, default=SHOP)
            store.meddle = meddle
            done = await export_profiles(store, None, lambda data: None, START, full=full)
            assert done == Exported()

    asyncio.run(main())


def test_a_record_that_cannot_be_read_is_named_and_left_out():
    async def main() -> None:
        from whichvariant.store import Put, Transaction

        store, reports = MemoryStore(), Reports()
        await store.commit(Transaction(SHOP, puts=(Put("bad", b"\xc1", 0, START),)))
        await import_profiles(store, stream_of(profile("good")), START, default=SHOP)
        parts: list[bytes] = []
        done = await export_profiles(store, None, parts.append, START, report=reports)
        assert (done.profiles, done.bad, len(parts)) == (1, 1, 1)
        assert reports[0][0] == "bad"

    asyncio.run(main())


# ---- away ---------------------------------------------------------------------------------------


def test_purge_erases_what_is_old_and_nothing_else():
    async def main() -> None:
        store = MemoryStore()
        entries = [
            {"profile": profile(f"v{number:04}"), "stored": {"updated": START + number}}
            for number in range(600)
        ]
        await import_profiles(store, stream_of(*entries), START + DAY, default=SHOP)
        other = [{"profile": profile("o"), "stored": {"updated": START}}]
        await import_profiles(store, stream_of(*other), START + DAY, default=OTHER)
        looks: list[int] = []
        purged = await purge(store, SHOP, START + 300, START + DAY, dry_run=True)
        assert purged == Purged(600, 300, 0)
        purged = await purge(store, SHOP, START + 300, START + DAY, progress=looks.append)
        assert purged == Purged(600, 300, 0)
        assert looks == [256, 512, 600]
        assert [row.updated_ms for _, row in await store.scan(SHOP, None, 1)] == [START + 300]
        assert len(await store.scan_names(SHOP)) == 300
        assert await purge(store, SHOP, START + 300, START + DAY) == Purged(300, 0, 0)
        assert await purge(store, None, START + 301, START + DAY) == Purged(301, 2, 0)

    asyncio.run(main())


def test_purge_spares_what_is_written_meanwhile():
    async def main() -> None:
        async def write(store: Meddling) -> None:
            shop = Shop(store)
            shop.clock.ms += DAY
            await shop.service.update(SHOP, "b", [event("page", "alive")])
            await shop.service.delete(SHOP, "c")

        store = Meddling(write)
        meddle, store.meddle = store.meddle, None
        given = stream_of(*(profile(name) for name in "abcd"))
        await import_profiles(store, given, START, default=SHOP)
        store.meddle = meddle
        assert await purge(store, None, START + 1, START + DAY) == Purged(4, 2, 2)
        assert [row.id for _, row in await store.scan()] == ["b"]

    asyncio.run(main())


def test_erase_takes_any_key(tmp_path: pathlib.Path):
    async def main() -> None:
        async with EmbeddedStore.open(tmp_path / "p.db") as store:
            ids = await Shop(store).fill()
            assert await erase(store, SHOP, "ada", START) == ids["known"]
            for key in (ids["known"], ids["merged"]):
                with pytest.raises(ProfileNotFound, match="deleted"):
                    await erase(store, SHOP, key, START)
            with pytest.raises(ProfileNotFound, match="no such"):
                await erase(store, SHOP, "ada", START)
            with pytest.raises(NamespaceMismatch):
                await erase(store, SHOP, ids["other"], START)

    asyncio.run(main())


# ---- looking ------------------------------------------------------------------------------------


def test_looking_back_without_a_configuration():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        whole = await look_up(shop.store, SHOP, ids["reader"])
        for at in (None, START, START + DAY, START + 2 * DAY):
            state = state_of_whole(whole, at)
            assert state is not None
            there = await shop.service.get(SHOP, ids["reader"], at=at)
            assert state.traits == there.profile["traits"]
            assert state.sticky == there.profile.get("stickyVariants", {})
            assert state.session.count == there.profile["session"]["count"]
        assert state_of_whole(whole, START - 1) is None
        merged = await look_up(shop.store, SHOP, ids["merged"])
        assert (merged.row.id, merged.aliases) == (ids["known"], ("ada",))
        with pytest.raises(ProfileNotFound):
            await look_up(shop.store, SHOP, "nobody")
        assert await namespaces(MemoryStore()) == []

    asyncio.run(main())


def test_lines_are_plain_json():
    async def main() -> None:
        shop = Shop(MemoryStore())
        await shop.fill()
        for raw in (await exported(shop.store)).splitlines():
            json.loads(raw)

    asyncio.run(main())

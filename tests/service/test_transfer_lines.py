"""Profiles as lines of JSON: out of a store, and into one."""

from __future__ import annotations

import asyncio
import io

import pytest

from service.transfer_shop import (
    DAY,
    ENGINE,
    SHOP,
    START,
    Reports,
    Shop,
    dump,
    event,
    exported,
    lines,
    profile,
    stream_of,
)
from whichvariant import HistoryUnavailable
from whichvariant.errors import DocumentError
from whichvariant.service import profile_import
from whichvariant.service.transfer import (
    Imported,
    import_profiles,
)
from whichvariant.store import MemoryStore


def test_a_line_is_a_request_that_is_decided_alike():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        by_id = {line["profile"]["id"]: line for line in await lines(shop.store, SHOP)}
        assert set(by_id) == {ids["reader"], ids["known"]}
        reader = by_id[ids["reader"]]
        assert list(reader) == ["profile", "device", "events", "stored"]
        assert reader["device"] == "mobile"
        assert len(reader["events"]) == 31
        assert reader["stored"] == {
            "organization": "shop",
            "environment": "main",
            "updated": "2026-09-22T19:13:20.000Z",
        }
        assert by_id[ids["known"]]["stored"]["aliases"] == ["ada"]
        for identifier, line in by_id.items():
            here = await shop.service.get(SHOP, identifier)
            selection = ENGINE.select(
                line["profile"],
                device=line.get("device"),
                events=line["events"],
                now=shop.clock.ms,
            )
            assert selection.audiences == here.profile["audiences"]
            assert selection.experiences == here.experiences

    asyncio.run(main())


def test_events_say_when_they_happened():
    async def main() -> None:
        shop = Shop(MemoryStore())
        given = [
            event("page", "none"),
            event("page", "late", START - DAY),
            event("page", "future", START + DAY),
            event("page", "text", "2026-09-20T00:00:00+02:00"),  # type: ignore[arg-type]
        ]
        await shop.service.create(SHOP, given)
        ((line),) = await lines(shop.store)
        stamps = {one["messageId"]: one["timestamp"] for one in line["events"]}
        now = "2026-09-21T14:13:20.000Z"
        assert stamps == {
            "none": now,
            "late": START - DAY,
            "future": now,
            "text": "2026-09-20T00:00:00+02:00",
        }
        assert "events" not in (await lines(shop.store, events=False))[0]

    asyncio.run(main())


def test_lines_come_back_as_profiles_that_go_on():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        copy = MemoryStore()
        done = await import_profiles(copy, io.BytesIO(await exported(shop.store)), START + 99 * DAY)
        assert done == Imported(profiles=3, aliases=1, entries=3)
        other = Shop(copy)
        other.clock.ms = shop.clock.ms
        for key in (ids["reader"], ids["known"], "ada"):
            here = await shop.service.get(SHOP, key)
            there = await other.service.get(SHOP, key)
            # The start of a session is known to the second, and its id is derived from it.
            here.profile["session"].pop("id")
            there.profile["session"].pop("id")
            assert there == here
        assert [row.updated_ms for _, row in await copy.scan()] == [
            row.updated_ms for _, row in await shop.store.scan()
        ]
        # A retried request is known, the past before the import is not.
        before = await dump(copy, versions=True)
        await other.service.update(SHOP, ids["reader"], [event("page", "r29")])
        assert await dump(copy, versions=True) == before
        with pytest.raises(HistoryUnavailable):
            await other.service.get(SHOP, ids["reader"], at=START)
        for both in (shop, other):
            both.clock.ms += 60_000
            await both.service.update(SHOP, ids["reader"], [event("page", "new")])
            named = event("identify", "who", traits={"name": "Eve"}, userId="ada")
            await both.service.update(SHOP, ids["reader"], [named])
        here = await shop.service.get(SHOP, "ada")
        there = await other.service.get(SHOP, "ada")
        assert there.profile["traits"] == {"name": "Eve", "n": [1, {"a": None}], "plan": "pro"}
        assert there.profile["session"]["count"] == here.profile["session"]["count"]
        assert there.profile["audiences"] == here.profile["audiences"]

    asyncio.run(main())


HOSTED = {
    "id": "3" * 64,
    "stableId": "4" * 64,
    "random": 0.5649519289296474,
    "audiences": ["berliners"],
    "traits": {"firstname": "Zoë", "age": 24},
    "location": {"coordinates": {"latitude": 52.5, "longitude": 13.4}, "city": "Berlin"},
    "session": {
        "id": "x",
        "isReturningVisitor": True,
        "landingPage": {"path": "/", "url": "u", "query": {"a": "b"}, "referrer": "", "search": ""},
        "count": 10,
        "activeSessionLength": 312,
        "averageSessionLength": 1876.3,
    },
    "stickyVariants": {"hero": 1},
    "somethingNew": [1],
}


@pytest.mark.parametrize("shape", ["bare", "request", "response"])
def test_profiles_of_the_hosted_api(shape):
    given = {
        "bare": HOSTED,
        "request": {"profile": HOSTED},
        "response": {"data": {"profile": HOSTED}},
    }

    async def main() -> None:
        store = MemoryStore()
        done = await import_profiles(store, stream_of(given[shape]), START, default=SHOP)
        assert done == Imported(profiles=1, entries=1)
        shop = Shop(store)
        answer = await shop.service.get(SHOP, HOSTED["id"])
        for key in ("id", "stableId", "random", "traits", "location", "stickyVariants"):
            assert answer.profile[key] == HOSTED[key]
        expected = {**HOSTED["session"], "id": answer.profile["session"]["id"]}
        assert answer.profile["session"] == expected
        assert answer.experiences[0]["variantIndex"] == 1
        shop.clock.ms += 3 * DAY
        later = await shop.service.update(SHOP, HOSTED["id"], [event("page", "p")])
        session = later.profile["session"]
        assert (session["count"], session["averageSessionLength"]) == (11, 18763 / 11)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON: "),
        (b"[1]", "expected a profile, one on each line"),
        (b"{}", "stableId"),
        (b'{"profile": []}', "profile: expected an object"),
        (b'{"data": {}}', "data.profile: expected an object"),
        (b'{"profile": {"stableId": ""}}', "stableId: must not be empty"),
        (b'{"stableId": "v", "id": ""}', None),
        (b'{"stableId": 3}', "stableId: expected"),
        (b'{"stableId": "v", "traits": [1]}', "traits: expected"),
        (b'{"stableId": "v", "random": 1.5}', "random: not a number from 0 to 1"),
        (b'{"stableId": "v", "stickyVariants": {"a": -1}}', "stickyVariants: "),
        (b'{"stableId": "v", "session": {"count": 1e300}}', "session.count: "),
        (
            b'{"stableId": "v", "session": %s}'
            % b'{"count": 9007199254740992, "averageSessionLength": 8640000000000}',
            "session: ",
        ),
        (b'{"stableId": "%s"}' % (b"v" * 1025), "longer than 1024 bytes"),
        (b'{"stableId": "v", "traits": {"a": "%s"}}' % (b"x" * 300_000), "traits: 3000"),
        (b'{"stableId": "v", "traits": {"a": %s%s}}' % (b"[" * 200, b"]" * 200), "too deeply"),
        (b'{"profile": {"stableId": "v"}, "evnets": []}', "evnets: beside a profile only"),
        (b'{"profile": {"stableId": "v"}, "device": ["tv"]}', "device: expected one of"),
        (b'{"profile": {"stableId": "v"}, "events": {}}', "events: expected a list"),
        (b'{"profile": {"stableId": "v"}, "events": [{"type": "page"}]}', "events[0].channel"),
        (b'{"profile": {"stableId": "v"}, "stored": []}', "stored: expected"),
        (b'{"profile": {"stableId": "v"}, "stored": {"aliases": [1]}}', "stored.aliases"),
        (b'{"profile": {"stableId": "v"}, "stored": {"aliases": [""]}}', "stored.aliases[0]: "),
        (b'{"profile": {"stableId": "v"}, "stored": {"updated": "x"}}', "stored.updated: "),
        (b'{"profile": {"stableId": "v"}, "stored": {"organization": "x"}}', "stored.environment"),
    ],
)
def test_a_broken_line_is_named_and_the_rest_goes_on(line, reason):
    async def main() -> None:
        store, reports = MemoryStore(), Reports()
        data = b'\xef\xbb\xbf{"stableId": "one"}\n\n' + line + b'\r\n{"stableId": "two"}'
        stream = io.BytesIO(data)
        done = await import_profiles(store, stream, START, default=SHOP, source="f", report=reports)
        if reason is None:
            assert (done.profiles, done.bad) == (3, 0)
            return
        assert (done.profiles, done.bad, done.entries) == (2, 1, 3)
        ((place, said),) = reports
        assert place == "f:3"
        assert reason in said
        with pytest.raises(DocumentError, match=r"^f:3: "):
            await import_profiles(
                MemoryStore(), io.BytesIO(data), START, default=SHOP, source="f", strict=True
            )

    asyncio.run(main())


def test_strict_stops_at_the_first_broken_line():
    async def main() -> None:
        store = MemoryStore()
        stream = stream_of(profile("a"), {"id": 1}, profile("b"))
        with pytest.raises(DocumentError):
            await import_profiles(store, stream, START, default=SHOP, strict=True)
        assert [row.id for _, row in await store.scan()] == ["a"]

    asyncio.run(main())


def test_a_line_beyond_the_limit_is_skipped(monkeypatch):
    monkeypatch.setattr(profile_import, "LINE_LIMIT", 100)
    monkeypatch.setattr("whichvariant.service.profile_lines.LINE_LIMIT", 100)
    monkeypatch.setattr("whichvariant.columns.requests._SKIP", 7)

    async def main() -> None:
        store, reports = MemoryStore(), Reports()
        stream = stream_of(profile("a"), profile("b" * 500), profile("c"))
        done = await import_profiles(store, stream, START, default=SHOP, report=reports)
        assert done.profiles == 2
        assert reports == [("line 2", "longer than 64 MiB")]

    asyncio.run(main())


def test_nothing_says_where_it_belongs():
    async def main() -> None:
        store, reports = MemoryStore(), Reports()
        done = await import_profiles(store, stream_of(profile("a")), START, report=reports)
        assert done == Imported(bad=1, entries=1)
        assert "to which organization and environment" in reports[0][1]
        assert await import_profiles(store, io.BytesIO(), START) == Imported()

    asyncio.run(main())


def test_a_user_id_that_another_has_is_left_out_and_said():
    async def main() -> None:
        store, reports = MemoryStore(), Reports()
        entries = [
            {"profile": profile("a"), "stored": {"aliases": ["ada", "a", "ada"]}},
            {"profile": profile("b"), "stored": {"aliases": ["ada", "bob"]}},
            {"profile": profile("bob")},
        ]
        done = await import_profiles(
            store, stream_of(*entries), START, default=SHOP, report=reports
        )
        assert (done.profiles, done.existing, done.aliases, done.bad) == (2, 1, 2, 1)
        assert reports == [
            ("line 2", "the profile 'b' lacks the user id 'ada', which is taken here")
        ]
        assert await store.aliases(SHOP, "a") == ["ada"]
        assert await store.aliases(SHOP, "b") == ["bob"]

    asyncio.run(main())


def test_replacing_takes_the_history_with_it():
    async def main() -> None:
        shop = Shop(MemoryStore())
        ids = await shop.fill()
        old = await exported(shop.store, SHOP, full=True)
        before = await dump(shop.store)
        shop.clock.ms += DAY
        for number in range(3):
            await shop.service.update(SHOP, ids["reader"], [event("page", f"x{number}")])
        kept = await import_profiles(shop.store, io.BytesIO(old), START)
        assert (kept.replaced, kept.existing) == (0, 4)
        done = await import_profiles(shop.store, io.BytesIO(old), START, replace=True)
        assert (done.profiles, done.replaced, done.bad) == (0, 2, 0)
        assert await dump(shop.store) == before
        # An alias, or an id that was merged away, is not the profile.
        taken = stream_of(profile("ada"), profile(ids["merged"]))
        done = await import_profiles(shop.store, taken, START, default=SHOP, replace=True)
        assert (done.replaced, done.existing) == (0, 2)

    asyncio.run(main())


def test_more_events_than_a_history_keeps_are_trimmed_by_the_next():
    async def main() -> None:
        store = MemoryStore()
        events = [event("page", f"e{number}", START + number) for number in range(500)]
        events += events[:3]
        line = {"profile": profile("v"), "events": events[::-1]}
        await import_profiles(store, stream_of(line), START + DAY, default=SHOP)
        shop = Shop(store, history_events=100)
        shop.clock.ms = START + DAY
        assert "readers" in (await shop.service.get(SHOP, "v")).profile["audiences"]
        assert len((await lines(store))[0]["events"]) == 500
        assert len(await store.history(SHOP, "v")) == 11
        await shop.service.update(SHOP, "v", [event("page", "new")])
        left = (await lines(store))[0]["events"]
        assert 100 <= len(left) <= 150
        assert left[-1]["messageId"] == "new"

    asyncio.run(main())

"""What a configuration newly asks is counted from the history, even while that grows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from profiles.samples import NOW, engine_of, identify, page
from service.requests import HERE, serve, viewed
from whichvariant import Namespace
from whichvariant.store import HistoryRow, MemoryStore

Json = object

ASKS_NOTHING = engine_of({}, {})


class Interrupted(MemoryStore):
    """A store in memory in which somebody else does something before a history is read."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], Awaitable[object]] | None = None

    async def history(self, namespace: Namespace, profile_id: str) -> list[HistoryRow]:
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await super().history(namespace, profile_id)


async def test_a_read_counts_what_it_shows() -> None:
    store = Interrupted()
    former = serve(store, engines={HERE: ASKS_NOTHING})
    service = serve(store)
    own = (await former.create(HERE, [page(at=NOW), identify(n=1)])).profile["id"]
    store.before = lambda: former.update(HERE, own, [page(at=NOW), identify(n=2)])
    profile = (await service.get(HERE, own)).profile
    assert (profile["traits"]["n"], viewed(profile)) in {(1, 1), (2, 2)}


async def test_so_does_a_preflight() -> None:
    store = Interrupted()
    former = serve(store, engines={HERE: ASKS_NOTHING})
    service = serve(store)
    own = (await former.create(HERE, [page(at=NOW), identify(n=1)])).profile["id"]
    store.before = lambda: former.update(HERE, own, [page(at=NOW), identify(n=2)])
    answer = await service.update(HERE, own, [page(at=NOW)], preflight=True)
    assert (answer.profile["traits"]["n"], viewed(answer.profile)) in {(1, 2), (2, 3)}


async def test_a_profile_that_is_merged_away_meanwhile() -> None:
    store = Interrupted()
    former = serve(store, engines={HERE: ASKS_NOTHING})
    service = serve(store)
    survivor = (await former.create(HERE, [page(at=NOW), identify("user")])).profile["id"]
    own = (await former.create(HERE, [page(at=NOW)])).profile["id"]
    store.before = lambda: former.update(HERE, own, [identify("user")])
    profile = (await service.get(HERE, own)).profile
    assert (profile["id"], viewed(profile)) == (survivor, 2)

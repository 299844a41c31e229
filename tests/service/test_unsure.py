"""A store that loses its connection: nobody is told a story, and asking again does no harm."""

from __future__ import annotations

import pytest

from profiles.samples import NOW, page
from service.requests import HERE, serve, viewed
from whichvariant.errors import StoreUnavailable
from whichvariant.store import MemoryStore, Transaction


class Unsure(MemoryStore):
    """A store in memory that now and then does not know what became of a write."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""

    async def commit(self, transaction: Transaction) -> None:
        fails, self.fails = self.fails, ""
        if fails != "before":
            await super().commit(transaction)
        if fails:
            raise StoreUnavailable("the connection was lost")


@pytest.mark.parametrize("fails", ["before", "after"])
@pytest.mark.parametrize("recent_profiles", [0, 100])
async def test_who_asks_is_told(fails: str, recent_profiles: int) -> None:
    """Whether or not the process remembers the profile."""
    store = Unsure()
    service = serve(store, recent_profiles=recent_profiles)
    own = (await service.create(HERE, [page(at=NOW)])).profile["id"]
    again = page(at=NOW)
    store.fails = fails
    with pytest.raises(StoreUnavailable):
        await service.update(HERE, own, [again])
    assert viewed((await service.update(HERE, own, [again])).profile) == 2
    assert viewed((await service.get(HERE, own)).profile) == 2

"""Looking at what is stored, without a configuration that decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from whichvariant.contracts.namespace import Namespace
from whichvariant.profiles import history
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import ProfileState, decode_state
from whichvariant.service.work import not_found
from whichvariant.store.protocol import HistoryRow, Place, ProfileRow, ProfileStore

_LAST_KEY = "\U0010ffff" * 256
"""No key of a store is greater: the greatest character, as often as a key has room for."""

_ANY_INDEX = 2**31


class Whole(NamedTuple):
    """A profile with its history and aliases, all of one moment."""

    row: ProfileRow
    history: tuple[HistoryRow, ...]
    aliases: tuple[str, ...]


async def read_whole(
    store: ProfileStore, namespace: Namespace, row: ProfileRow, *, history: bool = True
) -> Whole | None:
    """All of a profile that was found; None if it is no profile any more.

    ``history`` False leaves that out. RecordError and StoreError as from the store.
    """
    while True:
        rows = await store.history(namespace, row.id) if history else ()
        aliases = await store.aliases(namespace, row.id)
        again = await store.find(namespace, row.id)
        if not isinstance(again, ProfileRow) or again.id != row.id:
            return None
        if again.version == row.version:
            return Whole(row, tuple(rows), tuple(aliases))
        row = again


async def look_up(store: ProfileStore, namespace: Namespace, key: str) -> Whole:
    """All of the profile that a key leads to: its id, an alias, or an id that was merged away.

    Raises ProfileNotFound and NamespaceMismatch.
    """
    while True:
        found = await store.find(namespace, key)
        if not isinstance(found, ProfileRow):
            raise not_found(found)
        whole = await read_whole(store, namespace, found)
        if whole is not None:
            return whole


def state_of_whole(
    whole: Whole, at_ms: int | None, settings: ProfileSettings | None = None
) -> ProfileState | None:
    """The profile's state, now or as of an instant; None: it did not exist then.

    Without a configuration there are no counters, and the experiences whose choices the profile
    keeps today are taken for the sticky ones. Raises HistoryUnavailable and RecordError.
    """
    state = decode_state(whole.row.record)
    if at_ms is None:
        return state
    return history.state_at(
        state, whole.history, at_ms, _NoRules(state), settings or ProfileSettings()
    )


async def namespaces(store: ProfileStore) -> list[Namespace]:
    """The namespaces that have profiles, ids that were merged away, aliases or tombstones.

    Nothing is counted, so it is as fast for a large store as for a small one.
    """
    found: set[Namespace] = set()
    for scan in (store.scan, store.scan_names):
        after: Place | None = None
        while page := await scan(None, after, 1):
            found.add(page[0][0])
            after = (page[0][0], _LAST_KEY)
    return sorted(found)


class _NoRules:
    """What aggregation asks of a configuration, where there is none."""

    counter_keys: tuple[tuple[int, int | None], ...] = ()
    counters_digest = 0

    def __init__(self, state: ProfileState) -> None:
        self.sticky_experiences: Mapping[str, int] = dict.fromkeys(state.sticky, _ANY_INDEX)

    def counters_met(self, event: Mapping[str, Any]) -> list[int]:
        return []

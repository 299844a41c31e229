"""Erasing profiles: one that is named, and all that nobody has touched for long.

Neither needs a configuration, so it works for namespaces that are no longer served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import ProfileOverload, StoreConflict
from whichvariant.service.work import not_found
from whichvariant.store.protocol import Erase, Place, ProfileRow, ProfileStore, Transaction

_PAGE = 256
"""Profiles that are looked at, and at most erased in one transaction."""

_ATTEMPTS = 16


class Purged(NamedTuple):
    """What a purge came to.

    Of ``seen`` profiles so many were ``erased`` (with ``dry_run``: would be), and so many were not
    because they ``changed`` meanwhile.
    """

    seen: int
    erased: int
    changed: int


async def erase(store: ProfileStore, namespace: Namespace, key: str, now_ms: int) -> str:
    """Erase the profile that a key leads to: its id, an alias, or an id that was merged away.

    State, history, aliases and merged-away ids vanish; tombstones remain (SEMANTICS section 5).
    Gives the profile's own id.

    Raises
    ------
    ProfileNotFound, NamespaceMismatch
        The key leads to no profile here.
    ProfileOverload
        Others changed the profile each time in between.
    """
    for _ in range(_ATTEMPTS):
        found = await store.find(namespace, key)
        if not isinstance(found, ProfileRow):
            raise not_found(found)
        try:
            await store.commit(
                Transaction(namespace, erases=(Erase(found.id, found.version, now_ms),))
            )
        except StoreConflict:
            continue
        return found.id
    raise ProfileOverload(f"{_ATTEMPTS} attempts met changes by others; try again later")


async def purge(
    store: ProfileStore,
    namespace: Namespace | None,
    before_ms: int,
    now_ms: int,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Purged:
    """Erase the profiles that were last written before an instant.

    Reading a profile does not count as writing it. Each page of profiles is one transaction, so an
    interrupted purge has erased what it has erased, and the next one goes on. A profile that is
    written meanwhile stays.

    Parameters
    ----------
    namespace
        Where; None is everywhere.
    before_ms
        The instant, in milliseconds since the epoch.
    now_ms
        When the tombstones say that it happened.
    dry_run
        Only count.
    progress
        Called now and then with how many profiles were looked at.
    """
    seen = erased = changed = 0
    after: Place | None = None
    while page := await store.scan(namespace, after, _PAGE):
        seen += len(page)
        after = (page[-1][0], page[-1][1].id)
        due: dict[Namespace, list[Erase]] = {}
        for where, row in page:
            if row.updated_ms < before_ms:
                due.setdefault(where, []).append(Erase(row.id, row.version, now_ms))
        for where, erases in due.items():
            done = len(erases) if dry_run else await _erase_unchanged(store, where, erases)
            erased += done
            changed += len(erases) - done
        if progress is not None:
            progress(seen)
        # Reads of a file do not suspend, and a cancellation needs a moment to be noticed.
        await asyncio.sleep(0)
    return Purged(seen, erased, changed)


async def _erase_unchanged(
    store: ProfileStore, namespace: Namespace, erases: Sequence[Erase]
) -> int:
    """Erase those that are still as expected, together where possible; how many they were."""
    waiting = list(erases)
    while waiting:
        try:
            await store.commit(Transaction(namespace, erases=tuple(waiting)))
        except StoreConflict as conflict:
            rest = [erase for erase in waiting if erase.id != conflict.key]
            if len(rest) == len(waiting):
                raise
            waiting = rest
        else:
            break
    return len(waiting)

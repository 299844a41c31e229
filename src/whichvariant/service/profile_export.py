"""Profiles out of a store, in bounded memory: as lines of JSON, or in full.

An export of a store in use is not one moment: what is written meanwhile may or may not be in it.
Export a backup where that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import RecordError
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import decode_state
from whichvariant.service import full_export
from whichvariant.service.inspection import Whole, read_whole
from whichvariant.service.profile_lines import Stored, encode_line, iso_text, line_object
from whichvariant.store.protocol import Name, Place, ProfileRow, ProfileStore

Progress: TypeAlias = Callable[[int], object]
"""Called now and then with how many profiles are done."""

Report: TypeAlias = Callable[[str, str], object]
"""Called with a place, and with what is wrong there."""

_PAGE = 64
# Profiles whose histories and aliases are asked for at once.
_AT_ONCE = 32
_NAMES_PAGE = 1000


@dataclass(slots=True)
class Exported:
    """How many there were of each; ``bad`` are profiles that cannot be read, and are not in it."""

    profiles: int = 0
    history_rows: int = 0
    aliases: int = 0
    forwards: int = 0
    tombstones: int = 0
    bad: int = 0


async def export_profiles(
    store: ProfileStore,
    namespace: Namespace | None,
    write: Callable[[bytes], object],
    now_ms: int,
    *,
    full: bool = False,
    events: bool = True,
    settings: ProfileSettings | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write all profiles of a namespace, or with None of all, in the order of their ids.

    Parameters
    ----------
    write
        Takes bytes, as they come.
    now_ms
        The time that the full format says it was made at.
    full
        Everything, as `full_export` describes it, instead of one line of JSON for each profile.
        Not in it: the inbox, and the store's secret, so that ids which a preflight handed out
        and nobody used yet are unknown to a store that is made from it.
    events
        Lines with the history. The full format always has it.
    settings
        The jurisdiction that lines show.
    report
        Called with the id of a profile that cannot be read, and why.
    """
    done = Exported()
    writer = full_export.Writer(write, now_ms) if full else None
    if writer is not None:
        async for where, name in _names(store, namespace, "tombstone"):
            writer.add(full_export.Tombstone(*where, name.key, name.at_ms))
            done.tombstones += 1
    after: Place | None = None
    while page := await store.scan(namespace, after, _PAGE):
        after = (page[-1][0], page[-1][1].id)
        async for where, row, whole in _wholes(store, page, history=full or events):
            if whole is None:
                continue
            try:
                state = decode_state(whole.row.record)
                if writer is not None:
                    writer.add(_profile_entry(where, whole))
                else:
                    stored = Stored(*where, whole.aliases, iso_text(whole.row.updated_ms))
                    rows = whole.history if events else None
                    line = line_object(state, rows, stored, settings or ProfileSettings())
                    write(encode_line(line))
            except RecordError as error:
                done.bad += 1
                if report is not None:
                    report(row.id, str(error))
                continue
            done.profiles += 1
            done.history_rows += len(whole.history)
            done.aliases += len(whole.aliases)
        if progress is not None:
            progress(done.profiles)
        # Reads of a file do not suspend, and a cancellation needs a moment to be noticed.
        await asyncio.sleep(0)
    if writer is not None:
        async for where, name in _names(store, namespace, "forward"):
            writer.add(full_export.Forward(*where, name.key, name.id))
            done.forwards += 1
        writer.finish()
    return done


async def _wholes(
    store: ProfileStore, page: list[tuple[Namespace, ProfileRow]], *, history: bool
) -> AsyncIterator[tuple[Namespace, ProfileRow, Whole | None]]:
    """A page's profiles with all that belongs to them, in their order.

    Several are asked for at once, because a store behind a network takes its time for each answer.
    """
    for first in range(0, len(page), _AT_ONCE):
        some = page[first : first + _AT_ONCE]
        wholes = await asyncio.gather(
            *(read_whole(store, where, row, history=history) for where, row in some)
        )
        for (where, row), whole in zip(some, wholes, strict=True):
            yield where, row, whole


def _profile_entry(namespace: Namespace, whole: Whole) -> full_export.Profile:
    row = whole.row
    return full_export.Profile(
        *namespace, row.id, row.updated_ms, row.record, whole.history, whole.aliases
    )


async def _names(
    store: ProfileStore, namespace: Namespace | None, kind: Literal["forward", "tombstone"]
) -> AsyncIterator[tuple[Namespace, Name]]:
    after: Place | None = None
    while page := await store.scan_names(namespace, after, _NAMES_PAGE):
        after = (page[-1][0], page[-1][1].key)
        for where, name in page:
            if name.kind == kind:
                yield where, name

"""Everything that one request changes, until it is written in one transaction.

A `Work` is one attempt: it reads profiles from the store, lets them change and merge in memory, and
gives the transaction that makes it so. When that meets a conflict, a new attempt starts over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import EventError, NamespaceMismatch, ProfileNotFound
from whichvariant.profiles import history
from whichvariant.profiles.aggregate import aggregate, check_traits, holds_message
from whichvariant.profiles.answer import Decider
from whichvariant.profiles.events import Event, IdentifyEvent
from whichvariant.profiles.identity import merge
from whichvariant.profiles.location import Located
from whichvariant.profiles.state import ProfileState, decode_state, encode_state
from whichvariant.service.recent import Recent
from whichvariant.service.settings import ServiceSettings
from whichvariant.store.protocol import (
    Elsewhere,
    Forward,
    Found,
    HistoryRow,
    Link,
    Merge,
    ProfileRow,
    ProfileStore,
    Put,
    Tombstone,
    Transaction,
)


class Loaded:
    """A profile at work: its state, the version it was read at (0: new), and what is to be written.

    ``handed_out`` says that somebody knows the id already, although nothing is stored under it.
    """

    __slots__ = ("append", "drop", "handed_out", "into", "record", "rows", "state", "version")

    def __init__(self, state: ProfileState, version: int, *, handed_out: bool = True) -> None:
        self.state = state
        self.version = version
        self.handed_out = handed_out
        self.rows: list[history.Row] | None = None if version else []
        self.append: dict[int, bytes] = {}
        self.drop: range = range(0)
        self.into: Loaded | None = None
        self.record = b""

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.append)

    def write(self, rows: Sequence[history.Row]) -> None:
        """Note rows to append to the history, over those of the same number."""
        for number, data in rows:
            self.append[number] = data
        if self.rows is not None:
            together = {**dict(self.rows), **dict(rows)}
            self.rows = sorted(together.items())


class Work:
    """One attempt at one request. Not shared between tasks.

    With ``recent`` it relies on what this process wrote last, where there is any; ``relied`` says
    that it did. Then only a successful commit proves that what it found was so.
    """

    __slots__ = (
        "_forwards",
        "_links",
        "_loaded",
        "_merges",
        "_names",
        "_recent",
        "decider",
        "namespace",
        "now_ms",
        "relied",
        "settings",
        "store",
    )

    def __init__(
        self,
        store: ProfileStore,
        namespace: Namespace,
        decider: Decider,
        settings: ServiceSettings,
        now_ms: int,
        *,
        recent: Recent | None = None,
    ) -> None:
        self.store = store
        self.namespace = namespace
        self.decider = decider
        self.settings = settings
        self.now_ms = now_ms
        self.relied = False
        self._recent = recent
        self._loaded: dict[str, Loaded] = {}
        self._names: dict[str, Loaded] = {}
        self._links: list[tuple[str, Loaded]] = []
        self._merges: list[tuple[Loaded, Loaded]] = []
        self._forwards: list[tuple[str, Loaded]] = []

    # ---- reading ------------------------------------------------------------------------------

    async def find(self, key: str) -> Loaded | Tombstone | Elsewhere | None:
        """The profile that a key leads to, counted by the decider's rules; or what else it is."""
        known = self._names.get(key)
        if known is not None:
            return final(known)
        recent = None if self._recent is None else self._recent.get(self.namespace, key)
        if recent is not None:
            self.relied = True
            loaded = await self._load(decode_state(recent.record), recent.version)
            if loaded is not None:
                return loaded
        while True:
            found: Found = await self.store.find(self.namespace, key)
            if not isinstance(found, ProfileRow):
                return found
            loaded = self._loaded.get(found.id)
            if loaded is None:
                loaded = await self._load(decode_state(found.record), found.version)
            if loaded is not None:
                loaded = self._names[key] = final(loaded)
                return loaded

    async def _load(self, state: ProfileState, version: int) -> Loaded | None:
        """A profile that was read. None if it had to be counted, and has changed meanwhile."""
        loaded = Loaded(state, version)
        if state.counted != self.decider.counters_digest and not await self._recount(loaded):
            return None
        self._loaded[state.id] = loaded
        self._names[state.id] = loaded
        return loaded

    async def existing(self, key: str) -> Loaded:
        """The profile that a key leads to. ProfileNotFound or NamespaceMismatch if to none."""
        found = await self.find(key)
        if isinstance(found, Loaded):
            return found
        raise not_found(found)

    async def rows(self, loaded: Loaded) -> list[history.Row]:
        """All rows of a profile's history, those that are still to be written included."""
        if loaded.rows is None:
            stored = await self.store.history(self.namespace, loaded.state.id)
            rows = {number: data for number, data in stored if number not in loaded.drop}
            loaded.rows = sorted({**rows, **loaded.append}.items())
        return loaded.rows

    async def _recount(self, loaded: Loaded) -> bool:
        """Count what is asked now. False if the history may be that of another version."""
        rows: Sequence[history.Row] = ()
        if self.decider.counter_keys and loaded.state.kept.events:
            rows = await self.rows(loaded)
            # Whoever writes would meet a conflict. Whoever only reads has to look.
            again = await self.store.find(self.namespace, loaded.state.id)
            if not isinstance(again, ProfileRow) or (again.id, again.version) != (
                loaded.state.id,
                loaded.version,
            ):
                return False
        loaded.state = history.recounted(loaded.state, rows, self.decider, self.settings.profiles)
        return True

    # ---- changing -----------------------------------------------------------------------------

    def add(self, state: ProfileState, *, handed_out: bool) -> Loaded:
        """A new profile."""
        state.counted = self.decider.counters_digest
        loaded = Loaded(state, 0, handed_out=handed_out)
        self._loaded[state.id] = loaded
        self._names[state.id] = loaded
        return loaded

    async def apply(
        self,
        loaded: Loaded,
        events: Sequence[Event],
        located: Located | None,
        firmographics: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Apply events to a profile. Gives the profile that it is afterwards: it may have merged.

        First everybody who the events say the visitor is becomes one profile, then the events
        happen to that.
        """
        seen = set()
        for event in events:
            fields = event.fields
            # Of a message that comes twice the first counts, here as for everything else.
            if event.message in seen:
                continue
            seen.add(event.message)
            if isinstance(fields, IdentifyEvent) and fields.user_id:
                message = event.message.to_bytes(8, "little")
                if not holds_message(loaded.state.messages, message):
                    loaded = await self._identify(loaded, fields.user_id, event.index)
        step = aggregate(
            loaded.state,
            events,
            self.now_ms,
            self.decider,
            self.settings.profiles,
            located=located,
            firmographics=firmographics,
        )
        if step.row is not None:
            loaded.state = step.state
            loaded.write([(step.state.kept.next - 1, step.row)])
            if history.overfull(step.state, self.settings.profiles):
                await self._trim(loaded)
        return loaded

    async def _trim(self, loaded: Loaded) -> None:
        rows = await self.rows(loaded)
        trimmed = history.trim(loaded.state, rows, self.decider, self.settings.profiles)
        if not trimmed.drop:
            return
        loaded.state = trimmed.state
        for number in trimmed.drop:
            loaded.append.pop(number, None)
        if loaded.drop:
            # Rows are numbered without gaps, so what is dropped twice is one range.
            loaded.drop = range(loaded.drop.start, trimmed.drop.stop)
        else:
            loaded.drop = trimmed.drop
        loaded.rows = [row for row in rows if row[0] not in trimmed.drop]
        loaded.write([(history.BASE, trimmed.base)])

    async def _identify(self, loaded: Loaded, user: str, index: int) -> Loaded:
        """The visitor says who they are: attach the name, or become the profile that has it."""
        owner = await self.find(user)
        if owner is loaded or isinstance(owner, Tombstone):
            return loaded
        if not isinstance(owner, Loaded):
            await self._check_aliases(loaded, index)
            self._links.append((user, loaded))
            self._names[user] = loaded
            return loaded
        if loaded.version == 0 and not loaded.changed:
            # Nothing is known of this visitor, so there is nothing to merge.
            if loaded.handed_out:
                self._forwards.append((loaded.state.id, owner))
        else:
            merged = merge(
                owner.state,
                loaded.state,
                await self.rows(loaded),
                self.now_ms,
                self.settings.profiles,
            )
            check_traits(merged.state, index)
            owner.state = merged.state
            owner.write(merged.append)
            if loaded.version:
                self._merges.append((loaded, owner))
            elif loaded.handed_out:
                self._forwards.append((loaded.state.id, owner))
        loaded.into = owner
        return owner

    async def _check_aliases(self, loaded: Loaded, index: int) -> None:
        limit = self.settings.aliases_per_profile
        count = sum(1 for _, profile in self._links if final(profile) is loaded)
        if loaded.version:
            count += len(await self.store.aliases(self.namespace, loaded.state.id))
        if count >= limit:
            raise EventError(
                f"events[{index}].userId", f"the profile has {limit} user ids, which is the most"
            )

    # ---- writing ------------------------------------------------------------------------------

    def transaction(self, finishes: tuple[int, ...] = ()) -> Transaction | None:
        """What makes it so; None where there is nothing to write."""
        puts = tuple(
            [
                self._put(loaded)
                for loaded in self._loaded.values()
                if loaded.into is None and loaded.append
            ]
        )
        if puts and not (self._links or self._merges or self._forwards):
            return Transaction(self.namespace, puts, finishes=finishes)
        links = tuple(Link(alias, final(loaded).state.id) for alias, loaded in self._links)
        merges = tuple(
            Merge(source.state.id, source.version, final(owner).state.id)
            for source, owner in self._merges
        )
        forwards = tuple(Forward(source, final(owner).state.id) for source, owner in self._forwards)
        if not (puts or links or merges or forwards or finishes):
            return None
        return Transaction(
            self.namespace,
            puts=puts,
            links=links,
            merges=merges,
            forwards=forwards,
            finishes=finishes,
        )

    def written(self, recent: Recent) -> None:
        """The transaction was committed: remember what is stored now."""
        for loaded in self._loaded.values():
            if loaded.into is not None:
                recent.forget(self.namespace, loaded.state.id)
            elif loaded.changed:
                recent.put(self.namespace, loaded.state.id, loaded.record, loaded.version + 1)

    def failed(self, recent: Recent) -> None:
        """The transaction was not committed, or nobody knows: rely on none of it."""
        for loaded in self._loaded.values():
            recent.forget(self.namespace, loaded.state.id)

    def _put(self, loaded: Loaded) -> Put:
        loaded.record = encode_state(loaded.state)
        return Put(
            loaded.state.id,
            loaded.record,
            loaded.version,
            self.now_ms,
            tuple([HistoryRow(*row) for row in loaded.append.items()]),
            loaded.drop,
        )


def final(loaded: Loaded) -> Loaded:
    """The profile that one became in the end."""
    while loaded.into is not None:
        loaded = loaded.into
    return loaded


def not_found(found: Tombstone | Elsewhere | None) -> ProfileNotFound | NamespaceMismatch:
    """The error for a key that leads to no profile here."""
    if isinstance(found, Elsewhere):
        return NamespaceMismatch("the profile belongs to another organization or environment")
    if isinstance(found, Tombstone):
        return ProfileNotFound("the profile was deleted")
    return ProfileNotFound("there is no such profile")

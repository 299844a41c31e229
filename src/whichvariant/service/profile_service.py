"""The operations of the Experience API on stored profiles (SEMANTICS sections 4 to 6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import (
    ConfigurationNotFound,
    EventError,
    ProfileNotFound,
    ProfileOverload,
    StoreConflict,
    StoreError,
    StoreRefused,
    WhichVariantError,
)
from whichvariant.profiles import history
from whichvariant.profiles.aggregate import aggregate
from whichvariant.profiles.answer import Answer, Decider, answer_for
from whichvariant.profiles.batch import Batch, read_batch
from whichvariant.profiles.events import check_key, read_events
from whichvariant.profiles.identity import is_own_id, make_id, seed_of_key
from whichvariant.profiles.state import ProfileState, new_state
from whichvariant.profiles.times import parse_time
from whichvariant.service.recent import Recent
from whichvariant.service.saying import Said, names_user, read_said, said_at_once
from whichvariant.service.settings import DEFAULTS, Options, ServiceSettings
from whichvariant.service.turns import Turns
from whichvariant.service.work import Loaded, Work, final, not_found
from whichvariant.store.protocol import Erase, ProfileRow, ProfileStore, Tombstone, Transaction

T = TypeVar("T")

_SEED_BYTES = 16
_BACKOFF_S = 0.002
_LONGEST_BACKOFF_S = 0.25

Deciders: TypeAlias = Mapping[Namespace, Decider] | Callable[[Namespace], Decider | None]
"""The engine of every namespace: a mapping, or a function that gives None for unknown ones."""


class RandomBytes(Protocol):
    """Gives as many random bytes as it is asked for."""

    def __call__(self, count: int, /) -> bytes: ...


class ProfileService:
    """Creates, updates, reads and deletes profiles, and decides for them.

    Nothing but the store is kept between requests, so any number of services, in any number of
    processes, may share one store. All methods must be called from one event loop.

    Parameters
    ----------
    store
        Where profiles live. It is not closed by the service.
    deciders
        The engine of every namespace. It is asked anew for every request, so a configuration can
        be replaced at any time.
    settings
        Limits.
    now_ms, random_bytes
        The clock and the source of ids, for tests.

    Every method raises ConfigurationNotFound for a namespace without an engine, EventError or
    ProfileError (with the path) for what cannot be used, and StoreError when the store fails. After
    EventError, ProfileError and ServiceError nothing has changed.
    """

    def __init__(
        self,
        store: ProfileStore,
        deciders: Deciders,
        settings: ServiceSettings | None = None,
        *,
        now_ms: Callable[[], int] = clock.now_ms,
        random_bytes: RandomBytes = clock.random_bytes,
    ) -> None:
        self.store = store
        self.settings = settings or ServiceSettings()
        self._deciders = deciders
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._turns = Turns(self.settings.waiting_per_profile, self.settings.patience_ms / 1_000)
        self._recent = Recent(self.settings.recent_profiles)

    # ---- one profile --------------------------------------------------------------------------

    async def create(
        self,
        namespace: Namespace,
        events: Sequence[Mapping[str, Any]],
        options: Options = DEFAULTS,
        *,
        preflight: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Make a profile, apply the events to it, and decide.

        If an event identifies the visitor as a known one, the answer is that profile.

        Parameters
        ----------
        preflight
            Compute the same and store nothing. The id in the answer works in an `update` all the
            same: that is how a page that was rendered on a server comes alive in the browser.
        idempotency_key
            A name for this very request, so that repeating it does not make a second profile.
        """
        decider = self.decider(namespace)
        seed = (
            self._random_bytes(_SEED_BYTES)
            if idempotency_key is None
            else seed_of_key(namespace, self.store.secret, idempotency_key)
        )
        profile_id = make_id(namespace, self.store.secret, seed)
        if idempotency_key is not None:
            return await self.update(namespace, profile_id, events, options, preflight=preflight)
        if preflight:
            now_ms = self._now_ms()
            said = await read_said(events, options, now_ms)
            answer = self._somebody_new(profile_id, seed, said, decider, options, now_ms)
            if answer is not None:
                return answer

        async def begin(work: Work) -> Loaded:
            state = new_state(profile_id, _random_of(seed), work.now_ms)
            return work.add(state, handed_out=False)

        return await self._change(namespace, decider, events, options, begin, preflight=preflight)

    def preflight_at_once(
        self, namespace: Namespace, events: Sequence[Mapping[str, Any]], options: Options
    ) -> Answer | None:
        """As `create` with ``preflight``; None if the store or somebody else has to be asked."""
        decider = self.decider(namespace)
        now_ms = self._now_ms()
        said = said_at_once(events, options, now_ms)
        if said is None:
            return None
        seed = self._random_bytes(_SEED_BYTES)
        profile_id = make_id(namespace, self.store.secret, seed)
        return self._somebody_new(profile_id, seed, said, decider, options, now_ms)

    async def update(
        self,
        namespace: Namespace,
        profile_id: str,
        events: Sequence[Mapping[str, Any]],
        options: Options = DEFAULTS,
        *,
        preflight: bool = False,
    ) -> Answer:
        """Apply events to a profile and decide.

        ``profile_id`` may also be an alias, the id of a profile that was merged away, or an id that
        a preflight gave. Raises ProfileNotFound, NamespaceMismatch, and ProfileOverload when too
        many requests want to change this profile at once.
        """
        decider = self.decider(namespace)

        async def begin(work: Work) -> Loaded:
            return await self._existing_or_own(work, profile_id)

        if preflight:
            return await self._change(namespace, decider, events, options, begin, preflight=True)
        async with self._turns.of([(namespace, profile_id)]):
            return await self._change(namespace, decider, events, options, begin, preflight=False)

    async def get(
        self,
        namespace: Namespace,
        profile_id: str,
        locale: str = "en",
        *,
        at: Any = None,
    ) -> Answer:
        """A profile and what is decided for it, now or as of an instant.

        ``at`` is milliseconds since the epoch, an aware datetime, or ISO 8601: the profile as it
        was then, from all events known today whose time is at or before it, decided by today's
        configuration. Raises ProfileNotFound, also if it did not exist then, NamespaceMismatch, and
        HistoryUnavailable if its history does not reach back that far.
        """
        decider = self.decider(namespace)
        state, now_ms = await self.state(namespace, profile_id, decider, at=at)
        return answer_for(state, decider, self.settings.profiles, now_ms, locale)

    async def state(
        self, namespace: Namespace, profile_id: str, decider: Decider, *, at: Any = None
    ) -> tuple[ProfileState, int]:
        """What `get` decides for, and the instant: a profile's state, counted by ``decider``.

        ``decider`` may be another than the namespace's; what it counts that was not counted so
        far is counted from the kept history. Raises what `get` raises.
        """
        now_ms = self._now_ms()
        work = Work(self.store, namespace, decider, self.settings, now_ms)
        loaded = await work.existing(_checked(profile_id))
        if at is None:
            return loaded.state, now_ms
        try:
            at_ms = parse_time(at)
        except ValueError as error:
            raise EventError("at", str(error)) from None
        past = await self._state_at(work, loaded, at_ms)
        if past is None:
            raise ProfileNotFound("the profile did not exist yet")
        return past, at_ms

    async def _state_at(self, work: Work, loaded: Loaded, at_ms: int) -> ProfileState | None:
        while True:
            rows = await work.rows(loaded)
            again = await self.store.find(work.namespace, loaded.state.id)
            if not isinstance(again, ProfileRow):
                raise not_found(again)
            if again.version == loaded.version:
                return history.state_at(
                    loaded.state, rows, at_ms, work.decider, self.settings.profiles
                )
            # It changed between the two reads.
            work = Work(self.store, work.namespace, work.decider, self.settings, work.now_ms)
            loaded = await work.existing(loaded.state.id)

    async def supposed(
        self, namespace: Namespace, profile_id: str, events: Sequence[Mapping[str, Any]]
    ) -> tuple[ProfileState, int]:
        """What a preflight `update` decides for, and the instant. Raises what `update` raises."""
        now_ms = self._now_ms()
        work = Work(self.store, namespace, self.decider(namespace), self.settings, now_ms)
        loaded = await self._existing_or_own(work, profile_id)
        loaded = await work.apply(loaded, read_events(events, now_ms), None)
        return loaded.state, now_ms

    async def delete(self, namespace: Namespace, profile_id: str) -> None:
        """Erase a profile: its state, history, aliases and merged-away ids.

        Tombstones remain, so that none of its ids comes back. Raises ProfileNotFound and
        NamespaceMismatch.
        """
        self.decider(namespace)
        key = _checked(profile_id)

        async def attempt() -> None:
            found = await self.store.find(namespace, key)
            if not isinstance(found, ProfileRow):
                raise not_found(found)
            erase = Erase(found.id, found.version, self._now_ms())
            self._recent.forget(namespace, found.id)
            await self.store.commit(Transaction(namespace, erases=(erase,)))

        async with self._turns.of([(namespace, key)]):
            await self._persist(attempt)

    # ---- batches ------------------------------------------------------------------------------

    async def upsert(
        self, namespace: Namespace, events: Sequence[Mapping[str, Any]], locale: str = "en"
    ) -> list[dict[str, Any]]:
        """Apply a batch of events, each at its `anonymousId`, all or nothing.

        Profiles that do not exist are made at these ids. Gives one profile for every id, in the
        order of their first appearance, without selections. Raises ProfileNotFound if an id belongs
        to a profile that was deleted.
        """
        decider = self.decider(namespace)
        now_ms = self._now_ms()
        batch = read_batch(events, now_ms)

        async def attempt() -> list[dict[str, Any]]:
            return await self._upsert(namespace, decider, batch, now_ms, locale)

        async with self._turns.of(sorted((namespace, key) for key in batch)):
            return await self._persist(attempt)

    async def upsert_accepted(
        self,
        namespace: Namespace,
        events: Sequence[Mapping[str, Any]],
        received_ms: int,
        sequence: int,
    ) -> None:
        """`upsert` for a batch that waited in the inbox as number ``sequence``, which it leaves.

        Events without a timestamp happened when it was received. Events at the id of a profile
        that was deleted meanwhile are dropped. If the batch was applied already, nothing happens.
        """
        decider = self.decider(namespace)
        batch = read_batch(events, received_ms)

        async def attempt() -> None:
            try:
                await self._upsert(
                    namespace,
                    decider,
                    batch,
                    received_ms,
                    "en",
                    finishes=(sequence,),
                    skip_deleted=True,
                )
            except StoreConflict as conflict:
                # A profile may have a number for its id, too; then another attempt will tell.
                number = str(sequence)
                if conflict.key != number or await self.store.find(namespace, number) is not None:
                    raise

        async with self._turns.of(sorted((namespace, key) for key in batch), patient=True):
            await self._persist(attempt)

    async def _upsert(
        self,
        namespace: Namespace,
        decider: Decider,
        batch: Batch,
        now_ms: int,
        locale: str,
        *,
        finishes: tuple[int, ...] = (),
        skip_deleted: bool = False,
    ) -> list[dict[str, Any]]:
        work = Work(self.store, namespace, decider, self.settings, now_ms)
        profiles = []
        for key, events in batch.items():
            found = await work.find(key)
            if not isinstance(found, Loaded):
                if isinstance(found, Tombstone):
                    if skip_deleted:
                        continue
                    index = min(event.index for event in events)
                    raise ProfileNotFound(f"events[{index}].anonymousId: {not_found(found)}")
                found = self._born(work, key)
            profiles.append(await work.apply(found, events, None))
        answers = [
            answer_for(
                final(profile).state, decider, self.settings.profiles, now_ms, locale
            ).profile
            for profile in profiles
        ]
        await self._write(work, work.transaction(finishes))
        return answers

    # ---- what they share ----------------------------------------------------------------------

    def decider(self, namespace: Namespace) -> Decider:
        """The engine of a namespace, now. ConfigurationNotFound if it has none."""
        deciders = self._deciders
        decider = deciders.get(namespace) if isinstance(deciders, Mapping) else deciders(namespace)
        if decider is None:
            raise ConfigurationNotFound(
                f"no configuration for organization {namespace.organization!r}, "
                f"environment {namespace.environment!r}"
            )
        return decider

    async def _existing_or_own(self, work: Work, profile_id: str) -> Loaded:
        key = _checked(profile_id)
        found = await work.find(key)
        if isinstance(found, Loaded):
            return found
        secret = self.store.secret
        if not isinstance(found, Tombstone) and is_own_id(work.namespace, secret, key):
            # A preflight gave it to somebody who now comes back with it.
            return self._born(work, key)
        raise not_found(found)

    def _born(self, work: Work, key: str) -> Loaded:
        """A new profile at a key that somebody knows: one that a preflight gave, or their own."""
        own = is_own_id(work.namespace, self.store.secret, key)
        seed = bytes.fromhex(key) if own else self._random_bytes(_SEED_BYTES)
        return work.add(new_state(key, _random_of(seed), work.now_ms), handed_out=True)

    async def _change(
        self,
        namespace: Namespace,
        decider: Decider,
        events: Sequence[Mapping[str, Any]],
        options: Options,
        begin: Callable[[Work], Awaitable[Loaded]],
        *,
        preflight: bool,
    ) -> Answer:
        now_ms = self._now_ms()
        said = await read_said(events, options, now_ms)

        async def attempt(recent: Recent | None) -> Answer:
            work = Work(self.store, namespace, decider, self.settings, now_ms, recent=recent)
            try:
                loaded = await work.apply(
                    await begin(work), said.events, said.located, said.firmographics
                )
                answer = answer_for(
                    loaded.state, decider, self.settings.profiles, now_ms, options.locale
                )
                if not preflight:
                    await self._write(work, work.transaction())
            except WhichVariantError as error:
                # That the store failed has nothing to do with what was relied on, and it may have
                # written: who asked is told, and does well to ask again.
                failed = isinstance(error, StoreError) and not isinstance(error, StoreRefused)
                if work.relied and not failed:
                    raise _ReadAgainError from error
                raise
            return answer

        if not preflight:
            # What this process wrote last is most likely still so. If not, nothing is written, and
            # whatever else came of it is no answer.
            try:
                return await attempt(self._recent)
            except (_ReadAgainError, StoreConflict):
                pass
        return await self._persist(lambda: attempt(None))

    def _somebody_new(  # noqa: PLR0917 - what a request has come to by then
        self,
        profile_id: str,
        seed: bytes,
        said: Said,
        decider: Decider,
        options: Options,
        now_ms: int,
    ) -> Answer | None:
        """The answer for a new profile that is kept nowhere.

        None if the visitor says a name; who says none has to do with nobody that is stored.
        """
        if any(names_user(event) for event in said.events):
            return None
        settings = self.settings.profiles
        state = new_state(profile_id, _random_of(seed), now_ms)
        state.counted = decider.counters_digest
        step = aggregate(
            state,
            said.events,
            now_ms,
            decider,
            settings,
            located=said.located,
            firmographics=said.firmographics,
        )
        return answer_for(step.state, decider, settings, now_ms, options.locale)

    async def _write(self, work: Work, transaction: Transaction | None) -> None:
        """Make it so."""
        if transaction is None:
            if work.relied:
                raise _ReadAgainError
            return
        try:
            await self.store.commit(transaction)
        except BaseException:
            work.failed(self._recent)
            raise
        work.written(self._recent)

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until no other process gets in between, or for as often as is sensible."""
        for number in range(self.settings.attempts):
            try:
                return await attempt()
            except StoreConflict:
                longest = min(_BACKOFF_S * 2**number, _LONGEST_BACKOFF_S)
                await asyncio.sleep(longest * random.random())
        raise ProfileOverload(
            f"{self.settings.attempts} attempts met changes by others; try again later"
        )


class _ReadAgainError(Exception):
    """An attempt relied on what this process remembers, and has to be made with what is stored."""


def _random_of(seed: bytes) -> int:
    return int.from_bytes(seed[:4], "little")


def _checked(profile_id: str) -> str:
    try:
        return check_key(profile_id, "id")
    except EventError:
        # No profile was ever stored under such a key.
        raise ProfileNotFound("there is no such profile") from None

"""Asynchronous batches: accepted durably at once, applied exactly once in the background.

Exactly once, because a batch leaves the inbox in the very transaction that writes what it changed.
Whoever dies in between has changed nothing, and somebody else applies it when the lease ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import (
    ConfigurationNotFound,
    ConfigurationUnavailable,
    EventError,
    InputError,
    ProfileOverload,
    RecordError,
    StoreClosed,
    StoreRefused,
)
from whichvariant.profiles.aggregate import MAX_EVENT_BYTES, MAX_REQUEST_BYTES
from whichvariant.profiles.batch import read_batch
from whichvariant.profiles.json_values import pack_json
from whichvariant.service.profile_service import ProfileService
from whichvariant.store.protocol import InboxItem

_LOG = logging.getLogger("whichvariant.service.inbox")
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[dict[str, Any]])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Processed(NamedTuple):
    """How many items of the inbox were applied, rejected, and left for another attempt."""

    applied: int
    rejected: int
    postponed: int


class Inbox:
    """Takes batches in for a service, and applies them.

    Parameters
    ----------
    owner
        Names this process among those that share the store; by default a random name.
    unavailable
        Tells the namespaces that have no configuration yet: their batches stay untouched until
        they have. They are durable, so that they wait across restarts, too.
    """

    def __init__(
        self,
        service: ProfileService,
        owner: str | None = None,
        *,
        now_ms: Callable[[], int] = clock.now_ms,
        unavailable: Callable[[], Collection[Namespace]] = tuple,
    ) -> None:
        self.service = service
        self._unavailable = unavailable
        self.owner = owner or clock.random_bytes(8).hex()
        self._now_ms = now_ms
        self._arrived = asyncio.Event()

    async def accept(self, namespace: Namespace, events: Sequence[Mapping[str, Any]]) -> int:
        """Take a batch in: durable when this returns. Gives its number in the inbox.

        The batch is checked like that of `ProfileService.upsert`, and EventError says what is
        wrong; but the namespace is not, as in the API: if it is unknown by then, the batch is
        rejected in the background, and if its configuration could not be loaded yet, it waits.
        """
        now_ms = self._now_ms()
        payload = self._packed(events, now_ms)
        sequence = await self.service.store.enqueue(namespace, payload, now_ms)
        self._arrived.set()
        return sequence

    def check(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Raise what `accept` would raise, and keep nothing."""
        self._packed(events, self._now_ms())

    def _packed(self, events: Sequence[Mapping[str, Any]], now_ms: int) -> bytes:
        read_batch(events, now_ms)
        packed = [
            pack_json(event, f"events[{number}]", MAX_EVENT_BYTES)
            for number, event in enumerate(events)
        ]
        if sum(map(len, packed)) > MAX_REQUEST_BYTES:
            raise EventError(
                "events", f"more than {MAX_REQUEST_BYTES} bytes as msgpack in one request"
            )
        return _encode([msgspec.Raw(event) for event in packed])

    async def process(self, limit: int = 64) -> Processed:
        """Apply up to ``limit`` waiting batches, oldest first, and say what became of them.

        Batches that name the same profile are applied one after the other, others together.
        """
        items = await self.service.store.claim(
            self.owner,
            limit,
            self.service.settings.lease_ms,
            self._now_ms(),
            self._unavailable(),
        )
        last: dict[tuple[Namespace, str], asyncio.Task[str]] = {}
        tasks = []
        for item in items:
            keys = {(item.namespace, key) for key in _profiles_in(item.payload)}
            before = {last[key] for key in keys if key in last}
            task = asyncio.create_task(self._after(before, item))
            last.update(dict.fromkeys(keys, task))
            tasks.append(task)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return Processed(*(outcomes.count(name) for name in ("applied", "rejected", "postponed")))

    async def run(self, stop: asyncio.Event, *, idle_s: float = 0.5) -> None:
        """Apply batches as they come, until ``stop`` is set and what was begun is finished.

        Batches that other processes accepted are noticed within ``idle_s`` seconds. A store that
        fails is tried again; only its end, or a cancellation, ends this.
        """
        while not stop.is_set():
            self._arrived.clear()
            try:
                done = await self.process()
            except StoreClosed:
                raise
            except Exception:  # noqa: BLE001 (logged with its trace, and tried again)
                # Nothing is lost: what was claimed is free again when its lease ends.
                _LOG.exception("the inbox could not be processed; trying again")
                done = Processed(0, 0, 1)
            if done.applied + done.rejected == 0 or done.postponed:
                await _either(stop, self._arrived, idle_s)

    async def _after(self, before: set[asyncio.Task[str]], item: InboxItem) -> str:
        if before:
            await asyncio.wait(before)
        return await self._one(item)

    async def _one(self, item: InboxItem) -> str:
        store = self.service.store
        try:
            events = _decoder.decode(item.payload)
            await self.service.upsert_accepted(
                item.namespace, events, item.received_ms, item.sequence
            )
        except ConfigurationUnavailable:
            # It is nobody's fault, and however long it takes, the batch waits.
            await store.release([item.sequence], self.owner)
            return "postponed"
        except ProfileOverload:
            if item.attempts < self.service.settings.inbox_attempts:
                await store.release([item.sequence], self.owner)
                return "postponed"
            reason = f"gave up after {item.attempts} attempts"
        except (
            InputError,
            ConfigurationNotFound,
            RecordError,
            StoreRefused,
            *_UNREADABLE,
        ) as error:
            reason = f"{type(error).__name__}: {error}"
        except Exception as error:
            # Perhaps the store's trouble, and over when the lease is; but never for ever.
            if item.attempts < self.service.settings.inbox_attempts or isinstance(
                error, StoreClosed
            ):
                raise
            reason = f"gave up after {item.attempts} attempts: {type(error).__name__}: {error}"
        else:
            return "applied"
        # The reason may quote what a visitor sent, so it goes to the store and not to the log.
        _LOG.warning("batch %d of the inbox was rejected", item.sequence)
        await store.reject(item.sequence, reason, self._now_ms())
        return "rejected"


def _profiles_in(payload: bytes) -> set[str]:
    try:
        return {event["anonymousId"] for event in _decoder.decode(payload)}
    except (*_UNREADABLE, KeyError, TypeError):
        return set()


async def _either(one: asyncio.Event, other: asyncio.Event, timeout_s: float) -> None:
    """Wait for the first of two events, or for the time to pass."""
    waits = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()

"""The company behind a visitor's address, by a provider: asked seldom, and never waited for long.

What providers fail at is their trouble and no request's: it is logged, without addresses, and the
visitor stays who they are (docs/server.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from whichvariant.profiles.json_values import check_json, pack_json
from whichvariant.server.clients import Address

_LOG = logging.getLogger("whichvariant.server.enrichment")

_KEPT_ADDRESSES = 10_000
_KNOWN_S = 24 * 3600.0
_UNKNOWN_S = 3600.0
_MOST_AT_ONCE = 32
_LONGEST_S = 5.0
_LARGEST = 32 << 10

_FAILURES = 5
_PAUSE_S = 30.0


class ProviderError(Exception):
    """A provider did not answer as it should. The message is logged: no addresses in it."""


class Enricher(Protocol):
    """A provider: what it knows of the company behind an address, as traits of the visitor.

    The address is a public one, IPv4 or IPv6. None if it knows nothing. The traits are a JSON
    object of at most 32 KiB. Whatever it raises is a failure, and so is taking too long.
    """

    async def __call__(self, address: str, /) -> Mapping[str, Any] | None: ...


class Breaker:
    """Keeps away from a provider that failed several times in a row.

    After a pause one look-up may try, and the next pause begins; its success ends them.
    """

    def __init__(self) -> None:
        self._failed = 0
        self._until = 0.0

    def admits(self, now_s: float) -> bool:
        """Whether a look-up may begin."""
        if self._failed < _FAILURES:
            return True
        if now_s < self._until:
            return False
        self._until = now_s + _PAUSE_S
        return True

    def failed(self, now_s: float, reason: str) -> None:
        """A look-up failed, or took too long."""
        self._failed += 1
        if self._failed >= _FAILURES:
            self._until = now_s + _PAUSE_S
        if self._failed == _FAILURES:
            _LOG.warning(
                "ip-enrichment failed %d times in a row, lately: %s; now and then one look-up"
                " tries again",
                _FAILURES,
                reason,
            )

    def succeeded(self) -> None:
        """A look-up gave an answer in time."""
        if self._failed >= _FAILURES:
            _LOG.info("ip-enrichment works again")
        self._failed = 0


class Enrichment:
    """Asks a provider on behalf of requests, in one event loop.

    Answers are kept in memory, those of the addresses that were asked for last: what is known for a
    day, that nothing is known for an hour. Several requests for an address share one look-up. One
    that is too slow for its request goes on for a while, so that the next has its answer.
    """

    def __init__(self, enricher: Enricher, timeout_s: float) -> None:
        self._enricher = enricher
        self._timeout_s = timeout_s
        self._breaker = Breaker()
        self._kept: OrderedDict[str, tuple[float, Mapping[str, Any] | None]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Mapping[str, Any] | None]] = {}

    async def traits(self, address: Address | None) -> Mapping[str, Any] | None:
        """What is known of an address, within the timeout. Never raises.

        Addresses that are not of the public internet are not looked up.
        """
        if address is None or not address.is_global or address.is_multicast:
            return None
        key = str(address)
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            self._kept.move_to_end(key)
            return kept[1]
        task = self._looking.get(key)
        first = task is None
        if task is None:
            if len(self._looking) >= _MOST_AT_ONCE or not self._breaker.admits(now):
                return None
            task = asyncio.create_task(self._look(key))
            self._looking[key] = task
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if done:
            return None if task.cancelled() else task.result()
        if first:
            self._breaker.failed(now + self._timeout_s, "no answer in time")
        return None

    async def close(self) -> None:
        """End what is still being looked up."""
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, key: str) -> Mapping[str, Any] | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(_LONGEST_S):
                traits = _own(await self._enricher(key))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no request's trouble
            # Messages of others may quote the address.
            known = isinstance(error, ProviderError)
            self._breaker.failed(loop.time(), str(error) if known else type(error).__name__)
            return None
        finally:
            self._looking.pop(key, None)
        now = loop.time()
        if now - began <= self._timeout_s:
            self._breaker.succeeded()
        self._kept[key] = (now + (_UNKNOWN_S if traits is None else _KNOWN_S), traits)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_ADDRESSES:
            self._kept.popitem(last=False)
        return traits


def _own(traits: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A copy that is JSON, or an error; None where there is nothing in it."""
    if not traits:
        return None
    check_json(traits, "traits")
    own = msgspec.msgpack.decode(pack_json(traits, "traits", _LARGEST))
    if not isinstance(own, dict):
        raise ProviderError("the provider gave no object of traits")
    return own

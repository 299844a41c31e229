"""Who is who: profile ids that only a server can make, and profiles that turn out to be one.

An id is 32 bytes in hexadecimal: 16 random ones, and a tag of 16 that is keyed with the store's
secret and covers the namespace. So an id that was handed out by a preflight, which stores nothing,
is known for one of ours when it comes back, and nobody else can invent any
(docs/profiles.md#identity).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from whichvariant.contracts.namespace import Namespace
from whichvariant.profiles import session
from whichvariant.profiles.activity import add_counts
from whichvariant.profiles.history import BASE, Row
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import NEVER, ProfileState, encode_state

_HALF = 16


class Merged(NamedTuple):
    """Two profiles that became one: its state, and the history rows to append, base included."""

    state: ProfileState
    append: tuple[Row, ...]


def make_id(namespace: Namespace, secret: bytes, seed: bytes) -> str:
    """The profile id, 64 hexadecimal digits, for 16 random bytes."""
    return (seed + _tag(namespace, secret, seed)).hex()


def is_own_id(namespace: Namespace, secret: bytes, profile_id: str) -> bool:
    """Whether `make_id` made this id, for this namespace and with this secret."""
    if len(profile_id) != 4 * _HALF or not profile_id.isascii():
        return False
    try:
        data = bytes.fromhex(profile_id)
    except ValueError:
        return False
    # Only the spelling that was handed out is the id.
    return (
        len(data) == 2 * _HALF
        and data.hex() == profile_id
        and hmac.compare_digest(data[_HALF:], _tag(namespace, secret, data[:_HALF]))
    )


def seed_of_key(namespace: Namespace, secret: bytes, key: str) -> bytes:
    """The seed for a create request that its caller named, so that a repetition makes the same."""
    return _digest(namespace, secret, b"key", key.encode("utf-8", "surrogatepass"))


def _tag(namespace: Namespace, secret: bytes, seed: bytes) -> bytes:
    return _digest(namespace, secret, b"id", seed)


def _digest(namespace: Namespace, secret: bytes, purpose: bytes, data: bytes) -> bytes:
    keyed = _keyed(namespace, secret, purpose).copy()
    keyed.update(data)
    return keyed.digest()


@functools.lru_cache(maxsize=64)
def _keyed(namespace: Namespace, secret: bytes, purpose: bytes) -> hashlib.blake2b:
    # Lengths first, so that no two namespaces make one text.
    parts = [part.encode("utf-8", "surrogatepass") for part in namespace]
    lengths = b"".join(len(part).to_bytes(4, "little") for part in parts)
    return hashlib.blake2b(
        b"".join([lengths, *parts]), digest_size=_HALF, key=secret, person=purpose
    )


def merge(
    survivor: ProfileState,
    source: ProfileState,
    source_rows: Sequence[Row],
    now_ms: int,
    settings: ProfileSettings,
) -> Merged:
    """Make ``source`` part of ``survivor``, as when a visitor turns out to be a known user.

    Traits, location and device are those of the newest event that set them; sessions and counters
    are added; id, stable id, random number and sticky choices are the survivor's. Both must be
    counted by the same rules. The joint history begins anew at ``now_ms``: before that there were
    two profiles.
    """
    after = survivor.copy()
    for key, value in source.traits.items():
        set_ms = source.traits_ms.get(key, NEVER)
        if key not in after.traits or set_ms > after.traits_ms.get(key, NEVER):
            after.traits[key] = value
            after.traits_ms[key] = set_ms
    if source.location_ms > after.location_ms:
        after.location = source.location
        after.city_names = source.city_names
        after.location_ms = source.location_ms
    if source.device_ms > after.device_ms:
        after.device, after.device_ms = source.device, source.device_ms
    after.session = session.join(survivor.session, source.session)
    after.activity = add_counts(survivor.activity, source.activity, settings.history_events)
    after.created_ms = min(survivor.created_ms, source.created_ms)
    after.messages = survivor.messages + source.messages
    kept = after.kept
    rows: list[Row] = []
    for number, data in source_rows:
        if number != BASE:
            rows.append((kept.next, data))
            kept.next += 1
    kept.events += source.kept.events
    kept.size += source.kept.size
    kept.fold = kept.next
    kept.since_ms = max(
        now_ms,
        survivor.kept.since_ms,
        source.kept.since_ms,
        NEVER if after.session is None else after.session.last_ms,
    )
    base = after.copy()
    base.messages = b""
    return Merged(after, ((BASE, encode_state(base)), *rows))

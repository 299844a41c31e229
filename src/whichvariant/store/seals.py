"""A checksum beside everything that is stored, of the content and of the place where it belongs.

Checksums of pages (``sqlite_file``) guard what lies on the disk. Seals guard a row on its whole
way: a byte that changes in the write-ahead log before it reaches the file, a row that turns up
under another key, memory that fails. A seal is 64 bits of xxh3: chance is caught, malice is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xxhash import xxh3_64_intdigest

# SQLite's integers have a sign.
_OFFSET = 1 << 63


def holds(seal: object, make: Callable[..., int], *content: Any) -> bool:
    """Whether ``seal`` is what ``make`` gives for a row's content."""
    try:
        return make(*content) == seal
    except TypeError:
        # A damaged row may have texts where integers were written.
        return False


def profile_seal(  # noqa: PLR0917 - the columns, in their order
    number: int, key: bytes, namespace: int, version: int, updated_ms: int, record: bytes
) -> int:
    """The seal of a row of ``profiles``."""
    place = b"p%d,%d,%d,%d,%b" % (number, namespace, version, updated_ms, key)
    return xxh3_64_intdigest(record, xxh3_64_intdigest(place)) - _OFFSET


def history_seal(profile: int, sequence: int, data: bytes) -> int:
    """The seal of a row of ``history``."""
    return xxh3_64_intdigest(data, xxh3_64_intdigest(b"h%d,%d" % (profile, sequence))) - _OFFSET


def name_seal(key: bytes, namespace: int, kind: int, profile: int | None, at_ms: int) -> int:
    """The seal of a row of ``names``."""
    place = b"n%d,%d,%d,%d,%b" % (namespace, kind, profile or 0, at_ms, key)
    return xxh3_64_intdigest(place) - _OFFSET


def inbox_seal(namespace: int, received_ms: int, payload: bytes) -> int:
    """The seal of a row of ``inbox`` or ``rejected``."""
    place = xxh3_64_intdigest(b"i%d,%d" % (namespace, received_ms))
    return xxh3_64_intdigest(payload, place) - _OFFSET


def namespace_seal(number: int, organization: bytes, environment: bytes) -> int:
    """The seal of a row of ``namespaces``."""
    # The length tells ("a", "bc") from ("ab", "c").
    place = b"s%d,%d,%b%b" % (number, len(organization), organization, environment)
    return xxh3_64_intdigest(place) - _OFFSET


def entry_seal(  # noqa: PLR0917 - the columns, in their order
    namespace: int,
    key: bytes,
    kind: int,
    version: int,
    at_ms: int,
    profile: bytes | None,
    record: bytes | None,
) -> int:
    """The seal of a row of ``wv_keys``, where a profile is named by its id."""
    # The length tells where the key ends and the profile's id begins.
    numbers = b"k%d,%d,%d,%d,%d," % (namespace, kind, version, at_ms, len(key))
    place = xxh3_64_intdigest(b"%b%b%b" % (numbers, key, profile or b""))
    return xxh3_64_intdigest(record or b"", place) - _OFFSET


def event_seal(namespace: int, profile: bytes, sequence: int, data: bytes) -> int:
    """The seal of a row of ``wv_history``, where a profile is named by its id."""
    place = xxh3_64_intdigest(b"e%d,%d,%b" % (namespace, sequence, profile))
    return xxh3_64_intdigest(data, place) - _OFFSET


def secret_seal(secret: bytes) -> int:
    """The seal of the store's secret."""
    return xxh3_64_intdigest(b"secret" + secret) - _OFFSET

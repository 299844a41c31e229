"""Records that this process wrote last, so that the next update need not read them again.

A profile's requests come in bursts, and after every commit the database has to look at its pages
anew. What is remembered here may be old by the time it is used, because other processes write too.
So only what ends in a write that names the version may rely on it: such a write fails if it was
old. Everything else, above all an answer without a write, has to read the store.

Records and not states, because answers hand out what is nested in a state: whoever changes an
answer must not change the profile.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from whichvariant.contracts.namespace import Namespace

_LARGEST_RECORD = 16 * 1024


class Remembered(NamedTuple):
    """A record that was written, and the version that it has."""

    record: bytes
    version: int


class Recent:
    """The records of at most ``limit`` profiles, those written last. Large ones are left out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: OrderedDict[tuple[Namespace, str], Remembered] = OrderedDict()

    def get(self, namespace: Namespace, profile_id: str) -> Remembered | None:
        """What was written last at this id, as far as it is remembered."""
        return self._records.get((namespace, profile_id))

    def put(self, namespace: Namespace, profile_id: str, record: bytes, version: int) -> None:
        """Remember what was written."""
        key = (namespace, profile_id)
        if self._limit <= 0 or len(record) > _LARGEST_RECORD:
            self._records.pop(key, None)
            return
        self._records[key] = Remembered(record, version)
        self._records.move_to_end(key)
        if len(self._records) > self._limit:
            self._records.popitem(last=False)

    def forget(self, namespace: Namespace, profile_id: str) -> None:
        """It is not so any more, or may not be."""
        self._records.pop((namespace, profile_id), None)

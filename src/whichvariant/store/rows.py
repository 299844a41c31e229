"""Everything that a store holds, row by row, as it is: for copies from one kind to another.

Beside `ProfileStore` because no request needs it: rows come with the versions, numbers and times
that they have, and go into a store without being looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreError
from whichvariant.store.protocol import (
    HistoryRow,
    InboxItem,
    Name,
    Place,
    ProfileRow,
    ProfileStore,
    RejectedItem,
)


class Kept(NamedTuple):
    """A profile with its whole history."""

    namespace: Namespace
    row: ProfileRow
    history: tuple[HistoryRow, ...]


class Batch(NamedTuple):
    """Rows of one kind, or of several, that are written in one transaction.

    ``names`` lead to profiles that are there already or in the same batch. ``inbox`` items keep
    their numbers and how often they were attempted; that somebody has claimed them is forgotten.
    ``last_sequence`` is the last number that the inbox has given out.
    """

    profiles: Sequence[Kept] = ()
    names: Sequence[tuple[Namespace, Name]] = ()
    inbox: Sequence[InboxItem] = ()
    rejected: Sequence[RejectedItem] = ()
    last_sequence: int = 0


class RowStore(ProfileStore, Protocol):
    """A store whose rows can be read and written as they are.

    The mark is a text that a store carries while a copy into it is unfinished: a store with a mark
    is opened by nobody who does not ask for it.
    """

    async def read_profiles(self, after: Place | None, limit: int) -> list[Kept]:
        """The next profiles with their histories, in the order of ``scan``."""
        ...

    async def read_inbox(self, after: int, limit: int) -> list[InboxItem]:
        """Items of the inbox with numbers above ``after``, ascending. Nothing is claimed."""
        ...

    async def last_sequence(self) -> int:
        """The last number that the inbox has given out; 0 if none."""
        ...

    async def is_empty(self) -> bool:
        """Whether nothing was ever written to it but its secret."""
        ...

    async def mark(self) -> str:
        """The mark; "" where there is none."""
        ...

    async def begin_copy(self, secret: bytes, mark: str) -> None:
        """Take over a secret, and carry a mark from now on. The store must be empty."""
        ...

    async def write_rows(self, batch: Batch, mark: str) -> None:
        """Write rows that are not there yet, and the new mark with them."""
        ...

    async def end_copy(self) -> None:
        """Take the mark away."""
        ...


def check_whole(mark: str, name: str) -> None:
    """Raise StoreError where a store carries a mark: it is not whole."""
    if mark:
        raise StoreError(
            f"{name}: a copy into this store was not finished: "
            "run the same 'whichvariant store copy' again"
        )

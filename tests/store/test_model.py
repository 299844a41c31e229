"""Random operations: a store against the one in memory, closed and opened in between."""

from __future__ import annotations

import asyncio
import copy
import itertools
import os
import pathlib
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.postgres import drop_schema, new_schema

from store.shorthands import everything
from whichvariant.errors import StoreConflict, StoreError
from whichvariant.store import (
    Bury,
    EmbeddedStore,
    Erase,
    Forward,
    HistoryRow,
    Link,
    MemoryStore,
    Merge,
    Namespace,
    ProfileStore,
    Put,
    Transaction,
)
from whichvariant.store.postgres import PostgresStore

SPACES = st.sampled_from([Namespace("o", "e"), Namespace("o", "f"), Namespace("\0", "😀")])
KEYS = st.sampled_from(["a", "b", "c", "d", "e\0", "é"])
VERSIONS = st.sampled_from([0, 0, 1, 1, 2, 3])
TIMES = st.integers(0, 200_000)
DATA = st.sampled_from([0, 1, 3, 3000, 20_000]).map(lambda size: bytes([size % 251]) * size)
ROWS = st.builds(HistoryRow, st.integers(0, 5), DATA)
DROPS = st.lists(st.integers(0, 6), max_size=3).map(tuple) | st.builds(
    range, st.integers(0, 6), st.integers(0, 6), st.integers(1, 2)
)
OWNERS = st.sampled_from(["one", "two"])
SEQUENCES = st.integers(1, 12)


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=2).map(tuple)


PUTS = st.builds(Put, KEYS, DATA, VERSIONS, TIMES, several(ROWS), DROPS)
TRANSACTIONS = st.builds(
    Transaction,
    SPACES,
    several(PUTS),
    several(st.builds(Link, KEYS, KEYS)),
    several(st.builds(Merge, KEYS, VERSIONS, KEYS)),
    several(st.builds(Erase, KEYS, VERSIONS, TIMES)),
    several(st.builds(Forward, KEYS, KEYS)),
    several(st.builds(Bury, KEYS, TIMES)),
    several(SEQUENCES),
)
# Most large transactions fail; these mostly succeed and make something to fail on.
SMALL = st.one_of(
    st.builds(lambda space, one: Transaction(space, (one,)), SPACES, PUTS),
    st.builds(
        lambda space, one: Transaction(space, links=(one,)), SPACES, st.builds(Link, KEYS, KEYS)
    ),
    st.builds(
        lambda space, one: Transaction(space, merges=(one,)),
        SPACES,
        st.builds(Merge, KEYS, VERSIONS, KEYS),
    ),
    st.builds(
        lambda space, one: Transaction(space, erases=(one,)),
        SPACES,
        st.builds(Erase, KEYS, VERSIONS, TIMES),
    ),
)

Call = Callable[[ProfileStore], Coroutine[Any, Any, Any]]


class Stores(RuleBasedStateMachine):
    """Both stores get the same, and must give the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.model = MemoryStore()
        self.store = self.open()

    def open(self) -> ProfileStore:
        """The store under test, made at the first time."""
        return EmbeddedStore.open(pathlib.Path(self.folder.name) / "profiles.db")

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    def outcome(self, store: ProfileStore, call: Call) -> Any:
        try:
            return self.loop.run_until_complete(call(store))
        except StoreError as error:
            return type(error), str(error)

    def both(self, call: Call) -> Any:
        expected = self.outcome(self.model, call)
        assert self.outcome(self.store, call) == expected
        return expected

    @rule(transaction=SMALL | TRANSACTIONS)
    def commit(self, transaction: Transaction) -> None:
        self.both(lambda store: store.commit(transaction))

    @rule(transactions=st.lists(SMALL | TRANSACTIONS, min_size=2, max_size=6))
    def commit_together(self, transactions: list[Transaction]) -> None:
        """One group: it is committed in the order of arrival, conflicts fail alone."""

        async def all_at_once(store: ProfileStore) -> Any:
            outcomes = await asyncio.gather(
                *(store.commit(transaction) for transaction in transactions),
                return_exceptions=True,
            )
            assert all(one is None or isinstance(one, StoreConflict) for one in outcomes)
            return [str(one) for one in outcomes]

        self.both(all_at_once)

    @rule(space=SPACES, key=KEYS)
    def look(self, space: Namespace, key: str) -> None:
        self.both(lambda store: store.find(space, key))
        self.both(lambda store: store.history(space, key))
        self.both(lambda store: store.aliases(space, key))

    @rule(space=SPACES, payload=DATA, at=TIMES)
    def enqueue(self, space: Namespace, payload: bytes, at: int) -> None:
        self.both(lambda store: store.enqueue(space, payload, at))

    @rule(
        owner=OWNERS,
        limit=st.integers(0, 3),
        lease=st.integers(0, 90_000),
        at=TIMES,
        skip=st.sets(SPACES),
    )
    def claim(self, owner: str, limit: int, lease: int, at: int, skip: set[Namespace]) -> None:
        self.both(lambda store: store.claim(owner, limit, lease, at, skip))

    @rule(owner=OWNERS, sequences=st.lists(SEQUENCES, max_size=2))
    def release(self, owner: str, sequences: list[int]) -> None:
        self.both(lambda store: store.release(sequences, owner))

    @rule(sequence=SEQUENCES, at=TIMES)
    def reject(self, sequence: int, at: int) -> None:
        self.both(lambda store: store.reject(sequence, "why", at))

    @rule(sequences=st.lists(SEQUENCES, max_size=2))
    def requeue(self, sequences: list[int]) -> None:
        self.both(lambda store: store.requeue(sequences))

    @rule(sequences=st.lists(SEQUENCES, max_size=2))
    def discard(self, sequences: list[int]) -> None:
        self.both(lambda store: store.discard(sequences))

    @rule()
    def compact(self) -> None:
        self.both(lambda store: store.compact())

    @rule()
    def verify(self) -> None:
        self.both(lambda store: store.verify())

    @rule()
    def reopen(self) -> None:
        secret = self.store.secret
        self.loop.run_until_complete(self.store.close())
        self.store = self.open()
        assert self.store.secret == secret

    @rule()
    def open_again(self) -> None:
        """A second store on the same file goes on, and sees all that the first one wrote."""
        other = self.open()
        self.loop.run_until_complete(self.store.close())
        self.store = other

    @invariant()
    def same(self) -> None:
        self.both(everything)


class StoresInDatabase(Stores):
    """PostgreSQL. It promises no order of what is asked for at once, but that there is one."""

    def open(self) -> ProfileStore:
        if not hasattr(self, "dsn"):
            self.dsn = new_schema()
        return self.loop.run_until_complete(PostgresStore.open(self.dsn))

    def teardown(self) -> None:
        super().teardown()
        drop_schema(self.dsn)

    @rule(transactions=st.lists(SMALL | TRANSACTIONS, min_size=2, max_size=4))
    def commit_together(self, transactions: list[Transaction]) -> None:
        """Some order of the transactions, one after the other, does just what happened."""

        async def all_at_once() -> list[str]:
            outcomes = await asyncio.gather(
                *(self.store.commit(transaction) for transaction in transactions),
                return_exceptions=True,
            )
            assert all(one is None or isinstance(one, StoreConflict) for one in outcomes)
            return [type(one).__name__ for one in outcomes]

        outcomes = self.loop.run_until_complete(all_at_once())
        there = self.loop.run_until_complete(everything(self.store))
        for order in itertools.permutations(range(len(transactions))):
            model = _copied(self.model)
            supposed = [""] * len(transactions)
            for place in order:
                call = model.commit(transactions[place])
                (one,) = self.loop.run_until_complete(
                    _outcomes(call),
                )
                supposed[place] = type(one).__name__
            if supposed == outcomes and self.loop.run_until_complete(everything(model)) == there:
                self.model = model
                return
        raise AssertionError(f"no order of the transactions gives {outcomes}")


async def _outcomes(call: Coroutine[Any, Any, None]) -> list[BaseException | None]:
    return await asyncio.gather(call, return_exceptions=True)


def _copied(model: MemoryStore) -> MemoryStore:
    """Another one with the same in it."""
    other = MemoryStore()
    for name, value in vars(model).items():
        if name != "_lock":
            setattr(other, name, copy.deepcopy(value))
    return other


def _settings(examples: int) -> settings:
    return settings(
        max_examples=int(os.environ.get("WHICHVARIANT_EXAMPLES", str(examples))),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


Stores.TestCase.settings = _settings(40)
TestStores = Stores.TestCase
StoresInDatabase.TestCase.settings = _settings(8)
TestStoresInDatabase = StoresInDatabase.TestCase

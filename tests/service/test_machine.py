"""Service and store against the model, by whatever hypothesis thinks of.

`WHICHVARIANT_STEPS` says how many steps for each store; by default enough for a continuous build.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.postgres import drop_schema, new_schema

from profiles.samples import DAY, MINUTE, NOW
from service.machine_requests import BATCHED, USERS, Requests, digits
from service.machine_rules import ENGINES, RULES
from service.model import DAY_MS, Person, Refused, World
from service.stores import dump
from whichvariant import Namespace
from whichvariant.errors import InputError, ServiceError
from whichvariant.profiles.identity import make_id, seed_of_key
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.service import Options, ProfileService, ServiceSettings
from whichvariant.service.inbox import Inbox
from whichvariant.store import EmbeddedStore, MemoryStore, ProfileStore
from whichvariant.store.postgres import PostgresStore

Json = Any
T = TypeVar("T")

STEPS = int(os.environ.get("WHICHVARIANT_STEPS", "4000"))
STEPS_EACH = 50
HISTORY = 8

SPACES = {"a": Namespace("acme", "main"), "b": Namespace("acme", "preview")}
NOWHERE = Namespace("nobody", "main")


SKIPS = [1, 999, 10_000, 5 * MINUTE, 30 * MINUTE - 1, 30 * MINUTE, DAY_MS, 8 * DAY_MS, -30_000]

many_numbers = st.lists(st.integers(0, 2**40), min_size=1, max_size=6)
one_number = st.integers(0, 2**20)


class Machine(Requests, RuleBasedStateMachine):
    """One world, told to the service and to the model."""

    open_stores: Callable[[str], tuple[ProfileStore, ProfileStore]]
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store, self.second = self.open_stores(self.folder.name)
        self.world = World(HISTORY)
        self.now = NOW
        self.rules = 0
        self.asked = 0
        self.sent: list[Json] = []
        self.requests: list[tuple[str, str, list[Json], Options]] = []
        self.keys = {space: [*USERS, *BATCHED, "f" * 64] for space in SPACES}
        self.waiting: list[tuple[str, list[Json], int]] = []
        self.random: dict[tuple[str, str], float] = {}
        self.sessions: dict[str, str] = {}
        self.draws: dict[tuple[str, str, int], int] = {}
        self.serve()

    def serve(self) -> None:
        """Two processes, so to speak: neither knows what the other wrote last."""
        self.services = [
            ProfileService(
                store,
                lambda space: ENGINES[self.rules] if space in SPACES.values() else None,
                ServiceSettings(profiles=ProfileSettings(history_events=HISTORY)),
                now_ms=lambda: self.now,
            )
            for store in (self.store, self.second)
        ]
        self.inbox = Inbox(self.services[0], now_ms=lambda: self.now)

    @property
    def service(self) -> ProfileService:
        """One of them, by turns of no simple pattern."""
        self.asked += 1
        return self.services[self.asked * self.asked // 3 % 2]

    def run_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def close(self) -> None:
        await self.store.close()
        await self.second.close()

    def dump(self) -> Any:
        return self.run_(dump(self.store))

    def teardown(self) -> None:
        for space in SPACES:
            for key in self.keys[space]:
                self.check_get(space, key)
        self.run_(self.close())
        self.runner.close()
        self.remove_stores(self.folder.name)
        self.folder.cleanup()

    @staticmethod
    def remove_stores(folder: str) -> None:
        """What is not in the folder itself."""

    @invariant()
    def count(self) -> None:
        type(self).steps += 1

    # ---- comparing, and who is asked for --------------------------------------------------------

    def key(self, space: str, number: int) -> str:
        number, some = divmod(number, 3)
        names = self.world.names[space].items()
        alive = [*self.world.people[space], *(key for key, (_, person) in names if person)]
        keys = alive if some and alive else self.keys[space]
        return keys[number % len(keys)]

    # ---- comparing ----------------------------------------------------------------------------

    def check(self, answer: Json, person: Person, expected: Json) -> None:
        profile = dict(answer.profile)
        session = dict(profile["session"])
        assert person.key is not None
        born = self.random.setdefault((person.space, person.key), profile["random"])
        assert profile.pop("random") == born
        profile["session"] = session
        # Every session has an id, and none has that of another.
        self.check_session(str(person.stable), session.pop("id"), session["count"])
        assert profile == expected
        if answer.experiences is not None:
            self.check_experiences(answer, person)

    def check_session(self, stable: str, session_id: str, count: int) -> None:
        assert self.sessions.setdefault(session_id, stable) == stable
        assert session_id or count

    def check_experiences(self, answer: Json, person: Person) -> None:
        sticky = RULES[self.rules].sticky
        stored = answer.profile.get("stickyVariants", {})
        assert [one["experienceId"] for one in answer.experiences] == sorted(sticky)
        for one in answer.experiences:
            name = one["experienceId"]
            if stored.get(name, 99) <= sticky[name]:
                assert one["variantIndex"] == stored[name]
            else:
                draw = (str(person.stable), name, sticky[name])
                assert self.draws.setdefault(draw, one["variantIndex"]) == one["variantIndex"]

    def outcome(self, act: Callable[[], T]) -> T | str:
        """What an operation of the model gives, or the name of the error that it should be."""
        try:
            return act()
        except Refused as refused:
            return str(refused)

    def expect(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """An error of this name, and nothing has changed."""
        before = self.dump()
        with pytest.raises((ServiceError, InputError)) as caught:
            self.run_(coroutine)
        assert type(caught.value).__name__ == name, caught.value
        assert self.dump() == before

    def check_names(self) -> None:
        for space, namespace in SPACES.items():
            names = self.run_(self.store.scan_names(namespace))
            assert {name.key: (name.kind, name.id) for _, name in names} == {
                key: (kind, person.key if person else "")
                for key, (kind, person) in self.world.names[space].items()
            }
            rows = self.run_(self.store.scan(namespace))
            assert {row.id for _, row in rows} == set(self.world.people[space])

    # ---- one profile --------------------------------------------------------------------------

    @rule(space=st.sampled_from("aaab"), numbers=many_numbers, how=one_number)
    def create(self, space: str, numbers: list[int], how: int) -> None:
        way, option, name = digits(how, 4, 200, 3)
        events = self.events(numbers)
        options, located = self.options(option)
        if way == 3:
            self.create_named(space, events, options, located(events), f"key-{name}")
            return
        before = self.dump() if way == 0 else None
        answer = self.run_(self.service.create(SPACES[space], events, options, preflight=way == 0))
        world = copy.deepcopy(self.world) if way == 0 else self.world
        rules = RULES[self.rules]
        person = Person(space, None, None)
        person = world.apply(space, person, events, located(events), self.now, rules=rules)
        if person.key is None:
            assert answer.profile["id"] not in self.keys[space]
            world.born(space, person, answer.profile["id"])
        self.check(answer, person, world.profile(person, rules, self.now))
        self.keys[space].append(answer.profile["id"])
        self.requests.append((space, answer.profile["id"], events, options))
        if before is not None:
            assert self.dump() == before
        self.check_names()

    def create_named(
        self, space: str, events: list[Json], options: Options, located: Json, name: str
    ) -> None:
        seed = seed_of_key(SPACES[space], self.store.secret, name)
        key = make_id(SPACES[space], self.store.secret, seed)
        self.keys[space].append(key)
        self.change(
            space, key, events, located,
            lambda: self.service.create(SPACES[space], events, options, idempotency_key=name),
        )  # fmt: skip

    def change(
        self,
        space: str,
        key: str,
        events: list[Json],
        located: Json,
        request: Callable[[], Coroutine[Any, Any, Any]],
        *,
        preflight: bool = False,
    ) -> None:
        """A request for one profile, and the same for the model."""
        rules = RULES[self.rules]
        world = copy.deepcopy(self.world) if preflight else self.world

        def act() -> Person:
            own = len(key) == 64 and key != "f" * 64
            person = world.find(space, key)
            if person is None and own and self.is_own(space, key):
                person = Person(space, key, key)
            person = person or world.existing(space, key)
            return world.apply(space, person, events, located, self.now, rules=rules)

        before = self.dump()
        life = self.told()
        expected = self.outcome(act)
        if isinstance(expected, str):
            self.expect(expected, request())
            return
        answer = self.run_(request())
        self.check(answer, expected, world.profile(expected, rules, self.now))
        if preflight or self.told() == life:
            assert self.dump() == before
        self.check_names()

    def told(self) -> int:
        """How much the model has been told so far."""
        people = [person for there in self.world.people.values() for person in there.values()]
        names = [
            (key, kind) for there in self.world.names.values() for key, (kind, _) in there.items()
        ]
        return hash((tuple(names), tuple((one.key, len(one.life)) for one in people)))

    def is_own(self, space: str, key: str) -> bool:
        seed = bytes.fromhex(key[:32])
        return make_id(SPACES[space], self.store.secret, seed) == key

    @rule(space=st.sampled_from("aaaaab"), whom=one_number, numbers=many_numbers, how=one_number)
    def change_one(self, space: str, whom: int, numbers: list[int], how: int) -> None:
        self.update(space, whom, numbers, how)

    def update(self, space: str, whom: int, numbers: list[int], how: int) -> None:
        way, option, elsewhere = digits(how, 5, 200, 20)
        key = self.key("a" if elsewhere == 0 else space, whom)
        events = self.events(numbers)
        options, located = self.options(option)
        self.requests.append((space, key, events, options))
        self.change(
            space, key, events, located(events),
            lambda: self.service.update(SPACES[space], key, events, options, preflight=way == 0),
            preflight=way == 0,
        )  # fmt: skip

    # A visitor who comes back is what happens most.
    @rule(whom=one_number, numbers=many_numbers, how=one_number)
    def update_again(self, whom: int, numbers: list[int], how: int) -> None:
        self.update("a", whom, numbers, how)

    @precondition(lambda self: self.requests)
    @rule(number=one_number, shuffled=st.booleans())
    def retry(self, number: int, shuffled: bool) -> None:
        """A request once more, as it was or in another order."""
        space, key, events, options = self.requests[number % len(self.requests)]
        if shuffled:
            events = events[::-1]
        located = self.located_by(options, events)
        self.change(
            space, key, events, located,
            lambda: self.service.update(SPACES[space], key, events, options),
        )  # fmt: skip

    @rule(space=st.sampled_from("aaab"), whom=one_number)
    def delete(self, space: str, whom: int) -> None:
        key = self.key(space, whom)
        if whom % 3 == 0:  # not too often
            expected = self.outcome(lambda: self.world.delete(space, key))
            if isinstance(expected, str):
                self.expect(expected, self.service.delete(SPACES[space], key))
            else:
                self.run_(self.service.delete(SPACES[space], key))
        self.check_names()
        self.check_get(space, key)

    @rule(space=st.sampled_from("ab"), whom=one_number)
    def get(self, space: str, whom: int) -> None:
        self.check_get(space, self.key(space, whom))

    def check_get(self, space: str, key: str) -> None:
        rules = RULES[self.rules]
        expected = self.outcome(lambda: self.world.existing(space, key))
        if isinstance(expected, str):
            self.expect(expected, self.service.get(SPACES[space], key))
            return
        answer = self.run_(self.service.get(SPACES[space], key))
        self.check(answer, expected, self.world.profile(expected, rules, self.now))

    @rule(space=st.sampled_from("aaab"), whom=one_number, number=one_number)
    def get_as_of(self, space: str, whom: int, number: int) -> None:
        key = self.key(space, whom)
        rules = RULES[self.rules]
        expected = self.outcome(lambda: self.world.existing(space, key))
        if isinstance(expected, str):
            self.expect(expected, self.service.get(SPACES[space], key, at=self.now))
            return
        moments = [self.now, NOW, expected.since] + [
            one.at for request in expected.kept for one in request.happened
        ]
        which, shift = digits(number, len(moments), 4)
        at = max(moments[which], NOW - 100 * DAY) + (0, -1, 1, 20 * MINUTE)[shift]
        profile = self.outcome(lambda: self.world.profile_at(expected, rules, at))
        if isinstance(profile, str):
            self.expect(profile, self.service.get(SPACES[space], key, at=at))
            return
        answer = self.run_(self.service.get(SPACES[space], key, at=at))
        self.check(answer, expected, profile)

    # ---- batches ------------------------------------------------------------------------------

    @rule(space=st.sampled_from("aaab"), numbers=many_numbers)
    def upsert(self, space: str, numbers: list[int]) -> None:
        events = self.batched(numbers)
        rules = RULES[self.rules]
        world = copy.deepcopy(self.world)
        expected = self.outcome(
            lambda: world.batch(space, events, self.now, rules, skip_deleted=False)
        )
        if isinstance(expected, str):
            self.expect(expected, self.service.upsert(SPACES[space], events))
            return
        self.world = world
        profiles = self.run_(self.service.upsert(SPACES[space], events))
        assert len(profiles) == len(expected)
        for profile, person in zip(profiles, expected, strict=True):
            del profile["random"], profile["session"]["id"]
            assert profile["id"] == person.key
        # An earlier answer of a batch may not know yet what a later one changed.
        for person in expected:
            assert person.key is not None
            self.check_get(space, person.key)
        self.check_names()

    @rule(space=st.sampled_from("aabx"), numbers=many_numbers)
    def accept(self, space: str, numbers: list[int]) -> None:
        events = self.batched(numbers)
        self.run_(self.inbox.accept(SPACES.get(space, NOWHERE), events))
        self.waiting.append((space, events, self.now))

    @precondition(lambda self: self.waiting)
    @rule()
    def process(self) -> None:
        space, events, received = self.waiting.pop(0)
        done = self.run_(self.inbox.process(1))
        if space not in SPACES:
            assert done == (0, 1, 0)
            return
        assert done == (1, 0, 0)
        rules = RULES[self.rules]
        for person in self.world.batch(space, events, received, rules, skip_deleted=True):
            assert person.key is not None
            self.check_get(space, person.key)
        self.check_names()

    # ---- what else happens --------------------------------------------------------------------

    @rule(number=one_number)
    def let_time_pass(self, number: int) -> None:
        self.now += SKIPS[number % len(SKIPS)]

    @rule(number=st.integers(0, len(RULES) - 1))
    def publish(self, number: int) -> None:
        self.rules = number

    @rule()
    def reload(self) -> None:
        before = self.dump()
        if self.store is not self.second:
            self.run_(self.close())
            self.store, self.second = self.open_stores(self.folder.name)
            assert self.dump() == before
        self.serve()

    @rule(space=st.sampled_from("ab"), whom=one_number, numbers=many_numbers, what=one_number)
    def send_nonsense(self, space: str, whom: int, numbers: list[int], what: int) -> None:
        events = [copy.deepcopy(one) for one in self.events(numbers)]
        bad = events[what % len(events)]
        field, value = digits(what, 4, 4)
        name = ("messageId", "type", "context", "timestamp")[field]
        bad[name] = ("\ud800", [], float("nan"), "")[value]
        key = self.key(space, whom)
        self.expect("EventError", self.service.update(SPACES[space], key, events))
        self.expect("EventError", self.service.create(SPACES[space], events))
        for one in events:
            one["anonymousId"] = "batch-0"
        self.expect("EventError", self.service.upsert(SPACES[space], events))
        self.expect("EventError", self.inbox.accept(SPACES[space], events))


class InMemory(Machine):
    @staticmethod
    def open_stores(folder: str) -> tuple[ProfileStore, ProfileStore]:
        store = MemoryStore()
        return store, store


class InFile(Machine):
    @staticmethod
    def open_stores(folder: str) -> tuple[ProfileStore, ProfileStore]:
        path = pathlib.Path(folder) / "profiles.db"
        return EmbeddedStore.open(path), EmbeddedStore.open(path)


class InDatabase(Machine):
    @staticmethod
    def open_stores(folder: str) -> tuple[ProfileStore, ProfileStore]:
        known = pathlib.Path(folder) / "dsn"
        if not known.exists():
            known.write_text(new_schema())
        one, two = (asyncio.run(PostgresStore.open(known.read_text())) for _ in range(2))
        return one, two

    @staticmethod
    def remove_stores(folder: str) -> None:
        drop_schema((pathlib.Path(folder) / "dsn").read_text())


@pytest.mark.parametrize("machine", [InMemory, InFile, InDatabase])
def test_service_and_store_do_what_the_model_does(
    machine: type[Machine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "whichvariant.service.inbox")
    # Each step looks at everything, which a database answers in many round trips.
    wanted = STEPS // 4 if machine is InDatabase else STEPS
    run_state_machine_as_test(
        machine,
        settings=settings(
            # Some end early.
            max_examples=max(1, wanted * 6 // 5 // STEPS_EACH),
            stateful_step_count=STEPS_EACH,
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.steps >= wanted * 0.9

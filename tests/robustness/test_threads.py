"""One engine, many threads; engines replaced while they decide; other processes."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oracle.strategies import seeded_case
from robustness.support import EVENTS, FUZZ_SECONDS, NOW, PROFILE, RICH, as_json
from whichvariant import Engine
from whichvariant.errors import InputError

THREADS = 8
TURNS = 300 if not FUZZ_SECONDS else int(300 * FUZZ_SECONDS)


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def visits() -> tuple[Engine, list[tuple[dict[str, Any], dict[str, Any]]]]:
    case = seeded_case(7, visits=40)
    asked = [
        (visit.profile, {"device": visit.device, "events": visit.events, "now": visit.now_ms})
        for visit in case.visits
    ]
    return Engine.from_dict(case.document), asked


def at_once(*tasks: Callable[[], object]) -> None:
    """Run all at the same time; the first exception of any is raised."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        barrier.wait()
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for result in [pool.submit(run, task) for task in tasks]:
            result.result()


def test_all_threads_get_the_same_answers() -> None:
    engine, asked = visits()
    wanted = [(engine.select(p, **how), engine.select_json(as_json(p), **how)) for p, how in asked]

    def decide(offset: int) -> None:
        for turn in range(TURNS):
            number = (turn + offset) % len(asked)
            profile, how = asked[number]
            assert engine.select(profile, **how, fresh=turn % 3 == 0) == wanted[number][0]
            assert engine.select_json(as_json(profile), **how) == wanted[number][1]
            if turn % 10 == 0:
                assert engine.trace(profile, **how)["selection"] == wanted[number][0]

    at_once(*(functools.partial(decide, offset) for offset in range(THREADS)))


def test_errors_beside_answers() -> None:
    engine = Engine.from_dict(RICH)
    wanted = engine.select(PROFILE, events=EVENTS, now=NOW)

    def answers() -> None:
        for _ in range(TURNS):
            assert engine.select(PROFILE, events=EVENTS, now=NOW) == wanted

    def errors() -> None:
        for _ in range(TURNS):
            with pytest.raises(InputError):
                engine.select({"stableId": "s", "traits": {"plan": "pro", "age": 10**400}})
            with pytest.raises(InputError):
                engine.select_json(b'{"stableId":"s","traits":{"plan":"pro"},"location":5}')

    at_once(answers, errors, answers, errors)


def test_patterns_in_many_threads() -> None:
    """RE2 lets other threads run while it searches."""
    engine = Engine.from_dict(RICH)
    mails = [f"{'x' * 2000 * number}@example.org" for number in range(THREADS)]

    def search(mail: str) -> None:
        profile = {"stableId": "s", "traits": {"mail": mail, "plan": mail}}
        for _ in range(TURNS // 4):
            assert "amail" in engine.select(profile).audiences
            assert "amail" in engine.select_json(as_json(profile)).decode()

    at_once(*(lambda mail=mail: search(mail) for mail in mails))  # type: ignore[misc]


def test_engines_replaced_while_they_decide() -> None:
    """What a server does on reload: the old engine finishes what it began, and goes."""
    documents = [copy.deepcopy(RICH) for _ in range(2)]
    documents[1]["experiences"] = documents[1]["experiences"][:2]
    wanted = {
        engine.digest: engine.select(PROFILE, events=EVENTS, now=NOW)
        for engine in map(Engine.from_dict, documents)
    }
    holder = [Engine.from_dict(documents[0])]
    done = threading.Event()

    def reload() -> None:
        try:
            for number in range(60):
                holder[0] = Engine.from_dict(documents[number % 2])
        finally:
            done.set()

    def decide() -> None:
        kept = []
        while not done.is_set():
            engine = holder[0]
            selection = engine.select(PROFILE, events=EVENTS, now=NOW)
            assert selection == wanted[engine.digest]
            kept.append(selection)
            del engine
            del kept[:-5]
        # Records outlive the engine that they came from.
        assert all(selection in wanted.values() for selection in kept)

    at_once(reload, decide, decide, decide)


def test_engines_made_in_many_threads() -> None:
    digest = Engine.from_dict(RICH).digest

    def make() -> None:
        for _ in range(8):
            engine = Engine.from_bytes(Engine.from_dict(RICH).to_bytes())
            assert engine.digest == digest
            assert engine.select(PROFILE).experiences

    at_once(*[make] * 4)


def test_an_input_changed_by_another_thread() -> None:
    """A bytearray written to while it is read: any answer or error, but our memory holds."""
    engine = Engine.from_dict(RICH)
    text = as_json({**PROFILE, "traits": {**PROFILE["traits"], "mail": "x" * 50_000}})
    data = bytearray(text)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 997
            data[number % len(data)] = number & 0xFF
            if number % 50 == 0:
                data[:] = text

    def read() -> None:
        try:
            for _ in range(TURNS):
                try:
                    engine.select_json(data, events=EVENTS, audiences="given")
                except (InputError, ValueError):
                    continue
        finally:
            done.set()

    at_once(write, read)


def test_pickled_engines_decide_alike() -> None:
    for scheme in ("murmur3", "xxh64"):
        engine = Engine.from_dict({**RICH, "scheme": scheme})
        for again in (pickle.loads(pickle.dumps(engine)), copy.copy(engine), copy.deepcopy(engine)):
            assert again.digest == engine.digest
            assert again.configuration == engine.configuration
            assert again.select(PROFILE, events=EVENTS, now=NOW) == engine.select(
                PROFILE, events=EVENTS, now=NOW
            )


def answer_of(engine: Engine) -> bytes:
    """For another process."""
    return engine.select_json(as_json(PROFILE), events=EVENTS, now=NOW)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_processes() -> None:
    engine = Engine.from_dict(RICH)
    wanted = answer_of(engine)
    reader, writer = os.pipe()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                same = all(answer_of(engine) == wanted for _ in range(200))
                os.write(writer, b"+" if same else b"-")
            finally:
                os._exit(0)
        children.append(child)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"+++"
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert answer_of(engine) == wanted


def test_spawned_processes() -> None:
    engine = Engine.from_dict(RICH)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(answer_of, (engine,)) == answer_of(engine)

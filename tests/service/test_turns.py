"""One at a time, a few who wait, and nobody who waits for ever."""

from __future__ import annotations

import asyncio
import random

import pytest

from whichvariant.errors import ProfileOverload
from whichvariant.service.turns import Turns


async def test_one_at_a_time_in_the_order_of_asking() -> None:
    turns = Turns(100)
    inside = 0
    order = []

    async def work(number: int) -> None:
        nonlocal inside
        async with turns.of(["k"]):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(number)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(50)))
    assert order == list(range(50))
    assert not turns._queues


async def test_one_more_than_may_wait_is_refused() -> None:
    turns = Turns(2)
    release = asyncio.Event()

    async def work() -> None:
        async with turns.of(["k"]):
            await release.wait()

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ProfileOverload, match="more than 2"):
        await work()
    async with turns.of(["other"]):
        pass
    # Of several keys those that were taken are given back.
    with pytest.raises(ProfileOverload):
        async with turns.of(["a", "k"]):
            pytest.fail("it was not its turn")
    async with turns.of(["a"]):
        pass
    release.set()
    await asyncio.gather(*tasks)
    assert not turns._queues


async def test_none_may_wait() -> None:
    turns = Turns(0)
    async with turns.of(["k"]):
        with pytest.raises(ProfileOverload):
            await turns.of(["k"]).__aenter__()
    async with turns.of(["k"]):
        pass
    assert not turns._queues


async def test_whoever_gives_up_while_waiting_is_passed_over() -> None:
    turns = Turns(10)
    done = []

    async def work(number: int) -> None:
        async with turns.of(["k"]):
            await asyncio.sleep(0)
            done.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [0, 2, 4]
    assert not turns._queues


async def test_whoever_gives_up_as_the_turn_comes_passes_it_on() -> None:
    turns = Turns(10)
    first = turns.of(["k"])
    await first.__aenter__()
    others = [turns.of(["k"]), turns.of(["k"])]
    second, third = (asyncio.create_task(other.__aenter__()) for other in others)
    await asyncio.sleep(0)
    # From here on it is the second's, who does not know it yet.
    await first.__aexit__(None, None, None)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.wait_for(third, 1)
    await others[1].__aexit__(None, None, None)
    assert not turns._queues


async def test_nobody_waits_for_those_who_wait_for_others() -> None:
    """All queues at once: whoever came first to all of its profiles is the first of all."""
    turns = Turns(100)
    release = {key: asyncio.Event() for key in "ab"}
    done = []

    async def hold(key: str) -> None:
        async with turns.of([key]):
            await release[key].wait()

    async def work(name: str, *keys: str) -> None:
        async with turns.of(keys):
            done.append(name)

    tasks = [asyncio.create_task(hold(key)) for key in "ab"]
    await asyncio.sleep(0)
    tasks += [
        asyncio.create_task(work("ab", "a", "b")),
        asyncio.create_task(work("bc", "b", "c")),
        asyncio.create_task(work("d", "d")),
        asyncio.create_task(work("a", "a")),
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["d"]
    release["a"].set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["d"]
    release["b"].set()
    await asyncio.gather(*tasks)
    assert done[:2] == ["d", "ab"]
    assert sorted(done[2:]) == ["a", "bc"]
    assert not turns._queues


async def test_nobody_waits_longer_than_they_have_patience() -> None:
    turns = Turns(100, patience_s=0.02)
    release = asyncio.Event()
    entered = []

    async def hold() -> None:
        async with turns.of(["k"]):
            await release.wait()

    async def wait(name: str, *, patient: bool) -> None:
        async with turns.of(["j", "k"], patient=patient):
            entered.append(name)

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    patient = asyncio.create_task(wait("patient", patient=True))
    with pytest.raises(ProfileOverload, match="too long"):
        await wait("impatient", patient=False)
    assert not patient.done()
    release.set()
    await asyncio.gather(holding, patient)
    assert entered == ["patient"]
    assert not turns._queues


async def test_who_is_patient_is_never_one_too_many() -> None:
    turns = Turns(0, patience_s=0.01)
    entered = []

    async def work(number: int) -> None:
        async with turns.of(["k"], patient=True):
            await asyncio.sleep(0)
            entered.append(number)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert entered == list(range(20))


async def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)
    for error in (ValueError, asyncio.CancelledError, KeyboardInterrupt):
        with pytest.raises(error):
            async with turns.of(["a", "b"]):
                raise error
    assert not turns._queues


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_cancelled_whenever_nobody_waits_for_ever(seed: int) -> None:
    chance = random.Random(seed)
    turns = Turns(6)
    inside: dict[str, int] = dict.fromkeys("abc", 0)

    async def work() -> None:
        keys = sorted(chance.sample("abc", chance.randint(1, 3)))
        async with turns.of(keys):
            for key in keys:
                inside[key] += 1
                assert inside[key] == 1
            try:
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                for key in keys:
                    inside[key] -= 1

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(work()))
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
        for _ in range(chance.randint(0, 2)):
            await asyncio.sleep(0)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    for outcome in outcomes:
        assert outcome is None or isinstance(outcome, (ProfileOverload, asyncio.CancelledError))
    assert not turns._queues

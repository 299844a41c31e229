"""Several processes, threads and event loops on one store."""

# ruff: noqa: ASYNC220 - nothing else runs in the event loop

from __future__ import annotations

import asyncio
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from store.shorthands import HERE, leads_to, put
from whichvariant.errors import StoreClosed, StoreConflict
from whichvariant.store import EmbeddedStore, HistoryRow, ProfileRow, Put, Transaction
from whichvariant.store.opening import open_store

COUNTING = """
    import asyncio, json, sys, time
    from whichvariant.errors import StoreConflict
    from whichvariant.store import *
    from whichvariant.store.opening import open_store
    HERE = Namespace("acme", "main")

    async def main():
        store = await open_store(sys.argv[1])
        seconds, tasks, keys = float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        waits, done, conflicts = [], 0, 0
        print("ready", flush=True)
        sys.stdin.readline()
        end = time.monotonic() + seconds

        async def count(task):
            nonlocal done, conflicts
            number = task
            while time.monotonic() < end:
                number += 1
                key = f"counter {number % keys}"
                begun = time.monotonic()
                while True:
                    row = await store.find(HERE, key)
                    version, value = (row.version, int(row.record)) if row else (0, 0)
                    put = Put(key, b"%d" % (value + 1), version, 1)
                    try:
                        await store.commit(Transaction(HERE, (put,)))
                        break
                    except StoreConflict:
                        conflicts += 1
                waits.append(time.monotonic() - begun)
                done += 1

        await asyncio.gather(*map(count, range(tasks)))
        await store.close()
        print(json.dumps({"done": done, "conflicts": conflicts, "longest_s": max(waits)}))

    asyncio.run(main())
"""


@pytest.fixture(params=["embedded", "postgres"])
def place(request: pytest.FixtureRequest, path: pathlib.Path) -> str:
    """The name of a store that several can open."""
    return str(path) if request.param == "embedded" else request.getfixturevalue("dsn")


def count_in_processes(place: str, number: int, *arguments: object) -> list[dict[str, Any]]:
    program = textwrap.dedent(COUNTING)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, place, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(json.loads(process.communicate()[0]))
        assert process.returncode == 0
    return outputs


async def total(place: str) -> int:
    async with await open_store(place) as store:
        assert await store.verify() == []
        rows = await store.scan(limit=10**6)
        assert all(row.version == int(row.record) for _, row in rows)
        return sum(int(row.record) for _, row in rows)


@pytest.mark.parametrize(("processes", "tasks", "keys"), [(2, 8, 500), (2, 2, 1), (4, 1, 50)])
def test_no_update_is_lost_and_nobody_starves(
    place: str, processes: int, tasks: int, keys: int
) -> None:
    outputs = count_in_processes(place, processes, 1.5, tasks, keys)
    done = [output["done"] for output in outputs]
    assert asyncio.run(total(place)) == sum(done)
    assert min(done) * 4 > max(done)
    if keys > 1:
        # Far from the seconds for which SQLite's own waiting lets one of them hang.
        assert max(output["longest_s"] for output in outputs) < 1


async def test_processes_see_what_others_wrote(place: str, path: pathlib.Path) -> None:
    async with await open_store(place) as one, await open_store(place) as two:
        assert one.secret == two.secret
        assert await two.find(HERE, "p") is None
        await put(one, "p", b"1", append=(HistoryRow(1, b"h"),))
        assert await two.find(HERE, "p") == ProfileRow("p", 1, 1, b"1")
        await put(two, "p", b"2", 1)
        with pytest.raises(StoreConflict):
            await put(one, "p", b"3", 1)
        sequence = await one.enqueue(HERE, b"", 1)
        assert [item.sequence for item in await two.claim("two", 1, 10, 1)] == [sequence]
        assert await one.claim("one", 1, 10, 1) == []
    # The files beside it are gone with the last one, but for the lock's.
    if place == str(path):
        assert sorted(os.listdir(path.parent)) == ["profiles.db", "profiles.db-lock"]


def test_several_event_loops(place: str) -> None:
    store = asyncio.run(open_store(place))
    failures: list[BaseException] = []

    def run(number: int) -> None:
        async def write() -> None:
            for at in range(40):
                key = f"{number} {at}"
                await put(store, key)
                assert await leads_to(store, key) == key

        try:
            asyncio.run(write())
        except BaseException as error:  # noqa: BLE001 - it is raised by the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

    async def finish() -> int:
        count = len(await store.scan())
        await store.close()
        return count

    assert asyncio.run(finish()) == 160


async def test_a_cancelled_write_disturbs_nobody(place: str) -> None:
    async with await open_store(place) as store:
        tasks = [asyncio.create_task(put(store, f"{at}")) for at in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None for result in results[1::2])
        for at in range(1, 50, 2):
            assert await leads_to(store, f"{at}") == f"{at}"


def test_a_loop_that_ends_early_disturbs_nobody(place: str) -> None:
    store = asyncio.run(open_store(place))

    left: list[asyncio.Future[None]] = []

    async def leave() -> None:
        left.append(asyncio.ensure_future(put(store, "left")))
        await asyncio.sleep(0)

    for _ in range(20):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop)))
        loop.close()

    async def go_on() -> None:
        await put(store, "p")
        assert await leads_to(store, "p") == "p"
        await store.close()

    asyncio.run(go_on())


async def test_closing_finishes_what_was_begun(place: str) -> None:
    store = await open_store(place)
    tasks = [asyncio.create_task(put(store, f"{at}")) for at in range(300)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    with pytest.raises(StoreClosed):
        await put(store, "late")
    async with await open_store(place) as again:
        assert len(await again.scan()) == 300


FORKING = """
    import asyncio, os, sys
    from whichvariant.errors import StoreClosed
    from whichvariant.store import *
    from whichvariant.store.opening import open_store
    HERE = Namespace("acme", "main")
    place = sys.argv[1]
    run = asyncio.run  # no loop lives on while forking: processes would share what wakes it
    store = run(open_store(place))
    run(store.commit(Transaction(HERE, (Put("p", b"parent", 0, 1),))))
    run(store.find(HERE, "p"))

    async def refused():
        for call in (store.find(HERE, "p"), store.stats(), store.verify(),
                     store.commit(Transaction(HERE, (Put("q", b"", 0, 1),)))):
            try:
                await call
            except StoreClosed as error:
                assert "fork" in str(error), error
            else:
                raise AssertionError("it was not refused")
        await store.close()

    async def opened_anew():
        async with await open_store(place) as own:
            await own.commit(Transaction(HERE, (Put(f"child {os.getpid()}", b"", 0, 1),)))

    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            run(refused())
            if number % 2:
                run(opened_anew())
            del store
            sys.exit(0)  # which frees everything that can be freed
        children.append(child)
        run(store.commit(Transaction(HERE, (Put(f"parent {number}", b"", 0, 1),))))
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert len(run(store.scan())) == 1 + 5 + 2
    assert run(store.verify()) == []
    run(store.close())
    print("fine")
"""


def test_a_forked_process_is_refused(place: str) -> None:
    program = textwrap.dedent(FORKING)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, place],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


HOLDING = """
    import os, sys, time
    from whichvariant.store.file_lock import FileLock
    lock = FileLock(sys.argv[1] + "-lock", 0o600)
    lock.acquire()
    if os.fork() == 0:
        lock.close()
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


async def test_a_lock_ends_with_its_process(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        program = textwrap.dedent(HOLDING)
        holder = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, str(path)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            waiting = asyncio.create_task(put(store, "p"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            assert await store.find(HERE, "p") is None  # reading goes on
            holder.kill()
            await asyncio.wait_for(waiting, 5)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
            holder.wait()
            holder.stdout.close()


async def test_readers_of_threads_that_ended_are_not_kept(path: pathlib.Path) -> None:
    async with EmbeddedStore.open(path) as store:
        await put(store, "p")

        def look() -> None:
            assert asyncio.run(leads_to(store, "p")) == "p"

        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) < before + 20


async def test_a_busy_loop_does_not_stop_writing(path: pathlib.Path) -> None:
    """The writer gets its turn while Python code runs all the time."""
    async with EmbeddedStore.open(path) as store:
        puts = tuple(Put(f"{at}", b"x", 0, 1) for at in range(50))
        waiting = asyncio.gather(*(store.commit(Transaction(HERE, (one,))) for one in puts))
        await asyncio.sleep(0)
        end = time.monotonic() + 5
        while not waiting.done() and time.monotonic() < end:
            sum(range(2000))
            await asyncio.sleep(0)
        assert waiting.done()
        await waiting

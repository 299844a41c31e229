"""Load that is offered at a rate, whatever becomes of it: clients do not wait for each other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

_TICK_S = 0.01
_ANSWER_S = 30.0


class Outcome(NamedTuple):
    """One request: its status, whether it names a time to come back, how long it took.

    With status 0 there was no answer, and ``problem`` says why.
    """

    status: int
    come_back: bool
    seconds: float
    problem: str = ""


class Offered:
    """What became of a load."""

    def __init__(self, outcomes: list[Outcome], unsent: int, seconds: float) -> None:
        self.outcomes = outcomes
        self.unsent = unsent
        """Requests for which no connection was free: all of them waited for answers."""
        self.seconds = seconds

    @property
    def statuses(self) -> Counter[int]:
        """How many answers of each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def rate(self) -> float:
        """Requests a second that were answered 200."""
        return self.statuses[200] / self.seconds

    def latency_s(self, share: float, *statuses: int) -> float:
        """A quantile of how long answers of these statuses took; 0 if there were none."""
        found = sorted(one.seconds for one in self.outcomes if one.status in statuses)
        return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0


async def offer(
    port: int,
    request: Callable[[int], bytes],
    *,
    seconds: float,
    connections: int,
    rate: float | None = None,
) -> Offered:
    """Send ``request(0)``, ``request(1)``, … for a while, at most one at a time a connection.

    ``rate`` requests a second are offered in even steps; with None each connection sends its next
    request as soon as it has its answer. A request that finds every connection waiting is counted
    and not sent.
    """
    numbers = itertools.count()
    tokens: asyncio.Queue[None] = asyncio.Queue()
    outcomes: list[Outcome] = []
    idle = 0
    end = time.monotonic() + seconds

    async def client() -> None:
        nonlocal idle
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        try:
            while time.monotonic() < end:
                if rate is not None:
                    idle += 1
                    try:
                        async with asyncio.timeout(max(0.0, end - time.monotonic())):
                            await tokens.get()
                    except TimeoutError:
                        return
                    finally:
                        idle -= 1
                begun = time.monotonic()
                problem = ""
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        if reader is None or writer is None:
                            reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.write(request(next(numbers)))
                        status, come_back, closing = await _answer(reader)
                except (OSError, EOFError, TimeoutError) as error:
                    status, come_back, closing = 0, False, True
                    problem = repr(error)
                outcomes.append(Outcome(status, come_back, time.monotonic() - begun, problem))
                if closing and writer is not None:
                    writer.close()
                    reader = writer = None
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    begin = time.monotonic()
    tasks = [asyncio.create_task(client()) for _ in range(connections)]
    unsent = 0
    if rate is not None:
        given = 0
        while time.monotonic() < end:
            due = round((time.monotonic() - begin) * rate) - given
            given += due
            # Tokens that nobody has taken yet have a client that is about to.
            sent = max(0, min(due, idle - tokens.qsize()))
            for _ in range(sent):
                tokens.put_nowait(None)
            unsent += due - sent
            await asyncio.sleep(_TICK_S)
    await asyncio.gather(*tasks)
    return Offered(outcomes, unsent, time.monotonic() - begin)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, bool]:
    """Status, whether there is a Retry-After, and whether the connection ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return int(head.split(b" ", 2)[1]), b"\r\nretry-after:" in head, b"connection: close" in head

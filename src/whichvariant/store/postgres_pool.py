"""The connections of one event loop: lent, given back, made anew when the database was away."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import asyncpg

from whichvariant.errors import StoreClosed, StoreError, StoreReadOnly, StoreUnavailable
from whichvariant.store.postgres_errors import Trouble, store_error, trouble_of
from whichvariant.store.postgres_target import Target

T = TypeVar("T")

# What a session is set to, unless the URL says something else; only what the server knows.
# Plans of our statements are few and known: every one of them goes by an index. A planner that has
# never seen the tables' sizes, because they were empty a minute ago, would read whole tables; and
# one that has would sort all of a namespace for a page of it.
_SESSION: Final = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "default_transaction_isolation": "read committed",
    "jit": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
_SET_SESSION: Final = """
    SELECT set_config(s.name, s.value, false)
    FROM unnest($1::text[], $2::text[]) AS s(name, value)
    JOIN pg_catalog.pg_settings AS p ON p.name = s.name
"""
# Durable when a commit returns: a database whose default is not to wait for its disk is told to.
_SET_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false) FROM pg_catalog.pg_settings
    WHERE name = 'synchronous_commit' AND setting = 'off'
"""
# Longer than the server's own timeouts: only a server that has fallen silent lasts so long.
_SILENCE_S: Final = 20.0
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_MOST_AGAIN: Final = 20
# A connection to a server that takes no writes is kept no longer, in case another one does by then.
_STANDBY_S: Final = 1.0


async def connect(target: Target, silence_s: float | None = _SILENCE_S) -> asyncpg.Connection:
    """A connection to a server that takes writes, or else to one that can be read.

    Where a statement takes longer than ``silence_s``, the server is taken for gone. Raises
    asyncpg's errors and OSError.
    """

    async def attempt(wanted: str | None) -> asyncpg.Connection:
        more = {} if wanted is None else {"target_session_attrs": wanted}
        connection: asyncpg.Connection = await asyncpg.connect(
            target.dsn,
            timeout=target.connect_timeout_s,
            command_timeout=silence_s,
            server_settings={"application_name": "whichvariant"}
            if "application_name" not in target.named
            else None,
            **more,
        )
        return connection

    if target.chooses_host:
        connection = await attempt(None)
    else:
        try:
            connection = await attempt("read-write")
        except asyncpg.TargetServerAttributeNotMatched:
            connection = await attempt("any")
        except OSError:
            if not target.several_hosts:
                raise
            connection = await attempt("any")
    try:
        wanted = {name: value for name, value in _SESSION.items() if name not in target.named}
        await connection.execute(_SET_DURABLE)
        await connection.fetch(_SET_SESSION, list(wanted), list(wanted.values()))
    except BaseException:
        connection.terminate()
        raise
    return connection


class Connections:
    """At most ``target.connections`` connections, all of the running event loop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._idle: list[asyncpg.Connection] = []
        self._lent: set[asyncpg.Connection] = set()
        self._made = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._expires: dict[asyncpg.Connection, float] = {}
        self._closed = ""
        self._read_only_until = 0.0
        # What went wrong lately without failing anybody.
        self.trouble = ""

    @property
    def is_away(self) -> bool:
        """Whether there is no connection at all now."""
        return self._made == 0

    # ---- work ------------------------------------------------------------------------------------

    async def run(
        self,
        work: Callable[[asyncpg.Connection, bool], Awaitable[T]],
        *,
        repeatable: bool = True,
    ) -> T:
        """What ``work(connection, doubt)`` gives, tried again as often as that makes sense.

        After a connection was lost in the middle of it, ``doubt`` is True for all later attempts:
        what the attempt before asked for may have been done, or may yet be done. Where that cannot
        be told, ``repeatable`` must be False.

        Raises:
            StoreError: and those below it.
        """
        doubt = False
        deadline: float | None = None
        pause_s = _FIRST_PAUSE_S
        again = 0
        afresh = False
        while True:
            connection = None
            try:
                connection = await self._take()
                result = await work(connection, doubt)
                self._give_back(connection)
                return result
            except StoreError:
                if connection is not None:
                    await self._tidy(connection)
                raise
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, _INTERNAL) as error:
                kind = trouble_of(error, connection)
                now = self._loop.time()
                known = kind is Trouble.READ_ONLY and now < self._read_only_until
                if connection is not None:
                    if known or kind in (Trouble.AGAIN, Trouble.FAILED):
                        await self._tidy(connection)
                    else:
                        self._discard(connection)
                if kind is Trouble.READ_ONLY and not known:
                    self._look_for_another(now, afresh)
                    afresh = True
                if deadline is None:
                    deadline = now + self._target.patience_s
                if kind is Trouble.LOST and connection is not None:
                    doubt = True
                    self.trouble = f"a connection was lost: {type(error).__name__}"
                    if not repeatable:
                        raise StoreUnavailable(
                            f"{self._target.shown}: the connection was lost; "
                            "what was asked for may or may not have been done"
                        ) from error
                if kind is Trouble.AGAIN:
                    again += 1
                hopeless = (
                    kind is Trouble.FAILED
                    or again > _MOST_AGAIN
                    or known
                    or now + pause_s > deadline
                )
                if hopeless:
                    raise self._final(error, doubt) from error
            except BaseException:
                if connection is not None:
                    self._discard(connection)
                raise
            await asyncio.sleep(pause_s * (0.5 + random.random() / 2))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside of the pool, without limits of time, for long work.

        Raises:
            StoreError: and those below it, also for what happens inside of it.
        """
        connection: asyncpg.Connection | None = None
        try:
            connection = await connect(self._target, silence_s=None)
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("SET idle_in_transaction_session_timeout = 0")
            yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, _INTERNAL) as error:
            raise store_error(error, self._target.shown) from error
        finally:
            if connection is not None:
                await _close(connection)

    def _look_for_another(self, now: float, afresh: bool) -> None:
        """A server took no write: connect anew, since there may be another one at its place now.

        ``afresh``: that was done already, in vain. Then let nobody else try for a while, unless the
        URL names several servers, of which one is about to take over.
        """
        if afresh and not self._target.several_hosts:
            self._read_only_until = now + _STANDBY_S
        for connection in list(self._idle):
            self._idle.remove(connection)
            self._discard(connection)

    def _final(self, error: BaseException, doubt: bool) -> StoreError:
        final = store_error(error, self._target.shown)
        if doubt and not isinstance(final, StoreReadOnly):
            return StoreUnavailable(f"{final}; what was asked for may or may not have been done")
        return final

    # ---- lending ---------------------------------------------------------------------------------

    async def _take(self) -> asyncpg.Connection:
        deadline = self._loop.time() + self._target.pool_timeout_s
        while True:
            if self._closed:
                raise StoreClosed(self._closed)
            while self._idle:
                connection = self._idle.pop()
                if connection.is_closed() or self._is_old(connection):
                    self._discard(connection)
                    continue
                self._lent.add(connection)
                return connection
            if self._made < self._target.connections:
                return await self._make()
            await self._wait(deadline)

    async def _make(self) -> asyncpg.Connection:
        self._made += 1
        try:
            connection = await connect(self._target)
        except BaseException:
            self._made -= 1
            self._wake()
            raise
        if self._closed:
            self._made -= 1
            connection.terminate()
            raise StoreClosed(self._closed)
        try:
            if await connection.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
                self._expires[connection] = self._loop.time() + _STANDBY_S
        except asyncpg.UndefinedFunctionError:
            pass  # not every database that speaks PostgreSQL's protocol has standbys
        except BaseException:
            self._made -= 1
            connection.terminate()
            raise
        self._lent.add(connection)
        return connection

    async def _wait(self, deadline: float) -> None:
        turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._target.shown}: all {self._target.connections} connections have been busy "
                f"for {self._target.pool_timeout_s:g} s"
            ) from None
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.cancelled():
                self._wake()

    def _is_old(self, connection: asyncpg.Connection) -> bool:
        expires = self._expires.get(connection)
        return expires is not None and self._loop.time() > expires

    def _give_back(self, connection: asyncpg.Connection) -> None:
        self._lent.discard(connection)
        if connection.is_closed() or self._closed:
            self._discard(connection)
            return
        self._idle.append(connection)
        self._wake()

    async def _tidy(self, connection: asyncpg.Connection) -> None:
        """Give back a connection on which something failed."""
        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, _INTERNAL):
            self._discard(connection)
            return
        except BaseException:
            self._discard(connection)
            raise
        self._give_back(connection)

    def _discard(self, connection: asyncpg.Connection) -> None:
        self._lent.discard(connection)
        self._expires.pop(connection, None)
        self._made -= 1
        connection.terminate()
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def close(self, why: str) -> None:
        """Close what is idle now, and the rest when it comes back. What waits is refused."""
        if not self._closed:
            self._closed = why
        idle, self._idle = self._idle, []
        self._made -= len(idle)
        while self._waiting:
            self._wake()
        await asyncio.gather(*map(_close, idle))

    def terminate(self, why: str) -> None:
        """Let go of everything at once, what is in use included."""
        if not self._closed:
            self._closed = why
        for connection in (*self._idle, *self._lent):
            connection.terminate()
        self._idle.clear()


_INTERNAL = asyncpg.InternalClientError


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, _INTERNAL):
        connection.terminate()

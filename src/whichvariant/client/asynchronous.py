"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from whichvariant.client.answers import Profile, ProfileAnswer
from whichvariant.client.calls import (
    HOSTED,
    MOST_BYTES,
    Api,
    Call,
    CallOptions,
    EventOptions,
    Reply,
    Wait,
    steps,
)
from whichvariant.client.retries import RetryPolicy
from whichvariant.client.sending import (
    TIMEOUT_S,
    Remaining,
    checked_address,
    checked_timeout,
    failed,
    no_cookies,
    request_parts,
    timed_out,
    too_large,
)
from whichvariant.errors import ClientError

T = TypeVar("T")

_DEFAULT_RETRIES = RetryPolicy()


class AsyncExperienceClient:
    """The Experience API for asyncio: the hosted one, or a server of this project.

    ::

        async with AsyncExperienceClient("organization", "main") as client:
            answer = await client.create([events.page(context)])
            answer.profile.id, answer.experiences, answer.changes

    Everything is as in `ExperienceClient`. One client belongs to one event loop. A call that is
    cancelled leaves its connection closed, and may have reached the server.
    """

    def __init__(
        self,
        organization: str,
        environment: str = "main",
        *,
        base_url: str = HOSTED,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = _DEFAULT_RETRIES,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._api = Api(organization, environment, checked_address(base_url))
        self._timeout_s = checked_timeout(timeout_s)
        self._retries = retries
        self._own = http is None
        self._http = http or httpx.AsyncClient(
            proxy=proxy, transport=transport, cookies=no_cookies()
        )

    # ---- one profile --------------------------------------------------------------------------

    async def create(
        self,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """As `ExperienceClient.create`."""
        return await self._run(self._api.create(events, options, preflight=preflight))

    async def update(
        self,
        profile_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """As `ExperienceClient.update`."""
        return await self._run(self._api.update(profile_id, events, options, preflight=preflight))

    async def upsert(
        self,
        profile_id: str | None,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """As `ExperienceClient.upsert`."""
        if profile_id:
            return await self.update(profile_id, events, preflight=preflight, **options)
        return await self.create(events, preflight=preflight, **options)

    async def get(self, profile_id: str, **options: Unpack[CallOptions]) -> ProfileAnswer:
        """As `ExperienceClient.get`."""
        return await self._run(self._api.get(profile_id, options))

    async def delete(self, profile_id: str, **options: Unpack[CallOptions]) -> None:
        """As `ExperienceClient.delete`."""
        await self._run(self._api.delete(profile_id, options))

    # ---- many profiles ------------------------------------------------------------------------

    async def upsert_many(
        self, events: Sequence[Mapping[str, Any]], **options: Unpack[EventOptions]
    ) -> tuple[Profile, ...]:
        """As `ExperienceClient.upsert_many`."""
        return await self._run(self._api.upsert_many(events, options))

    async def import_many(
        self, events: Sequence[Mapping[str, Any]], **options: Unpack[EventOptions]
    ) -> None:
        """As `ExperienceClient.import_many`."""
        await self._run(self._api.import_many(events, options))

    # ---- the connection -----------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close connections."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, call: Call[T]) -> T:
        course = steps(call, self._retries)
        came: Reply | ClientError | None = None
        while True:
            try:
                step = course.send(came)
            except StopIteration as end:
                answer: T = end.value
                return answer
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                came = None
            else:
                came = await self._send(step)

    async def _send(self, call: Call[Any]) -> Reply | ClientError:
        remaining = Remaining(checked_timeout(call.timeout_s or self._timeout_s))
        try:
            async with asyncio.timeout(remaining.limit_s):
                request = self._http.build_request(**request_parts(call, remaining))
                response = await self._http.send(request, stream=True)
                try:
                    pieces, size = [], 0
                    async for piece in response.aiter_bytes():
                        size += len(piece)
                        if size > MOST_BYTES:
                            return too_large(call)
                        pieces.append(piece)
                finally:
                    await response.aclose()
        except TimeoutError:
            return timed_out(call, remaining)
        except httpx.RequestError as error:
            return failed(call, remaining, error)
        return Reply(response.status_code, response.headers, b"".join(pieces))

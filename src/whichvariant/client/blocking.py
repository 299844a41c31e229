"""The client for programs with threads."""

from __future__ import annotations

import time
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


class ExperienceClient:
    """The Experience API: the hosted one, or a server of this project.

    ::

        with ExperienceClient("organization", "main") as client:
            answer = client.create([events.page(context)])
            answer.profile.id, answer.experiences, answer.changes

    Safe to share between threads. `AsyncExperienceClient` is the same for asyncio.

    Parameters
    ----------
    organization, environment
        What the client speaks of; the SDKs call the first ``clientId``.
    base_url
        The server, by default the hosted API. It may have a path.
    timeout_s
        How long an answer may take, from connecting to its last byte, each time that it is sent.
    retries
        When a request is sent again; by default as in the SDKs.
    proxy
        The address of a proxy. Without one, those that the environment names.
    transport
        How requests get to a server, in place of the network.
    http
        An httpx client to use. It is not closed by this one, and brings its own proxies, limits,
        certificates and headers; its timeouts do not count.

    Notes
    -----
    Every method raises ClientError: ApiError and its kinds for refusals, ApiUnavailable,
    ApiTimeout, InvalidResponse; and EventError or InputError for what cannot be sent at all.
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
        transport: httpx.BaseTransport | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._api = Api(organization, environment, checked_address(base_url))
        self._timeout_s = checked_timeout(timeout_s)
        self._retries = retries
        self._own = http is None
        self._http = http or httpx.Client(proxy=proxy, transport=transport, cookies=no_cookies())

    # ---- one profile --------------------------------------------------------------------------

    def create(
        self,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """Make a profile, apply the events to it, and decide.

        ``preflight`` computes the same and stores nothing; the id in the answer works in an
        `update` all the same.
        """
        return self._run(self._api.create(events, options, preflight=preflight))

    def update(
        self,
        profile_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """Apply events to a profile and decide."""
        return self._run(self._api.update(profile_id, events, options, preflight=preflight))

    def upsert(
        self,
        profile_id: str | None,
        events: Sequence[Mapping[str, Any]],
        *,
        preflight: bool = False,
        **options: Unpack[EventOptions],
    ) -> ProfileAnswer:
        """`update` where there is an id, `create` where there is none: the SDKs' `upsertProfile`.

        An id that nobody knows is an ApiProfileNotFound, here as there: profiles at ids of one's
        own are made by `upsert_many`.
        """
        if profile_id:
            return self.update(profile_id, events, preflight=preflight, **options)
        return self.create(events, preflight=preflight, **options)

    def get(self, profile_id: str, **options: Unpack[CallOptions]) -> ProfileAnswer:
        """A profile and what is decided for it now."""
        return self._run(self._api.get(profile_id, options))

    def delete(self, profile_id: str, **options: Unpack[CallOptions]) -> None:
        """Erase a profile; all its ids are unknown from then on."""
        self._run(self._api.delete(profile_id, options))

    # ---- many profiles ------------------------------------------------------------------------

    def upsert_many(
        self, events: Sequence[Mapping[str, Any]], **options: Unpack[EventOptions]
    ) -> tuple[Profile, ...]:
        """Apply events each at its `anonymousId`; profiles that do not exist are made there.

        At most 200 events, 50 of them identify events, of 50 profiles. Gives one profile for every
        id, without selections.
        """
        return self._run(self._api.upsert_many(events, options))

    def import_many(
        self, events: Sequence[Mapping[str, Any]], **options: Unpack[EventOptions]
    ) -> None:
        """As `upsert_many`, but the server does the work later, and says nothing about it."""
        self._run(self._api.import_many(events, options))

    # ---- the connection -----------------------------------------------------------------------

    def close(self) -> None:
        """Close connections."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Call[T]) -> T:
        course = steps(call, self._retries)
        came: Reply | ClientError | None = None
        while True:
            try:
                step = course.send(came)
            except StopIteration as end:
                answer: T = end.value
                return answer
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                came = None
            else:
                came = self._send(step)

    def _send(self, call: Call[Any]) -> Reply | ClientError:
        remaining = Remaining(checked_timeout(call.timeout_s or self._timeout_s))
        try:
            request = self._http.build_request(**request_parts(call, remaining))
            response = self._http.send(request, stream=True)
            try:
                pieces, size = [], 0
                for piece in response.iter_bytes():
                    size += len(piece)
                    if size > MOST_BYTES:
                        return too_large(call)
                    if remaining.over:
                        return timed_out(call, remaining)
                    pieces.append(piece)
            finally:
                response.close()
        except httpx.RequestError as error:
            return failed(call, remaining, error)
        return Reply(response.status_code, response.headers, b"".join(pieces))

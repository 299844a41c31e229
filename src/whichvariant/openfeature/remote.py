"""A provider that asks a server of this project (docs/openfeature.md#a-server-from-python).

It speaks OFREP, as OpenFeature's own provider does, and beyond that: it waits for nobody in a
coroutine, says when the server's configuration changes or the server is gone, knows experiences by
number, and sends what is tracked to the visitor's profile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.track import TrackingEventDetails

from whichvariant import clock
from whichvariant.client import ExperienceClient
from whichvariant.errors import ClientError, InputError
from whichvariant.flags import MISMATCH, FlagKind, with_dates_as_texts
from whichvariant.flags.flag import as_kinds
from whichvariant.openfeature.resolutions import failed
from whichvariant.openfeature.resolving import ResolvingProvider
from whichvariant.openfeature.ticking import Ticker
from whichvariant.openfeature.tracking import track_event

_LOG = logging.getLogger("whichvariant.openfeature")

_WAITING_EVENTS = 1_000
_PAUSE_S = 1.0


class RemoteWhichVariantProvider(ResolvingProvider):
    """Flags that a server of this project decides.

    They are those of `WhichVariantProvider`, but that an experience by its id is no object here.

    Parameters
    ----------
    organization, environment
        Whose flags.
    base_url
        The server.
    timeout_s
        How long an evaluation may take.
    poll_s
        How often the server is asked whether its configuration is another one; 0 is never.
    hooks
        The provider's own hooks.
    http
        An httpx client to use. It is not closed by the provider.

    Notes
    -----
    What is tracked goes to the profile whose id is the targeting key, which is made if there is
    none. It is sent in the background; events that wait when `shutdown` is called are sent first.
    """

    def __init__(
        self,
        organization: str,
        environment: str = "main",
        *,
        base_url: str,
        timeout_s: float = 3.0,
        poll_s: float = 30.0,
        hooks: Sequence[Hook] = (),
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(hooks)
        place = f"/v2/organizations/{quote(organization, safe='')}"
        place += f"/environments/{quote(environment, safe='')}"
        self._flags_url = f"{base_url.rstrip('/')}{place}/ofrep/v1/evaluate/flags"
        self._timeout_s = timeout_s
        self._place = organization, environment
        self._base_url = base_url
        self._given = http
        self._connect()
        self._ticker = Ticker(poll_s, self._poll)
        self._ready = False
        self._etag: str | None = None
        self._digest = ""
        self._not_before_s = 0.0
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None

    # ---- life ---------------------------------------------------------------------------------

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Ask the server whether it has this environment.

        GeneralError if it does not say so. Asking goes on: once it does, the provider is ready.
        """
        if self._sender is None:
            self._sender = threading.Thread(
                target=self._send, name="whichvariant-openfeature-tracking", daemon=True
            )
            self._sender.start()
        try:
            self._look()
            self._ready = True
        except _Unreachable as error:
            raise GeneralError(str(error)) from error
        finally:
            self._ticker.start()

    def shutdown(self) -> None:
        """Send what waits, and ask no more."""
        self._ticker.stop()
        self._ready = False
        sender, self._sender = self._sender, None
        if sender is not None:
            self._events.put(None)
            sender.join(2 * self._timeout_s)
        if self._given is None:
            self._http.close()
            # For whoever initialises it again.
            self._connect()

    def _connect(self) -> None:
        self._http = self._given or httpx.Client()
        self._client = ExperienceClient(
            *self._place, base_url=self._base_url, timeout_s=self._timeout_s, http=self._http
        )

    def _look(self) -> bool:
        """Whether the configuration is another one than before. _Unreachable if it is not told."""
        headers = {} if self._etag is None else {"if-none-match": self._etag}
        try:
            answer = self._http.post(
                self._flags_url, json={}, headers=headers, timeout=self._timeout_s
            )
        except httpx.HTTPError as error:
            raise _Unreachable(f"{type(error).__name__}: {error}") from error
        if answer.status_code == 304:
            return False
        if answer.status_code != 200:
            raise _Unreachable(_details(answer))
        self._etag = answer.headers.get("etag")
        before = self._digest
        self._digest = answer.headers.get("x-whichvariant-configuration", "")
        return before not in ("", self._digest)

    def _poll(self) -> None:
        try:
            changed = self._look()
        except _Unreachable as error:
            was_ready, self._ready = self._ready, False
            if was_ready:
                self.emit_provider_stale(ProviderEventDetails(message=str(error)))
            return
        was_ready, self._ready = self._ready, True
        metadata: dict[str, bool | str | int | float] = {"configuration": self._digest}
        if not was_ready:
            self.emit_provider_ready(ProviderEventDetails(metadata=metadata))
        if changed:
            # Which flags those are is the server's to know.
            self.emit_provider_configuration_changed(ProviderEventDetails(metadata=metadata))

    # ---- evaluation ---------------------------------------------------------------------------

    async def resolve_boolean_details_async(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """In a thread, as the others of these."""
        return await self._later("boolean", flag_key, default_value, evaluation_context)

    async def resolve_string_details_async(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """In a thread."""
        return await self._later("string", flag_key, default_value, evaluation_context)

    async def resolve_integer_details_async(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """In a thread."""
        return await self._later("integer", flag_key, default_value, evaluation_context)

    async def resolve_float_details_async(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """In a thread."""
        return await self._later("float", flag_key, default_value, evaluation_context)

    async def resolve_object_details_async(
        self,
        flag_key: str,
        default_value: Any,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """In a thread."""
        return await self._later("object", flag_key, default_value, evaluation_context)

    async def _later(
        self, kind: FlagKind, key: str, default: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        return await asyncio.to_thread(self._resolve, kind, key, default, context)

    def _resolve(
        self, kind: FlagKind, key: str, default: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        if clock.monotonic_s() < self._not_before_s:
            return failed(default, ErrorCode.GENERAL, "the server asked for a pause")
        given: dict[str, Any] = {}
        try:
            if context is not None:
                given.update(with_dates_as_texts(context.attributes))
                if context.targeting_key:
                    given["targetingKey"] = context.targeting_key
            body = json.dumps({"context": given}, allow_nan=False).encode()
        except (InputError, TypeError, ValueError) as error:
            return failed(default, ErrorCode.INVALID_CONTEXT, str(error))
        try:
            answer = self._http.post(
                f"{self._flags_url}/{quote(key, safe='')}",
                content=body,
                headers={"content-type": "application/json"},
                timeout=self._timeout_s,
            )
        except httpx.HTTPError as error:
            return failed(default, ErrorCode.GENERAL, f"{type(error).__name__}: {error}")
        if answer.status_code == 429:
            self._not_before_s = clock.monotonic_s() + _seconds(answer)
        try:
            said = answer.json()
        except ValueError:
            return failed(default, ErrorCode.PARSE_ERROR, f"answered {answer.status_code}, no JSON")
        if answer.status_code != 200 or not isinstance(said, dict):
            return failed(default, _code(said), _details(answer))
        return _resolution(kind, key, default, said)

    # ---- tracking -----------------------------------------------------------------------------

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Send a ``track`` event to the visitor's profile, later. Without a visitor, nothing.

        ValueError for a name that is no text, or empty. Where too many wait, it is dropped, and
        the log says so.
        """
        event = track_event(tracking_event_name, tracking_event_details)
        key = None if evaluation_context is None else evaluation_context.targeting_key
        if not key:
            return
        if self._events.qsize() >= _WAITING_EVENTS:
            _LOG.warning("a tracking event is dropped: %d wait already", _WAITING_EVENTS)
            return
        self._events.put({**event, "anonymousId": key})

    def _send(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self._client.import_many([event])
            except (ClientError, InputError) as error:
                _LOG.warning("a tracking event could not be sent: %s", error)


class _Unreachable(Exception):  # noqa: N818 - named for what happened
    """The server does not answer as it should."""


def _resolution(
    kind: FlagKind, key: str, default: Any, said: Mapping[str, Any]
) -> FlagResolutionDetails[Any]:
    metadata = said.get("metadata") or {}
    variant = said.get("variant")
    if "value" not in said:
        return FlagResolutionDetails(default, None, None, said.get("reason"), None, metadata)
    kinds = dict(as_kinds(said["value"]))
    if metadata.get("experienceId") == key and "string" in kinds:
        # The protocol has one value; that of an experience is the variant's name.
        kinds |= as_kinds(metadata.get("variantIndex"))
    value = kinds.get(kind, MISMATCH)
    if value is MISMATCH:
        return failed(default, ErrorCode.TYPE_MISMATCH, f"{key!r} is no {kind} with {variant}")
    return FlagResolutionDetails(value, None, None, said.get("reason"), variant, metadata)


def _code(said: Any) -> ErrorCode:
    try:
        return ErrorCode(said["errorCode"])
    except (KeyError, TypeError, ValueError):
        return ErrorCode.GENERAL


def _details(answer: httpx.Response) -> str:
    try:
        details = answer.json()["errorDetails"]
    except (KeyError, TypeError, ValueError):
        return f"answered {answer.status_code}"
    return f"answered {answer.status_code}: {details}"


def _seconds(answer: httpx.Response) -> float:
    said = answer.headers.get("retry-after", "")
    return min(float(said), 3600.0) if said.isdigit() else _PAUSE_S

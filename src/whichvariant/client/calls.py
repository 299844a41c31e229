"""Requests and answers of the API, without any network: what both clients share.

A `Call` is one request, ready to be sent. `steps` is the whole course of one: it says what to do
next, is told what came of it, and ends with the answer or the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import orjson

from whichvariant.client.answers import (
    Mismatch,
    Profile,
    ProfileAnswer,
    read_profile_answer,
    read_profiles,
)
from whichvariant.client.retries import Repeatable, RetryPolicy
from whichvariant.errors import (
    ApiConfigurationNotFound,
    ApiError,
    ApiInternalError,
    ApiInvalidData,
    ApiNamespaceMismatch,
    ApiProfileNotFound,
    ApiProfileOverload,
    ApiUnavailable,
    ClientError,
    EventError,
    InputError,
    InvalidResponse,
)
from whichvariant.profiles.json_values import check_json

T = TypeVar("T")

HOSTED = "https://experience.ninetailed.co"
"""Where the hosted API is."""

MOST_BYTES = 64 << 20
"""The largest answer that is read."""

_UNAVAILABLE = frozenset({502, 503, 504})
_BY_CODE: dict[str, type[ApiError]] = {
    "ERR_INVALID_DATA": ApiInvalidData,
    "ERR_CONFIG_NOT_FOUND": ApiConfigurationNotFound,
    "ERR_PROFILE_NOT_FOUND": ApiProfileNotFound,
    "ERR_NAMESPACE_MISMATCH": ApiNamespaceMismatch,
    "ERR_PROFILE_OVERLOAD": ApiProfileOverload,
    "ERR_INTERNAL_SERVER_ERROR": ApiInternalError,
}
_SECONDS = re.compile(r"[0-9]{1,6}")
_LONGEST_MESSAGE = 1_000
# In a path they would be steps, not names.
_DOTS = {".": "%2E", "..": "%2E%2E"}


class CallOptions(TypedDict, total=False):
    """What every request takes.

    ``locale`` is the language of country and city in the answer. ``timeout_s`` goes before the
    client's. ``traceparent`` is the W3C trace context of what this request is part of. ``ip`` is
    the visitor's address, for servers that look up where it is (`X-Force-IP`).
    """

    locale: str
    timeout_s: float
    traceparent: str
    ip: str


class EventOptions(CallOptions, total=False):
    """What requests with events take besides.

    ``features`` are ``location`` and ``ip-enrichment``; ``location`` is where the visitor is, in
    the API's shape: both are options of the API, for one profile only. ``plain_text`` says whether
    the body is called `text/plain`, by default as the SDKs do.
    """

    features: Sequence[str]
    location: Mapping[str, Any]
    plain_text: bool


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request of the API, and how its answer is read."""

    name: str
    method: str
    target: str
    headers: dict[str, str]
    content: bytes | None
    repeatable: Repeatable
    read: Callable[[Any, Mapping[str, str]], T]
    timeout_s: float | None = None
    done_by: type[ApiError] | None = None
    """The refusal which says, of a request that was sent before, that it has been carried out."""


class Reply(NamedTuple):
    """What came back. Names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wait(NamedTuple):
    """Wait before what is next."""

    seconds: float


class Api:
    """Makes the calls of one environment.

    ``base_url`` may have a path. ValueError if it is no address of a server.
    """

    def __init__(self, organization: str, environment: str, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"base_url: {base_url!r} is not the address of an HTTP server")
        if parts.query or parts.fragment:
            raise ValueError("base_url: it must have neither a query nor a fragment")
        for name, value in (("organization", organization), ("environment", environment)):
            if not value:
                raise ValueError(f"{name} must not be empty")
        self.base_url = base_url.rstrip("/")
        self._root = (
            f"/v2/organizations/{_segment(organization)}/environments/{_segment(environment)}"
        )

    def create(
        self, events: Sequence[Mapping[str, Any]], options: EventOptions, *, preflight: bool
    ) -> Call[ProfileAnswer]:
        """Create profile."""
        return self._with_events(
            "Create profile", "profiles", events, options, preflight=preflight, creates=True
        )

    def update(
        self,
        profile_id: str,
        events: Sequence[Mapping[str, Any]],
        options: EventOptions,
        *,
        preflight: bool,
    ) -> Call[ProfileAnswer]:
        """Update profile."""
        path = f"profiles/{_profile(profile_id)}"
        return self._with_events("Update profile", path, events, options, preflight=preflight)

    def get(self, profile_id: str, options: CallOptions) -> Call[ProfileAnswer]:
        """Get profile."""
        return Call(
            "Get profile",
            "GET",
            self._target(f"profiles/{_profile(profile_id)}", options),
            _headers(options),
            None,
            "always",
            _one,
            options.get("timeout_s"),
        )

    def delete(self, profile_id: str, options: CallOptions) -> Call[None]:
        """Delete profile."""
        return Call(
            "Delete profile",
            "DELETE",
            self._target(f"profiles/{_profile(profile_id)}", options),
            _headers(options),
            None,
            "always",
            _nothing,
            options.get("timeout_s"),
            ApiProfileNotFound,
        )

    def upsert_many(
        self, events: Sequence[Mapping[str, Any]], options: EventOptions
    ) -> Call[tuple[Profile, ...]]:
        """Batch upsert profiles (sync)."""
        return self._batch("Batch upsert profiles (sync)", "events", events, options, _many)

    def import_many(self, events: Sequence[Mapping[str, Any]], options: EventOptions) -> Call[None]:
        """Batch upsert profiles (async)."""
        return self._batch(
            "Batch upsert profiles (async)", "import/events", events, options, _nothing
        )

    def _with_events(
        self,
        name: str,
        path: str,
        events: Sequence[Mapping[str, Any]],
        options: EventOptions,
        *,
        preflight: bool,
        creates: bool = False,
    ) -> Call[ProfileAnswer]:
        content = _body(events, options)
        repeatable: Repeatable = "always"
        if not preflight:
            # A profile that was created twice is two, whatever its events say.
            repeatable = _repeatable(events, "refused" if creates else "always")
        return Call(
            name,
            "POST",
            self._target(path, options, preflight=preflight),
            _headers(options, plain_text=options.get("plain_text", True)),
            content,
            repeatable,
            _one,
            options.get("timeout_s"),
        )

    def _batch(
        self,
        name: str,
        path: str,
        events: Sequence[Mapping[str, Any]],
        options: EventOptions,
        read: Callable[[Any, Mapping[str, str]], T],
    ) -> Call[T]:
        content = _body(events, options)
        return Call(
            name,
            "POST",
            self._target(path, options),
            _headers(options, plain_text=options.get("plain_text", False)),
            content,
            _repeatable(events, "always"),
            read,
            options.get("timeout_s"),
        )

    def _target(self, path: str, options: CallOptions, *, preflight: bool = False) -> str:
        query = {"type": "preflight"} if preflight else {}
        if options.get("locale"):
            query["locale"] = options["locale"]
        return f"{self.base_url}{self._root}/{path}{'?' if query else ''}{urlencode(query)}"


Course: TypeAlias = Generator[Call[T] | Wait, Reply | ClientError | None, T]
"""What to do next; what came of it, None of a pause; the answer."""


def steps(call: Call[T], policy: RetryPolicy) -> Course[T]:
    """The course of one request. Gives what to do next, and is sent what came of it.

    For a `Call` that is what came back, or the error with which nothing did. Returns the answer;
    raises ClientError.
    """
    tried = 0
    while True:
        came = yield call
        assert came is not None
        tried += 1
        if isinstance(came, Reply):
            try:
                return _read(call, came)
            except ClientError as error:
                came = error
        if tried > 1 and call.done_by is not None and isinstance(came, call.done_by):
            return call.read({}, {})
        pause_s = policy.pause_s(came, call.repeatable, tried)
        if pause_s is None:
            raise came
        if pause_s > 0:
            yield Wait(pause_s)


# ---- requests -----------------------------------------------------------------------------------


def _segment(name: str) -> str:
    try:
        return _DOTS.get(name) or quote(name, safe="")
    except UnicodeEncodeError:
        raise InputError("", f"{name!r} has a lone surrogate, which no address can have") from None


def _profile(profile_id: str) -> str:
    if not profile_id:
        raise InputError("profile_id", "must not be empty")
    return _segment(profile_id)


def _headers(options: CallOptions, *, plain_text: bool | None = None) -> dict[str, str]:
    headers: dict[str, str] = {}
    if plain_text is not None:
        headers["content-type"] = "text/plain" if plain_text else "application/json"
    for name, header in (("ip", "x-force-ip"), ("traceparent", "traceparent")):
        value = options.get(name)
        if value:
            text = str(value)
            if not (text.isascii() and text.isprintable()):
                raise InputError(name, "a header holds printable ASCII characters")
            headers[header] = text
    return headers


def _body(events: Sequence[Mapping[str, Any]], options: EventOptions) -> bytes:
    if isinstance(events, str | bytes | Mapping) or not isinstance(events, Sequence):
        raise EventError("events", f"expected a list, got {type(events).__name__}")
    given: dict[str, Any] = {}
    if options.get("features"):
        given["features"] = list(options["features"])
    if "location" in options:
        given["location"] = options["location"]
    check_json(events, "events")
    check_json(given, "options")
    body = {"events": events, **({"options": given} if given else {})}
    try:
        return orjson.dumps(body, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise EventError("events", f"not JSON: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _repeatable(events: Sequence[Mapping[str, Any]], known: Repeatable) -> Repeatable:
    """By whether a server can tell every event from another one like it."""
    named = (isinstance(event, Mapping) and bool(event.get("messageId")) for event in events)
    return known if all(named) else "never"


# ---- answers ------------------------------------------------------------------------------------


def _read(call: Call[T], reply: Reply) -> T:
    try:
        envelope = orjson.loads(reply.body)
    except ValueError:
        envelope = None
    traceparent = reply.headers.get("traceparent")
    if reply.status != 200:
        raise _refusal(call.name, reply, envelope, traceparent)
    if not isinstance(envelope, dict) or "data" not in envelope:
        raise InvalidResponse(
            "the answer has no envelope with data", request=call.name, traceparent=traceparent
        )
    try:
        return call.read(envelope["data"], reply.headers)
    except Mismatch as error:
        raise InvalidResponse(str(error), request=call.name, traceparent=traceparent) from None


def _refusal(name: str, reply: Reply, envelope: Any, traceparent: str | None) -> ClientError:
    code, message = "", f"answered {reply.status}"
    if isinstance(envelope, dict):
        error = envelope.get("error")
        said = error.get("code") if isinstance(error, dict) else None
        code = said if isinstance(said, str) else ""
        text = envelope.get("message")
        if isinstance(text, str) and text:
            message = f"{message}, {code}: {text[:_LONGEST_MESSAGE]}" if code else message
    retry_after_s = _seconds(reply.headers.get("retry-after"))
    if reply.status in _UNAVAILABLE:
        return ApiUnavailable(
            message,
            status=reply.status,
            code=code,
            retry_after_s=retry_after_s,
            request=name,
            traceparent=traceparent,
        )
    return _BY_CODE.get(code, ApiError)(
        message,
        status=reply.status,
        code=code,
        retry_after_s=retry_after_s,
        request=name,
        traceparent=traceparent,
    )


def _seconds(text: str | None) -> float | None:
    """What `Retry-After` asks for in seconds; as a date it is not read, since clocks differ."""
    found = _SECONDS.fullmatch(text.strip()) if text else None
    return float(found[0]) if found else None


def _one(data: Any, headers: Mapping[str, str]) -> ProfileAnswer:
    return read_profile_answer(data, headers.get("x-whichvariant-configuration"))


def _many(data: Any, headers: Mapping[str, str]) -> tuple[Profile, ...]:
    return read_profiles(data)


def _nothing(data: Any, headers: Mapping[str, str]) -> None:
    return None

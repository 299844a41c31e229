"""What the two clients do alike with httpx: settings, requests, and what becomes of its errors."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from whichvariant import clock
from whichvariant.client.calls import MOST_BYTES, Call
from whichvariant.errors import ApiTimeout, ApiUnavailable, ClientError, InvalidResponse

TIMEOUT_S = 3.0
"""How long an answer may take, as in the vendor's SDKs."""

_SHORTEST_S = 0.001
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _agent() -> str:
    try:
        return f"whichvariant/{version('whichvariant')}"
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "whichvariant"


AGENT = _agent()


class Remaining(dict[str, float]):
    """What is left of a time limit, in the shape in which httpx reads its timeouts.

    httpx limits each of connecting, sending and receiving by itself. Here each gets what the ones
    before have left, so that the limit is one for all.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.limit_s = seconds
        self._until = clock.monotonic_s() + seconds

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return clock.monotonic_s() >= self._until

    def get(self, key: str, default: Any = None) -> float:
        """The seconds that are left, for whatever is asked."""
        return max(self._until - clock.monotonic_s(), _SHORTEST_S)


def checked_timeout(seconds: float) -> float:
    """A time limit. ValueError if it is none."""
    if not 0 < seconds < float("inf"):
        raise ValueError("timeout_s must be more than 0")
    return seconds


def checked_address(base_url: str) -> str:
    """The address of a server. ValueError if httpx cannot ask it."""
    try:
        return str(httpx.URL(base_url))
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url: {error}") from None


def no_cookies() -> CookieJar:
    """A jar that takes none: what a server sets for one visitor must not reach the next."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def request_parts(call: Call[Any], remaining: Remaining) -> dict[str, Any]:
    """The call as httpx wants it."""
    return {
        "method": call.method,
        "url": call.target,
        "headers": {"accept": "application/json", "user-agent": AGENT, **call.headers},
        "content": call.content,
        "extensions": {"timeout": remaining},
    }


def timed_out(call: Call[Any], remaining: Remaining) -> ApiTimeout:
    """The answer is not all there, and the time is over."""
    return ApiTimeout(f"no answer within {remaining.limit_s:g} s", request=call.name)


def failed(call: Call[Any], remaining: Remaining, error: httpx.RequestError) -> ClientError:
    """What an error of httpx means."""
    sent = not isinstance(error, _UNSENT)
    if isinstance(error, httpx.TimeoutException):
        message = f"no answer within {remaining.limit_s:g} s"
        return ApiTimeout(message, sent=sent, request=call.name)
    if isinstance(error, httpx.DecodingError):
        return InvalidResponse(f"the answer cannot be decoded: {error}", request=call.name)
    said = str(error) or type(error).__name__
    what = "the connection was lost" if sent else "no connection"
    return ApiUnavailable(f"{what}: {said}", sent=sent, request=call.name)


def too_large(call: Call[Any]) -> InvalidResponse:
    """The answer is larger than any answer of this API."""
    return InvalidResponse(f"an answer of more than {MOST_BYTES >> 20} MiB", request=call.name)

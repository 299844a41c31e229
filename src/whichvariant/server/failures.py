"""What becomes of an error: a status, a code of the API, a message. One table."""

from __future__ import annotations

from typing import NamedTuple

from whichvariant.errors import (
    ConfigurationUnavailable,
    InputError,
    ServiceError,
    StoreClosed,
    StoreFull,
    StoreReadOnly,
    StoreRefused,
    StoreUnavailable,
)
from whichvariant.server.envelope import INTERNAL, INVALID_DATA

_STATUS = {
    "ERR_INVALID_DATA": 400,
    "ERR_CONFIG_NOT_FOUND": 404,
    "ERR_PROFILE_NOT_FOUND": 404,
    "ERR_NAMESPACE_MISMATCH": 404,
    "ERR_PROFILE_OVERLOAD": 429,
    "ERR_INTERNAL_SERVER_ERROR": 500,
}

RETRY_AFTER = (b"retry-after", b"1")


class Refused(Exception):  # noqa: N818 - named for what happened
    """A request that ends here: HTTP says more than the API's codes do."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = INVALID_DATA,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers
        self.close = close


class Failure(NamedTuple):
    """How a request failed. ``expected`` is False where an operator should look into it."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    expected: bool = True


def failure_of(error: Exception) -> Failure:
    """The answer to an error.

    What a client did wrong is said in full, with its path. What went wrong here is not: the message
    may name files and addresses, which are the operator's business and stand in the log.
    """
    if isinstance(error, Refused):
        return Failure(error.status, error.code, error.message, error.headers)
    if isinstance(error, ConfigurationUnavailable):
        return Failure(503, error.code, str(error), (RETRY_AFTER,))
    if isinstance(error, ServiceError):
        status = _STATUS[error.code]
        headers = (RETRY_AFTER,) if status == 429 else ()
        return Failure(status, error.code, str(error), headers)
    if isinstance(error, InputError | StoreRefused):
        return Failure(400, INVALID_DATA, str(error))
    if isinstance(error, StoreFull | StoreReadOnly | StoreClosed):
        # It may be over soon, and nothing was applied: the SDKs try once more.
        message = "profiles cannot be written at the moment"
        return Failure(503, INTERNAL, message, (RETRY_AFTER,), expected=False)
    if isinstance(error, StoreUnavailable):
        # Perhaps it was applied: whoever tries again with the same messageId changes nothing twice.
        message = "profiles cannot be reached at the moment"
        return Failure(503, INTERNAL, message, (RETRY_AFTER,), expected=False)
    return Failure(500, INTERNAL, "internal error", expected=False)

"""Every error this package raises on purpose.

::

    WhichVariantError
    ├── DocumentError        a file or text is not a configuration document at all
    ├── ConfigurationError   a configuration was refused; ``findings`` says why
    ├── ProgramError         a compiled program is damaged, foreign, or of another version
    ├── SourceError          profiles cannot be read: ``source`` names the file, ``place`` where
    ├── ReplayError          a replay cannot go on: its state is another run's, a worker is gone
    ├── SettingsError        a server's settings cannot be used
    ├── TooManyCombinations  a page can look like this in more ways than the caller wants to see
    ├── InputError           a value handed in at selection time; ``path`` names the place
    │   ├── ProfileError     … in the profile
    │   ├── EventError       … in the events
    │   └── EntryError       … in content entries, or in the selection they are resolved by
    ├── RecordError          a stored profile's record is damaged, or of a newer version
    ├── ServiceError         a request that cannot be answered; ``code`` is the API's
    │   ├── ConfigurationNotFound   … no such organization or environment
    │   ├── ConfigurationUnavailable  … there is to be one, but it could not be loaded so far
    │   ├── ProfileNotFound         … no such profile, or it was deleted
    │   ├── NamespaceMismatch       … the profile belongs to another organization or environment
    │   ├── ProfileOverload         … too many requests at once for one profile
    │   └── HistoryUnavailable      … the profile's kept history does not reach back that far
    ├── ClientError          a server of the API, asked over HTTP, gave no answer that can be used
    │   ├── ApiError         … it refused: ``status``, ``code``; by code, the first four also being
    │   │   │                  what a service raises itself:
    │   │   ├── ApiConfigurationNotFound, ApiProfileNotFound, ApiNamespaceMismatch,
    │   │   │   ApiProfileOverload
    │   │   └── ApiInvalidData, ApiInternalError
    │   ├── ApiUnavailable   … it cannot be reached, or says that it cannot answer now
    │   ├── ApiTimeout       … not in time
    │   └── InvalidResponse  … what came is no answer of this API
    └── StoreError           a store of profiles could not do it
        ├── StoreConflict    … what a transaction expects does not hold; nothing was applied
        ├── StoreRefused     … a key or data that no store takes: too long, empty, no Unicode text
        ├── StoreFull        … no room on the disk; nothing was applied
        ├── StoreReadOnly    … the file or folder may not be written
        ├── StoreUnavailable … its database cannot be reached, or was lost in the middle of it
        ├── StoreDamaged     … stored bytes are not what was written
        ├── StoreForeign     … the file is no store, or one of another version
        └── StoreClosed      … it was closed, or opened before this process was forked
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whichvariant.contracts.finding import Finding


class WhichVariantError(Exception):
    """Base of every error raised on purpose."""


class DocumentError(WhichVariantError):
    """A source is no configuration document: unreadable, not JSON or msgpack, or of no known shape.

    ``source`` is the name of the file or argument, ``path`` the place inside it (may be empty).
    """

    def __init__(self, message: str, *, source: str = "", path: str = "") -> None:
        self.source = source
        self.path = path
        self._message = message
        place = ": ".join(part for part in (source, path) if part)
        super().__init__(f"{place}: {message}" if place else message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries with all they say.
        return _rebuild, (type(self), (self._message,), {"source": self.source, "path": self.path})


class ConfigurationError(WhichVariantError):
    """A configuration has errors and was loaded strictly. ``findings`` has them, and warnings."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in self.findings if finding.severity == "error"]
        shown = "\n".join(f"  {finding}" for finding in errors[:20])
        more = f"\n  … and {len(errors) - 20} more" if len(errors) > 20 else ""
        noun = "error" if len(errors) == 1 else "errors"
        super().__init__(f"the configuration has {len(errors)} {noun}:\n{shown}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.findings,)


class ProgramError(WhichVariantError):
    """A compiled program cannot be used: damaged, not one of ours, or of another format version."""


class SourceError(WhichVariantError):
    """Profiles cannot be read: a file is missing, damaged, cut off, or of no known format.

    ``source`` is the file, ``place`` where in it (may be empty).
    """

    def __init__(self, message: str, *, source: str = "", place: str = "") -> None:
        self.source = source
        self.place = place
        self._message = message
        where = ": ".join(part for part in (source, place) if part)
        super().__init__(f"{where}: {message}" if where else message)

    def __reduce__(self) -> tuple[Any, ...]:
        keywords = {"source": self.source, "place": self.place}
        return _rebuild, (type(self), (self._message,), keywords)


class ReplayError(WhichVariantError):
    """A replay cannot begin or go on: its kept state is another run's, or a worker is gone."""


class SettingsError(WhichVariantError):
    """Settings of a server cannot be used; the message begins with the name of the setting."""


class TooManyCombinations(WhichVariantError):
    """A page has more combinations, or patterns of audiences, than a limit allows."""


class InputError(WhichVariantError):
    """A value handed in at selection time is not usable. ``path`` is its place: ``traits.age``."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self._message = message
        super().__init__(f"{path}: {message}" if path else message)

    @property
    def message(self) -> str:
        """What is wrong, without the path."""
        return self._message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self._message)


class ProfileError(InputError):
    """The profile is not one: wrong type, not JSON, a number out of range, no stable id."""


class EventError(InputError):
    """An event is not one. ``path`` is ``events``, ``now``, or starts with ``events[i]``."""


class EntryError(InputError):
    """Content entries cannot be resolved: too many, too deeply nested, or by no selection."""


class RecordError(WhichVariantError):
    """A stored profile's record cannot be read: damaged, no record, or of a newer version."""


class ServiceError(WhichVariantError):
    """A request cannot be answered. ``code`` is the error code of the Experience API for it."""

    code = "ERR_INTERNAL_SERVER_ERROR"


class ConfigurationNotFound(ServiceError):
    """There is no configuration for this organization and environment."""

    code = "ERR_CONFIG_NOT_FOUND"


class ConfigurationUnavailable(ServiceError):
    """There is to be a configuration, but it could not be loaded so far. Try again later."""


class ProfileNotFound(ServiceError):
    """There is no such profile; it may have been deleted."""

    code = "ERR_PROFILE_NOT_FOUND"


class NamespaceMismatch(ServiceError):
    """The profile belongs to another organization or environment."""

    code = "ERR_NAMESPACE_MISMATCH"


class ProfileOverload(ServiceError):
    """Too many requests at once want to change the same profile. Send events less frequently."""

    code = "ERR_PROFILE_OVERLOAD"


class HistoryUnavailable(ServiceError):
    """The profile's kept history does not reach back to the moment that was asked for."""

    code = "ERR_INVALID_DATA"


class ClientError(WhichVariantError):
    """A server of the Experience API, asked over HTTP, gave no answer that can be used.

    ``request`` is the request's name in the reference, such as ``Create profile``; ``traceparent``
    is what the server calls the trace of it, or None.
    """

    def __init__(
        self, message: str, *, request: str = "", traceparent: str | None = None, **more: Any
    ) -> None:
        self.request = request
        self.traceparent = traceparent
        self._message = message
        self._more = more
        super().__init__(f"{request}: {message}" if request else message)

    @property
    def message(self) -> str:
        """What is wrong, without the request."""
        return self._message

    def __reduce__(self) -> tuple[Any, ...]:
        keywords = {"request": self.request, "traceparent": self.traceparent, **self._more}
        return _rebuild, (type(self), (self._message,), keywords)


class ApiError(ClientError):
    """The server refused the request.

    ``status`` is HTTP's, ``code`` the API's (empty where the answer has none, as from a proxy),
    ``retry_after_s`` the seconds that the server asks to wait, or None.
    """

    code: str = ""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
        request: str = "",
        traceparent: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        super().__init__(
            message,
            request=request,
            traceparent=traceparent,
            status=status,
            code=code,
            retry_after_s=retry_after_s,
        )


class ApiInvalidData(ApiError):
    """`ERR_INVALID_DATA`: the events or options cannot be used; the message names the place."""


class ApiConfigurationNotFound(ApiError, ConfigurationNotFound):
    """`ERR_CONFIG_NOT_FOUND`: no such organization or environment."""


class ApiProfileNotFound(ApiError, ProfileNotFound):
    """`ERR_PROFILE_NOT_FOUND`: no such profile, or it was deleted."""


class ApiNamespaceMismatch(ApiError, NamespaceMismatch):
    """`ERR_NAMESPACE_MISMATCH`: the profile belongs to another organization or environment."""


class ApiProfileOverload(ApiError, ProfileOverload):
    """`ERR_PROFILE_OVERLOAD`: too many requests at once for one profile; send them less often."""


class ApiInternalError(ApiError):
    """`ERR_INTERNAL_SERVER_ERROR`: something went wrong in the server."""


class ApiUnavailable(ClientError):
    """The server cannot be reached, or says that it cannot answer now: 502, 503, 504.

    ``status`` is None where there was no answer. ``sent`` says whether the request may have reached
    the server all the same, and so have been carried out. ``code`` and ``retry_after_s`` are those
    of the answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        retry_after_s: float | None = None,
        sent: bool = True,
        request: str = "",
        traceparent: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.sent = sent
        super().__init__(
            message,
            request=request,
            traceparent=traceparent,
            status=status,
            code=code,
            retry_after_s=retry_after_s,
            sent=sent,
        )


class ApiTimeout(ClientError):
    """The server did not answer in time. ``sent`` says whether the request may have reached it."""

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        request: str = "",
        traceparent: str | None = None,
    ) -> None:
        self.sent = sent
        super().__init__(message, request=request, traceparent=traceparent, sent=sent)


class InvalidResponse(ClientError):
    """What came is no answer of this API: no envelope, no JSON, another shape, or too large."""


class StoreError(WhichVariantError):
    """A store of profiles could not do what it was asked."""


class StoreConflict(StoreError):
    """What a transaction expects does not hold, and nothing of it was applied.

    ``key`` is the profile id, alias or (in decimal) sequence number of the inbox that is not as
    expected.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        self._message = message
        super().__init__(f"{key!r}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self._message)


class StoreRefused(StoreError):
    """A key or data that no store takes: empty, too long, or a text with lone surrogates."""


class StoreFull(StoreError):
    """There is no room to write to. Nothing of the write was applied; reading goes on."""


class StoreReadOnly(StoreError):
    """The store's file or folder may not be written; reading goes on."""


class StoreUnavailable(StoreError):
    """The store's database does not answer, or takes too long: try again.

    Where the connection was lost in the middle of a write, it may or may not have been applied.
    """


class StoreDamaged(StoreError):
    """Stored bytes are not what was written. They are not served; ``verify`` names the places."""


class StoreForeign(StoreError):
    """The file is no store of profiles, or one that a newer version wrote."""


class StoreClosed(StoreError):
    """The store was closed, or was opened before this process was forked."""


def _rebuild(
    kind: type[WhichVariantError], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> WhichVariantError:
    return kind(*arguments, **keywords)

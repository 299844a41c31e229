"""The API's endpoints: what a request says, handed to the service (reference: "Endpoints")."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from whichvariant.errors import EventError
from whichvariant.server.envelope import INTERNAL
from whichvariant.server.failures import RETRY_AFTER, Refused
from whichvariant.server.routing import CREATE, FLAG, FLAGS, IMPORT, PROFILE, UPSERT, Route
from whichvariant.server.visitors import Visitor
from whichvariant.service import Inbox, Options, ProfileService
from whichvariant.sources.catalog import Catalog

METHODS = {
    CREATE: ("POST",),
    PROFILE: ("GET", "POST", "DELETE"),
    UPSERT: ("POST",),
    IMPORT: ("POST",),
    FLAG: ("POST",),
    FLAGS: ("POST",),
}
"""Methods by kind of route."""

FEATURES = ("location", "ip-enrichment")

_LONGEST_QUERY = 4_096
_LONGEST_LOCALE = 64
_PAUSE_S = 1.0
_ACCEPTED = {"message": "Events accepted."}


class Query(NamedTuple):
    """What the query string says."""

    locale: str = "en"
    preflight: bool = False


_NOTHING = Query()


def read_query(raw: bytes, *, types: bool) -> Query:
    """`locale` and, where ``types``, `type`. What else there is, is ignored."""
    if not raw:
        return _NOTHING
    if raw == b"type=preflight" and types:
        return Query(preflight=True)
    if len(raw) > _LONGEST_QUERY:
        raise Refused(414, "the query is too long")
    try:
        given = dict(parse_qsl(raw.decode("ascii"), errors="strict", max_num_fields=64))
    except (UnicodeDecodeError, ValueError):
        raise Refused(400, "query: not UTF-8, percent-encoded") from None
    locale = given.get("locale", "en")
    if len(locale) > _LONGEST_LOCALE:
        raise Refused(400, f"locale: longer than {_LONGEST_LOCALE} characters")
    kind = given.get("type") if types else None
    if kind not in {None, "preflight"}:
        raise Refused(400, f"type: expected 'preflight', got {kind[:100]!r}")
    return Query(locale or "en", kind == "preflight")


def read_options(body: dict[str, Any], locale: str, visitor: Visitor) -> Options:
    """`options` of a request for one profile."""
    locate = visitor.locate if visitor.visitors.can_locate else None
    options = body.get("options")
    if options is None:
        return Options(locale, locate=locate)
    if not isinstance(options, dict):
        raise EventError("options", "expected an object")
    features = options.get("features")
    if features is None:
        features = ()
    elif not isinstance(features, list):
        raise EventError("options.features", "expected a list")
    for number, feature in enumerate(features):
        if feature not in FEATURES:
            expected = " or ".join(repr(known) for known in FEATURES)
            raise EventError(f"options.features[{number}]", f"expected {expected}")
    location = options.get("location")
    if location is not None and not isinstance(location, dict):
        raise EventError("options.location", "expected an object")
    return Options(locale, location, tuple(features), locate, visitor.enrich)


class Endpoints:
    """The API over a service, an inbox and a catalog of configurations."""

    def __init__(
        self, service: ProfileService, inbox: Inbox, catalog: Catalog, max_batches: int
    ) -> None:
        self._service = service
        self._inbox = inbox
        self._catalog = catalog
        self._max_batches = max_batches
        self._full = False
        self._look_again = 0.0

    async def create(
        self, route: Route, query: Query, body: dict[str, Any], visitor: Visitor
    ) -> Any:
        """Create profile."""
        return await self._service.create(
            route.namespace,
            _events(body),
            read_options(body, query.locale, visitor),
            preflight=query.preflight,
        )

    def preflight_at_once(
        self, route: Route, query: Query, body: dict[str, Any], visitor: Visitor
    ) -> Any:
        """As `create` for a preflight; None if something has to be waited for."""
        options = read_options(body, query.locale, visitor)
        return self._service.preflight_at_once(route.namespace, _events(body), options)

    async def update(
        self, route: Route, query: Query, body: dict[str, Any], visitor: Visitor
    ) -> Any:
        """Update profile."""
        return await self._service.update(
            route.namespace,
            route.profile_id,
            _events(body),
            read_options(body, query.locale, visitor),
            preflight=query.preflight,
        )

    async def get(self, route: Route, query: Query) -> Any:
        """Get profile."""
        return await self._service.get(route.namespace, route.profile_id, query.locale)

    async def delete(self, route: Route) -> dict[str, Any]:
        """Delete profile."""
        await self._service.delete(route.namespace, route.profile_id)
        return {}

    async def upsert(self, route: Route, query: Query, body: dict[str, Any]) -> Any:
        """Batch upsert profiles (sync)."""
        events = _events(body)
        return {"profiles": await self._service.upsert(route.namespace, events, query.locale)}

    async def accept(self, route: Route, body: dict[str, Any]) -> Any:
        """Batch upsert profiles (async): durable when this returns.

        For an organization and environment that nobody configured the answer is the same, as in
        the API, and nothing is kept: anybody could fill the disk with batches for names of their
        own making.
        """
        events = _events(body)
        if self._catalog.find(route.namespace) is None:
            self._inbox.check(events)
        else:
            if await self._is_full():
                raise Refused(
                    503, "too many batches wait; try again later", INTERNAL, headers=(RETRY_AFTER,)
                )
            await self._inbox.accept(route.namespace, events)
        return _ACCEPTED

    async def _is_full(self) -> bool:
        """Whether the inbox has no room, as of less than a second ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_again:
            self._look_again = now + _PAUSE_S
            pulse = await self._inbox.service.store.pulse()
            self._full = pulse.waiting + pulse.rejected >= self._max_batches
        return self._full


def _events(body: dict[str, Any]) -> Any:
    try:
        return body["events"]
    except KeyError:
        raise EventError("events", "missing") from None

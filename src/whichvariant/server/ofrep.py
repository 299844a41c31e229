"""OFREP, OpenFeature's protocol for flags that a server decides (docs/openfeature.md#ofrep).

The shapes of answers and failures are those of the protocol's OpenAPI document, not of the
Experience API's envelope. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from xxhash import xxh3_128_hexdigest

from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import (
    ConfigurationNotFound,
    InputError,
    NamespaceMismatch,
    ProfileNotFound,
)
from whichvariant.flags import Choice, Flag, FlagSet, Visitor, on_top_of, visitor_of
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.api_profile import profile_object
from whichvariant.server.failures import RETRY_AFTER, Failure, Refused
from whichvariant.server.routing import FLAG, FLAGS, NOWHERE, Route
from whichvariant.service import ProfileService
from whichvariant.sources.catalog import Catalog

OFREP = frozenset({FLAG, FLAGS})
"""The kinds of routes that are answered here."""

Headers = tuple[tuple[bytes, bytes], ...]

_PARSE_ERROR = "PARSE_ERROR"
_KEY_MISSING = "TARGETING_KEY_MISSING"
_INVALID_CONTEXT = "INVALID_CONTEXT"
_NOT_FOUND = "FLAG_NOT_FOUND"
_GENERAL = "GENERAL"
_NO_VARIANT = "default"


class FlagRefused(Refused):
    """An evaluation that OpenFeature has an error code for: ``code``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message, code)


class Reply(NamedTuple):
    """An answer: its status, body, and headers of its own."""

    status: int
    body: bytes
    headers: Headers = ()


def shape_of(scope: Mapping[str, Any]) -> Route | None:
    """Whose shape a failure has whose path cannot even be read; None for the envelope's."""
    return Route(FLAGS, NOWHERE) if "/ofrep/v1/" in scope["path"] else None


def too_many() -> Refused:
    """What is answered when there is too much work: providers pause at 429, and at no other."""
    return Refused(429, "too many requests at once; try again later", headers=(RETRY_AFTER,))


class Evaluations:
    """Flags of the environments in a catalog, for visitors that a service may know."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sets: dict[Namespace, FlagSet] = {}

    async def answer(
        self, service: ProfileService, route: Route, headers: Mapping[bytes, bytes], body: bytes
    ) -> Reply:
        """Evaluate what a request asks for."""
        namespace = self._namespace(route)
        engine = self._catalog.engine(namespace)
        if engine is None:
            raise ConfigurationNotFound("there is no such organization or environment")
        flags = self._flags(namespace, engine)
        context = _context(body)
        if route.kind == FLAG:
            return await _one(service, namespace, flags, route.flag, context)
        return await _all(service, namespace, flags, context, headers.get(b"if-none-match"))

    def _namespace(self, route: Route) -> Namespace:
        if route.namespace is not NOWHERE:
            return route.namespace
        entries = self._catalog.entries()
        if len(entries) != 1:
            raise ConfigurationNotFound(
                "there is not exactly one environment here: ask below"
                " /v2/organizations/ORGANIZATION/environments/ENVIRONMENT"
            )
        return entries[0].namespace

    def _flags(self, namespace: Namespace, engine: Engine) -> FlagSet:
        flags = self._sets.get(namespace)
        if flags is None or flags.engine is not engine:
            flags = self._sets[namespace] = FlagSet(engine)
        return flags


async def _one(
    service: ProfileService,
    namespace: Namespace,
    flags: FlagSet,
    key: str,
    context: dict[str, Any],
) -> Reply:
    flag = flags.find(key)
    if flag is None:
        raise FlagRefused(404, _NOT_FOUND, "the configuration has no such flag")
    visitor = await _visitor(service, namespace, flags.engine, context)
    if flag.draws and not _is_known(context):
        raise FlagRefused(400, _KEY_MISSING, _missing())
    return Reply(200, orjson.dumps(_evaluation(flag, flags.choose(flag, visitor))))


async def _all(
    service: ProfileService,
    namespace: Namespace,
    flags: FlagSet,
    context: dict[str, Any],
    known: bytes | None,
) -> Reply:
    visitor = await _visitor(service, namespace, flags.engine, context)
    evaluations = [
        _evaluation(flag, choice)
        if _is_known(context) or not flag.draws
        else {"key": flag.key, "errorCode": _KEY_MISSING, "errorDetails": _missing()}
        for flag, choice in flags.choose_all(visitor)
    ]
    metadata = {"configuration": flags.digest}
    body = orjson.dumps({"flags": evaluations, "metadata": metadata})
    etag = b'"%s"' % xxh3_128_hexdigest(body).encode()
    headers = ((b"etag", etag),)
    if known is not None and _names(known, etag):
        return Reply(304, b"", headers)
    return Reply(200, body, headers)


def _evaluation(flag: Flag, choice: Choice) -> dict[str, Any]:
    evaluation: dict[str, Any] = {"key": flag.key}
    if choice.value is not None:
        # Without a value the provider takes its caller's default.
        evaluation["value"] = choice.value
    evaluation["reason"] = choice.reason
    # The published Python provider fails on an answer that names none.
    evaluation["variant"] = choice.variant or _NO_VARIANT
    evaluation["metadata"] = dict(choice.metadata)
    return evaluation


def _missing() -> str:
    return "who gets what is drawn by context.targetingKey"


# ---- who is asked about -------------------------------------------------------------------------


def _context(body: bytes) -> dict[str, Any]:
    """The context of a request; it may be left out, and so may the body."""
    if not body:
        return {}
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        message = f"not JSON: {error.msg.partition(':')[0]} ({place})"
        raise FlagRefused(400, _PARSE_ERROR, message) from None
    if not isinstance(request, dict):
        raise FlagRefused(400, _PARSE_ERROR, 'expected an object {"context": {...}}')
    context = request.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise FlagRefused(400, _INVALID_CONTEXT, "context: expected an object")
    return context


def _is_known(context: Mapping[str, Any]) -> bool:
    return context.get("targetingKey") not in (None, "")


async def _visitor(
    service: ProfileService, namespace: Namespace, engine: Engine, context: dict[str, Any]
) -> Visitor:
    """Who a context is about: what is stored under its key, and what it says on top [policy]."""
    said = dict(context)
    key = said.pop("targetingKey", None)
    if not _is_known(context):
        return visitor_of("", said)
    visitor = visitor_of(key, said)
    try:
        state, now_ms = await service.state(namespace, key, engine)
    except (ProfileNotFound, NamespaceMismatch):
        return visitor
    profile = profile_object(state, service.settings.profiles)
    counts = event_counts(state, engine, now_ms)
    known = on_top_of(Visitor(profile, state.device, None, counts), visitor)
    if known.events is None or known.counts is None:
        return known
    more = engine.count_events(known.events, now=now_ms)
    added = [stored + said for stored, said in zip(known.counts, more, strict=True)]
    return known._replace(events=None, counts=added)


# ---- failures -----------------------------------------------------------------------------------


def failure(route: Route, error: Exception, answer: Failure) -> Reply:
    """A failure in the protocol's shape. ``answer`` is what it is elsewhere."""
    status, code = answer.status, _GENERAL
    if isinstance(error, FlagRefused):
        code = error.code
    elif isinstance(error, InputError):
        code = _INVALID_CONTEXT
    elif route.kind == FLAG and status == 404:
        code = _NOT_FOUND
    body: dict[str, str] = {"key": _text(route.flag)} if route.kind == FLAG else {}
    body |= {"errorCode": code, "errorDetails": _text(answer.message)}
    return Reply(status, orjson.dumps(body), answer.headers)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _names(header: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match header names this answer."""
    names: Iterable[bytes] = (name.strip() for name in header.split(b","))
    return any(name in (b"*", etag) or name == b"W/" + etag for name in names)

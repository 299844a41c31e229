"""``/admin``: what operators ask and do over HTTP, with the admin token (docs/server.md#admin).

Where no token is set these paths do not exist.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant import clock
from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import EventError, ProfileNotFound
from whichvariant.profiles import history
from whichvariant.profiles.api_profile import profile_object
from whichvariant.profiles.json_values import mismatch
from whichvariant.profiles.times import iso_time, parse_time
from whichvariant.server.admin import require_admin
from whichvariant.server.body import BodyReader, Disconnected
from whichvariant.server.envelope import failure, success
from whichvariant.server.failures import Refused, failure_of
from whichvariant.server.running import Running
from whichvariant.service.erasure import erase
from whichvariant.service.inspection import Whole, look_up, state_of_whole
from whichvariant.store.protocol import RejectedItem

if TYPE_CHECKING:
    from whichvariant.server.app import App
    from whichvariant.sources.catalog import Entry

_LOG = logging.getLogger("whichvariant.server.admin")

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_BODY_BYTES = 1 << 20
_BODY_TIMEOUT_S = 10.0
_MOST_ITEMS = 1_000
_MOST_FINDINGS = 1_000

Json = dict[str, Any]
_Handler = Callable[["App", Running, Request], Awaitable[Any]]
_bodies = BodyReader(_BODY_BYTES, _BODY_TIMEOUT_S, 4 * _BODY_BYTES)


class Chosen(msgspec.Struct):
    """Rejected batches, by their numbers."""

    sequences: list[int]


def admin_routes(app: App) -> list[BaseRoute]:
    """What is served below ``/admin``."""

    def route(path: str, method: str, handler: _Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                require_admin(app.settings.admin_token, request.headers.get("authorization"))
                data = await handler(app, await app.start(), request)
            except (Disconnected, ClientDisconnect):
                return Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - whatever it is, the operator is told
                return _failed(error)
            return _json(200, success(data))

        return Route(f"/admin{path}", endpoint, methods=[method])

    profile = "/profiles/{organization}/{environment}/{id:path}"
    return [
        route("/configurations", "GET", _configurations),
        route("/configurations/reload", "POST", _reload),
        _several(route(profile, "GET", _profile), route(profile, "DELETE", _erase)),
        route("/inbox", "GET", _inbox),
        route("/inbox/requeue", "POST", _requeue),
        route("/inbox/discard", "POST", _discard),
        route("/stats", "GET", _stats),
    ]


def _several(first: Route, *others: Route) -> Route:
    """One route for the methods of several, so that another method is told of all of them."""
    by_method = {method: one for one in (first, *others) for method in one.methods or ()}

    async def endpoint(request: Request) -> Response:
        chosen: Response = await by_method[request.method].endpoint(request)
        return chosen

    return Route(first.path, endpoint, methods=sorted(by_method))


# ---- configurations -----------------------------------------------------------------------------


async def _configurations(app: App, running: Running, request: Request) -> Json:
    return {"environments": [_environment(entry) for entry in app.catalog.entries()]}


async def _reload(app: App, running: Running, request: Request) -> Json:
    await app.reload_everywhere()
    return await _configurations(app, running, request)


def _environment(entry: Entry) -> Json:
    engine = entry.engine
    return {
        "organization": entry.namespace.organization,
        "environment": entry.namespace.environment,
        "source": entry.source,
        "digest": None if engine is None else engine.digest,
        "scheme": None if engine is None else engine.scheme,
        "experiences": None if engine is None else len(engine.program.experience_ids),
        "loaded": None if engine is None else iso_time(entry.loaded_ms),
        "checked": iso_time(entry.checked_ms) if entry.checked_ms else None,
        "cached": entry.cached,
        "trouble": entry.trouble,
        "findings": []
        if engine is None
        else [str(finding) for finding in engine.findings[:_MOST_FINDINGS]],
    }


# ---- profiles -----------------------------------------------------------------------------------


def _key(request: Request) -> tuple[Namespace, str]:
    parameters = request.path_params
    return Namespace(parameters["organization"], parameters["environment"]), parameters["id"]


async def _profile(app: App, running: Running, request: Request) -> Json:
    namespace, key = _key(request)
    at_ms: int | None = None
    given = request.query_params.get("at")
    if given is not None:
        digits = given.removeprefix("-")
        try:
            number = int(given) if digits.isdecimal() and len(digits) < 20 else given
            at_ms = parse_time(number)
        except ValueError as error:
            raise EventError("at", str(error)) from None
    whole = await look_up(running.store, namespace, key)
    # The settings say how sessions end, here as in the API.
    settings = running.service.settings.profiles
    state = state_of_whole(whole, at_ms, settings)
    if state is None:
        raise ProfileNotFound("the profile did not exist yet")
    data: Json = {
        "organization": namespace.organization,
        "environment": namespace.environment,
        "id": whole.row.id,
        "version": whole.row.version,
        "created": iso_time(state.created_ms),
        "updated": iso_time(whole.row.updated_ms),
        "at": None if at_ms is None else iso_time(at_ms),
        "aliases": list(whole.aliases),
        "device": state.device,
        "history": _summary(whole),
        "profile": profile_object(state, settings),
        "experiences": None,
        "changes": None,
    }
    if app.catalog.find(namespace) is not None:
        answer = await running.service.get(namespace, whole.row.id, at=at_ms)
        data.update(answer.to_dict())
    return data


def _summary(whole: Whole) -> Json:
    """How many events are kept, and from when."""
    times = [
        event.at_ms
        for row in whole.history
        if row.sequence != history.BASE
        for event in history.decode_row(row).events
    ]
    return {
        "events": len(times),
        "oldest": iso_time(min(times)) if times else None,
        "newest": iso_time(max(times)) if times else None,
    }


async def _erase(app: App, running: Running, request: Request) -> Json:
    namespace, key = _key(request)
    if app.catalog.find(namespace) is not None:
        await running.service.delete(namespace, key)
    else:
        await erase(running.store, namespace, key, clock.now_ms())
    return {}


# ---- the inbox ----------------------------------------------------------------------------------


async def _inbox(app: App, running: Running, request: Request) -> Json:
    after = _number(request, "after", 0, 2**63 - 1)
    limit = _number(request, "limit", 100, _MOST_ITEMS)
    pulse = await running.store.pulse()
    rejected = await running.store.rejected(after, limit)
    return {
        "waiting": pulse.waiting,
        "oldest": None if pulse.oldest_ms is None else iso_time(pulse.oldest_ms),
        "rejectedCount": pulse.rejected,
        "rejected": [_item(item) for item in rejected],
    }


def _item(item: RejectedItem) -> Json:
    return {
        "sequence": item.sequence,
        "organization": item.namespace.organization,
        "environment": item.namespace.environment,
        "received": iso_time(item.received_ms),
        "rejected": iso_time(item.rejected_ms),
        "attempts": item.attempts,
        "sizeBytes": len(item.payload),
        "reason": item.reason,
    }


async def _requeue(app: App, running: Running, request: Request) -> Json:
    return {"requeued": await running.store.requeue(await _sequences(request))}


async def _discard(app: App, running: Running, request: Request) -> Json:
    return {"discarded": await running.store.discard(await _sequences(request))}


async def _sequences(request: Request) -> Sequence[int]:
    body = await _bodies.read(dict(request.scope["headers"]), request.receive)
    try:
        sequences = msgspec.json.decode(body, type=Chosen).sequences
    except msgspec.ValidationError as error:
        message, place = mismatch(error)
        raise Refused(400, f"{place.removeprefix('.') or 'body'}: {message}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, 'body: expected JSON, {"sequences": [1, 2]}') from None
    if len(sequences) > _MOST_ITEMS:
        raise Refused(400, f"sequences: at most {_MOST_ITEMS} at a time")
    for number, sequence in enumerate(sequences):
        if not 0 < sequence < 2**63:
            raise Refused(400, f"sequences[{number}]: not the number of a batch")
    return sequences


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) > most:
        raise Refused(400, f"{name}: expected a number from 0 to {most}")
    return int(text)


# ---- statistics ---------------------------------------------------------------------------------


async def _stats(app: App, running: Running, request: Request) -> Json:
    stats = await running.store.stats()
    return {
        "started": iso_time(running.started_ms),
        "store": {
            "engine": stats.engine,
            "schemaVersion": stats.schema_version,
            "files": stats.files,
            "freeBytes": stats.free_bytes,
            "trouble": stats.trouble,
        },
        "environments": [
            {
                "organization": one.namespace.organization,
                "environment": one.namespace.environment,
                "profiles": one.profiles,
                "aliases": one.aliases,
                "forwards": one.forwards,
                "tombstones": one.tombstones,
                "inbox": one.inbox,
                "rejected": one.rejected,
            }
            for one in stats.namespaces
        ],
    }


# ---- answers ------------------------------------------------------------------------------------


def _failed(error: Exception) -> Response:
    answer = failure_of(error)
    if not answer.expected:
        _LOG.error("an admin request failed", exc_info=error)
    response = _json(answer.status, failure(answer.code, answer.message))
    for name, value in answer.headers:
        response.headers[name.decode()] = value.decode()
    return response


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, _HEADERS, "application/json; charset=utf-8")

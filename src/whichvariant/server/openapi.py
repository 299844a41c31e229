"""The API's description as OpenAPI 3.1, for ``/openapi.json`` and ``/docs``."""

from __future__ import annotations

from typing import Any

from whichvariant import __version__
from whichvariant.server.openapi_examples import EVENTS, FAILURES, PROFILE_ANSWER, PROFILES_ANSWER
from whichvariant.server.openapi_ofrep import ofrep_paths, ofrep_schemas
from whichvariant.server.openapi_schemas import Json, envelope, ref, schemas
from whichvariant.server.settings import ServerSettings

_BASE = "/v2/organizations/{organizationId}/environments/{environmentSlug}"
_BODIES = ("application/json", "text/plain")
_JSON = "application/json"

_TITLE = "whichvariant"
_DESCRIPTION = """\
Which variant does this visitor get? The Experience API of Contentful Personalization, self-hosted.

Send what a visitor did as events; the answer has the visitor's profile, the experiences they are in
with the variant of each, and changes of single values. Bodies are JSON, sent as `application/json`
or, which saves a browser its preflight request, as `text/plain`. More properties than are listed
may be sent.
"""


def document(settings: ServerSettings, root_path: str = "") -> Json:
    """The whole description of a server with these settings, mounted at ``root_path``."""
    paths = {
        f"{_BASE}/profiles": {**_place(), "post": _create()},
        f"{_BASE}/profiles/{{profileId}}": {
            "parameters": [*_place()["parameters"], _profile_id()],
            "get": _get(),
            "post": _update(),
            "delete": _delete(),
        },
        f"{_BASE}/events": {**_place(), "post": _upsert()},
        f"{_BASE}/import/events": {**_place(), "post": _import()},
        **ofrep_paths(_BASE, _place()),
        "/healthz": {"get": _healthz()},
        "/readyz": {"get": _readyz()},
    }
    components: Json = {
        "schemas": {**schemas(), **ofrep_schemas()},
        "responses": _failures(),
        "headers": _headers(),
    }
    if settings.metrics != "off":
        paths["/metrics"] = {"get": _metrics(settings)}
    if settings.admin_token is not None:
        from whichvariant.server.openapi_admin import admin_paths, admin_schemas

        paths.update(admin_paths())
        components["schemas"].update(admin_schemas())
        components["securitySchemes"] = {"adminToken": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": _TITLE,
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root_path or "/"}],
        "tags": [
            {"name": "profiles", "description": "One visitor: events in, decisions out."},
            {"name": "batches", "description": "Events of several visitors at once."},
            {"name": "flags", "description": "OFREP: an environment as feature flags."},
            {"name": "monitoring", "description": "For load balancers and Prometheus."},
            *(
                [{"name": "admin", "description": "For operators, with the admin token."}]
                if settings.admin_token is not None
                else []
            ),
        ],
        "paths": paths,
        "components": components,
    }


# ---- what operations share ----------------------------------------------------------------------


def _place() -> Json:
    name = {"type": "string", "minLength": 1}
    return {
        "parameters": [
            {
                "name": "organizationId",
                "in": "path",
                "required": True,
                "description": "The organization.",
                "schema": name,
            },
            {
                "name": "environmentSlug",
                "in": "path",
                "required": True,
                "description": "The environment of the organization.",
                "schema": name,
            },
        ]
    }


def _profile_id() -> Json:
    return {
        "name": "profileId",
        "in": "path",
        "required": True,
        "description": "A profile's id, a user id, or an id that a preflight gave.",
        "schema": {"type": "string", "minLength": 1},
    }


def _locale() -> Json:
    return {
        "name": "locale",
        "in": "query",
        "description": "The language of the location's country and city.",
        "schema": {"type": "string", "maxLength": 64, "default": "en"},
        "example": "de",
    }


def _type() -> Json:
    return {
        "name": "type",
        "in": "query",
        "description": "`preflight`: compute the same answer and store nothing.",
        "schema": {"enum": ["preflight"]},
    }


def _body(schema: str, examples: Json) -> Json:
    content = {"schema": ref(schema), "examples": examples}
    return {"required": True, "content": dict.fromkeys(_BODIES, content)}


def _headers() -> Json:
    return {
        "Configuration": {
            "description": "The digest of the configuration that decides.",
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "Traceparent": {
            "description": "A part of the caller's trace, where the request named one.",
            "schema": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
        },
        "RetryAfter": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
        "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    }


_ANSWERED = {
    "x-whichvariant-configuration": {"$ref": "#/components/headers/Configuration"},
    "traceparent": {"$ref": "#/components/headers/Traceparent"},
}
_RETRY = {"retry-after": {"$ref": "#/components/headers/RetryAfter"}}

_FAILURES = {
    400: ("BadRequest", "The message names the place of what cannot be used.", {}),
    401: ("Unauthorized", "This needs the admin token.", {}),
    404: ("NotFound", "No such configuration, no such profile, or the profile of another.", {}),
    405: (
        "MethodNotAllowed",
        "The path has no such method.",
        {"allow": {"$ref": "#/components/headers/Allow"}},
    ),
    408: ("Timeout", "The body did not arrive in time.", {}),
    413: ("TooLarge", "The body is too large.", {}),
    414: ("TooLong", "The path or the query is too long.", {}),
    415: ("UnsupportedType", "The body is neither JSON nor text, or it is compressed.", {}),
    429: ("Overload", "Too many requests at once want to change this profile.", _RETRY),
    500: ("Failed", "Something failed in the server.", {}),
    503: ("Unavailable", "Too much work, no configuration yet, or no room on the disk.", _RETRY),
}
_READING = (400, 404, 405, 414, 500, 503)
_WRITING = (400, 404, 405, 408, 413, 414, 415, 429, 500, 503)


def _failures() -> Json:
    return {
        name: {
            "description": description,
            "headers": {**headers, "traceparent": _ANSWERED["traceparent"]},
            "content": {_JSON: {"schema": ref("Failure"), "examples": FAILURES[status]}},
        }
        for status, (name, description, headers) in _FAILURES.items()
    }


def responses(
    description: str, schema: Json, failures: tuple[int, ...], **more: Any
) -> dict[str, Json]:
    """An operation's answers: the good one, and by status the others."""
    good = {
        "description": description,
        "headers": _ANSWERED,
        "content": {_JSON: {"schema": schema, **more.pop("content", {})}},
        **more,
    }
    named = {
        str(status): {"$ref": f"#/components/responses/{_FAILURES[status][0]}"}
        for status in failures
    }
    return {"200": good, **named}


def _links(parameters: dict[str, str]) -> Json:
    names = {"getProfile": "Read it", "updateProfile": "Send more events", "deleteProfile": "Erase"}
    return {
        operation: {"operationId": operation, "description": description, "parameters": parameters}
        for operation, description in names.items()
    }


_TO_ANSWERED = {
    "path.organizationId": "$request.path.organizationId",
    "path.environmentSlug": "$request.path.environmentSlug",
    "path.profileId": "$response.body#/data/profile/id",
}


# ---- operations ---------------------------------------------------------------------------------


def _create() -> Json:
    return {
        "operationId": "createProfile",
        "tags": ["profiles"],
        "summary": "Create profile",
        "description": (
            "Makes a profile, applies the events, and decides. If an event identifies the visitor"
            " as a known one, the answer is that profile."
        ),
        "parameters": [_type(), _locale()],
        "requestBody": _body("ProfileRequest", EVENTS),
        "responses": responses(
            "The profile, and what is decided for it.",
            ref("ProfileAnswer"),
            _WRITING,
            content={"examples": PROFILE_ANSWER},
            links=_links(_TO_ANSWERED),
        ),
    }


def _update() -> Json:
    return {
        "operationId": "updateProfile",
        "tags": ["profiles"],
        "summary": "Update profile",
        "description": (
            "Applies events to a profile, and decides. The id may be a user id, that of a profile"
            " that was merged away, or one that a preflight gave."
        ),
        "parameters": [_type(), _locale()],
        "requestBody": _body("ProfileRequest", EVENTS),
        "responses": responses(
            "The profile, and what is decided for it.",
            ref("ProfileAnswer"),
            _WRITING,
            content={"examples": PROFILE_ANSWER},
            links=_links(_TO_ANSWERED),
        ),
    }


def _get() -> Json:
    return {
        "operationId": "getProfile",
        "tags": ["profiles"],
        "summary": "Get profile",
        "description": "A profile, and what is decided for it now.",
        "parameters": [_locale()],
        "responses": responses(
            "The profile, and what is decided for it.",
            ref("ProfileAnswer"),
            _READING,
            content={"examples": PROFILE_ANSWER},
        ),
    }


def _delete() -> Json:
    return {
        "operationId": "deleteProfile",
        "tags": ["profiles"],
        "summary": "Delete profile",
        "description": "Erases a profile with its history, and all ids that lead to it.",
        "responses": responses("It is gone.", ref("Deleted"), (*_READING, 429)),
    }


def _upsert() -> Json:
    return {
        "operationId": "upsertProfiles",
        "tags": ["batches"],
        "summary": "Batch upsert profiles (sync)",
        "description": (
            "Applies each event to the profile at its `anonymousId`, which is made if there is"
            " none; all of the batch or nothing."
        ),
        "parameters": [_locale()],
        "requestBody": _body("BatchRequest", _with_ids(EVENTS)),
        "responses": responses(
            "One profile for every `anonymousId`, without decisions.",
            ref("ProfilesAnswer"),
            _WRITING,
            content={"examples": PROFILES_ANSWER},
        ),
    }


def _import() -> Json:
    accepted = {"accepted": {"value": {**_OK, "data": {"message": "Events accepted."}}}}
    return {
        "operationId": "importEvents",
        "tags": ["batches"],
        "summary": "Batch upsert profiles (async)",
        "description": (
            "Takes a batch in, durably, and applies it in the background. The answer is the same"
            " where there is no such organization or environment."
        ),
        "parameters": [_locale()],
        "requestBody": _body("BatchRequest", _with_ids(EVENTS)),
        "responses": responses(
            "It will be applied.", ref("Accepted"), _WRITING, content={"examples": accepted}
        ),
    }


_OK: Json = {"data": {}, "error": None, "message": "ok"}


def _with_ids(examples: Json) -> Json:
    """The same events for batches, where each names its profile."""
    return {
        name: {
            **example,
            "value": {
                "events": [
                    {**event, "anonymousId": "visitor-1"} for event in example["value"]["events"]
                ]
            },
        }
        for name, example in examples.items()
    }


def _healthz() -> Json:
    status = {"type": "object", "properties": {"status": {"const": "ok"}}}
    return {
        "operationId": "getHealth",
        "tags": ["monitoring"],
        "summary": "Is the process there?",
        "responses": responses("It answers.", envelope(status), (405,)),
    }


def _readyz() -> Json:
    environment = {
        "type": "object",
        "required": ["organization", "environment", "digest", "loadedMs", "trouble"],
        "properties": {
            "organization": {"type": "string"},
            "environment": {"type": "string"},
            "digest": {"type": ["string", "null"]},
            "loadedMs": {"type": "integer"},
            "trouble": {
                "type": "boolean",
                "description": "The newest state of its source could not be used.",
            },
        },
    }
    ready = {
        "type": "object",
        "required": ["status", "environments"],
        "properties": {
            "status": {"const": "ready"},
            "environments": {"type": "array", "items": environment},
        },
    }
    return {
        "operationId": "getReadiness",
        "tags": ["monitoring"],
        "summary": "Can it answer requests?",
        "responses": responses(
            "The store answers, and every configuration is there.", envelope(ready), (405, 503)
        ),
    }


def _metrics(settings: ServerSettings) -> Json:
    guarded = settings.metrics == "token"
    answers = responses("Metrics.", {}, (401, 405) if guarded else (405,))
    answers["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "getMetrics",
        "tags": ["monitoring"],
        "summary": "Numbers for Prometheus",
        "responses": answers,
        **({"security": [{"adminToken": []}]} if guarded else {}),
    }

"""The admin endpoints in the API's description; only where there are any."""

from __future__ import annotations

from whichvariant.server.openapi_schemas import Json, envelope, ref

_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}


def admin_schemas() -> dict[str, Json]:
    """Schemas that only these endpoints have."""
    return {
        "Environment": _object(
            organization=_TEXT,
            environment=_TEXT,
            source=_TEXT,
            digest=_MAYBE_TEXT,
            scheme=_MAYBE_TEXT,
            experiences={"type": ["integer", "null"]},
            loaded=_MAYBE_TEXT,
            checked=_MAYBE_TEXT,
            cached={"type": "boolean"},
            trouble={"type": "string", "description": "Why the newest state is not in use."},
            findings={"type": "array", "items": _TEXT},
        ),
        "StoredProfile": _object(
            organization=_TEXT,
            environment=_TEXT,
            id=_TEXT,
            version=_COUNT,
            created=_MAYBE_TEXT,
            updated=_MAYBE_TEXT,
            at=_MAYBE_TEXT,
            aliases={"type": "array", "items": _TEXT},
            device=_MAYBE_TEXT,
            history=_object(events=_COUNT, oldest=_MAYBE_TEXT, newest=_MAYBE_TEXT),
            profile=ref("Profile"),
            experiences={"type": ["array", "null"], "items": ref("Experience")},
            changes={"type": ["array", "null"], "items": ref("Change")},
        ),
        "RejectedBatch": _object(
            sequence=_COUNT,
            organization=_TEXT,
            environment=_TEXT,
            received=_MAYBE_TEXT,
            rejected=_MAYBE_TEXT,
            attempts=_COUNT,
            sizeBytes=_COUNT,
            reason=_TEXT,
        ),
    }


def admin_paths() -> dict[str, Json]:
    """The operations below ``/admin``."""
    environments = envelope(_object(environments={"type": "array", "items": ref("Environment")}))
    return {
        "/admin/configurations": {
            "get": _operation(
                "getConfigurations", "What decides, and what is wrong with it", environments
            )
        },
        "/admin/configurations/reload": {
            "post": _operation(
                "reloadConfigurations", "Look for changed configurations", environments
            )
        },
        "/admin/profiles/{organization}/{environment}/{id}": {
            "parameters": [
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                }
                for name in ("organization", "environment", "id")
            ],
            "get": {
                **_operation(
                    "getStoredProfile",
                    "A profile with all that is kept, now or as of an instant",
                    envelope(ref("StoredProfile")),
                    "BadRequest",
                    "NotFound",
                ),
                "parameters": [
                    {
                        "name": "at",
                        "in": "query",
                        "description": "ISO 8601, or milliseconds since 1970.",
                        "schema": {"type": "string", "format": "date-time"},
                    }
                ],
            },
            "delete": _operation(
                "eraseStoredProfile",
                "Erase a profile, also where nothing is configured any more",
                envelope(_object()),
                "NotFound",
                "Overload",
            ),
        },
        "/admin/inbox": {
            "get": {
                **_operation(
                    "getInbox",
                    "Batches that wait, and those that could not be applied",
                    envelope(
                        _object(
                            waiting=_COUNT,
                            oldest=_MAYBE_TEXT,
                            rejectedCount=_COUNT,
                            rejected={"type": "array", "items": ref("RejectedBatch")},
                        )
                    ),
                    "BadRequest",
                ),
                "parameters": [
                    _number("after", "Numbers above this one.", 2**63 - 1),
                    _number("limit", "At most so many.", 1_000),
                ],
            }
        },
        "/admin/inbox/requeue": {
            "post": _choosing("requeueBatches", "Try rejected batches again", "requeued")
        },
        "/admin/inbox/discard": {
            "post": _choosing("discardBatches", "Delete rejected batches for good", "discarded")
        },
        "/admin/stats": {
            "get": _operation(
                "getStats",
                "How much there is; counts everything",
                envelope(
                    _object(
                        started=_MAYBE_TEXT,
                        store=_object(
                            engine=_TEXT,
                            schemaVersion=_COUNT,
                            files={"type": "object", "additionalProperties": _COUNT},
                            freeBytes=_COUNT,
                            trouble=_TEXT,
                        ),
                        environments={
                            "type": "array",
                            "items": _object(
                                organization=_TEXT,
                                environment=_TEXT,
                                profiles=_COUNT,
                                aliases=_COUNT,
                                forwards=_COUNT,
                                tombstones=_COUNT,
                                inbox=_COUNT,
                                rejected=_COUNT,
                            ),
                        },
                    )
                ),
            )
        },
    }


def _object(**properties: Json) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _operation(name: str, summary: str, schema: Json, *failures: str) -> Json:
    statuses = {"BadRequest": "400", "NotFound": "404", "Overload": "429"}
    always = {
        "401": "Unauthorized",
        "405": "MethodNotAllowed",
        "500": "Failed",
        "503": "Unavailable",
    }
    named = {**{statuses[one]: one for one in failures}, **always}
    return {
        "operationId": name,
        "tags": ["admin"],
        "summary": summary,
        "security": [{"adminToken": []}],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            **{
                status: {"$ref": f"#/components/responses/{response}"}
                for status, response in sorted(named.items())
            },
        },
    }


def _choosing(name: str, summary: str, counted: str) -> Json:
    body = _object(
        sequences={
            "type": "array",
            "maxItems": 1_000,
            "items": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        }
    )
    # More may be sent, as everywhere.
    del body["additionalProperties"]
    operation = _operation(name, summary, envelope(_object(**{counted: _COUNT})), "BadRequest")
    reading = {"408": "Timeout", "413": "TooLarge", "415": "UnsupportedType"}
    operation["responses"].update(
        {
            status: {"$ref": f"#/components/responses/{response}"}
            for status, response in reading.items()
        }
    )
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": body,
                "examples": {"two": {"value": {"sequences": [1, 2]}}},
            }
        },
    }
    return operation


def _number(name: str, description: str, most: int) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "integer", "minimum": 0, "maximum": most},
    }

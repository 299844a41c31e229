"""OFREP's operations in the API's description, in the protocol's own shapes."""

from __future__ import annotations

from typing import Any

from whichvariant.server.openapi_schemas import Json, ref

OFREP_PATH = "/ofrep/v1/evaluate/flags"

_JSON = "application/json"
_TEXT: Json = {"type": "string"}
_VALUE: Json = {
    "description": "What the flag is. Left out: the caller's default.",
    "type": ["boolean", "string", "number", "object", "array"],
}
_CONTEXT = {
    "targetingKey": "visitor-3",
    "plan": "gold",
    "location": {"countryCode": "DE", "city": "Berlin"},
    "device": "mobile",
}


def ofrep_schemas() -> dict[str, Json]:
    """Schemas that only these operations have."""
    metadata = {
        "type": "object",
        "description": "experienceId, variantIndex, configuration (its digest), and more.",
        "additionalProperties": {"type": ["boolean", "string", "number"]},
    }
    return {
        "FlagContext": {
            "type": "object",
            "description": "targetingKey is the visitor's stable id; docs/openfeature.md has the"
            " other names. What has none is a trait.",
            "properties": {
                "targetingKey": {"type": ["string", "null"]},
                "device": {"enum": ["desktop", "mobile", "tablet", "unknown", None]},
                "userAgent": {"type": ["string", "null"]},
            },
        },
        "FlagsRequest": {
            "type": "object",
            "properties": {"context": {"anyOf": [ref("FlagContext"), {"type": "null"}]}},
        },
        "FlagRequest": {
            "type": "object",
            "description": "Where no draw decides a flag, the context or its key may be missing.",
            "required": ["context"],
            "properties": {
                "context": {
                    "allOf": [ref("FlagContext")],
                    "required": ["targetingKey"],
                    "properties": {"targetingKey": {"type": "string", "minLength": 1}},
                }
            },
        },
        "FlagEvaluation": {
            "type": "object",
            "required": ["key", "reason", "variant", "metadata"],
            "properties": {
                "key": _TEXT,
                "value": _VALUE,
                "reason": {"enum": ["STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED"]},
                "variant": {
                    "type": "string",
                    "description": "baseline, variant-1, …; default where no experience decides.",
                },
                "metadata": metadata,
            },
            "additionalProperties": False,
        },
        "FlagFailure": {
            "type": "object",
            "required": ["errorCode", "errorDetails"],
            "properties": {
                "key": _TEXT,
                "errorCode": {
                    "enum": [
                        "PARSE_ERROR",
                        "TARGETING_KEY_MISSING",
                        "INVALID_CONTEXT",
                        "FLAG_NOT_FOUND",
                        "GENERAL",
                    ]
                },
                "errorDetails": _TEXT,
            },
            "additionalProperties": False,
        },
        "FlagEvaluations": {
            "type": "object",
            "required": ["flags", "metadata"],
            "properties": {
                "flags": {
                    "type": "array",
                    "items": {"oneOf": [ref("FlagEvaluation"), ref("FlagFailure")]},
                },
                "metadata": metadata,
            },
            "additionalProperties": False,
        },
    }


def ofrep_paths(base: str, place: Json) -> dict[str, Json]:
    """The operations, below an environment's paths and by themselves."""
    key = {
        "name": "key",
        "in": "path",
        "required": True,
        "description": "An inline variable's key, or an experience's id.",
        "schema": {"type": "string", "minLength": 1},
        "example": "checkout.buttonLabel",
    }
    return {
        f"{base}{OFREP_PATH}": {**place, "post": _bulk("evaluateFlags")},
        f"{base}{OFREP_PATH}/{{key}}": {
            "parameters": [*place["parameters"], key],
            "post": _single("evaluateFlag"),
        },
        OFREP_PATH: {"post": _bulk("evaluateFlagsHere")},
        f"{OFREP_PATH}/{{key}}": {"parameters": [key], "post": _single("evaluateFlagHere")},
    }


def _single(name: str) -> Json:
    return _operation(
        name,
        "OFREP: evaluate one flag",
        "What a flag is for the visitor of the context. Nothing is stored; if a profile is stored"
        " under the targeting key, it is what decides, with the context on top.",
        "FlagRequest",
        {"200": _answer("The evaluation.", "FlagEvaluation", {})},
    )


def _bulk(name: str) -> Json:
    etag = {"etag": {"description": "Of these evaluations.", "schema": _TEXT}}
    operation = _operation(
        name,
        "OFREP: evaluate all flags",
        "What every flag is for the visitor of the context.",
        "FlagsRequest",
        {
            "200": _answer("The evaluations.", "FlagEvaluations", etag),
            "304": {"description": "They are what If-None-Match names.", "headers": etag},
        },
    )
    operation["parameters"] = [
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "The etag of evaluations that are there already.",
            "schema": _TEXT,
        }
    ]
    return operation


def _operation(name: str, summary: str, description: str, body: str, answers: Json) -> Json:
    described: dict[str, tuple[str, Json]] = {
        "400": ("The context, or the body, cannot be used.", {}),
        "404": ("No such flag, or no such environment.", {}),
        "405": ("The path has no such method.", _header("Allow")),
        "408": ("The body did not arrive in time.", {}),
        "413": ("The body is too large.", {}),
        "414": ("The path is too long.", {}),
        "415": ("The body is neither JSON nor text, or it is compressed.", {}),
        "429": ("Too many requests at once.", _header("RetryAfter", "retry-after")),
        "500": ("Something failed in the server.", {}),
        "503": ("No configuration yet.", _header("RetryAfter", "retry-after")),
    }
    failures = {
        status: _answer(text, "FlagFailure", headers)
        for status, (text, headers) in described.items()
    }
    context: Json = {"schema": ref(body), "examples": _examples()}
    return {
        "operationId": name,
        "tags": ["flags"],
        "summary": summary,
        "description": description,
        "requestBody": {
            "required": body == "FlagRequest",
            "content": {_JSON: context, "text/plain": context},
        },
        "responses": {**answers, **failures},
    }


def _answer(description: str, schema: str, headers: Json) -> Json:
    return {
        "description": description,
        "headers": {**headers, **_header("Traceparent")},
        "content": {_JSON: {"schema": ref(schema)}},
    }


def _header(name: str, header: str | None = None) -> Json:
    return {header or name.lower(): {"$ref": f"#/components/headers/{name}"}}


def _examples() -> dict[str, Any]:
    return {"visitor": {"summary": "A visitor", "value": {"context": _CONTEXT}}}

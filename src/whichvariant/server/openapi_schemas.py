"""The schemas of the API's description: of events as they are checked, of answers as they are made.

What is required of an event comes from the very types that check it (`profiles.events`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from whichvariant.profiles import batch, events
from whichvariant.profiles.times import MAX_MS
from whichvariant.server.endpoints import FEATURES
from whichvariant.server.failures import _STATUS

Json = dict[str, Any]

_REF = "#/components/schemas/"
_ANY_OBJECT: Json = {"type": "object"}
_TEXT: Json = {"type": "string"}

ERROR_CODES = tuple(_STATUS)


def ref(name: str) -> Json:
    """A reference to a schema of the document."""
    return {"$ref": _REF + name}


def schemas() -> dict[str, Json]:
    """All schemas, by name."""
    return {**_event_schemas(), **_request_schemas(), **_answer_schemas()}


# ---- what is sent -------------------------------------------------------------------------------


def _event_schemas() -> dict[str, Json]:
    (event, _), found = msgspec.json.schema_components(
        (events.AnyEvent, events.Location), ref_template=_REF + "{name}"
    )
    for schema in found.values():
        for name, value in schema.get("properties", {}).items():
            value.pop("default", None)
            if name == "timestamp":
                schema["properties"][name] = _timestamp()
        if "anonymousId" in schema.get("properties", {}):
            schema["properties"]["anonymousId"]["description"] = (
                "In batches only: the profile's id."
            )
        # The schema of a union says so already.
        schema.pop("title", None)
    index = found["ComponentEvent"]["properties"]
    index["variantIndex"] = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
        "description": "0 is the baseline. With `experienceId` it locks a sticky choice.",
    }
    found["IdentifyEvent"]["properties"]["userId"] = {
        "anyOf": [{"type": "string", "maxLength": events.MAX_KEY_BYTES}, {"type": "null"}],
        "description": f"At most {events.MAX_KEY_BYTES} bytes. Empty: traits alone.",
    }
    # A page event's properties are those of a page, and whatever else is JSON.
    found["Event"] = {**event, "description": "One thing that happened. More properties are kept."}
    found["BatchEvent"] = {
        "allOf": [
            ref("Event"),
            {
                "type": "object",
                "required": ["anonymousId"],
                "properties": {
                    "anonymousId": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": events.MAX_KEY_BYTES,
                    }
                },
            },
        ]
    }
    return found


def _timestamp() -> Json:
    return {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": -MAX_MS, "maximum": MAX_MS},
            {"type": "null"},
        ],
        "description": "ISO 8601, or milliseconds since 1970. Without it: the time of receipt.",
    }


def _request_schemas() -> dict[str, Json]:
    return {
        "Options": {
            "type": "object",
            "description": "How the visitor is located.",
            "properties": {
                "location": {"anyOf": [ref("Location"), {"type": "null"}]},
                "features": {
                    "anyOf": [
                        {"type": "array", "items": {"enum": list(FEATURES)}},
                        {"type": "null"},
                    ]
                },
            },
        },
        "ProfileRequest": {
            "type": "object",
            "required": ["events"],
            "properties": {
                "events": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": events.MAX_EVENTS,
                    "items": ref("Event"),
                },
                "options": {"anyOf": [ref("Options"), {"type": "null"}]},
            },
        },
        "BatchRequest": {
            "type": "object",
            "required": ["events"],
            "description": (
                f"At most {batch.MAX_IDENTIFY_EVENTS} identify events, and"
                f" {batch.MAX_PROFILES} profiles."
            ),
            "properties": {
                "events": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": batch.MAX_EVENTS,
                    "items": ref("BatchEvent"),
                }
            },
        },
    }


# ---- what is answered ---------------------------------------------------------------------------


def _object(required: dict[str, Json], **more: Json) -> Json:
    """An object with exactly these properties; ``more`` may be missing."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **more},
        "additionalProperties": False,
    }


def envelope(data: Json) -> Json:
    """An answer with data."""
    return _object({"data": data, "error": {"type": "null"}, "message": {"const": "ok"}})


def _answer_schemas() -> dict[str, Json]:
    number: Json = {"type": "number"}
    index: Json = {"type": "integer", "minimum": 0}
    landing = _object(
        {
            "path": _TEXT,
            "url": _TEXT,
            "query": {"type": "object", "additionalProperties": _TEXT},
            "referrer": _TEXT,
            "search": _TEXT,
        }
    )
    places = ("city", "postalCode", "region", "regionCode", "country", "countryCode")
    session = _object(
        {
            "isReturningVisitor": {"type": "boolean"},
            "landingPage": landing,
            "count": {"type": "integer", "minimum": 0},
            "activeSessionLength": {"type": "number", "description": "Seconds."},
            "averageSessionLength": {"type": "number", "description": "Seconds."},
        },
        id=_TEXT,
    )
    profile = _object(
        {
            "id": _TEXT,
            "stableId": {**_TEXT, "description": "The id at birth. Variants are drawn with it."},
            "random": {"type": "number", "minimum": 0, "maximum": 1, "deprecated": True},
            "audiences": {"type": "array", "items": _TEXT},
            "traits": _ANY_OBJECT,
            "location": _object(
                {},
                coordinates=_object({"latitude": number, "longitude": number}),
                **dict.fromkeys((*places, "continent", "timezone"), _TEXT),
            ),
            "session": session,
        },
        jurisdiction={"enum": ["US", "EU"]},
        stickyVariants={"type": "object", "additionalProperties": index},
    )
    experience = _object(
        {
            "experienceId": _TEXT,
            "variantIndex": {**index, "description": "0 is the baseline."},
            "variants": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "The entry to show, by the baseline entry's id.",
            },
        },
        sticky={"const": True},
    )
    change = _object(
        {
            "key": _TEXT,
            "type": {"const": "Variable"},
            "value": {"type": ["string", "number", "boolean", "object", "array", "null"]},
            "meta": _object({"experienceId": _TEXT, "variantIndex": index}),
        }
    )
    answer = _object(
        {
            "profile": ref("Profile"),
            "experiences": {"type": "array", "items": ref("Experience")},
            "changes": {"type": "array", "items": ref("Change")},
        }
    )
    profiles = _object({"profiles": {"type": "array", "items": ref("Profile")}})
    return {
        "Profile": profile,
        "Experience": experience,
        "Change": change,
        "ProfileAnswer": envelope(answer),
        "ProfilesAnswer": envelope(profiles),
        "Accepted": envelope(_object({"message": {"const": "Events accepted."}})),
        "Deleted": envelope(_object({})),
        "Failure": _object(
            {
                "message": {**_TEXT, "description": "What is wrong, and where."},
                "data": _object({}),
                "error": _object({"code": {"enum": list(ERROR_CODES)}}),
            }
        ),
    }

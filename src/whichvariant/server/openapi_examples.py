"""Examples of the API's description. A test sends every one of them."""

from __future__ import annotations

from typing import Any

_PAGE = {
    "path": "/tents",
    "query": {"utm_campaign": "spring"},
    "referrer": "https://search.example/",
    "search": "?utm_campaign=spring",
    "url": "https://shop.example/tents?utm_campaign=spring",
}


def _event(kind: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "channel": "web",
        "messageId": f"5d3f9a52-27a1-4b0e-8a39-00000000000{number}",
        "context": {
            "library": {"name": "my-site", "version": "1.0.0"},
            "locale": "en-US",
            "page": _PAGE,
            "campaign": {"name": "spring"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        },
        **fields,
    }


PAGE = _event("page", 1, properties={**_PAGE, "title": "Tents"})

EVENTS: dict[str, Any] = {
    "page": {"summary": "A page view", "value": {"events": [PAGE]}},
    "identify": {
        "summary": "Who the visitor is, and traits",
        "value": {
            "events": [
                _event("identify", 2, userId="customer-7", traits={"plan": "gold", "age": 31})
            ]
        },
    },
    "track": {
        "summary": "Something that the visitor did",
        "value": {"events": [_event("track", 3, event="add_to_cart", properties={"sku": "T-1"})]},
    },
    "screen": {
        "summary": "A screen of an app",
        "value": {"events": [_event("screen", 4, properties={"name": "Basket"})]},
    },
    "component": {
        "summary": "A component was seen, which locks a sticky choice",
        "value": {
            "events": [
                _event(
                    "component",
                    5,
                    componentId="heroBold",
                    componentType="Entry",
                    experienceId="homeHero",
                    variantIndex=1,
                )
            ]
        },
    },
    "located": {
        "summary": "A page view, and where the visitor is",
        "value": {
            "events": [_event("page", 6, properties=_PAGE)],
            "options": {
                "location": {"city": "Berlin", "country": "Germany", "countryCode": "DE"},
                "features": ["location"],
            },
        },
    },
}

_PROFILE = {
    "id": "39b18bf3e2b959b4b008b2004656239b1ca85ea729d289f1bfdb709deab9d002",
    "stableId": "39b18bf3e2b959b4b008b2004656239b1ca85ea729d289f1bfdb709deab9d002",
    "random": 0.5649519289296474,
    "audiences": ["berliners"],
    "traits": {"plan": "gold"},
    "location": {"city": "Berlin", "country": "Germany", "countryCode": "DE"},
    "session": {
        "id": "6c4d6f3c-9d8f-4d0e-9b5b-0a1c5b9a4f10",
        "isReturningVisitor": False,
        "landingPage": _PAGE,
        "count": 1,
        "activeSessionLength": 0,
        "averageSessionLength": 0,
    },
    "stickyVariants": {"homeHero": 1},
}

PROFILE_ANSWER: dict[str, Any] = {
    "decided": {
        "value": {
            "data": {
                "profile": _PROFILE,
                "experiences": [
                    {
                        "experienceId": "homeHero",
                        "variantIndex": 1,
                        "variants": {"heroDefault": "heroBold"},
                        "sticky": True,
                    },
                    {"experienceId": "buttonText", "variantIndex": 2, "variants": {}},
                ],
                "changes": [
                    {
                        "key": "button.text",
                        "type": "Variable",
                        "value": "Place order",
                        "meta": {"experienceId": "buttonText", "variantIndex": 2},
                    }
                ],
            },
            "error": None,
            "message": "ok",
        }
    }
}

PROFILES_ANSWER: dict[str, Any] = {
    "profiles": {
        "value": {"data": {"profiles": [_PROFILE]}, "error": None, "message": "ok"},
    }
}


def _failure(name: str, message: str, code: str = "ERR_INVALID_DATA") -> dict[str, Any]:
    return {name: {"value": {"message": message, "data": {}, "error": {"code": code}}}}


_INTERNAL = "ERR_INTERNAL_SERVER_ERROR"

FAILURES: dict[int, dict[str, Any]] = {
    400: {
        **_failure("place", "events[1].properties.url: missing"),
        **_failure("json", "body: not JSON: unexpected character (line 1, column 2)"),
    },
    401: _failure("token", "this needs the admin token, as 'Authorization: Bearer TOKEN'"),
    404: {
        **_failure("profile", "there is no such profile", "ERR_PROFILE_NOT_FOUND"),
        **_failure(
            "configuration",
            "no configuration for organization 'acme', environment 'main'",
            "ERR_CONFIG_NOT_FOUND",
        ),
        **_failure(
            "namespace",
            "the profile belongs to another organization or environment",
            "ERR_NAMESPACE_MISMATCH",
        ),
    },
    405: _failure("method", "PUT is not for this path, only POST, OPTIONS"),
    408: _failure("slow", "the body did not arrive in time"),
    413: _failure("large", "the body is larger than 2097152 bytes"),
    414: _failure("long", "the query is too long"),
    415: _failure("type", "content-type: expected application/json or text/plain, got 'text/html'"),
    429: _failure(
        "overload", "too many requests wait to change this profile", "ERR_PROFILE_OVERLOAD"
    ),
    500: _failure("failed", "internal error", _INTERNAL),
    503: _failure("busy", "too many requests at once; try again later", _INTERNAL),
}

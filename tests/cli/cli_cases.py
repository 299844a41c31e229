"""A small configuration whose every answer is known without drawing, and visitors for it."""

from __future__ import annotations

import json
from typing import Any

BERLINERS = {
    "nt_audience_id": "berliners",
    "nt_name": "Berliners",
    "nt_rules": {
        "any": [
            {"all": [{"type": "location", "key": "city", "operator": "equal", "value": "Berlin"}]}
        ]
    },
}
READERS = {
    "nt_audience_id": "readers",
    "nt_name": "Readers, lately",
    "nt_rules": {
        "any": [
            {
                "all": [
                    {
                        "type": "page",
                        "operator": "greaterThanInclusive",
                        "count": 2,
                        "within": {"days": 7},
                        "conditions": [
                            {
                                "key": {"id": "context_page_path"},
                                "operator": "startsWith",
                                "value": "/blog",
                            }
                        ],
                    }
                ]
            }
        ]
    },
}
PHONES = {
    "nt_audience_id": "phones",
    "nt_name": "Phones",
    "nt_rules": {
        "any": [
            {
                "all": [
                    {
                        "type": "device",
                        "operator": "equal",
                        "conditions": [
                            {"key": {"id": "type"}, "operator": "equal", "value": "mobile"}
                        ],
                    }
                ]
            }
        ]
    },
}


def experience(
    identifier: str, name: str, audience: str | None, shares: list[float], **config: Any
) -> dict[str, Any]:
    """A native experience that everyone of ``audience`` is in."""
    return {
        "nt_experience_id": identifier,
        "nt_name": name,
        "nt_type": "nt_experiment",
        "nt_audience": audience,
        "nt_config": {"traffic": 1, "distribution": shares, **config},
    }


def replacement(baseline: str, *variants: str) -> dict[str, Any]:
    """A component that replaces entries."""
    return {
        "type": "EntryReplacement",
        "baseline": {"id": baseline},
        "variants": [{"id": variant} for variant in variants],
    }


def variable(key: str, value_type: str, baseline: object, *variants: object) -> dict[str, Any]:
    """A component that sets one value."""
    return {
        "type": "InlineVariable",
        "key": key,
        "valueType": value_type,
        "baseline": {"value": baseline},
        "variants": [{"value": variant} for variant in variants],
    }


SPACE: dict[str, Any] = {
    "format": "whichvariant/1",
    "audiences": [BERLINERS, PHONES, READERS],
    "experiences": [
        experience(
            "hero",
            "Hero for Berlin",
            "berliners",
            [0, 1],
            sticky=True,
            components=[
                replacement("heroDefault", "heroBerlin"),
                variable("headline", "String", "Hello", "Moin"),
            ],
        ),
        experience(
            "banner", "Blog banner", "readers", [0, 0, 1], components=[replacement("ad", "a", "")]
        ),
        experience(
            "footer", "Footer", None, [1, 0], components=[replacement("footerOld", "footerNew")]
        ),
        experience(
            "phone", "Big buttons", "phones", [0, 1], components=[variable("px", "Number", 12, 20)]
        ),
    ],
    "mergetags": [{"nt_mergetag_id": "traits.name", "nt_name": "Name", "nt_fallback": "you"}],
}

NOW = "2026-11-01T12:00:00Z"
READING = [
    {"type": "page", "timestamp": stamp, "context": {"page": {"path": "/blog/one"}}}
    for stamp in ("2026-10-30T09:00:00Z", "2026-10-31T09:00:00Z")
]


def profile(identifier: str, city: str | None = None, **more: Any) -> dict[str, Any]:
    """A profile in the API's shape, as far as the configuration reads it."""
    location = {"city": city, "countryCode": "DE"} if city else {}
    return {
        "id": identifier,
        "stableId": identifier,
        "audiences": ["stale"],
        "traits": {},
        "location": location,
        "session": {"count": 3, "isReturningVisitor": True},
        **more,
    }


def ndjson(*values: object) -> str:
    """One JSON value a line."""
    return "".join(json.dumps(value) + "\n" for value in values)

"""A small shop: one experience for everybody, its entries, and what a visitor gets of it."""

from __future__ import annotations

import json
from typing import Any

from tests.entries.making import entry

from whichvariant import Engine

Json = Any

DOCUMENT: Json = {
    "format": "whichvariant/1",
    "audiences": [
        {
            "nt_audience_id": "phones",
            "nt_rules": {
                "any": [
                    {
                        "all": [
                            {
                                "type": "device",
                                "conditions": [
                                    {"key": {"id": "type"}, "operator": "equal", "value": "mobile"}
                                ],
                            }
                        ]
                    }
                ]
            },
        }
    ],
    "experiences": [
        {
            "nt_experience_id": "hero",
            "nt_config": {
                "traffic": 1,
                "distribution": [0.5, 0.5],
                "sticky": True,
                "components": [
                    {"baseline": {"id": "b"}, "variants": [{"id": "v"}]},
                    {
                        "type": "InlineVariable",
                        "key": "label",
                        "valueType": "String",
                        "baseline": {"value": "Buy"},
                        "variants": [{"value": "Buy <now>"}],
                    },
                ],
            },
        }
    ],
}

ENGINE = Engine.from_dict(DOCUMENT)

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


EXPERIENCE = entry(
    "e",
    "nt_experience",
    nt_name="Hero",
    nt_type="nt_experiment",
    nt_experience_id="hero",
    nt_config=DOCUMENT["experiences"][0]["nt_config"],
    nt_variants=[entry("v", title="Variant")],
)

HERO = entry("b", title="Baseline", nt_experiences=[EXPERIENCE])

PLAIN = entry("plain", title="For everybody")


def variant_index(profile_id: str) -> int:
    """What the engine gives a visitor, asked directly."""
    (record,) = ENGINE.select({"stableId": profile_id}).experiences
    index: int = record["variantIndex"]
    return index


def visitor(index: int, beginning: str = "visitor") -> str:
    """An id that gets this variant."""
    return next(
        name for name in (f"{beginning}-{n}" for n in range(99)) if variant_index(name) == index
    )


ON_BASELINE, ON_VARIANT = visitor(0), visitor(1)

TITLES = {ON_BASELINE: "Baseline", ON_VARIANT: "Variant"}


def handed_over(html: str) -> Json:
    """What `experiences_handoff` put into a page."""
    _, _, rest = html.partition('<script type="application/json" id="experiences">')
    return json.loads(rest.partition("</script>")[0])

"""Small configurations: one rule or one experience at a time, and engines made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from whichvariant import Engine

Json = Any


def leaf(operator: str, value: Json = None, key: str = "k") -> dict[str, Json]:
    """A comparison of one trait."""
    return {"type": "identify", "key": key, "operator": operator, "value": value}


def audience(audience_id: str, rules: Json) -> dict[str, Json]:
    return {"nt_audience_id": audience_id, "nt_rules": rules}


def experience(experience_id: str, audience_id: str | None = None, **config: Json) -> Json:
    """An experience with all the traffic and one variant, unless told otherwise."""
    return {
        "nt_experience_id": experience_id,
        "nt_type": "nt_experiment",
        "nt_audience": audience_id,
        "nt_config": {"traffic": 1, **config},
    }


def document(
    experiences: Iterable[Json] = (), audiences: Iterable[Json] = (), scheme: str = "murmur3"
) -> dict[str, Json]:
    return {
        "format": "whichvariant/1",
        "scheme": scheme,
        "experiences": list(experiences),
        "audiences": list(audiences),
    }


def both(engine: Engine, profile: Mapping[str, Json], **arguments: Json) -> dict[str, Json]:
    """The answer for a profile, the same from an object as from JSON."""
    answer = engine.select(profile, **arguments).to_dict()
    encoded = json.dumps(profile, ensure_ascii=False).encode()
    assert json.loads(engine.select_json(encoded, **arguments)) == answer
    return answer


class Asked:
    """An engine with one audience a rule, so that one visitor answers all rules at once."""

    def __init__(self, rules: Sequence[Json]) -> None:
        self.ids = [f"a{number:05d}" for number in range(len(rules))]
        self.engine = Engine.from_dict(
            document(audiences=map(audience, self.ids, rules)), strict=False
        )
        assert not [found for found in self.engine.findings if found.severity == "error"]

    def traits(self, traits: Mapping[str, Json]) -> list[bool]:
        """Which rules hold for these traits, in the rules' order."""
        matching = set(both(self.engine, {"stableId": "v", "traits": traits})["audiences"])
        return [audience_id in matching for audience_id in self.ids]

    def __call__(self, value: Json) -> list[bool]:
        """Which rules hold where the trait ``k`` has this value."""
        return self.traits({"k": value})

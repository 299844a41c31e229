"""Small configurations of flags."""

from __future__ import annotations

from typing import Any


def variable(key: str, baseline: Any, *variants: Any, kind: str | None = None) -> dict[str, Any]:
    """A component that sets one value."""
    kinds = {bool: "Boolean", str: "String", int: "Number", float: "Number", dict: "Object"}
    return {
        "type": "InlineVariable",
        "key": key,
        "valueType": kind or kinds[type(baseline)],
        "baseline": {"value": baseline},
        "variants": [{"value": value} for value in variants],
    }


def experience(
    identifier: str,
    *components: dict[str, Any],
    audience: str | None = None,
    distribution: tuple[float, ...] = (0, 1),
    traffic: float = 1,
    sticky: bool = False,
    name: str = "",
) -> dict[str, Any]:
    """One experience; unless told otherwise everybody gets its first variant."""
    return {
        "nt_experience_id": identifier,
        "nt_name": name or identifier,
        "nt_type": "nt_personalization",
        "nt_audience": audience,
        "nt_config": {
            "traffic": traffic,
            "distribution": list(distribution),
            "sticky": sticky,
            "components": list(components),
        },
    }


def trait_audience(identifier: str, trait: str, value: str) -> dict[str, Any]:
    """Visitors with a trait."""
    leaf = {"type": "identify", "key": trait, "operator": "equal", "value": value}
    return {
        "nt_audience_id": identifier,
        "nt_name": identifier,
        "nt_rules": {"any": [{"all": [leaf]}]},
    }


def document(*experiences: dict[str, Any], audiences: tuple[Any, ...] = ()) -> dict[str, Any]:
    """A native document."""
    return {"experiences": list(experiences), "audiences": list(audiences)}

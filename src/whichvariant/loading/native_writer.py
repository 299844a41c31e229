"""A configuration as a native document: the inverse of loading one."""

from __future__ import annotations

from typing import Any, Final

from whichvariant.contracts import (
    AnyOf,
    Audience,
    Component,
    Configuration,
    CounterTest,
    EntryReplacement,
    Experience,
    JsonValue,
    MergeTag,
    Not,
    Path,
    Rule,
    Segment,
    Test,
)
from whichvariant.loading.distributions import shares_of
from whichvariant.loading.documents import FORMAT
from whichvariant.loading.rules import MS_PER_DAY, QUERY_CONDITION

_ATTRIBUTE_TYPES: Final = {"traits": "identify", "location": "location", "session": "session"}


def to_native(configuration: Configuration) -> dict[str, JsonValue]:
    """The native document that loads back to an equal configuration, with the same digest.

    Takes a configuration that loading produced. The parts that JSON values are (extras, values of
    inline variables) are shared with it, not copied.
    """
    return {
        "format": FORMAT,
        "scheme": configuration.scheme,
        "audiences": [_audience(audience) for audience in configuration.audiences],
        "experiences": [_experience(experience) for experience in configuration.experiences],
        "mergetags": [_merge_tag(tag) for tag in configuration.merge_tags],
    }


def _audience(audience: Audience) -> dict[str, JsonValue]:
    return {
        "nt_audience_id": audience.id,
        **_texts(nt_name=audience.name, nt_description=audience.description),
        "nt_rules": _rule(audience.rule),
    }


def _merge_tag(tag: MergeTag) -> dict[str, JsonValue]:
    return {"nt_mergetag_id": tag.id, **_texts(nt_name=tag.name, nt_fallback=tag.fallback)}


def _experience(experience: Experience) -> dict[str, JsonValue]:
    node: dict[str, JsonValue] = {
        "nt_experience_id": experience.id,
        **_texts(nt_name=experience.name, nt_description=experience.description),
    }
    if experience.type is not None:
        node["nt_type"] = experience.type
    if experience.audience is not None:
        node["nt_audience"] = experience.audience
    node["nt_config"] = {
        **experience.extras,
        "traffic": _number(experience.traffic),
        "distribution": _distribution(experience.distribution),
        "sticky": experience.sticky,
        "components": [_component(component) for component in experience.components],
    }
    return node


def _texts(**fields: str) -> dict[str, JsonValue]:
    return {name: text for name, text in fields.items() if text}


def _number(number: float) -> int | float:
    """A number as a person would write it; loading reads both spellings as the same double."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _distribution(segments: tuple[Segment, ...]) -> list[JsonValue]:
    shares = shares_of(segments)
    if shares is not None:
        return [_number(share) for share in shares]
    return [
        {"index": part.index, "start": _number(part.start), "end": _number(part.end)}
        for part in segments
    ]


def _component(component: Component) -> dict[str, JsonValue]:
    if isinstance(component, EntryReplacement):
        return {
            "type": "EntryReplacement",
            "baseline": {"id": component.baseline},
            "variants": [{"id": variant} for variant in component.variants],
        }
    node: dict[str, JsonValue] = {"type": "InlineVariable", "key": component.key}
    if component.value_type is not None:
        node["valueType"] = component.value_type
    node["baseline"] = {"value": component.baseline}
    node["variants"] = [{"value": value} for value in component.variants]
    return node


def _rule(rule: Rule) -> dict[str, JsonValue]:
    if isinstance(rule, Test):
        return _leaf(rule)
    if isinstance(rule, CounterTest):
        return _activity(rule)
    if isinstance(rule, Not):
        return {"not": _rule(rule.rule)}
    if isinstance(rule, AnyOf):
        return {"any": [_rule(part) for part in rule.rules]}
    return {"all": [_rule(part) for part in rule.rules]}


def _leaf(test: Test) -> dict[str, JsonValue]:
    root = test.path[0]
    if root == "device":
        # As a condition and not on the leaf itself, where the value could not be empty.
        return {"type": "device", "conditions": [{"key": {"id": "type"}, **_comparison(test)}]}
    return {"type": _ATTRIBUTE_TYPES[root], "key": ".".join(test.path[1:]), **_comparison(test)}


def _comparison(test: Test) -> dict[str, JsonValue]:
    operand: Any = test.operand
    if operand is None:
        return {"operator": test.operator}
    if isinstance(operand, tuple):
        value: JsonValue = [_operand(element) for element in operand]
    else:
        value = _operand(operand)
    return {"operator": test.operator, "value": value}


def _operand(operand: str | float) -> JsonValue:
    return operand if isinstance(operand, str) else _number(operand)


def _activity(test: CounterTest) -> dict[str, JsonValue]:
    counter = test.counter
    node: dict[str, JsonValue] = {"type": counter.event_type}
    if counter.event_type != "page":
        node["value"] = "*" if counter.name is None else counter.name
    node["operator"] = test.operator
    node["count"] = _number(test.operand)
    node["conditions"] = [
        {"key": _condition_key(condition.path), **_comparison(condition)}
        for condition in counter.conditions
    ]
    if counter.within_ms is not None:
        node["within"] = {"days": counter.within_ms / MS_PER_DAY}
    return node


def _condition_key(path: Path) -> dict[str, JsonValue]:
    if path[0] == "properties":
        return {"id": "property", "value": ".".join(path[1:])}
    if path[1:3] == ("page", "query"):
        return {"id": QUERY_CONDITION, "value": path[3]}
    return {"id": f"context_{path[1]}_{path[2]}"}

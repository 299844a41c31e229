"""The digest of a configuration, and the canonical form of content that it is taken over.

Two configurations have one digest exactly when they decide and show the same: the form leaves out
the source format, key order, entry order, the spelling of numbers, and extras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import xxhash

from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Audience,
    Component,
    EntryReplacement,
    Experience,
    JsonValue,
    MergeTag,
    Not,
    Rule,
    Scheme,
    Test,
)


def digest(
    scheme: Scheme,
    audiences: Sequence[Audience],
    experiences: Sequence[Experience],
    merge_tags: Sequence[MergeTag],
) -> str:
    """32 hexadecimal digits: XXH3-128 of the canonical form. Each sequence comes ordered by id."""
    form = [
        "whichvariant/1",
        scheme,
        [_audience_form(audience) for audience in audiences],
        [_experience_form(experience) for experience in experiences],
        [_merge_tag_form(tag) for tag in merge_tags],
    ]
    return xxhash.xxh3_128_hexdigest(orjson.dumps(form))


def content_of(entity: Audience | Experience | MergeTag) -> bytes:
    """The canonical form of one entity, for telling whether two sources say the same."""
    if isinstance(entity, Audience):
        form = _audience_form(entity)
    elif isinstance(entity, Experience):
        form = _experience_form(entity)
    else:
        form = _merge_tag_form(entity)
    return orjson.dumps(form)


def canonical_value(value: JsonValue) -> str:
    """A JSON value as text: keys sorted by code point, numbers by value (``1`` and ``1.0`` alike).

    Written without recursion, since a value may nest as deep as a document may.
    """
    if not isinstance(value, (dict, list)):
        return _scalar(value)
    parts: list[str] = []
    # Each item is text to write as it is, or a value that is still to be written.
    pending: list[tuple[bool, JsonValue]] = [(False, value)]
    while pending:
        literal, item = pending.pop()
        if literal:
            parts.append(item)
        elif isinstance(item, dict):
            pending.append((True, "}"))
            for key in sorted(item, reverse=True):
                pending.append((False, item[key]))
                pending.append((True, f",{_text(key)}:"))
            parts.append("{")
        elif isinstance(item, list):
            pending.append((True, "]"))
            for element in reversed(item):
                pending.append((False, element))
                pending.append((True, ","))
            parts.append("[")
        else:
            parts.append(_scalar(item))
    return "".join(parts)


def _text(value: str) -> str:
    return orjson.dumps(value).decode()


def _scalar(value: JsonValue) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    # A double without a fraction is written in whole, as the integer of the same value is.
    return str(int(value))


def _audience_form(audience: Audience) -> list[Any]:
    return [audience.id, audience.name, audience.description, _rule_form(audience.rule)]


def _rule_form(rule: Rule) -> list[Any]:
    if isinstance(rule, Test):
        return ["test", rule.path, rule.operator, rule.operand, rule.fallback]
    if isinstance(rule, AnyOf):
        return ["any", [_rule_form(part) for part in rule.rules]]
    if isinstance(rule, AllOf):
        return ["all", [_rule_form(part) for part in rule.rules]]
    if isinstance(rule, Not):
        return ["not", _rule_form(rule.rule)]
    counter = rule.counter
    conditions = [_rule_form(condition) for condition in counter.conditions]
    return [
        "count",
        counter.event_type,
        counter.name,
        conditions,
        counter.within_ms,
        rule.operator,
        rule.operand,
    ]


def _experience_form(experience: Experience) -> list[Any]:
    return [
        experience.id,
        experience.name,
        experience.description,
        experience.type,
        experience.audience,
        experience.traffic,
        [[segment.index, segment.start, segment.end] for segment in experience.distribution],
        experience.sticky,
        [_component_form(component) for component in experience.components],
    ]


def _component_form(component: Component) -> list[Any]:
    if isinstance(component, EntryReplacement):
        return ["entry", component.baseline, component.variants]
    return [
        "variable",
        component.key,
        component.value_type,
        canonical_value(component.baseline),
        [canonical_value(value) for value in component.variants],
    ]


def _merge_tag_form(tag: MergeTag) -> list[Any]:
    return [tag.id, tag.name, tag.fallback]

"""What is an entry, a link, an experience: the checks that decide whether one counts.

An experience that is attached to an entry counts only if all of it has the shape that the vendor's
SDKs demand (`ExperienceMapper.isExperienceEntry`, [sdk]); otherwise they pass it over whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

Entry = Mapping[str, Any]
"""An entry as the Delivery API gives it, with ``sys`` and ``fields``, and its links resolved."""

_TYPES = frozenset({"nt_experiment", "nt_personalization"})
_VALUE_TYPES = frozenset({"String", "Number", "Boolean", "Object"})
_ABSENT = object()


class VariantReference(NamedTuple):
    """One variant of a component: the id of its entry, and whether nothing is to be shown."""

    id: str
    empty: bool


class Replacement(NamedTuple):
    """One entry replacement whose baseline is not hidden."""

    baseline: str
    variants: tuple[VariantReference, ...]


class AttachedExperience(NamedTuple):
    """An experience of an entry's `nt_experiences`: what resolving the entry needs of it.

    ``variants`` are the entries of `nt_variants` by id; those that are unpublished, or that were
    not fetched, are not in it.
    """

    id: str
    replacements: tuple[Replacement, ...]
    variants: dict[str, Entry]


def entry_id(value: object) -> str | None:
    """`sys.id` of an entry or a link; None for what is neither."""
    sys = value.get("sys") if isinstance(value, Mapping) else None
    identifier = sys.get("id") if isinstance(sys, Mapping) else None
    return identifier if isinstance(identifier, str) else None


def is_entry(value: object) -> TypeGuard[Entry]:
    """Whether this is an entry with its fields, neither a link nor an asset."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("fields"), Mapping)
        and entry_id(value) is not None
        and value["sys"].get("type", "Entry") == "Entry"
    )


def link_of(value: object) -> tuple[str, str] | None:
    """Kind (``Entry``, ``Asset``, …) and id of an unresolved link; None for what is none."""
    identifier = entry_id(value)
    if identifier is None or not isinstance(value, Mapping):
        return None
    sys = value["sys"]
    kind = sys.get("linkType")
    return (kind, identifier) if sys.get("type") == "Link" and isinstance(kind, str) else None


def content_type(entry: Entry) -> str | None:
    """The id of an entry's content type; None where it does not say."""
    return entry_id(entry["sys"].get("contentType"))


def read_experience(value: object) -> AttachedExperience | None:
    """An element of `nt_experiences` as an experience; None if it is none, or not a sound one."""
    if not is_entry(value):
        return None
    fields = value["fields"]
    identifier, kind = fields.get("nt_experience_id"), fields.get("nt_type")
    sound = (
        isinstance(identifier, str)
        and isinstance(fields.get("nt_name"), str)
        and isinstance(fields.get("nt_description"), str | None)
        and isinstance(kind, str)
        and kind in _TYPES
        and _is_audience(fields.get("nt_audience"))
    )
    if not sound:
        return None
    replacements = _replacements(fields.get("nt_config"))
    variants = fields.get("nt_variants", [])
    if replacements is None or not isinstance(variants, list):
        return None
    found: dict[str, Entry] = {}
    for variant in variants:
        if is_entry(variant):
            found.setdefault(variant["sys"]["id"], variant)
    return AttachedExperience(fields["nt_experience_id"], replacements, found)


def _is_audience(value: object) -> bool:
    # Who belongs to it was decided already, so a link that leads nowhere does no harm [policy].
    if value is None or link_of(value) is not None:
        return True
    if not is_entry(value):
        return False
    fields = value["fields"]
    return (
        isinstance(fields.get("nt_audience_id"), str)
        and isinstance(fields.get("nt_name"), str)
        and isinstance(fields.get("nt_description", ""), str)
    )


def _replacements(config: object) -> tuple[Replacement, ...] | None:
    """The entry replacements of an `nt_config`; None if the configuration has another shape."""
    if config is None:
        return ()
    if not isinstance(config, Mapping):
        return None
    distribution, components = config.get("distribution", []), config.get("components", [])
    sound = (
        isinstance(distribution, list)
        and all(_is_number(share) for share in distribution)
        and _is_number(config.get("traffic", 0))
        and isinstance(config.get("sticky", False), bool)
        and isinstance(components, list)
    )
    if not sound:
        return None
    found: list[Replacement] = []
    for component in components:
        if not isinstance(component, Mapping):
            return None
        kind = component.get("type")
        if kind == "InlineVariable":
            if not _is_inline_variable(component):
                return None
        elif not kind or kind == "EntryReplacement":
            replacement = _replacement(component)
            if replacement is None:
                return None
            # An experience whose baseline is hidden leaves the entry alone, as in the API.
            if not component["baseline"].get("hidden", False):
                found.append(replacement)
        else:
            return None
    return tuple(found)


def _replacement(component: Mapping[str, Any]) -> Replacement | None:
    baseline = _reference(component.get("baseline"))
    variants = component.get("variants")
    if baseline is None or not isinstance(variants, list):
        return None
    read = [_reference(variant) for variant in variants]
    sound = tuple(variant for variant in read if variant is not None)
    return Replacement(baseline.id, sound) if len(sound) == len(read) else None


def _reference(value: object) -> VariantReference | None:
    if not isinstance(value, Mapping):
        return None
    identifier, hidden = value.get("id"), value.get("hidden", False)
    if not isinstance(identifier, str) or not isinstance(hidden, bool):
        return None
    return VariantReference(identifier, hidden or not identifier)


def _is_inline_variable(component: Mapping[str, Any]) -> bool:
    kind, variants = component.get("valueType"), component.get("variants")
    return (
        isinstance(component.get("key"), str)
        and isinstance(kind, str)
        and kind in _VALUE_TYPES
        and isinstance(variants, list)
        and all(_has_value(node) for node in [component.get("baseline"), *variants])
    )


def _has_value(node: object) -> bool:
    value = node.get("value", _ABSENT) if isinstance(node, Mapping) else _ABSENT
    return value is None or isinstance(value, str | int | float | Mapping)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

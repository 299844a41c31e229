"""`components` of an experience: entry replacements and inline variables (SEMANTICS section 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, cast

from whichvariant.contracts import Component, EntryReplacement, InlineVariable, JsonValue
from whichvariant.loading.distributions import MAX_VARIANT_INDEX
from whichvariant.loading.entries import is_id
from whichvariant.loading.numeric import is_number
from whichvariant.loading.reports import Place, Report, shown

MAX_COMPONENTS: Final = 1_000

ValueType: TypeAlias = Literal["String", "Number", "Boolean", "Object"]

_MEMBER: Final[dict[str, Callable[[JsonValue], bool]]] = {
    "String": lambda value: isinstance(value, str),
    "Number": is_number,
    "Boolean": lambda value: isinstance(value, bool),
    "Object": lambda value: isinstance(value, dict),
}


def read_components(value: JsonValue, place: Place, report: Report) -> tuple[Component, ...]:
    """The components that are served; one with a hidden baseline is left out whole."""
    if value is None:
        return ()
    if not isinstance(value, list):
        report.wrong_type(place, "a list", value)
        return ()
    if len(value) > MAX_COMPONENTS:
        message = f"{len(value):,} components, at most {MAX_COMPONENTS:,}"
        report.add("too-many-components", place, message)
        return ()
    components: list[Component] = []
    replaced: set[str] = set()
    for index, item in enumerate(value):
        here = (place, index)
        component = _component(item, here, report)
        if component is None:
            continue
        components.append(component)
        if isinstance(component, EntryReplacement):
            if component.baseline in replaced:
                message = f"{component.baseline!r} is replaced already; the first component counts"
                report.add("duplicate-baseline", ((here, "baseline"), "id"), message)
            replaced.add(component.baseline)
    return tuple(components)


def _component(value: JsonValue, place: Place, report: Report) -> Component | None:
    if not isinstance(value, dict):
        report.wrong_type(place, "an object", value)
        return None
    kind = value.get("type")
    if kind is not None and not isinstance(kind, str):
        report.wrong_type((place, "type"), "text", kind)
        return None
    if kind not in {None, "EntryReplacement", "InlineVariable"}:
        report.add("unknown-component-type", (place, "type"), f"unknown type {shown(kind)}")
        return None
    baseline, baseline_place = value.get("baseline"), (place, "baseline")
    if baseline is None:
        report.add("missing-baseline", baseline_place, "a component needs a baseline")
    elif not isinstance(baseline, dict):
        report.wrong_type(baseline_place, "an object", baseline)
        baseline = None
    elif _is_hidden(baseline, baseline_place, report):
        return None
    if kind == "InlineVariable":
        return _inline_variable(value, baseline, place, report)
    return _entry_replacement(value, baseline, place, report)


def _is_hidden(node: dict[str, JsonValue], place: Place, report: Report) -> bool:
    hidden = node.get("hidden")
    if hidden is not None and not isinstance(hidden, bool):
        report.wrong_type((place, "hidden"), "a boolean", hidden)
    return hidden is True


def _variants(
    component: dict[str, JsonValue], place: Place, report: Report
) -> list[tuple[dict[str, JsonValue], Place]]:
    """Each variant that is an object, with its place."""
    variants, place = component.get("variants"), (place, "variants")
    if variants is None:
        report.add("missing-variants", place, "a component needs a list of variants")
        return []
    if not isinstance(variants, list):
        report.wrong_type(place, "a list", variants)
        return []
    if len(variants) > MAX_VARIANT_INDEX:
        message = f"{len(variants):,} variants, at most {MAX_VARIANT_INDEX}"
        report.add("too-many-variants", place, message)
        return []
    found: list[tuple[dict[str, JsonValue], Place]] = []
    for index, variant in enumerate(variants):
        if isinstance(variant, dict):
            found.append((variant, (place, index)))
        else:
            report.wrong_type((place, index), "an object", variant)
    return found


def _entry_replacement(
    component: dict[str, JsonValue],
    baseline: dict[str, JsonValue] | None,
    place: Place,
    report: Report,
) -> EntryReplacement | None:
    variants = tuple(
        _variant_id(variant, here, report) for variant, here in _variants(component, place, report)
    )
    if baseline is None:
        return None
    identifier, here = baseline.get("id"), ((place, "baseline"), "id")
    if identifier is None or identifier == "":
        report.add("missing-baseline", here, "the baseline has no id")
        return None
    return EntryReplacement(identifier, variants) if is_id(identifier, here, report) else None


def _variant_id(variant: dict[str, JsonValue], place: Place, report: Report) -> str:
    """The variant's entry id; "" is the empty variant, and so is a hidden one [sdk]."""
    identifier, id_place = variant.get("id"), (place, "id")
    hidden = _is_hidden(variant, place, report)
    if identifier is None:
        if not hidden:
            report.add("missing-variant-id", id_place, "a variant has an id, or is hidden")
        return ""
    if not is_id(identifier, id_place, report, may_be_empty=True):
        return ""
    if hidden and identifier:
        message = f"{shown(identifier)} is hidden, so the empty variant is served"
        report.add("hidden-variant-id", id_place, message)
        return ""
    return cast("str", identifier)


def _inline_variable(
    component: dict[str, JsonValue],
    baseline: dict[str, JsonValue] | None,
    place: Place,
    report: Report,
) -> InlineVariable | None:
    key = component.get("key")
    if key is None or key == "":
        report.add("missing-key", (place, "key"), "an inline variable needs a key")
    elif not isinstance(key, str):
        report.wrong_type((place, "key"), "text", key)
    value_type = _value_type(component, place, report)
    variants = _variants(component, place, report)
    for variant, here in variants:
        if "value" in variant:
            _check_value(variant["value"], value_type, (here, "value"), report)
    if baseline is None:
        return None
    here = ((place, "baseline"), "value")
    if "value" not in baseline:
        report.add("missing-baseline", here, "the baseline has no value")
        return None
    value = baseline["value"]
    _check_value(value, value_type, here, report)
    values = tuple(variant.get("value", value) for variant, _ in variants)
    return InlineVariable(cast("str", key), value_type, value, values)


def _value_type(component: dict[str, JsonValue], place: Place, report: Report) -> ValueType | None:
    value, place = component.get("valueType"), (place, "valueType")
    if value is None:
        report.add("missing-value-type", place, "no valueType, so values go unchecked")
    elif not isinstance(value, str):
        report.wrong_type(place, "text", value)
    elif value in _MEMBER:
        return cast("ValueType", value)
    else:
        report.add("unknown-value-type", place, f"unknown valueType {shown(value)}")
    return None


def _check_value(
    value: JsonValue, value_type: ValueType | None, place: Place, report: Report
) -> None:
    if value_type is not None and not _MEMBER[value_type](value):
        report.add("value-type-mismatch", place, f"{shown(value)} is not a {value_type}")

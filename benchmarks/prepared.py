"""An interpreter with everything prepared that is obvious to prepare, in plain Python.

Experiences sorted, attribute paths split, operators resolved to functions, the bytes of the hashed
prefixes at hand; then it walks its own dicts for every profile. Hashing is the `mmh3` package,
which is C. It must neither be slow on purpose nor leave anything out.

It does what docs/rules.md and docs/allocation.md say, coercions included, for the rules that the
workloads have: no `matches`, no device and activity rules, only the murmur3 scheme.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import mmh3

Json = Any

MISSING = object()
MAXIMUM = 4294967295

_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


# --- values -----------------------------------------------------------------------------------


def number_text(value: float) -> str:
    """A number as JavaScript's ``String()`` writes it."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = f"{abs(float(value))!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + ("" if fraction == "0" else fraction)
    point = len(whole) + int(exponent_text or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    shown = f"{'+' if exponent > 0 else '-'}{abs(exponent)}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{shown}"


def text_of(value: Json) -> str:
    """Any JSON value as JavaScript's ``String()`` would give it."""
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, list):
        return ",".join("" if element is None else text_of(element) for element in value)
    return "[object Object]"


def number_of(value: Json) -> float | None:
    """A number, or what a numeric text means, else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


# --- operators: (attribute, operand) -> bool, for an attribute that is present ------------------


def _equal(attribute: Json, operand: Json) -> bool:
    if isinstance(attribute, str) and isinstance(operand, str):
        return attribute == operand
    if isinstance(attribute, bool) or not isinstance(attribute, (str, int, float)):
        attribute = text_of(attribute)
        if isinstance(operand, str):
            return attribute == operand
    left = number_of(attribute)
    right = number_of(operand)
    return left is not None and right is not None and left == right


def _in(attribute: Json, operand: Json) -> bool:
    return any(_equal(attribute, element) for element in operand)


def _contains(attribute: Json, operand: Json) -> bool:
    return operand in text_of(attribute)


def _starts_with(attribute: Json, operand: Json) -> bool:
    return text_of(attribute).startswith(operand)


def _ends_with(attribute: Json, operand: Json) -> bool:
    return text_of(attribute).endswith(operand)


def _greater(attribute: Json, operand: Json) -> bool:
    number = number_of(attribute)
    return number is not None and number > operand


def _greater_or_equal(attribute: Json, operand: Json) -> bool:
    number = number_of(attribute)
    return number is not None and number >= operand


def _less(attribute: Json, operand: Json) -> bool:
    number = number_of(attribute)
    return number is not None and number < operand


def _less_or_equal(attribute: Json, operand: Json) -> bool:
    number = number_of(attribute)
    return number is not None and number <= operand


def _exists(attribute: Json, operand: Json) -> bool:
    return True


OPERATORS: dict[str, Callable[[Json, Json], bool]] = {
    "equal": _equal,
    "in": _in,
    "contains": _contains,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "greaterThan": _greater,
    "greaterThanInclusive": _greater_or_equal,
    "lessThan": _less,
    "lessThanInclusive": _less_or_equal,
    "exists": _exists,
}
NEGATIONS = {
    "notEqual": "equal",
    "notIn": "in",
    "notContains": "contains",
    "notExists": "exists",
}
ORDERINGS = {"greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"}
TEXT_OPERATORS = {"contains", "startsWith", "endsWith"}
WILDCARDS = {"equal", "contains", "startsWith", "endsWith"}


# --- rules --------------------------------------------------------------------------------------


def path_of(leaf: Mapping[str, Json]) -> tuple[str, ...]:
    """Where the attribute of a leaf lives in the profile."""
    kind = leaf["type"]
    if kind == "identify":
        return ("traits", *leaf["key"].split("."))
    if kind == "location":
        return ("location", *leaf["key"].split("."))
    if kind == "isReturningVisitor" and not leaf.get("conditions"):
        return ("session", "isReturningVisitor")
    if kind == "session":
        key = leaf["key"]
        if key.startswith("landingPage.query."):
            # A query parameter's name may itself contain dots.
            return ("session", "landingPage", "query", key.removeprefix("landingPage.query."))
        return ("session", *key.split("."))
    raise ValueError(f"this interpreter has no rule of type {kind!r}")


def operand_of(operator: str, value: Json) -> Json:
    """The operand in the form that the operator functions compare with."""
    if operator == "exists":
        return None
    if operator == "in":
        return [text_of(one) if isinstance(one, bool) else one for one in value]
    if operator in ORDERINGS:
        number = number_of(value)
        if number is None:
            raise ValueError(f"{operator} needs a number, not {value!r}")
        return number
    if operator in TEXT_OPERATORS or isinstance(value, bool):
        return text_of(value)
    return value


def prepare(rule: Mapping[str, Json]) -> dict[str, Json]:
    """The rule as it came, a dict, with every leaf's path split and its operator resolved."""
    if "any" in rule:
        return {"any": [prepare(child) for child in rule["any"]]}
    if "all" in rule:
        return {"all": [prepare(child) for child in rule["all"]]}
    if "not" in rule:
        return {"not": prepare(rule["not"])}
    operator = rule["operator"]
    positive = NEGATIONS.get(operator, operator)
    if rule.get("value") == "*" and positive in WILDCARDS:
        positive = "exists"
    if positive not in OPERATORS:
        raise ValueError(f"this interpreter has no operator {operator!r}")
    return {
        "path": path_of(rule),
        "operator": OPERATORS[positive],
        "value": operand_of(positive, rule.get("value")),
        "negated": operator in NEGATIONS,
    }


def evaluate(rule: Mapping[str, Json], profile: Mapping[str, Json]) -> bool:
    """Whether a prepared rule holds for a profile."""
    path = rule.get("path")
    if path is not None:
        value: Json = profile
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return rule["negated"]
            value = value[key]
        return rule["operator"](value, rule["value"]) != rule["negated"]
    if "all" in rule:
        for child in rule["all"]:  # noqa: SIM110  -- a loop is faster than all() over a generator
            if not evaluate(child, profile):
                return False
        return True
    if "any" in rule:
        for child in rule["any"]:  # noqa: SIM110  -- likewise any()
            if evaluate(child, profile):
                return True
        return False
    return not evaluate(rule["not"], profile)


# --- bucketing ----------------------------------------------------------------------------------


def low_bytes(text: str) -> bytes:
    """The low byte of each UTF-16 code unit, which is what the vendor's SDK hashes."""
    if text.isascii():
        return text.encode("ascii")
    return text.encode("utf-16-le", "surrogatepass")[::2]


def draw(prefix: bytes, stable_id: bytes) -> float:
    """A number in [0, 1], the same for the same visitor and experience."""
    return mmh3.hash(prefix + stable_id, 0, False) / MAXIMUM


# --- the engine ---------------------------------------------------------------------------------


@dataclass(slots=True)
class PreparedExperience:
    """One experience with everything at hand that selecting it needs."""

    id: str
    audience: str | None
    traffic: float
    distribution: list[tuple[float, float]]
    sticky: bool
    highest_index: int
    replacements: list[tuple[str, list[str]]]
    variables: list[tuple[str, Json, list[Json]]]
    traffic_prefix: bytes
    distribution_prefix: bytes


def id_order(identifier: str) -> tuple[str, str]:
    """The order of ids in answers: case-insensitive, ties by code point."""
    return identifier.lower(), identifier


def variable_values(component: Mapping[str, Json]) -> list[Json]:
    """The values of an inline variable by variant, the baseline's where a variant has none."""
    baseline = component["baseline"]["value"]
    return [variant.get("value", baseline) for variant in component["variants"]]


def read_experience(source: Mapping[str, Json]) -> PreparedExperience:
    """One native `nt_experience` as an object."""
    identifier = source["nt_experience_id"]
    config = source["nt_config"]
    ends = list(accumulate(config.get("distribution", [0.5, 0.5])))
    components = [
        component
        for component in config.get("components", [])
        if not component["baseline"].get("hidden", False)
    ]
    replacements: list[tuple[str, list[str]]] = []
    variables: list[tuple[str, Json, list[Json]]] = []
    for component in components:
        if component.get("type", "EntryReplacement") == "InlineVariable":
            value = component["baseline"]["value"]
            variables.append((component["key"], value, variable_values(component)))
        elif component["baseline"]["id"] not in {known for known, _ in replacements}:
            ids = [variant["id"] for variant in component["variants"]]
            replacements.append((component["baseline"]["id"], ids))
    return PreparedExperience(
        id=identifier,
        audience=source.get("nt_audience"),
        traffic=config.get("traffic", 0),
        distribution=list(zip([0.0, *ends], ends, strict=False)),
        sticky=config.get("sticky", False),
        highest_index=max(len(ends) - 1, *(len(each["variants"]) for each in components), 0),
        replacements=replacements,
        variables=variables,
        traffic_prefix=low_bytes(f"traffic-{identifier}-"),
        distribution_prefix=low_bytes(f"distribution-{identifier}-"),
    )


class PreparedEngine:
    """Select by walking dicts. Same answers as the engine, in the same order."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        if document.get("scheme", "murmur3") != "murmur3":
            raise ValueError("this interpreter knows the murmur3 scheme only")
        audiences = {
            audience["nt_audience_id"]: prepare(audience["nt_rules"])
            for audience in document["audiences"]
        }
        self.audiences = sorted(audiences.items(), key=lambda item: id_order(item[0]))
        self.experiences = sorted(
            (read_experience(source) for source in document["experiences"]),
            key=lambda experience: id_order(experience.id),
        )

    def select(
        self, profile: Mapping[str, Json]
    ) -> tuple[list[dict[str, Json]], list[dict[str, Json]], list[str]]:
        """(experiences, changes, audiences) of one profile, in the API's shape."""
        audiences = [identifier for identifier, rule in self.audiences if evaluate(rule, profile)]
        matched = set(audiences)
        stable_id = low_bytes(profile["stableId"])
        sticky_variants = profile.get("stickyVariants") or {}
        experiences = []
        changes = []
        for experience in self.experiences:
            if experience.audience is not None and experience.audience not in matched:
                continue
            if not experience.traffic > draw(experience.traffic_prefix, stable_id):
                continue
            index = self.variant_index(experience, stable_id, sticky_variants)
            record: dict[str, Json] = {
                "experienceId": experience.id,
                "variantIndex": index,
                "variants": {
                    baseline: variants[index - 1] if 0 < index <= len(variants) else baseline
                    for baseline, variants in experience.replacements
                },
            }
            if experience.sticky:
                record["sticky"] = True
            experiences.append(record)
            for key, baseline, values in experience.variables:
                changes.append(
                    {
                        "key": key,
                        "type": "Variable",
                        "value": values[index - 1] if 0 < index <= len(values) else baseline,
                        "meta": {"experienceId": experience.id, "variantIndex": index},
                    }
                )
        return experiences, changes, audiences

    @staticmethod
    def variant_index(
        experience: PreparedExperience, stable_id: bytes, sticky_variants: Mapping[str, Json]
    ) -> int:
        """The variant: the one locked on the profile while it exists, else by the draw."""
        if experience.sticky:
            locked = sticky_variants.get(experience.id)
            if type(locked) is int and 0 <= locked <= experience.highest_index:
                return locked
        drawn = draw(experience.distribution_prefix, stable_id)
        for index, (start, end) in enumerate(experience.distribution):
            if start <= drawn <= end:
                return index
        return 0

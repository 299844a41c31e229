"""What the engine must answer, worked out slowly and plainly from the contract.

This module restates SEMANTICS.md and docs/rules.md from their text. It shares no code, table or
constant with the package and must never import from it: two derivations of one contract are what
makes a difference between them mean something. It reads the raw native document, keeps doubles
where the definition has doubles, and takes no short cut. The document is assumed to be valid.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import re2
import xxhash

MISSING: Any = object()
"""What reading an attribute gives when there is none; null is a value (docs/rules.md, Values)."""


# --- the answer (SEMANTICS section 4) ------------------------------------------------------------


def evaluate(
    document: dict[str, Any],
    profile: dict[str, Any],
    *,
    device: str | None = None,
    events: list[dict[str, Any]] | None = None,
    now_ms: int = 0,
    audiences: str = "rules",
) -> dict[str, list[Any]]:
    """Answer one profile: ``{"audiences": [...], "experiences": [...], "changes": [...]}``."""
    known = {audience["nt_audience_id"]: audience for audience in document.get("audiences") or []}
    if audiences == "rules":
        matching = {
            audience_id
            for audience_id, audience in known.items()
            if holds(audience["nt_rules"], profile, device, events or [], now_ms)
        }
        reported = sorted(matching, key=id_order)
    else:
        # Trusted as given, so also reported as given: order, repetitions and unknown ids included.
        reported = list(profile.get("audiences") or [])
        matching = set(reported)

    scheme = document.get("scheme", "murmur3")
    records = []
    changes = []
    experiences = document.get("experiences") or []
    for experience in sorted(experiences, key=lambda entry: id_order(entry["nt_experience_id"])):
        audience_id = audience_of(experience)
        if audience_id is not None and audience_id not in matching:
            continue
        experience_id = experience["nt_experience_id"]
        traffic_draw, distribution_draw = draws(scheme, experience_id, profile["stableId"])
        config = experience.get("nt_config") or {}
        if not config.get("traffic", 0) > traffic_draw:
            continue
        components = visible_components(config)
        segments = segments_of(config)
        index = sticky_index(experience_id, config, segments, components, profile)
        if index is None:
            index = drawn_index(segments, distribution_draw)
        records.append(record(experience_id, index, config, components))
        changes.extend(changes_of(experience_id, index, components))
    return {
        "audiences": reported,
        "experiences": records,
        "changes": changes,
    }


def id_order(identifier: str) -> tuple[str, str]:
    """Case-insensitively, ties by code point (SEMANTICS section 4)."""
    return identifier.lower(), identifier


def audience_of(experience: dict[str, Any]) -> str | None:
    """An audience id, a Contentful link to one, or nothing for everyone (docs/configuration.md)."""
    audience = experience.get("nt_audience")
    if isinstance(audience, dict):
        return audience["sys"]["id"]
    return audience


def visible_components(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A baseline with ``hidden: true`` is skipped whole (SEMANTICS section 2)."""
    return [
        component
        for component in config.get("components") or []
        if component["baseline"].get("hidden") is not True
    ]


def record(
    experience_id: str, index: int, config: dict[str, Any], components: list[dict[str, Any]]
) -> dict[str, Any]:
    """One entry of ``experiences`` (SEMANTICS section 4)."""
    variants: dict[str, str] = {}
    for component in components:
        # A component without a type replaces an entry (SEMANTICS section 2).
        if component.get("type", "EntryReplacement") != "EntryReplacement":
            continue
        baseline = component["baseline"]["id"]
        if baseline in variants:
            continue  # of two components with one baseline the first counts
        choices = [baseline, *(variant["id"] for variant in component["variants"])]
        # An index beyond the component's variants falls back to the baseline.
        variants[baseline] = choices[index] if index < len(choices) else baseline
    entry: dict[str, Any] = {
        "experienceId": experience_id,
        "variantIndex": index,
        "variants": variants,
    }
    if config.get("sticky", False):
        entry["sticky"] = True
    return entry


def changes_of(
    experience_id: str, index: int, components: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The inline variables of one experience, in component order (SEMANTICS section 4)."""
    changes = []
    for component in components:
        if component.get("type") != "InlineVariable":
            continue
        choices = [component["baseline"], *component["variants"]]
        chosen = choices[index] if index < len(choices) else {}
        # The value falls back to the baseline's when the variant lacks one.
        value = chosen["value"] if "value" in chosen else component["baseline"]["value"]
        changes.append(
            {
                "key": component["key"],
                "type": "Variable",
                "value": value,
                "meta": {"experienceId": experience_id, "variantIndex": index},
            }
        )
    return changes


# --- bucketing (SEMANTICS section 1) -------------------------------------------------------------


def draws(scheme: str, experience_id: str, stable_id: str) -> tuple[float, float]:
    """The traffic and the distribution draw, doubles as in the definition."""
    if scheme == "xxh64":
        mixed = fmix64(
            xxhash.xxh64_intdigest(stable_id.encode(), seed=0)
            ^ xxhash.xxh64_intdigest(experience_id.encode(), seed=0)
        )
        return (mixed >> 32) / 2**32, (mixed & 0xFFFFFFFF) / 2**32
    traffic = murmur3_x86_32(low_bytes(f"traffic-{experience_id}-{stable_id}"), 0)
    distribution = murmur3_x86_32(low_bytes(f"distribution-{experience_id}-{stable_id}"), 0)
    return traffic / 4294967295, distribution / 4294967295


def low_bytes(text: str) -> bytes:
    """``charCodeAt(i) & 0xff`` of every UTF-16 code unit, as the SDK's hash reads its text."""
    return text.encode("utf-16-le", "surrogatepass")[::2]


def rotate_left(word: int, count: int) -> int:
    """Rotate a 32-bit word."""
    return (word << count | word >> (32 - count)) & 0xFFFFFFFF


def murmur3_x86_32(data: bytes, seed: int) -> int:
    """MurmurHash3_x86_32, after SMHasher."""
    state = seed
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little")
        word = word * 0xCC9E2D51 & 0xFFFFFFFF
        word = rotate_left(word, 15) * 0x1B873593 & 0xFFFFFFFF
        state = rotate_left(state ^ word, 13) * 5 + 0xE6546B64 & 0xFFFFFFFF
    word = int.from_bytes(data[whole:], "little")
    word = word * 0xCC9E2D51 & 0xFFFFFFFF
    word = rotate_left(word, 15) * 0x1B873593 & 0xFFFFFFFF
    state ^= word
    state ^= len(data)
    state ^= state >> 16
    state = state * 0x85EBCA6B & 0xFFFFFFFF
    state ^= state >> 13
    state = state * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def fmix64(word: int) -> int:
    """MurmurHash3's 64-bit finaliser."""
    word ^= word >> 33
    word = word * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
    word ^= word >> 33
    word = word * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
    return word ^ word >> 33


def segments_of(config: dict[str, Any]) -> list[tuple[int, float, float]]:
    """``(index, start, end)``: as given, or the cumulative sums of the shares."""
    distribution = config.get("distribution", [0.5, 0.5])
    segments = []
    for index, entry in enumerate(distribution):
        if isinstance(entry, dict):
            segments.append((int(entry["index"]), float(entry["start"]), float(entry["end"])))
        else:
            start = left_to_right_sum(distribution[:index])
            segments.append((index, start, left_to_right_sum(distribution[: index + 1])))
    return segments


def left_to_right_sum(shares: list[float]) -> float:
    """Sum in plain doubles; the built-in ``sum`` compensates for rounding since Python 3.12."""
    total = 0.0
    for share in shares:
        total = total + share
    return total


def drawn_index(segments: list[tuple[int, float, float]], draw: float) -> int:
    """The first segment with ``start <= draw <= end`` wins; no segment: 0."""
    for index, start, end in segments:
        if start <= draw <= end:
            return index
    return 0


def sticky_index(
    experience_id: str,
    config: dict[str, Any],
    segments: list[tuple[int, float, float]],
    components: list[dict[str, Any]],
    profile: dict[str, Any],
) -> int | None:
    """The stored choice, while the experience is sticky and still has that index (section 4).

    An experience has the indices from 0 to the highest that its segments or components name.
    """
    if not config.get("sticky", False):
        return None
    stored = profile.get("stickyVariants")
    if not isinstance(stored, dict):
        return None
    index = stored.get(experience_id)
    if not is_number(index) or index != math.floor(index):
        return None  # only a whole number can be an index; JSON does not tell 1 from 1.0
    highest = max(
        [0]
        + [segment_index for segment_index, _, _ in segments]
        + [len(component["variants"]) for component in components]
    )
    return int(index) if 0 <= index <= highest else None


# --- audiences (docs/rules.md) -------------------------------------------------------------------


def holds(
    node: dict[str, Any],
    profile: dict[str, Any],
    device: str | None,
    events: list[dict[str, Any]],
    now_ms: int,
) -> bool:
    """One node of `nt_rules`: exactly one of any, all, not, or a leaf ("The shape of nt_rules")."""
    if "any" in node:
        return any(holds(child, profile, device, events, now_ms) for child in node["any"])
    if "all" in node:
        return all(holds(child, profile, device, events, now_ms) for child in node["all"])
    if "not" in node:
        return not holds(node["not"], profile, device, events, now_ms)
    return leaf_holds(node, profile, device, events, now_ms)


def leaf_holds(
    leaf: dict[str, Any],
    profile: dict[str, Any],
    device: str | None,
    events: list[dict[str, Any]],
    now_ms: int,
) -> bool:
    """One leaf, by its type ("Leaf types")."""
    kind = leaf["type"]
    conditions = leaf.get("conditions") or []
    if kind == "identify":
        attribute = read(profile, ["traits", *leaf["key"].split(".")])
        return compare(attribute, leaf["operator"], leaf.get("value"))
    if kind == "location":
        attribute = read(profile, ["location", *leaf["key"].split(".")])
        return compare(attribute, leaf["operator"], leaf.get("value"))
    if kind == "session":
        attribute = read(profile, ["session", *session_path(leaf["key"])])
        return compare(attribute, leaf["operator"], leaf.get("value"))
    if kind == "isReturningVisitor":
        returning = read(profile, ["session", "isReturningVisitor"])
        count = read(profile, ["session", "count"])
        # The conditions have the id session_count; all must hold.
        return compare(returning, leaf["operator"], leaf["value"]) and all(
            compare(count, condition["operator"], condition.get("value"))
            for condition in conditions
        )
    if kind == "device":
        # The conditions have the id type; without any, the leaf itself says what to compare.
        return all(
            device_holds(device, test["operator"], test.get("value"))
            for test in (conditions or [leaf])
        )
    return counter_holds(leaf, events, now_ms)  # page, track, screen


def session_path(key: str) -> list[str]:
    """The name of a query parameter may contain dots, so it is one segment."""
    prefix = "landingPage.query."
    if key.startswith(prefix):
        return ["landingPage", "query", key.removeprefix(prefix)]
    return key.split(".")


def device_holds(device: str | None, operator: str, value: Any) -> bool:
    """A caller that does not say leaves the device missing, as any attribute may be."""
    return compare(MISSING if device is None else device, operator, value)


# --- activity ("Activity: page, track, screen") --------------------------------------------------


def counter_holds(leaf: dict[str, Any], events: list[dict[str, Any]], now_ms: int) -> bool:
    """The number of events of the leaf's type that meet all its conditions, compared with count."""
    count = sum(1 for event in events if event_counts(leaf, event, now_ms))
    operator = leaf.get("operator", "greaterThanInclusive")
    return compare(count, operator, leaf.get("count", 1))


def event_counts(leaf: dict[str, Any], event: dict[str, Any], now_ms: int) -> bool:
    """Does one event count for the leaf?"""
    if event.get("type") != leaf["type"]:
        return False
    value = leaf.get("value", "")
    if leaf["type"] == "track" and value != "*" and event.get("event") != value:
        return False
    if (
        leaf["type"] == "screen"
        and value not in ("*", "")
        and read(event, ["properties", "name"]) != value
    ):
        return False
    within = leaf.get("within")
    if within is not None and "timestamp" in event:
        # Without a timestamp the event counts as now; one in the future counts.
        oldest_ms = now_ms - within["days"] * 86_400 * 1000
        if timestamp_ms(event["timestamp"]) < oldest_ms:
            return False
    return all(
        compare(event_attribute(event, condition["key"]), condition["operator"], condition["value"])
        if "value" in condition
        else compare(event_attribute(event, condition["key"]), condition["operator"], None)
        for condition in leaf.get("conditions") or []
    )


def timestamp_ms(timestamp: str) -> float:
    """ISO 8601 text to milliseconds since the epoch."""
    moment = datetime.fromisoformat(timestamp)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds / 1000


def event_attribute(event: dict[str, Any], key: dict[str, Any]) -> Any:
    """What a condition reads: the first of its places that is present (the table of ids)."""
    condition_id = key["id"]
    if condition_id in ("property", "properties", "page_property", "event_property"):
        return read(event, ["properties", *key["value"].split(".")])
    if condition_id == "context_page_query":
        places = [["context", "page", "query"], ["properties", "query"]]
        return first_present(event, [[*place, key["value"]] for place in places])
    if condition_id.startswith("context_page_"):
        field = condition_id.removeprefix("context_page_")
        return first_present(event, [["context", "page", field], ["properties", field]])
    field = condition_id.removeprefix("context_campaign_")
    return read(event, ["context", "campaign", field])


def first_present(event: dict[str, Any], paths: list[list[str]]) -> Any:
    """The value at the first path that leads to one."""
    for path in paths:
        value = read(event, path)
        if value is not MISSING:
            return value
    return MISSING


# --- values ("Values") ---------------------------------------------------------------------------


def read(source: Any, path: list[str]) -> Any:
    """Follow a path. A parent that is absent, null or not an object makes the value missing."""
    value = source
    for segment in path:
        if not isinstance(value, dict) or segment not in value:
            return MISSING
        value = value[segment]
    return value


def is_number(value: Any) -> bool:
    """A JSON number; Python's bool is an int, JSON's is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """The text of a present value, as JavaScript's ``String()``."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if is_number(value):
        return number_text(float(value))
    if isinstance(value, list):
        return ",".join("" if element is None else text_of(element) for element in value)
    return "[object Object]"


def number_text(number: float) -> str:
    """ECMAScript's Number::toString(10), step by step."""
    if number == 0:
        return "0"
    if number < 0:
        return "-" + number_text(-number)
    # Both languages print the shortest digits that read back; only the layout differs.
    digits_and_zeros = "".join(map(str, Decimal(repr(number)).as_tuple().digits))
    point = len(digits_and_zeros) + int(Decimal(repr(number)).as_tuple().exponent)
    digits = digits_and_zeros.rstrip("0")
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    exponent = point - 1
    sign = "+" if exponent > 0 else "-"
    mantissa = digits if len(digits) == 1 else digits[0] + "." + digits[1:]
    return f"{mantissa}e{sign}{abs(exponent)}"


NUMERIC_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number_of(value: Any) -> float | None:
    """The number a value is, or that its text spells; None when it is neither."""
    if is_number(value):
        return float(value)
    text = text_of(value)  # a value that is neither number nor text is treated as its text
    if NUMERIC_TEXT.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


# --- operators ("Operators") ---------------------------------------------------------------------

SYNONYMS = {
    "equal": "equal equals eq is == ===",
    "notEqual": "notEqual notEquals ne neq isNot != !==",
    "contains": "contains includes",
    "notContains": "notContains doesNotContain notIncludes",
    "startsWith": "startsWith beginsWith",
    "endsWith": "endsWith",
    "matches": "matches regex matchesRegex",
    "greaterThan": "greaterThan gt >",
    "greaterThanInclusive": "greaterThanInclusive gte greaterThanOrEqual >=",
    "lessThan": "lessThan lt <",
    "lessThanInclusive": "lessThanInclusive lte lessThanOrEqual <=",
    "in": "in isIn oneOf",
    "notIn": "notIn isNotIn noneOf",
    "exists": "exists isSet",
    "notExists": "notExists isNotSet doesNotExist",
}
CANONICAL = {name: operator for operator, names in SYNONYMS.items() for name in names.split()}

NEGATIONS = {
    "notEqual": "equal",
    "notIn": "in",
    "notContains": "contains",
    "notExists": "exists",
}


def compare(attribute: Any, operator: str, value: Any) -> bool:
    """``attribute <operator> value``, for any accepted name of the operator."""
    operator = CANONICAL[operator]
    if operator in NEGATIONS:
        # The exact negation of the positive operator, so true when missing.
        return not compare(attribute, NEGATIONS[operator], value)
    if attribute is MISSING:
        return False
    if operator == "exists":
        return True
    if value == "*" and operator in ("equal", "contains", "startsWith", "endsWith"):
        return True  # any value present: the same as exists
    if operator == "equal":
        return equal(attribute, value)
    if operator == "in":
        return any(equal(attribute, element) for element in value)  # here * is a plain text
    if operator == "contains":
        return text_of(value) in text_of(attribute)
    if operator == "startsWith":
        return text_of(attribute).startswith(text_of(value))
    if operator == "endsWith":
        return text_of(attribute).endswith(text_of(value))
    if operator == "matches":
        return re2.search(value, text_of(attribute)) is not None
    left = number_of(attribute)
    right = number_of(value)
    if left is None or right is None:
        return False
    if operator == "greaterThan":
        return left > right
    if operator == "greaterThanInclusive":
        return left >= right
    if operator == "lessThan":
        return left < right
    return left <= right  # lessThanInclusive


def equal(left: Any, right: Any) -> bool:
    """Two texts that are the same, or a number and a number or numeric text that equal it."""
    if is_number(left) or is_number(right):
        left_number = number_of(left)
        right_number = number_of(right)
        return left_number is not None and left_number == right_number
    return text_of(left) == text_of(right)

"""What the tests of combinations share: documents, pages, and a second way to the answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from oracle.oracle import drawn_index, segments_of
from whichvariant import Engine
from whichvariant.contracts import EntryReplacement, InlineVariable

HASHES = 1 << 32


def document(
    audiences: dict[str, Any], experiences: Iterable[dict[str, Any]], scheme: str = "murmur3"
) -> dict[str, Any]:
    """A native document; ``audiences`` are rules by id."""
    return {
        "scheme": scheme,
        "audiences": [
            {"nt_audience_id": name, "nt_rules": rule} for name, rule in audiences.items()
        ],
        "experiences": list(experiences),
    }


def experience(
    identifier: str,
    *,
    audience: str | None = None,
    entry: str | None = "hero",
    variants: Iterable[str] = ("hero-b",),
    **config: Any,
) -> dict[str, Any]:
    """An experience that replaces ``entry``."""
    config.setdefault("traffic", 1)
    if entry is not None:
        config["components"] = [
            {"baseline": {"id": entry}, "variants": [{"id": one} for one in variants]},
            *config.get("components", ()),
        ]
    result = {"nt_experience_id": identifier, "nt_type": "nt_experiment", "nt_config": config}
    return result if audience is None else result | {"nt_audience": audience}


def trait(key: str, operator: str, value: Any = "") -> dict[str, Any]:
    """A rule on one trait."""
    leaf = {"type": "identify", "key": key, "operator": operator, "value": value}
    return {"any": [{"all": [leaf]}]}


def places_of(engine: Engine) -> tuple[list[str], list[str]]:
    """Every baseline entry and every variable of a configuration."""
    components = [one for each in engine.configuration.experiences for one in each.components]
    entries = [one.baseline for one in components if isinstance(one, EntryReplacement)]
    variables = [one.key for one in components if isinstance(one, InlineVariable)]
    return sorted(set(entries)), sorted(set(variables))


def shown_by(
    selection: Any, entries: Iterable[str], variables: Iterable[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """What a selection shows, read from its records and changes: the first one counts."""
    seen = {entry: entry for entry in entries}
    for entry in seen:
        for record in selection["experiences"]:
            if entry in record["variants"]:
                seen[entry] = record["variants"][entry]
                break
    values: dict[str, Any] = {}
    for change in selection["changes"]:
        if change["key"] in variables:
            values.setdefault(change["key"], change["value"])
    return seen, values


def probabilities(
    engine: Engine, raw: dict[str, Any], eligible: Iterable[str]
) -> dict[tuple[tuple[str, int], ...], Fraction]:
    """Every selection of independent experiences with its probability, by plain multiplication.

    Counts of hashes come from the doubles of the definition, by bisection.
    """
    configs = {one["nt_experience_id"]: one.get("nt_config") or {} for one in raw["experiences"]}
    scheme = raw.get("scheme") or "murmur3"
    divisor = 2**32 if scheme == "xxh64" else 4294967295
    sides = []
    for name in sorted(eligible, key=list(engine.program.experience_ids).index):
        config = configs[name]
        traffic = config.get("traffic") or 0
        count = bisect(lambda h, t=traffic: not t > h / divisor)
        inside = Fraction(count, HASHES)
        one: list[tuple[tuple[tuple[str, int], ...], Fraction]] = []
        if inside < 1:
            one.append(((), 1 - inside))
        if inside:
            for index, share in index_shares(config, divisor).items():
                one.append((((name, index),), inside * share))
        sides.append(one)
    found: dict[tuple[tuple[str, int], ...], Fraction] = {}
    for ways in itertools.product(*sides):
        chosen = tuple(pair for way, _ in ways for pair in way)
        probability = Fraction(1)
        for _, part in ways:
            probability *= part
        found[chosen] = found.get(chosen, Fraction(0)) + probability
    return found


def index_shares(config: dict[str, Any], divisor: int) -> dict[int, Fraction]:
    """The share of hashes of each index."""
    segments = segments_of(config)
    limits = {0, HASHES}
    for _, start, end in segments:
        limits.add(bisect(lambda h, bound=start: h / divisor >= bound))
        limits.add(bisect(lambda h, bound=end: h / divisor > bound))
    shares: dict[int, Fraction] = {}
    for low, high in itertools.pairwise(sorted(limits)):
        index = drawn_index(segments, low / divisor)
        shares[index] = shares.get(index, Fraction(0)) + Fraction(high - low, HASHES)
    return shares


def bisect(is_beyond: Any) -> int:
    """The first hash for which ``is_beyond`` holds, 2^32 if none."""
    low, high = 0, HASHES
    while low < high:
        middle = (low + high) // 2
        if is_beyond(middle):
            high = middle
        else:
            low = middle + 1
    return low


__all__ = [
    "bisect",
    "document",
    "experience",
    "places_of",
    "probabilities",
    "shown_by",
    "trait",
]

"""Why a visitor gets what they get, and what a compiled program consists of, for people.

Nothing is decided here: every answer is read off the trace of one evaluation by the core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from whichvariant._core.hashing import count_below, draw
from whichvariant.compiler.buckets import distribution_prefix, pieces, traffic_prefix
from whichvariant.compiler.compilation import Numbering
from whichvariant.compiler.decisions import comparison_leaf
from whichvariant.contracts import (
    AllOf,
    AnyOf,
    Audience,
    Configuration,
    Counter,
    CounterTest,
    Experience,
    Not,
    Operand,
    Rule,
    Test,
)

YES, NO = "✓", "✗"


class Explanation:
    """Why one visitor gets what they get: ``str()`` for people, ``to_dict()`` for machines."""

    def __init__(
        self,
        configuration: Configuration,
        profile: Mapping[str, Any],
        trace: Mapping[str, Any],
        *,
        given: bool,
        numbering: Numbering,
    ) -> None:
        self._configuration = configuration
        self._numbering = numbering
        self._audience_numbers = {
            audience.id: number for number, audience in enumerate(configuration.audiences)
        }
        self._trace = trace
        self._given = given
        self._stable_id: str = profile["stableId"]
        self._stored: Mapping[str, Any] = profile.get("stickyVariants") or {}

    def to_dict(self) -> dict[str, Any]:
        """The whole explanation as a JSON object."""
        records, changes = self._selected()
        return {
            "stableId": self._stable_id,
            "scheme": self._configuration.scheme,
            "digest": self._configuration.digest,
            "audiencesFrom": "given" if self._given else "rules",
            "audiences": [
                self._audience(number, audience)
                for number, audience in enumerate(self._configuration.audiences)
            ],
            "experiences": [
                self._experience(number, experience, records, changes)
                for number, experience in enumerate(self._configuration.experiences)
            ],
        }

    def experience_part(self, identifier: str) -> dict[str, Any] | None:
        """What `to_dict` has about one experience, and in place of its audience's id and answer all
        that is there about the audience: None for everyone. None for an unknown experience.
        """
        experiences = self._configuration.experiences
        number = next((n for n, one in enumerate(experiences) if one.id == identifier), None)
        if number is None:
            return None
        experience = experiences[number]
        part = self._experience(number, experience, *self._selected())
        audience = None
        if experience.audience is not None:
            place = self._audience_numbers[experience.audience]
            audience = self._audience(place, self._configuration.audiences[place])
        return {**part, "audience": audience}

    def _selected(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Records and changes of the selection, by experience."""
        selection = self._trace["selection"]
        records = {record["experienceId"]: record for record in selection.experiences}
        changes: dict[str, list[Any]] = {}
        for change in selection.changes:
            changes.setdefault(change["meta"]["experienceId"], []).append(change)
        return records, changes

    def __str__(self) -> str:
        return "\n".join(_explanation_lines(self.to_dict()))

    def __repr__(self) -> str:
        return f"<Explanation of {self._stable_id!r}>"

    # ---- audiences ----------------------------------------------------------------------------

    def _audience(self, number: int, audience: Audience) -> dict[str, Any]:
        return {
            "id": audience.id,
            "name": audience.name,
            "matched": bool(self._trace["audiences"][number]),
            "rule": self._rule(audience.rule),
        }

    def _rule(self, rule: Rule) -> dict[str, Any]:
        """The rule tree with the answer of every part."""
        if isinstance(rule, (AnyOf, AllOf)):
            parts = [self._rule(part) for part in rule.rules]
            key, join = ("any", any) if isinstance(rule, AnyOf) else ("all", all)
            return {key: parts, "matched": join(part["matched"] for part in parts)}
        if isinstance(rule, Not):
            part = self._rule(rule.rule)
            return {"not": part, "matched": not part["matched"]}
        leaf, negated = comparison_leaf(rule, self._numbering.counters)
        matched = bool(self._trace["leaves"][self._numbering.leaves.number[leaf]]) != negated
        node: dict[str, Any] = {
            "attribute": describe_attribute(rule),
            "operator": rule.operator,
            "operand": _plain(rule.operand),
            "matched": matched,
        }
        if leaf.path in self._trace["values"]:
            node["actual"] = _plain(self._trace["values"][leaf.path])
        return node

    # ---- experiences --------------------------------------------------------------------------

    def _experience(
        self,
        number: int,
        experience: Experience,
        records: Mapping[str, Any],
        changes: Mapping[str, list[Any]],
    ) -> dict[str, Any]:
        scheme = self._configuration.scheme
        traffic_hash = self._trace["traffic"][number]
        distribution_hash = self._trace["distribution"][number]
        threshold = count_below(scheme, experience.traffic)
        in_traffic = traffic_hash < threshold
        matched = experience.audience is None or self._matched(experience.audience)
        steps = pieces(scheme, experience.distribution)
        by_draw = next(index for last, index in steps if distribution_hash <= last)
        record = records.get(experience.id)
        outcome = (
            "selected" if record else "not in the audience" if not matched else "not in the traffic"
        )
        result: dict[str, Any] = {
            "id": experience.id,
            "name": experience.name,
            "type": experience.type,
            "outcome": outcome,
            "audience": {"id": experience.audience, "matched": matched},
            "traffic": {
                "allocation": experience.traffic,
                "draw": draw(scheme, traffic_hash),
                "hash": traffic_hash,
                "hashesIn": threshold,
                "in": in_traffic,
            },
            "distribution": {
                "draw": draw(scheme, distribution_hash),
                "hash": distribution_hash,
                "segments": [
                    {"index": segment.index, "start": segment.start, "end": segment.end}
                    for segment in experience.distribution
                ],
                "pieces": [{"lastHash": last, "index": index} for last, index in steps],
                "index": by_draw,
            },
        }
        if scheme == "murmur3":
            result["traffic"]["hashed"] = traffic_prefix(experience.id) + self._stable_id
            result["distribution"]["hashed"] = distribution_prefix(experience.id) + self._stable_id
        if experience.sticky:
            stored = self._stored.get(experience.id)
            result["sticky"] = {"stored": stored, "used": experience.id in self._trace["sticky"]}
        if record:
            result["variantIndex"] = record["variantIndex"]
            result["variants"] = record["variants"]
            result["changes"] = changes.get(experience.id, [])
        return result

    def _matched(self, audience_id: str) -> bool:
        return bool(self._trace["audiences"][self._audience_numbers[audience_id]])


class ProgramListing:
    """A compiled program, readable: ``str()`` for people, ``to_dict()`` for machines."""

    def __init__(self, configuration: Configuration, tables: Mapping[str, Any]) -> None:
        self._configuration = configuration
        self._tables = tables

    def to_dict(self) -> dict[str, Any]:
        """Slots with their leaves, decision graphs, and thresholds, as a JSON object."""
        numbering = Numbering(self._configuration)
        graph = {
            key: np.frombuffer(self._tables["graph"][key], "<u4").tolist()
            for key in ("leaf", "low", "high", "entry")
        }
        scheme = self._configuration.scheme
        return {
            "scheme": scheme,
            "digest": self._configuration.digest,
            "slots": _slots(self._tables["leaves"]),
            "eventSlots": _slots(self._tables["event_leaves"]),
            "counters": [
                {"slot": f"activity.{number:06d}", "counts": describe_counter(counter)}
                for counter, number in numbering.counters.items()
            ],
            "nodes": [
                {"node": node, "leaf": leaf, "low": low, "high": high}
                for node, (leaf, low, high) in enumerate(
                    zip(graph["leaf"], graph["low"], graph["high"], strict=True)
                )
                if node > 1
            ],
            "audiences": [
                {"id": audience.id, "name": audience.name, "entry": entry}
                for audience, entry in zip(
                    self._configuration.audiences, graph["entry"], strict=True
                )
            ],
            "experiences": [
                {
                    "id": experience.id,
                    "name": experience.name,
                    "audience": experience.audience,
                    "traffic": experience.traffic,
                    "hashesIn": count_below(scheme, experience.traffic),
                    "pieces": [
                        {"lastHash": last, "index": index}
                        for last, index in pieces(scheme, experience.distribution)
                    ],
                    "sticky": experience.sticky,
                    "variants": experience.highest_index + 1,
                }
                for experience in self._configuration.experiences
            ],
        }

    def __str__(self) -> str:
        return "\n".join(_listing_lines(self.to_dict()))


def describe_attribute(rule: Test | CounterTest) -> str:
    """The attribute that a comparison reads, as a person would write it."""
    if isinstance(rule, CounterTest):
        return describe_counter(rule.counter)
    return ".".join(rule.path)


def describe_counter(counter: Counter) -> str:
    """What a counter counts, in words."""
    words = f"number of {counter.event_type} events"
    if counter.name is not None:
        words += f" named {json.dumps(counter.name, ensure_ascii=False)}"
    if counter.within_ms is not None:
        words += f" in the last {counter.within_ms / 86_400_000:g} days"
    if counter.conditions:
        conditions = ", ".join(
            f"{'.'.join(test.path)} {test.operator} {_operand_text(_plain(test.operand))}".rstrip()
            for test in counter.conditions
        )
        words += f" ({conditions})"
    return words


def _plain(value: Operand) -> Any:
    """A value as JSON spells it: whole numbers without a fraction, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _operand_text(operand: Any) -> str:
    return "" if operand is None else json.dumps(operand, ensure_ascii=False)


def _slots(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    from whichvariant._core.leaf_table import OPERATIONS

    names = {number: name for name, number in OPERATIONS.items()}
    slots = np.frombuffer(table["slot"], "<u4").tolist()
    operations = np.frombuffer(table["op"], "u1").tolist()
    thresholds = np.frombuffer(table["number"], "<f8").tolist()
    result: list[dict[str, Any]] = [
        {"path": [part or "or" for part in path], "leaves": []} for path in table["paths"]
    ]
    rows = zip(slots, operations, thresholds, table["operands"], strict=True)
    for leaf, (slot, operation, threshold, operand) in enumerate(rows):
        name = names[operation]
        value = threshold if name in ("greaterThanInclusive", "lessThan") else operand
        if isinstance(value, list):
            value = tuple(value)
        result[slot]["leaves"].append({"leaf": leaf, "operation": name, "operand": _plain(value)})
    return result


def _mark(matched: bool) -> str:
    return YES if matched else NO


def _rule_lines(rule: Mapping[str, Any], indent: str) -> Iterator[str]:
    mark = _mark(rule["matched"])
    for key, words in (("any", "any of"), ("all", "all of")):
        if key in rule:
            if len(rule[key]) == 1:
                yield from _rule_lines(rule[key][0], indent)
                return
            yield f"{indent}{mark} {words}" + ("" if rule[key] else " nothing")
            for part in rule[key]:
                yield from _rule_lines(part, indent + "  ")
            return
    if "not" in rule:
        yield f"{indent}{mark} not"
        yield from _rule_lines(rule["not"], indent + "  ")
        return
    wanted = f"{rule['attribute']} {rule['operator']} {_operand_text(rule['operand'])}".rstrip()
    actual = _short(_operand_text(rule["actual"])) if "actual" in rule else "missing"
    yield f"{indent}{mark} {wanted}   (is {actual})"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _named(entity: Mapping[str, Any]) -> str:
    return f"{entity['name']} ({entity['id']})" if entity["name"] else str(entity["id"])


def _explanation_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"visitor {data['stableId']}   scheme {data['scheme']}   configuration {data['digest']}"
    yield ""
    source = " (as the profile says)" if data["audiencesFrom"] == "given" else ""
    matched = sum(audience["matched"] for audience in data["audiences"])
    yield f"AUDIENCES{source}: {matched} of {len(data['audiences'])} match"
    for audience in data["audiences"]:
        yield f"{_mark(audience['matched'])} {_named(audience)}"
        yield from _rule_lines(audience["rule"], "    ")
    selected = sum(experience["outcome"] == "selected" for experience in data["experiences"])
    yield ""
    yield f"EXPERIENCES: {selected} of {len(data['experiences'])} selected"
    for experience in data["experiences"]:
        yield from _experience_lines(experience)


def _experience_lines(experience: Mapping[str, Any]) -> Iterator[str]:
    chosen = experience["outcome"] == "selected"
    answer = f"variant {experience['variantIndex']}" if chosen else experience["outcome"]
    yield f"{_mark(chosen)} {_named(experience)}: {answer}"
    audience = experience["audience"]
    who = "everyone" if audience["id"] is None else audience["id"]
    yield f"    {_mark(audience['matched'])} audience {who}"
    traffic = experience["traffic"]
    sign = ">" if traffic["in"] else "≤"
    yield (
        f"    {_mark(traffic['in'])} traffic {traffic['allocation']:g} {sign} "
        f"draw {traffic['draw']:.10f}   (hash {traffic['hash']}, {traffic['hashesIn']} are in)"
    )
    distribution = experience["distribution"]
    segments = ", ".join(
        f"{segment['index']}: {segment['start']:.6g}–{segment['end']:.6g}"
        for segment in distribution["segments"]
    )
    yield (
        f"    · distribution draw {distribution['draw']:.10f} is variant {distribution['index']}"
        f"   of [{segments}]"
    )
    if "sticky" in experience:
        sticky = experience["sticky"]
        if sticky["stored"] is None:
            yield "    · sticky, nothing stored yet"
        elif sticky["used"]:
            yield f"    · sticky: the stored variant {sticky['stored']} overrides the draw"
        else:
            yield f"    · sticky: the stored variant {sticky['stored']} no longer exists"
    if chosen:
        for baseline, variant in experience["variants"].items():
            shown = variant or "nothing (empty variant)"
            yield f"    → {baseline} shows {shown}"
        for change in experience["changes"]:
            yield f"    → {change['key']} = {_short(_operand_text(change['value']))}"


def _listing_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"program of configuration {data['digest']}, scheme {data['scheme']}"
    for title, key in (("SLOTS", "slots"), ("EVENT SLOTS", "eventSlots")):
        if data[key]:
            yield ""
            yield f"{title}: {len(data[key])}, leaves {sum(len(s['leaves']) for s in data[key])}"
            for slot in data[key]:
                yield f"  {'.'.join(slot['path'])}"
                for leaf in slot["leaves"]:
                    operand = _short(_operand_text(leaf["operand"]))
                    yield f"    leaf {leaf['leaf']}: {leaf['operation']} {operand}".rstrip()
    if data["counters"]:
        yield ""
        yield f"COUNTERS: {len(data['counters'])}"
        for counter in data["counters"]:
            yield f"  {counter['slot']}: {counter['counts']}"
    yield ""
    yield f"AUDIENCES: {len(data['audiences'])}, decision nodes {len(data['nodes'])}"
    ends: Sequence[str] = ("FALSE", "TRUE")
    for node in data["nodes"]:
        low, high = (
            ends[target] if target < 2 else f"node {target}"
            for target in (node["low"], node["high"])
        )
        yield f"  node {node['node']}: leaf {node['leaf']} ? {high} : {low}"
    for audience in data["audiences"]:
        entry = audience["entry"]
        start = ends[entry] if entry < 2 else f"node {entry}"
        yield f"  {_named(audience)} starts at {start}"
    yield ""
    yield f"EXPERIENCES: {len(data['experiences'])}"
    for experience in data["experiences"]:
        steps = ", ".join(f"≤{step['lastHash']} → {step['index']}" for step in experience["pieces"])
        yield (
            f"  {_named(experience)}: audience {experience['audience'] or 'everyone'}, "
            f"in below {experience['hashesIn']}, {steps}"
            + (", sticky" if experience["sticky"] else "")
        )

"""An evaluator that writes Python source from the document and compiles it: the fast pure Python.

One function per document: attribute look-ups hoisted into locals, rules as short-circuit ``and`` /
``or`` expressions, draws compared with integer thresholds, hashes by the `mmh3` package. This is
about what Python can reach without a compiled core.

It buys its speed with what it leaves out: **no coercion** (a number in a text is a text, ``True``
is not ``"true"``, null is missing) and no checks of its input. `select_indices` makes **no
records** either; `select_records` hands out records that were made once, shared like the engine's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import mmh3

from benchmarks.prepared import (
    MAXIMUM,
    NEGATIONS,
    PreparedExperience,
    id_order,
    low_bytes,
    number_of,
    path_of,
    read_experience,
)

Json = Any

SYMBOLS = {
    "greaterThan": ">",
    "greaterThanInclusive": ">=",
    "lessThan": "<",
    "lessThanInclusive": "<=",
}


def first_hash(holds: Callable[[float], bool]) -> int:
    """The first 32-bit hash whose draw fulfils a monotonic condition; MAXIMUM + 1 if none does."""
    low, high = 0, MAXIMUM + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle / MAXIMUM):
            high = middle
        else:
            low = middle + 1
    return low


class GeneratedEngine:
    """Two generated functions over one document.

    ``select_indices(profile)`` gives ``([(experience index, variant index)], [audience index])``,
    indices into ``experience_ids`` and ``audience_ids``, which are ordered as answers are.
    ``select_records(profile)`` gives ``(experiences, changes, audiences)`` with shared records.
    """

    def __init__(self, document: Mapping[str, Json]) -> None:
        if document.get("scheme", "murmur3") != "murmur3":
            raise ValueError("the generated code knows the murmur3 scheme only")
        audiences = sorted(
            document["audiences"], key=lambda audience: id_order(audience["nt_audience_id"])
        )
        self.audience_ids = [audience["nt_audience_id"] for audience in audiences]
        self._rules = [audience["nt_rules"] for audience in audiences]
        self._experiences = sorted(
            (read_experience(source) for source in document["experiences"]),
            key=lambda experience: id_order(experience.id),
        )
        self.experience_ids = [experience.id for experience in self._experiences]
        self._locals: dict[tuple[str, ...], str] = {}
        self._numeric = self._numeric_paths()
        self._constants: dict[str, Json] = {
            "h": mmh3.mmh3_32_uintdigest,
            "low_bytes": low_bytes,
            "EMPTY": {},
            "NAN": math.nan,
        }
        expressions = [self._rule(rule) for rule in self._rules]
        self.source = {
            "select_indices": self._function("select_indices", expressions, records=False),
            "select_records": self._function("select_records", expressions, records=True),
        }
        for name, source in self.source.items():
            exec(compile(source, f"<generated {name}>", "exec"), self._constants)
        self.select_indices: Callable[
            [Mapping[str, Json]], tuple[list[tuple[int, int]], list[int]]
        ] = self._constants["select_indices"]
        self.select_records: Callable[
            [Mapping[str, Json]],
            tuple[list[dict[str, Json]], list[dict[str, Json]], list[str]],
        ] = self._constants["select_records"]

    # --- rules ---------------------------------------------------------------------------------

    def _numeric_paths(self) -> set[tuple[str, ...]]:
        """Paths only compared with numbers. NaN stands for missing there: it fails every test."""
        operands: dict[tuple[str, ...], list[Json]] = {}
        for leaf in leaves_of(self._rules):
            if leaf["operator"] not in {"exists", "notExists"}:
                value = leaf["value"]
                operands.setdefault(path_of(leaf), []).extend(
                    value if isinstance(value, list) else [value]
                )
        return {
            path
            for path, values in operands.items()
            if all(type(value) in {int, float} for value in values)
        }

    def _local(self, path: tuple[str, ...]) -> str:
        for length in range(1, len(path) + 1):
            self._locals.setdefault(path[:length], f"v{len(self._locals)}")
        return self._locals[path]

    def _rule(self, rule: Mapping[str, Json]) -> str:
        if "any" in rule:
            return f"({' or '.join(self._rule(child) for child in rule['any']) or 'False'})"
        if "all" in rule:
            return f"({' and '.join(self._rule(child) for child in rule['all']) or 'True'})"
        if "not" in rule:
            return f"(not {self._rule(rule['not'])})"
        return self._leaf(rule)

    def _leaf(self, leaf: Mapping[str, Json]) -> str:
        path = path_of(leaf)
        name = self._local(path)
        operator, value = leaf["operator"], leaf.get("value")
        negated = operator in NEGATIONS
        present = f"{name} == {name}" if path in self._numeric else f"{name} is not None"
        positive = NEGATIONS.get(operator, operator)
        if operator in SYMBOLS:
            test = f"{name} {SYMBOLS[operator]} {number_of(value)!r}"
            return test if path in self._numeric else f"({present} and {test})"
        if positive == "exists" or value == "*":
            test = present
        elif positive == "equal" and isinstance(value, bool):
            return f"{name} is {'not ' if negated else ''}{value}"
        elif positive == "equal":
            return f"{name} {'!=' if negated else '=='} {value!r}"
        elif positive == "in":
            # A set of literals in a comparison becomes one frozenset constant.
            members = ", ".join(repr(one) for one in value)
            return f"{name} {'not in' if negated else 'in'} {{{members}}}"
        elif positive == "contains":
            test = f"{present} and {value!r} in {name}"
        else:
            method = {"startsWith": "startswith", "endsWith": "endswith"}[positive]
            test = f"{present} and {name}.{method}({value!r})"
        return f"(not ({test}))" if negated else f"({test})"

    # --- the function --------------------------------------------------------------------------

    def _look_ups(self) -> Iterable[str]:
        inner = {path[:-1] for path in self._locals if len(path) > 1}
        for path, name in self._locals.items():
            parent = self._locals[path[:-1]] if len(path) > 1 else "profile"
            default = ", EMPTY" if path in inner else ", NAN" if path in self._numeric else ""
            yield f"    {name} = {parent}.get({path[-1]!r}{default})"

    def _function(self, name: str, expressions: list[str], *, records: bool) -> str:
        lines = [
            f"def {name}(profile):",
            "    audiences = []; audience = audiences.append",
            "    experiences = []; experience = experiences.append",
            "    changes = []; change = changes.extend" if records else "",
            "    s = low_bytes(profile['stableId'])",
            "    sticky = profile.get('stickyVariants', EMPTY)",
            *self._look_ups(),
        ]
        position = {identifier: index for index, identifier in enumerate(self.audience_ids)}
        for index, expression in enumerate(expressions):
            shown = repr(self.audience_ids[index]) if records else index
            lines.append(f"    a{index} = {expression}")
            lines.append(f"    if a{index}: audience({shown})")
        for index, each in enumerate(self._experiences):
            wanted = "" if each.audience is None else f"a{position[each.audience]} and "
            in_traffic = first_hash(lambda draw, each=each: not each.traffic > draw)
            lines.append(f"    if {wanted}h({each.traffic_prefix!r} + s, 0) < {in_traffic}:")
            lines.extend(f"        {line}" for line in self._variant(each))
            if records:
                self._add_records(index, each)
                lines.append(f"        experience(R{index}[v])")
                if each.variables:
                    lines.append(f"        change(C{index}[v])")
            else:
                lines.append(f"        experience(({index}, v))")
        results = "experiences, changes, audiences" if records else "experiences, audiences"
        lines.append(f"    return {results}")
        return "\n".join(lines)

    @staticmethod
    def _variant(each: PreparedExperience) -> list[str]:
        choice = ""
        for index, (_, end) in enumerate(each.distribution):
            bound = first_hash(lambda draw, end=end: draw > end)
            if bound > MAXIMUM:
                choice += str(index)
                break
            choice += f"{index} if d < {bound} else "
        else:
            choice += "0"
        draw = [f"d = h({each.distribution_prefix!r} + s, 0)", f"v = {choice}"]
        if not each.sticky:
            return draw
        return [
            f"v = sticky.get({each.id!r}, -1)",
            f"if not 0 <= v <= {each.highest_index}:",
            *(f"    {line}" for line in draw),
        ]

    def _add_records(self, position: int, each: PreparedExperience) -> None:
        records = []
        changes = []
        for index in range(each.highest_index + 1):
            variants = {
                baseline: ids[index - 1] if 0 < index <= len(ids) else baseline
                for baseline, ids in each.replacements
            }
            record = {"experienceId": each.id, "variantIndex": index, "variants": variants}
            records.append({**record, "sticky": True} if each.sticky else record)
            changes.append(
                [
                    {
                        "key": key,
                        "type": "Variable",
                        "value": values[index - 1] if 0 < index <= len(values) else baseline,
                        "meta": {"experienceId": each.id, "variantIndex": index},
                    }
                    for key, baseline, values in each.variables
                ]
            )
        self._constants[f"R{position}"] = records
        self._constants[f"C{position}"] = changes


def leaves_of(rules: Iterable[Mapping[str, Json]]) -> Iterable[Mapping[str, Json]]:
    """Every leaf below these rules."""
    for rule in rules:
        if "not" in rule:
            yield from leaves_of([rule["not"]])
        elif "any" in rule or "all" in rule:
            yield from leaves_of(rule.get("any", []) + rule.get("all", []))
        else:
            yield rule

"""Enumeration against brute force: nothing is missed, nothing is invented, shares are right.

``WHICHVARIANT_EXAMPLES`` asks for more generated configurations.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from benchmarks.workloads import workload
from hypothesis import HealthCheck, Phase, given, settings

from combinations.pages import document, experience, places_of, probabilities, shown_by
from oracle.oracle import evaluate, holds
from oracle.strategies import Case, cases, seeded_case
from whichvariant import Engine
from whichvariant.errors import ProfileError, TooManyCombinations

EXAMPLES = int(os.environ.get("WHICHVARIANT_EXAMPLES", "40"))

thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check_case(case: Case, rng: Random) -> int:
    """Whatever any visit shows is enumerated, under its own pattern of audiences."""
    engine = Engine.from_dict(case.document)
    entries, variables = places_of(engine)
    entries = rng.sample(entries, min(len(entries), 3))
    variables = rng.sample(variables, min(len(variables), 2))
    checked = 0
    try:
        seen = engine.combinations(entries, variables, limit=1_000)
        raw = engine.combinations(entries, variables, level="experiences", limit=1_000)
    except TooManyCombinations:
        return 0
    by_key = {one.key: one for one in seen}
    raw_by_key = {one.key: one for one in raw}
    relevant = {name for pattern in seen.patterns for name in pattern.audiences}
    numbers = {frozenset(pattern.audiences): n for n, pattern in enumerate(seen.patterns)}
    for pattern in seen.patterns:
        if pattern.example is not None:
            example = pattern.example
            answer = engine.select(
                {"stableId": "x", **example.profile}, device=example.device, counts=example.counts
            )
            assert relevant & set(answer.audiences) == set(pattern.audiences)
    for visit in case.visits:
        try:
            answer = engine.select(
                visit.profile, device=visit.device, events=visit.events, now=visit.now_ms
            )
        except ProfileError:
            continue
        pattern = numbers[frozenset(relevant & set(answer.audiences))]
        one = by_key[engine.combination_key(answer, entries, variables)]
        assert pattern in dict(one.given)
        assert (one.entries, one.variables) == shown_by(answer.to_dict(), entries, variables)
        key = engine.combination_key(answer, entries, variables, level="experiences")
        other = raw_by_key[key]
        probability = dict(other.given)[pattern]
        if not visit.profile.get("stickyVariants"):
            assert probability > 0
        ids = {record["experienceId"] for record in other.experiences}
        assert [r for r in answer.experiences if r["experienceId"] in ids] == other.experiences
        checked += 1
    for found in (seen, raw):
        for number in range(len(found.patterns)):
            given_pattern = [dict(one.given).get(number, Fraction(0)) for one in found]
            assert sum(given_pattern) == 1
        for one in found:
            page = {"entries": entries, "variables": variables, "level": found.page.level}
            assert engine.combination_key(one.experiences, **page) == one.key
    return checked


@given(case=cases(visits=6))
@thorough
def test_nothing_that_a_visitor_sees_is_missed(case: Case) -> None:
    check_case(case, Random(len(case.document["experiences"])))


def test_nothing_is_missed_in_larger_configurations() -> None:
    checked = sum(
        check_case(seeded_case(seed, visits=20), Random(seed)) for seed in range(EXAMPLES)
    )
    assert checked > 10 * EXAMPLES


# ---- exactly the patterns there are --------------------------------------------------------------

MISSING = object()
NUMBERS: list[Any] = [0, 1, 1.5, 2, 2.5, 3, 4]
TEXTS = ["".join(letters) for n in range(5) for letters in itertools.product("abx", repeat=n)] + [
    "1",
    "2",
    "2.0",
    "1.5",
    "02",
    "3",
    "9e999",
]


def small_leaf(rng: Random, *, texts: bool) -> dict[str, Any]:
    """A leaf on one of three traits; on the last one text operations, if wanted."""
    key = rng.choice(["n", "c", "t"])
    if key == "n":
        operator = rng.choice(
            ["equal", "notEqual", "greaterThan", "greaterThanInclusive", "lessThan", "exists",
             "lessThanInclusive", "in", "notIn", "notExists"]
        )  # fmt: skip
        value: Any = rng.choice([1, 2, 3, "1", "2", "2.0"])
        if operator in ("in", "notIn"):
            value = rng.sample([1, 2, 3, "2", "a"], 2)
        elif operator not in ("equal", "notEqual"):
            value = rng.choice([1, 2, 3])
    elif key == "c" or not texts:
        operator = rng.choice(["equal", "notEqual", "in", "exists"])
        value = rng.sample(["a", "b", "ab"], 2) if operator == "in" else rng.choice(["a", "b"])
    else:
        operator = rng.choice(["contains", "notContains", "startsWith", "endsWith", "equal"])
        value = "".join(rng.choices("ab", k=rng.randint(0 if operator != "equal" else 1, 2)))
    return {"type": "identify", "key": key, "operator": operator, "value": value}


def small_rule(rng: Random, *, texts: bool) -> dict[str, Any]:
    alternatives: list[dict[str, Any]] = [
        {"all": [small_leaf(rng, texts=texts) for _ in range(rng.choice([1, 2, 2]))]}
        for _ in range(rng.choice([1, 2]))
    ]
    if rng.random() < 0.3:
        alternatives.append({"not": {"all": [small_leaf(rng, texts=texts) for _ in range(2)]}})
    return {"any": alternatives}


def vectors(rules: list[dict[str, Any]], key: str, values: list[Any]) -> list[dict[str, Any]]:
    """Values of one trait, one for each way in which the leaves on it can come out."""
    leaves = [leaf for rule in rules for leaf in leaves_of(rule) if leaf["key"] == key]
    found: dict[tuple[bool, ...], dict[str, Any]] = {}
    for value in [MISSING, *values]:
        traits = {} if value is MISSING else {key: value}
        truths = tuple(rule_holds(leaf, traits) for leaf in leaves)
        found.setdefault(truths, traits)
    return list(found.values())


def leaves_of(rule: dict[str, Any]) -> list[dict[str, Any]]:
    if "type" in rule:
        return [rule]
    inner = rule.get("any") or rule.get("all") or [rule["not"]]
    return [leaf for one in inner for leaf in leaves_of(one)]


def rule_holds(rule: dict[str, Any], traits: dict[str, Any]) -> bool:
    return holds(rule, {"traits": traits}, None, [], 0)


@pytest.mark.parametrize("texts", [False, True])
def test_exactly_the_patterns_that_an_exhaustive_search_finds(texts: bool) -> None:
    """The values tried are all that the rules' small vocabulary can tell apart, judged by the
    oracle: not one pattern more, not one less, and each is proven."""
    exclusions = 0
    for seed in range(EXAMPLES):
        rng = Random(f"{texts} {seed}")
        rules = [small_rule(rng, texts=texts) for _ in range(rng.randint(2, 4))]
        names = [f"audience-{n}" for n in range(len(rules))]
        raw = document(
            dict(zip(names, rules, strict=True)),
            [experience(f"e{n}", audience=name) for n, name in enumerate(names)],
        )
        expected = set()
        for parts in itertools.product(
            vectors(rules, "n", [*NUMBERS, *TEXTS]),
            vectors(rules, "c", [*TEXTS, *NUMBERS]),
            vectors(rules, "t", [*TEXTS, *NUMBERS]),
        ):
            traits = {key: value for part in parts for key, value in part.items()}
            expected.add(
                frozenset(
                    name
                    for name, rule in zip(names, rules, strict=True)
                    if rule_holds(rule, traits)
                )
            )
        found = Engine.from_dict(raw).combinations(["hero"])
        assert {frozenset(pattern.audiences) for pattern in found.patterns} >= expected
        for pattern in found.patterns:
            # What the search did not think of (a longer text) there is all the same.
            assert pattern.example is not None
            traits = pattern.example.profile.get("traits", {})
            matching = [n for n, rule in enumerate(rules) if rule_holds(rule, traits)]
            assert [names[n] for n in matching] == list(pattern.audiences)
        exclusions += 2 ** len(rules) - len(found.patterns)
    assert exclusions > EXAMPLES  # what cannot be together was there to be excluded


# ---- exact probabilities -------------------------------------------------------------------------


@given(case=cases(visits=1))
@thorough
def test_probabilities_are_those_of_plain_multiplication(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    entries, variables = places_of(engine)
    for level in ("seen", "experiences"):
        try:
            found = engine.combinations(entries, variables, level=level, limit=500)
        except TooManyCombinations:
            continue
        page = found.page
        names = {engine.program.experience_ids[number] for number in page.experiences}
        audience = {one.id: one.audience for one in engine.configuration.experiences}
        for number, pattern in enumerate(found.patterns):
            eligible = [
                name
                for name in names
                if audience[name] is None or audience[name] in pattern.audiences
            ]
            expected: Counter[str] = Counter()
            for chosen, probability in probabilities(engine, case.document, eligible).items():
                records = [{"experienceId": name, "variantIndex": index} for name, index in chosen]
                expected[page.key(records)] += probability  # type: ignore[assignment]
            got = {one.key: dict(one.given)[number] for one in found if number in dict(one.given)}
            assert {key: share for key, share in got.items() if share} == {
                key: share for key, share in expected.items() if share
            }


# ---- shares within sampling error ----------------------------------------------------------------


def test_shares_of_a_sample_of_workload_visitors_are_what_their_selections_count() -> None:
    """The shares of W2's visitors, from their audiences and exact draws, against counting."""
    load = workload("W2")
    engine = Engine.from_dict(load.document)
    rng = Random(7)
    entries, variables = places_of(engine)
    profiles = [
        {**profile, "stickyVariants": {}, "stableId": f"{copy}-{profile['stableId']}"}
        for profile in load.profiles
        for copy in range(20)
    ]
    selections = [engine.select(profile) for profile in profiles]
    statistic, freedom = 0.0, 0
    for _ in range(8):
        page = {"entries": rng.sample(entries, 4), "variables": rng.sample(variables, 1)}
        found = engine.combinations(**page, profiles=profiles, limit=100_000)
        assert found.sample_size == len(profiles)
        assert sum(one.share or 0 for one in found) == 1
        assert found.omitted_share == 0
        counts = Counter(engine.combination_key(one, **page) for one in selections)
        assert counts.keys() <= {one.key for one in found}
        # The audiences are the sample's own, so the counts vary no more than binomially.
        wanted = [(counts[one.key], float(one.share or 0) * len(profiles)) for one in found]
        rare = [pair for pair in wanted if pair[1] < 8]
        cells = [pair for pair in wanted if pair[1] >= 8]
        if rare:
            cells.append((sum(one for one, _ in rare), sum(other for _, other in rare)))
        statistic += sum((got - want) ** 2 / max(want, 1) for got, want in cells)
        freedom += len(cells) - 1
    assert freedom > 30
    # Eight pages, and ten standard deviations. Within patterns counts vary even less.
    assert statistic < freedom + 10 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
def test_draws_of_many_visitors_agree_with_the_exact_probabilities(scheme: str) -> None:
    raw = document(
        {},
        [
            experience("a", traffic=0.5, distribution=[0.2, 0.5, 0.3], variants=["v1", "v2"]),
            experience("b", traffic=0.9, distribution=[0.5, 0.5], variants=["v1"]),
            experience("c", entry="teaser", variants=["t1"], traffic=0.3, distribution=[0.1, 0.9]),
        ],
        scheme,
    )
    engine = Engine.from_dict(raw)
    found = engine.combinations(["hero", "teaser"], profiles=[{"stableId": ""}])
    n = 40_000
    counts = Counter(
        engine.combination_key(engine.select({"stableId": f"v{k}"}), ["hero", "teaser"])
        for k in range(n)
    )
    assert {one.key for one in found} == set(counts)
    statistic = sum(
        (counts[one.key] - n * float(one.share or 0)) ** 2 / (n * float(one.share or 0))
        for one in found
    )
    freedom = len(found) - 1
    assert freedom >= 5
    assert statistic < freedom + 6 * (2 * freedom) ** 0.5


def test_the_oracle_selects_nothing_but_combinations() -> None:
    """The second evaluator, which shares no code, lands on the enumerated keys too."""
    for seed in range(min(EXAMPLES, 60)):
        case = seeded_case(1000 + seed, visits=10)
        engine = Engine.from_dict(case.document)
        entries, variables = places_of(engine)
        try:
            found = engine.combinations(entries[:3], variables[:2])
        except TooManyCombinations:
            continue
        keys = {one.key for one in found}
        for visit in case.visits:
            try:
                engine.select(visit.profile)
            except ProfileError:
                continue
            answer = evaluate(
                case.document,
                visit.profile,
                device=visit.device,
                events=visit.events,
                now_ms=visit.now_ms,
            )
            assert engine.combination_key(answer, entries[:3], variables[:2]) in keys

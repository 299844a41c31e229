"""Pages, keys, patterns and shares, case by case."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from base64 import b64encode
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from combinations.pages import document, experience, trait
from whichvariant import Engine, TooManyCombinations

GOLD = trait("plan", "equal", "gold")
SILVER = trait("plan", "equal", "silver")


def patterns_of(rules: dict[str, Any], **more: Any) -> set[frozenset[str]]:
    """Which of these audiences can match together."""
    found = engine_of(rules).combinations(["hero"], **more)
    return {frozenset(pattern.audiences) for pattern in found.patterns}


def engine_of(rules: dict[str, Any]) -> Engine:
    return Engine.from_dict(
        document(rules, [experience(f"e-{name}", audience=name) for name in rules])
    )


def sets(*names: str) -> set[frozenset[str]]:
    return {frozenset(name.split()) for name in names}


# ---- which audiences go together -----------------------------------------------------------------


def test_one_trait_has_one_value() -> None:
    assert patterns_of({"gold": GOLD, "silver": SILVER}) == sets("", "gold", "silver")


def test_an_audience_and_its_negation() -> None:
    rules = {"gold": GOLD, "others": trait("plan", "notEqual", "gold")}
    assert patterns_of(rules) == sets("gold", "others")


def test_ranges() -> None:
    rules = {
        "minor": trait("age", "lessThan", 18),
        "adult": trait("age", "greaterThanInclusive", 18),
        "old": trait("age", "greaterThan", 64),
    }
    assert patterns_of(rules) == sets("", "minor", "adult", "adult old")


def test_a_range_with_one_number_in_it() -> None:
    rules = {
        "from": trait("age", "greaterThanInclusive", 18),
        "to": trait("age", "lessThanInclusive", 18),
        "exactly": trait("age", "equal", 18),
    }
    assert patterns_of(rules) == sets("", "from", "to", "from to exactly")


def test_text_operations() -> None:
    rules = {
        "ab": trait("t", "startsWith", "ab"),
        "b": trait("t", "startsWith", "b"),
        "has": trait("t", "contains", "a"),
        "end": trait("t", "endsWith", "ab"),
    }
    assert patterns_of(rules) == sets("", "ab has", "ab has end", "b", "b has", "b has end",
                                      "has", "has end")  # fmt: skip


def test_devices() -> None:
    def device(operator: str, value: str) -> dict[str, Any]:
        return {"any": [{"all": [{"type": "device", "operator": operator, "value": value}]}]}

    rules = {"phone": device("equal", "mobile"), "e": device("contains", "e"),
             "d": device("startsWith", "d")}  # fmt: skip
    assert patterns_of(rules) == sets("", "phone e", "e", "e d") - sets("") | sets("")
    example = engine_of(rules).combinations(["hero"]).patterns
    assert {p.example.device for p in example if p.example} >= {"mobile", "desktop", "tablet"}


def test_counts_of_events() -> None:
    def counted(count: str) -> dict[str, Any]:
        return {"any": [{"all": [{"type": "track", "value": "buy", "count": count}]}]}

    rules = {"one": counted("1"), "three": counted("3")}
    found = engine_of(rules).combinations(["hero"])
    assert {frozenset(p.audiences) for p in found.patterns} == sets("", "one", "one three")
    assert all(pattern.proven for pattern in found.patterns)


def test_an_attribute_below_a_text_is_not_there() -> None:
    rules = {
        "flat": trait("a", "equal", "x"),
        "deep": trait("a.b.c", "exists"),
        "object": trait("a", "startsWith", "[object"),
    }
    assert patterns_of(rules) == sets("", "flat", "deep object", "object")


def test_empty_groups_and_everybody() -> None:
    rules = {"all": {"all": []}, "none": {"any": []}, "gold": GOLD}
    assert patterns_of(rules) == sets("all", "all gold")


def test_a_pattern_may_exist_and_is_not_claimed_to() -> None:
    """Texts of regular expressions are not looked for: what may be is listed, and said so."""
    rules = {"x": trait("t", "matches", "^x+$"), "y": trait("t", "matches", "^y+$")}
    found = engine_of(rules).combinations(["hero"])
    proven = {frozenset(pattern.audiences): pattern.proven for pattern in found.patterns}
    assert proven == {
        frozenset(): True,
        frozenset({"x"}): False,
        frozenset({"y"}): False,
        frozenset({"x", "y"}): False,
    }
    # A visitor proves it.
    sampled = engine_of(rules).combinations(
        ["hero"], profiles=[{"stableId": "1", "traits": {"t": "xx"}}]
    )
    assert {frozenset(p.audiences) for p in sampled.patterns if p.proven} == sets("", "x")


def test_patterns_are_exact_where_a_list_names_the_text() -> None:
    rules = {"x": trait("t", "matches", "^x+$"), "xx": trait("t", "in", ["xx", "y"])}
    assert patterns_of(rules) == sets("", "x", "xx", "x xx")


def test_many_words_are_not_two_to_the_many() -> None:
    """200 alternatives on one text: found at once, because an OR is true with the first of them."""
    words = {"any": [trait("t", "contains", f"<{n}>") for n in range(60)]}
    assert patterns_of({"any": words, "other": GOLD}) == sets("", "any", "other", "any other")


# ---- what is seen --------------------------------------------------------------------------------


def test_the_first_selected_experience_is_seen() -> None:
    raw = document(
        {"gold": GOLD},
        [
            experience("a", audience="gold", variants=["gold-hero"], distribution=[0, 1]),
            experience("b", variants=["hero-b"], distribution=[0.25, 0.75], traffic=0.5),
        ],
    )
    engine = Engine.from_dict(raw)
    quarter = Fraction(3, 8)
    found = {one.entries["hero"]: one for one in engine.combinations(["hero"])}
    assert set(found) == {"hero", "gold-hero", "hero-b"}
    given = {name: dict(one.given) for name, one in found.items()}
    assert given["gold-hero"].keys() == {1}
    assert abs(given["hero-b"][0] - quarter) < Fraction(1, 10**8)
    assert given["hero-b"][1] < Fraction(1, 10**9)  # only past the one hash that traffic 1 leaves
    # The entry's own order puts the other one first.
    other = engine.combinations({"hero": ["b", "a", "no such"]})
    given = {one.entries["hero"]: dict(one.given) for one in other}
    assert abs(given["hero-b"][1] - quarter) < Fraction(1, 10**8)
    # An entry that lists fewer shows fewer.
    assert {one.entries["hero"] for one in engine.combinations({"hero": ["b"]})} == {
        "hero", "hero-b",
    }  # fmt: skip


def test_an_experience_that_the_entry_lists_hides_others_without_having_the_entry() -> None:
    raw = document({}, [experience("a", entry="other"), experience("b", distribution=[0, 1])])
    engine = Engine.from_dict(raw)
    found = engine.combinations({"hero": ["a", "b"]}, at_least=1e-6)
    assert [one.entries for one in found] == [{"hero": "hero"}]
    assert engine.combination_key(engine.select({"stableId": "1"}), {"hero": ["a", "b"]}) == (
        found[0].key
    )


def test_variables_and_the_empty_variant() -> None:
    variable = {
        "type": "InlineVariable", "key": "k", "valueType": "Object",
        "baseline": {"value": {"a": 1}}, "variants": [{"value": {"a": [1.0]}}],
    }  # fmt: skip
    raw = document({}, [experience("a", variants=[""], components=[variable], traffic=0.5)])
    found = Engine.from_dict(raw).combinations(["hero"], ["k", "unset"])
    looks = [(one.entries["hero"], one.variables) for one in found]
    assert sorted(looks, key=repr) == [
        ("", {"k": {"a": [1.0]}}),
        ("hero", {"k": {"a": 1}}),
        ("hero", {}),
    ]
    assert len({one.key for one in found}) == 3


def test_a_sticky_choice_reaches_what_no_draw_does() -> None:
    raw = document(
        {},
        [experience("a", variants=["v1", "v2"], distribution=[0, 1], sticky=True)],
    )
    engine = Engine.from_dict(raw)
    found = {one.entries["hero"]: one.likeliest for one in engine.combinations(["hero"])}
    assert found.keys() == {"hero", "v1", "v2"}
    assert found["v2"] == 0
    held = engine.select({"stableId": "1", "stickyVariants": {"a": 2}})
    keys = {one.key: one.entries for one in engine.combinations(["hero"])}
    assert keys[engine.combination_key(held, ["hero"])] == {"hero": "v2"}
    assert {one.entries["hero"] for one in engine.combinations(["hero"], at_least=1e-6)} == {"v1"}


def test_experiences_with_the_same_draws_are_decided_together() -> None:
    """Under murmur3 only the low bytes of an id count, so these two always agree."""
    pair = [
        experience("a", entry="one", variants=["one-b"], traffic=0.5),
        experience("š", entry="two", variants=["two-b"], traffic=0.25),
    ]
    found = Engine.from_dict(document({}, pair)).combinations(["one", "two"])
    looks = {(one.entries["one"], one.entries["two"]): one.likeliest for one in found}
    assert set(looks) == {("one", "two"), ("one-b", "two"), ("one-b", "two-b")}
    assert abs(looks["one-b", "two-b"] - Fraction(1, 8)) < Fraction(1, 10**8)
    apart = Engine.from_dict(document({}, pair, "xxh64")).combinations(["one", "two"])
    assert len(apart) == 4


# ---- keys ----------------------------------------------------------------------------------------


def test_keys_last() -> None:
    """From release to release and process to process: a cache may be older than either."""
    raw = document({}, [experience("a", variants=["hero-b"])])
    found = {one.entries["hero"]: one.key for one in Engine.from_dict(raw).combinations(["hero"])}
    text = b'["entry","hero","hero-b"]'
    assert found["hero-b"] == b64encode(blake2b(text, digest_size=9).digest(), b"-_").decode()
    assert found == {"hero": "AAAAAAAAAAAA", "hero-b": "u1BM_QrKvTlP"}
    program = "\n".join(
        [
            "from whichvariant import Engine",
            f"engine = Engine.from_dict({raw!r})",
            "print(*(one.key for one in engine.combinations(['hero'])))",
        ]
    )
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        assert set(said.split()) == set(found.values())


def test_the_same_look_has_the_same_key_whatever_the_configuration() -> None:
    before = Engine.from_dict(document({}, [experience("a", variants=["v1"])]))
    after = Engine.from_dict(
        document(
            {"gold": GOLD},
            [
                experience("z", variants=["v2", "v1"], distribution=[0.2, 0.3, 0.5]),
                experience("b", audience="gold", entry="more", variants=["more-b"]),
            ],
        )
    )
    old = {one.entries["hero"]: one.key for one in before.combinations(["hero"])}
    new = {tuple(one.entries.values()): one.key for one in after.combinations(["hero", "more"])}
    assert new["v1", "more"] == old["v1"]
    assert new["hero", "more"] == old["hero"]
    assert len(set(new.values())) == len(new)


def test_whatever_has_the_shape_of_a_selection_has_a_key() -> None:
    engine = Engine.from_dict(document({}, [experience("a"), experience("b", entry="more")]))
    page = engine.page(["hero"], level="experiences")
    selection = engine.select({"stableId": "1"})
    key = page.key(selection)
    assert page.key(selection.to_dict()) == page.key(selection.experiences) == key
    assert page.key(record for record in selection.experiences) == key
    assert page.key([]) == "AAAAAAAAAAAA" != key
    stray = [{"experienceId": "a", "variantIndex": 99}, {"experienceId": "?", "variantIndex": 1}]
    assert page.key(stray) == page.key([{"experienceId": "a", "variantIndex": 0}])


def test_a_page_is_made_once() -> None:
    engine = Engine.from_dict(document({}, [experience("a")]))
    assert engine.page(["hero"]) is engine.page(("hero",))
    assert engine.page({"hero": ["a"]}) is engine.page({"hero": ("a",)})
    assert engine.page({"hero": ["a"]}) is not engine.page({"hero": None})
    assert engine.page(["hero"]) is not engine.page(["hero"], level="experiences")
    for number in range(600):  # and not all are kept
        engine.page([f"entry-{number}"])
    again = pickle.loads(pickle.dumps(engine))
    assert [one.key for one in again.combinations(["hero"])] == [
        one.key for one in engine.combinations(["hero"])
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"entries": "hero"}, TypeError),
        ({"entries": {"hero": "a"}}, TypeError),
        ({"variables": "key"}, TypeError),
        ({"level": "all"}, ValueError),
    ],
)
def test_what_is_no_page(arguments: dict[str, Any], error: type[Exception]) -> None:
    engine = Engine.from_dict(document({}, [experience("a")]))
    with pytest.raises(error):
        engine.combinations(**arguments)


# ---- shares --------------------------------------------------------------------------------------


def two_audiences() -> Engine:
    return Engine.from_dict(
        document(
            {"gold": GOLD, "de": {"all": [
                {"type": "location", "key": "countryCode", "operator": "equal", "value": "DE"}]}},
            [
                experience("a", audience="gold", distribution=[0, 1]),
                experience("b", audience="de", entry="more", variants=["more-b"], traffic=0.5),
            ],
        )
    )  # fmt: skip


def test_shares_from_a_sample_however_it_comes() -> None:
    engine = two_audiences()
    profiles = [
        {"stableId": str(n), "traits": {"plan": "gold" if n % 4 == 0 else None},
         "location": {"countryCode": "DE" if n % 2 else "FR"}}
        for n in range(100)
    ]  # fmt: skip
    page = ["hero", "more"]
    expected = engine.combinations(page, profiles=profiles)
    assert expected.sample_size == 100
    by_names = {pattern.audiences: pattern.share for pattern in expected.patterns}
    assert by_names == {
        (): Fraction(1, 4),
        ("gold",): Fraction(1, 4),
        ("de",): Fraction(1, 2),
        ("de", "gold"): 0,
    }
    assert sum(one.share or 0 for one in expected) == 1
    table = pa.Table.from_pylist(profiles)
    for form in (
        iter(profiles),
        table,
        [table.slice(0, 30), table.slice(30)],
        table.to_batches()[0],
        pl.from_arrow(table),
        engine.select_columns(table),
        [engine.select_columns(table.slice(0, 30)), engine.select_columns(table.slice(30))],
    ):
        assert [(one.key, one.share) for one in engine.combinations(page, profiles=form)] == [
            (one.key, one.share) for one in expected
        ]
    shares = {("gold",): 0.25, "de": 0.5, (): 0.25}
    assert [(one.key, one.share) for one in engine.combinations(page, audience_shares=shares)] == [
        (one.key, one.share) for one in expected
    ]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({("gold",): 0.5}, "sum to 0.5"),
        ({("gold",): 1, ("nobody",): 0}, "'nobody' is no audience of this page"),
        ({("gold",): 1.5, (): -0.5}, "negative"),
        ({"gold": 0.5, ("gold",): 0.5}, "twice"),
    ],
)
def test_shares_that_cannot_be(shares: dict[Any, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_audiences().combinations(["hero", "more"], audience_shares=shares)


def test_shares_of_audiences_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="no visitor has"):
        engine_of({"gold": GOLD, "silver": SILVER}).combinations(
            ["hero"], audience_shares={("gold", "silver"): 1}
        )
    with pytest.raises(ValueError, match="not both"):
        two_audiences().combinations(["hero"], profiles=[], audience_shares={})
    with pytest.raises(ValueError, match="at least one"):
        two_audiences().combinations(["hero"], profiles=[])


def test_rare_combinations_are_left_out_and_counted() -> None:
    engine = Engine.from_dict(document({}, [experience("a", distribution=[0.001, 0.999])]))
    whole = engine.combinations(["hero"], profiles=[{"stableId": "1"}])
    part = engine.combinations(["hero"], profiles=[{"stableId": "1"}], at_least=0.01)
    assert (len(whole), whole.omitted, whole.omitted_share) == (2, 0, 0)
    assert (len(part), part.omitted) == (1, 1)
    assert part.omitted_share == whole[1].share
    assert [one.key for one in part] == [whole[0].key]
    unknown = engine.combinations(["hero"], at_least=0.01)
    assert (len(unknown), unknown.omitted, unknown.omitted_share) == (1, 1, None)


def test_too_many_are_refused() -> None:
    many = [experience(f"e{n}", entry=f"entry-{n}", traffic=0.5) for n in range(16)]
    engine = Engine.from_dict(document({}, many))
    entries = [f"entry-{n}" for n in range(16)]
    assert len(engine.combinations(entries[:5])) == 2**5
    with pytest.raises(TooManyCombinations, match="more than 31 combinations"):
        engine.combinations(entries[:5], limit=31)
    with pytest.raises(TooManyCombinations, match="more than 10,000"):
        engine.combinations(entries)
    rules = {f"a{n}": trait(f"t{n}", "exists") for n in range(12)}
    with pytest.raises(TooManyCombinations, match="4,096 patterns"):
        engine_of(rules).combinations(["hero"], limit=4_000)


def test_a_page_without_experiences_looks_one_way() -> None:
    found = Engine.from_dict(document({"gold": GOLD}, [])).combinations(["hero"], ["k"])
    assert [(one.key, one.entries, one.likeliest) for one in found] == [
        ("AAAAAAAAAAAA", {"hero": "hero"}, 1)
    ]
    assert found[:1] == (found[0],)


def test_as_json() -> None:
    engine = two_audiences()
    found = engine.combinations(["hero", "more"], profiles=[{"stableId": "1"}])
    data = found.to_dict()
    assert data["digest"] == engine.digest
    assert data["patterns"][0] == {"audiences": [], "share": 1.0, "proven": True}
    assert [one["key"] for one in data["combinations"]] == [one.key for one in found]
    assert data["combinations"][0]["share"] == 1.0
    assert data["omitted"] == {"combinations": 0, "share": 0.0}

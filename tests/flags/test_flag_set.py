"""What a flag is: its kinds, which experience decides, and why."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flags.documents import document, experience, trait_audience, variable

from whichvariant import Engine
from whichvariant.flags import MISMATCH, Choice, FlagSet, visitor_of

GOLD = trait_audience("gold", "plan", "gold")


def flags_of(*experiences: dict[str, Any]) -> FlagSet:
    return FlagSet(Engine.from_dict(document(*experiences, audiences=(GOLD,))))


def choose(flags: FlagSet, key: str, who: str = "someone", **attributes: Any) -> Choice:
    flag = flags.find(key)
    assert flag is not None
    return flags.choose(flag, visitor_of(who, attributes))


KINDS = ("boolean", "string", "integer", "float", "object")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, {"boolean": True}),
        (False, {"boolean": False}),
        ("", {"string": ""}),
        ("1", {"string": "1"}),
        (0, {"integer": 0, "float": 0.0}),
        (2**53 - 1, {"integer": 2**53 - 1, "float": float(2**53 - 1)}),
        (2**53 + 1, {"integer": 2**53 + 1}),
        (0.5, {"float": 0.5}),
        (10.0, {"integer": 10, "float": 10.0}),
        ({}, {"object": {}}),
        ({"a": [1, {"b": None}]}, {"object": {"a": [1, {"b": None}]}}),
    ],
)
def test_kinds(value: Any, expected: dict[str, Any]) -> None:
    choice = choose(flags_of(experience("e", variable("k", value, value))), "k")
    for kind in KINDS:
        found = choice.as_kind(kind)
        assert found == expected.get(kind, MISMATCH)
        assert type(found) is type(expected.get(kind, MISMATCH)) or kind == "object"


def test_an_experience_by_its_id() -> None:
    entry = {"baseline": {"id": "hero"}, "variants": [{"id": "bold", "hidden": False}]}
    flags = flags_of(experience("e", entry), experience("f", entry, distribution=(1, 0)))
    on, off = choose(flags, "e"), choose(flags, "f")
    assert [on.as_kind(kind) for kind in KINDS] == [
        MISMATCH,
        "variant-1",
        1,
        1.0,
        {"hero": "bold"},
    ]
    assert [off.as_kind(kind) for kind in KINDS] == [MISMATCH, "baseline", 0, 0.0, {"hero": "hero"}]
    assert on.value == on.variant == "variant-1"


def test_the_first_experience_wins_whatever_its_variant() -> None:
    flags = flags_of(
        experience("b", variable("k", "b0", "b1")),
        experience("A", variable("k", "a0", "a1"), distribution=(1, 0)),
    )
    # By id, case-insensitively: the order of changes in the API's answers.
    assert choose(flags, "k").value == "a0"


def test_of_two_components_the_first_counts() -> None:
    flags = flags_of(experience("e", variable("k", "x0", "x1"), variable("k", "y0", "y1")))
    assert choose(flags, "k").value == "x1"


def test_a_key_that_is_an_id_is_the_key() -> None:
    flags = flags_of(experience("e", variable("k", 1, 2)), experience("k", variable("other", 3, 4)))
    assert choose(flags, "k").value == 2
    assert flags.keys() == ["k", "other", "e"]


def test_values_are_shared_and_cannot_be_changed() -> None:
    value = choose(flags_of(experience("e", variable("k", {}, {"a": []}))), "k").value
    with pytest.raises(TypeError):
        value["a"] = 1
    with pytest.raises(TypeError):
        value["a"].append(1)


# ---- reasons ------------------------------------------------------------------------------------


def reason(flags: FlagSet, key: str = "k", **attributes: Any) -> str:
    return choose(flags, key, **attributes).reason


def test_reasons() -> None:
    k = variable("k", "no", "yes")
    assert reason(flags_of(experience("e", k))) == "STATIC"
    assert reason(flags_of(experience("e", k, distribution=(1, 0)))) == "STATIC"
    assert reason(flags_of(experience("e", k, distribution=(0.5, 0.5)))) == "SPLIT"
    # Uncovered draws give the baseline, so this is a split as well.
    assert reason(flags_of(experience("e", k, distribution=(0, 0.5)))) == "SPLIT"
    gold = flags_of(experience("e", k, audience="gold"))
    assert reason(gold, plan="gold") == "TARGETING_MATCH"
    assert reason(gold, plan="blue") == "DEFAULT"
    split = flags_of(experience("e", k, audience="gold", distribution=(0.5, 0.5)))
    assert reason(split, plan="gold") == "SPLIT"
    nobody = choose(flags_of(experience("e", k, traffic=0)), "k")
    assert (nobody.reason, nobody.value, nobody.variant) == ("DISABLED", None, None)
    rolled_out = flags_of(experience("e", k, traffic=0.5))
    assert {reason(rolled_out, who=f"v{n}") for n in range(50)} == {"SPLIT", "DEFAULT"}


def test_what_is_left_after_targeting_is_the_default() -> None:
    flags = flags_of(
        experience("a", variable("k", "-", "hit"), audience="gold"),
        experience("b", variable("k", "miss", "-"), distribution=(1, 0)),
    )
    hit, miss = choose(flags, "k", plan="gold"), choose(flags, "k")
    assert (hit.value, hit.reason) == ("hit", "TARGETING_MATCH")
    assert (miss.value, miss.reason) == ("miss", "DEFAULT")


def test_metadata_says_what_decided() -> None:
    flags = flags_of(experience("e", variable("k", 1, 2), sticky=True, name="The experience"))
    assert dict(choose(flags, "k").metadata) == {
        "experienceId": "e",
        "experienceName": "The experience",
        "variantIndex": 1,
        "sticky": True,
        "configuration": flags.engine.digest,
    }
    with pytest.raises(TypeError):
        choose(flags, "k").metadata["experienceId"] = "f"  # type: ignore[index]


def test_what_needs_no_id() -> None:
    k = variable("k", 1, 2)

    def draws(**given: Any) -> bool:
        flag = flags_of(experience("e", k, **given)).find("k")
        assert flag is not None
        return flag.draws

    assert not draws()
    assert not draws(audience="gold")
    assert not draws(traffic=0)
    assert draws(traffic=0.99)
    assert draws(distribution=(0.5, 0.5))


def test_a_sticky_choice_counts() -> None:
    flags = flags_of(experience("e", variable("k", "zero", "one"), sticky=True))
    assert choose(flags, "k").value == "one"
    assert choose(flags, "k", stickyVariants={"e": 0}).value == "zero"


# ---- changes ------------------------------------------------------------------------------------


def test_what_changed() -> None:
    before = flags_of(
        experience("same", variable("a", 1, 2)),
        experience("value", variable("b", 1, 2)),
        experience("gone", variable("c", 1, 2)),
        experience("rule", variable("d", 1, 2), audience="gold"),
    )
    after = FlagSet(
        Engine.from_dict(
            document(
                experience("same", variable("a", 1, 2)),
                experience("value", variable("b", 1, 3)),
                experience("new", variable("e", 1, 2)),
                experience("rule", variable("d", 1, 2), audience="gold"),
                audiences=(trait_audience("gold", "plan", "golden"),),
            )
        )
    )
    assert after.changed_since(before) == sorted(
        ["b", "value", "c", "gone", "e", "new", "d", "rule"]
    )
    assert after.changed_since(after) == []


def test_unknown_keys() -> None:
    flags = flags_of(experience("e", variable("k", 1, 2)))
    assert flags.find("nobody") is None
    assert len(flags) == 2
    assert [flag.key for flag in flags] == ["k", "e"]

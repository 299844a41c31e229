"""Programs of every size and shape: flat arrays decide what the rules say (SEMANTICS 3, 4)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from core.small import Json, audience, both, document, experience, leaf
from oracle.oracle import evaluate
from oracle.preimage import stable_id_drawing
from whichvariant import Engine

EVERYBODY = {"all": []}

each_scheme = pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])


def visitors(source: Random, count: int) -> list[Json]:
    return [{"stableId": f"{source.getrandbits(64):x}"} for _ in range(count)]


# --- audiences -----------------------------------------------------------------------------------

FLAGS = 80
"""Traits ``t0`` … that rules here ask about; each is "1" or absent."""


def nested_rule(source: Random, depth: int) -> Json:
    """A rule that asks ``depth`` traits one after another, each group inside the one before."""
    keys = [f"t{number}" for number in source.sample(range(FLAGS), depth)]
    rule: Json = leaf("equal", "1", key=keys.pop())
    while keys:
        operator = "equal" if source.random() < 0.8 else "notEqual"
        parts = [leaf(operator, "1", key=keys.pop()), rule]
        if source.random() < 0.2:
            parts.reverse()
        rule = {source.choice(["any", "all"]): parts}
    return {"not": rule} if source.random() < 0.2 else rule


def undecided(rule: Json, source: Random) -> Json:
    """Traits for which the innermost trait decides, so that the walk is as long as can be."""
    traits = {}
    rule = rule.get("not", rule)
    while "type" not in rule:
        [(group, parts)] = rule.items()
        [test] = [part for part in parts if "type" in part][:1]
        [rule] = [part for part in parts if part is not test]
        if (group == "all") == (test["operator"] == "equal"):
            traits[test["key"]] = "1"
    if source.random() < 0.5:
        traits[rule["key"]] = "1"
    return traits


def holds(rule: Json, traits: Json) -> bool:
    """The rule as it reads, without any table."""
    if "any" in rule:
        return any(holds(part, traits) for part in rule["any"])
    if "all" in rule:
        return all(holds(part, traits) for part in rule["all"])
    if "not" in rule:
        return not holds(rule["not"], traits)
    return (rule["key"] in traits) == (rule["operator"] == "equal")


def check_audiences(source: Random, depths: list[int]) -> set[bool]:
    """Compare the engine's audiences with `holds`; the answers that occurred."""
    rules = {f"a{number:03d}": nested_rule(source, depth) for number, depth in enumerate(depths)}
    engine = Engine.from_dict(document(audiences=[audience(*item) for item in rules.items()]))
    answers = set()
    situations = [undecided(source.choice(list(rules.values())), source) for _ in range(10)]
    for density in (0, 0.2, 0.5, 0.8, 1):
        flags = [number for number in range(FLAGS) if source.random() < density]
        situations.append({f"t{number}": "1" for number in flags})
    for traits in situations:
        expected = [audience_id for audience_id, rule in rules.items() if holds(rule, traits)]
        assert both(engine, {"stableId": "v", "traits": traits})["audiences"] == expected, depths
        answers |= {audience_id in expected for audience_id in rules}
    return answers


@pytest.mark.parametrize("count", range(1, 41))
def test_any_number_of_audiences_of_any_depth(count: int) -> None:
    """Groups that are not full, shallow and deep audiences side by side, up to 62 steps."""
    source = Random(count)
    for deepest in (3, 25, 50, 62):
        check_audiences(source, [source.randint(1, deepest) for _ in range(count)])


@pytest.mark.parametrize("depth", range(1, 63))
def test_sixteen_audiences_of_one_depth(depth: int) -> None:
    assert check_audiences(Random(depth), [depth] * 16) == {False, True}


def test_one_deep_audience_among_shallow_ones() -> None:
    """The walks of one group end at different steps; the ends lead to themselves."""
    source = Random(1)
    for deep in (1, 23, 24, 25, 47, 48, 49, 50, 62):
        for place in range(8):
            check_audiences(source, [1] * place + [deep] + [1] * (7 - place))


def test_thousands_of_leaves_in_one_audience() -> None:
    """A walk of 3,000 steps: any of so many values, and all but one of them absent."""
    parts = [leaf("equal", str(number)) for number in range(3_000)]
    engine = Engine.from_dict(
        document(
            audiences=[audience("any", {"any": parts}), audience("none", {"not": {"any": parts}})]
        )
    )
    for value, expected in (("0", "any"), ("2999", "any"), ("1500", "any"), ("3000", "none")):
        assert both(engine, {"stableId": "v", "traits": {"k": value}})["audiences"] == [expected]


def test_constant_audiences() -> None:
    rules = {
        "a": {"any": []},
        "b": {"all": []},
        "c": {"not": {"any": []}},
        "d": {"all": [{"any": []}, leaf("exists")]},
        "e": {"any": [{"all": []}, leaf("exists")]},
        "f": {"any": [{"all": []}, {"not": {"all": []}}]},
    }
    engine = Engine.from_dict(document(audiences=[audience(*item) for item in rules.items()]))
    for traits in ({}, {"k": "x"}):
        assert both(engine, {"stableId": "v", "traits": traits})["audiences"] == [
            "b",
            "c",
            "e",
            "f",
        ]


def test_equal_rules_share_their_answer() -> None:
    """Audiences with one entry node, and one that enters in the middle of another."""
    first, second = leaf("equal", "x"), leaf("equal", "y", key="l")
    rules = {
        "a": {"all": [first, second]},
        "b": {"all": [first, second]},
        "c": second,
        "d": {"not": second},
    }
    engine = Engine.from_dict(document(audiences=[audience(*item) for item in rules.items()]))
    for traits, expected in (
        ({"k": "x", "l": "y"}, ["a", "b", "c"]),
        ({"l": "y"}, ["c"]),
        ({"k": "x"}, ["d"]),
    ):
        assert both(engine, {"stableId": "v", "traits": traits})["audiences"] == expected


# --- experiences ---------------------------------------------------------------------------------


@each_scheme
@pytest.mark.parametrize("count", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 300])
def test_any_number_of_experiences(count: int, scheme: str) -> None:
    """For everyone, for one of three audiences, with part of the traffic or none, in one order."""
    source = Random(count)
    audiences = [audience(name, leaf("contains", name)) for name in "abc"]
    rows = [
        experience(
            f"e{number:03d}" + "x" * source.randint(0, 5),
            source.choice([None, "a", "b", "c"]),
            traffic=source.choice([1, 1, 0.5, 0]),
            distribution=[0.4, 0.3, 0.3],
            sticky=source.random() < 0.3,
        )
        for number in range(count)
    ]
    source.shuffle(rows)
    config = document(rows, audiences, scheme)
    engine = Engine.from_dict(config)
    for profile in visitors(source, 8):
        profile["traits"] = {"k": "".join(source.sample("abc", source.randint(0, 3)))}
        profile["stickyVariants"] = {
            row["nt_experience_id"]: source.randint(0, 4) for row in rows if source.random() < 0.5
        }
        assert both(engine, profile) == evaluate(config, profile)


def test_all_experiences_are_for_everyone() -> None:
    """No bit of the last, partly used word of the bitmap is a visitor's."""
    for count in (1, 63, 64, 65, 128, 129):
        ids = [f"e{number:03d}" for number in range(count)]
        engine = Engine.from_dict(document(map(experience, ids)))
        for profile in visitors(Random(count), 5):
            chosen = both(engine, profile)["experiences"]
            assert [record["experienceId"] for record in chosen] == ids


def test_an_audience_of_many_and_many_audiences_of_one() -> None:
    source = Random(3)
    for owners in (1, 2, 9, 70):
        audiences = [audience(f"a{n:02d}", leaf("contains", f"<{n}>")) for n in range(owners)]
        rows = [experience(f"e{n:03d}", f"a{source.randrange(owners):02d}") for n in range(130)]
        config = document(rows, audiences)
        engine = Engine.from_dict(config, strict=False)
        for profile in visitors(source, 6):
            own = source.sample(range(owners), source.randint(0, owners))
            profile["traits"] = {"k": "".join(f"<{number}>" for number in own)}
            assert both(engine, profile) == evaluate(config, profile)


@each_scheme
def test_ids_of_all_lengths(scheme: str) -> None:
    """Prefixes of every alignment in one program, ASCII or not."""
    source = Random(4)
    rows = [experience("x" * n, distribution=[0.3, 0.3, 0.4]) for n in range(1, 30)]
    rows += [experience("ł" * n + "🦊", distribution=[0.5, 0.5]) for n in range(1, 10)]
    config = document(rows, scheme=scheme)
    engine = Engine.from_dict(config)
    profiles = [{"stableId": "é🦊ł"[:n] + "v" * (n - 3)} for n in range(12)]
    for profile in [*visitors(source, 20), *profiles]:
        assert both(engine, profile) == evaluate(config, profile)


# --- distributions -------------------------------------------------------------------------------

LAST = 2**32 - 1


def index_of(segments: list[Json], draw: float) -> int:
    """SEMANTICS 1 word for word: the first segment that holds the draw; index 0 if none does."""
    for segment in segments:
        if segment["start"] <= draw <= segment["end"]:
            return int(segment["index"])
    return 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 255, 256])
def test_any_number_of_pieces(count: int) -> None:
    """At both ends of every piece, and between: few pieces are compared, many are searched."""
    edges = [number / count for number in range(count + 1)]
    segments = [
        {"index": number, "start": edges[number], "end": edges[number + 1]}
        for number in range(count)
    ]
    engine = Engine.from_dict(document([experience("e", distribution=segments)]), strict=False)
    reached = set()
    for edge in edges:
        middle = round(edge * LAST)
        for hashed in {max(0, middle - 1), middle, min(LAST, middle + 1)}:
            stable_id = stable_id_drawing("distribution", "e", hashed)
            [record] = both(engine, {"stableId": stable_id})["experiences"]
            assert record["variantIndex"] == index_of(segments, hashed / LAST), hashed
            reached.add(record["variantIndex"])
    assert reached == set(range(count))


@pytest.mark.parametrize("count", [3, 4, 5])
def test_pieces_that_repeat_an_index(count: int) -> None:
    """Gaps go to index 0, so one index has several pieces."""
    segments = [
        {"index": 2 - number % 2, "start": (number + 0.5) / count, "end": (number + 0.9) / count}
        for number in range(count)
    ]
    engine = Engine.from_dict(document([experience("e", distribution=segments)]), strict=False)
    reached = set()
    for hashed in range(0, LAST, LAST // 97):
        stable_id = stable_id_drawing("distribution", "e", hashed)
        [record] = both(engine, {"stableId": stable_id})["experiences"]
        assert record["variantIndex"] == index_of(segments, hashed / LAST), hashed
        reached.add(record["variantIndex"])
    assert reached == {0, 1, 2}


def test_few_and_many_pieces_in_one_program() -> None:
    rows = [experience(f"e{n}", distribution=[1 / n] * n) for n in (1, 2, 3, 4, 5, 6, 40, 256)]
    config = document(rows)
    engine = Engine.from_dict(config, strict=False)
    for profile in visitors(Random(5), 200):
        assert both(engine, profile) == evaluate(config, profile)


# --- nothing -------------------------------------------------------------------------------------


@each_scheme
@pytest.mark.parametrize(
    ("experiences", "audiences"),
    [
        ([], []),
        ([], [audience("a", EVERYBODY)]),
        ([], [audience("a", leaf("exists"))]),
        ([experience("e")], []),
        ([experience("e", traffic=0)], []),
        ([experience("e", "a")], [audience("a", {"any": []})]),
    ],
)
def test_configurations_with_little_in_them(scheme: str, experiences: Any, audiences: Any) -> None:
    config = document(experiences, audiences, scheme)
    engine = Engine.from_dict(config)
    for profile in (
        {"stableId": ""},
        {"stableId": "v", "traits": {"k": 1, "l": [{}]}, "stickyVariants": {"e": 1, "f": 2}},
        {"stableId": "v" * 5_000, "audiences": ["a", "b"]},
    ):
        for trust in ("rules", "given"):
            answer = both(
                engine, profile, audiences=trust, device="mobile", events=[{"type": "page"}]
            )
            assert answer == evaluate(config, profile, audiences=trust)


def test_what_a_program_tells_of_itself() -> None:
    rules = {"any": [leaf("exists", key="a.b"), {"type": "page", "within": {"days": 2}}]}
    program = Engine.from_dict(document([experience("e", "a")], [audience("a", rules)])).program
    assert program.scheme == "murmur3"
    assert program.experience_ids == ("e",)
    assert program.audience_ids == ("a",)
    assert program.n_slots == 2
    assert program.leaves.paths == (("activity", "000000"), ("traits", "a", "b"))
    assert (program.leaves.n_slots, program.leaves.n_leaves) == (2, 2)
    assert program.event_leaves.paths == ()
    assert program.counters == (("page", None, (), 172_800_000),)
    assert program.has_windows


@pytest.mark.parametrize("name", ["scheme", "experience_ids", "audience_ids", "leaves", "counters"])
def test_a_program_is_read_only(name: str) -> None:
    program = Engine.from_dict(document()).program
    with pytest.raises(AttributeError):
        setattr(program, name, ())

"""Columns decide what one profile after the other does, and what the oracle does.

Generated configurations and visits; records as NDJSON, a JSON array and msgpack; every vector
level; batches of every size around the ends of words, groups and blocks.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

import msgpack
import pytest
from hypothesis import given

from columns.profiles_of import (
    Decision,
    Record,
    decision,
    decisions_of,
    intake_for,
    ndjson,
    plain_document,
    plain_profiles,
    read,
    record_of,
    storefront,
)
from oracle.oracle import evaluate
from oracle.strategies import Case, cases, odd_json, seeded_case
from properties.test_one_equals_oracle import EXAMPLES, expected, thorough
from whichvariant import Engine
from whichvariant._core.columns import Columns
from whichvariant._core.hashing import supported_simd_levels
from whichvariant.columns import ColumnsResult, Intake, transitions

SEEDED = max(60, EXAMPLES // 4)


def records(case: Case) -> list[Record]:
    return [record_of(visit, number) for number, visit in enumerate(case.visits)]


def fits_msgpack(value: Any) -> bool:
    """Whether every number has a msgpack form: integers of more than 64 bits have none."""
    if isinstance(value, dict):
        return all(fits_msgpack(item) for item in value.values())
    if isinstance(value, list):
        return all(fits_msgpack(item) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def check(case: Case) -> None:
    """All three forms of a case's records."""
    engine = Engine.from_dict(case.document)
    every = records(case)
    wanted: list[Decision] = [decision(engine, one) for one in every]
    intake = intake_for(case, engine)
    lines = b"\n".join(one.raw for one in every)
    array = b" [" + b" ,\n".join(one.raw for one in every) + b"]\n"
    for form, data in (("ndjson", lines), ("json", array)):
        intake.begin(form)  # type: ignore[arg-type]
        assert intake.feed(data) == len(data)
        assert decisions_of(intake) == [wanted], form
    packed = [one for one in every if fits_msgpack(one.value)]
    data = b"".join(msgpack.packb(one.value) for one in packed)
    intake.begin("msgpack")
    assert intake.feed(data) == len(data)
    assert decisions_of(intake) == [[decision(engine, one) for one in packed]]


@given(case=cases())
@thorough
def test_columns_equal_the_oracle(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    intake = intake_for(case, engine)
    every = [record for record in records(case) if record.is_request]
    intake.feed(b"\n".join(record.raw for record in every))
    (found,) = decisions_of(intake)
    for record, answer in zip(every, found, strict=True):
        wanted = expected(case, record.visit)
        assert answer == (
            wanted["audiences"],
            [(one["experienceId"], one["variantIndex"]) for one in wanted["experiences"]],
        )


@pytest.mark.parametrize("first", range(0, SEEDED, 20))
def test_seeded_cases_equal_one_profile(first: int, level: str) -> None:
    for seed in range(first, first + 20):
        check(seeded_case(seed))


def test_odd_json_is_read_as_one_profile_is() -> None:
    """Spaces, escapes, member order and repeated keys."""
    for seed in range(40):
        case = seeded_case(seed, visits=20)
        engine = Engine.from_dict(case.document)
        intake = intake_for(case, engine)
        every = records(case)
        wanted = [decision(engine, one) for one in every]
        odd = [odd_json(seed + number, one.value) for number, one in enumerate(every)]
        intake.begin("json")
        intake.feed(b"[" + b",".join(odd) + b"]")
        assert decisions_of(intake) == [wanted]


def test_two_programs_share_a_pass() -> None:
    """Each engine decides as it does alone; what one refuses is refused for both."""
    for seed in range(60):
        first, second = seeded_case(seed), seeded_case(seed + 1000)
        engines = [Engine.from_dict(one.document) for one in (first, second)]
        every = [record_of(visit, n) for n, visit in enumerate(first.visits + second.visits)]
        alone = [[decision(engine, one) for one in every] for engine in engines]
        intake = intake_for(first, *engines)
        intake.feed(b"\n".join(one.raw for one in every))
        together = decisions_of(intake)
        for number, (a, b) in enumerate(zip(*alone, strict=True)):
            refused = next((one for one in (a, b) if isinstance(one, str)), None)
            assert together[0][number] == (a if refused is None else refused)
            assert together[1][number] == (b if refused is None else refused)


def test_batches_follow_each_other() -> None:
    """A batch leaves nothing behind for the next, whatever stays in its pools."""
    for seed in range(20):
        case = seeded_case(seed)
        engine = Engine.from_dict(case.document)
        every = records(case)
        wanted = [decision(engine, one) for one in every]
        intake = intake_for(case, engine, rows=7)
        data = b"\n".join(one.raw for one in every)
        found = []
        while data:
            data = data[intake.feed(data) :]
            found += decisions_of(intake)[0]
        assert found == wanted


SIZES = [0, 1, 2, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025, 2048, 4095, 4096, 4097]


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
def test_every_size_of_batch(level: str, scheme: str) -> None:
    engine = Engine.from_dict(plain_document(0.5, scheme))
    profiles = plain_profiles(SIZES[-1], seed=3)
    wanted = [engine.select(profile) for profile in profiles]
    for size in SIZES:
        (result,) = read(ndjson(profiles[:size]), engine)
        assert result.n_rows == size
        assert result.audiences.shape[1] == (size + 63) // 64
        for row in range(size) if size < 600 else (0, 63, 64, 511, 512, size - 1):
            compare(result, row, wanted[row])
        assert result.digest() == digest_of(profiles[:size], wanted[:size])
        rest = sum(int(word).bit_count() for word in result.audiences.ravel())
        assert rest == sum(len(one.audiences) for one in wanted[:size])


def compare(result: ColumnsResult, row: int, selection: Any) -> None:
    found = result.selection(row)
    assert found["audiences"] == selection.audiences
    assert found["experiences"] == [
        (one["experienceId"], one["variantIndex"]) for one in selection.experiences
    ]


def digest_of(profiles: list[dict[str, Any]], selections: list[Any]) -> int:
    """The digest by its definition in `tallies`, in plain Python."""
    import xxhash

    mask = 2**64 - 1

    def fmix(h: int) -> int:
        h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & mask
        h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & mask
        return h ^ h >> 33

    total = 0
    for profile, selection in zip(profiles, selections, strict=True):
        records = 0
        for one in selection.experiences:
            name = one["experienceId"].encode()
            records += xxhash.xxh64_intdigest(name, 1)
            records += one["variantIndex"] * xxhash.xxh64_intdigest(name, 2)
        records &= mask
        stable = profile["stableId"].encode()
        low = fmix(records ^ xxhash.xxh64_intdigest(stable, 0))
        high = fmix(records + xxhash.xxh64_intdigest(stable, 3) & mask)
        total += (high << 64) + low
    return total % 2**128


def test_many_profiles_by_digest() -> None:
    """A hundred thousand profiles in two threads' parts and in one, against as many selects."""
    count = 100_000
    first, second = storefront()
    profiles = plain_profiles(count, seed=1)
    lines = ndjson(profiles)
    for engine in (first, second):
        (result,) = read(lines, engine)
        wanted = digest_of(profiles, [engine.select(profile) for profile in profiles])
        assert result.digest() == wanted
        cut = lines.index(b"\n", len(lines) // 3) + 1
        parts = [read(lines[:cut], engine)[0], read(lines[cut:], engine)[0]]
        assert ColumnsResult.add_digests(*(part.digest() for part in parts)) == wanted
        joined = ColumnsResult.join(parts)
        assert joined.digest() == wanted
        assert (joined.audiences == result.audiences).all()
        assert joined.records.tolist() != []
        assert joined.stable_ids() == result.stable_ids()
        for mine, other in zip(joined.sticky, result.sticky, strict=True):
            assert mine.tolist() == other.tolist()


def test_levels_agree() -> None:
    from whichvariant._core.hashing import set_simd_level, simd_level

    before = simd_level()
    lines = ndjson(plain_profiles(3000, seed=8))
    found = set()
    for level in supported_simd_levels():
        set_simd_level(level)
        found.add(tuple(result.digest() for result in read(lines, *storefront())))
    set_simd_level(before)
    assert len(found) == 1


def test_an_index_of_255() -> None:
    """One experience with such an index makes the result of 16 bits."""
    document = plain_document(0.5)
    document["experiences"][1]["nt_config"] = {
        "traffic": 1, "sticky": True, "distribution": [1 / 256] * 256,
    }  # fmt: skip
    engine = Engine.from_dict(document)
    profiles = plain_profiles(3000, seed=4)
    for number, profile in enumerate(profiles):
        profile["stickyVariants"] = {document["experiences"][1]["nt_experience_id"]: number % 300}
    (result,) = read(ndjson(profiles), engine)
    assert result.variants.dtype.itemsize == 2
    assert result.absent == 65_535
    assert (result.variants == 255).any()
    selections = [engine.select(profile) for profile in profiles]
    for row, selection in enumerate(selections):
        compare(result, row, selection)
    assert result.digest() == digest_of(profiles, selections)


def test_the_hash_that_alone_decides() -> None:
    """Visitors whose hash is 0 or 2**32 - 1, which traffic 1 and the shares [0, 1] turn on."""
    from oracle.preimage import stable_id_drawing

    ids = ["aaaa", "bbbb", "cccc", "dddd"]
    document = {
        "audiences": [],
        "experiences": [
            {
                "nt_experience_id": one,
                "nt_config": {"traffic": 1, "distribution": [0, 1], "components": []},
            }
            for one in ids
        ],
    }
    engine = Engine.from_dict(document)
    profiles = plain_profiles(100, seed=2)
    for number, one in enumerate(ids):
        for kind, target in (("traffic", 2**32 - 1), ("distribution", 0), ("traffic", 0)):
            stable = stable_id_drawing(kind, one, target)
            profiles.insert(17 * number, {"stableId": stable})
    (result,) = read(ndjson(profiles), engine)
    wanted = [evaluate(document, profile) for profile in profiles]
    for row, answer in enumerate(wanted):
        assert result.selection(row)["experiences"] == [
            (one["experienceId"], one["variantIndex"]) for one in answer["experiences"]
        ]
    assert any(len(one["experiences"]) < 4 for one in wanted)
    assert any(each["variantIndex"] == 0 for one in wanted for each in one["experiences"])


def test_pools_that_outgrow_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that differ in every row: pools are emptied between batches, and masks with them."""
    document = plain_document(0.5)
    document["audiences"][0]["nt_rules"] = {
        "any": [
            {"all": [{"type": "identify", "key": "plan", "operator": "endsWith", "value": "7"}]},
            {"all": [{"type": "identify", "key": "plan", "operator": "matches", "value": "3.*3"}]},
            {"all": [{"type": "identify", "key": "age", "operator": "contains", "value": "4"}]},
        ]
    }
    engine = Engine.from_dict(document)
    intake = Intake(engine, rows=40_000, now=0)
    for batch in range(6):
        profiles = [
            {"stableId": str(n), "traits": {"plan": f"p{batch}-{n}", "age": n + batch / 7}}
            for n in range(30_000)
        ]
        intake.begin("ndjson")
        intake.feed(ndjson(profiles))
        (result,) = intake.evaluate()
        for row in random.Random(batch).sample(range(30_000), 300):
            compare(result, row, engine.select(profiles[row]))


def test_texts_that_collide() -> None:
    """Texts of one hash are told apart, and cost no more than a bounded search."""
    from whichvariant._core import columns

    assert columns.MAX_POOL_TEXTS > 0
    engine, _ = storefront()
    profiles = [{"stableId": "x", "traits": {"plan": text}} for text in ("pro", "prO", "", "team")]
    (result,) = read(ndjson(profiles * 50), engine)
    for row, profile in enumerate(profiles * 50):
        compare(result, row, engine.select(profile))


def test_transitions_count_pairs() -> None:
    first, second = storefront()
    profiles = plain_profiles(2000, seed=6)
    old, new = read(ndjson(profiles), first, second)
    for e in range(len(first.program.experience_ids)):
        counts = transitions(old, e, new, e)
        assert counts.sum() == 2000
        assert counts.shape == (first.program.highest_index(e) + 2,) * 2
        pairs = list(zip(old.variants[e].tolist(), new.variants[e].tolist(), strict=True))
        for (a, b), count in {pair: pairs.count(pair) for pair in set(pairs)}.items():
            assert counts[-1 if a == 255 else a, -1 if b == 255 else b] == count
    assert transitions(old, None, new, 0)[-1].sum() == 2000
    assert transitions(old, 0, new, None)[:, -1].sum() == 2000


def test_what_is_said_about_sticky_choices() -> None:
    engine, _ = storefront()
    profiles = plain_profiles(3000, seed=9)
    (result,) = read(ndjson(profiles), engine)
    bare = [{**profile, "stickyVariants": None} for profile in profiles]
    (drawn,) = read(ndjson(bare), engine)
    rows, experiences, indices = (part.tolist() for part in result.sticky)
    assert rows == sorted(rows)
    assert len(rows) > 20
    for row, e, index, before in zip(
        rows, experiences, indices, result.drawn.tolist(), strict=True
    ):
        assert result.variants[e, row] == index
        assert drawn.variants[e, row] == before
    changed = {(int(e), int(r)) for e, r in zip(*(result.variants != drawn.variants).nonzero(),
                                                strict=True)}  # fmt: skip
    assert changed <= set(zip(experiences, rows, strict=True))


def test_matched_and_absent_means_traffic() -> None:
    engine, _ = storefront()
    profiles = plain_profiles(500, seed=5)
    (result,) = read(ndjson(profiles), engine)
    for e, identifier in enumerate(engine.program.experience_ids):
        matched = result.matched(e)
        for row in range(0, 500, 7):
            trace = engine.trace(profiles[row])
            audience = result.experience_audience[e]
            assert matched[row] == (audience < 0 or bool(trace["audiences"][audience]))
            if identifier in {one["experienceId"] for one in trace["selection"].experiences}:
                assert matched[row]


def test_what_a_result_says() -> None:
    engine, _ = storefront()
    profiles = plain_profiles(70, seed=5)
    (result,) = read(ndjson(profiles), engine)
    assert result.stable_ids() == [profile["stableId"] for profile in profiles]
    assert result.stable_id(69) == profiles[69]["stableId"]
    assert result.records.tolist() == list(range(70))
    assert "70 profiles" in repr(result)
    for row in (-1, 70):
        with pytest.raises(IndexError):
            result.stable_id(row)
        with pytest.raises(IndexError):
            result.selection(row)


def test_misuse_is_refused() -> None:
    engine, _ = storefront()
    with pytest.raises(ValueError, match="needs an engine"):
        Intake()
    with pytest.raises(ValueError, match="rows"):
        Intake(engine, rows=0)
    with pytest.raises(Exception, match="now"):
        Intake(Engine.from_dict(window_document()), now="soon")
    with pytest.raises(TypeError):
        Columns(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="format"):
        Intake(engine).begin("csv")  # type: ignore[arg-type]


def window_document() -> dict[str, Any]:
    """A rule that needs to know what time it is."""
    rule = {"type": "track", "value": "*", "within": {"days": 1}}
    return {
        "audiences": [{"nt_audience_id": "a", "nt_rules": {"all": [rule]}}],
        "experiences": [{"nt_experience_id": "e", "nt_audience": "a", "nt_config": {"traffic": 1}}],
    }


def test_events_count_within_their_window() -> None:
    engine = Engine.from_dict(window_document())
    day = 86_400_000
    lines = []
    for age in (0, day, day + 1):
        event = {"type": "track", "event": "x", "timestamp": 20 * day - age}
        lines.append(json.dumps({"profile": {"stableId": "s"}, "events": [event]}).encode())
    intake = Intake(engine, now=20 * day)
    intake.feed(b"\n".join(lines))
    (result,) = intake.evaluate()
    assert result.in_audience(0).tolist() == [True, True, False]
    assert math.prod(result.variants.shape) == 3

"""The JSON scanner against orjson: what it accepts, and what it reads.

They differ where it is meant:

- a profile nests at most 256 deep, where orjson goes further;
- a number too large for a double is an error only where a rule reads it, and then names the place;
  orjson refuses the document;
- of repeated keys the last counts in both, but a member of a list or object that no rule reads is
  only checked against the grammar.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from random import Random
from typing import Any

import orjson
import pytest

from oracle.strategies import NUMBERS, TEXTS, odd_json, seeded_case
from robustness.support import (
    NOW,
    RICH,
    TOKENS,
    as_json,
    document,
    mutate_bytes,
    nested,
    rounds,
    test,
)
from whichvariant import Engine
from whichvariant.errors import ProfileError

KEYS = ["a", "b", "c", "é", "🎈", 'quo"te', "back\\slash", "tab\t", "k" * 40, "0"]


class Repeated(Exception):
    """An object has a key twice."""


def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        raise Repeated
    return found


def reference(data: bytes) -> tuple[str, Any]:
    """What orjson reads; ``number`` where it refuses nothing but the size of a number."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return ("number" if only_a_number_is_too_large(data) else "refused"), None
    if not isinstance(value, dict):
        return "refused", None
    if depth_of(value) > 256:
        return "deep", None
    try:
        json.loads(data, object_pairs_hook=pairs, parse_int=float)
    except Repeated:
        return "repeated", value
    return "accepted", value


def only_a_number_is_too_large(data: bytes) -> bool:
    """Whether Python's own parser takes the object, with an infinity somewhere in it."""
    numbers: list[float] = []

    def number(text: str) -> float:
        numbers.append(float(text))
        return numbers[-1]

    def constant(name: str) -> float:
        raise ValueError(name)

    try:
        value = json.loads(
            data.decode(), parse_int=number, parse_float=number, parse_constant=constant
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and depth_of(value) <= 256 and any(map(math.isinf, numbers))


def depth_of(value: Any) -> int:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    return depth


def compare(engine: Engine, data: bytes, **asked: Any) -> str:
    """Let both read ``data``, and find them to agree. What the reference made of it."""
    kind, value = reference(data)
    scanned: Any
    try:
        scanned = json.loads(engine.select_json(data, **asked))
    except ProfileError as error:
        scanned = error
    if kind in {"refused", "deep"}:
        assert isinstance(scanned, ProfileError), data
        return kind
    if kind == "number":
        # Accepted, unless a rule reads it or something else is wrong too. Either way it is decided.
        return kind
    try:
        wanted = engine.select(value, **asked).to_dict()
    except ProfileError as error:
        assert isinstance(scanned, ProfileError), data
        assert scanned.path == error.path or (scanned.path and error.path), data
        return kind
    assert scanned == wanted, data
    return kind


ENGINES = [Engine.from_dict(RICH), Engine.from_dict({**RICH, "scheme": "xxh64"})]


def test_mutated_profiles_are_accepted_as_orjson_does() -> None:
    profiles = [
        as_json(visit.profile)
        for seed in range(4)
        for visit in seeded_case(seed, visits=5).visits
        if b"Infinity" not in json.dumps(visit.profile).encode()
    ]
    seen: Counter[str] = Counter()
    for rng in rounds(2500):
        data = mutate_bytes(rng, rng.choice(profiles))
        seen[compare(rng.choice(ENGINES), data, audiences=rng.choice(["rules", "given"]))] += 1
    assert min(seen["accepted"], seen["refused"]) > 100, seen


def test_generated_json_is_accepted_as_orjson_does() -> None:
    """Token soup around a profile: short, and broken in one place at most times."""
    seen: Counter[str] = Counter()
    for rng in rounds(2500, first=10_000):
        inner = b"".join(rng.choice(TOKENS) for _ in range(rng.randrange(5)))
        start = rng.choice([b'{"stableId":"s"', b'{"stableId":"s","traits":{"age":5', b'{"a":"'])
        end = rng.choice([b"}", b"}}", b'"}', b"", b"]}"])
        seen[compare(ENGINES[0], start + rng.choice([b"", b",", b':"']) + inner + end)] += 1
    assert min(seen["accepted"], seen["refused"]) > 20, seen


def random_value(rng: Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        number = rng.uniform(-1, 1) * 10.0 ** rng.randrange(-320, 308)
        return rng.choice([number, rng.getrandbits(rng.randrange(1, 80)), -rng.getrandbits(20)])
    if kind == 2:
        return rng.choice(TEXTS)
    if kind == 3:
        return "".join(rng.choice('\t"\\/aé€🎈') for _ in range(9))
    if kind == 4:
        return rng.choice([None, True, False, "", 0])
    if kind == 5:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = rng.sample(KEYS, rng.randrange(1, 4))
    return {key: random_value(rng, depth + 1) for key in keys}


def leaves_that_read(value: Any, path: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Rules that hold exactly for the values below ``value``, among some that come close."""
    key = ".".join(path)
    found = []
    if path:
        found.append(test(key, "exists", None))
    if isinstance(value, dict):
        for step, item in value.items():
            if "." not in step and step:
                found += leaves_that_read(item, (*path, step))
        found.append(test(key, "equal", "[object Object]") if path else test("zz", "exists"))
    elif isinstance(value, str):
        found += [test(key, "in", [value]), test(key, "in", [value + "x"])]
        if value:
            found += [test(key, "endsWith", value[1:] or value), test(key, "startsWith", value)]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found += [test(key, "equal", value), test(key, "gte", value), test(key, "gt", value)]
        found.append(test(key, "contains", "e"))
    elif isinstance(value, list):
        found += [test(key, "contains", ","), test(key, "matches", "^[^5]*$")]
    else:
        found.append(test(key, "equal", json.dumps(value)))
    return found


def test_the_same_values_are_read() -> None:
    """Each document is read by rules about its own values, to the last bit of each number."""
    for rng in rounds(500, first=20_000):
        traits = {key: random_value(rng) for key in rng.sample(KEYS, rng.randrange(1, 5))}
        engine = Engine.from_dict(document(*leaves_that_read(traits)))
        profile = {"stableId": rng.choice(TEXTS), "traits": traits}
        wanted = engine.select(profile)
        values = engine.trace(profile)["values"]
        assert len(wanted.audiences) >= len(traits)
        for form in (
            as_json(profile),
            json.dumps(profile).encode(),
            json.dumps(profile, indent=2, ensure_ascii=False).encode(),
            b'{"stableId":%s,"traits":%s}'
            % (as_json(profile["stableId"]), odd_json(rng.randrange(2**32), traits)),
        ):
            assert json.loads(engine.select_json(form)) == wanted.to_dict(), form
            parsed = json.loads(form)
            assert engine.trace(parsed)["values"] == values


def test_numbers_are_read_to_the_last_bit() -> None:
    """Spellings of numbers around the quick path's edges: digits, exponents, zeros."""
    for rng in rounds(1500, first=30_000):
        digits = str(rng.getrandbits(rng.randrange(1, 70)))
        if rng.random() < 0.5:
            at = rng.randrange(1, len(digits) + 1)
            digits = digits[:at] + "." + (digits[at:] or "0")
        elif rng.random() < 0.2:
            digits = "0." + "0" * rng.randrange(30) + digits
        spelt = rng.choice(["", "-"]) + digits
        if rng.random() < 0.6:
            spelt += rng.choice("eE") + rng.choice(["", "+", "-"]) + str(rng.randrange(330))
        number = float(spelt)
        if abs(number) == float("inf"):
            continue
        engine = Engine.from_dict(
            document(test("n", "equal", number), test("n", "gt", number), test("n", "lt", number))
        )
        text = b'{"stableId":"s","traits":{"n":%s}}' % spelt.encode()
        for data in (text, text.replace(spelt.encode(), b'"%s"' % spelt.encode())):
            assert json.loads(engine.select_json(data))["audiences"] == ["a0"], data


@pytest.mark.parametrize("depth", [1, 100, 254, 255, 256, 257, 1000, 1025])
def test_nesting(depth: int) -> None:
    for key in (None, "a"):
        value = nested(depth - 1, key=key)
        text = json.dumps({"stableId": "s", "x": value} if depth < 900 else {"stableId": "s"})
        if depth >= 900:
            opening, closing = ("[", "]") if key is None else ('{"a":', "}")
            inner = opening * (depth - 1) + "1" + closing * (depth - 1)
            text = f'{text[:-1]},"x":{inner}}}'
        expected = "accepted" if depth <= 256 else "deep" if depth <= 1024 else "refused"
        assert compare(ENGINES[0], text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        (b'{"stableId":"a","stableId":"s"}', True),
        (b'{"stableId":"s","traits":{"age":20},"traits":{"plan":"pro"}}', True),
        (b'{"stableId":"s","traits":{"a":{"b":1},"a":5,"a":{"b":{"c":"x"}}}}', True),
        (b'{"stableId":"s","stickyVariants":{"e0":1},"stickyVariants":null}', True),
        (b'{"stableId":"s","stableId":null}', False),
        (b'{"stableId":"s","traits":{},"traits":5}', False),
        (b'{"stableId":"s","stickyVariants":{},"stickyVariants":{"e0":"x"}}', False),
    ],
)
def test_the_last_of_repeated_keys_counts(text: bytes, ok: bool) -> None:
    assert compare(ENGINES[0], text) == "repeated"
    if ok:
        assert ENGINES[0].select_json(text)
    else:
        with pytest.raises(ProfileError):
            ENGINES[0].select_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"stableId":5,"stableId":"s"}',
        b'{"stableId":"s","traits":5,"traits":{}}',
        b'{"stableId":"s","traits":{"age":1e400,"age":5}}',
        b'{"stableId":"s","stickyVariants":5,"stickyVariants":{}}',
        b'{"stableId":"s","stickyVariants":{"e0":"x","e0":1}}',
    ],
)
def test_only_the_last_of_repeated_keys_counts(text: bytes) -> None:
    assert ENGINES[0].select_json(text)


SPECIAL = [b'\\"', b"\\\\", b"\\u00e9", b"\\ud83c\\udf88", "é".encode(), b"\\n", b"\x1f"]


def test_texts_around_the_vector_width() -> None:
    """Quotes, escapes and ends at each offset of a vector's block, at the end of the input too."""
    engine = Engine.from_dict(document(test("k", "endsWith", "!"), test("k", "exists")))
    for length in range(70):
        for special in SPECIAL:
            text = b'{"stableId":"s","traits":{"k":"%s%s!"}}' % (b"x" * length, special)
            assert compare(engine, text) == ("refused" if special == b"\x1f" else "accepted")
            for cut in range(len(text) - 8, len(text)):
                assert compare(engine, text[:cut]) == "refused"


def test_time_is_not_read_from_a_profile() -> None:
    text = b'{"stableId":"s","timestamp":"never","now":1e999}'
    assert json.loads(ENGINES[0].select_json(text, now=NOW))["experiences"]

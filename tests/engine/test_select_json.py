"""The same decision for a profile as JSON, answered with JSON."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from core.small import audience, document, experience, leaf
from engine.storefront import VISITORS, Visitor, each_visitor, engine_of
from whichvariant import Engine, ProfileError

EMPTY = b'{"audiences":[],"experiences":[],"changes":[]}'
SMALL = Engine.from_dict(
    document([experience("e", "a"), experience("f")], [audience("a", leaf("equal", "x"))])
)


class MoreBytes(bytes):
    """Bytes by another name."""


class MoreText(str):
    """Text by another name."""

    __slots__ = ()


INPUTS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "str": bytes.decode,
    "a part of a buffer": lambda data: memoryview(b"{" + data + b"}")[1:-1],
    "an array of bytes": lambda data: array("B", data),
    "a subclass of bytes": MoreBytes,
    "a subclass of str": lambda data: MoreText(data.decode()),
}


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
@pytest.mark.parametrize("convert", INPUTS.values(), ids=INPUTS)
def test_every_form_of_json_answers_as_select(convert: Callable[[bytes], Any], scheme: str) -> None:
    engine = engine_of(scheme)
    for visitor in VISITORS:
        answer = engine.select(visitor.profile, **visitor.situation).to_dict()
        for encoded in (orjson.dumps(visitor.profile), json.dumps(visitor.profile).encode()):
            given = convert(encoded)
            assert json.loads(engine.select_json(given, **visitor.situation)) == answer


@each_visitor
def test_the_answer_is_compact_utf_8_in_the_apis_order(visitor: Visitor) -> None:
    encoded = engine_of().select_json(orjson.dumps(visitor.profile), **visitor.situation)
    assert type(encoded) is bytes
    answer = engine_of().select(visitor.profile, **visitor.situation).to_dict()
    assert encoded.decode() == json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def test_empty_lists() -> None:
    assert Engine.from_dict(document()).select_json(b'{"stableId":"v"}') == EMPTY
    assert SMALL.select_json(b'{"stableId":"v"}') == (
        b'{"audiences":[],"experiences":'
        b'[{"experienceId":"f","variantIndex":0,"variants":{}}],"changes":[]}'
    )


@each_visitor
def test_given_audiences(visitor: Visitor) -> None:
    engine = engine_of()
    profile = {**visitor.profile, "audiences": visitor.answer["audiences"]}
    encoded = engine.select_json(orjson.dumps(profile), audiences="given")
    assert json.loads(encoded) == visitor.answer
    assert engine.select(profile, audiences="given").to_dict() == visitor.answer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", []),
        ('"audiences":null', []),
        ('"audiences":[]', []),
        ('"audiences":[ ]', []),
        ('"audiences" : [ "a" ]', ["a"]),
        ('"audiences":["a","a"]', ["a", "a"]),
        ('"audiences":["b","a","c"]', ["b", "a", "c"]),
        ('"audiences":["\\u0061"]', ["a"]),
        ('"audiences":["z"],"audiences":["a"]', ["a"]),
        ('"audiences":["a"],"audiences":null', []),
    ],
)
def test_given_audiences_are_answered_as_given(given: str, expected: list[str]) -> None:
    text = '{"stableId":"v"' + (f",{given}" if given else "") + "}"
    answer = json.loads(SMALL.select_json(text, audiences="given"))
    assert answer["audiences"] == expected
    assert answer == SMALL.select(json.loads(text), audiences="given").to_dict()
    chosen = [record["experienceId"] for record in answer["experiences"]]
    assert chosen == (["e", "f"] if "a" in expected else ["f"])


def test_escapes_that_a_rule_reads() -> None:
    for text in ("x", "\\u0078"):
        encoded = f'{{"\\u0073tableId":"v","tr\\u0061its":{{"\\u006b":"{text}"}}}}'
        assert json.loads(SMALL.select_json(encoded))["audiences"] == ["a"]


def test_the_input_is_left_alone() -> None:
    encoded = bytearray(b'{"stableId":"\\u0076","traits":{"k":"\\u0078"}}')
    before = bytes(encoded)
    answer = SMALL.select_json(encoded)
    assert bytes(encoded) == before
    encoded.clear()  # which a buffer still in use would refuse
    assert json.loads(answer)["audiences"] == ["a"]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (None, "the profile must be bytes or str, got NoneType"),
        (5, "the profile must be bytes or str, got int"),
        ({"stableId": "v"}, "the profile must be bytes or str, got dict"),
        ([b"{}"], "the profile must be bytes or str, got list"),
        (memoryview(b'{"stableId":"v"}')[::2], "the profile must be bytes or str, got memoryview"),
        ("\ud800", "a text with a lone surrogate"),
        (b"", "not JSON at byte 0: expected an object"),
        (b"  ", "not JSON at byte 2: expected an object"),
        (b"[]", "not JSON at byte 0: expected an object"),
        (b'"v"', "not JSON at byte 0: expected an object"),
        (b"{", "not JSON at byte 1: expected a key in quotes"),
        (b'{"stableId":"v"', "not JSON at byte 15: expected a comma or a closing brace"),
        (b'{"stableId":"v"}}', "not JSON at byte 16: expected nothing after the profile"),
        (b'{"stableId":"v",}', "not JSON at byte 16: expected a key in quotes"),
        (b'{"stableId" "v"}', "not JSON at byte 12: expected a colon"),
        (b'{"stableId":"v","x":tru}', "not JSON at byte 20: expected a value"),
        (b'{"stableId":"v","x":01}', "not JSON at byte 21: expected a comma or a closing brace"),
        (b'{"stableId":"v","x":NaN}', "not JSON at byte 20: expected a value"),
        (b'{"stableId":"\xff"}', "not UTF-8 at byte 13"),
        (b'{"stableId":"v","x":' + b"[" * 256, "nested too deeply at byte 276"),
    ],
)
def test_what_is_not_a_profile_says_where(profile: Any, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        SMALL.select_json(profile)
    assert str(caught.value) == message
    assert caught.value.path == ""


def test_the_engine_works_on_after_an_error() -> None:
    expected = SMALL.select_json(b'{"stableId":"v"}')
    for broken in (b'{"traits":{"k":"x"},"stableId":"v"', b'{"traits":{"k":"x"}}', b"{"):
        with pytest.raises(ProfileError):
            SMALL.select_json(broken)
        assert SMALL.select_json(b'{"stableId":"v"}') == expected

"""What a selection holds: the caller's lists, and shared read-only records or fresh ones."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgpack
import orjson
import pytest

from core.small import document, experience
from engine.storefront import VISITORS, Visitor, each_visitor, engine_of
from whichvariant import Engine, Selection
from whichvariant.contracts.read_only import ReadOnlyDict, ReadOnlyList

OBJECT = {"colours": ["red", {"name": "blue"}], "size": 2, "note": None}
RICH = Engine.from_dict(
    document(
        [
            experience(
                "e",
                sticky=True,
                components=[
                    {"baseline": {"id": "entryA"}, "variants": [{"id": "entryB"}]},
                    {
                        "type": "InlineVariable",
                        "key": "theme",
                        "valueType": "Object",
                        "baseline": {"value": OBJECT},
                        "variants": [{"value": {**OBJECT, "size": 3}}],
                    },
                ],
            )
        ]
    )
)
VISITOR = {"stableId": "v"}


def objects_of(selection: Selection) -> list[Any]:
    return [*selection.experiences, *selection.changes]


def types_in(value: Any) -> set[type]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*map(types_in, inside))


def places(value: Any) -> list[int]:
    """The identities of all objects and arrays in a value."""
    if not isinstance(value, dict | list):
        return []
    inside = value.values() if isinstance(value, dict) else value
    return [id(value), *(place for item in inside for place in places(item))]


# --- shared --------------------------------------------------------------------------------------


@each_visitor
def test_records_are_the_same_objects_in_every_answer(visitor: Visitor) -> None:
    engine = engine_of()
    first = objects_of(engine.select(visitor.profile, **visitor.situation))
    second = objects_of(engine.select(dict(visitor.profile), **visitor.situation))
    assert first
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_visitors_with_one_variant_share_its_record() -> None:
    seen: dict[tuple[str, int], int] = {}
    for number in range(50):
        [record] = RICH.select({"stableId": str(number)}).experiences
        place = seen.setdefault((record["experienceId"], record["variantIndex"]), id(record))
        assert place == id(record)
    assert len(seen) == 2


def test_shared_records_are_read_only_throughout() -> None:
    selection = RICH.select(VISITOR)
    for item in objects_of(selection):
        assert not types_in(item) & {dict, list}
    change = selection.changes[0]
    for target in (selection.experiences[0], selection.experiences[0]["variants"], change["meta"]):
        with pytest.raises(TypeError, match=r"read-only; ask for fresh=True, or copy it"):
            target["x"] = 1
    with pytest.raises(TypeError, match="read-only"):
        change["value"]["colours"].append("green")
    with pytest.raises(TypeError, match="read-only"):
        change["value"]["colours"][1]["name"] = "green"
    assert RICH.select(VISITOR) == selection


def test_the_lists_are_the_callers_own() -> None:
    before = RICH.select(VISITOR).to_dict()
    selection = RICH.select(VISITOR)
    for own in (selection.experiences, selection.changes, selection.audiences):
        assert type(own) is list
        own.clear()
        own.append("mine")
    assert RICH.select(VISITOR).to_dict() == before


def test_given_audiences_are_a_new_list() -> None:
    profile = {"stableId": "v", "audiences": ["b", "a", "b"]}
    selection = RICH.select(profile, audiences="given")
    assert selection.audiences == ["b", "a", "b"]
    selection.audiences.clear()
    assert profile["audiences"] == ["b", "a", "b"]


# --- fresh ---------------------------------------------------------------------------------------


@each_visitor
def test_fresh_records_are_equal_and_plain(visitor: Visitor) -> None:
    engine = engine_of()
    fresh = engine.select(visitor.profile, fresh=True, **visitor.situation)
    assert fresh == engine.select(visitor.profile, **visitor.situation)
    for item in objects_of(fresh):
        assert not types_in(item) & {ReadOnlyDict, ReadOnlyList}


def test_fresh_records_share_nothing() -> None:
    """Neither with another answer nor with the engine."""
    held = [objects_of(RICH.select(VISITOR, fresh=fresh)) for fresh in (True, True, False)]
    first, second, shared = (set(places(objects)) for objects in held)
    assert not first & second
    assert not first & shared


def test_fresh_records_may_be_changed() -> None:
    before = RICH.select(VISITOR).to_dict()
    fresh = RICH.select(VISITOR, fresh=True)
    fresh.experiences[0]["variants"]["entryA"] = "spoilt"
    fresh.experiences[0].clear()
    fresh.changes[0]["value"]["colours"][1]["name"] = "spoilt"
    fresh.changes[0]["meta"].clear()
    assert RICH.select(VISITOR).to_dict() == before
    assert RICH.select(VISITOR, fresh=True).to_dict() == before


# --- copies and encodings ------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "json": lambda value: json.loads(json.dumps(value)),
    "orjson": lambda value: orjson.loads(orjson.dumps(value)),
    "msgpack": lambda value: msgpack.unpackb(msgpack.packb(value)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_answers_go_through_every_encoder(copied: Callable[[Any], Any]) -> None:
    for visitor in VISITORS:
        answer = engine_of().select(visitor.profile, **visitor.situation).to_dict()
        other = copied(answer)
        assert other == answer == visitor.answer
        assert not types_in(other) & {ReadOnlyDict, ReadOnlyList}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, COPIES["pickle"]])
def test_a_selection_copies(copied: Callable[[Selection], Selection]) -> None:
    selection = RICH.select(VISITOR)
    other = copied(selection)
    assert type(other) is Selection
    assert other == selection


def test_an_answer_outlives_its_engine() -> None:
    engine = Engine.from_dict(document([experience("e")], scheme="xxh64"))
    selection = engine.select(VISITOR)
    expected = copy.deepcopy(selection.to_dict())
    del engine
    junk = [{"experienceId": number} for number in range(1_000)]
    assert selection.to_dict() == expected
    assert junk


# --- the selection itself ------------------------------------------------------------------------


def test_to_dict_has_the_apis_three_lists() -> None:
    selection = RICH.select(VISITOR)
    assert list(selection.to_dict()) == ["audiences", "experiences", "changes"]
    assert selection.to_dict()["experiences"] is selection.experiences


@pytest.mark.parametrize("name", ["experiences", "changes", "audiences"])
def test_attributes_cannot_be_replaced(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(RICH.select(VISITOR), name, [])


def test_equality_is_that_of_the_answers() -> None:
    one, other = RICH.select({"stableId": "1"}), RICH.select({"stableId": "1"})
    assert one == other
    assert one is not other
    other.audiences.append("x")
    assert one != other
    assert one != one.to_dict()
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_repr_shows_everything() -> None:
    selection = Engine.from_dict(document([experience("e")])).select({"stableId": "v"})
    [record] = selection.experiences
    assert repr(selection) == f"Selection(experiences=[{record!r}], changes=[], audiences=[])"

"""What may be handed in: any mapping, null for absent; and errors that name the place."""

from __future__ import annotations

import json
from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from core.small import Json, audience, document, experience, leaf
from engine.storefront import Visitor, each_visitor, engine_of
from whichvariant import Engine, EventError, InputError, ProfileError

RULES = {
    "age": leaf("greaterThan", 17, key="age"),
    "city": {"type": "location", "key": "city", "operator": "equal", "value": "Berlin"},
    "deep": leaf("equal", "x", key="a.b.c"),
    "mobile": {"type": "device", "operator": "equal", "value": "mobile"},
    "pages": {"type": "page", "count": 2},
    "returning": {"type": "isReturningVisitor", "operator": "equal", "value": True},
}
ENGINE = Engine.from_dict(
    document(
        [experience("e", sticky=True, distribution=[1, 0]), experience("f")],
        [audience(*item) for item in RULES.items()],
    )
)
PLAIN = Engine.from_dict(document([experience("e")]))
V = {"stableId": "v"}


def select(profile: Any, **arguments: Any) -> Any:
    return ENGINE.select(profile, **arguments)


def select_json(profile: Any, **arguments: Any) -> Any:
    return ENGINE.select_json(json.dumps(profile), **arguments)


def explain(profile: Any, **arguments: Any) -> Any:
    return ENGINE.explain(profile, **arguments)


each_call = pytest.mark.parametrize("call", [select, select_json, explain])


def check(
    error: type[InputError], path: str, says: str, call: Any, *given: Any, **more: Any
) -> None:
    """The call fails with this very error, which names ``path`` and says what was expected."""
    with pytest.raises(error) as caught:
        call(*given, **more)
    assert type(caught.value) is error
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: " if path else "")
    assert says in str(caught.value)


# --- profiles ------------------------------------------------------------------------------------


class Strict(Mapping[str, Any]):
    """No dict: a mapping with only what the protocol asks for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


class Record(dict[str, Any]):
    """A dict by another name."""


def filled(content: Mapping[str, Any]) -> defaultdict[str, Any]:
    return defaultdict(list, content)


MAPPINGS: list[Any] = [MappingProxyType, Strict, UserDict, ChainMap, Record, OrderedDict, filled]
FULL = {
    "stableId": "v",
    "traits": {"age": 20, "a": {"b": {"c": "x"}}},
    "location": {"city": "Berlin"},
    "session": {"isReturningVisitor": True},
    "stickyVariants": {"e": 1},
}


def throughout(convert: Any, value: Any) -> Any:
    """``value`` with every object in it converted."""
    if isinstance(value, dict):
        return convert({key: throughout(convert, item) for key, item in value.items()})
    return value


@pytest.mark.parametrize("convert", MAPPINGS, ids=lambda convert: convert.__name__)
def test_any_mapping_is_an_object(convert: Any) -> None:
    expected = ENGINE.select(FULL)
    assert expected.audiences == ["age", "city", "deep", "returning"]
    assert expected.experiences[0]["variantIndex"] == 1
    assert ENGINE.select(convert(FULL)) == expected
    assert ENGINE.select(throughout(convert, FULL)) == expected
    assert ENGINE.explain(throughout(convert, FULL)).to_dict() == ENGINE.explain(FULL).to_dict()


@each_visitor
def test_visitors_as_mappings(visitor: Visitor) -> None:
    profile = throughout(Strict, visitor.profile)
    situation = dict(visitor.situation)
    if situation.get("events"):
        situation["events"] = tuple(throughout(Strict, event) for event in situation["events"])
    assert engine_of().select(profile, **situation).to_dict() == visitor.answer


def test_a_default_dict_is_not_filled() -> None:
    profile: Any = defaultdict(lambda: defaultdict(dict), V)
    ENGINE.select(profile)
    assert profile == V


@each_call
@pytest.mark.parametrize(
    "root", ["traits", "location", "session", "stickyVariants", "audiences", "id"]
)
def test_a_part_that_is_null_is_absent(call: Any, root: str) -> None:
    def answer(profile: Any) -> Any:
        made = call(profile)
        return made.to_dict() if hasattr(made, "to_dict") else made

    assert answer({**V, root: None}) == answer(V)


@each_call
@pytest.mark.parametrize("value", [5, True, "x", [], [{}]])
@pytest.mark.parametrize("root", ["traits", "location", "session", "stickyVariants"])
def test_a_part_that_is_no_object(call: Any, root: str, value: Any) -> None:
    check(ProfileError, root, "expected an object", call, {**V, root: value})


@each_call
@pytest.mark.parametrize("profile", [{}, {"stableId": None}, {"id": "v"}])
def test_a_profile_needs_a_stable_id(call: Any, profile: Json) -> None:
    check(ProfileError, "stableId", "missing", call, profile)


@each_call
@pytest.mark.parametrize("value", [5, True, ["v"], {"v": 1}, 2.5])
def test_a_stable_id_is_a_text(call: Any, value: Any) -> None:
    check(ProfileError, "stableId", "expected a text", call, {"stableId": value})


def test_a_stable_id_may_be_empty() -> None:
    assert ENGINE.select({"stableId": ""}).to_dict() == json.loads(
        ENGINE.select_json('{"stableId":""}')
    )


@pytest.mark.parametrize("profile", [None, 5, "v", b"v", [], [("stableId", "v")], object()])
def test_a_profile_is_an_object(profile: Any) -> None:
    message = f"the profile must be an object, got {type(profile).__name__}"
    for call in (select, explain):
        check(ProfileError, "", message, call, profile)


@each_call
@pytest.mark.parametrize("value", [None, True, "1", 0.5, [1], {}])
def test_a_sticky_choice_is_a_whole_number(call: Any, value: Any) -> None:
    profile = {**V, "stickyVariants": {"e": value}}
    check(ProfileError, "stickyVariants.e", "expected a variant index", call, profile)
    # Only a sticky experience has a choice that could be wrong.
    call({**V, "stickyVariants": {"f": value, "other": value}})


@each_call
def test_what_no_rule_reads_is_not_looked_at(call: Any) -> None:
    call(
        {**V, "traits": {"other": 10**400, "x": [[[]]]}, "random": "x", "location": {"country": 5}}
    )


# --- device --------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("device", ["", "Mobile", "phone", 5, True, ["mobile"], b"mobile", {}])
def test_an_unknown_device(call: Any, device: Any) -> None:
    message = "is not one of desktop, mobile, tablet, unknown"
    check(ProfileError, "device", message, call, V, device=device)


@pytest.mark.parametrize("device", ["desktop", "mobile", "tablet", "unknown", None])
def test_devices(device: str | None) -> None:
    assert ("mobile" in ENGINE.select(V, device=device).audiences) == (device == "mobile")


def test_a_device_is_checked_even_where_no_rule_reads_it() -> None:
    with pytest.raises(ProfileError, match="phone"):
        PLAIN.select(V, device="phone")
    assert PLAIN.select(V, device="mobile") == PLAIN.select(V)


# --- audiences -----------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("audiences", ["", "Given", "profile", None, True, 5, ["a"]])
def test_audiences_come_from_rules_or_are_given(call: Any, audiences: Any) -> None:
    with pytest.raises(ValueError, match=r'^audiences=.*: expected "rules" or "given"$'):
        call(V, audiences=audiences)


def test_either_word_may_be_made_at_run_time() -> None:
    """It is the text that counts, not the object."""
    profile = {**FULL, "audiences": ["mobile"]}
    words = json.loads('["rules", "given"]')
    assert ENGINE.select(profile, audiences=words[0]) == ENGINE.select(profile)
    assert ENGINE.select(profile, audiences=words[1]).audiences == ["mobile"]


@each_call
@pytest.mark.parametrize("given", ["a", 5, True, {"a": 1}])
def test_given_audiences_are_a_list(call: Any, given: Any) -> None:
    profile = {**V, "audiences": given}
    check(ProfileError, "audiences", "expected a list", call, profile, audiences="given")
    call(profile)


@each_call
@pytest.mark.parametrize("given", [5, None, True, ["a"], {}])
def test_given_audiences_are_texts(call: Any, given: Any) -> None:
    profile = {**V, "audiences": ["mobile", given]}
    check(ProfileError, "audiences[1]", "expected a text", call, profile, audiences="given")


def test_given_audiences_may_be_any_sequence() -> None:
    assert ENGINE.select({**V, "audiences": ("mobile",)}, audiences="given").audiences == ["mobile"]


# --- events --------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("events", ["page", b"page", 5, True, {"type": "page"}, {1, 2}, iter([])])
def test_events_are_a_list(call: Any, events: Any) -> None:
    message = f"expected a list, got {type(events).__name__}"
    check(EventError, "events", message, call, V, events=events)


@each_call
@pytest.mark.parametrize("event", [None, 5, "page", ["page"]])
def test_an_event_is_an_object(call: Any, event: Any) -> None:
    message = f"expected an object, got {type(event).__name__}"
    check(EventError, "events[1]", message, call, V, events=[{"type": "page"}, event])


@each_call
@pytest.mark.parametrize(
    "event", [{}, {"type": None}, {"type": "Page"}, {"type": 5}, {"type": ["page"]}]
)
def test_an_event_has_a_type(call: Any, event: Any) -> None:
    check(EventError, "events[0].type", "is not an event type", call, V, events=[event])


@pytest.mark.parametrize(
    "kind", ["page", "track", "identify", "screen", "component", "alias", "group"]
)
def test_event_types(kind: str) -> None:
    events = [{"type": kind}, {"type": kind}]
    assert ("pages" in ENGINE.select(V, events=events).audiences) == (kind == "page")


def test_events_are_checked_even_where_no_rule_reads_them() -> None:
    with pytest.raises(EventError, match=r"^events\[0\]\.type"):
        PLAIN.select(V, events=[{"type": "visit"}])
    assert PLAIN.select(V, events=[{"type": "page"}]) == PLAIN.select(V)


@pytest.mark.parametrize("events", [None, [], (), [{"type": "page"}]])
def test_too_few_events(events: Any) -> None:
    assert "pages" not in ENGINE.select(V, events=events).audiences


# --- calling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["select", "select_json", "explain", "trace"])
def test_all_but_the_profile_is_named(name: str) -> None:
    method = getattr(ENGINE, name)
    with pytest.raises(TypeError):
        method()
    with pytest.raises(TypeError):
        method(V, "mobile")
    with pytest.raises(TypeError):
        method(V, devices="mobile")


def test_an_error_leaves_nothing_behind() -> None:
    """The next visitor is decided as if nothing had happened."""
    expected = ENGINE.select(V)
    for profile, arguments in (
        ({**FULL, "session": 5}, {}),
        ({**FULL, "stickyVariants": {"e": "x"}}, {}),
        ({**FULL, "stableId": 5}, {}),
        (FULL, {"device": "phone"}),
        (FULL, {"device": "mobile", "events": [{"type": "page"}, {"type": "page"}, 5]}),
        ({**FULL, "audiences": ["age", 5]}, {"audiences": "given"}),
    ):
        for call in (select, select_json, explain):
            with pytest.raises(InputError):
                call(profile, **arguments)
            assert ENGINE.select(V) == expected

"""Objects that are not what they seem: an error, or what they hold; never a crash or a hang.

An exception that an object of the caller's raises while it is asked reaches the caller unchanged.
"""

from __future__ import annotations

import collections
import enum
import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from robustness.support import EVENTS, NOW, PROFILE, RICH, document, nested, run_apart, test
from whichvariant import Engine
from whichvariant.errors import EventError, InputError, ProfileError

ENGINE = Engine.from_dict(RICH)
WANTED = ENGINE.select(PROFILE, events=EVENTS, now=NOW)


class Boom(Exception):
    """What hostile objects raise."""


class Wrapper(Mapping[str, Any]):
    """A mapping that is no dict, and does something whenever it is asked."""

    def __init__(
        self, content: Mapping[str, Any], act: Callable[[], object] = lambda: None
    ) -> None:
        self.content, self.act = content, act

    def __getitem__(self, key: str) -> Any:
        self.act()
        return self.content[key]

    def __iter__(self) -> Iterator[str]:
        self.act()
        return iter(list(self.content))

    def __len__(self) -> int:
        return len(self.content)


def wrapped(value: Any, act: Callable[[], object] = lambda: None) -> Any:
    """The same content with a `Wrapper` for every object."""
    if isinstance(value, dict):
        return Wrapper({key: wrapped(item, act) for key, item in value.items()}, act)
    return value


def boom() -> None:
    raise Boom


def test_mappings_of_every_kind() -> None:
    class Missing(collections.defaultdict[str, Any]):
        def __missing__(self, key: str) -> Any:
            raise Boom

    for form in (
        wrapped(PROFILE),
        MappingProxyType(PROFILE),
        collections.OrderedDict(PROFILE),
        collections.ChainMap(PROFILE, {"stableId": "other"}),
        collections.UserDict(PROFILE),
        Missing(None, PROFILE),
    ):
        assert ENGINE.select(form, events=[wrapped(event) for event in EVENTS], now=NOW) == WANTED


def test_what_a_mapping_raises_reaches_the_caller() -> None:
    count = len(gc.get_objects())
    for profile in (
        wrapped(PROFILE, boom),
        {**PROFILE, "traits": wrapped(PROFILE["traits"], boom)},
        {**PROFILE, "stickyVariants": wrapped(PROFILE["stickyVariants"], boom)},
    ):
        for _ in range(50):
            with pytest.raises(Boom):
                ENGINE.select(profile)
    for _ in range(50):
        with pytest.raises(Boom):
            ENGINE.select(PROFILE, events=[wrapped(EVENTS[0], boom)])
    assert ENGINE.select(PROFILE, events=EVENTS, now=NOW) == WANTED
    gc.collect()
    assert len(gc.get_objects()) < count + 500


def test_mappings_that_call_the_engine() -> None:
    """Each call on the way makes another selection, several levels deep."""
    depth = 0

    def again() -> None:
        nonlocal depth
        if depth < 3:
            depth += 1
            try:
                assert ENGINE.select(PROFILE, events=EVENTS, now=NOW) == WANTED
                assert ENGINE.select(wrapped({"stableId": "x"}, again)).experiences
            finally:
                depth -= 1

    events = [wrapped(event, again) for event in EVENTS]
    assert ENGINE.select(wrapped(PROFILE, again), events=events, now=NOW) == WANTED


def test_mappings_that_change_while_they_are_read() -> None:
    profile: dict[str, Any] = {**PROFILE}

    def change() -> None:
        profile.clear()
        gc.collect()

    profile["traits"] = wrapped({**PROFILE["traits"], "fresh": "x" * 100}, change)
    ENGINE.select(profile)
    events: list[Any] = []

    def shrink() -> None:
        events.clear()

    events += [wrapped(EVENTS[0], shrink) for _ in range(10)]
    ENGINE.select(PROFILE, events=events, now=NOW)


def test_keys_with_comparisons_of_their_own() -> None:
    """A dict asks its keys; they may do what they like, but not with our memory."""

    class Key(str):
        act: Callable[[], object] = staticmethod(boom)
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            type(self).act()
            return str.__eq__(self, other)

    profile = {Key(key): value for key, value in PROFILE.items()}
    with pytest.raises(Boom):
        ENGINE.select(profile)
    Key.act = staticmethod(lambda: profile.clear() or gc.collect())  # type: ignore[assignment]
    with pytest.raises(ProfileError, match="stableId"):
        ENGINE.select(profile)
    traits = {Key(key): value for key, value in PROFILE["traits"].items()}
    Key.act = staticmethod(traits.clear)  # type: ignore[assignment]
    ENGINE.select({"stableId": "s", "traits": traits})


def test_texts_that_die_late() -> None:
    """A text that only the engine still holds runs its finaliser when the engine lets go of it."""
    died: list[int] = []

    class Text(str):
        def __del__(self) -> None:
            died.append(len(ENGINE.select(PROFILE).experiences))

    class Fleeting(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return Text("pro" + key)

        def __iter__(self) -> Iterator[str]:
            return iter(["plan", "mail"])

        def __len__(self) -> int:
            return 2

    for _ in range(20):
        ENGINE.select({"stableId": "s", "traits": Fleeting()})
    assert len(died) == 40


class Text(str):
    """A text of another type, as enumerations, numpy and template libraries have them."""


class Plan(enum.StrEnum):
    PRO = "pro"


@pytest.mark.parametrize(
    "text", [Text("pro"), Plan.PRO, np.str_("pro")], ids=lambda t: type(t).__name__
)
def test_texts_of_another_type_are_texts(text: str) -> None:
    profile = {**PROFILE, "traits": {"plan": text}, "audiences": [text]}
    plain = {**PROFILE, "traits": {"plan": "pro"}, "audiences": ["pro"]}
    assert ENGINE.select(profile) == ENGINE.select(plain)
    assert ENGINE.select(profile, audiences="given") == ENGINE.select(plain, audiences="given")
    events = [{"type": "track", "event": "signup", "properties": {"name": text}}]
    assert ENGINE.select(plain, events=events, now=NOW) is not None


@pytest.mark.parametrize("text", [Text("s"), np.str_("s")], ids=lambda t: type(t).__name__)
def test_a_stable_id_of_another_type(text: str) -> None:
    assert ENGINE.select({"stableId": text}) == ENGINE.select({"stableId": "s"})


def test_numbers_of_another_type() -> None:
    class Number(int):
        def __float__(self) -> float:
            return 1e300

        def __eq__(self, other: object) -> bool:
            raise Boom

        __hash__ = int.__hash__

    class Real(float):
        def __float__(self) -> float:
            raise Boom

    engine = Engine.from_dict(document(test("n", "equal", 5)))
    for number in (Number(5), Real(5.0), np.float64(5), enum.IntEnum("E", {"FIVE": 5}).FIVE):
        assert engine.select({"stableId": "s", "traits": {"n": number}}).audiences == ["a0"]
    # numpy's other numbers are no subclasses of Python's: refused with their place, not guessed.
    for value in (np.int64(5), np.float32(5), np.bool_(True), np.array([5]), 5j):
        with pytest.raises(ProfileError, match=r"traits\.n: not a JSON value"):
            engine.select({"stableId": "s", "traits": {"n": value}})


STICKY_INDEX_THAT_LIES = """
class Lie(int):
    def __ge__(self, other): return True
    def __le__(self, other): return True
    def __int__(self): return 10_000_000
    __lt__ = __gt__ = __ge__
engine = Engine.from_dict(document())
for lie in (Lie(10_000_000), Lie(0), Lie(-1)):
    try:
        engine.select({"stableId": "s", "stickyVariants": {"e0": lie}})
    except ProfileError:
        pass
class Whole(float):
    def is_integer(self): return True
for number in (0.5, 1e300, float("inf"), float("nan")):
    try:
        engine.select({"stableId": "s", "stickyVariants": {"e0": Whole(number)}})
    except ProfileError:
        pass
"""


def test_a_sticky_index_that_lies() -> None:
    run_apart(STICKY_INDEX_THAT_LIES)


def test_sticky_choices() -> None:
    engine = Engine.from_dict(document())
    for choice in (0, 1, 1.0, -0.0):
        record = engine.select({"stableId": "s", "stickyVariants": {"e0": choice}}).experiences[0]
        assert record["variantIndex"] == choice
    natural = engine.select({"stableId": "s"})
    for choice in (-1, 2, 255, 256, 2**31, 2**32, 2**64, -(2**63), 1e18):
        assert engine.select({"stableId": "s", "stickyVariants": {"e0": choice}}) == natural
    for choice in (0.5, True, "0", None, [], float("inf"), float("nan"), np.int64(1)):
        with pytest.raises(ProfileError, match=r"stickyVariants\.e0"):
            engine.select({"stableId": "s", "stickyVariants": {"e0": choice}})


def test_paths_and_profiles_of_any_depth() -> None:
    """A rule with a very long dotted key, and a profile that is as deep, or contains itself."""
    run_apart("""
ring = {}
ring["a"] = ring
for depth in (1_000, 10_000, 200_000):
    try:
        engine = Engine.from_dict(document(test(".".join(["a"] * depth), "exists")))
    except ConfigurationError:
        continue
    engine.select({"stableId": "s", "traits": ring})
    engine.select({"stableId": "s", "traits": nested(depth, key="a")})
""")


def test_lists_that_contain_themselves() -> None:
    loop: list[Any] = []
    loop.append(loop)
    twice: list[Any] = []
    twice += [twice, twice]
    engine = Engine.from_dict(document(test("k", "exists")))
    for value in (loop, twice, [[loop]], (twice,)):
        with pytest.raises(ProfileError, match=r"traits\.k"):
            engine.select({"stableId": "s", "traits": {"k": value}})


def test_lists_that_share_their_elements() -> None:
    """Forty lists in memory, but 2**40 elements as a text."""
    run_apart(
        """
value = ["x"]
for _ in range(40):
    value = [value, value]
engine = Engine.from_dict(document(test("k", "exists")))
try:
    engine.select({"stableId": "s", "traits": {"k": value}})
except ProfileError:
    sys.exit(0)
""",
        seconds=30,
    )


def test_lists_that_share_long_texts() -> None:
    """A thousand times the same ten megabytes."""
    run_apart("""
engine = Engine.from_dict(document(test("k", "exists")))
try:
    engine.select({"stableId": "s", "traits": {"k": ["x" * 10_000_000] * 1000}})
except ProfileError:
    sys.exit(0)
""")


def test_long_lists() -> None:
    engine = Engine.from_dict(document(test("k", "contains", "99999,"), test("k", "exists")))
    for values in (list(range(100_001)), ["x"] * 100_000, [None] * 100_000, [[1, 2]] * 100_000):
        assert "a1" in engine.select({"stableId": "s", "traits": {"k": values}}).audiences
    given = [f"id{number}" for number in range(100_000)]
    chosen = engine.select({"stableId": "s", "audiences": [*given, "a1"]}, audiences="given")
    assert chosen.audiences == [*given, "a1"]


@pytest.mark.parametrize(
    "value",
    [
        iter(["pro"]), (x for x in "pro"), {"pro"}, frozenset(["pro"]), b"pro", bytearray(b"pro"),
        memoryview(b"pro"), object(), Exception("pro"), len, type, range(3), NotImplemented, ...,
        collections.deque(["pro"]), collections.UserString("pro"), weakref.ref(Boom),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_that_are_not_json(value: Any) -> None:
    for path, profile in (
        ("traits.plan", {"stableId": "s", "traits": {"plan": value}}),
        ("traits.plan", {"stableId": "s", "traits": {"plan": [1, value]}}),
        ("traits", {"stableId": "s", "traits": value}),
        ("location", {"stableId": "s", "location": value}),
        ("stickyVariants", {"stableId": "s", "stickyVariants": value}),
        ("stableId", {"stableId": value}),
    ):
        with pytest.raises(ProfileError) as caught:
            ENGINE.select(profile)
        assert caught.value.path == path
    # Where no rule looks, anything may be.
    assert ENGINE.select({"stableId": "s", "traits": {"other": value}, "x": value})
    with pytest.raises(EventError):
        ENGINE.select(PROFILE, events=[value])


def test_objects_that_claim_another_class() -> None:
    class Chameleon:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise Boom

    class Liar:
        __class__ = dict  # type: ignore[assignment]

    for value in (Chameleon(), Liar()):
        for traits in (value, {"plan": value}, {"a": {"b": value}}, [value]):
            try:
                ENGINE.select({"stableId": "s", "traits": traits})
            except (Boom, ProfileError, TypeError):
                continue
            # A rule that only asks for the type of an object believes what it is told.
            assert isinstance(value, Liar)
        with pytest.raises((Boom, InputError, TypeError, AttributeError)):
            ENGINE.select(value)  # type: ignore[arg-type]


def test_ten_megabyte_texts_everywhere() -> None:
    long = "x" * 10_000_000
    for profile in (
        {"stableId": long},
        {"stableId": "s", "traits": long},
        {"stableId": "s", "location": [long]},
    ):
        with pytest.raises(ProfileError) as caught:
            ENGINE.select(profile)
        assert len(str(caught.value)) < 1000
    for profile in (
        {"stableId": "s", long: long},
        {"stableId": "s", "traits": {long: long, "plan": long, "mail": long}},
        {"stableId": "s", "stickyVariants": {long: 1}, "audiences": [long]},
    ):
        assert ENGINE.select(profile).experiences
    assert ENGINE.select({"stableId": "s", "audiences": [long]}, audiences="given").experiences
    events = [{"type": "track", "event": long, "properties": {"name": long}}]
    assert ENGINE.select(PROFILE, events=events).experiences


UNPRINTABLE = {"deep": nested(100_000), "digits": 10**5000, "large": 10**400}


@pytest.mark.parametrize("value", UNPRINTABLE)
@pytest.mark.parametrize("where", ["device", "type", "timestamp", "now"])
def test_values_that_cannot_be_printed(where: str, value: str) -> None:
    """The error is about the value, and must not fail for showing it."""
    asked: dict[str, Any] = {"device": "mobile", "now": NOW, "type": "page", "timestamp": NOW}
    asked[where] = UNPRINTABLE[value]
    event = {"type": asked["type"], "timestamp": asked["timestamp"]}
    with pytest.raises(InputError):
        ENGINE.select(PROFILE, device=asked["device"], now=asked["now"], events=[event])


def test_a_long_number_among_given_audiences() -> None:
    with pytest.raises(ProfileError):
        ENGINE.select_json(b'{"stableId":"s","audiences":[%s]}' % (b"1" * 5000), audiences="given")


def test_an_engine_that_was_never_initialised() -> None:
    run_apart("""
for call in ("select", "select_json", "trace", "explain", "to_bytes"):
    try:
        getattr(Engine.__new__(Engine), call)({"stableId": "s"})
    except (TypeError, AttributeError, WhichVariantError):
        pass
try:
    Engine.__new__(Engine).first_record({"stableId": "s"}, (0,))
except TypeError:
    pass
""")


def test_engines_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ENGINE.__init__(ENGINE.configuration)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        ENGINE.program = None  # type: ignore[misc]
    selection = ENGINE.select(PROFILE)
    with pytest.raises(TypeError, match="read-only"):
        selection.experiences[0]["variantIndex"] = 9
    with pytest.raises(TypeError, match="read-only"):
        selection.experiences[0]["variants"]["x"] = "y"
    selection.experiences.clear()
    selection.audiences.append("mine")
    assert ENGINE.select(PROFILE, events=EVENTS, now=NOW) == WANTED


def test_shared_records_that_were_forced_open() -> None:
    """`dict`'s own methods get past the read-only ones: the caller's loss, but no crash."""
    engine = Engine.from_dict(document())
    record = engine.select({"stableId": "s"}).experiences[0]
    dict.clear(record)
    assert engine.select({"stableId": "s"}).experiences == [{}]
    assert engine.select_json(b'{"stableId":"s"}')

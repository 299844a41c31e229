"""The digest depends on all content, and on nothing but content."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import msgpack
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from loading.builders import (
    LEAF,
    REPLACEMENT,
    VARIABLE,
    audience,
    audience_entry,
    delivery,
    experience,
    experience_entry,
    export,
    load,
    merge_tag_entry,
    native,
    with_component,
    with_config,
    with_leaf,
)
from whichvariant.loading import load_documents, parse_document
from whichvariant.loading.digest import canonical_value

PAGE = {"type": "page", "count": "2", "conditions": [], "within": {"days": 7}}


def digest_of(*contents: Any) -> str:
    return load(*contents).configuration.digest


def base() -> dict[str, Any]:
    return native(
        audiences=[
            audience("a1", nt_description="D", nt_rules={"any": [LEAF, PAGE]}),
            audience("a2"),
        ],
        experiences=[experience("e1", nt_audience="a1"), experience("e2", nt_audience="a2")],
        mergetags=[{"nt_mergetag_id": "t1", "nt_name": "T", "nt_fallback": "f"}],
    )


def test_is_32_hexadecimal_digits() -> None:
    digest = digest_of(base())
    assert len(digest) == 32
    assert int(digest, 16) >= 0
    assert digest == digest.lower()


def test_is_xxh3_128_of_the_canonical_form() -> None:
    form = b'["whichvariant/1","murmur3",[],[],[["t1","T","f"]]]'
    document = {"experiences": [], "mergetags": base()["mergetags"]}
    assert digest_of(document) == xxhash.xxh3_128_hexdigest(form)


def test_is_stable_over_releases() -> None:
    """A digest that changes moves nobody, but it makes every configuration look changed."""
    assert digest_of(base()) == "4d91ce409dffc42846aeec506df30ba5"


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same value with keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def respelt(value: Any) -> Any:
    """The same value with integers as doubles."""
    if isinstance(value, dict):
        return {key: respelt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [respelt(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TestIndependence:
    def test_of_key_order(self) -> None:
        for seed in range(5):
            assert digest_of(shuffled(base(), random.Random(seed))) == digest_of(base())

    def test_of_entry_order(self) -> None:
        document = base()
        document["audiences"].reverse()
        document["experiences"].reverse()
        assert digest_of(document) == digest_of(base())

    def test_of_the_number_of_documents(self) -> None:
        first, second = base(), base()
        first["experiences"].pop()
        second["experiences"].pop(0)
        assert digest_of(first, second) == digest_of(second, first) == digest_of(base())

    def test_of_the_source_format(self) -> None:
        entries = [audience_entry(), experience_entry(), merge_tag_entry()]
        tag = merge_tag_entry()["fields"]
        digest = digest_of(native(mergetags=[tag]))
        assert digest_of(export(*entries)) == digest
        assert digest_of(delivery(*entries)) == digest

    def test_of_the_encoding(self) -> None:
        for data in (json.dumps(base()).encode(), msgpack.packb(base())):
            loaded = load_documents([parse_document(data, "d")])
            assert loaded.configuration.digest == digest_of(base())

    def test_of_the_spelling_of_numbers(self) -> None:
        assert digest_of(respelt(base())) == digest_of(base())

    @pytest.mark.parametrize("count", [2, 2.0, "2", "2.0", "+2", "2e0"])
    def test_of_the_spelling_of_counts(self, count: Any) -> None:
        document = base()
        document["audiences"][0]["nt_rules"] = {"any": [LEAF, {**PAGE, "count": count}]}
        assert digest_of(document) == digest_of(base())

    @pytest.mark.parametrize(
        ("value", "same"),
        [
            ({"a": 1, "b": [1, -0.0]}, {"b": [1.0, 0], "a": 1.0}),
            ({"a": 2**53}, {"a": 2.0**53}),
            ({"a": 1e20}, {"a": 100000000000000000000}),
        ],
    )
    def test_of_the_spelling_of_values(self, value: Any, same: Any) -> None:
        variable = {**VARIABLE, "valueType": "Object", "variants": []}
        first = with_component(**{**variable, "baseline": {"value": value}})
        second = with_component(**{**variable, "baseline": {"value": same}})
        assert digest_of(first) == digest_of(second)

    def test_of_operator_names(self) -> None:
        first = with_leaf(type="identify", key="a", operator="eq", value="*")
        second = with_leaf(type="identify", key="a", operator="isSet", count="1", conditions=[])
        assert digest_of(first) == digest_of(second)

    def test_of_shares_or_segments(self) -> None:
        segments = [
            {"index": 0, "start": 0, "end": 0.5},
            {"index": 1, "start": 0.5, "end": 1},
        ]
        assert digest_of(with_config(distribution=segments)) == digest_of(with_config())

    def test_of_extras_and_defaults(self) -> None:
        document = with_config(primaryMetric="m", sticky=None, distribution=None)
        assert digest_of(document) == digest_of(with_config())

    def test_of_format_and_scheme_being_named(self) -> None:
        document = native(scheme="murmur3", format=...)
        assert digest_of(document) == digest_of(native())


def set_at(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    target: Any = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return document


CONFIG_PATH = ("experiences", 0, "nt_config")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("scheme",), "xxh64"),
        (("audiences", 0, "nt_name"), "other"),
        (("audiences", 0, "nt_description"), "other"),
        (("audiences", 0, "nt_rules"), {"all": [LEAF, PAGE]}),
        (("audiences", 0, "nt_rules"), {"any": [PAGE, LEAF]}),
        (("audiences", 0, "nt_rules"), {"not": {"any": [LEAF, PAGE]}}),
        (("audiences", 0, "nt_rules", "any", 0, "key"), "country"),
        (("audiences", 0, "nt_rules", "any", 0, "operator"), "contains"),
        (("audiences", 0, "nt_rules", "any", 0, "value"), "berlin"),
        (("audiences", 0, "nt_rules", "any", 1, "count"), 3),
        (("audiences", 0, "nt_rules", "any", 1, "operator"), "equal"),
        (("audiences", 0, "nt_rules", "any", 1, "type"), "screen"),
        (("audiences", 0, "nt_rules", "any", 1, "within"), None),
        (("audiences", 0, "nt_rules", "any", 1, "within", "days"), 8),
        (
            ("audiences", 0, "nt_rules", "any", 1, "conditions"),
            [{"key": {"id": "context_page_url"}, "operator": "equal", "value": "x"}],
        ),
        (("experiences", 0, "nt_experience_id"), "E1"),
        (("experiences", 0, "nt_name"), "other"),
        (("experiences", 0, "nt_description"), "other"),
        (("experiences", 0, "nt_type"), "nt_personalization"),
        (("experiences", 0, "nt_audience"), "a2"),
        (("experiences", 0, "nt_audience"), None),
        ((*CONFIG_PATH, "traffic"), 0.5),
        ((*CONFIG_PATH, "sticky"), True),
        ((*CONFIG_PATH, "distribution"), [0.4, 0.6]),
        ((*CONFIG_PATH, "components"), [VARIABLE, REPLACEMENT]),
        ((*CONFIG_PATH, "components", 0, "baseline", "id"), "other"),
        ((*CONFIG_PATH, "components", 0, "variants", 0, "id"), ""),
        ((*CONFIG_PATH, "components", 1, "key"), "other"),
        ((*CONFIG_PATH, "components", 1, "baseline", "value"), "other"),
        ((*CONFIG_PATH, "components", 1, "variants", 0, "value"), "other"),
        ((*CONFIG_PATH, "components", 1, "valueType"), None),
        (("mergetags", 0, "nt_mergetag_id"), "other"),
        (("mergetags", 0, "nt_name"), "other"),
        (("mergetags", 0, "nt_fallback"), "other"),
        (("mergetags",), []),
    ],
    ids=str,
)
def test_depends_on_all_content(path: tuple[str | int, ...], value: Any) -> None:
    assert digest_of(set_at(base(), path, value)) != digest_of(base())


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("1", 1),
        ("", None),
        ([], {}),
        ([1, 2], [2, 1]),
        ([[1], 2], [1, [2]]),
        (2**53, 2**53 + 1),
        (0.1, 0.10000000000000002),
        ({"a": 1}, {"a": "1"}),
        ({"a,b": 1}, {"a": 1, "b": 1}),
        ('"', '\\"'),
    ],
    ids=str,
)
def test_tells_values_apart(value: Any, other: Any) -> None:
    variable = {**VARIABLE, "valueType": None, "variants": []}
    first = with_component(**{**variable, "baseline": {"value": value}})
    second = with_component(**{**variable, "baseline": {"value": other}})
    assert digest_of(first) != digest_of(second)


class TestPlainTextNumbersInRules:
    def test_a_text_is_no_number(self) -> None:
        first = with_leaf(type="identify", key="a", operator="equal", value="5")
        second = with_leaf(type="identify", key="a", operator="equal", value=5)
        assert digest_of(first) != digest_of(second)

    def test_a_list_is_no_text(self) -> None:
        first = with_leaf(type="identify", key="a", operator="in", value=["a", "b"])
        second = with_leaf(type="identify", key="a", operator="in", value=["a,b"])
        assert digest_of(first) != digest_of(second)

    def test_a_dotted_key_is_no_query_parameter(self) -> None:
        keys = ("landingPage.query.a.b", "landingPage.query.a")
        digests = {digest_of(with_leaf(type="session", key=k, operator="isSet")) for k in keys}
        assert len(digests) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON, JSON)
def test_canonical_values_are_equal_exactly_when_the_values_are(first: Any, second: Any) -> None:
    def typed(value: Any) -> Any:
        """A value that compares as JSON does: booleans are no numbers."""
        if isinstance(value, dict):
            return {key: typed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [typed(item) for item in value]
        return (isinstance(value, bool), value)

    assert (canonical_value(first) == canonical_value(second)) == (typed(first) == typed(second))


def test_values_may_nest_as_deep_as_documents() -> None:
    value: Any = [{}]
    for level in range(245):
        value = {"a": value, "b": level} if level % 2 else [level, value]
    variable = {**VARIABLE, "valueType": "Object", "variants": []}
    digests = {
        digest_of(with_component(**{**variable, "baseline": {"value": {"a": deep}}}))
        for deep in (value, [value], value[1])
    }
    assert len(digests) == 3

"""`nt_rules` to contracts, leaf by leaf (docs/rules.md)."""

from __future__ import annotations

from typing import Any

import pytest

from loading.builders import LEAF, errors_of, load, rule_of, warnings_of, with_leaf, with_rules
from whichvariant.contracts import AllOf, AnyOf, Counter, CounterTest, Not, Test
from whichvariant.loading.rules import LOCATION_KEYS, SESSION_KEYS

CITY = Test(("location", "city"), "equal", "Berlin")
RULES = "audiences[0].nt_rules"


def leaf(**fields: Any) -> Any:
    return rule_of({name: value for name, value in fields.items() if value is not ...})


def trait(operator: str, value: Any = ...) -> Any:
    return leaf(type="identify", key="a", operator=operator, value=value)


def condition(identifier: str, operator: str, value: Any, name: Any = ...) -> dict[str, Any]:
    key = {"id": identifier} if name is ... else {"id": identifier, "value": name}
    return {"key": key, "operator": operator, "value": value}


class TestGroups:
    def test_the_vendor_shape(self) -> None:
        assert rule_of({"any": [{"all": [LEAF, LEAF]}, {"all": [LEAF]}]}) == AnyOf(
            (AllOf((CITY, CITY)), AllOf((CITY,)))
        )

    def test_groups_nest_freely(self) -> None:
        assert rule_of({"not": {"all": [{"not": LEAF}, {"any": [LEAF]}]}}) == Not(
            AllOf((Not(CITY), AnyOf((CITY,))))
        )

    def test_a_leaf_alone(self) -> None:
        assert rule_of(LEAF) == CITY

    def test_null_members_are_absent(self) -> None:
        assert rule_of({"any": None, "all": [LEAF], "not": None, "type": None}) == AllOf((CITY,))

    def test_empty_groups(self) -> None:
        assert rule_of({"any": []}) == AnyOf(())
        assert rule_of({"all": [{"any": []}]}) == AllOf((AnyOf(()),))
        assert warnings_of(with_rules({"all": [{"any": []}]})) == [
            ("empty-group", f"{RULES}.all[0].any")
        ]

    def test_64_levels(self) -> None:
        rules: dict[str, Any] = LEAF
        for _ in range(64):
            rules = {"not": rules}
        assert not errors_of(with_rules(rules))
        assert errors_of(with_rules({"any": [rules]})) == [
            ("too-deep", f"{RULES}.any[0]" + ".not" * 64),
            ("audience-withheld", "experiences[0].nt_audience"),
        ]

    def test_conditions_that_make_a_group_count_as_one(self) -> None:
        device = {
            "type": "device",
            "conditions": [condition("type", "equal", "mobile")] * 2,
        }
        rules: dict[str, Any] = device
        for _ in range(64):
            rules = {"all": [rules]}
        assert errors_of(with_rules(rules))[0] == ("too-deep", RULES + ".all[0]" * 64)
        assert not errors_of(with_rules(rules["all"][0]))

    def test_10_000_leaves(self) -> None:
        assert not errors_of(with_rules({"any": [LEAF] * 10_000}))
        assert errors_of(with_rules({"any": [{"all": [LEAF] * 6_000}] * 2}))[0] == (
            "too-many-leaves",
            f"{RULES}.any[1].all[4000]",
        )

    def test_conditions_count_as_leaves(self) -> None:
        page = {"type": "page", "conditions": [condition("context_page_url", "equal", "x")] * 9_999}
        assert not errors_of(with_rules(page))
        assert errors_of(with_rules({"any": [page, LEAF]}))[0][0] == "too-many-leaves"
        page["conditions"] = page["conditions"] * 2
        errors = errors_of(with_rules({"any": [page, LEAF, LEAF]}))
        assert errors[0] == ("too-many-leaves", f"{RULES}.any[0].conditions[9999]")
        assert len(errors) == 2

    def test_one_pass_finds_everything(self) -> None:
        rules = {"any": [{"type": "x"}, {"all": [{"type": "y"}, {**LEAF, "operator": "z"}]}, 5]}
        assert errors_of(with_rules(rules))[:-1] == [
            ("unknown-rule-type", f"{RULES}.any[0].type"),
            ("unknown-rule-type", f"{RULES}.any[1].all[0].type"),
            ("unknown-operator", f"{RULES}.any[1].all[1].operator"),
            ("wrong-type", f"{RULES}.any[2]"),
        ]

    def test_a_leaf_with_two_faults_has_two_findings(self) -> None:
        document = with_leaf(type="location", key="planet", operator="greaterThan", value="x")
        assert [code for code, _ in errors_of(document)][:2] == [
            "unknown-location-key",
            "not-a-number",
        ]


class TestOperands:
    @pytest.mark.parametrize(
        ("value", "operand"),
        [
            ("x", "x"),
            ("", ""),
            ("5", "5"),
            (5, 5.0),
            (5.5, 5.5),
            (True, "true"),
            (False, "false"),
            ("**", "**"),
        ],
    )
    def test_equal(self, value: Any, operand: Any) -> None:
        for operator in ("equal", "notEqual"):
            rule = trait(operator, value)
            assert rule == Test(("traits", "a"), operator, operand)
            assert type(rule.operand) is type(operand)

    def test_zero_has_no_sign(self) -> None:
        assert str(trait("equal", -0.0).operand) == "0.0"
        assert str(trait("lessThan", "-0").operand) == "0.0"
        assert str(trait("in", [-0.0]).operand) == "(0.0,)"

    def test_in(self) -> None:
        assert trait("in", ["a", 5, True, "*"]).operand == ("a", 5.0, "true", "*")
        assert trait("notIn", []).operand == ()

    @pytest.mark.parametrize(
        ("value", "text"), [("x", "x"), (5, "5"), (1e21, "1e+21"), (True, "true"), ("", "")]
    )
    def test_text_operators_take_the_text(self, value: Any, text: str) -> None:
        for operator in ("contains", "notContains", "startsWith", "endsWith"):
            assert trait(operator, value) == Test(("traits", "a"), operator, text)

    def test_empty_text_warns(self) -> None:
        for operator in ("contains", "notContains", "startsWith", "endsWith"):
            document = with_leaf(type="identify", key="a", operator=operator, value="")
            assert warnings_of(document) == [("empty-value", f"{RULES}.value")]
        assert not warnings_of(with_leaf(type="identify", key="a", operator="equal", value=""))

    @pytest.mark.parametrize(
        ("value", "number"),
        [(5, 5.0), ("5", 5.0), ("+5.", 5.0), (".5", 0.5), ("-1e3", -1000.0), ("1E+2", 100.0)],
    )
    def test_ordering_operators_take_numbers(self, value: Any, number: float) -> None:
        for operator in ("greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"):
            rule = trait(operator, value)
            assert rule == Test(("traits", "a"), operator, number)
            assert type(rule.operand) is float

    @pytest.mark.parametrize(
        "value", ["", "x", " 5", "5 ", "0x10", "1_0", "1e999", "\u0665", "--5", ".", True, [5], {}]
    )
    def test_ordering_operators_take_nothing_else(self, value: Any) -> None:
        document = with_leaf(type="identify", key="a", operator="lessThan", value=value)
        assert errors_of(document)[0] == ("not-a-number", f"{RULES}.value")

    def test_matches(self) -> None:
        assert trait("matches", r"^a+\d$") == Test(("traits", "a"), "matches", r"^a+\d$")
        assert trait("matches", 5).operand == "5"

    @pytest.mark.parametrize("pattern", ["(", "*", "(?=x)", r"\1", "a{1001}", "[z-a]"])
    def test_matches_refuses_what_re2_does(self, pattern: str, capfd: Any) -> None:
        document = with_leaf(type="identify", key="a", operator="matches", value=pattern)
        assert errors_of(document)[0] == ("invalid-regex", f"{RULES}.value")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("operator", ["exists", "notExists"])
    @pytest.mark.parametrize("value", [..., None, "x", ["y"], {}])
    def test_exists_ignores_its_value(self, operator: str, value: Any) -> None:
        assert trait(operator, value) == Test(("traits", "a"), operator, None)

    @pytest.mark.parametrize(
        ("operator", "meaning"),
        [
            ("equal", "exists"),
            ("contains", "exists"),
            ("startsWith", "exists"),
            ("endsWith", "exists"),
            ("notEqual", "notExists"),
            ("notContains", "notExists"),
        ],
    )
    def test_any_value_present(self, operator: str, meaning: str) -> None:
        assert trait(operator, "*") == Test(("traits", "a"), meaning, None)

    @pytest.mark.parametrize("value", [None, ...])
    def test_no_value(self, value: Any) -> None:
        for operator in ("equal", "contains", "matches", "lessThan", "in", "notIn"):
            document = with_leaf(type="identify", key="a", operator=operator, value=value)
            assert errors_of(document)[0] == ("missing-value", f"{RULES}.value")

    @pytest.mark.parametrize("value", [[], {}, ["x"], {"a": 1}])
    def test_values_are_scalars(self, value: Any) -> None:
        for operator in ("equal", "contains", "matches"):
            document = with_leaf(type="identify", key="a", operator=operator, value=value)
            assert errors_of(document)[0] == ("wrong-type", f"{RULES}.value")

    @pytest.mark.parametrize("element", [None, [], {}])
    def test_elements_are_scalars(self, element: Any) -> None:
        document = with_leaf(type="identify", key="a", operator="in", value=["x", element])
        assert errors_of(document)[0] == ("wrong-type", f"{RULES}.value[1]")


class TestAttributes:
    def test_a_dotted_trait(self) -> None:
        rule = leaf(type="identify", key="address.city", operator="exists")
        assert rule.path == ("traits", "address", "city")

    @pytest.mark.parametrize("key", ["a..b", ".a", "a.", "."])
    def test_empty_segments(self, key: str) -> None:
        document = with_leaf(type="identify", key=key, operator="exists")
        assert errors_of(document)[0] == ("malformed-key", f"{RULES}.key")

    @pytest.mark.parametrize("kind", ["identify", "location", "session"])
    def test_keys(self, kind: str) -> None:
        for key in ("", None, ...):
            document = with_leaf(type=kind, key=key, operator="exists")
            assert errors_of(document)[0] == ("missing-key", f"{RULES}.key")
        for wrong in (5, [], {"a": 1}, True):
            document = with_leaf(type=kind, key=wrong, operator="exists")
            assert errors_of(document)[0] == ("wrong-type", f"{RULES}.key")

    def test_locations(self) -> None:
        assert len(LOCATION_KEYS) == 10
        for key in LOCATION_KEYS:
            rule = leaf(type="location", key=key, operator="exists")
            assert rule.path == ("location", *key.split("."))

    @pytest.mark.parametrize("key", ["planet", "City", "coordinates", "coordinates.altitude"])
    def test_unknown_locations(self, key: str) -> None:
        document = with_leaf(type="location", key=key, operator="exists")
        assert errors_of(document)[0] == ("unknown-location-key", f"{RULES}.key")

    def test_sessions(self) -> None:
        assert len(SESSION_KEYS) == 9
        for key in SESSION_KEYS:
            rule = leaf(type="session", key=key, operator="exists")
            assert rule.path == ("session", *key.split("."))

    def test_a_query_parameter_is_one_segment(self) -> None:
        rule = leaf(type="session", key="landingPage.query.a.b.", operator="exists")
        assert rule.path == ("session", "landingPage", "query", "a.b.")

    @pytest.mark.parametrize("key", ["landingPage", "landingPage.query", "Count", "x"])
    def test_unknown_sessions(self, key: str) -> None:
        document = with_leaf(type="session", key=key, operator="exists")
        assert errors_of(document)[0] == ("unknown-session-key", f"{RULES}.key")

    def test_a_query_parameter_without_a_name(self) -> None:
        document = with_leaf(type="session", key="landingPage.query.", operator="exists")
        assert errors_of(document)[0] == ("malformed-key", f"{RULES}.key")


RETURNING = ("session", "isReturningVisitor")
COUNT = ("session", "count")
DEVICE = ("device", "type")


class TestReturningVisitor:
    @pytest.mark.parametrize(
        ("value", "operand"),
        [(True, "true"), (False, "false"), ("true", "true"), ("false", "false")],
    )
    def test_values(self, value: Any, operand: str) -> None:
        for operator in ("equal", "notEqual"):
            rule = leaf(type="isReturningVisitor", operator=operator, value=value)
            assert rule == Test(RETURNING, operator, operand)

    def test_conditions_all_hold(self) -> None:
        conditions = [
            condition("session_count", "greaterThan", "1"),
            condition("session_count", "notEqual", 5),
        ]
        assert leaf(
            type="isReturningVisitor", operator="equal", value=True, conditions=conditions
        ) == AllOf(
            (
                Test(RETURNING, "equal", "true"),
                Test(COUNT, "greaterThan", 1.0),
                Test(COUNT, "notEqual", 5.0),
            )
        )

    @pytest.mark.parametrize("value", ["*", "", 1, "TRUE", [], {}])
    def test_other_values(self, value: Any) -> None:
        document = with_leaf(type="isReturningVisitor", operator="equal", value=value)
        assert errors_of(document)[0] == ("invalid-value", f"{RULES}.value")

    @pytest.mark.parametrize("operator", ["in", "exists", "greaterThan", "matches"])
    def test_other_operators(self, operator: str) -> None:
        document = with_leaf(type="isReturningVisitor", operator=operator, value=True)
        assert errors_of(document)[0] == ("unsupported-operator", f"{RULES}.operator")


class TestDevice:
    def test_conditions_all_hold(self) -> None:
        conditions = [condition("type", "notEqual", "mobile"), condition("type", "exists", None)]
        assert leaf(type="device", operator="equal", value="", conditions=conditions) == AllOf(
            (Test(DEVICE, "notEqual", "mobile"), Test(DEVICE, "exists", None))
        )

    def test_one_condition_is_no_group(self) -> None:
        conditions = [condition("type", "in", ["mobile", "tablet"])]
        assert leaf(type="device", conditions=conditions) == Test(
            DEVICE, "in", ("mobile", "tablet")
        )

    def test_the_leaf_itself_without_conditions(self) -> None:
        for conditions in (..., None, []):
            rule = leaf(type="device", operator="equal", value="mobile", conditions=conditions)
            assert rule == Test(DEVICE, "equal", "mobile")

    def test_the_leaf_is_not_read_beside_conditions(self) -> None:
        conditions = [condition("type", "equal", "mobile")]
        rule = leaf(type="device", operator="nonsense", value=[], conditions=conditions)
        assert rule == Test(DEVICE, "equal", "mobile")

    @pytest.mark.parametrize("value", ["", None, ...])
    def test_nothing_to_compare_with(self, value: Any) -> None:
        document = with_leaf(type="device", operator="equal", value=value, conditions=[])
        assert errors_of(document)[0] == ("missing-value", f"{RULES}.value")


class TestActivity:
    def test_defaults(self) -> None:
        assert leaf(type="page") == CounterTest(
            Counter("page", None, (), None), "greaterThanInclusive", 1.0
        )

    def test_everything(self) -> None:
        rule = leaf(
            type="track",
            value="signup",
            operator="lt",
            count="3",
            within={"days": 7},
            conditions=[condition("property", "gt", "10", "cart.total")],
        )
        total = Test(("properties", "cart", "total"), "greaterThan", 10.0)
        assert rule == CounterTest(
            Counter("track", "signup", (total,), 7 * 86_400_000), "lessThan", 3.0
        )

    @pytest.mark.parametrize(
        ("kind", "value", "name"),
        [
            ("page", "ignored", None),
            ("page", 5, None),
            ("track", "*", None),
            ("track", "signup", "signup"),
            ("screen", "*", None),
            ("screen", "", None),
            ("screen", None, None),
            ("screen", "Home", "Home"),
        ],
    )
    def test_names(self, kind: str, value: Any, name: str | None) -> None:
        assert leaf(type=kind, value=value).counter == Counter(kind, name, (), None)

    @pytest.mark.parametrize("value", ["", None, ...])
    def test_a_track_leaf_names_its_event(self, value: Any) -> None:
        document = with_leaf(type="track", value=value)
        assert errors_of(document)[0] == ("missing-value", f"{RULES}.value")

    @pytest.mark.parametrize("kind", ["track", "screen"])
    def test_names_are_text(self, kind: str) -> None:
        assert errors_of(with_leaf(type=kind, value=5))[0] == ("wrong-type", f"{RULES}.value")

    @pytest.mark.parametrize(("count", "number"), [("2", 2.0), (2, 2.0), (2.0, 2.0), ("2e1", 20.0)])
    def test_counts(self, count: Any, number: float) -> None:
        assert leaf(type="page", count=count).operand == number

    @pytest.mark.parametrize("count", [-1, "-1", 1.5, "", "x", True, [], {}])
    def test_other_counts(self, count: Any) -> None:
        assert errors_of(with_leaf(type="page", count=count))[0] == (
            "invalid-count",
            f"{RULES}.count",
        )

    @pytest.mark.parametrize("count", [0, "0", 0.0, -0.0])
    def test_a_count_of_zero(self, count: Any) -> None:
        document = with_leaf(type="page", operator="equal", count=count)
        assert warnings_of(document) == [("zero-count", f"{RULES}.count")]
        assert str(leaf(type="page", count=count).operand) == "0.0"

    @pytest.mark.parametrize("operator", ["contains", "in", "exists", "matches", "startsWith"])
    def test_operators_that_do_not_count(self, operator: str) -> None:
        document = with_leaf(type="page", operator=operator)
        assert errors_of(document)[0] == ("unsupported-operator", f"{RULES}.operator")

    @pytest.mark.parametrize(
        ("days", "within_ms"), [(1, 86_400_000), (0.5, 43_200_000), (1_000_000, 86_400_000_000_000)]
    )
    def test_within(self, days: float, within_ms: int) -> None:
        assert leaf(type="page", within={"days": days}).counter.within_ms == within_ms

    @pytest.mark.parametrize(
        "within",
        [
            {},
            {"days": 0},
            {"days": -1},
            {"days": 1_000_001},
            {"days": 1e308},
            {"days": 1e-10},
            {"days": True},
            {"days": "7"},
            {"hours": 7},
            {"days": 7, "hours": 1},
            7,
            [],
            "7d",
        ],
    )
    def test_other_windows(self, within: Any) -> None:
        document = with_leaf(type="page", within=within)
        assert errors_of(document)[0] == ("invalid-within", f"{RULES}.within")


class TestEventConditions:
    @pytest.mark.parametrize(
        ("identifier", "name", "path", "fallback"),
        [
            *(
                (f"context_page_{part}", ..., ("context", "page", part), ("properties", part))
                for part in ("url", "path", "referrer", "search")
            ),
            (
                "context_page_query",
                "a.b",
                ("context", "page", "query", "a.b"),
                ("properties", "query", "a.b"),
            ),
            *(
                (f"context_campaign_{part}", "x", ("context", "campaign", part), None)
                for part in ("name", "source", "medium", "term", "content")
            ),
            *(
                (identifier, "a.b", ("properties", "a", "b"), None)
                for identifier in ("property", "properties", "page_property", "event_property")
            ),
        ],
    )
    def test_paths(self, identifier: str, name: Any, path: Any, fallback: Any) -> None:
        rule = leaf(type="page", conditions=[condition(identifier, "equal", "*", name)])
        assert rule.counter.conditions == (Test(path, "exists", None, fallback),)

    @pytest.mark.parametrize("kind", ["page", "track", "screen"])
    def test_all_activity_takes_them(self, kind: str) -> None:
        conditions = [condition("context_page_url", "contains", "x")]
        rule = leaf(type=kind, value="n", conditions=conditions)
        assert rule.counter.conditions[0].operand == "x"

    @pytest.mark.parametrize("identifier", ["context_page_query", "property", "event_property"])
    def test_names_are_needed(self, identifier: str) -> None:
        for name in ("", None, ...):
            document = with_leaf(type="page", conditions=[condition(identifier, "eq", "x", name)])
            place = f"{RULES}.conditions[0].key.value"
            assert errors_of(document)[0] == ("missing-key", place)
        document = with_leaf(type="page", conditions=[condition(identifier, "eq", "x", 5)])
        assert errors_of(document)[0] == ("wrong-type", f"{RULES}.conditions[0].key.value")

    def test_a_property_with_an_empty_segment(self) -> None:
        document = with_leaf(type="page", conditions=[condition("property", "eq", "x", "a..b")])
        assert errors_of(document)[0] == ("malformed-key", f"{RULES}.conditions[0].key.value")

    @pytest.mark.parametrize(
        ("kind", "identifier"),
        [
            ("page", "context_page_title"),
            ("page", "session_count"),
            ("page", "type"),
            ("device", "session_count"),
            ("isReturningVisitor", "type"),
            ("isReturningVisitor", "context_page_url"),
        ],
    )
    def test_unknown_conditions(self, kind: str, identifier: str) -> None:
        conditions = [condition(identifier, "equal", "x", "y")]
        document = with_leaf(type=kind, operator="equal", value=True, conditions=conditions)
        if kind == "page":
            document["audiences"][0]["nt_rules"]["operator"] = "gte"
        assert errors_of(document)[0] == (
            "unknown-condition",
            f"{RULES}.conditions[0].key.id",
        )

    @pytest.mark.parametrize(
        ("conditions", "path"),
        [
            (5, "conditions"),
            ({}, "conditions"),
            ("x", "conditions"),
            ([5], "conditions[0]"),
            ([None], "conditions[0]"),
            ([{}], "conditions[0].key"),
            ([{"key": "context_page_url"}], "conditions[0].key"),
            ([{"key": {}}], "conditions[0].key.id"),
            ([{"key": {"id": 5}}], "conditions[0].key.id"),
        ],
    )
    def test_shapes(self, conditions: Any, path: str) -> None:
        for kind in ("page", "device", "isReturningVisitor"):
            document = with_leaf(type=kind, conditions=conditions)
            assert ("wrong-type", f"{RULES}.{path}") in errors_of(document)

    def test_a_condition_has_an_operator_and_a_value(self) -> None:
        key = {"id": "context_page_url"}
        document = with_leaf(type="page", conditions=[{"key": key}, {"key": key, "operator": "eq"}])
        assert errors_of(document)[:2] == [
            ("missing-operator", f"{RULES}.conditions[0].operator"),
            ("missing-value", f"{RULES}.conditions[1].value"),
        ]


def test_fields_that_a_type_does_not_use_are_ignored() -> None:
    rule = {**LEAF, "count": [], "conditions": 5, "within": "x", "label": {}}
    assert rule_of(rule) == CITY


def test_names_and_descriptions() -> None:
    document = with_rules(LEAF)
    document["audiences"][0] |= {"nt_name": "Name", "nt_description": "Text"}
    (loaded,) = load(document).configuration.audiences
    assert (loaded.name, loaded.description) == ("Name", "Text")

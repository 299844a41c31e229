"""The operator table is the one of docs/rules.md, and every name in it means what it says."""

from __future__ import annotations

import pathlib
import re

import pytest

from loading.builders import errors_of, rule_of, with_leaf
from whichvariant.contracts import Test
from whichvariant.loading.operators import OPERATORS, SYNONYMS

RULES_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "rules.md"

# The synonyms once more, by hand and in the order in which docs/rules.md lists their groups.
MEANINGS = {
    "equal": "equals eq is == ===",
    "notEqual": "notEquals ne neq isNot != !==",
    "contains": "includes",
    "notContains": "doesNotContain notIncludes",
    "startsWith": "beginsWith",
    "matches": "regex matchesRegex",
    "greaterThan": "gt >",
    "greaterThanInclusive": "gte greaterThanOrEqual >=",
    "lessThan": "lt <",
    "lessThanInclusive": "lte lessThanOrEqual <=",
    "in": "isIn oneOf",
    "notIn": "isNotIn noneOf",
    "exists": "isSet",
    "notExists": "isNotSet doesNotExist",
}


def test_the_table_is_the_one_in_the_docs() -> None:
    page = RULES_PAGE.read_text(encoding="utf-8")
    paragraph = page[page.index("- Accepted names") : page.index("## Leaf types")]
    listed = re.findall(r"`([^`]+)`", paragraph[paragraph.index("`unknown-operator`") + 18 :])
    assert [names.strip() for names in listed] == list(MEANINGS.values())


def test_every_name_has_one_meaning() -> None:
    names = [name for operator, others in SYNONYMS.items() for name in (operator, *others)]
    assert len(names) == len(set(names)) == len(OPERATORS)
    assert set(SYNONYMS) == {*MEANINGS, "endsWith"}


VALUES = {"in": ["a"], "notIn": ["a"], "exists": None, "notExists": None}


@pytest.mark.parametrize(
    ("name", "operator"),
    [(name, operator) for operator, names in MEANINGS.items() for name in names.split()]
    + [(operator, operator) for operator in (*MEANINGS, "endsWith")],
)
def test_synonyms_load_as_their_operator(name: str, operator: str) -> None:
    value = VALUES.get(operator, "5")
    rule = rule_of({"type": "identify", "key": "a", "operator": name, "value": value})
    assert isinstance(rule, Test)
    assert rule.operator == operator


@pytest.mark.parametrize("name", ["Equal", "EQUAL", "equal ", "", "=", "like", "between", "not"])
def test_everything_else_is_refused(name: str) -> None:
    document = with_leaf(type="identify", key="a", operator=name, value="5")
    assert errors_of(document)[0] == ("unknown-operator", "audiences[0].nt_rules.operator")

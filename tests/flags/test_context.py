"""From an evaluation context to a visitor: every row of the table in docs/openfeature.md."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from whichvariant.errors import ProfileError
from whichvariant.flags import Visitor, is_plain, on_top_of, visitor_of, with_dates_as_texts


def profile(**attributes: Any) -> dict[str, Any]:
    return visitor_of("v", attributes).profile


def dotted(**attributes: Any) -> dict[str, Any]:
    return visitor_of(
        "v", {name.replace("__", "."): value for name, value in attributes.items()}
    ).profile


def test_ordinary_attributes_are_traits() -> None:
    assert profile(plan="gold", age=3) == {"stableId": "v", "traits": {"plan": "gold", "age": 3}}
    assert profile() == {"stableId": "v"}


def test_objects_of_the_profile() -> None:
    given = {
        "traits": {"plan": "gold"},
        "location": {"city": "Berlin"},
        "session": {"count": 2},
        "stickyVariants": {"e": 1},
    }
    assert profile(**given) == {"stableId": "v", **given}
    assert profile(location=None) == {"stableId": "v"}


def test_dots_lead_into_objects() -> None:
    assert dotted(location__city="Berlin", location__countryCode="DE") == {
        "stableId": "v",
        "location": {"city": "Berlin", "countryCode": "DE"},
    }
    assert dotted(session__landingPage__path="/x") == {
        "stableId": "v",
        "session": {"landingPage": {"path": "/x"}},
    }
    assert dotted(traits__plan="gold", company__size=5) == {
        "stableId": "v",
        "traits": {"plan": "gold", "company": {"size": 5}},
    }
    assert dotted(stickyVariants__e=1) == {"stableId": "v", "stickyVariants": {"e": 1}}


def test_of_two_for_one_the_later_counts() -> None:
    assert dotted(location={"city": "Paris", "region": "x"}, location__city="Berlin") == {
        "stableId": "v",
        "location": {"city": "Berlin", "region": "x"},
    }
    assert dotted(location__city="Berlin", location={"city": "Paris"})["location"] == {
        "city": "Paris"
    }
    assert dotted(company=5, company__size=7)["traits"] == {"company": {"size": 7}}


def test_the_callers_objects_are_not_changed() -> None:
    given = {"traits": {"company": {"name": "x"}}, "plan": "gold", "traits.company.size": 5}
    assert visitor_of("v", given).profile["traits"] == {
        "company": {"name": "x", "size": 5},
        "plan": "gold",
    }
    assert given["traits"] == {"company": {"name": "x"}}


def test_device() -> None:
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
    assert visitor_of("v", {"device": "tablet"}).device == "tablet"
    assert visitor_of("v", {"userAgent": phone}).device == "mobile"
    assert visitor_of("v", {"userAgent": phone, "device": "desktop"}).device == "desktop"
    assert visitor_of("v", {}).device is None
    assert visitor_of("v", {"userAgent": phone}).profile == {"stableId": "v"}


def test_events_are_events() -> None:
    events = [{"type": "page"}]
    visitor = visitor_of("v", {"events": events})
    assert visitor.events == events
    assert visitor.profile == {"stableId": "v"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("location", "Berlin"),
        ("traits", ["x"]),
        ("session", 3),
        ("stickyVariants", "e"),
        ("device", 1),
        ("userAgent", {}),
        ("events", {}),
        ("events", "page"),
    ],
)
def test_what_is_not_what_its_name_says(name: str, value: Any) -> None:
    with pytest.raises(ProfileError) as caught:
        visitor_of("v", {name: value})
    assert caught.value.path == name
    if name == "userAgent":
        with pytest.raises(ProfileError, match="userAgent"):
            visitor_of("v", {"device": "mobile", name: value})


def test_names_and_keys_are_texts() -> None:
    with pytest.raises(ProfileError, match="names of attributes"):
        visitor_of("v", {3: 4})  # type: ignore[dict-item]
    with pytest.raises(ProfileError) as caught:
        visitor_of(3, {})  # type: ignore[arg-type]
    assert caught.value.path == "targetingKey"


def test_what_is_plain() -> None:
    assert is_plain({"plan": "gold"})
    assert is_plain({})
    for name in ("traits", "location", "session", "stickyVariants", "device", "userAgent"):
        assert not is_plain({name: {}})
    assert not is_plain({"events": []})
    assert not is_plain({"a.b": 1})


def test_dates() -> None:
    noon = datetime(2026, 3, 4, 12, 0, 0, 5000, tzinfo=timezone(timedelta(hours=2)))
    assert with_dates_as_texts(
        {"a": noon, "b": [date(2026, 3, 4)], "c": {"d": datetime(2026, 3, 4, tzinfo=UTC)}}
    ) == {
        "a": "2026-03-04T10:00:00.005Z",
        "b": ["2026-03-04"],
        "c": {"d": "2026-03-04T00:00:00.000Z"},
    }
    circle: dict[str, Any] = {}
    circle["x"] = circle
    with pytest.raises(ProfileError, match="nested too deeply"):
        with_dates_as_texts(circle)


def test_on_top_of_who_is_known() -> None:
    stored = Visitor(
        {
            "id": "p",
            "stableId": "s",
            "traits": {"plan": "blue", "age": 3},
            "location": {"city": "Paris"},
        },
        "mobile",
        None,
        [1, 2],
    )
    said = visitor_of("p", {"plan": "gold", "location": {"country": "DE"}, "session.count": 4})
    assert on_top_of(stored, said) == Visitor(
        {
            "id": "p",
            "stableId": "s",
            "traits": {"plan": "gold", "age": 3},
            "location": {"city": "Paris", "country": "DE"},
            "session": {"count": 4},
        },
        "mobile",
        None,
        [1, 2],
    )
    assert on_top_of(stored, visitor_of("p", {"device": "tablet"})).device == "tablet"

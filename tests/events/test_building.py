"""Events that are built here are ones that the package takes; tests/sdk compares the SDK's."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from whichvariant import Engine, clock, events
from whichvariant.errors import EventError
from whichvariant.events import RequestContext
from whichvariant.profiles.events import read_events
from whichvariant.profiles.location import wants_location

AT_MS = 1_793_534_400_000
AT = "2026-11-01T12:00:00.000Z"

CONTEXT = RequestContext(
    url="https://shop.example/tents?utm_campaign=winter&size=2",
    referrer="https://search.example/",
    user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148",
    locale="de-DE",
    title="Tents",
)
PAGE = {
    "path": "/tents",
    "query": {"utm_campaign": "winter", "size": "2"},
    "referrer": "https://search.example/",
    "search": "?utm_campaign=winter&size=2",
    "url": "https://shop.example/tents?utm_campaign=winter&size=2",
}


def all_kinds(context: RequestContext | None) -> list[dict[str, Any]]:
    """One event of every builder."""
    built = [
        events.track("bought", {"price": 9.5}, context=context),
        events.identify("user-7", {"plan": "gold"}, context=context),
        events.identify(context=context),
        events.screen("Home", {"tab": 2}, context=context),
        events.component("hero", context=context),
        events.component(
            "",
            experience_id="experience",
            variant_index=1,
            component_type="Variable",
            view_duration_ms=2000.5,
            view_id="view-1",
            context=context,
        ),
    ]
    return built if context is None else [events.page(context, {"category": "tents"}), *built]


@pytest.mark.parametrize("context", [None, RequestContext(), CONTEXT])
def test_every_event_is_taken(context: RequestContext | None) -> None:
    built = all_kinds(context)
    read = read_events(built, clock.now_ms() + 1)
    assert sorted(event.index for event in read) == list(range(len(built)))
    assert len({event["messageId"] for event in built}) == len(built)
    for event in built:
        assert uuid.UUID(event["messageId"]).version == 4
        assert event["channel"] == ("server" if context is None else "web")
        json.dumps(event, allow_nan=False)


def test_a_page_view_says_which_page() -> None:
    event = events.page(CONTEXT, {"category": "tents", "path": "/elsewhere"})
    assert event["properties"] == {"category": "tents", **PAGE, "title": "Tents"}
    assert event["context"]["page"] == PAGE
    assert event["context"]["campaign"] == {"name": "winter"}
    assert event["context"]["userAgent"] == CONTEXT.user_agent
    assert event["context"]["locale"] == "de-DE"
    assert "location" not in event["context"]


def test_what_is_not_known_is_left_out() -> None:
    event = events.identify("user-7")
    assert event["context"] == {"library": events.LIBRARY}
    assert event["userId"] == "user-7"
    assert event["traits"] == {}
    assert events.component("hero").keys().isdisjoint({"experienceId", "variantIndex", "viewId"})
    empty = events.page(RequestContext())
    assert empty["context"]["page"]["url"] == ""
    assert "userAgent" not in empty["context"]


def test_fields_of_every_event() -> None:
    event = events.track(
        "bought",
        message_id="m-1",
        timestamp=AT_MS,
        anonymous_id="visitor-1",
        channel="mobile",
        location={"city": "Berlin"},
        app={"name": "shop", "version": "2.1"},
        context=RequestContext(url="https://shop.example/", location={"city": "Paris"}),
    )
    assert event["messageId"] == "m-1"
    assert event["timestamp"] == AT
    assert event["anonymousId"] == "visitor-1"
    assert event["channel"] == "mobile"
    assert event["context"]["location"] == {"city": "Berlin"}
    assert event["context"]["app"] == {"name": "shop", "version": "2.1"}


@pytest.mark.parametrize(
    "moment",
    [
        AT_MS,
        AT,
        "2026-11-01T13:00:00+01:00",
        datetime(2026, 11, 1, 12, tzinfo=UTC),
        datetime(2026, 11, 1, 7, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_timestamps(moment: int | str | datetime) -> None:
    assert events.track("x", timestamp=moment)["timestamp"] == AT


def test_the_clock_is_read_once_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: AT_MS)
    assert events.screen("Home")["timestamp"] == AT


NOWHERE = datetime(2026, 11, 1)  # noqa: DTZ001


@pytest.mark.parametrize("moment", ["yesterday", NOWHERE, True, 10**17, -(10**15)])
def test_timestamps_that_are_none(moment: Any) -> None:
    with pytest.raises(EventError) as caught:
        events.track("x", timestamp=moment)
    assert caught.value.path == "timestamp"


def test_no_server_looks_up_where_this_program_runs() -> None:
    """A library of a version before 3.14 asks for just that."""
    read = read_events(all_kinds(CONTEXT), clock.now_ms())
    assert not wants_location(read, ())


def test_the_caller_keeps_what_it_handed_in() -> None:
    properties, traits = {"a": 1}, {"b": 2}
    events.page(CONTEXT, properties)["properties"]["c"] = 3
    events.track("x", properties)["properties"]["c"] = 3
    events.identify("", traits)["traits"]["c"] = 3
    CONTEXT.page["query"]["c"] = "3"
    event = events.page(CONTEXT)
    event["context"]["page"]["query"]["c"] = "3"
    event["context"]["library"]["name"] = "other"
    assert (properties, traits) == ({"a": 1}, {"b": 2})
    assert events.page(CONTEXT)["context"]["page"] == PAGE
    assert events.LIBRARY["name"] != "other"


def test_an_engine_decides_by_them() -> None:
    conditions = {"context_page_path": "/tents", "context_campaign_name": "winter"}
    viewed = {
        "type": "page",
        "count": 1,
        "conditions": [
            {"key": {"id": key}, "operator": "equal", "value": value}
            for key, value in conditions.items()
        ],
    }
    by_phone = {
        "type": "device",
        "conditions": [{"key": {"id": "type"}, "operator": "equal", "value": "mobile"}],
    }
    audience = {
        "nt_audience_id": "a",
        "nt_name": "a",
        "nt_rules": {"any": [{"all": [viewed, by_phone]}]},
    }
    engine = Engine.from_dict(
        {"format": "whichvariant/1", "audiences": [audience], "experiences": []}
    )
    assert engine.preflight(None, [events.page(CONTEXT)]).profile["audiences"] == ["a"]
    elsewhere = RequestContext(url="https://shop.example/", user_agent=CONTEXT.user_agent)
    assert engine.preflight(None, [events.page(elsewhere)]).profile["audiences"] == []

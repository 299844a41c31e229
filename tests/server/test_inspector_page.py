"""The inspector's page, driven in a real browser against a real server."""

from __future__ import annotations

import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from tests.replay import browser as browsing
from tests.server.inspecting import BERLIN_STORE, CHECKOUT, NATIVE, STEPS, planned
from tests.server.inspector_browser import (
    Inspector,
    event_on,
    explained,
    inspecting,
    make_visitor,
    stored,
    words,
)
from tests.server.running import Served, served

from whichvariant import Engine

pytestmark = pytest.mark.sdk

RELOAD_S = 60
TOKEN = "a-token-of-operators-that-nobody-guesses"
JO = "place=shop/main&id=jo@shop.example"

Open = Callable[..., AbstractContextManager[Inspector]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.chromium() as browser:
        yield browser


def configured(folder: pathlib.Path) -> pathlib.Path:
    """A folder of configurations: what is served, and what is planned."""
    shop = folder / "configurations" / "shop"
    shop.mkdir(parents=True)
    (shop / "main.json").write_bytes(NATIVE.read_bytes())
    (shop / "next.json").write_text(json.dumps(planned()))
    return shop.parent


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a visitor."""
    folder = tmp_path_factory.mktemp("shop")
    with served(folder, "--inspector", config=configured(folder)) as server:
        make_visitor(server)
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with an admin token."""
    folder = tmp_path_factory.mktemp("guarded")
    env = {"WHICHVARIANT_ADMIN_TOKEN": TOKEN}
    with served(folder, "--inspector", config=configured(folder), env=env) as server:
        make_visitor(server)
        yield server


@pytest.fixture
def open_page(browser: Any, shop: Served) -> Open:
    """Open the inspector, as `with open_page() as inspector`."""

    def open_it(**options: Any) -> AbstractContextManager[Inspector]:
        return inspecting(browser, shop, **options)

    return open_it


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


# ---- what is shown -------------------------------------------------------------------------------


def test_look_up(open_page: Open, shop: Served) -> None:
    answer = stored(shop, "jo@shop.example")
    with open_page() as inspector:
        page = inspector.page
        inspector.go()
        for key in ("jo@shop.example", answer["profile"]["id"]):
            page.fill("#id", key)
            page.get_by_role("button", name="Look up").click()
            page.locator("#headline h1", has_text=key).wait_for()
            found = explained(shop, "profile", id=key)
            ids = [one["id"] for one in found["explanation"]["experiences"]]
            assert inspector.outcomes() == words(answer, ids)
            assert inspector.numbers() == {
                "selected": len(answer["experiences"]),
                "onVariant": sum(one["variantIndex"] > 0 for one in answer["experiences"]),
                "matched": len(answer["profile"]["audiences"]),
                "changes": len(answer["changes"]),
            }
            values = page.locator("#changes tr[data-key]")
            assert values.evaluate_all("rows => rows.map((one) => one.dataset.key)") == [
                change["key"] for change in answer["changes"]
            ]
            for number, change in enumerate(answer["changes"]):
                shown = json.loads(values.nth(number).locator("td").inner_text())
                assert shown == change["value"]
            said = page.inner_text("#said")
            assert f"{len(answer['experiences'])} of {len(ids)} experiences selected" in said
            assert "jo@shop.example" in page.inner_text("#panel-profile")
        assert page.input_value("#id") == answer["profile"]["id"]
        inspector.check_clean()


def test_every_figure_is_the_servers(open_page: Open, shop: Served) -> None:
    found = explained(shop, "profile", id="jo@shop.example")
    with open_page() as inspector:
        inspector.go(JO)
        inspector.open_all()
        figures = inspector.figures()
        kinds = set()
        for path, value, text in figures:
            exact = at(found, path)
            assert float(value) == exact, path
            digits = len(text.partition(".")[2])
            assert abs(float(text.replace(",", "")) - exact) <= 0.5 * 10**-digits, path
            kinds.add(re.sub(r"\d+", "#", path))
        experiences = found["explanation"]["experiences"]
        for number in range(len(experiences)):
            for part in ("traffic.draw", "traffic.allocation", "traffic.hash", "traffic.hashesIn"):
                assert any(f"experiences.{number}.{part}" in path for path, _, _ in figures)
        assert "counts.#" in kinds
        assert any(kind.endswith("actual") for kind in kinds)


def test_scales_stand_where_the_draws_are(open_page: Open, shop: Served) -> None:
    experiences = explained(shop, "profile", id="jo@shop.example")["explanation"]["experiences"]
    with open_page() as inspector:
        inspector.go(JO)
        inspector.open_all()
        drawn = inspector.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#experiences .line")]
              .map((line) => [line.dataset.id,
                [...line.querySelectorAll(".inside svg[role=img]")].map((svg) => ({
                  needle: svg.querySelector(".needle").getAttribute("x1"),
                  rects: [...svg.querySelectorAll("rect")].map((one) =>
                    [one.getAttribute("x"), one.getAttribute("width")]),
                  label: svg.getAttribute("aria-label"),
                }))]))"""
        )
        for experience in experiences:
            traffic, distribution = drawn[experience["id"]]
            share = experience["traffic"]["allocation"]
            assert traffic["needle"] == f"{experience['traffic']['draw'] * 100:.3f}%"
            assert traffic["rects"][0] == ["0.000%", f"{share * 100:.3f}%"]
            inside = "in" if experience["traffic"]["in"] else "out"
            assert traffic["label"].endswith(f"It is {inside}.")
            assert distribution["needle"] == f"{experience['distribution']['draw'] * 100:.3f}%"
            segments = [
                one for one in experience["distribution"]["segments"] if one["end"] > one["start"]
            ]
            assert distribution["rects"] == [
                [f"{one['start'] * 100:.3f}%", f"{(one['end'] - one['start']) * 100:.3f}%"]
                for one in segments
            ]


def leaves(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    parts = rule.get("any", rule.get("all", [rule["not"]] if "not" in rule else None))
    if parts is None:
        yield rule
        return
    for part in parts:
        yield from leaves(part)


def test_rule_trees(open_page: Open, shop: Served) -> None:
    """Every leaf with what it asks for, what the profile has, and whether that fits."""
    audiences = explained(shop, "profile", id="jo@shop.example")["explanation"]["audiences"]
    with open_page() as inspector:
        inspector.go(JO)
        inspector.open_all()
        matched = inspector.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#audiences .line")]
              .map((line) => [line.dataset.id, [
                line.querySelector("summary .mark").classList.contains("yes"),
                [...line.querySelectorAll(".leaf")].map((leaf) => [
                  leaf.querySelector(".mark").classList.contains("yes"), leaf.textContent])]]))"""
        )
        assert len(matched) == len(audiences)
        for audience in audiences:
            yes, shown = matched[audience["id"]]
            assert yes is audience["matched"]
            expected = list(leaves(audience["rule"]))
            assert [one[0] for one in shown] == [leaf["matched"] for leaf in expected]
            for (_, text), leaf in zip(shown, expected, strict=True):
                assert leaf["attribute"] in text
                if leaf["operand"] is not None:
                    assert json.dumps(leaf["operand"], separators=(",", ":")) in text
                has = "is missing"
                if "actual" in leaf:
                    has = f"is {json.dumps(leaf['actual'], separators=(',', ':'))}"
                assert text.endswith(has)


def test_sticky_choices_are_told(open_page: Open) -> None:
    with open_page() as inspector:
        inspector.go(JO)
        line = inspector.page.locator(f"#experiences [data-id='{STEPS}']")
        line.locator("summary").click()
        assert "the stored variant 2 counts instead of the draw" in line.inner_text()


def test_as_of_an_instant(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        page.locator("#history .line").last.locator("summary").click()
        page.locator("#history").get_by_role("button", name="as of then").last.click()
        inspector.mode("past")
        assert page.input_value("#at") == "2026-03-01T10:00:00.000Z"
        assert page.locator("#history .line").count() == 1
        assert "Location\tunknown" in page.inner_text("#panel-profile") or (
            "unknown" in page.locator("#panel-profile dd").nth(4).inner_text()
        )
        page.get_by_role("button", name="as of now").click()
        inspector.mode("stored")
        assert page.locator("#history .line").count() == 4
        page.fill("#at", "then")
        page.keyboard.press("Enter")
        page.locator("#at-error:visible").wait_for()
        assert page.get_attribute("#at", "aria-invalid") == "true"
        assert page.evaluate("document.activeElement.id") == "at"
        inspector.check_clean(answered=True)


def test_nobody(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go()
        page.fill("#id", "nobody")
        page.keyboard.press("Enter")
        page.locator("#id-error:visible").wait_for()
        assert page.inner_text("#id-error") == "There is no such profile."
        assert page.get_attribute("#id", "aria-invalid") == "true"
        assert page.locator("#found").is_hidden()
        inspector.check_clean(answered=True)


def test_narrowing(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        everything = page.locator("details.line[data-words]").count()
        page.fill("#narrow", "CHECKOUT")
        shown = page.locator("#experiences .line:visible")
        assert shown.evaluate_all("lines => lines.map((one) => one.dataset.id).sort()") == sorted(
            [CHECKOUT, STEPS]
        )
        page.keyboard.press("Escape")
        assert page.locator("details.line[data-words]:visible").count() == everything


# ---- editing -------------------------------------------------------------------------------------


def test_edit(open_page: Open, shop: Served) -> None:
    before = stored(shop, "jo@shop.example")
    found = explained(shop, "profile", id="jo@shop.example")
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        assert inspector.outcomes()[BERLIN_STORE] == "Variant 1"
        inspector.tab("Edit")
        page.fill("#edit-location-city", "Hamburg")
        page.select_option("#edit-device", "desktop")
        page.get_by_role("button", name="Add a trait").click()
        page.keyboard.type("age")
        page.locator(".trait").last.locator("select").select_option("json")
        page.locator(".trait").last.locator("input").last.fill("21")
        inspector.mode("edited")
        profile = {**found["profile"], "location": {**found["profile"]["location"]}}
        profile["location"]["city"] = "Hamburg"
        profile["traits"] = {**profile["traits"], "age": 21}
        wanted = explained(
            shop, "explanation", profile=profile, device="desktop", counts=found["counts"]
        )
        ids = [one["id"] for one in wanted["explanation"]["experiences"]]
        expected = words(wanted["selection"], ids)
        page.wait_for_function(
            "n => document.querySelector('#headline [data-f=selected]').dataset.v === n",
            arg=str(len(wanted["selection"]["experiences"])),
        )
        assert inspector.outcomes() == expected != words(before, ids)
        moved = page.locator("#differences .line[data-id]").evaluate_all(
            "lines => lines.map((one) => one.dataset.id)"
        )
        old = words(before, ids)
        assert [one for one in moved if one in ids] == [
            one for one in ids if expected[one] != old[one]
        ]
        assert "out" in page.locator(f"#differences [data-id='{BERLIN_STORE}']").inner_text()
        # Nothing of it is stored.
        assert stored(shop, "jo@shop.example") == before
        # What was typed last and not explained yet is discarded with the rest.
        page.fill("#edit-location-city", "Bremen")
        page.get_by_role("button", name="Discard the edits").click()
        inspector.mode("stored")
        page.wait_for_timeout(500)
        inspector.mode("stored")
        assert inspector.outcomes() == old
        assert page.locator("#differences").count() == 0
        inspector.tab("Edit")
        assert page.input_value("#edit-location-city") == "Berlin"
        inspector.check_clean()


def test_edit_as_json(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        inspector.tab("Edit")
        page.locator(".editor").get_by_role("button", name="JSON", exact=True).click()
        profile = json.loads(page.input_value("#edit-json"))
        page.fill("#edit-json", "{")
        page.locator("#edit-error:visible").wait_for()
        assert page.inner_text("#edit-error").startswith("The profile is no JSON")
        page.fill("#edit-json", json.dumps({**profile, "location": {"city": 3}, "stableId": 4}))
        page.locator("#edit-error", has_text="stableId").wait_for()
        assert page.get_attribute("#edit-json", "aria-invalid") == "true"
        page.fill("#edit-json", json.dumps({"stableId": "somebody-else"}))
        inspector.mode("edited")
        page.locator("#edit-error").wait_for(state="hidden")
        assert inspector.outcomes()[BERLIN_STORE] == "out"
        inspector.check_clean(answered=True)


def test_wrong_values_are_marked_where_they_are(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        inspector.tab("Edit")
        page.fill("#edit-count-0", "-3")
        page.locator("#edit-error:visible").wait_for()
        page.fill("#edit-count-0", "1")
        inspector.mode("edited")
        row = page.locator(".trait").first
        row.locator("select").select_option("json")
        row.locator("input").last.fill("{nonsense")
        assert row.locator("input").last.get_attribute("aria-invalid") == "true"
        assert "No JSON" in row.inner_text()
        inspector.check_clean()


def test_make_one_up(open_page: Open, shop: Served) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go()
        page.get_by_role("button", name="Make one up").click()
        inspector.mode("madeUp")
        page.fill("#edit-stableId", "visitor-3")
        page.fill("#edit-location-city", "Berlin")
        page.locator("#headline h1", has_text="visitor-3").wait_for()
        page.locator(f"#experiences .chosen[data-id='{BERLIN_STORE}']").wait_for()
        profile = json.loads(page.locator("#panel-profile pre").text_content())
        wanted = explained(shop, "explanation", profile=profile, device="unknown")
        ids = [one["id"] for one in wanted["explanation"]["experiences"]]
        assert inspector.outcomes() == words(wanted["selection"], ids)
        inspector.check_clean()


# ---- events --------------------------------------------------------------------------------------


def test_preflight_and_for_real(browser: Any, shop: Served) -> None:
    alias = "kim@shop.example"
    first = make_visitor(shop, alias)
    with inspecting(browser, shop) as inspector:
        page = inspector.page
        inspector.go(f"place=shop/main&id={alias}")
        inspector.tab("Event")
        page.get_by_role("button", name="identify").click()
        event = event_on(inspector)
        assert event["userId"] == alias
        event["traits"] = {"plan": "free", "membership": {"tier": "none"}}
        event["context"]["location"] = {"city": "Sydney", "countryCode": "AU", "continent": "OC"}
        page.fill("#event-json", json.dumps(event))
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        supposed = inspector.outcomes()
        assert supposed[BERLIN_STORE] == "out"
        assert "nothing is stored" in page.inner_text("#mode")
        assert page.locator(f"#differences [data-id='{BERLIN_STORE}']").count() == 1
        assert stored(shop, alias)["profile"] == first["profile"]
        sent = [one for one in inspector.requests if "/v2/" in one.url]
        assert [one.url.rpartition("?")[2] for one in sent] == ["type=preflight"]
        # Not without being asked once more.
        page.get_by_role("button", name="Send for real…").click()
        page.keyboard.press("Escape")
        page.locator("#sure").wait_for(state="hidden")
        page.get_by_role("button", name="Send for real…").click()
        page.locator("#sure").get_by_role("button", name="Cancel").click()
        assert stored(shop, alias)["profile"] == first["profile"]
        page.get_by_role("button", name="Send for real…").click()
        assert alias in page.inner_text("#sure")
        page.locator("#sure").get_by_role("button", name="Send for real").click()
        inspector.mode("sent")
        answer = stored(shop, alias)
        assert answer["profile"]["traits"]["plan"] == "free"
        assert inspector.outcomes() == words(answer, list(supposed)) == supposed
        assert page.locator(f"#differences [data-id='{BERLIN_STORE}']").count() == 1
        assert page.locator("#history .line").count() == 5
        # The same once more would be taken for a repetition.
        assert event_on(inspector)["messageId"] != event["messageId"]
        page.get_by_role("button", name="Done").click()
        inspector.mode("stored")
        inspector.check_clean()
        authorized = [one for one in sent if "authorization" in one.headers]
        assert authorized == []


@pytest.mark.parametrize("kind", ["page", "track", "identify", "screen", "component"])
def test_events_to_begin_with_are_right(open_page: Open, shop: Served, kind: str) -> None:
    """What is filled in is an event that the API takes as it is."""
    before = stored(shop, "jo@shop.example")
    with open_page() as inspector:
        page = inspector.page
        inspector.go(f"{JO}&tab=event")
        page.get_by_role("button", name=kind, exact=True).click()
        event = event_on(inspector)
        assert event["type"] == kind
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        assert f"to this {kind} event" in page.inner_text("#mode")
        assert page.locator("#mode .warn").all_inner_texts() == []
        if kind == "track":
            assert event["event"] == "Product Added"
            counted = page.locator("#panel-profile [data-f='counts.1']").text_content()
            assert counted == "2"
        page.get_by_role("button", name="Back to the stored").click()
        inspector.mode("stored")
        assert stored(shop, "jo@shop.example") == before
        inspector.check_clean()


def test_answers_that_the_reasons_do_not_fit_are_told(open_page: Open) -> None:
    """A configuration may be replaced between the API's answer and its explanation."""
    with open_page() as inspector:
        page = inspector.page

        def another(route: Any) -> None:
            answer = route.fetch().json()
            del answer["data"]["experiences"][0]
            route.fulfill(json=answer)

        page.route("**/v2/**", another)
        inspector.go(f"{JO}&tab=event")
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        assert "The API's answer was another one" in page.inner_text("#mode .warn")


def test_wrong_events_are_refused_beside_them(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(f"{JO}&tab=event")
        event = event_on(inspector)
        page.fill("#event-json", "[")
        page.get_by_role("button", name="Preflight").click()
        page.locator("#event-error:visible").wait_for()
        assert page.inner_text("#event-error").startswith("This is no JSON")
        del event["properties"]["url"]
        page.fill("#event-json", json.dumps([event]))
        assert page.locator("#event-error").is_hidden()
        page.get_by_role("button", name="Preflight").click()
        page.locator("#event-error:visible").wait_for()
        assert page.inner_text("#event-error").startswith("events[0].properties.url: ")
        assert page.get_attribute("#event-json", "aria-invalid") == "true"
        assert page.get_attribute("#mode", "data-mode") == "stored"
        inspector.check_clean(answered=True)


def test_an_event_of_somebody_new(open_page: Open, shop: Served) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go()
        page.get_by_role("button", name="Make one up").click()
        inspector.mode("madeUp")
        page.fill("#edit-location-city", "Berlin")
        page.locator(f"#experiences .chosen[data-id='{BERLIN_STORE}']").wait_for()
        inspector.tab("Event")
        assert event_on(inspector)["context"]["location"] == {"city": "Berlin"}
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        key = page.inner_text("#headline h1")
        page.get_by_role("button", name="Send for real…").click()
        page.locator("#sure").get_by_role("button", name="Send for real").click()
        inspector.mode("sent")
        new = page.inner_text("#headline h1")
        assert new != key
        answer = stored(shop, new)
        assert answer["profile"]["location"]["city"] == "Berlin"
        assert inspector.outcomes() == words(answer, list(inspector.outcomes()))
        assert f"id={new}" in page.url
        inspector.check_clean()


# ---- comparing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["environment", "text", "file"])
def test_compare(open_page: Open, shop: Served, way: str) -> None:
    found = explained(shop, "profile", id="jo@shop.example")
    other = {"organization": "shop", "environment": "next"}
    compared = explained(
        shop,
        "comparison",
        profile=found["profile"],
        device=found["device"],
        counts=found["counts"],
        stored=found["profile"]["id"],
        other=other,
    )
    ids = [one["id"] for one in found["explanation"]["experiences"]]
    served_words = words(compared["served"]["selection"], ids)
    other_words = words(compared["other"]["selection"], ids)
    with open_page() as inspector:
        page = inspector.page
        inspector.go(f"{JO}&tab=compare")
        if way != "environment":
            page.select_option("#compare-place", label="a document")
        if way == "text":
            page.fill("#compare-text", json.dumps(planned()))
        if way == "file":
            document = json.dumps(planned()).encode()
            file = {"name": "next.json", "mimeType": "application/json", "buffer": document}
            page.set_input_files("#compare-file", file)
            page.locator("#panel-compare", has_text="next.json").wait_for()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#comparison").wait_for()
        assert page.evaluate("document.activeElement.id") == "comparison-title"
        lines = page.evaluate(
            """() => [...document.querySelectorAll("#comparison .line")].map((line) =>
              [line.dataset.id, ...[...line.querySelectorAll("summary .pill")]
                .map((one) => one.textContent)])"""
        )
        expected = [
            [one, served_words[one], other_words[one]]
            for one in ids
            if served_words[one] != other_words[one]
        ]
        assert [line for line in lines if line[0] in ids] == expected
        assert [BERLIN_STORE, "Variant 1", "Baseline"] in lines
        digest = compared["other"]["explanation"]["digest"]
        assert digest[:12] in page.inner_text("#comparison")
        # What is served stays what the lists show.
        assert inspector.outcomes() == served_words
        page.get_by_role("button", name="Close the comparison").click()
        assert page.locator("#comparison").count() == 0
        inspector.check_clean()


def test_what_is_no_configuration(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(f"{JO}&tab=compare")
        page.select_option("#compare-place", label="a document")
        page.get_by_role("button", name="Compare", exact=True).click()
        assert page.locator("#compare-error").is_visible()
        for text in ("{", "[1, 2]", '{"format": "whichvariant/1", "experiences": 3}'):
            page.fill("#compare-text", text)
            assert page.locator("#compare-error").is_hidden()
            page.get_by_role("button", name="Compare", exact=True).click()
            page.locator("#compare-error:visible").wait_for()
            assert page.inner_text("#compare-error").startswith("configuration: ")
        inspector.check_clean(answered=True)


# ---- who may look --------------------------------------------------------------------------------


def test_the_token(browser: Any, guarded: Served) -> None:
    with inspecting(browser, guarded) as inspector:
        page = inspector.page
        page.goto(f"{guarded.url}/inspector#{JO}&tab=compare")
        page.locator("#token").wait_for()
        assert page.locator("#inspector").is_hidden()
        page.keyboard.type("\u20ac")
        page.keyboard.press("Enter")
        assert page.inner_text("#token-error") == "No header can carry such characters."
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        page.locator("#token-error", has_text="admin token").wait_for()
        assert page.input_value("#token") == ""
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#headline h1", has_text="jo@shop.example").wait_for()
        assert page.get_by_role("tab", name="Compare").get_attribute("aria-selected") == "true"
        page.reload()
        page.locator("#headline h1", has_text="jo@shop.example").wait_for()
        kept = page.evaluate(
            "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        )
        assert kept == [[TOKEN], [], ""]
        assert all(TOKEN not in request.url for request in inspector.requests)
        inspector.tab("Event")
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        for request in inspector.requests:
            carries = TOKEN in request.headers.get("authorization", "")
            if "/inspector/data/" not in request.url:
                assert not carries, "the API knows no token, so it gets none"
        page.get_by_role("button", name="Sign out").click()
        page.locator("#token:visible").wait_for()
        assert "jo@" not in page.url
        assert page.evaluate("Object.values(sessionStorage)") == []
        assert "Berlin" not in page.content()
        inspector.check_clean(answered=True)


def test_a_token_that_ends(browser: Any, guarded: Served) -> None:
    """Whoever is signed out in between is asked again, and stays where they were."""
    with inspecting(browser, guarded) as inspector:
        page = inspector.page
        page.goto(f"{guarded.url}/inspector#{JO}")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.locator("#headline h1").wait_for()
        page.route("**/inspector/data/profile", lambda route: route.fulfill(
            status=401, json={"message": "this needs the admin token", "error": {"code": "x"}}
        ))  # fmt: skip
        page.get_by_role("button", name="Look up").click()
        page.locator("#token:visible").wait_for()
        assert page.locator("#inspector").is_hidden()
        page.unroute("**/inspector/data/profile")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.locator("#headline h1", has_text="jo@shop.example").wait_for()


def test_a_server_that_is_gone(browser: Any, tmp_path: pathlib.Path) -> None:
    with (
        served(tmp_path, "--inspector", config=configured(tmp_path)) as server,
        inspecting(browser, server) as inspector,
    ):
        make_visitor(server)
        inspector.go(JO)
        server.kill()
        inspector.page.get_by_role("button", name="Look up").click()
        inspector.page.locator("#id-error:visible").wait_for()
        assert inspector.page.inner_text("#id-error") == "The server does not answer."


def test_a_configuration_that_is_replaced(browser: Any, tmp_path: pathlib.Path) -> None:
    folder = configured(tmp_path)
    with (
        served(tmp_path, "--inspector", "--reload-s", "0.2", config=folder) as server,
        inspecting(browser, server) as inspector,
    ):
        make_visitor(server)
        page = inspector.page
        inspector.go(JO)
        before = page.locator("#panel-profile .counters li").count()
        (folder / "shop" / "main.json").write_text(json.dumps(planned()))
        digest = Engine.from_dict(planned()).digest
        until = time.monotonic() + RELOAD_S
        while explained(server, "profile", id="jo@shop.example")["explanation"]["digest"] != digest:
            assert time.monotonic() < until, "the configuration was not reloaded"
            page.wait_for_timeout(100)
        page.get_by_role("button", name="Look up").click()
        page.wait_for_function(
            "n => document.querySelectorAll('#panel-profile .counters li').length > n", arg=before
        )
        inspector.tab("Edit")
        page.fill("#edit-count-0", "1")
        inspector.mode("edited")
        inspector.check_clean()

"""The inspector's page for everybody: by keyboard, on a phone, in light and dark, for axe, and
whatever profiles and configurations say."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from tests.replay import browser as browsing
from tests.server.events import event, identify
from tests.server.inspecting import CHECKOUT, NATIVE, planned
from tests.server.inspector_browser import Inspector, inspecting, make_visitor, profiles
from tests.server.running import Served, served

pytestmark = pytest.mark.sdk

TOKEN = "a-token-of-operators-that-nobody-guesses"
JO = "place=shop/main&id=jo@shop.example"
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    '" onmouseover="alert(3)" x="',
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd",
    "مرحبا 123",
    "👩‍👩‍👧‍👦 e\u0301",
    "bell\x07 esc\x1b[31m",
    "{{7*7}} ${alert(5)} javascript:alert(6)",
    "no-break-" + "x" * 3000,
    "  \n\t ",
    "__proto__",
    "constructor",
]

Open = Callable[..., AbstractContextManager[Inspector]]


def configured(folder: pathlib.Path, served_one: Any = None) -> pathlib.Path:
    shop = folder / "configurations" / "shop"
    shop.mkdir(parents=True)
    text = NATIVE.read_text() if served_one is None else json.dumps(served_one)
    (shop / "main.json").write_text(text)
    (shop / "next.json").write_text(json.dumps(planned()))
    return shop.parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shop")
    with served(folder, "--inspector", config=configured(folder)) as server:
        make_visitor(server)
        yield server


@pytest.fixture
def open_page(browser: Any, shop: Served) -> Open:
    def open_it(**options: Any) -> AbstractContextManager[Inspector]:
        return inspecting(browser, shop, **options)

    return open_it


# ---- by keyboard ---------------------------------------------------------------------------------


def focused(page: Any) -> str:
    """The element with the focus: its id, or else its text."""
    found: str = page.evaluate(
        "document.activeElement.id || document.activeElement.textContent.trim()"
    )
    return found


def press_until(page: Any, key: str, wanted: str, most: int = 40) -> None:
    for _ in range(most):
        page.keyboard.press(key)
        if focused(page) == wanted:
            return
    raise AssertionError(f"{key} does not lead to {wanted!r}")


def test_by_keyboard_alone(open_page: Open) -> None:
    """Look up, skip to the results, unfold, edit, preflight, confirm and cancel, compare."""
    with open_page() as inspector:
        page = inspector.page
        inspector.go()
        assert focused(page) == "id"
        page.keyboard.type("jo@shop.example")
        page.keyboard.press("Enter")
        inspector.mode("stored")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        for _ in range(20):
            if page.evaluate("document.activeElement.className") == "skip":
                break
            page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert focused(page) == "results"
        assert "id=jo@shop.example" in page.url.replace("%40", "@")
        press_until(page, "Tab", "narrow")
        page.keyboard.type("checkout: words")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        line = page.locator(f"#experiences [data-id='{CHECKOUT}']")
        assert line.evaluate("one => one.firstChild === document.activeElement")
        page.keyboard.press("Enter")
        assert line.get_by_text("In the traffic").is_visible()
        # The focus is to be seen.
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("/")
        assert focused(page) == "id"
        press_until(page, "Tab", "tab-profile")
        page.keyboard.press("ArrowRight")
        assert focused(page) == "tab-edit"
        assert page.locator("#panel-edit").is_visible()
        page.keyboard.press("Tab")
        press_until(page, "Tab", "edit-stableId")
        page.keyboard.press("/")
        assert focused(page) == "edit-stableId", "in a field it is a character"
        inspector.mode("edited")
        press_until(page, "Shift+Tab", "tab-edit")
        page.keyboard.press("End")
        assert focused(page) == "tab-compare"
        page.keyboard.press("ArrowRight")
        assert focused(page) == "tab-profile"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert focused(page) == "tab-event"
        press_until(page, "Tab", "event-json")
        press_until(page, "Tab", "Preflight")
        page.keyboard.press("Enter")
        inspector.mode("preflight")
        press_until(page, "Tab", "Send for real…")
        page.keyboard.press("Enter")
        page.locator("#sure").wait_for()
        assert focused(page) == "Cancel", "the harmless one comes first"
        page.keyboard.press("Tab")
        assert focused(page) == "Send for real"
        page.keyboard.press("Escape")
        page.locator("#sure").wait_for(state="hidden")
        assert focused(page) == "Send for real…"
        press_until(page, "Shift+Tab", "tab-event")
        page.keyboard.press("ArrowRight")
        press_until(page, "Tab", "compare-place")
        press_until(page, "Tab", "Compare")
        page.keyboard.press("Enter")
        page.locator("#comparison-title:focus").wait_for()
        inspector.check_clean()


def test_what_happens_is_said(open_page: Open) -> None:
    with open_page() as inspector:
        page = inspector.page
        inspector.go(JO)
        said = page.locator("#said")
        assert said.get_attribute("role") == "status"
        before = said.text_content()
        assert "experiences selected" in before
        inspector.tab("Edit")
        page.fill("#edit-location-city", "Hamburg")
        inspector.mode("edited")
        assert said.text_content() != before
        assert "differ" in said.text_content()
        assert page.locator("[role=alert]:visible").count() == 0


def test_addresses(open_page: Open, shop: Served) -> None:
    """What is shown can be sent to somebody, and the browser's way back is one."""
    make_visitor(shop, "lou@shop.example")
    with open_page() as inspector:
        page = inspector.page
        inspector.go(f"{JO}&tab=compare")
        assert page.locator("#panel-compare").is_visible()
        page.fill("#id", "lou@shop.example")
        page.keyboard.press("Enter")
        page.locator("#headline h1", has_text="lou@").wait_for()
        with open_page() as other:
            other.page.goto(page.url)
            other.page.locator("#headline h1", has_text="lou@").wait_for()
            assert other.page.locator("#panel-compare").is_visible()
        page.go_back()
        page.locator("#headline h1", has_text="jo@").wait_for()
        assert page.input_value("#id") == "jo@shop.example"
        page.select_option("#environment", "shop/next")
        page.locator("#id-error:visible").wait_for()
        assert "place=shop/next" in page.url
        assert page.locator("#found").is_hidden(), "nobody of the other environment is shown"
        # Traits and the like are never in the address.
        for part in ("Berlin", "gold", "visit"):
            assert part not in page.url


# ---- how it looks --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_page_scrolls_sideways(width: int, open_page: Open) -> None:
    with open_page(viewport={"width": width, "height": 740}) as inspector:
        page = inspector.page
        inspector.go()
        assert inspector.widths() == (width, width)
        inspector.go(JO)
        for tab in ("Profile", "Edit", "Event", "Compare"):
            inspector.tab(tab)
            inspector.open_all()
            assert inspector.widths() == (width, width), tab
        inspector.tab("Edit")
        page.fill("#edit-location-city", "Hamburg")
        inspector.mode("edited")
        inspector.tab("Compare")
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#comparison-title:focus").wait_for()
        inspector.open_all()
        assert inspector.widths() == (width, width)
        # Nothing is cut off at the sides, either, and there is room for fingers.
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] >= 24


def test_light_and_dark_and_on_paper(open_page: Open) -> None:
    found = {}
    background = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    for scheme in ("light", "dark"):
        with open_page(color_scheme=scheme) as inspector:
            inspector.go(JO)
            found[scheme] = inspector.page.evaluate(background)
            inspector.page.emulate_media(media="print")
            assert min(inspector.page.evaluate(background)) > 240
            assert inspector.page.locator("#look-up").is_hidden()
            assert inspector.page.locator("#experiences").is_visible()
    assert min(found["light"]) > 240
    assert max(found["dark"]) < 40


def test_nothing_moves_for_who_does_not_want_it(open_page: Open) -> None:
    with open_page(reduced_motion="reduce") as inspector:
        inspector.go(JO)
        moving = inspector.page.evaluate(
            """() => [...document.querySelectorAll("*")].filter((one) =>
              [null, "::before"].some((part) => getComputedStyle(one, part).transitionDuration
                .split(", ").some((time) => parseFloat(time) > 0))).length"""
        )
        assert moving == 0


# ---- axe -----------------------------------------------------------------------------------------


def findings(page: Any) -> list[tuple[str, str, list[str]]]:
    result = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in result["violations"]
    ]


def serious(page: Any) -> list[tuple[str, str, list[str]]]:
    return [one for one in findings(page) if one[1] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_accessible_to_axe(scheme: str, width: int, open_page: Open) -> None:
    source = browsing.axe()
    size = {"width": width, "height": 900}
    # The page's policy would not let axe in.
    with open_page(color_scheme=scheme, viewport=size, bypass_csp=True) as inspector:
        page = inspector.page

        def check(what: str) -> None:
            page.wait_for_timeout(250)
            if not page.evaluate("'axe' in window"):
                page.evaluate(source)
            assert serious(page) == [], what

        inspector.go()
        check("welcome")
        page.fill("#id", "nobody")
        page.keyboard.press("Enter")
        page.locator("#id-error:visible").wait_for()
        check("nobody")
        inspector.go(JO)
        inspector.open_all()
        check("profile")
        inspector.tab("Edit")
        page.fill("#edit-location-city", "Hamburg")
        page.get_by_role("button", name="Add a trait").click()
        inspector.mode("edited")
        page.fill("#edit-count-0", "-1")
        inspector.open_all()
        check("edit")
        inspector.tab("Event")
        page.get_by_role("button", name="Preflight").click()
        inspector.mode("preflight")
        check("preflight")
        page.get_by_role("button", name="Send for real…").click()
        page.locator("#sure").wait_for()
        check("sure")
        page.keyboard.press("Escape")
        inspector.tab("Compare")
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#comparison-title:focus").wait_for()
        inspector.open_all()
        check("compare")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_is_accessible_to_axe(scheme: str, browser: Any, tmp_path: pathlib.Path) -> None:
    source = browsing.axe()
    env = {"WHICHVARIANT_ADMIN_TOKEN": TOKEN}
    options = {"color_scheme": scheme, "bypass_csp": True}
    with (
        served(tmp_path, "--inspector", env=env) as server,
        inspecting(browser, server, **options) as inspector,
    ):
        page = inspector.page
        page.goto(f"{server.url}/inspector")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.locator("#token-error:visible").wait_for()
        page.evaluate(source)
        assert findings(page) == []


# ---- whatever profiles and configurations say ----------------------------------------------------


def hostile() -> dict[str, Any]:
    """A configuration whose names are markup, orders of direction, and longer than a line."""
    configuration: dict[str, Any] = json.loads(NATIVE.read_text())
    for number, audience in enumerate(configuration["audiences"]):
        audience["nt_name"] = HOSTILE[number % len(HOSTILE)]
    for number, experience in enumerate(configuration["experiences"]):
        experience["nt_name"] = HOSTILE[-number % len(HOSTILE)]
        for component in experience["nt_config"].get("components", []):
            if component.get("type") == "InlineVariable" and component["valueType"] == "String":
                for one in [component["baseline"], *component["variants"]]:
                    one["value"] = HOSTILE[number % len(HOSTILE)]
    return configuration


@pytest.mark.parametrize("width", [360, 1280])
def test_names_are_text_whatever_they_are(width: int, browser: Any, tmp_path: pathlib.Path) -> None:
    folder = configured(tmp_path, hostile())
    size = {"width": width, "height": 800}
    with (
        served(tmp_path, "--inspector", config=folder) as server,
        inspecting(browser, server, viewport=size) as inspector,
    ):
        traits = {one.strip() or "blank": HOSTILE for one in HOSTILE if len(one) < 100}
        events = [
            identify(HOSTILE[1], **traits),
            event("track", event=HOSTILE[0], properties={"x": HOSTILE}),
            event("screen", properties={"name": HOSTILE[8]}),
        ]
        answer = httpx.post(profiles(server), json={"events": events})
        assert answer.status_code == 200, answer.text
        page = inspector.page
        inspector.go("place=shop/main&id=" + answer.json()["data"]["profile"]["id"])
        inspector.open_all()
        assert HOSTILE[1] in page.inner_text("#panel-profile")
        for tab in ("Edit", "Event", "Compare"):
            inspector.tab(tab)
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#comparison-title:focus").wait_for()
        inspector.open_all()
        assert inspector.widths() == (width, width)
        text = page.inner_text("body")
        assert HOSTILE[0] in text
        assert "\u202e" not in text
        assert "\\u202e" in text
        assert page.locator("#results img, #results script, [onmouseover]").count() == 0
        inspector.tab("Edit")
        page.get_by_role("button", name="JSON", exact=True).click()
        # Nothing is lost on the way through the form, whatever it is called.
        edited = json.loads(page.input_value("#edit-json"))
        assert set(edited["traits"]) == set(traits)
        inspector.check_clean()


def test_a_configuration_without_anything(browser: Any, tmp_path: pathlib.Path) -> None:
    empty = {"format": "whichvariant/1", "scheme": "xxh64", "audiences": [], "experiences": []}
    folder = configured(tmp_path, empty)
    with (
        served(tmp_path, "--inspector", config=folder) as server,
        inspecting(browser, server) as inspector,
    ):
        make_visitor(server)
        inspector.go(JO)
        assert inspector.numbers() == {"selected": 0, "onVariant": 0, "matched": 0, "changes": 0}
        for tab in ("Edit", "Event", "Compare"):
            inspector.tab(tab)
        page = inspector.page
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#comparison-title:focus").wait_for()
        inspector.check_clean()

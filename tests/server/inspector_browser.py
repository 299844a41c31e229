"""The inspector in a real browser: what was asked for, what went wrong, and what it shows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
from tests.server.inspecting import past
from tests.server.running import Served

PLACE = {"organization": "shop", "environment": "main"}

# Whatever the page's policy had to stop.
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""
# The browser's own words for an answer that is an error: a page cannot keep it from saying so.
_ANSWERED = "Failed to load resource: the server responded with a status of"


class Inspector:
    """The page, opened."""

    def __init__(self, page: Any, server: Served) -> None:
        self.page = page
        self.server = server
        self.requests: list[Any] = []
        self.complaints: list[str] = []
        page.on("request", self._requested)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))

    def _requested(self, request: Any) -> None:
        self.requests.append(request)

    def go(self, address: str = "") -> None:
        """Open the page, with what stands after ``#``, and wait for it."""
        # From elsewhere: the same page with another fragment would not be loaded again.
        self.page.goto("about:blank")
        self.page.goto(f"{self.server.url}/inspector#{address}")
        shown = "#headline h1" if "id=" in address else "#welcome h2"
        self.page.locator(shown).wait_for()

    def tab(self, name: str) -> None:
        """Choose a tab."""
        self.page.get_by_role("tab", name=name).click()

    def mode(self, name: str) -> None:
        """Wait until the page shows this."""
        self.page.locator(f"#mode[data-mode={name}]").wait_for()

    def open_all(self) -> None:
        """Unfold everything."""
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")

    def outcomes(self) -> dict[str, str]:
        """What stands beside every experience."""
        found: dict[str, str] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#experiences .line")]
                .map((line) => [line.dataset.id, line.querySelector(".pill").textContent]))"""
        )
        return found

    def numbers(self) -> dict[str, int]:
        """The great figures of the headline."""
        found: dict[str, int] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#headline [data-f]")]
                .map((one) => [one.dataset.f, Number(one.dataset.v)]))"""
        )
        return found

    def figures(self) -> list[tuple[str, str, str]]:
        """(path in the data, value, text) of every figure below the headline."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll(".columns [data-f]")]
                .map((one) => [one.dataset.f, one.dataset.v, one.textContent])"""
        )
        return [tuple(one) for one in found]

    def widths(self) -> tuple[int, int]:
        """How wide the page is, and how much of that one sees."""
        found = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return found[0], found[1]

    def check_clean(self, *, answered: bool = False) -> None:
        """Nothing went wrong, nothing was stopped, and nobody else was asked anything.

        ``answered``: the server answered something with an error, which the browser mentions.
        """
        said = [one for one in self.complaints if not (answered and one.startswith(_ANSWERED))]
        assert said == []
        assert self.page.evaluate("window.violations") == []
        others = [
            one.url
            for one in self.requests
            if not one.url.startswith((f"{self.server.url}/", "about:blank"))
        ]
        assert others == []


@contextlib.contextmanager
def inspecting(browser: Any, server: Served, **options: Any) -> Iterator[Inspector]:
    """A browser of its own, at a server's inspector."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    try:
        context.add_init_script(_WATCH)
        context.set_default_timeout(15_000)
        yield Inspector(context.new_page(), server)
    finally:
        context.close()


def profiles(server: Served) -> str:
    """Where the API's profiles are."""
    return f"{server.url}/v2/organizations/shop/environments/main/profiles"


def make_visitor(server: Served, alias: str = "jo@shop.example") -> dict[str, Any]:
    """Store the visitor with a past under a name; what the API answers."""
    events = past()
    for number, event in enumerate(events):
        event["messageId"] = f"{alias}-{number}"
        if event["type"] == "identify":
            event["userId"] = alias
    answer = httpx.post(profiles(server), json={"events": events})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def stored(server: Served, key: str) -> dict[str, Any]:
    """What the API says of a profile."""
    answer = httpx.get(f"{profiles(server)}/{key}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def explained(server: Served, path: str, **body: Any) -> dict[str, Any]:
    """What the inspector's data says."""
    answer = httpx.post(f"{server.url}/inspector/data/{path}", json={**PLACE, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def words(answer: dict[str, Any], all_ids: list[str]) -> dict[str, str]:
    """What has to stand beside every experience, by the API's answer."""
    chosen = {one["experienceId"]: one["variantIndex"] for one in answer["experiences"]}
    return {key: _word(chosen.get(key)) for key in all_ids}


def _word(index: int | None) -> str:
    if index is None:
        return "out"
    return f"Variant {index}" if index else "Baseline"


def event_on(inspector: Inspector) -> dict[str, Any]:
    """The event in the form."""
    found: dict[str, Any] = json.loads(inspector.page.input_value("#event-json"))
    return found

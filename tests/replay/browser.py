"""A real browser, without a screen and without a network, for the tests of the page."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.sdk.npm import unavailable

HERE = pathlib.Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "page"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
INSTALL_SECONDS = 300


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, with an empty profile of its own."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        unavailable("Chromium is not installed (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        # Chromium is started with a new, empty user-data-dir each time.
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def axe() -> str:
    """The source of axe-core, installed once, and again whenever package.json here changes."""
    npm = shutil.which("npm")
    if npm is None:
        unavailable("axe-core needs npm")
    assert npm is not None
    wanted = (HERE / "package.json").read_text()
    installed = CACHE / "installed.json"
    if not installed.exists() or installed.read_text() != wanted:
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        (CACHE / "package.json").write_text(wanted)
        finished = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=CACHE,
            capture_output=True,
            encoding="utf-8",
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if finished.returncode != 0:
            unavailable(f"axe-core could not be installed: {finished.stderr[-300:]}")
        installed.write_text(wanted)
    return (CACHE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Opened:
    """A page in the browser, and what it did that it should not."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def figures(self) -> list[tuple[str, str, str]]:
        """(path in the report, value for programs, text for people) of every figure."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll("[data-f]")].map((element) => {
                const path = [];
                const around = element.closest("[data-at]");
                if (around) path.push(around.dataset.at);
                path.push(element.dataset.f);
                return [path.join("."), element.dataset.v, element.textContent];
            })"""
        )
        return [tuple(one) for one in found]


@contextmanager
def opened(browser: Any, html: str, folder: pathlib.Path, **options: Any) -> Iterator[Opened]:
    """Write a page to a file and open it from there, with no network at all."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_offline(True)
    try:
        page = context.new_page()
        result = Opened(page, path.as_uri())
        page.on("request", lambda request: result.requests.append(request.url))
        page.on("console", lambda message: result.complaints.append(message.text))
        page.on("pageerror", lambda error: result.complaints.append(str(error)))
        page.on("dialog", lambda dialog: result.complaints.append(f"dialog {dialog.message}"))
        page.goto(result.address)
        yield result
    finally:
        context.close()

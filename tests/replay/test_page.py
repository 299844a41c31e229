"""The page says what the report says: read in a real browser."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from replay import browser as browsing
from replay.conftest import NOW_MS
from whichvariant.replay import replay
from whichvariant.replay.page import render

MOST_BYTES = 5_000_000
HOSTILE = [
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)" x="',
    "'><svg onload=alert(4)>",
    "&lt;b&gt; & <b>bold</b>",
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd",
    "مرحبا 123",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "nul\x00 bell\x07 esc\x1b[31m \ud800",
    "]]> --> <!-- {{7*7}} ${alert(5)} javascript:alert(6)",
    "no-break-" + "x" * 5000,
    "  \n\t ",
]

Report = dict[str, Any]
Open = Callable[..., AbstractContextManager[browsing.Opened]]


@pytest.fixture(scope="module")
def browser():
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser, tmp_path) -> Open:
    """Open a report, as `with open_page(report) as opened`."""

    def open_it(report: Report, **options: Any) -> AbstractContextManager[browsing.Opened]:
        return browsing.opened(browser, render(report), tmp_path, **options)

    return open_it


@pytest.fixture(scope="module")
def shop(old, new, records, tmp_path_factory) -> Report:
    """The shop against the planned one, with one broken line, and two limits."""
    path = tmp_path_factory.mktemp("page") / "profiles.ndjson"
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("\n".join([*lines, "{broken", lines[0]]) + "\n")
    names = ("live.json", "next.json")
    report: Report = replay(old, new, path, now=NOW_MS, names=names).to_dict()
    moved = report["visitors"]["moved"] / report["visitors"]["counted"]
    report["limits"] = [
        {"limit": "moved>1%", "subject": "moved", "value": moved, "exceeded": True},
        {"limit": "srm<0.0001", "subject": "srm", "value": 0.2, "exceeded": False},
    ]
    return report


@pytest.fixture(scope="module")
def alone(new, records, tmp_path_factory) -> Report:
    """What the planned configuration gives, against nothing."""
    path = tmp_path_factory.mktemp("alone") / "profiles.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    report: Report = replay(None, new, path, now=NOW_MS).to_dict()
    return report


@pytest.fixture(scope="module")
def stored(new, records, tmp_path_factory) -> Report:
    """Against selections stored with the visitors, some of an experience nobody knows."""
    path = tmp_path_factory.mktemp("stored") / "profiles.ndjson"
    with path.open("w") as file:
        for number, record in enumerate(records):
            given = [
                {"experienceId": "HomeHero0j48xmtaOEXNhw", "variantIndex": number % 2},
                {"experienceId": "nobody-knows-it", "variantIndex": 3},
            ]
            answer = {"profile": record["profile"], "experiences": given}
            file.write(json.dumps(answer) + "\n")
    report: Report = replay("stored", new, path, now=NOW_MS).to_dict()
    return report


def many(report: Report, n: int) -> Report:
    """The same report with ``n`` of everything."""
    result = copy.deepcopy(report)
    for kind, key in (
        ("experiences", "id"),
        ("audiences", "id"),
        ("entries", "baseline"),
        ("variables", "key"),
    ):
        some = result[kind]
        result[kind] = [{**some[i % len(some)], key: f"{kind}-{i}"} for i in range(n)]
    some = [e for e in result["experiences"] if e["new"]]
    result["overlap"]["new"] = {
        "experiments": [{"id": e["id"], "present": e["new"]["present"]} for e in some],
        "pairs": [
            {"one": some[i]["id"], "other": some[i + 1]["id"], "both": 5}
            for i in range(min(len(some) - 1, 1000))
        ],
        "pairsLeftOut": 7,
    }
    return result


def at(report: Report, path: str) -> Any:
    value: Any = report
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def check_figures(report: Report, opened: browsing.Opened) -> set[str]:
    """Every figure on the page is that of the report; which paths there are."""
    figures = opened.figures()
    wrong = [
        (path, value, text)
        for path, value, text in figures
        if at(report, path) != int(value) or text.replace(",", "").strip() != value
    ]
    assert wrong == []
    return {path for path, _, _ in figures}


# ---- figures ------------------------------------------------------------------------------------


def test_every_figure_is_that_of_the_report(shop, open_page):
    with open_page(shop) as opened:
        paths = check_figures(shop, opened)
    wanted = {f"visitors.{key}" for key in shop["visitors"]}
    for n, experience in enumerate(shop["experiences"]):
        here = f"experiences.{n}."
        wanted.add(here + "moved")
        wanted |= {here + f"{s}.present" for s in ("old", "new") if experience[s]}
        wanted |= {here + f"{s}.matched" for s in ("old", "new") if experience[s]}
        wanted |= {here + f"cells.{c}.count" for c in range(len(experience["cells"]))}
        if experience["moved"]:
            wanted |= {here + key for key in ("entered", "left", "switched")}
            wanted |= {here + f"causes.{c}" for c, count in experience["causes"].items() if count}
    for n, audience in enumerate(shop["audiences"]):
        keys = ("old", "new", "entered", "left")
        wanted |= {f"audiences.{n}.{k}" for k in keys if audience[k] is not None}
    for kind, key in (("entries", "shown"), ("variables", "values")):
        for n, spot in enumerate(shop[kind]):
            for v, thing in enumerate(spot[key]):
                if thing["old"] or thing["new"]:
                    wanted |= {f"{kind}.{n}.{key}.{v}.{side}" for side in ("old", "new")}
            wanted |= {f"{kind}.{n}.flows.{f}.count" for f in range(len(spot["flows"]))}
    wanted |= {f"overlap.new.pairs.{n}.both" for n in range(len(shop["overlap"]["new"]["pairs"]))}
    wanted |= {"source.files.0.records", "source.files.0.rejected"}
    assert wanted - paths == set()


def test_the_answer_comes_first(shop, open_page):
    visitors = shop["visitors"]
    with open_page(shop) as opened:
        page = opened.page
        said = page.locator("h1").inner_text()
        assert page.title().startswith(f"Replay: {visitors['changed']:,} of")
        assert page.locator(".question").inner_text() == (
            "May I publish next.json in the place of live.json?"
        )
        assert (
            page.locator(".verdict")
            .inner_text()
            .endswith("No: 1 of 2 limits is exceeded (moved>1%).")
        )
        states = page.locator("#limits tbody tr").evaluate_all(
            "rows => rows.map((row) => row.dataset.exceeded)"
        )
    assert said.split() == (
        f"{visitors['changed']:,} of {visitors['counted']:,} visitors would see something else."
    ).split()  # fmt: skip
    assert states == ["true", "false"]


def test_the_drawings_show_the_counts(shop, open_page):
    """Ribbons add up to the movers; bars are as long as their counts."""
    with open_page(shop) as opened:
        page = opened.page
        for n, experience in enumerate(shop["experiences"]):
            if not experience["moved"]:
                continue
            titles = page.locator(f"#experience-{n} .ways path.m title").all_text_contents()
            counts = [int(title.split(":")[0].replace(",", "")) for title in titles]
            assert sum(counts) == experience["moved"]
        widths = page.locator("#movers tbody tr").evaluate_all(
            """rows => rows.map((row) => [
                Number(row.querySelector("[data-f=moved]").dataset.v),
                [...row.querySelectorAll("rect")].reduce(
                    (sum, rect) => sum + rect.getBoundingClientRect().width, 0),
            ])"""
        )
        most = max(e["moved"] for e in shop["experiences"])
        longest = max(width for _, width in widths)
        assert [moved for moved, _ in widths] == sorted((m for m, _ in widths), reverse=True)
        for moved, width in widths:
            assert width == pytest.approx(moved / most * longest, abs=1)
        # A dot of a split lies inside its band exactly when it is within 1.96 standard errors.
        for n, experience in enumerate(shop["experiences"]):
            ratio = experience["sampleRatio"]["new"]
            dots = page.locator(f"#experience-{n} .split svg").evaluate_all(
                """drawings => drawings.map((one) => {
                    const [band, dot] = ["rect", "circle"].map((tag) => one.querySelector(tag));
                    const x = parseFloat(dot.getAttribute("cx"));
                    const start = parseFloat(band.getAttribute("x"));
                    return x >= start && x <= start + parseFloat(band.getAttribute("width"));
                })"""
            )
            if not dots:
                continue
            pairs = zip(ratio["shares"], ratio["observed"], strict=True)
            drawn = [(share, observed) for share, observed in pairs if share > 1e-6 or observed]
            for (share, observed), inside in zip(drawn, dots, strict=True):
                error = 1.96 * (share * (1 - share) / ratio["drawn"]) ** 0.5
                off = abs(observed / ratio["drawn"] - share)
                assert inside == (off <= error) or off == pytest.approx(error, rel=0.02)


def test_an_alarm_is_seen(shop, open_page):
    report = copy.deepcopy(shop)
    report["limits"] = []
    number = next(n for n, e in enumerate(report["experiences"]) if e["id"].startswith("HomeHero"))
    ratio = report["experiences"][number]["sampleRatio"]["new"]
    ratio.update(pValue=3e-9, chiSquare=35.1, suspicious=True)
    with open_page(report) as opened:
        page = opened.page
        assert "Look first: 1 split not explained by chance" in page.inner_text(".verdict")
        assert "p < 0.0001" in page.inner_text(".attention .alarm")
        assert page.locator(f'tr[data-at="experiences.{number}"] td.alarm').count() == 1
        assert "Not by chance" in page.locator(f"#experience-{number} .alarm").all_text_contents()


# ---- other reports ------------------------------------------------------------------------------


def test_without_an_old_side(alone, open_page):
    with open_page(alone) as opened:
        paths = check_figures(alone, opened)
        assert opened.page.inner_text("h1") == f"{alone['visitors']['counted']:,} visitors counted."
        assert opened.complaints == []
    assert {f"experiences.{n}.new.present" for n in range(len(alone["experiences"]))} <= paths
    assert not any(path.endswith((".moved", ".old")) for path in paths)


def test_against_stored_selections(stored, open_page):
    with open_page(stored) as opened:
        paths = check_figures(stored, opened)
        assert "what was stored" in opened.page.inner_text(".question")
        assert opened.complaints == []
    unknown = next(n for n, e in enumerate(stored["experiences"]) if e["id"] == "nobody-knows-it")
    assert f"experiences.{unknown}.left" in paths


def test_nobody_moves(old, records, write_ndjson, open_page):
    report = replay(old, old, write_ndjson(records), now=NOW_MS).to_dict()
    with open_page(report) as opened:
        check_figures(report, opened)
        assert opened.page.inner_text("h1") == "Nobody would see anything else."
        assert "Yes" in opened.page.inner_text(".verdict")
        assert opened.page.locator(".flow").count() == 0


def test_nobody_at_all(old, new, write_ndjson, open_page):
    report = replay(old, new, write_ndjson([]), now=NOW_MS).to_dict()
    with open_page(report) as opened:
        check_figures(report, opened)
        assert opened.page.inner_text("h1") == "No visitor was counted."
        assert opened.complaints == []


def test_as_many_variants_as_there_can_be(shop, open_page):
    """256 indices on both sides, everybody going somewhere else."""
    report = copy.deepcopy(shop)
    experience = report["experiences"][0]
    sample = {"stableId": "v", "file": None, "record": None, "line": None, "explanation": None}
    indices = [*range(256), None]
    experience["cells"] = [
        {"from": a, "to": b, "count": 3, "causes": {"traffic": 3}, "samples": [sample]}
        for a, b in zip(indices, [*indices[1:], 0], strict=True)
    ]
    experience["transitions"] = {
        "old": indices,
        "new": indices,
        "counts": [[3 * (b == (a + 1) % 257) for b in range(257)] for a in range(257)],
    }
    experience.update(moved=771, entered=3, left=3, switched=765)
    experience["causes"] = dict.fromkeys(experience["causes"], 0) | {"traffic": 771}
    with open_page(report) as opened:
        check_figures(report, opened)
        titles = opened.page.locator("#experience-0 .ways path.m title").all_text_contents()
        assert sum(int(title.split(":")[0]) for title in titles) == 771
        assert opened.page.locator("#experience-0 .flow").evaluate("f => f.scrollHeight") < 600
        assert "more ways in the JSON report" in opened.page.locator("#experience-0").inner_text()


def test_huge_counts(shop, open_page):
    """Everything a billion times: nothing overflows, on a telephone either."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v if k in ("transitions", "limits") else grown(v) for k, v in value.items()}
        if isinstance(value, list):
            return [grown(v) for v in value]
        return value * 10**9 if type(value) is int and value < 10**6 else value

    report = grown(shop)
    # Indices are no counts.
    for after, before in zip(report["experiences"], shop["experiences"], strict=True):
        for one, other in zip(after["cells"], before["cells"], strict=True):
            one.update({key: other[key] for key in ("from", "to", "samples")})
    for after, before in zip(report["variables"], shop["variables"], strict=True):
        for one, other in zip(after["flows"], before["flows"], strict=True):
            one.update({key: other[key] for key in ("from", "to")})
    with open_page(report, viewport={"width": 375, "height": 800}) as opened:
        check_figures(report, opened)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 375


@pytest.mark.parametrize("n", [0, 1, 200, 2000])
def test_any_number_of_everything(n, shop, open_page, tmp_path):
    report = many(shop, n)
    with open_page(report) as opened:
        page = opened.page
        assert (tmp_path / "report.html").stat().st_size < MOST_BYTES
        check_figures(report, opened)
        assert opened.complaints == []
        if not n:
            return
        rows = page.locator("#overview tbody tr")
        assert rows.count() == n
        shown = page.locator("#overview tbody tr:visible")
        assert shown.count() == min(n, 40)
        if n > 40:
            page.get_by_role("button", name=f"Show all {n:,}").first.click()
            assert shown.count() == n
        assert dead_links(page) == []
        linked = page.locator("#overview tbody a").count()
        assert linked == page.locator(".exp").count() > 0
        if linked < n:
            assert "in the table alone" in page.inner_text("#experiences")


def test_a_page_of_long_names_is_no_larger(shop, open_page, tmp_path):
    """However long names are, and whichever characters have to be written out."""
    report = many(shop, 2000)
    for number, experience in enumerate(report["experiences"]):
        experience.update(id=f"{'<' * 900}{number}", name="\u202e" * 900)
        if number > 1900 and experience["sampleRatio"]["new"]:
            ratio = experience["sampleRatio"]["new"]
            experience["sampleRatio"] = {"old": None, "new": {**ratio, "suspicious": True}}
    for audience in report["audiences"]:
        audience.update(id="&" * 900, name='"' * 900)
    for spot in [*report["entries"], *report["variables"]]:
        spot["old"] = spot["new"] = ["\U0001f600" * 900] * 10
    with open_page(report) as opened:
        assert (tmp_path / "report.html").stat().st_size < MOST_BYTES
        check_figures(report, opened)
        assert dead_links(opened.page) == []


def dead_links(page: Any) -> list[str]:
    """Links to what the page has not got."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("a[href]")]
            .map((link) => link.getAttribute("href"))
            .filter((target) => !document.getElementById(target.slice(1)))"""
    )
    return found


# ---- what the page does -------------------------------------------------------------------------


def test_nothing_leaves_the_page_and_nothing_goes_wrong(shop, open_page):
    with open_page(shop) as opened:
        page = opened.page
        page.get_by_role("button", name="Open those shown").click()
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(100)
        assert opened.requests == [opened.address]
        assert opened.complaints == []
        policy = page.locator("meta[http-equiv]").get_attribute("content")
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.locator("[src], [style], link, [href]:not([href^='#'])").count() == 0


def test_the_page_is_whole_without_its_script(shop, open_page):
    with open_page(shop, java_script_enabled=False) as opened:
        page = opened.page
        assert page.locator("#overview tbody tr:visible").count() == len(shop["experiences"])
        assert page.locator(".tools").count() == 0
        page.locator(".exp:not([open]) > summary").first.click()
        assert page.locator(".exp[open]").count() == 3


def test_equal_reports_give_equal_pages(shop):
    assert render(shop) == render(copy.deepcopy(shop))


def test_another_format_is_refused(shop):
    with pytest.raises(ValueError, match="whichvariant-replay/2"):
        render({**shop, "format": "whichvariant-replay/2"})


def test_by_keyboard_alone(shop, open_page):
    with open_page(shop) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("/")
        page.keyboard.type("SHIPPING")
        assert page.locator("#overview tbody tr:visible").count() == 1
        assert page.locator(".exp:visible").count() == 1
        assert page.inner_text(".tools output") == "1 experience"
        page.keyboard.press("Escape")
        assert page.locator("#overview tbody tr:visible").count() == len(shop["experiences"])
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        moved = sum(bool(e["moved"]) for e in shop["experiences"])
        assert page.locator("#overview tbody tr:visible").count() == moved
        summary = page.locator(".exp:not([open]):visible > summary").first
        name = summary.evaluate("element => element.parentElement.id")
        summary.focus()
        page.keyboard.press("Enter")
        assert page.locator(f"#{name}").evaluate("element => element.open")
        link = page.locator("#movers tbody a").nth(4)
        link.focus()
        page.keyboard.press("Enter")
        target = link.get_attribute("href")
        page.locator(f"{target} > summary:focus").wait_for()
        assert page.locator(target).evaluate("element => element.open")


def test_sorting(shop, open_page):
    with open_page(shop) as opened:
        page = opened.page
        head = page.locator("#overview thead th", has_text="After").first
        column = head.evaluate("element => element.cellIndex")
        for state, descending in (("descending", True), ("ascending", False)):
            head.get_by_role("button").focus()
            page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == state
            values = page.locator(f"#overview tbody td:nth-child({column + 1})").evaluate_all(
                "cells => cells.filter((c) => c.dataset.v).map((c) => Number(c.dataset.v))"
            )
            assert values == sorted(values, reverse=descending)
            assert len(values) == sum(e["new"] is not None for e in shop["experiences"])


def test_a_table_can_be_copied(shop, open_page):
    with open_page(shop, permissions=["clipboard-read", "clipboard-write"]) as opened:
        page = opened.page
        page.locator("#movers button.copy").focus()
        page.keyboard.press("Enter")
        page.locator("#movers .copy", has_text="Copied").wait_for()
        lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    most = max(shop["experiences"], key=lambda e: e["moved"])
    assert lines[1].split("\t")[0].startswith(most["name"])
    assert lines[1].split("\t")[2] == str(most["moved"])


def test_names_are_text_whatever_they_are(shop, open_page):
    report = copy.deepcopy(shop)
    for number, experience in enumerate(report["experiences"]):
        bad = HOSTILE[number % len(HOSTILE)]
        experience.update(id=f"{bad}{number}", name=bad if number % 3 else "")
        for side in ("old", "new"):
            if experience[side] and experience[side]["audience"]:
                experience[side]["audience"]["name"] = bad
        for place, cell in enumerate(experience["cells"]):
            for sample in cell["samples"]:
                sample.update(stableId=HOSTILE[place % len(HOSTILE)], file=bad)
            for side in ((cell["samples"] or [{}])[0].get("explanation") or {}).values():
                if side and side["audience"]:
                    side["audience"].update(name=bad, rule={**LEAF, "attribute": bad})
    for number, audience in enumerate(report["audiences"]):
        audience.update(id=HOSTILE[number % len(HOSTILE)], name=HOSTILE[-number % len(HOSTILE)])
    for number, variable in enumerate(report["variables"]):
        variable["key"] = HOSTILE[number % len(HOSTILE)]
        for value in variable["values"]:
            if value["set"]:
                value["value"] = {HOSTILE[number % len(HOSTILE)]: HOSTILE}
    for entry in report["entries"]:
        entry["baseline"] = HOSTILE[0]
    report["source"]["files"][0]["name"] = HOSTILE[1]
    report["rejected"]["shown"][0]["reason"] = HOSTILE[2]
    report["configurations"]["new"]["name"] = HOSTILE[0]
    report["configurations"]["old"]["name"] = HOSTILE[1]
    report["run"]["tool"] = HOSTILE[2]
    report["limits"][0]["limit"] = HOSTILE[3]
    for width in (1280, 375):
        with open_page(report, viewport={"width": width, "height": 800}) as opened:
            page = opened.page
            check_figures(report, opened)
            page.get_by_role("button", name="Open those shown").click()
            assert opened.complaints == []
            assert opened.requests == [opened.address]
            assert page.evaluate("document.querySelectorAll('script').length") == 1
            assert page.locator("img, b:has-text('bold'), [onmouseover], [onload]").count() == 0
            assert HOSTILE[0] in page.inner_text(".question")
            assert "\u202e" not in page.inner_text("body")
            assert page.evaluate("document.documentElement.scrollWidth") == width


LEAF = {"operator": "equal", "operand": HOSTILE[0], "actual": HOSTILE[1], "matched": True}


# ---- how it looks -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 375, 768, 1280, 2560])
def test_no_page_scrolls_sideways(width, shop, open_page):
    with open_page(shop, viewport={"width": width, "height": 800}) as opened:
        page = opened.page
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_light_and_dark(shop, open_page):
    found = {}
    for scheme in ("light", "dark"):
        with open_page(shop, color_scheme=scheme) as opened:
            found[scheme] = opened.page.evaluate(
                "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
            )
            opened.page.emulate_media(media="print")
            printed = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(found["light"]) > 240
    assert max(found["dark"]) < 40
    assert all(int(part) > 240 for part in re.findall(r"\d+", printed))


def test_it_prints(shop, open_page):
    with open_page(many(shop, 60)) as opened:
        page = opened.page
        pdf = page.pdf(format="A4")
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
        assert not page.locator(".tools").first.is_visible()
        # The table is whole on paper.
        assert page.locator("#overview tbody tr:visible").count() == 60
    assert pdf.startswith(b"%PDF")
    assert 2 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_accessible_to_axe(scheme, width, shop, open_page):
    source = browsing.axe()
    size = {"width": width, "height": 900}
    with open_page(shop, color_scheme=scheme, viewport=size) as opened:
        page = opened.page
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        page.wait_for_timeout(300)
        page.evaluate(source)
        result = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    found = [
        (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert found == []

"""The vendor's SDK as the judge of entries and merge tags.

It runs under Node (`entries.cjs`): the Contentful mapper, the selection of a variant, and React's
rendering on a server. Where we decide otherwise on purpose, `as_we_decide` says so; the judge then
sees the content as we read it, and judges everything else.
"""

from __future__ import annotations

import copy
import html
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.sdk.content_graphs import PROFILE, Graph, entry, link
from tests.sdk.npm import Installed

from whichvariant import Engine
from whichvariant.entries import Resolver, link_entries, merge_tag, resolve

pytestmark = pytest.mark.sdk

HERE = pathlib.Path(__file__).parent
STOREFRONT = HERE.parents[1] / "fixtures" / "storefront"

ANSWER_SECONDS = 300
GRAPHS = int(os.environ.get("WHICHVARIANT_EXAMPLES", "100"))

Json = Any


def judge(packages: Installed, cases: list[Json]) -> list[Json]:
    """The SDK's answer to each case."""
    finished = subprocess.run(
        [packages.node, str(HERE / "entries.cjs")],
        input="\n".join(json.dumps(case) for case in cases),
        capture_output=True,
        encoding="utf-8",
        cwd=packages.folder,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


# --- what we decide otherwise --------------------------------------------------------------------


def as_we_decide(entries: list[Json]) -> list[Json]:
    """The content as this project reads it, in words that the judge reads alike. [policy]

    - A variant that is not there leaves the baseline. (The judge drops it from the list, so that
      the visitor gets the next variant, or drops the experience when a link is left.)
    - A hidden baseline is left alone; the empty variant is empty also if it does not say hidden.
    - An audience that is not there does no harm; an unknown `nt_type` is no experience. (The judge
      takes the former for no experience, and gives up on the whole entry for the latter.)
    """
    entries = copy.deepcopy(entries)
    there = {one["sys"]["id"] for one in entries}
    removed = set()
    for one in entries:
        fields = one["fields"]
        if one["sys"]["contentType"]["sys"]["id"] != "nt_experience":
            continue
        audience = fields.get("nt_audience")
        if isinstance(audience, dict) and audience["sys"]["id"] not in there:
            del fields["nt_audience"]
        if fields.get("nt_type") not in ["nt_experiment", "nt_personalization"]:
            removed.add(one["sys"]["id"])
        variants = fields.setdefault("nt_variants", [])
        if isinstance(variants, list):
            variants[:] = [
                variant
                for variant in variants
                if not isinstance(variant, dict) or variant["sys"]["id"] in there
            ]
        _components(fields.get("nt_config"), variants, there)
    for one in entries:
        if "nt_experiences" in one["fields"]:
            attached = one["fields"]["nt_experiences"]
            one["fields"]["nt_experiences"] = [
                which for which in attached if which["sys"]["id"] not in removed
            ]
    return entries


def _components(config: Json, variants: Json, there: set[str]) -> None:
    components = config.get("components") if isinstance(config, dict) else None
    if not isinstance(components, list) or not all(isinstance(one, dict) for one in components):
        return
    sound = [one for one in variants if isinstance(one, dict)] if isinstance(variants, list) else []
    published = {one["sys"]["id"] for one in sound}
    missing = []
    for component in components:
        baseline, references = component.get("baseline"), component.get("variants")
        own = baseline.get("id") if isinstance(baseline, dict) else None
        if not isinstance(own, str) or own not in there or not isinstance(references, list):
            continue
        if baseline.get("hidden") is True:
            baseline["id"] = "nobody"
        for reference in references:
            if not isinstance(reference, dict) or not isinstance(reference.get("id"), str):
                continue
            if reference["id"] == "":
                reference["hidden"] = True
            elif reference["id"] not in published and reference.get("hidden") is not True:
                # In the place of what is missing stands the baseline.
                reference["id"] = own
                missing.append(link(own))
    if isinstance(variants, list):
        variants += missing


# --- one entry -----------------------------------------------------------------------------------


def shallow(one: Json) -> Json:
    """A linked entry with its experiences, and no more of their variants than that they exist."""

    def bare(variant: Json) -> Json:
        return {**variant, "fields": {}} if "fields" in variant else variant

    def experience(attached: Json) -> Json:
        fields = dict(attached.get("fields", {}))
        if isinstance(fields.get("nt_variants"), list):
            fields["nt_variants"] = [
                bare(variant) if isinstance(variant, dict) else variant
                for variant in fields["nt_variants"]
            ]
        return {**attached, "fields": fields}

    fields = {"nt_experiences": [experience(each) for each in one["fields"]["nt_experiences"]]}
    return {**one, "fields": fields}


def chosen(one: Json, experiences: list[Json]) -> Json:
    """What we choose, in the judge's words."""
    choice = Resolver(experiences).choose(one)
    return {
        "id": choice.entry["sys"]["id"] if choice.entry is not None else "",
        "hidden": choice.entry is None,
        "experience": choice.experience_id,
        "index": choice.variant_index,
        "sticky": choice.sticky,
    }


def compare_choices(packages: Installed, cases: list[tuple[Json, Json, list[Json]]]) -> int:
    """Judge each (entry, the same as we decide, records); how many were decided by experiences."""
    answers = judge(
        packages,
        [
            {"kind": "choose", "entry": shallow(theirs), "experiences": experiences}
            for _, theirs, experiences in cases
        ],
    )
    decided = 0
    for (ours, _, experiences), answer in zip(cases, answers, strict=True):
        assert "error" not in answer, json.dumps([answer, shallow(ours), experiences])
        mine = chosen(ours, experiences)
        theirs = {**answer, "sticky": answer["sticky"] is True}
        if theirs["hidden"]:
            theirs["id"] = ""
        if theirs["id"] == ours["sys"]["id"] and theirs["index"] > 0:
            # A variant that is missing was put to the judge as the baseline.
            theirs = {**BASELINE, "id": theirs["id"]}
        assert mine == theirs, (mine, theirs, json.dumps([shallow(ours), experiences]))
        decided += mine["experience"] is not None
    return decided


def test_generated_entries(packages: Installed) -> None:
    cases = []
    for seed in range(GRAPHS):
        graph = Graph(seed)
        ours = link_entries(graph.document()).by_id
        adapted = as_we_decide(graph.entries)
        theirs = link_entries({**graph.document(), "items": adapted, "includes": {}}).by_id
        cases += [
            (one, theirs[name], graph.selected)
            for name, one in ours.items()
            if "nt_experiences" in one["fields"]
        ]
    assert len(cases) > 8 * GRAPHS
    decided = compare_choices(packages, cases)
    assert len(cases) / 10 < decided < len(cases)


# --- what differs, differs -----------------------------------------------------------------------


def experience(**changes: Json) -> Json:
    """Two variants of ``b``, both published."""
    fields = {
        "nt_name": "One",
        "nt_type": "nt_experiment",
        "nt_experience_id": "one",
        "nt_config": {
            "components": [{"baseline": {"id": "b"}, "variants": [{"id": "v1"}, {"id": "v2"}]}]
        },
        "nt_variants": [entry("v1", "hero", {}), entry("v2", "hero", {})],
        **changes,
    }
    return entry("e", "nt_experience", fields)


def components(baseline: Json, *variants: Json) -> Json:
    return {"components": [{"baseline": baseline, "variants": list(variants)}]}


BASELINE = {"id": "b", "hidden": False, "experience": None, "index": 0, "sticky": False}
EMPTY = {"id": "", "hidden": True, "experience": "one", "index": 1, "sticky": False}
FIRST = {"id": "v1", "hidden": False, "experience": "one", "index": 1, "sticky": False}

POLICIES = {
    "an unpublished variant, gone": (
        experience(nt_variants=[entry("v2", "hero", {})]),
        BASELINE,
        {"id": "v2", "experience": "one", "index": 1},
    ),
    "an unpublished variant, as a link": (
        experience(nt_variants=[link("v1"), entry("v2", "hero", {})], nt_name="Two"),
        BASELINE,
        {"id": "b", "experience": None},
    ),
    "a hidden baseline": (
        experience(nt_config=components({"id": "b", "hidden": True}, {"id": "v1"})),
        BASELINE,
        {"id": "v1", "experience": "one"},
    ),
    "an empty variant that does not say hidden": (
        experience(nt_config=components({"id": "b"}, {"id": ""}, {"id": "v2"})),
        EMPTY,
        {"id": "v2", "hidden": False},
    ),
    "an unpublished audience": (
        experience(nt_audience=link("gone")),
        FIRST,
        {"id": "b", "experience": None},
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies(packages: Installed, name: str) -> None:
    """Each is a difference; if the vendor changes its mind, we want to know."""
    attached, ours, theirs = POLICIES[name]
    baseline = entry("b", "hero", {"nt_experiences": [attached]})
    selected = [{"experienceId": "one", "variantIndex": 1}]
    (answer,) = judge(packages, [{"kind": "choose", "entry": baseline, "experiences": selected}])
    assert chosen(baseline, selected) == ours
    assert theirs.items() <= answer.items()


def test_an_unknown_type_is_passed_over(packages: Installed) -> None:
    """The judge gives up on the entry; its own documentation says to filter such first."""
    attached = [experience(nt_type="nt_other", nt_experience_id="two"), experience()]
    baseline = entry("b", "hero", {"nt_experiences": attached})
    selected = [{"experienceId": name, "variantIndex": 1} for name in ("one", "two")]
    (answer,) = judge(packages, [{"kind": "choose", "entry": baseline, "experiences": selected}])
    assert "not valid" in answer["error"]
    assert chosen(baseline, selected) == FIRST


# --- whole pages ---------------------------------------------------------------------------------


def markup(value: Json) -> str:
    """What the judge's React components make of content."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return "".join(markup(item) for item in value)
    if not isinstance(value, dict):
        return ""
    if value.get("sys", {}).get("type") == "Entry":
        fields = "".join(
            f'<x-field name="{name}">{markup(item)}</x-field>'
            for name, item in value["fields"].items()
            if name != "nt_experiences"
        )
        return f'<x-entry id="{value["sys"]["id"]}">{fields}</x-entry>'
    if value.get("nodeType") == "text":
        return markup(value["value"])
    target = value.get("data", {}).get("target") if "nodeType" in value else None
    if isinstance(target, dict) and "fields" in target:
        return markup(target)
    return markup(value.get("content", []))


def compare_pages(
    packages: Installed, cases: list[tuple[Json, list[Json], list[Json], Json]]
) -> None:
    """Judge each (page, all entries as we decide, records, profile)."""
    requests: list[Json] = []
    known = None
    for page, entries, experiences, profile in cases:
        if entries is not known:
            requests.append({"kind": "content", "entries": entries})
            known = entries
        root = page["sys"]["id"]
        requests.append(
            {"kind": "render", "root": root, "experiences": experiences, "profile": profile}
        )
    answers = [one for one in judge(packages, requests) if "markup" in one]
    for (page, _, experiences, profile), answer in zip(cases, answers, strict=True):
        mine = markup(resolve(page, experiences, profile).entry)
        assert mine == answer["markup"], page["sys"]["id"]


def test_generated_pages(packages: Installed) -> None:
    cases = []
    for seed in range(GRAPHS):
        graph = Graph(seed)
        page = link_entries(graph.document()).items[0]
        cases.append((page, as_we_decide(graph.entries), graph.selected, PROFILE))
    pages = [markup(resolve(page, records, PROFILE).entry) for page, _, records, _ in cases]
    plain = [markup(resolve(page, [], PROFILE).entry) for page, _, _, _ in cases]
    # The pages are worth judging: most of them are not what everybody sees.
    assert sum(one != other for one, other in zip(pages, plain, strict=True)) > GRAPHS / 3
    assert sum("Zoë &amp; &lt;Anna&gt;" in one for one in pages) > GRAPHS / 30
    compare_pages(packages, cases)


# --- content of others, and of our shop ----------------------------------------------------------


def every_index(one: Json) -> Iterator[list[Json]]:
    """Records for each attached experience alone, at every index up to one too many."""
    for attached in one["fields"]["nt_experiences"]:
        if "fields" in attached:
            for index in range(4):
                name = attached["fields"]["nt_experience_id"]
                yield [{"experienceId": name, "variantIndex": index}]


def selections(engine: Engine, count: int) -> list[list[Json]]:
    """What some made-up visitors get."""
    source = Random(4)
    cities = [("Berlin", "DE", "EU"), ("Lima", "PE", "SA"), ("Paris", "FR", "EU"), ("", "", "")]
    found = []
    for number in range(count):
        city, country, continent = source.choice(cities)
        profile = {
            "stableId": f"visitor-{number}",
            "traits": {"plan": source.choice(["gold", "free"]), "identified": True},
            "location": {"city": city, "countryCode": country, "continent": continent},
            "session": {"count": source.choice([1, 4]), "isReturningVisitor": number % 2 == 0},
        }
        found.append(engine.select(profile, device="desktop").experiences)
    return found


def flat(document: Json) -> list[Json]:
    """Every entry of a document, its fields flat, its links links."""
    linked = link_entries(document)

    def back(value: Json) -> Json:
        if isinstance(value, list):
            return [back(item) for item in value]
        if isinstance(value, dict):
            if "fields" in value:
                return link(value["sys"]["id"])
            return {name: back(item) for name, item in value.items()}
        return value

    return [{**one, "fields": back(one["fields"])} for one in linked.by_id.values()]


def compare_documents(packages: Installed, documents: list[Json], records: list[list[Json]]) -> int:
    """Judge every entry and every page of documents; returns how many pages there were."""
    cases, pages = [], []
    for document in documents:
        linked = link_entries(document)
        entries = as_we_decide(flat(document))
        theirs = link_entries({"sys": {"type": "Array"}, "items": entries}).by_id
        for name, one in linked.by_id.items():
            if one["sys"]["contentType"]["sys"]["id"].startswith("nt_"):
                continue
            if one["fields"].get("nt_experiences"):
                own = [[], *records, *every_index(one)]
                cases += [(one, theirs[name], record) for record in own]
            pages += [(one, entries, record, PROFILE) for record in [[], *records]]
    assert compare_choices(packages, cases) > 0
    compare_pages(packages, pages)
    return len(pages)


def test_our_shop(packages: Installed) -> None:
    document = json.loads((STOREFRONT / "space.json").read_text())
    records = selections(Engine.load(STOREFRONT / "space.json"), 3)
    assert compare_documents(packages, [document], records) > 50


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["optimization-space.json", "marketing-space.json"])
def test_spaces_of_others(packages: Installed, shared_data: pathlib.Path, name: str) -> None:
    document = json.loads((shared_data / name).read_text())
    engine = Engine.load(shared_data / name, strict=False)
    recorded = json.loads((shared_data / "recorded" / "new-visitor.json").read_text())["data"]
    records = [recorded["experiences"], *selections(engine, 1)]
    assert compare_documents(packages, [document], records) > 50


@pytest.mark.shared_data
def test_responses_of_the_delivery_api(packages: Installed, shared_data: pathlib.Path) -> None:
    recorded = json.loads((shared_data / "recorded" / "new-visitor.json").read_text())["data"]
    paths = sorted((shared_data / "optimization-entries").glob("*.json"))
    documents = [json.loads(path.read_text()) for path in paths]
    assert compare_documents(packages, documents, [recorded["experiences"]]) > 50


# --- merge tags ----------------------------------------------------------------------------------

KEYS = ["a", "b", "first_name", "first", "name", "0", "1", "length", "constructor", "", "x y", "_"]


def made_value(source: Random, depth: int) -> Json:
    kind = source.random()
    if depth and kind < 0.45:
        return {source.choice(KEYS): made_value(source, depth - 1) for _ in range(4)}
    if depth and kind < 0.55:
        # An array with an object in it is no child that React can render.
        return [{"a": "in a list"}, made_value(source, depth - 1)]
    return source.choice(
        ["text", "Zoë & <b>", "", " ", 0, 1, -1, 1.5, 1e21, 1e-7, 0.1 + 0.2, 2**53, None, False]
    )


def made_id(source: Random) -> str:
    parts = [source.choice(KEYS) for _ in range(source.randint(1, 5))]
    text = parts[0]
    for part in parts[1:]:
        text += source.choice("..___") + part
    return source.choice(["", "", "", " ", "\ufeff", "\x1f"]) + text + source.choice(["", "", " "])


def test_merge_tags(packages: Installed) -> None:
    source = Random(7)
    cases = []
    for _ in range(150):
        profile = {key: made_value(source, 3) for key in source.sample(KEYS, 6)}
        ids = ["", "a.b", "a_b", "first_name", *(made_id(source) for _ in range(40))]
        fallback = source.choice([None, "", "a fallback"])
        cases.append({"kind": "tags", "ids": ids, "fallback": fallback, "profile": profile})
    shown = refused = 0
    for case, answers in zip(cases, judge(packages, cases), strict=True):
        for name, answer in zip(case["ids"], answers, strict=True):
            mine = merge_tag(case["profile"], name, case["fallback"])
            if "error" in answer:
                # An object: the judge throws, we show the fallback. [policy]
                assert mine == (case["fallback"] or None), (name, case)
                refused += 1
            else:
                assert (mine or "") == html.unescape(answer["markup"]), (name, case)
                shown += mine is not None and mine != case["fallback"]
    assert shown > 150
    assert refused > 50


def test_merge_tags_that_are_true_or_lists(packages: Installed) -> None:
    """React shows nothing for true, and the elements of a list one after the other."""
    profile = {"traits": {"yes": True, "list": ["a", "b"], "none": []}}
    ids = ["traits.yes", "traits.list", "traits.none", "traits.list.1", "traits_list_length"]
    case = {"kind": "tags", "ids": ids, "fallback": "fallback", "profile": profile}
    (answers,) = judge(packages, [case])
    assert [answer["markup"] for answer in answers] == ["", "ab", "", "b", "2"]
    mine = [merge_tag(profile, name, "fallback") for name in ids]
    assert mine == ["true", "fallback", "fallback", "b", "2"]

"""What becomes of entries; that it agrees with the vendor's SDK is for tests/sdk to say."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.entries.making import entry

from whichvariant.entries import Resolver, merge_tag, merge_tag_value, resolve
from whichvariant.entries import resolving as limits
from whichvariant.errors import EntryError

Json = Any


def experience(baseline: str, *variants: Json, name: str = "one") -> Json:
    """An experience that replaces ``baseline``; a variant that is None is the empty one."""
    references = [{"id": v["sys"]["id"]} if v else {"id": "", "hidden": True} for v in variants]
    return entry(
        f"entry-of-{name}",
        "nt_experience",
        nt_name=name,
        nt_type="nt_experiment",
        nt_experience_id=name,
        nt_config={"components": [{"baseline": {"id": baseline}, "variants": references}]},
        nt_variants=[variant for variant in variants if variant],
    )


def record(name: str = "one", index: int = 1, **more: Json) -> Json:
    return {"experienceId": name, "variantIndex": index, "variants": {}, **more}


def embedded(target: Json, kind: str = "embedded-entry-block") -> Json:
    return {"nodeType": kind, "data": {"target": target}, "content": []}


def document(*nodes: Json) -> Json:
    return {"nodeType": "document", "data": {}, "content": list(nodes)}


def test_the_first_selected_experience_decides() -> None:
    one = experience("b", entry("v1"), name="one")
    two = experience("b", entry("v2"), name="two")
    baseline = entry("b", nt_experiences=[one, two])
    shown: Json = resolve(baseline, [record("two"), record("one")]).entry
    assert shown["sys"]["id"] == "v1"
    shown = resolve(baseline, [record("two")]).entry
    assert shown["sys"]["id"] == "v2"
    assert resolve(baseline, []).entry == baseline


def test_what_decided_is_told() -> None:
    baseline = entry("b", nt_experiences=[experience("b", entry("v1", title="V"))])
    shown, choices = resolve(baseline, [record(sticky=True)])
    assert shown is not None
    assert shown["experience"] == {
        "experienceId": "one",
        "variantIndex": 1,
        "baselineId": "b",
        "sticky": True,
    }
    (choice,) = choices
    assert (choice.component_id, choice.experience_id, choice.sticky) == ("v1", "one", True)
    shown, choices = resolve(baseline, [record(index=0)])
    assert shown is not None
    assert (shown["sys"]["id"], shown["experience"]["variantIndex"]) == ("b", 0)


def test_the_empty_variant() -> None:
    gone = entry("b", nt_experiences=[experience("b", None)])
    kept = entry("k", title="kept")
    page = entry(
        "page",
        hero=gone,
        sections=[kept, gone, kept],
        body=document(embedded(gone), embedded(kept), embedded(gone, "embedded-entry-inline")),
        more={"deep": [gone]},
    )
    shown, choices = resolve(page, [record()])
    assert shown is not None
    fields = shown["fields"]
    assert fields["hero"] is None
    assert [one["sys"]["id"] for one in fields["sections"]] == ["k", "k"]
    assert [node["data"]["target"]["sys"]["id"] for node in fields["body"]["content"]] == ["k"]
    assert fields["more"] == {"deep": []}
    assert [choice.component_id for choice in choices] == ["b-hidden"]
    assert resolve(gone, [record()]).entry is None


@pytest.mark.parametrize("index", [2, 3, 255])
def test_an_index_beyond_the_variants_leaves_the_baseline(index: int) -> None:
    baseline = entry("b", nt_experiences=[experience("b", entry("v"))])
    shown, choices = resolve(baseline, [record(index=index)])
    assert shown == baseline
    assert choices == ()


def test_nested_entries_and_variants_of_variants() -> None:
    inner = entry("inner", nt_experiences=[experience("inner", entry("inner-v"), name="two")])
    variant = entry("v", child=inner, nt_experiences=[experience("v", entry("never"), name="v")])
    baseline = entry("b", child=inner, nt_experiences=[experience("b", variant)])
    page = entry("page", first=baseline, again=variant)
    shown = resolve(page, [record(), record("two"), record("v")]).entry
    assert shown is not None
    # A variant is not replaced in its turn; where it stands for itself, it is a baseline.
    assert shown["fields"]["first"]["sys"]["id"] == "v"
    assert shown["fields"]["again"]["sys"]["id"] == "never"
    assert shown["fields"]["first"]["fields"]["child"]["sys"]["id"] == "inner-v"


def test_circles_and_shared_entries() -> None:
    a, b = entry("a"), entry("b")
    variant = entry("v", back=a)
    b["fields"] = {"up": a, "nt_experiences": [experience("b", variant)]}
    a["fields"] = {"down": b, "again": b, "self": a}
    shown = resolve(a, [record()]).entry
    assert shown is not None
    fields = shown["fields"]
    assert fields["self"] is shown
    assert fields["down"] is fields["again"]
    assert fields["down"]["sys"]["id"] == "v"
    assert fields["down"]["fields"]["back"] is shown


def test_the_source_is_not_changed() -> None:
    variant = entry("v", items=[entry("x")])
    page = entry("p", hero=entry("b", nt_experiences=[experience("b", variant)]))
    before = copy.deepcopy(page)
    shown = resolve(page, [record()]).entry
    assert shown is not None
    shown["fields"]["hero"]["fields"]["items"].append("mine")
    assert page == before


def test_one_resolver_for_several_entries() -> None:
    hero = entry("b", nt_experiences=[experience("b", entry("v"))])
    resolver = Resolver([record()])
    first = resolver.resolve(entry("one", hero=hero))
    second = resolver.resolve(entry("two", hero=hero))
    assert first is not None
    assert second is not None
    assert first["fields"]["hero"] is second["fields"]["hero"]
    assert len(resolver.choices) == 1


def test_a_long_chain_is_no_recursion() -> None:
    last = entry("last")
    for number in range(5_000):
        last = entry(f"e{number}", next=last)
    shown: Json = resolve(last, []).entry
    for _ in range(5_000):
        shown = shown["fields"]["next"]
    assert shown["sys"]["id"] == "last"


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Json = "text"
    for _ in range(limits.MAX_NESTING + 1):
        deep = [deep]
    resolver = Resolver([])
    broken = entry("a", deep=deep, hero=entry("b"))
    for _ in range(2):  # no half of it comes out of a second call
        with pytest.raises(EntryError, match="nested more than 200 deep"):
            resolver.resolve(broken)
    monkeypatch.setattr(limits, "MAX_ENTRIES", 3)
    with pytest.raises(EntryError, match="more than 3 entries"):
        resolve(entry("a", all=[entry(str(number)) for number in range(3)]), [])


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"variantIndex": 1}, "experiences[0].experienceId"),
        ({"experienceId": "a"}, "experiences[0].variantIndex"),
        ({"experienceId": "a", "variantIndex": -1}, "experiences[0].variantIndex"),
        ({"experienceId": "a", "variantIndex": True}, "experiences[0].variantIndex"),
    ],
)
def test_records_that_are_none(wrong: Json, path: str) -> None:
    with pytest.raises(EntryError) as caught:
        resolve(entry("a"), [wrong])
    assert caught.value.path == path


@pytest.mark.parametrize("wrong", [{}, {"sys": {"id": "a"}}, {"fields": {}}, None, "entry"])
def test_what_is_no_entry(wrong: Json) -> None:
    with pytest.raises(EntryError, match="not an entry"):
        resolve(wrong, [])


def test_experiences_that_are_links_or_nothing() -> None:
    link = {"sys": {"type": "Link", "linkType": "Entry", "id": "x"}}
    for odd in [[link, None, 4, {}], "text", None, {}]:
        baseline = entry("b", nt_experiences=odd)
        assert resolve(baseline, [record()]).entry == baseline


# --- merge tags ----------------------------------------------------------------------------------


PROFILE = {
    "traits": {"first_name": "Zoë", "first": {"name": "other"}, "zero": 0, "yes": True},
    "location": {"city": "Köln"},
}


def test_underscores_and_dots() -> None:
    assert merge_tag_value(PROFILE, "traits_first_name") == "Zoë"
    assert merge_tag_value(PROFILE, "traits.first.name") == "other"
    assert merge_tag_value(PROFILE, "location_city") == "Köln"
    assert merge_tag(PROFILE, "traits.zero", "none") == "none"
    assert merge_tag(PROFILE, "traits.zero", "") is None
    assert merge_tag(None, "location.city", "somewhere") == "somewhere"
    assert merge_tag_value(PROFILE, "_".join("a" * 200)) is None


def tag(name: str, fallback: str | None = None) -> Json:
    fields = {"nt_name": "A tag", "nt_mergetag_id": name}
    return entry("tag", "nt_mergetag", **fields, **({"nt_fallback": fallback} if fallback else {}))


def test_merge_tags_in_rich_text() -> None:
    text = {"nodeType": "text", "value": "Hello ", "marks": [], "data": {}}
    inline = [
        embedded(tag("traits.first_name"), "embedded-entry-inline"),
        embedded(tag("traits.nobody", "friend"), "embedded-entry-inline"),
        embedded(tag("traits.nobody"), "embedded-entry-inline"),
    ]
    page = entry("p", body=document({"nodeType": "paragraph", "content": [text, *inline]}))
    shown = resolve(page, [], PROFILE).entry
    assert shown is not None
    nodes = shown["fields"]["body"]["content"][0]["content"]
    assert [node["value"] for node in nodes] == ["Hello ", "Zoë", "friend"]
    assert {node["nodeType"] for node in nodes} == {"text"}
    untouched = resolve(page, [], PROFILE, merge_tags=False).entry
    assert untouched == page


def test_hyperlinks_lead_to_other_pages() -> None:
    other = entry("other", nt_experiences=[experience("other", None)])
    link = {
        "nodeType": "entry-hyperlink",
        "data": {"target": other},
        "content": [{"nodeType": "text", "value": "there", "marks": [], "data": {}}],
    }
    shown = resolve(entry("p", body=document(link)), [record()]).entry
    assert shown is not None
    assert shown["fields"]["body"]["content"][0]["data"]["target"] is other


def test_the_answer_is_json() -> None:
    page = entry("p", hero=entry("b", nt_experiences=[experience("b", entry("v"))]))
    assert json.loads(json.dumps(resolve(page, [record()]).entry))["fields"]["hero"]["experience"]

"""Documents of Contentful, linked."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import pytest

from whichvariant import Engine
from whichvariant.entries import link_entries, resolve
from whichvariant.errors import DocumentError

STOREFRONT = pathlib.Path(__file__).parents[2] / "fixtures" / "storefront"

NOW = "2026-11-01T12:00:00Z"

Json = Any


def link(identifier: str, kind: str = "Entry") -> Json:
    return {"sys": {"type": "Link", "linkType": kind, "id": identifier}}


def node(identifier: str, kind: str = "Entry", **fields: Json) -> Json:
    return {"sys": {"id": identifier, "type": kind}, "fields": fields}


def response(*items: Json, entries: Json = (), assets: Json = ()) -> Json:
    return {
        "sys": {"type": "Array"},
        "items": list(items),
        "includes": {"Entry": list(entries), "Asset": list(assets)},
    }


def test_links_become_objects_shared_and_circular() -> None:
    document = response(
        node("a", b=link("b"), pictures=[link("a", "Asset")], gone=link("gone")),
        entries=[node("b", back=link("a"))],
        assets=[node("a", "Asset", title="A picture")],
    )
    before = copy.deepcopy(document)
    linked = link_entries(document)
    (a,) = linked.items
    assert a["fields"]["b"] is linked.by_id["b"]
    assert a["fields"]["b"]["fields"]["back"] is a
    assert a["fields"]["pictures"][0]["fields"]["title"] == "A picture"
    assert a["fields"]["gone"] == link("gone")
    assert set(linked.by_id) == {"a", "b"}
    assert document == before


def test_an_export_by_locale() -> None:
    sys = {"id": "a", "type": "Entry", "publishedVersion": 1}
    document = {
        "entries": [
            {
                "sys": sys,
                "fields": {"title": {"en-US": "Hello", "de-DE": "Hallo"}, "n": {"en-US": 1}},
            },
            {"sys": {"id": "draft", "type": "Entry"}, "fields": {}},
        ],
        "contentTypes": [],
        "locales": [
            {"code": "en-US", "default": True, "fallbackCode": None},
            {"code": "de-DE", "fallbackCode": None},
            {"code": "de-AT", "fallbackCode": "de-DE"},
        ],
    }
    assert link_entries(document).by_id["a"]["fields"] == {"title": "Hello", "n": 1}
    assert link_entries(document, locale="de-AT").items[0]["fields"] == {"title": "Hallo", "n": 1}
    assert set(link_entries(document).by_id) == {"a"}
    with pytest.raises(DocumentError, match="no locale 'fr'"):
        link_entries(document, locale="fr")


def test_documents_without_entries() -> None:
    with pytest.raises(DocumentError, match="native document"):
        link_entries({"format": "whichvariant/1", "experiences": []})
    with pytest.raises(DocumentError):
        link_entries({"something": "else"})


def test_the_shop_agrees_with_the_records() -> None:
    """The entries say of each baseline what the records of the engine say."""
    linked = link_entries(json.loads((STOREFRONT / "space.json").read_text()))
    engine = Engine.load(STOREFRONT / "space.json")
    profiles = (STOREFRONT / "profiles.ndjson").read_text().splitlines()
    replaced = 0
    for line in profiles:
        visit = json.loads(line)
        profile, events = visit.get("profile", visit), visit.get("events")
        selection = engine.select(profile, device=visit.get("device"), events=events, now=NOW)
        _, choices = resolve(linked.by_id["pageHome7ujHO2DWwOd8rc"], selection.experiences)
        records = {one["experienceId"]: one["variants"] for one in selection.experiences}
        for choice in choices:
            shown = choice.entry["sys"]["id"] if choice.entry is not None else ""
            assert records[str(choice.experience_id)][choice.baseline_id] == shown
            replaced += shown != choice.baseline_id
    assert replaced > 20

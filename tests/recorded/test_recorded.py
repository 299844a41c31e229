"""Recorded responses of the hosted API come out of the engine as they were recorded.

Every ``*.json`` in the folder of recorded responses is one case: its profile goes in, its
experiences and changes must come out. A recording may hold experiences whose configuration was not
kept with it; nothing can be said about those, everything else has to be equal, in order.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from oracle.oracle import evaluate
from whichvariant import Engine

pytestmark = pytest.mark.shared_data

DEVICES: dict[str, str] = {}
"""The device of recordings that were not made on a desktop, by file name. Responses do not say."""

NOW_MS = 1_760_000_000_000
"""When the recordings were made does not matter: their only event happens now."""

FOLDER = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "recorded"
# Without the folder one case remains, and the shared_data fixture says why it cannot run.
NAMES = sorted(path.name for path in FOLDER.glob("*.json")) or ["no recorded responses"]


def sources(shared_data: pathlib.Path) -> list[pathlib.Path]:
    """The configuration that served the recordings: two spaces, the first in two forms."""
    return [
        shared_data / "optimization-space.json",
        *sorted((shared_data / "optimization-entries").glob("*.json")),
        shared_data / "marketing-space.json",
    ]


def recording(shared_data: pathlib.Path, name: str) -> dict[str, Any]:
    """The data of a recorded response."""
    data: dict[str, Any] = json.loads((shared_data / "recorded" / name).read_text())["data"]
    return data


def page_view(landing_page: dict[str, Any]) -> dict[str, Any]:
    """The event that the visitor landed with."""
    return {
        "type": "page",
        "channel": "web",
        "context": {"page": landing_page, "campaign": {}},
        "properties": landing_page,
    }


def arguments(name: str, profile: dict[str, Any]) -> dict[str, Any]:
    """Device and events of a recording."""
    return {
        "device": DEVICES.get(name, "desktop"),
        "events": [page_view(profile["session"]["landingPage"])],
    }


def of_known(entries: list[dict[str, Any]], known: set[str]) -> list[dict[str, Any]]:
    """The records or changes of experiences whose configuration is there."""
    return [entry for entry in entries if (entry.get("meta") or entry)["experienceId"] in known]


def assert_as_recorded(answer: dict[str, Any], recorded: dict[str, Any], document: Any) -> None:
    """Equal, in order, nothing extra, for everything that the configuration knows."""
    known = {entry["nt_experience_id"] for entry in document["experiences"]}
    assert answer["experiences"] == of_known(recorded["experiences"], known)
    assert answer["changes"] == of_known(recorded["changes"], known)
    # The recorded list of audiences may have been shortened, so it is compared one way only.
    audiences = {entry["nt_audience_id"] for entry in document["audiences"]}
    assert set(recorded["profile"]["audiences"]) & audiences <= set(answer["audiences"])


# --- the raw entries as one native document, for the oracle --------------------------------------


def published_entries(source: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a Delivery API response, or those of an export that are no drafts."""
    if "entries" not in source:
        return [*source["items"], *source.get("includes", {}).get("Entry", [])]
    return [
        entry
        for entry in source["entries"]
        if "publishedVersion" in entry["sys"] or "publishedAt" in entry["sys"]
    ]


def field_of(entry: dict[str, Any], name: str) -> Any:
    """A field, whether keyed by the spaces' only locale or flat."""
    value = entry["fields"].get(name)
    return value["en-US"] if isinstance(value, dict) and "en-US" in value else value


def native_document(shared_data: pathlib.Path) -> dict[str, Any]:
    """All published audiences and experiences, put together without the package's loading."""
    entries: dict[str, dict[str, Any]] = {}
    for path in sources(shared_data):
        for entry in published_entries(json.loads(path.read_text())):
            content_type = entry["sys"]["contentType"]["sys"]["id"]
            if content_type in ("nt_audience", "nt_experience"):
                entries[entry["sys"]["id"]] = entry
    document: dict[str, Any] = {"audiences": [], "experiences": []}
    for entry in entries.values():
        if entry["sys"]["contentType"]["sys"]["id"] == "nt_audience":
            document["audiences"].append(
                {
                    "nt_audience_id": field_of(entry, "nt_audience_id"),
                    "nt_rules": field_of(entry, "nt_rules"),
                }
            )
            continue
        link = field_of(entry, "nt_audience")
        audience = entries[link["sys"]["id"]] if link else None
        document["experiences"].append(
            {
                "nt_experience_id": field_of(entry, "nt_experience_id"),
                "nt_config": field_of(entry, "nt_config"),
                "nt_audience": field_of(audience, "nt_audience_id") if audience else None,
            }
        )
    return document


# --- tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_engine_answers_as_recorded(shared_data: pathlib.Path, name: str) -> None:
    recorded = recording(shared_data, name)
    engine = Engine.load(*sources(shared_data))
    profile = recorded["profile"]
    how = arguments(name, profile)
    document = native_document(shared_data)
    assert_as_recorded(engine.select(profile, **how, now=NOW_MS).to_dict(), recorded, document)
    answer = json.loads(engine.select_json(json.dumps(profile).encode(), **how, now=NOW_MS))
    assert_as_recorded(answer, recorded, document)
    assert answer == evaluate(document, profile, **how, now_ms=NOW_MS)


@pytest.mark.parametrize("name", NAMES)
def test_oracle_answers_as_recorded(shared_data: pathlib.Path, name: str) -> None:
    recorded = recording(shared_data, name)
    profile = recorded["profile"]
    document = native_document(shared_data)
    answer = evaluate(document, profile, **arguments(name, profile), now_ms=NOW_MS)
    assert_as_recorded(answer, recorded, document)


def test_ten_of_the_new_visitors_eleven_experiences_are_known(shared_data: pathlib.Path) -> None:
    """The comparison above would be empty if the configuration lost its experiences."""
    recorded = recording(shared_data, "new-visitor.json")["experiences"]
    document = native_document(shared_data)
    known = {entry["nt_experience_id"] for entry in document["experiences"]}
    assert len(recorded) == 11
    assert len(of_known(recorded, known)) == 10

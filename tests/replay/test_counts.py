"""Every count of the report is what one visitor after the other gives."""

from __future__ import annotations

import copy
import json
import os
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.strategies import NOW_MS as CASE_NOW_MS
from oracle.strategies import Case, cases, json_text
from replay.comparing import assert_equals_brute_force
from replay.conftest import NOW_MS
from whichvariant import Engine
from whichvariant.errors import WhichVariantError
from whichvariant.replay import Source, replay

EXAMPLES = max(int(os.environ.get("WHICHVARIANT_EXAMPLES", "200")) // 4, 20)


def test_the_shop(old, new, records, write_ndjson):
    path = write_ndjson(records)
    report = replay(old, new, path, now=NOW_MS).to_dict()
    assert_equals_brute_force(report, old, new, records, now=NOW_MS)
    causes: set[str] = set()
    for experience in report["experiences"]:
        causes |= {cause for cause, count in experience["causes"].items() if count}
    assert causes == {"audience", "traffic", "sticky", "distribution", "new", "removed"}


def test_without_an_old_side(new, records, write_ndjson):
    report = replay(None, new, write_ndjson(records), now=NOW_MS).to_dict()
    assert report["against"] == "nothing"
    assert report["visitors"]["moved"] is None
    assert_equals_brute_force(report, None, new, records, now=NOW_MS)


def test_against_itself_nobody_moves(old, records, write_ndjson):
    report = replay(old, old, write_ndjson(records), now=NOW_MS)
    assert (report.moved, report.changed) == (0, 0)
    assert report.to_dict()["digests"]["old"] == report.to_dict()["digests"]["new"]


def test_a_changed_scheme_moves_by_traffic_and_distribution(live, old, records, write_ndjson):
    other = Engine.from_dict({**live, "scheme": "xxh64"})
    report = replay(old, other, write_ndjson(records), now=NOW_MS).to_dict()
    assert_equals_brute_force(report, old, other, records, now=NOW_MS)


def changed(document: dict[str, Any], random: Random) -> dict[str, Any]:
    """Another version of a configuration: experiences edited, gone, exchanged."""
    document = copy.deepcopy(document)
    kept = []
    for experience in document.get("experiences", ()):
        chance = random.random()
        if chance < 0.15:
            continue
        config = experience.setdefault("nt_config", {})
        if chance < 0.3:
            config["traffic"] = random.choice([0, 0.3, 1])
        elif chance < 0.5:
            config["distribution"] = random.choice([[0.5, 0.5], [0.2, 0.3, 0.5], [1], [0, 1]])
        elif chance < 0.6:
            config["sticky"] = not config.get("sticky", False)
        elif chance < 0.7:
            experience["nt_audience"] = None
        elif chance < 0.8:
            experience["nt_experience_id"] += "-next"
        kept.append(experience)
    document["experiences"] = kept
    return document


@given(case=cases(), seed=st.integers(0, 2**32))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
def test_generated_configurations(tmp_path_factory, case: Case, seed: int) -> None:
    random = Random(seed)
    old = Engine.from_dict(case.document)
    try:
        new = Engine.from_dict(changed(case.document, random))
    except WhichVariantError:
        return
    records = []
    lines = []
    for visit in case.visits:
        record = {"profile": visit.profile, "device": visit.device, "events": visit.events}
        try:
            for engine in (old, new):
                engine.select(
                    visit.profile, device=visit.device, events=visit.events, now=CASE_NOW_MS
                )
        except WhichVariantError:
            continue
        for number in range(3):
            # The same attributes, other draws; the last one is a visitor twice.
            profile = {**visit.profile}
            if number:
                profile["stableId"] = f"{visit.profile['stableId']}{number % 2}"
            records.append({**record, "profile": profile})
            lines.append(json_text(records[-1]))
    path = tmp_path_factory.mktemp("case") / "profiles.ndjson"
    path.write_bytes(b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines))
    if not records:
        return
    source = Source.of(path, unit_bytes=random.choice([500, 5000, 1 << 20]))
    report = replay(old, new, source, now=CASE_NOW_MS, workers=1, explain=False).to_dict()
    assert report["visitors"]["rejected"] == 0
    assert_equals_brute_force(report, old, new, records, now=CASE_NOW_MS)


def test_an_edited_variant_changes_what_is_seen_and_moves_nobody(live, old, records, write_ndjson):
    document = copy.deepcopy(live)
    for experience in document["experiences"]:
        if experience["nt_experience_id"] == "berlinStore9HeACecnqO7":
            experience["nt_config"]["components"][0]["variants"][0]["id"] = "other"
    new = Engine.from_dict(document)
    report = replay(old, new, write_ndjson(records), now=NOW_MS)
    assert report.moved == 0
    assert report.changed
    found = {e["id"]: e["edited"] for e in report.to_dict()["experiences"]}
    assert [identifier for identifier, edited in found.items() if edited] == [
        "berlinStore9HeACecnqO7"
    ]


def test_samples_are_the_smallest_keys_and_explained(old, new, records, write_ndjson):
    report = replay(old, new, write_ndjson(records), now=NOW_MS).to_dict()
    by_id = {record["profile"]["stableId"]: record for record in records}
    explained = 0
    for experience in report["experiences"]:
        for cell in experience["cells"]:
            for position, sample in enumerate(cell["samples"]):
                record = records[sample["record"]]
                assert sample["line"] == sample["record"] + 1
                assert record["profile"]["stableId"] == sample["stableId"]
                if position:
                    assert sample["explanation"] is None
                    continue
                request = by_id[sample["stableId"]]
                for side, engine in (("old", old), ("new", new)):
                    whole = engine.explain(
                        request["profile"],
                        device=request.get("device"),
                        events=request.get("events"),
                        now=NOW_MS,
                    ).to_dict()
                    part = [e for e in whole["experiences"] if e["id"] == experience["id"]]
                    found = sample["explanation"][side]
                    if not part:
                        assert found is None
                        continue
                    assert found["outcome"] == part[0]["outcome"]
                    assert found["distribution"] == part[0]["distribution"]
                    index = cell["from"] if side == "old" else cell["to"]
                    assert found.get("variantIndex") == index
                    explained += 1
    assert explained > 50


def test_fewer_samples_are_the_first_of_more(old, new, records, write_ndjson):
    path = write_ndjson(records)
    more = replay(old, new, path, now=NOW_MS).to_dict()
    fewer = replay(old, new, path, now=NOW_MS, samples=2, explain=False).to_dict()
    none = replay(old, new, path, now=NOW_MS, samples=0).to_dict()
    for one, other, nothing in zip(
        more["experiences"], fewer["experiences"], none["experiences"], strict=True
    ):
        for a, b, c in zip(one["cells"], other["cells"], nothing["cells"], strict=True):
            assert [s["stableId"] for s in b["samples"]] == [
                s["stableId"] for s in a["samples"][:2]
            ]
            assert c["samples"] == []
    assert more["digest"] == fewer["digest"] == none["digest"]


def test_the_report_is_plain_json(old, new, records, write_ndjson):
    report = replay(old, new, write_ndjson(records), now=NOW_MS)
    assert json.loads(report.to_json()) == report.to_dict()


@pytest.mark.parametrize("samples", [-1, 6])
def test_samples_are_bounded(old, new, write_ndjson, records, samples):
    with pytest.raises(ValueError, match="samples"):
        replay(old, new, write_ndjson(records), samples=samples)

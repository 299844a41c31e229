"""What the tests of columns share: records of generated visits, and what each has to decide."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import dataclass
from typing import Any

import orjson

from oracle.strategies import Case, Visit, json_text
from whichvariant import Engine
from whichvariant.columns import ColumnsResult, Intake
from whichvariant.errors import InputError

Decision = tuple[list[str], list[tuple[str, int]]] | str
"""Audiences and (experience, index), or the text of the error."""


@dataclass(frozen=True)
class Record:
    """One record as JSON, as Python objects, and the visit that it holds."""

    raw: bytes
    value: dict[str, Any]
    visit: Visit
    is_request: bool


def record_of(visit: Visit, number: int) -> Record:
    """A visit in one of the shapes that a record may have, by turns."""
    shape = number % 4
    if shape == 0:
        return Record(json_text(visit.profile), visit.profile, visit, False)
    if shape == 1:
        value: dict[str, Any] = {"data": {"profile": visit.profile, "more": [1]}, "error": None}
        return Record(json_text(value), value, visit, False)
    value = {"profile": visit.profile, "events": visit.events, "device": visit.device}
    return Record(json_text(value), value, visit, True)


def decision(engine: Engine, record: Record) -> Decision:
    """What the driver for one profile decides for a record."""
    device = record.visit.device if record.is_request else None
    events = record.visit.events if record.is_request else None
    try:
        answer = json.loads(
            engine.select_json(
                json_text(record.visit.profile),
                device=device,
                events=events,
                now=record.visit.now_ms,
            )
        )
    except InputError as error:
        return str(error)
    return answer["audiences"], [
        (one["experienceId"], one["variantIndex"]) for one in answer["experiences"]
    ]


def decisions_of(intake: Intake) -> list[list[Decision]]:
    """What waits in an intake, decided: for each engine a decision per record that was read."""
    results = intake.evaluate()
    rejected = intake.take_rejected()
    found = []
    for result in results:
        by_record: dict[int, Decision] = {}
        for row, record in enumerate(result.records.tolist()):
            selection = result.selection(row)
            by_record[record] = (selection["audiences"], selection["experiences"])
        for one in rejected:
            by_record[one.record] = str(one.error)
        found.append([by_record[record] for record in sorted(by_record)])
    return found


def intake_for(case: Case, *engines: Engine, rows: int = 1 << 14) -> Intake:
    """An intake at the moment of a case's visits."""
    return Intake(*engines, rows=rows, now=case.visits[0].now_ms)


@functools.cache
def storefront() -> tuple[Engine, Engine]:
    """Two engines that differ, over the same few attributes."""
    return Engine.from_dict(plain_document(0.5)), Engine.from_dict(plain_document(0.25))


def plain_document(share: float, scheme: str = "murmur3") -> dict[str, Any]:
    """A configuration with audiences of every size, ids of several lengths, sticky ones too."""

    def leaf(kind: str, key: str, operator: str, value: Any) -> dict[str, Any]:
        return {"type": kind, "key": key, "operator": operator, "value": value}

    rules = {
        "pro": {"any": [{"all": [leaf("identify", "plan", "in", ["pro", "team"])]}]},
        "old": {"any": [{"all": [leaf("identify", "age", "gte", 60)]}]},
        "rare": {"any": [{"all": [leaf("identify", "age", "equal", 33)]}]},
        "not-de": {"not": leaf("location", "countryCode", "equal", "DE")},
        "none": {"any": []},
    }
    experiences = []
    for number, audience in enumerate([None, "pro", "old", "rare", "not-de", "none"] * 4):
        experiences.append(
            {
                "nt_experience_id": f"e{number}" + "x" * (number % 5),
                "nt_audience": audience,
                "nt_config": {
                    "traffic": [1, 1, 0.7, 0.01][number % 4],
                    "distribution": [
                        [share, 1 - share], [0, 1], [1], [0.2] * 5, [0.1] * 10, [1, 0],
                    ][number // 4],
                    "sticky": number % 3 == 0,
                },
            }
        )  # fmt: skip
    return {
        "scheme": scheme,
        "audiences": [{"nt_audience_id": key, "nt_rules": rule} for key, rule in rules.items()],
        "experiences": experiences,
    }


def plain_profiles(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Profiles for `plain_document`, quickly made: UUIDs, other ids, attributes that miss."""
    rng = random.Random(seed)
    profiles = []
    for number in range(count):
        bits = rng.getrandbits(256)
        kind = bits % 16
        stable = f"{bits >> 128:032x}"
        if kind < 12:
            stable = f"{stable[:8]}-{stable[8:12]}-{stable[12:16]}-{stable[16:20]}-{stable[20:]}"
        elif kind == 12:
            stable = f"{bits:064x}"
        elif kind == 13:
            stable = f"visitor-{number}"
        elif kind == 14:
            stable = ["x", "", "ab", "zoë", "é🎈" * 9, "y" * 300, "日" * 20][number % 7]
        profile: dict[str, Any] = {"stableId": stable}
        traits: dict[str, Any] = {}
        if bits >> 20 & 3:
            traits["plan"] = ["free", "pro", "team", "big"][bits >> 22 & 3]
        if bits >> 30 & 3:
            traits["age"] = [bits >> 32 & 127, float(bits >> 32 & 127) + 0.5][bits >> 40 & 1]
        if traits:
            profile["traits"] = traits
        if bits >> 50 & 7:
            profile["location"] = {"countryCode": ["DE", "AT", "CH", "FR"][bits >> 53 & 3]}
        if bits >> 60 & 7 == 0:
            profile["stickyVariants"] = {
                f"e{number % 24}" + "x" * (number % 24 % 5): bits >> 70 & 3
            }
        profiles.append(profile)
    return profiles


def ndjson(profiles: list[dict[str, Any]]) -> bytes:
    """The profiles as lines."""
    return b"".join(orjson.dumps(profile) + b"\n" for profile in profiles)


def read(data: bytes, *engines: Engine, form: Any = "ndjson") -> tuple[ColumnsResult, ...]:
    """All of ``data`` as one batch, none of it refused."""
    intake = Intake(*engines, rows=1 << 20, now=0)
    intake.begin(form)
    assert intake.feed(data, final=True) == len(data)
    assert intake.take_rejected() == []
    return intake.evaluate()

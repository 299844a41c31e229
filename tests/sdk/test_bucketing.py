"""The vendor's SDK as the judge of bucketing: who is in, which index, which entries.

The SDK runs under Node; `npm` says how it is installed.
"""

from __future__ import annotations

import json
import math
import pathlib
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from tests.sdk.npm import Installed

from oracle.oracle import draws, evaluate, number_text
from oracle.preimage import stable_id_drawing
from whichvariant import Engine

pytestmark = pytest.mark.sdk

HERE = pathlib.Path(__file__).parent

ANSWER_SECONDS = 300


# --- the judge -----------------------------------------------------------------------------------


class Sdk:
    """The installed SDK; one process answers one list of pairs."""

    def __init__(self, node: str, folder: pathlib.Path) -> None:
        self.node = node
        self.folder = folder

    def decide(self, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
        """The SDK's decision for each (experience, profile)."""
        lines = [
            json.dumps({"experience": experience, "profile": profile})
            for experience, profile in pairs
        ]
        finished = subprocess.run(
            [self.node, str(HERE / "bucket.cjs")],
            input="\n".join(lines),
            capture_output=True,
            encoding="utf-8",
            cwd=self.folder,
            timeout=ANSWER_SECONDS,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr == ""
        answers = [json.loads(line) for line in finished.stdout.splitlines()]
        assert len(answers) == len(pairs)
        return answers


@pytest.fixture(scope="session")
def sdk(packages: Installed) -> Sdk:
    """The SDK as the judge."""
    return Sdk(packages.node, packages.folder)


# --- batches: many experiences in one document, many visitors ------------------------------------


@dataclass
class Batch:
    """One native document and the profiles to bucket; every pair of them is compared."""

    name: str
    document: dict[str, Any]
    profiles: list[dict[str, Any]]


def native(
    experience_id: str,
    traffic: float,
    distribution: list[Any],
    variants: list[list[str]],
    audience_id: str | None = None,
) -> dict[str, Any]:
    """A native experience; ``variants`` are the variants' ids of each of its components."""
    return {
        "nt_experience_id": experience_id,
        "nt_audience": audience_id,
        "nt_config": {
            "traffic": traffic,
            "distribution": distribution,
            "components": [
                {
                    "type": "EntryReplacement",
                    "baseline": {"id": f"baseline-{place}"},
                    "variants": [{"id": one} for one in ids],
                }
                for place, ids in enumerate(variants)
            ],
        },
    }


def in_the_sdks_shape(experience: dict[str, Any]) -> dict[str, Any]:
    """A native experience as the SDK has it: shares become segments by cumulative sums."""
    config = experience["nt_config"]
    segments = []
    total = 0.0
    for index, entry in enumerate(config["distribution"]):
        if isinstance(entry, dict):
            segments.append(entry)
        else:
            segments.append({"index": index, "start": total, "end": total + entry})
            total += entry
    shape = {
        "id": experience["nt_experience_id"],
        "type": "nt_experiment",
        "trafficAllocation": config["traffic"],
        "distribution": segments,
        "components": config["components"],
    }
    if experience["nt_audience"] is not None:
        shape["audience"] = {"id": experience["nt_audience"]}
    return shape


def document(experiences: list[dict[str, Any]]) -> dict[str, Any]:
    """A native document; audiences are given, so their rules do not matter."""
    ids = dict.fromkeys(one["nt_audience"] for one in experiences if one["nt_audience"])
    return {
        "format": "whichvariant/1",
        "audiences": [{"nt_audience_id": one, "nt_rules": {"any": []}} for one in ids],
        "experiences": experiences,
    }


TRAFFIC = [0, 5e-324, 1e-10, 0.1, 0.5, 1 - 2**-53, 1, 1, 1, 1]

DISTRIBUTIONS: list[list[float]] = [
    [1], [0], [0, 1], [1, 0], [0, 0, 0], [0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.1] * 10, [0.25] * 4,
    [0.3333333333333333] * 3, [0.2, 0.2], [0.7, 0.7, 0.7], [1e-12, 1 - 1e-12], [1 - 1e-12, 1e-12],
    [0.5, 1e-12, 0.5], [0.1, 0.2, 0.3, 0.4], [0.9, 0.1], [5e-324, 1], [0, 0, 1], [1, 1, 1],
    [0.15, 0.5, 0.35], [1 - 2**-53, 2**-53], [2**-32] * 3, [1 / 7] * 7, [0.01, 0.99],
]  # fmt: skip

ALPHABETS = ["abcXYZ019-_", "0123456789abcdef", "aéüß", "日本語a", "🎈a🎉", "\u0100\u0141\uffee"]


def text_of_length(source: Random, length: int) -> str:
    """A text of that many characters."""
    alphabet = source.choice(ALPHABETS)
    return "".join(source.choice(alphabet) for _ in range(length))


def stable_ids(source: Random) -> list[str]:
    """Every length from 0 to 40, long ones, the usual kinds of ids, and not only ASCII."""
    ids = [text_of_length(source, length) for length in range(1, 41)]
    ids += [str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in range(20)]
    ids += [f"{source.getrandbits(256):064x}" for _ in range(20)]
    ids += ["", "é" * 5000, "x" * 5000, "🎈" * 2500 + "y", " ", "\x00", "null", "-", "a-b-c"]
    return list(dict.fromkeys(ids))


def distribution(source: Random) -> list[Any]:
    """Shares, or explicit segments with gaps and overlaps."""
    kind = source.random()
    if kind < 0.5:
        return list(source.choice(DISTRIBUTIONS))
    if kind < 0.75:
        shares = [source.random() for _ in range(source.randint(1, 10))]
        scale = source.choice([sum(shares), 1.0, 2 * sum(shares), 0.5 * sum(shares)])
        return [share / scale if share / scale <= 1 else 1.0 for share in shares]
    points = [0, 0.5, 1, 1e-12, 1 - 2**-53, *(source.random() for _ in range(5))]
    segments = []
    for _ in range(source.randint(1, 6)):
        start, end = sorted(source.choices(points, k=2))
        segments.append({"index": source.randint(0, 9), "start": start, "end": end})
    return segments


def mixed_batch(seed: int) -> Batch:
    """Experiences with ids of every length modulo 4, some behind an audience."""
    source = Random(seed)
    experiences = {}
    for length in range(1, 41):
        experience_id = text_of_length(source, length)
        variants = [
            [
                source.choice(["", f"variant-{place}-{index}"])
                for index in range(source.randint(0, 9))
            ]
            for place in range(source.randint(1, 3))
        ]
        audience_id = source.choice([None, None, "insiders", "zoë"])
        experiences[experience_id] = native(
            experience_id, source.choice(TRAFFIC), distribution(source), variants, audience_id
        )
    profiles = [
        {
            "stableId": stable_id,
            "audiences": source.sample(["insiders", "zoë", "unknown"], source.randint(0, 3)),
        }
        for stable_id in stable_ids(source)
    ]
    return Batch(f"mixed {seed}", document(list(experiences.values())), profiles)


def neighbours(draw: float) -> list[float]:
    """The draw and the doubles next to it, within [0, 1]."""
    near = [draw, math.nextafter(draw, math.inf), math.nextafter(draw, -math.inf)]
    return [point for point in near if 0 <= point <= 1]


def edge_batch(seed: int) -> Batch:
    """Boundaries that are some visitor's exact draw, or the double next to it."""
    source = Random(seed)
    profiles = [{"stableId": f"{source.getrandbits(128):032x}"[: 1 + place]} for place in range(30)]
    experiences = []
    for number in range(40):
        stable_id = source.choice(profiles)["stableId"]
        for kind in range(8):
            experience_id = f"{number}-{kind}" + "x" * (number % 4)
            traffic, split = draws("murmur3", experience_id, stable_id)
            point = source.choice(neighbours(split))
            shares: list[Any] = [point, 1 - point]
            if kind == 0:
                shares = [0.5, 0.5]
            elif kind == 1:
                shares = [point / 2, point / 2, 1 - point]
            elif kind == 2:
                shares = [{"index": 1, "start": point, "end": 1}]
            elif kind == 3:
                shares = [{"index": 1, "start": 0, "end": point}]
            elif kind == 4:
                shares = [
                    {"index": 2, "start": point, "end": point},
                    {"index": 1, "start": 0, "end": 1},
                ]
            elif kind == 5:
                # Two neighbours with nothing between them: the segment holds one draw or none.
                low, high = sorted(source.choices(neighbours(split), k=2))
                shares = [{"index": 1, "start": low, "end": high}]
            elif kind == 6:
                # Sums whose last bits depend on the order and precision of the additions.
                shares = [point / 10] * 10
            elif kind == 7:
                shares = [*[point / 7] * 7, 1 - point]
            experiences.append(
                native(
                    experience_id,
                    source.choice(neighbours(traffic)) if kind < 3 else 1,
                    shares,
                    [["one", "two"], ["one"]],
                )
            )
    return Batch(f"edges {seed}", document(experiences), profiles)


def made_batch(seed: int) -> Batch:
    """Visitors made to draw the lowest, the highest and the middle of what can be drawn."""
    source = Random(seed)
    experiences = []
    profiles = []
    hashes = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF]
    splits: list[list[Any]] = [
        [0, 1], [0.5, 0.5], [1, 0], [0, 0, 1], [1 - 2**-53, 2**-53], [0.1] * 10,
        [{"index": 1, "start": 0, "end": 0}], [{"index": 1, "start": 1, "end": 1}],
        [{"index": 1, "start": 5e-324, "end": 1 - 2**-53}],
        [{"index": 1, "start": 1 / 4294967295, "end": 4294967294 / 4294967295}],
    ]  # fmt: skip
    limits = [0, 5e-324, 1 / 4294967295, 0.5, 1 - 2**-53, 4294967294 / 4294967295, 1]
    for number, split in enumerate(splits):
        for place, limit in enumerate(limits):
            experience_id = f"made-{number}-{place}" + "y" * source.randint(0, 3)
            experiences.append(native(experience_id, limit, split, [["one"]]))
            kind = source.choice(["traffic", "distribution"])
            profiles += [
                {"stableId": stable_id_drawing(kind, experience_id, wanted, f"v{place}")}
                for wanted in source.sample(hashes, 3)
            ]
    return Batch(f"made {seed}", document(experiences), profiles)


def batches() -> Iterator[Batch]:
    """About 70,000 pairs."""
    for seed in range(10):
        yield mixed_batch(seed)
    for seed in range(10, 12):
        yield edge_batch(seed)
    yield made_batch(12)


@dataclass
class Judged:
    """One pair and what the SDK decided."""

    batch: Batch
    experience: dict[str, Any]
    profile: dict[str, Any]
    decision: dict[str, Any]

    def __str__(self) -> str:
        return json.dumps([self.batch.name, self.experience, self.profile, self.decision])[:3000]


@pytest.fixture(scope="session")
def judged(sdk: Sdk) -> list[Judged]:
    """Every pair of every batch with the SDK's decision."""
    pairs = [
        (batch, experience, profile)
        for batch in batches()
        for profile in batch.profiles
        for experience in batch.document["experiences"]
    ]
    assert len(pairs) >= 20_000
    decisions = sdk.decide(
        [
            # The SDK reads the list of audiences of every profile; it has no default for it.
            (in_the_sdks_shape(experience), {"audiences": [], **profile})
            for _, experience, profile in pairs
        ]
    )
    return [Judged(*pair, decision) for pair, decision in zip(pairs, decisions, strict=True)]


def by_visit(judged: list[Judged]) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Judged]]]:
    """The pairs of each (document, profile) together."""
    visit: list[Judged] = []
    for one in judged:
        if visit and (one.profile is not visit[0].profile or one.batch is not visit[0].batch):
            yield visit[0].batch.document, visit[0].profile, visit
            visit = []
        visit.append(one)
    yield visit[0].batch.document, visit[0].profile, visit


def assert_agrees(one: Judged, record: dict[str, Any] | None) -> None:
    """One record, or its absence, against the SDK's decision.

    The SDK's ``selectVariant`` says index 0 where the distribution's index has no variant; the
    API's record keeps the distribution's index and falls back to the baseline (SEMANTICS section
    4). So the index is compared with ``selectDistribution``, the ids with ``selectVariant``.
    """
    assert one.decision["match"] is (record is not None), one
    assert (one.decision["selected"] is not None) is one.decision["match"], one
    if record is None:
        return
    assert record["variantIndex"] == one.decision["index"], one
    chosen = {component["baseline"]: component["id"] for component in one.decision["components"]}
    assert record["variants"] == chosen, one
    assert "sticky" not in record, one


def test_pairs_reach_every_outcome(judged: list[Judged]) -> None:
    """The judge is worth its time only if both answers come often, and every index."""
    matches = sum(one.decision["match"] for one in judged)
    assert 0.2 < matches / len(judged) < 0.9
    assert {one.decision["index"] for one in judged} == set(range(10))


def test_draws_equal_the_oracles_bit_for_bit(judged: list[Judged]) -> None:
    for one in judged:
        experience_id = one.experience["nt_experience_id"]
        drawn = draws("murmur3", experience_id, one.profile["stableId"])
        assert (one.decision["traffic"], one.decision["distribution"]) == drawn, one


def test_oracle_decides_as_the_sdk(judged: list[Judged]) -> None:
    for document_, profile, visit in by_visit(judged):
        answer = evaluate(document_, profile, audiences="given")
        records = {record["experienceId"]: record for record in answer["experiences"]}
        for one in visit:
            assert_agrees(one, records.get(one.experience["nt_experience_id"]))


def test_engine_decides_as_the_sdk(judged: list[Judged]) -> None:
    engines: dict[str, Engine] = {}
    for document_, profile, visit in by_visit(judged):
        name = visit[0].batch.name
        if name not in engines:
            engines[name] = Engine.from_dict(document_)
        answer = engines[name].select(profile, audiences="given").to_dict()
        records = {record["experienceId"]: record for record in answer["experiences"]}
        for one in visit:
            assert_agrees(one, records.get(one.experience["nt_experience_id"]))


def test_number_texts_are_javascripts(sdk: Sdk) -> None:
    """The oracle's ``String()`` of doubles, judged by the language that defines it."""
    source = Random(7)
    numbers = [0.0, -0.0, 1e21, 1e20, 5e-324, 1.7976931348623157e308, 1e-6, 1e-7, 2.0**53, 0.1]
    numbers += [10.0**exponent for exponent in range(-30, 31)]
    while len(numbers) < 20_000:
        kind = source.random()
        if kind < 0.5:
            number = math.ldexp(source.random() - 0.5, source.randint(-1070, 1023))
        elif kind < 0.75:
            number = float(
                source.randint(-(10 ** source.randint(1, 25)), 10 ** source.randint(1, 25))
            )
        else:
            number = round(source.random() * 10 ** source.randint(-8, 8), source.randint(0, 12))
        numbers.append(number)
    script = (
        "const numbers = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "process.stdout.write(JSON.stringify(numbers.map(String)));"
    )
    finished = subprocess.run(
        [sdk.node, "-e", script],
        input=json.dumps(numbers),
        capture_output=True,
        encoding="utf-8",
        timeout=ANSWER_SECONDS,
        check=True,
    )
    for number, text in zip(numbers, json.loads(finished.stdout), strict=True):
        assert number_text(number) == text

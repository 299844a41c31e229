"""Many visitors of a workload, as Arrow, as Parquet and as lines, made quickly.

The profiles of a workload are drawn again and again under new stable ids: columns then hold as many
values as real ones do, and no two visitors share their draws.
"""

from __future__ import annotations

import io
import json
import random
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.workloads import Workload, lock_some, make_profile, workload

Json = Any
DISTINCT = 4096


def paths_of(rule: Json) -> set[str]:
    """The attributes that a rule reads, as dotted columns."""
    if "type" not in rule:
        parts = [*rule.get("any", []), *rule.get("all", [])]
        parts += [rule["not"]] if "not" in rule else []
        return set().union(*map(paths_of, parts)) if parts else set()
    kind, key = rule["type"], rule.get("key", "")
    if kind == "isReturningVisitor":
        return {"session.isReturningVisitor"}
    return {f"{'traits' if kind == 'identify' else kind}.{key}"}


@dataclass(frozen=True)
class Crowd:
    """``count`` visitors of a workload."""

    subject: Workload
    count: int

    @cached_property
    def profiles(self) -> list[dict[str, Json]]:
        """The distinct profiles that rows repeat."""
        rng = random.Random(7)
        ids = [one["nt_audience_id"] for one in self.subject.document["audiences"]]
        made = [make_profile(rng, ids) for _ in range(min(DISTINCT, self.count))]
        lock_some(rng, self.subject.document["experiences"], made)
        return made

    @cached_property
    def stable_ids(self) -> list[str]:
        """A UUID for each row."""
        rng = random.Random(8)
        return [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(self.count)]

    @cached_property
    def picks(self) -> list[int]:
        """Which of the distinct profiles each row repeats."""
        return random.Random(9).choices(range(len(self.profiles)), k=self.count)

    @cached_property
    def paths(self) -> list[str]:
        """The attributes that the rules read."""
        rules = [one["nt_rules"] for one in self.subject.document["audiences"]]
        return sorted(set().union(*map(paths_of, rules)))

    @cached_property
    def table(self) -> pa.Table:
        """One column for each attribute that rules read; texts are dictionary-encoded."""
        picks = pa.array(self.picks)
        columns: dict[str, pa.Array] = {"stableId": pa.array(self.stable_ids)}
        for path in self.paths:
            array = pa.array([value_at(profile, path) for profile in self.profiles])
            if pa.types.is_string(array.type):
                array = array.dictionary_encode()
            columns[path] = array.take(picks)
        choices = [list((one.get("stickyVariants") or {}).items()) or None for one in self.profiles]
        kind = pa.map_(pa.string(), pa.int32())
        columns["stickyVariants"] = pa.array(choices, kind).take(picks)
        return pa.table(columns).combine_chunks()

    @cached_property
    def parquet(self) -> bytes:
        """The table as a Parquet file."""
        buffer = io.BytesIO()
        pq.write_table(self.table, buffer, row_group_size=1 << 17)
        return buffer.getvalue()

    @cached_property
    def lines(self) -> bytes:
        """The whole profiles as NDJSON."""
        starts = []
        for profile in self.profiles:
            rest = {key: value for key, value in profile.items() if key != "stableId"}
            starts.append(json.dumps(rest, separators=(",", ":"), ensure_ascii=False)[1:].encode())
        return b"".join(
            b'{"stableId":"' + stable.encode() + b'",' + starts[pick] + b"\n"
            for stable, pick in zip(self.stable_ids, self.picks, strict=True)
        )

    def profile(self, row: int) -> dict[str, Json]:
        """One row as a profile."""
        return {**self.profiles[self.picks[row]], "stableId": self.stable_ids[row]}


def value_at(profile: Json, path: str) -> Json:
    """The value of a dotted attribute, None where there is none."""
    for key in path.split("."):
        if not isinstance(profile, dict):
            return None
        profile = profile.get(key)
    return profile


def crowd(name: Any, count: int) -> Crowd:
    """``count`` visitors of the workload ``name``."""
    return Crowd(workload(name), count)

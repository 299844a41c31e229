"""Workers, duplicates, resuming, full disks: the result is the same, or there is none."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from replay.conftest import NOW_MS
from whichvariant import Engine
from whichvariant.errors import ReplayError, SourceError
from whichvariant.replay import Source, duplicates, replay, state
from whichvariant.replay.duplicates import KeySet, across_runs, write_runs
from whichvariant.replay.partial import Partial
from whichvariant.replay.pool import _Interrupts


def same(one, other):
    """Equal reports, but for what tells of the run."""
    first, second = one.to_dict(), other.to_dict()
    for report in (first, second):
        del report["run"]
    assert first == second


def test_workers_do_not_matter(old, new, records, write_ndjson):
    source = Source.of(write_ndjson(records), unit_bytes=100_000)
    alone = replay(old, new, source, now=NOW_MS, workers=1)
    several = replay(old, new, source, now=NOW_MS, workers=3)
    assert several.to_dict()["run"]["workers"] == 3
    same(alone, several)


def test_progress_reaches_the_end(old, new, records, write_ndjson):
    path = write_ndjson(records)
    seen = []
    replay(old, new, path, now=NOW_MS, workers=1, progress=seen.append)
    assert seen[-1].records == len(records)
    assert seen[-1].bytes == seen[-1].total_bytes == path.stat().st_size
    assert [s.records for s in seen] == sorted(s.records for s in seen)


# ---- duplicates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("run_records", [1 << 21, 200])
@pytest.mark.parametrize("unit_bytes", [1 << 30, 60_000])
def test_the_first_record_counts(
    old, new, *, records, write_ndjson, monkeypatch, run_records, unit_bytes
):
    # Runs are cut between batches, so batches have to be small for there to be several.
    monkeypatch.setattr(duplicates, "RUN_RECORDS", run_records)
    monkeypatch.setattr("whichvariant.replay.work.ROWS", 100)
    others = [
        {**record, "profile": {**other["profile"], "stableId": record["profile"]["stableId"]}}
        for record, other in zip(records[:300], records[300:600], strict=True)
    ]
    mixed = [*records[:700], *others, *records[600:], *records[:50]]
    expected = replay(old, new, write_ndjson(records, "once.ndjson"), now=NOW_MS, workers=1)
    source = Source.of(write_ndjson(mixed), unit_bytes=unit_bytes)
    report = replay(old, new, source, now=NOW_MS, workers=1)
    assert report.digest == expected.digest
    assert report.to_dict()["visitors"]["duplicates"] == len(mixed) - len(records)
    kept = replay(old, new, source, now=NOW_MS, workers=1, deduplicate=False)
    assert kept.counted == len(mixed)


@pytest.mark.parametrize("run_records", [300, 1 << 21])
def test_a_key_set_is_a_set(monkeypatch, run_records):
    monkeypatch.setattr(duplicates, "RUN_RECORDS", run_records)
    random = np.random.default_rng(3)
    keys = random.integers(0, 50, (2, 4000), np.uint64)
    found = KeySet()
    seen = set()
    for start in range(0, 4000, 130):
        part = keys[:, start : start + 130]
        first = found.add(part)
        for row, key in enumerate(part.T.tolist()):
            assert first[row] == (tuple(key) not in seen)
            seen.add(tuple(key))
    assert {tuple(key) for key in found.take().T.tolist()} == seen


def test_keys_across_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "_BUCKET_KEYS", 64)
    random = np.random.default_rng(4)
    paths, seen, expected = [], set(), {}
    for unit in range(4):
        runs = []
        for number in range(2):
            keys = np.unique(random.integers(0, 1 << 64, (3, 200), np.uint64) >> 56 << 56, axis=1)
            keys = np.unique(keys[:2], axis=1)
            runs.append(keys)
            again = {tuple(key) for key in keys.T.tolist()} & seen
            if again:
                expected.setdefault(unit, {})[number] = again
            seen |= {tuple(key) for key in keys.T.tolist()}
        path = tmp_path / f"{unit}"
        write_runs(str(path), runs)
        paths.append((unit, str(path)))
    found = {
        unit: {run: {tuple(key) for key in keys.T.tolist()} for run, keys in by_run.items()}
        for unit, by_run in across_runs(paths).items()
    }
    assert found == expected
    assert expected


# ---- resuming ------------------------------------------------------------------------------------


SCRIPT = """
import os, signal, sys, time
from whichvariant import Engine
from whichvariant.replay import Source, replay

def main():
    old, new, path, kept, workers = sys.argv[1:6]
    out = sys.argv[6] if len(sys.argv) > 6 else None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    source = Source.of(path, unit_bytes=60_000)
    print("begin", flush=True)
    report = replay(
        Engine.load(old), Engine.load(new), source, now=1_793_534_400_000, workers=int(workers),
        resume=kept, assignments=out,
    )
    print(report.digest, flush=True)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def prepared(tmp_path, live, planned, records, write_ndjson):
    """Files for a process of its own."""
    (tmp_path / "old.json").write_text(json.dumps(live))
    (tmp_path / "new.json").write_text(json.dumps(planned))
    (tmp_path / "script.py").write_text(SCRIPT)
    # Some twice, so that there is a second reading to be interrupted as well.
    write_ndjson([*records, *records[:40]])
    return tmp_path


def start(prepared: pathlib.Path, kept: pathlib.Path, workers: int, **options):
    """A replay in a process of its own."""
    paths = [prepared / name for name in ("old.json", "new.json", "profiles.ndjson")]
    return subprocess.Popen(
        [sys.executable, prepared / "script.py", *paths, kept, str(workers),
         *map(str, options.pop("more", ()))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )  # fmt: skip


def wait_for(kept: pathlib.Path, n: int) -> None:
    """Wait until some units are done."""
    until = time.monotonic() + 60
    while len(list(kept.glob("*.partial"))) < n:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_goes_on(prepared, old, new, workers, how):
    expected = replay(old, new, prepared / "profiles.ndjson", now=NOW_MS, workers=1)
    kept = prepared / "kept"
    for n in (1, 6):
        process = start(prepared, kept, workers)
        wait_for(kept, n)
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            # As a terminal does it: everybody in the group is told.
            os.killpg(process.pid, how)
        out, err = process.communicate(timeout=60)
        assert process.returncode != 0, (out, err)
    process = start(prepared, kept, workers)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.decode().split()[-1] == expected.digest
    # And what is complete is there at once.
    again = replay(
        old, new, Source.of(prepared / "profiles.ndjson", unit_bytes=60_000), now=NOW_MS,
        resume=kept, workers=1,
    )  # fmt: skip
    assert again.digest == expected.digest
    facts = again.to_dict()["run"]
    assert facts["resumedUnits"] == facts["units"] > 6


@pytest.mark.parametrize("looks", [True, False])
def test_interrupts_wait_for_a_moment_without_locks(looks):
    before = signal.getsignal(signal.SIGINT)
    reached = []

    def interrupted():
        with _Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            reached.append("not raised at once")
            if looks:
                interrupts.check()
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == ["not raised at once", "the end"][: 1 if looks else 2]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_that_dies_is_an_error(prepared):
    kept = prepared / "kept"
    process = start(prepared, kept, 2)
    wait_for(kept, 1)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split():
        if b"spawn_main" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"ReplayError: a worker process died" in err


def test_a_state_belongs_to_one_run(old, new, records, write_ndjson, tmp_path):
    path = write_ndjson(records[:50])
    kept = tmp_path / "kept"
    first = replay(old, new, path, now=NOW_MS, resume=kept)
    assert replay(old, new, path, resume=kept).digest == first.digest, "the time is kept too"
    with pytest.raises(ReplayError, match="the new configuration changed"):
        replay(old, old, path, now=NOW_MS, resume=kept)
    with pytest.raises(ReplayError, match="the time changed"):
        replay(old, new, path, now=NOW_MS + 1, resume=kept)
    write_ndjson(records[:60])
    with pytest.raises(ReplayError, match="the profiles changed"):
        replay(old, new, path, now=NOW_MS, resume=kept)
    with pytest.raises(ReplayError, match="only a replay of files"):
        replay(old, new, __import__("pyarrow").table({"stableId": ["a"]}), resume=kept)


def test_a_state_is_used_by_one_run_at_a_time(old, new, records, write_ndjson, tmp_path):
    kept = tmp_path / "kept"
    with state.State(kept), pytest.raises(ReplayError, match="another run is using it"):
        replay(old, new, write_ndjson(records[:5]), resume=kept)


def test_a_damaged_part_is_noticed(old, new, records, write_ndjson, tmp_path):
    path = write_ndjson(records[:50])
    kept = tmp_path / "kept"
    report = replay(old, new, path, now=NOW_MS, resume=kept)
    part = kept / "unit-000000.partial"
    whole = part.read_bytes()
    assert Partial.from_bytes(whole, report.plan).to_bytes() == whole
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ReplayError, match="damaged"):
        replay(old, new, path, now=NOW_MS, resume=kept)


# ---- outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("compared", [True, False])
def test_assignments_are_what_select_gives(
    old, new, *, records, write_ndjson, tmp_path, form, compared
):
    out = tmp_path / "out"
    path = write_ndjson([*records[:400], *records[:30]])
    source = Source.of(path, unit_bytes=100_000)
    replay(
        old if compared else None, new, source, now=NOW_MS, assignments=out,
        assignment_format=form, workers=1,
    )  # fmt: skip
    assert len(list(out.iterdir())) == len(source.units) > 1
    found = {}
    for part in sorted(out.iterdir()):
        for row in read_rows(part, form):
            assert row["stableId"] not in found
            found[row.pop("stableId")] = row
    assert len(found) == 400
    for record in records[:400]:
        wanted = {}
        for side, engine in (("new", new), ("old", old if compared else None)):
            if engine is None:
                continue
            selection = engine.select(
                record["profile"], device=record.get("device"), events=record.get("events"),
                now=NOW_MS,
            )  # fmt: skip
            for one in selection.experiences:
                wanted[f"{side}.{one['experienceId']}"] = one["variantIndex"]
        assert found[record["profile"]["stableId"]] == wanted


def read_rows(path, form):
    """Assignments as ``{"stableId", "new.<id>", …}``, without nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "ndjson":
        for line in path.read_text().splitlines():
            record = json.loads(line)
            row = {"stableId": record["stableId"]}
            for side in ("new", "old"):
                for key, index in record.get(side, {}).items():
                    row[f"{side}.{key}"] = index
            yield row
        return
    table = pq.read_table(path) if form == "parquet" else pa.ipc.open_file(path).read_all()
    for row in table.to_pylist():
        yield {key: value for key, value in row.items() if value is not None}


def test_a_full_disk_leaves_nothing_half_written(prepared, old, new):
    """The limit on file sizes stands for the disk: writing beyond it fails in the same way."""
    kept, out = prepared / "kept", prepared / "out"

    def little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    process = start(prepared, kept, 1, more=[out], preexec_fn=little_room)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert os.strerror(errno.EFBIG).encode() in err
    assert not list(out.iterdir())
    assert {path.name for path in kept.iterdir()} <= {"lock", "run.json"}
    # With room again it goes on.
    expected = replay(old, new, prepared / "profiles.ndjson", now=NOW_MS, workers=1)
    process = start(prepared, kept, 1, more=[out])
    printed, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert printed.decode().split()[-1] == expected.digest
    assert sum(1 for part in out.iterdir() for _ in read_rows(part, "parquet")) == 1500


def test_an_unreadable_unit_stops_the_others(old, new, records, write_ndjson, tmp_path):
    write_ndjson(records, "a.ndjson")
    (tmp_path / "b.ndjson.gz").write_bytes(b"\x1f\x8b\x08\x00garbage")
    with pytest.raises(SourceError, match=r"b\.ndjson\.gz"):
        replay(
            old, new, Source.of(tmp_path, unit_bytes=100_000), now=NOW_MS, workers=2,
        )  # fmt: skip


# ---- against stored selections -------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["request", "response", "profile"])
def test_against_stored_selections(old, new, records, write_ndjson, shape):
    stored = []
    # Stored selections know no events, so those are left out of the comparison.
    plain = [{**r, "events": None, "device": None} for r in records[:500]]
    for record in plain:
        profile = record["profile"]
        given = [
            {"experienceId": r["experienceId"], "variantIndex": r["variantIndex"], "variants": {}}
            for r in old.select(profile, now=NOW_MS).experiences
        ]
        if shape == "request":
            stored.append({"profile": profile, "experiences": given, "changes": []})
        elif shape == "response":
            stored.append({"data": {"profile": profile, "experiences": given}})
        else:
            stored.append({**profile, "experiences": given})
    # One without, and one that names something impossible.
    stored.insert(7, records[600]["profile"])
    stored.append({**records[601]["profile"], "experiences": [{"experienceId": "x"}]})
    report = replay("stored", new, write_ndjson(stored), now=NOW_MS).to_dict()
    expected = replay(old, new, write_ndjson(plain, "plain.ndjson"), now=NOW_MS).to_dict()
    assert report["against"] == "stored"
    assert report["visitors"]["rejected"] == 2
    for key in ("counted", "moved"):
        assert report["visitors"][key] == expected["visitors"][key]
    found = {e["id"]: e for e in report["experiences"]}
    for experience in expected["experiences"]:
        other = found.get(experience["id"])
        if other is None:
            assert experience["old"]["present"] == 0
            continue
        assert moves(other) == moves(experience)
        assert other["moved"] == sum(other["causes"].values())
        if experience["status"] == "removed":
            assert other["causes"]["removed"] == experience["moved"]


def moves(experience):
    """The cells with what they count, without why."""
    return {(cell["from"], cell["to"]): cell["count"] for cell in experience["cells"]}


def test_engines_cross_to_workers(old):
    assert Engine.from_bytes(old.to_bytes()).digest == old.digest

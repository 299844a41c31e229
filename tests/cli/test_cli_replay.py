"""``whichvariant replay`` and ``whichvariant generate``."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import time

import msgpack
import pytest
from cli_cases import NOW, SPACE, experience, ndjson, profile, replacement

pytest.importorskip("pyarrow", reason="the extra 'replay' is not installed")

import pyarrow.parquet as pq

from whichvariant import Engine
from whichvariant.replay import replay
from whichvariant.replay.limits import Limit

VISITORS = [profile(f"v-{n}", "Berlin" if n % 4 else "Rome") for n in range(40)]


@pytest.fixture
def planned(tmp_path):
    """The hero is for everyone, the footer is gone."""
    document = json.loads(json.dumps(SPACE))
    document["experiences"][0]["nt_audience"] = None
    document["experiences"] = [
        e for e in document["experiences"] if e["nt_experience_id"] != "footer"
    ]
    path = tmp_path / "planned.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def visitors(tmp_path):
    """Forty visitors, ten of them in Rome."""
    path = tmp_path / "visitors.ndjson"
    path.write_text(ndjson(*VISITORS))
    return path


def test_what_would_move(run, space, planned, visitors):
    result = run("replay", "--config", planned, "--against", space, "--profiles", visitors)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"old  {space} · 4 experiences · 3 audiences · murmur3 · ")
    assert lines[2].startswith("40 visitors in ")
    assert "40 (100.0%) get another variant, or come in or go out" in lines
    assert "10 (25.0%) would see something else" in lines
    assert "  10  absent → variant 1        audience" in result.stdout
    assert "  40  baseline → absent         removed" in result.stdout
    assert lines[-1].startswith("digest ")


def test_json_is_the_report(run, space, planned, visitors):
    result = run(
        "replay", "--config", planned, "--against", space, "--profiles", visitors,
        "--now", NOW, "--json",
    )  # fmt: skip
    report = json.loads(result.stdout)
    assert report["format"] == "whichvariant-replay/1"
    assert report["visitors"]["moved"] == 40
    expected = replay(Engine.load(space), Engine.load(planned), visitors, now=NOW)
    assert report["digest"] == expected.digest
    assert report["configurations"]["old"]["name"] == str(space)


def test_without_an_old_side(run, space):
    result = run("replay", "--config", space, "--profiles", "-", stdin=ndjson(*VISITORS))
    assert result.exit_code == 0
    assert "moved" not in result.stdout
    assert "Hero for Berlin" in result.stdout


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ("moved>1%", 1), ("moved > 100 %", 0), ("moved>=40", 1), ("moved[hero]>10", 0),
        ("moved[hero]>=25%", 1), ("changed>25%", 0), ("changed[heroDefault]>=10", 1),
        ("entered>9", 1), ("left[footer]>39", 1), ("switched>0", 0), ("growth>0", 0),
        ("shrinkage>0%", 0), ("growth[berliners]>1", 0), ("rejected>0", 0), ("duplicates>0%", 0),
        ("srm<0.001", 0),
    ],
)  # fmt: skip
def test_limits(run, space, planned, visitors, *, limit, code):
    result = run(
        "replay", "--config", planned, "--against", space, "--profiles", visitors,
        "--fail-if", limit,
    )  # fmt: skip
    assert result.exit_code == code, result.stdout
    assert f"limit {limit}: {'exceeded' if code else 'kept'}" in result.stdout


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("moved", "is no limit"), ("moved>x", "is no limit"), ("bounced>1", "is none of"),
        ("srm<1%", "a p-value is no share"), ("rejected[a]>1", "is not counted by id"),
        ("moved[nobody]>1", "the report has no 'nobody'"),
    ],
)  # fmt: skip
def test_limits_that_are_none(run, space, planned, visitors, *, limit, message):
    result = run(
        "replay", "--config", planned, "--against", space, "--profiles", visitors,
        "--fail-if", limit,
    )  # fmt: skip
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_limit_that_compares_needs_an_old_side(run, space, visitors):
    result = run("replay", "--config", space, "--profiles", visitors, "--fail-if", "moved>1%")
    assert result.exit_code == 2
    assert "needs an old side" in result.stderr


def test_growth_from_nothing_is_beyond_every_share():
    audience = {"id": "a", "old": 0, "new": 3}
    report = {
        "against": "configuration", "visitors": {"counted": 9}, "audiences": [audience],
    }  # fmt: skip
    found = Limit.parse("growth>500%").check(report)
    assert (found["exceeded"], found["value"]) == (True, None)


def test_outputs(run, space, planned, visitors, tmp_path):
    out = tmp_path / "out"
    visitors.write_text(visitors.read_text() + "{broken\n")
    result = run(
        "replay", "--config", planned, "--against", space, "--profiles", visitors, "--out", out,
        "--rejects", tmp_path / "rejects.ndjson", "--json",
    )  # fmt: skip
    assert result.exit_code == 0
    assert json.loads((out / "report.json").read_text()) == json.loads(result.stdout)
    table = pq.read_table(out / "assignments")
    assert table.num_rows == 40
    assert set(table.column_names) == {
        "stableId", "new.banner", "new.hero", "new.phone",
        "old.banner", "old.footer", "old.hero", "old.phone",
    }  # fmt: skip
    (reject,) = map(json.loads, (tmp_path / "rejects.ndjson").read_text().splitlines())
    assert (reject["line"], reject["text"]) == (41, "{broken")
    none = tmp_path / "none"
    run("replay", "--config", planned, "--profiles", visitors, "--out", none,
        "--assignments", "none")  # fmt: skip
    assert [path.name for path in none.iterdir()] == ["report.json"]


def test_strict_is_one_line(run, space, visitors):
    visitors.write_text("{broken\n" + visitors.read_text())
    result = run("replay", "--config", space, "--profiles", visitors, "--strict")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"whichvariant: {visitors}: line 1: not JSON")
    assert result.stderr.count("\n") == 1


def test_what_cannot_be_read_is_one_line(run, space, tmp_path):
    result = run("replay", "--config", space, "--profiles", tmp_path / "none.parquet")
    assert result.exit_code == 2
    assert result.stderr == f"whichvariant: {tmp_path}/none.parquet: No such file or directory\n"


def test_resuming(run, space, planned, visitors, tmp_path):
    arguments = ("replay", "--config", planned, "--against", space, "--profiles", visitors,
                 "--resume", tmp_path / "kept", "--json")  # fmt: skip
    first, second = (json.loads(run(*arguments).stdout) for _ in range(2))
    assert first["digest"] == second["digest"]
    assert (first["run"]["resumedUnits"], second["run"]["resumedUnits"]) == (0, 1)
    result = run(*arguments[:2], space, *arguments[3:])
    assert result.exit_code == 2
    assert "it keeps the state of another run: the new configuration changed" in result.stderr


def test_an_interrupt_is_130(shell, space, tmp_path):
    process = shell(
        "replay", "--config", space, "--profiles", "-", interruptible=True,
    )  # fmt: skip
    process.stdin.write(ndjson(*VISITORS).encode())
    process.stdin.flush()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_bar_on_a_terminal_alone(shell, space, visitors):
    # So much that there is something to show.
    visitors.write_text(ndjson(*VISITORS) * 2000)
    ours, theirs = pty.openpty()
    process = shell(
        "replay", "--config", space, "--profiles", visitors, "--keep-duplicates", stderr=theirs
    )
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass
    os.close(ours)
    assert process.returncode == 0
    assert b"profiles" in shown
    assert b"left" in shown
    assert b"80,000 visitors" in out


def test_narrow_and_plain(run, space, planned, visitors):
    for width in (40, 80, 200):
        result = run(
            "replay", "--config", planned, "--against", space, "--profiles", visitors,
            COLUMNS=str(width),
        )  # fmt: skip
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout


def test_names_cannot_steer_the_terminal(run, space, tmp_path, visitors):
    document = json.loads(space.read_text())
    document["experiences"].append(
        experience("evil", "\x1b[2Jgone\n", None, [0, 1], components=[replacement("a\x1b", "b")])
    )
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(document))
    visitors.write_text(ndjson(profile("\x1b[31mred", "Berlin")) + '{"\x1b": }\n')
    result = run("replay", "--config", path, "--against", space, "--profiles", visitors)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout


# ---- generate ---------------------------------------------------------------------------------


def test_generated_visitors_are_repeatable(run, space):
    one, two, other = (
        run("generate", "--config", space, "--count", 30, "--seed", seed, "--now", NOW).stdout
        for seed in (1, 1, 2)
    )
    assert one == two != other
    records = [json.loads(line) for line in one.splitlines()]
    assert len({record["profile"]["stableId"] for record in records}) == 30
    fewer = run("generate", "--config", space, "--count", 10, "--now", NOW).stdout
    assert one.startswith(fewer)
    engine = Engine.load(space)
    matched = set()
    for record in records:
        selection = engine.select(
            record["profile"], device=record["device"], events=record.get("events"), now=NOW
        )
        matched |= set(selection.audiences)
    assert matched == {"berliners", "phones", "readers"}


def test_the_name_says_the_format(run, space, tmp_path):
    def make(name):
        path = tmp_path / name
        result = run("generate", "--config", space, "--count", 20, "-o", path)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[:2] == [str(path), "  visitors  20"]
        return path

    lines = make("v.ndjson").read_bytes()
    assert gzip.decompress(make("v.ndjson.gz").read_bytes()) == lines
    records = [json.loads(line) for line in lines.splitlines()]
    assert json.loads(make("v.json").read_bytes()) == records
    with make("v.msgpack").open("rb") as stream:
        assert list(msgpack.Unpacker(stream)) == records
    assert pq.read_table(make("v.parquet")).column("stableId").to_pylist() == [
        record["profile"]["stableId"] for record in records
    ]


def test_a_name_that_says_nothing(run, space, tmp_path):
    result = run("generate", "--config", space, "-o", tmp_path / "visitors.csv")
    assert result.exit_code == 2
    assert "must end in one of" in result.stderr
    assert not list(tmp_path.glob("*visitors*"))

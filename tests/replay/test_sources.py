"""Every format and every division of a source gives the same report; what is broken says so."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from replay.conftest import NOW_MS, REPOSITORY
from whichvariant.cli.main import cli
from whichvariant.errors import SourceError
from whichvariant.replay import Source, explaining, replay, sources
from whichvariant.replay.first_records import FirstRecords
from whichvariant.replay.formats import detect

COUNT = 1200
SPACE = REPOSITORY / "fixtures" / "storefront" / "native.json"
PLAIN = ["ndjson", "json", "msgpack", "parquet", "arrow", "arrows"]
NAMES = [f"{plain}{end}" for plain in PLAIN for end in ("", ".gz", ".zst")]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The same visitors in every format."""
    folder = tmp_path_factory.mktemp("generated")
    for name in NAMES:
        arguments = ["generate", "--config", SPACE, "--count", COUNT, "--seed", 5]
        path = folder / f"visitors.{name}"
        result = CliRunner().invoke(cli, [*map(str, arguments), "-o", str(path)])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def expected(generated, old, new):
    """The report of the plain one."""
    return replay(old, new, generated / "visitors.ndjson", now=NOW_MS, workers=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same(generated, expected, old, new, name):
    report = replay(old, new, generated / f"visitors.{name}", now=NOW_MS)
    assert report.digest == expected.digest
    found, wanted = report.to_dict(), expected.to_dict()
    for key in ("source", "run", "rejected"):
        del found[key], wanted[key]
    for part in (found, wanted):
        for experience in part["experiences"]:
            for cell in experience["cells"]:
                for sample in cell["samples"]:
                    del sample["file"], sample["line"]
                    if sample["explanation"]:
                        for side in sample["explanation"].values():
                            # Arrow has one type a column: a rule sees the same, a text may be
                            # a number before.
                            if side:
                                side["audience"] = None
    assert found == wanted


def test_parquet_is_divided_by_rows_too(generated, expected, tmp_path, *, old, new, monkeypatch):
    path = tmp_path / "groups.parquet"
    pq.write_table(pq.read_table(generated / "visitors.parquet"), path, row_group_size=50)
    assert len(Source.of(path).units) == 1
    monkeypatch.setattr(sources, "UNIT_ROWS", 100)
    source = Source.of(path)
    assert [unit.start for unit in source.units] == list(range(0, COUNT // 50, 2))
    assert replay(old, new, source, now=NOW_MS, workers=2).digest == expected.digest
    monkeypatch.setattr(sources, "UNIT_ROWS", 1)
    assert len(Source.of(path).units) == COUNT // 50
    monkeypatch.setattr(sources, "_MOST_BY_ROWS", 3)
    assert len(Source.of(path).units) == 3


@pytest.mark.parametrize("name", ["parquet", "arrow", "arrows.gz", "ndjson"])
def test_samples_of_tables_are_explained_without_reading_again(
    generated, *, old, new, monkeypatch, name
):
    source = generated / f"visitors.{name}"
    wanted = replay(old, new, source, now=NOW_MS, workers=1).to_dict()["experiences"]
    assert any(
        sample["explanation"]
        for one in wanted
        for cell in one["cells"]
        for sample in cell["samples"]
    )
    read = []
    again = explaining._records

    def records(*arguments):
        read.append(arguments)
        return again(*arguments)

    monkeypatch.setattr(explaining, "_records", records)
    found = replay(old, new, source, now=NOW_MS, workers=1).to_dict()["experiences"]
    assert found == wanted
    assert bool(read) == (name == "ndjson")
    # What was not kept is read.
    monkeypatch.setattr(FirstRecords, "packed", lambda self, wanted: {})
    found = replay(old, new, source, now=NOW_MS, workers=1).to_dict()["experiences"]
    assert found == wanted
    assert read


@pytest.mark.parametrize("name", NAMES)
def test_the_content_tells_the_format(generated, tmp_path, name):
    nameless = tmp_path / "profiles"
    shutil.copy(generated / f"visitors.{name}", nameless)
    assert detect(str(nameless)) == detect(str(generated / f"visitors.{name}"))


@pytest.mark.parametrize("name", ["ndjson", "json.gz", "msgpack", "parquet", "arrow", "arrows.zst"])
def test_standard_input(generated, expected, *, old, new, monkeypatch, name):
    data = (generated / f"visitors.{name}").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert replay(old, new, "-", now=NOW_MS).digest == expected.digest


@pytest.mark.parametrize("unit_bytes", [3000, 70_000, 1 << 20])
def test_ranges_of_lines_share_none(generated, expected, old, new, unit_bytes):
    source = Source.of(generated / "visitors.ndjson", unit_bytes=unit_bytes)
    assert len(source.units) > 1
    report = replay(old, new, source, now=NOW_MS, workers=1, explain=False)
    assert report.digest == expected.digest
    assert report.to_dict()["visitors"] == expected.to_dict()["visitors"]
    first, second = (
        [
            (sample["record"], sample["line"])
            for experience in part.to_dict()["experiences"]
            for cell in experience["cells"]
            for sample in cell["samples"]
        ]
        for part in (report, expected)
    )
    assert first == second


def test_tables_in_memory(generated, expected, old, new):
    table = pq.read_table(generated / "visitors.parquet")
    report = replay(old, new, table, now=NOW_MS)
    assert report.digest == expected.digest
    report = replay(old, new, table.to_batches(max_chunksize=500), now=NOW_MS)
    assert report.digest == expected.digest


def test_directories_and_globs(generated, tmp_path, expected, old, new):
    records = (generated / "visitors.ndjson").read_bytes().splitlines(keepends=True)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.ndjson").write_bytes(b"".join(records[:500]))
    (tmp_path / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(records[500:1000])))
    (tmp_path / "deep" / "er" / "c.json").write_bytes(b"".join(records[1000:]))
    (tmp_path / "README.md").write_text("no profiles")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden.ndjson").write_text("broken")
    for source in (tmp_path, str(tmp_path / "**" / "*.j*n*")):
        report = replay(old, new, source, now=NOW_MS)
        assert report.to_dict()["visitors"]["counted"] in (COUNT, COUNT - 500)
    assert replay(old, new, tmp_path, now=NOW_MS).digest == expected.digest
    # A file that is named twice has everybody twice, and counts them once.
    twice = replay(old, new, [tmp_path, tmp_path / "a.ndjson"], now=NOW_MS)
    assert twice.digest == expected.digest
    assert twice.to_dict()["visitors"]["duplicates"] == 500


def test_broken_lines_are_counted_and_named(old, new, records, write_ndjson, tmp_path):
    lines = [*records[:3], "{broken", "", *records[3:6], '{"stableId": 5}', *records[6:20]]
    path = write_ndjson(lines)
    rejects = tmp_path / "rejects.ndjson"
    for unit_bytes in (1 << 20, 4000):
        source = Source.of(path, unit_bytes=unit_bytes)
        report = replay(old, new, source, now=NOW_MS, workers=1, rejects=rejects).to_dict()
        assert report["visitors"]["counted"] == 20
        assert report["visitors"]["rejected"] == 2
        shown = report["rejected"]["shown"]
        assert [(r["file"], r["record"], r["line"]) for r in shown] == [
            (str(path), 3, 4),
            (str(path), 7, 9),
        ]
        assert "not JSON" in shown[0]["reason"]
        assert shown[1]["reason"].startswith("stableId: expected a text")
        written = [json.loads(line) for line in rejects.read_text().splitlines()]
        assert [(w["line"], w["text"]) for w in written] == [
            (4, "{broken"),
            (9, '{"stableId": 5}'),
        ]


@pytest.mark.parametrize("unit_bytes", [1 << 20, 4000])
def test_strict_stops_and_names_the_line(old, new, *, records, write_ndjson, tmp_path, unit_bytes):
    path = write_ndjson([*records[:30], "{broken", *records[30:40]])
    out = tmp_path / "out"
    with pytest.raises(SourceError) as caught:
        replay(
            old, new, Source.of(path, unit_bytes=unit_bytes), now=NOW_MS, strict=True,
            rejects=tmp_path / "rejects", assignments=out, workers=1,
        )  # fmt: skip
    assert str(caught.value).startswith(f"{path}: line 31: not JSON")
    assert not (tmp_path / "rejects").exists()


def test_broken_elements_of_arrays_and_msgpack(old, new, records, tmp_path):
    path = tmp_path / "profiles.json"
    texts = [json.dumps(record) for record in records[:10]]
    path.write_text("[" + ",".join([*texts[:4], '{"stableId": }', *texts[4:]]) + "]")
    visitors = replay(old, new, path, now=NOW_MS).to_dict()["visitors"]
    assert (visitors["records"], visitors["rejected"], visitors["counted"]) == (11, 1, 10)
    path = tmp_path / "profiles.msgpack"
    packed = [msgpack.packb(record) for record in records[:10]]
    path.write_bytes(b"".join([*packed, msgpack.packb([1]), packed[0][:-5]]))
    visitors = replay(old, new, path, now=NOW_MS).to_dict()["visitors"]
    assert (visitors["records"], visitors["rejected"], visitors["counted"]) == (12, 2, 10)


def test_single_rows_of_a_table_are_refused(old, new):
    ids = [f"v-{number}" for number in range(1000)]
    ids[17] = ids[600] = None
    table = pa.table({"stableId": ids})
    report = replay(old, new, table, now=NOW_MS).to_dict()
    assert report["visitors"]["counted"] == 998
    assert [r["record"] for r in report["rejected"]["shown"]] == [17, 600]
    with pytest.raises(SourceError, match="record 17: stableId"):
        replay(old, new, table, now=NOW_MS, strict=True)


# ---- what cannot be read -------------------------------------------------------------------------


def test_missing_things(old, new, tmp_path):
    with pytest.raises(SourceError, match=r"none\.ndjson: No such file"):
        replay(old, new, tmp_path / "none.ndjson")
    with pytest.raises(SourceError, match="no file matches"):
        replay(old, new, str(tmp_path / "*.parquet"))
    with pytest.raises(SourceError, match="has no files of profiles"):
        replay(old, new, tmp_path)
    (tmp_path / "odd").write_bytes(b"\x00\x01\x02")
    with pytest.raises(SourceError, match="odd: neither JSON"):
        replay(old, new, tmp_path / "odd")


def test_an_empty_file_has_no_visitors(old, new, tmp_path):
    path = tmp_path / "empty.ndjson"
    path.write_bytes(b"")
    assert replay(old, new, path).counted == 0
    path = tmp_path / "empty.json"
    path.write_bytes(b"[]")
    assert replay(old, new, path).counted == 0


@pytest.mark.parametrize("name", ["parquet", "arrow", "arrows"])
def test_a_missing_column(old, new, tmp_path, name):
    path = tmp_path / f"profiles.{name}"
    table = pa.table({"id": ["a", "b"]})
    if name == "parquet":
        pq.write_table(table, path)
    else:
        make = pa.ipc.new_file if name == "arrow" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(SourceError, match=rf"profiles\.{name}: stableId: there is no such column"):
        replay(old, new, path)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("ndjson", "json", "msgpack")])
def test_a_file_that_is_cut_off(generated, old, new, tmp_path, name):
    whole = (generated / f"visitors.{name}").read_bytes()
    path = tmp_path / f"cut.{name}"
    for kept in (len(whole) // 2, len(whole) - 7):
        path.write_bytes(whole[:kept])
        out = tmp_path / "out"
        with pytest.raises(SourceError) as caught:
            replay(old, new, path, now=NOW_MS, assignments=out)
        assert caught.value.source == str(path)
        assert list(out.glob("*")) == [] if out.exists() else True


# Zstandard without a checksum has no means of telling.
@pytest.mark.parametrize(
    "name", [n for n in NAMES if n.endswith(".gz") or n in ("parquet", "arrow", "arrows")]
)
def test_a_damaged_file_never_passes_in_silence(generated, old, *, new, expected, tmp_path, name):
    """Bytes in the middle are overwritten: an error, refused records, or columns nobody reads."""
    whole = bytearray((generated / f"visitors.{name}").read_bytes())
    path = tmp_path / f"damaged.{name}"
    whole[len(whole) // 2 : len(whole) // 2 + 64] = bytes(range(64, 128))
    path.write_bytes(whole)
    try:
        report = replay(old, new, path, now=NOW_MS)
    except SourceError as error:
        assert error.source == str(path)
        return
    assert "." not in name
    assert report.to_dict()["visitors"]["records"] == COUNT

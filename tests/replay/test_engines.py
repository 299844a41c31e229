"""The same replay on Ray Data and Spark, run for real on this machine."""

from __future__ import annotations

import os
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay.conftest import NOW_MS
from whichvariant.replay import replay
from whichvariant.replay.partitions import replay_partitions


@pytest.fixture(scope="module")
def table(mix):
    """3,000 visitors as a table."""
    return pa.Table.from_batches([mix.arrow(block) for block in mix.blocks(3000)])


@pytest.fixture(scope="module")
def repeating(table):
    """Some of them twice, in partitions of their own and within one."""
    return pa.concat_tables([table, table.slice(100, 200), table.slice(2900, 50)])


def comparable(report):
    """What does not depend on where the visitors were."""
    found = report.to_dict()
    for key in ("source", "run", "rejected"):
        del found[key]
    for experience in found["experiences"]:
        for cell in experience["cells"]:
            cell["samples"] = [sample["stableId"] for sample in cell["samples"]]
    return found


def in_partitions(table, rows):
    """A runner without an engine."""

    def run(counter):
        return [counter.of([table.slice(at, rows)]) for at in range(0, table.num_rows, rows)]

    return run


@pytest.mark.parametrize("rows", [100, 700, 5000])
@pytest.mark.parametrize("against", ["configuration", "nothing"])
def test_partitions_add_up(old, new, table, rows, against):
    before = old if against == "configuration" else None
    expected = replay(before, new, table, now=NOW_MS)
    report = replay_partitions(before, new, in_partitions(table, rows), now=NOW_MS)
    assert report.digest == expected.digest
    assert comparable(report) == comparable(expected)


@pytest.mark.parametrize("rows", [100, 5000])
def test_visitors_in_several_partitions_count_once(old, new, table, repeating, *, rows):
    expected = replay(old, new, table, now=NOW_MS)
    report = replay_partitions(old, new, in_partitions(repeating, rows), now=NOW_MS)
    assert report.digest == expected.digest
    visitors = report.to_dict()["visitors"]
    assert (visitors["records"], visitors["duplicates"], visitors["counted"]) == (3250, 250, 3000)


def test_rows_that_are_refused_are_counted(old, new, table):
    ids = table.column("stableId").to_pylist()
    ids[5] = ids[77] = None
    broken = table.set_column(table.schema.get_field_index("stableId"), "stableId", [ids])
    report = replay_partitions(old, new, in_partitions(broken, 50), now=NOW_MS)
    visitors = report.to_dict()["visitors"]
    assert (visitors["records"], visitors["rejected"], visitors["counted"]) == (3000, 2, 2998)


def engine_or_skip(module, reason):
    """The module; where it is missing a continuous build says so loudly."""
    if os.environ.get("WHICHVARIANT_ENGINES") == "required":
        return __import__(module, fromlist=["_"])
    return pytest.importorskip(module, reason=reason)


@pytest.fixture(scope="module")
def ray():
    """Ray, on two processors of this machine."""
    engine_or_skip("ray.data", "the extra 'ray' is not installed")
    import ray

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.mark.engines
@pytest.mark.filterwarnings("ignore")
def test_ray_data(old, new, table, repeating, *, ray, tmp_path):
    from whichvariant.replay.ray_data import replay_dataset

    expected = replay(old, new, table, now=NOW_MS)
    for number, at in enumerate(range(0, repeating.num_rows, 900)):
        pq.write_table(repeating.slice(at, 900), tmp_path / f"{number}.parquet")
    dataset = ray.data.read_parquet(str(tmp_path))
    report = replay_dataset(old, new, dataset, now=NOW_MS, batch_rows=500)
    assert report.digest == expected.digest
    assert comparable(report)["experiences"] == comparable(expected)["experiences"]


@pytest.fixture(scope="module")
def spark():
    """Spark, on two processors of this machine."""
    engine_or_skip("pyspark", "the extra 'spark' is not installed")
    if shutil.which("java") is None and os.environ.get("WHICHVARIANT_ENGINES") != "required":
        pytest.skip("Spark needs Java")
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "400")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.mark.engines
@pytest.mark.filterwarnings("ignore")
def test_spark(old, new, table, repeating, *, spark, tmp_path):
    from whichvariant.replay.spark import replay_frame

    expected = replay(old, new, table, now=NOW_MS)
    for number, at in enumerate(range(0, repeating.num_rows, 900)):
        pq.write_table(repeating.slice(at, 900), tmp_path / f"{number}.parquet")
    report = replay_frame(old, new, spark.read.parquet(str(tmp_path)), now=NOW_MS)
    assert report.digest == expected.digest
    assert comparable(report)["experiences"] == comparable(expected)["experiences"]

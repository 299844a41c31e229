"""Tables of every shape give what the same profiles give one by one."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from columns.profiles_of import plain_document, plain_profiles, read, storefront
from columns.test_columns_equal_one import digest_of, window_document
from whichvariant import Engine
from whichvariant._core.fill_columns import ColumnFiller
from whichvariant.columns import ColumnsResult, Intake
from whichvariant.errors import EventError, ProfileError

PROFILES = plain_profiles(700, seed=12)
PARTS = ("traits", "location", "stickyVariants")


def wanted() -> int:
    engine, _ = storefront()
    return digest_of(PROFILES, [engine.select(profile) for profile in PROFILES])


def as_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def structs() -> pa.Table:
    return pa.table(
        {
            "stableId": [profile["stableId"] for profile in PROFILES],
            "traits": pa.array(
                [profile.get("traits") for profile in PROFILES],
                pa.struct([("plan", pa.string()), ("age", pa.float64()), ("more", pa.int8())]),
            ),
            "location": [profile.get("location") for profile in PROFILES],
            "stickyVariants": [profile.get("stickyVariants") for profile in PROFILES],
        }
    )


def texts() -> pa.Table:
    columns = {part: [as_json(profile.get(part)) for profile in PROFILES] for part in PARTS}
    return pa.table({"stableId": [profile["stableId"] for profile in PROFILES], **columns})


def flat() -> pa.Table:
    def values(part: str, key: str) -> list[Any]:
        return [profile.get(part, {}).get(key) for profile in PROFILES]

    return pa.table(
        {
            "id": pa.array(range(len(PROFILES))),
            "stableId": [profile["stableId"] for profile in PROFILES],
            "traits.plan": values("traits", "plan"),
            "traits.age": pa.array(values("traits", "age"), pa.float32()),
            "location.countryCode": values("location", "countryCode"),
            "stickyVariants": [as_json(profile.get("stickyVariants")) for profile in PROFILES],
        }
    )


def dictionaries(kind: pa.DataType) -> pa.Table:
    table = flat()
    for name in ("traits.plan", "location.countryCode"):
        column = pa.array(table[name].to_pylist(), pa.dictionary(kind, pa.string()))
        table = table.set_column(table.schema.names.index(name), name, column)
    return table


def maps() -> pa.Table:
    codes = pa.map_(pa.string(), pa.string())
    choices = pa.map_(pa.string(), pa.int64())
    table = structs()
    location = [[*profile.get("location", {}).items()] for profile in PROFILES]
    sticky = [[*profile.get("stickyVariants", {}).items()] for profile in PROFILES]
    table = table.set_column(2, "location", pa.array(location, codes))
    return table.set_column(3, "stickyVariants", pa.array(sticky, choices))


@pytest.mark.parametrize(
    "table",
    [structs(), texts(), flat(), maps(), dictionaries(pa.int8()), dictionaries(pa.uint32())],
    ids=["structs", "texts", "flat", "maps", "dictionary8", "dictionary32"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_shape(table: pa.Table, threads: int) -> None:
    engine, _ = storefront()
    digest = wanted()
    batches = table.to_batches(max_chunksize=100)
    forms = [table, batches, pa.concat_tables([table.slice(0, 333), table.slice(333)]), [table]]
    forms += [pa.Table.from_batches(batches), iter(batches), table.combine_chunks().to_batches()[0]]
    if not pa.types.is_map(table.schema.types[2]):
        forms += [pl.from_arrow(table), table.to_pandas(), pl.from_arrow(table).to_pandas()]
    for form in forms:
        result = engine.select_columns(form, threads=threads)
        assert result.n_rows == len(PROFILES)
        assert result.digest() == digest, type(form)
    view = table.cast(
        pa.schema([
            pa.field(one.name, pa.string_view() if pa.types.is_string(one.type) else one.type)
            for one in table.schema
        ])
    )  # fmt: skip
    assert engine.select_columns(view).digest() == digest
    large = table.cast(
        pa.schema([
            pa.field(one.name, pa.large_string() if pa.types.is_string(one.type) else one.type)
            for one in table.schema
        ])
    )  # fmt: skip
    assert engine.select_columns(large, threads=threads).digest() == digest


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64()])
@pytest.mark.parametrize("keys", [pa.string(), pa.large_string()])
def test_choices_in_maps_are_read_as_in_any_other_shape(
    kind: pa.DataType, keys: pa.DataType
) -> None:
    engine, _ = storefront()
    known = [one.id for one in engine.configuration.experiences if one.sticky]
    assert len(known) > 1
    random = Random(5)
    rows = []
    for number in range(900):
        pairs = [
            (random.choice([*known, "unknown", ""]), random.choice([0, 1, 1, 2, -1, 2**31 - 1]))
            for _ in range(random.randrange(6))
        ]
        rows.append(None if number % 7 == 0 else pairs)
    ids = pa.array([f"visitor-{number}" for number in range(900)])
    plain = pa.array(rows, pa.map_(keys, kind))
    # Of doubles no short cut knows anything.
    other = pa.array(rows, pa.map_(keys, pa.float64()))
    for start, stop in ((0, 900), (1, 900), (450, 451), (449, 900)):
        found, wanted = (
            engine.select_columns(
                pa.record_batch({"stableId": ids, "stickyVariants": choices}).slice(
                    start, stop - start
                )
            )
            for choices in (plain, other)
        )
        assert found.digest() == wanted.digest()
        assert len(found.sticky[0]) or stop - start == 1
        for mine, theirs in zip(found.sticky, wanted.sticky, strict=True):
            assert mine.tolist() == theirs.tolist()
        assert found.drawn.tolist() == wanted.drawn.tolist()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "sizes", [[1024, 2048, 5], [1024, 1024], [16_384, 100], [100, 1024, 1024], [40_000], [0, 1024]]
)
def test_batches_side_by_side_and_one_by_one(threads: int, sizes: list[int]) -> None:
    engine, _ = storefront()
    profiles = (PROFILES * (sum(sizes) // len(PROFILES) + 1))[: sum(sizes)]
    profiles = [{**one, "stableId": f"visitor-{row}"} for row, one in enumerate(profiles)]
    column = pa.array([one["stableId"] for one in profiles])
    plans = pa.array([one.get("traits", {}).get("plan") for one in profiles])
    batch = pa.record_batch({"stableId": column, "traits.plan": plans})
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    parts = [batch.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    found = engine.select_columns(parts, threads=threads)
    results = [engine.select_columns(batch.slice(at, 333)) for at in range(0, len(column), 333)]
    assert found.digest() == ColumnsResult.add_digests(*(part.digest() for part in results))
    assert (found.variants == np.concatenate([one.variants for one in results], axis=1)).all()
    joined = ColumnsResult.join(results)
    assert (found.audiences == joined.audiences).all()
    assert found.stable_ids() == joined.stable_ids()


def test_slices_begin_anywhere() -> None:
    engine, _ = storefront()
    for table in (structs(), flat(), dictionaries(pa.int32()), texts()):
        for start in (1, 7, 8, 63, 64, 65, 699, 700):
            part = PROFILES[start : start + 90]
            expected = digest_of(part, [engine.select(profile) for profile in part])
            batch = table.combine_chunks().to_batches()[0].slice(start, 90)
            assert engine.select_columns(batch).digest() == expected
            intake = Intake(engine)
            intake.feed_arrow(batch)
            assert intake.evaluate()[0].digest() == expected


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
     pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(10, 2)],
    ids=str,
)  # fmt: skip
def test_numbers_of_every_width(kind: pa.DataType) -> None:
    engine, _ = storefront()
    ages = [0, 33, None, 60, 59, 100]
    if pa.types.is_float16(kind):
        import numpy as np

        values = pa.array([None if age is None else np.float16(age) for age in ages], kind)
    elif pa.types.is_decimal(kind):
        values = pa.array([None if age is None else decimal.Decimal(age) for age in ages], kind)
    else:
        values = pa.array(ages, kind)
    result = engine.select_columns(pa.table({"stableId": list("abcdef"), "traits.age": values}))
    for row, age in enumerate(ages):
        traits = {} if age is None else {"age": age}
        selection = engine.select({"stableId": "abcdef"[row], "traits": traits})
        assert result.selection(row)["audiences"] == selection.audiences


def test_whole_numbers_beyond_the_doubles() -> None:
    """An int64 becomes the nearest double, as a Python int does."""
    document = plain_document(0.5)
    document["audiences"][0]["nt_rules"] = {
        "all": [{"type": "identify", "key": "big", "operator": "equal", "value": 2**53}]
    }
    engine = Engine.from_dict(document)
    values = [2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1, 2**63 - 1]
    table = pa.table({"stableId": ["x"] * 5, "traits.big": pa.array(values, pa.int64())})
    result = engine.select_columns(table)
    for row, value in enumerate(values):
        selection = engine.select({"stableId": "x", "traits": {"big": value}})
        assert result.selection(row)["audiences"] == selection.audiences


def every_kind_document() -> dict[str, Any]:
    def rule(key: str, operator: str, value: Any) -> dict[str, Any]:
        return {"all": [{"type": "identify", "key": key, "operator": operator, "value": value}]}

    rules = [
        rule("flag", "equal", True), rule("flag", "exists", None), rule("list", "equal", "1,2"),
        rule("o", "equal", "[object Object]"), rule("o.x", "gt", 1), rule("list", "contains", ","),
        rule("n", "contains", "5"), rule("n", "matches", "^1"), rule("n", "exists", None),
    ]  # fmt: skip
    return {
        "audiences": [
            {"nt_audience_id": str(number), "nt_rules": one} for number, one in enumerate(rules)
        ],
        "experiences": [],
    }


def test_values_of_every_kind() -> None:
    engine = Engine.from_dict(every_kind_document())
    traits: list[Any] = [
        {"flag": True, "list": [1, 2], "o": {"x": 2}, "n": 15},
        {"flag": False, "list": [], "o": {"x": 0}, "n": 1.5},
        {"list": [3], "n": 20},
        None,
        {"o": {}, "flag": True},
    ]
    profiles = [{"stableId": "s", "traits": one} for one in traits]
    kinds = pa.struct([
        ("flag", pa.bool_()), ("list", pa.list_(pa.int64())),
        ("o", pa.struct([("x", pa.int32())])), ("n", pa.float64()),
    ])  # fmt: skip
    table = pa.table({"stableId": ["s"] * 5, "traits": pa.array(traits, kinds)})
    texts = pa.table({"stableId": ["s"] * 5, "traits": [as_json(one) for one in traits]})
    for form in (table, texts, table.slice(0), pl.from_arrow(table), texts.to_pandas()):
        result = engine.select_columns(form)
        for row, profile in enumerate(profiles):
            assert result.selection(row)["audiences"] == engine.select(profile).audiences, row


def test_a_null_is_missing_but_a_json_null_is_null() -> None:
    engine = Engine.from_dict(every_kind_document())
    table = pa.table({"stableId": ["s"], "traits.flag": pa.array([None], pa.bool_())})
    assert engine.select_columns(table).selection(0)["audiences"] == []
    table = pa.table({"stableId": ["s"], "traits": ['{"flag":null}']})
    assert engine.select_columns(table).selection(0)["audiences"] == ["1"]
    assert engine.select({"stableId": "s", "traits": {"flag": None}}).audiences == ["1"]


def test_devices_and_events() -> None:
    document = window_document()
    device = {"type": "device", "conditions": [
        {"key": {"id": "type"}, "operator": "equal", "value": "mobile"}]}  # fmt: skip
    document["audiences"].append({"nt_audience_id": "d", "nt_rules": {"all": [device]}})
    engine = Engine.from_dict(document)
    event = {"type": "track", "event": "x", "timestamp": 5}
    table = pa.table(
        {
            "stableId": ["a", "b", "c", "d"],
            "device": ["mobile", None, "tablet", "mobile"],
            "events": [[event], [], None, [{**event, "timestamp": -86_400_000}]],
        }
    )
    texts = table.set_column(
        2, "events", pa.array([as_json(one) for one in table["events"].to_pylist()])
    )
    coded = table.set_column(1, "device", table["device"].dictionary_encode())
    for form in (table, texts, coded):
        result = engine.select_columns(form, now=10)
        assert result.in_audience(0).tolist() == [True, False, False, False]
        assert result.in_audience(1).tolist() == [True, False, False, True]
    nobody = pa.table({"stableId": ["a"], "device": pa.nulls(1), "events": pa.nulls(1)})
    assert engine.select_columns(nobody).selection(0)["audiences"] == []


def test_no_rows() -> None:
    engine, _ = storefront()
    for form in (structs().slice(0, 0), [], flat().slice(0, 0), structs().slice(0, 0).to_batches()):
        result = engine.select_columns(form)
        assert result.n_rows == 0
        assert result.digest() == 0
        assert result.to_arrow().num_rows == 0


MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("columns", "path", "message"),
    [
        ({"id": ["a"]}, "stableId", "no substitute"),
        ({"stableId": [5]}, "stableId", "expected texts"),
        ({"stableId": ["a", None]}, "stableId", "row 1: missing"),
        ({"stableId": pa.nulls(1)}, "stableId", "row 0: missing"),
        ({"stableId": ["é" * 65_537]}, "stableId", "row 0: longer"),
        ({"stableId": ["a"], "traits": [5]}, "traits", "expected a struct"),
        ({"stableId": ["a"], "traits": [[1]]}, "traits", "expected a struct"),
        ({"stableId": ["a", "b"], "traits": [None, "{"]}, "traits", "row 1: not JSON"),
        ({"stableId": ["a"], "traits": ["[]"]}, "traits", "row 0: expected an object"),
        ({"stableId": ["a"], "traits": ['{"age":1e999}']}, "traits.age", "row 0: a number too"),
        ({"stableId": ["a"], "traits": ['{},"location":{}']}, "", ""),
        ({"stableId": ["a", "b"], "traits.age": [1.5, float("nan")]}, "traits.age", "row 1: nan"),
        ({"stableId": ["a"], "traits.age": [float("inf")]}, "traits.age", "row 0: inf"),
        ({"stableId": ["a"], "traits.age": [MOMENT]}, "traits.age", "holds no JSON"),
        ({"stableId": ["a"], "traits.age": [b"x"]}, "traits.age", "holds no JSON"),
        ({"stableId": ["a"], "traits.age": [[float("nan")]]}, "traits.age", "row 0"),
        ({"stableId": ["a"], "device": ["phone"]}, "device", "row 0: 'phone'"),
        ({"stableId": ["a"], "device": [5]}, "device", "expected texts"),
        ({"stableId": ["a"], "stickyVariants": [5]}, "stickyVariants", "expected a struct"),
        ({"stableId": ["a"], "stickyVariants": [{"e0": "x"}]}, "stickyVariants.e0", "row 0"),
        ({"stableId": ["a"], "stickyVariants": [{"e0": 1.5}]}, "stickyVariants.e0", "row 0"),
        ({"stableId": ["a"], "events": [5]}, "events", "expected lists"),
        ({"stableId": ["a"], "events": ["{"]}, "events", "row 0: not JSON"),
        ({"stableId": ["a"], "events": ["{}"]}, "events", "row 0"),
        ({"stableId": ["a"], "events": [[{"type": "x"}]]}, "events[0].type", "row 0"),
    ],
)  # fmt: skip
def test_wrong_shapes_name_column_and_row(columns: dict[str, Any], path: str, message: str) -> None:
    engine, _ = storefront()
    table = pa.table(columns)
    if not path:
        # A text that would end the object early and bring members of its own.
        with pytest.raises(ProfileError):
            engine.select_columns(table)
        return
    with pytest.raises((ProfileError, EventError)) as caught:
        engine.select_columns(table)
    assert caught.value.path == path
    assert message in str(caught.value)


def test_an_intake_goes_on_after_a_wrong_table() -> None:
    engine, _ = storefront()
    intake = Intake(engine)
    with pytest.raises(ProfileError):
        intake.feed_arrow(pa.table({"stableId": ["a"], "traits.age": [float("nan")]}))
    assert intake.n_rows == 0
    intake.feed_arrow(structs())
    with pytest.raises(ValueError, match="not evaluated"):
        intake.feed_arrow(structs())
    assert intake.evaluate()[0].digest() == wanted()


def test_twice_the_same_column() -> None:
    engine, _ = storefront()
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["stableId"] * 2)
    with pytest.raises(ProfileError, match="several columns"):
        engine.select_columns(table)


def test_what_is_no_table() -> None:
    engine, _ = storefront()
    for wrong in (5, "x", {"stableId": ["a"]}, [5], [{"stableId": "a"}]):
        with pytest.raises(TypeError):
            engine.select_columns(wrong)
    with pytest.raises(TypeError, match="collect"):
        engine.select_columns(pl.LazyFrame({"stableId": ["a"]}))
    with pytest.raises(ProfileError, match="one type"):
        engine.select_columns(pd.DataFrame({"stableId": ["a", "b"], "traits.age": [1, "x"]}))
    for threads in (0, 65):
        with pytest.raises(ValueError, match="threads"):
            engine.select_columns(structs(), threads=threads)


def test_the_result_as_arrow() -> None:
    engine, _ = storefront()
    result = engine.select_columns(structs())
    batch = result.to_arrow()
    assert batch.column("stableId").to_pylist() == [one["stableId"] for one in PROFILES]
    for row in range(0, len(PROFILES), 50):
        selection = engine.select(PROFILES[row])
        chosen = {one["experienceId"]: one["variantIndex"] for one in selection.experiences}
        for identifier in engine.program.experience_ids:
            assert batch.column(f"experience.{identifier}")[row].as_py() == chosen.get(identifier)
        for identifier in engine.program.audience_ids:
            inside = identifier in selection.audiences
            assert batch.column(f"audience.{identifier}")[row].as_py() is inside
    batch.validate(full=True)


def test_buffers_that_lie_are_refused() -> None:
    """What the core is told about buffers is checked against their sizes."""
    import numpy as np

    from whichvariant._core.columns import Columns
    from whichvariant._core.layout import Layout

    engine, _ = storefront()
    columns = Columns(Layout([engine.program]))
    columns.blank(10)
    filler = ColumnFiller(columns)
    offsets = np.arange(11, dtype=np.int32)
    data = b"abcdefghij"
    short = np.arange(5, dtype=np.int32)
    down = offsets[::-1].copy()
    for call in (
        lambda: filler.texts(0, short, data, None, 0, False),
        lambda: filler.texts(0, offsets, data[:5], None, 0, False),
        lambda: filler.texts(0, down, data, None, 0, False),
        lambda: filler.texts(0, offsets, data, b"\0", 0, False),
        lambda: filler.texts(0, offsets, data, None, 5, False),
        lambda: filler.texts(0, offsets, data, None, 0, True),
        lambda: filler.texts(0, offsets, None, None, 0, False),
        lambda: filler.texts(0, offsets - 3, data, None, 0, False),
        lambda: filler.numbers(0, np.zeros(9), None, 0),
        lambda: filler.booleans(0, b"\0", None, 0),
        lambda: filler.objects(0, b"\0", 0),
        lambda: filler.codes(0, np.zeros(1, np.uint32), np.zeros(10, np.int32), None, 0),
        lambda: filler.codes(0, np.zeros(2, np.uint32), np.full(10, -1, np.int32), None, 0),
        lambda: filler.stable_ids(short, data, None, 0, False),
        lambda: filler.dictionary(0, short, data, None, 0, False, 9),
    ):
        with pytest.raises(ValueError, match=r"buffer|order|index"):
            call()
    for call in (
        lambda: filler.texts(99, offsets, data, None, 0, False),
        lambda: filler.merge(10, b"{}", b"1", b""),
        lambda: filler.counts(10, [[]]),
        lambda: filler.counts(0, []),
        lambda: filler.counts(0, [[1]]),
    ):
        with pytest.raises(IndexError):
            call()
    assert filler.texts(0, offsets, b"abc\xffefghij", None, 0, False) == 3
    assert filler.texts(0, offsets, "aéaéaéa".encode(), None, 0, False) == 1
    assert not filler.merge(0, b"", b"", b"")


def test_arrow_equals_lines() -> None:
    first, second = storefront()
    lines = b"\n".join(json.dumps(profile).encode() for profile in PROFILES)
    one, other = read(lines, first, second)
    intake = Intake(first, second)
    intake.feed_arrow(structs())
    assert [result.digest() for result in intake.evaluate()] == [one.digest(), other.digest()]

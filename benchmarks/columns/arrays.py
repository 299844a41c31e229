"""What a user would write instead: chunks of NumPy arrays, polars, DuckDB; exact murmur3 in NumPy.

All three evaluate the rules as their own expressions over whole columns. None of them has the
vendor's hash, so they get it the way a user would: computed with NumPy, four bytes of all ids at a
time. For SQL and data frames that is done ahead, and its time counted, since it is part of the job.
Texts are compared as dictionary codes where a library can.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.columns.crowd import paths_of
from benchmarks.prepared import NEGATIONS, ORDERINGS, PreparedEngine, operand_of

Json = Any
ABSENT = 255
C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def rotated(x: NDArray[np.uint32], by: int) -> NDArray[np.uint32]:
    return (x << np.uint32(by)) | (x >> np.uint32(32 - by))


def mixed(k: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return rotated(k * C1, 15) * C2


def met(h: NDArray[np.uint32], k: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return rotated(h ^ k, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def finished(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


class Ids:
    """Stable ids of one length, as words for each alignment, multiplied once."""

    def __init__(self, ids: NDArray[np.uint8]) -> None:
        self.length = ids.shape[1]
        self._ids = ids
        self._cut: dict[int, tuple[Any, list[Any], Any]] = {}

    def cut(self, alignment: int) -> tuple[NDArray[np.uint32], list[Any], Any]:
        """The first word in its place, further words multiplied, and the last one."""
        if alignment not in self._cut:
            text = self._ids
            taken = 4 - alignment
            first = np.zeros((len(text), 4), np.uint8)
            first[:, alignment:] = text[:, :taken]
            rest = text[:, taken:]
            whole = rest.shape[1] // 4
            words = [
                mixed(np.ascontiguousarray(rest[:, 4 * w : 4 * w + 4]).view("<u4")[:, 0])
                for w in range(whole)
            ]
            last = np.zeros((len(text), 4), np.uint8)
            last[:, : rest.shape[1] - 4 * whole] = rest[:, 4 * whole :]
            self._cut[alignment] = (
                first.view("<u4")[:, 0], words, mixed(last.view("<u4")[:, 0])
            )  # fmt: skip
        return self._cut[alignment]

    def hashes(self, prefix: bytes, rows: NDArray[np.intp] | slice) -> NDArray[np.uint32]:
        """murmur3 of prefix and id, for some rows; the prefix's own words are hashed once."""
        whole = len(prefix) // 4 * 4
        state = np.zeros(1, np.uint32)
        for word in np.frombuffer(prefix[:whole], "<u4"):
            state = met(state, mixed(np.array([word], np.uint32)))
        tail = np.uint32(int.from_bytes(prefix[whole:], "little"))
        first, words, last = self.cut(len(prefix) % 4)
        h = met(state, mixed(first[rows] | tail))
        for word in words:
            h = met(h, word[rows])
        return finished(h ^ last[rows] ^ np.uint32(len(prefix) + self.length))


def id_matrix(array: pa.Array) -> NDArray[np.uint8]:
    """Ids of one length as rows of bytes."""
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    size = int(starts[1] - starts[0])
    text = np.frombuffer(data, np.uint8)[int(starts[0]) : int(starts[-1])]
    return text.reshape(-1, size)


class Rules:
    """The rules of a document for an evaluator of whole columns.

    ``leaf(path, operator, operand)`` gives a positive comparison, False where the value is missing.
    """

    def __init__(self, document: Json) -> None:
        self.document = document
        self.prepared = PreparedEngine(document)
        self.rules = {one["nt_audience_id"]: one["nt_rules"] for one in document["audiences"]}

    def evaluate(self, rule: Json, leaf: Callable[..., Any], true: Any, false: Any) -> Any:
        """A rule by the library's own ``&``, ``|`` and ``~``."""
        if "any" in rule:
            parts = [self.evaluate(one, leaf, true, false) for one in rule["any"]]
            return functools.reduce(lambda a, b: a | b, parts) if parts else false
        if "all" in rule:
            parts = [self.evaluate(one, leaf, true, false) for one in rule["all"]]
            return functools.reduce(lambda a, b: a & b, parts) if parts else true
        if "not" in rule:
            return ~self.evaluate(rule["not"], leaf, true, false)
        operator = rule["operator"]
        positive = NEGATIONS.get(operator, operator)
        (path,) = paths_of(rule)
        found = leaf(path, positive, operand_of(positive, rule.get("value")))
        return ~found if operator in NEGATIONS else found


# ---- NumPy --------------------------------------------------------------------------------------


class NumpyEngine:
    """Chunks of columns through NumPy."""

    def __init__(self, document: Json) -> None:
        self.rules = Rules(document)

    def select(self, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        """Variant indices, [experience, row]."""
        n = batch.num_rows
        columns: dict[str, Any] = {}
        leaves: dict[Any, NDArray[np.bool_]] = {}

        def column(path: str) -> Any:
            if path not in columns:
                array = batch.column(path)
                valid = array.is_valid().to_numpy(zero_copy_only=False)
                if pa.types.is_dictionary(array.type):
                    codes = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
                    columns[path] = valid, codes, array.dictionary.to_pylist()
                else:
                    fill = False if pa.types.is_boolean(array.type) else 0
                    values = array.fill_null(fill).to_numpy(zero_copy_only=False)
                    columns[path] = valid, values, None
            return columns[path]

        def leaf(path: str, operator: str, operand: Any) -> NDArray[np.bool_]:
            key = (path, operator, str(operand))
            if key not in leaves:
                valid, values, texts = column(path)
                leaves[key] = valid & compare(values, texts, operator, operand)
            return leaves[key]

        true, false = np.ones(n, np.bool_), np.zeros(n, np.bool_)
        audiences = {
            key: self.rules.evaluate(rule, leaf, true, false)
            for key, rule in self.rules.rules.items()
        }
        ids = Ids(id_matrix(batch.column("stableId")))
        out = np.full((len(self.rules.prepared.experiences), n), ABSENT, np.uint8)
        for number, one in enumerate(self.rules.prepared.experiences):
            asked = true if one.audience is None else audiences[one.audience]
            rows = np.flatnonzero(asked)
            # Hashing fewer rows pays: NumPy's cost is by the row.
            rows = rows[ids.hashes(one.traffic_prefix, rows) / 4294967295 < one.traffic]
            drawn = ids.hashes(one.distribution_prefix, rows) / 4294967295
            out[number, rows] = variants(drawn, one.distribution)
        apply_sticky(out, batch, self.rules.prepared)
        return out


def compare(values: Any, texts: list[str] | None, operator: str, operand: Any) -> Any:
    """A positive comparison of present values: on codes for texts, a look-up by code."""
    if operator == "exists":
        return True
    if texts is not None:
        tests: dict[str, Callable[[str], bool]] = {
            "equal": lambda text: text == operand,
            "in": lambda text: text in operand,
            "contains": lambda text: operand in text,
            "startsWith": lambda text: text.startswith(operand),
        }
        return np.array([*map(tests[operator], texts), False], np.bool_)[values]
    if values.dtype == np.bool_:
        return values == (operand == "true")
    if operator in ORDERINGS:
        return {
            "greaterThan": np.greater, "greaterThanInclusive": np.greater_equal,
            "lessThan": np.less, "lessThanInclusive": np.less_equal,
        }[operator](values, operand)  # fmt: skip
    return np.isin(values, operand if isinstance(operand, list) else [operand])


def variants(drawn: NDArray[np.float64], segments: list[tuple[float, float]]) -> Any:
    """The index of the first segment that holds each draw, 0 for none."""
    index = np.zeros(len(drawn), np.uint8)
    for number in range(len(segments) - 1, -1, -1):
        start, end = segments[number]
        index[(start <= drawn) & (drawn <= end)] = number
    return index


def apply_sticky(out: NDArray[np.uint8], batch: pa.RecordBatch, prepared: PreparedEngine) -> None:
    """Stored choices over drawn ones."""
    sticky = {
        one.id: (number, one.highest_index)
        for number, one in enumerate(prepared.experiences)
        if one.sticky
    }
    column = batch.column("stickyVariants")
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    for row, pairs in zip(rows.tolist(), column.drop_null().to_pylist(), strict=True):
        for key, index in pairs:
            number, highest = sticky.get(key, (-1, -1))
            if number >= 0 and 0 <= index <= highest and out[number, row] != ABSENT:
                out[number, row] = index


# ---- polars -------------------------------------------------------------------------------------


class PolarsEngine:
    """Audiences by lazy expressions, streamed; then the draws in NumPy: polars has no murmur3."""

    def __init__(self, document: Json) -> None:
        import polars as pl

        self.numpy = NumpyEngine(document)
        self.rules = self.numpy.rules
        self.pl = pl

    def leaf(self, path: str, operator: str, operand: Any) -> Any:
        pl = self.pl
        value = pl.col(path)
        if operator == "exists":
            return value.is_not_null()
        if isinstance(operand, str) and operand in {"true", "false"} and operator == "equal":
            found = value == (operand == "true")
        elif operator == "equal":
            found = value == operand
        elif operator == "in":
            found = value.is_in(operand)
        elif operator == "contains":
            found = value.cast(pl.String).str.contains(operand, literal=True)
        elif operator == "startsWith":
            found = value.cast(pl.String).str.starts_with(operand)
        else:
            found = {
                "greaterThan": value.gt, "greaterThanInclusive": value.ge,
                "lessThan": value.lt, "lessThanInclusive": value.le,
            }[operator](operand)  # fmt: skip
        return found.fill_null(value=False)

    def audiences(self, frame: Any) -> Any:
        """A frame of one boolean column for each audience."""
        pl = self.pl
        expressions = [
            self.rules.evaluate(rule, self.leaf, pl.lit(value=True), pl.lit(value=False)).alias(key)
            for key, rule in self.rules.rules.items()
        ]
        return frame.lazy().select(expressions).collect(engine="streaming")

    def select(self, frame: Any, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        """Variant indices, [experience, row]; ``frame`` holds what ``batch`` does."""
        return draw(self.rules.prepared, self.audiences(frame), batch)


def draw(prepared: PreparedEngine, audiences: Any, batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """Draws in NumPy, in chunks that caches hold, for audiences that something else found."""
    n = batch.num_rows
    out = np.full((len(prepared.experiences), n), ABSENT, np.uint8)
    matrix = id_matrix(batch.column("stableId"))
    for start in range(0, n, 16_384):
        ids = Ids(matrix[start : start + 16_384])
        for number, one in enumerate(prepared.experiences):
            if one.audience is None:
                rows = np.arange(len(matrix[start : start + 16_384]))
            else:
                part = audiences[one.audience][start : start + 16_384]
                rows = np.flatnonzero(np.asarray(part))
            rows = rows[ids.hashes(one.traffic_prefix, rows) / 4294967295 < one.traffic]
            drawn = ids.hashes(one.distribution_prefix, rows) / 4294967295
            out[number, start + rows] = variants(drawn, one.distribution)
    apply_sticky(out, batch, prepared)
    return out


# ---- DuckDB -------------------------------------------------------------------------------------


class DuckEngine:
    """Audiences in one SELECT, on one thread; the draws then in NumPy, as for polars."""

    def __init__(self, document: Json) -> None:
        import duckdb

        self.rules = Rules(document)
        self.connection = duckdb.connect()
        self.connection.execute("SET threads TO 1")
        columns = [f'({self.sql(rule)}) AS "{key}"' for key, rule in self.rules.rules.items()]
        self.query = f"SELECT {', '.join(columns)} FROM crowd"

    def sql(self, rule: Json) -> str:
        """A rule as a condition that is never NULL."""
        if "any" in rule:
            return " OR ".join(f"({self.sql(one)})" for one in rule["any"]) or "FALSE"
        if "all" in rule:
            return " AND ".join(f"({self.sql(one)})" for one in rule["all"]) or "TRUE"
        if "not" in rule:
            return f"NOT ({self.sql(rule['not'])})"
        operator = rule["operator"]
        positive = NEGATIONS.get(operator, operator)
        (path,) = paths_of(rule)
        found = self.leaf(f'"{path}"', positive, operand_of(positive, rule.get("value")))
        return f"NOT ({found})" if operator in NEGATIONS else found

    @staticmethod
    def leaf(column: str, operator: str, operand: Any) -> str:
        def literal(value: Any) -> str:
            return (
                repr(value) if not isinstance(value, str) else "'" + value.replace("'", "''") + "'"
            )

        if operator == "exists":
            return f"{column} IS NOT NULL"
        if operator == "in":
            test = f"{column} IN ({', '.join(map(literal, operand))})"
        elif operator in {"contains", "startsWith"}:
            name = {"contains": "contains", "startsWith": "starts_with"}[operator]
            test = f"{name}({column}, {literal(operand)})"
        elif operand in ("true", "false"):
            test = f"{column} = {operand}"
        else:
            sign = {
                "equal": "=", "greaterThan": ">", "greaterThanInclusive": ">=",
                "lessThan": "<", "lessThanInclusive": "<=",
            }[operator]  # fmt: skip
            test = f"{column} {sign} {literal(operand)}"
        return f"coalesce({test}, FALSE)"

    def select(self, table: pa.Table, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        """Variant indices, [experience, row]."""
        self.connection.register("crowd", table)
        return draw(self.rules.prepared, self.connection.execute(self.query).fetchnumpy(), batch)

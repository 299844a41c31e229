"""Arrow tables into columns: where each attribute stands in a table, and how its values are read.

An attribute such as ``traits.plan`` is looked for as a column of that name, then as a field of a
column ``traits``. A null is a missing attribute, wherever it stands: tables have no other way to
say that there is none **[policy]**. A JSON null inside of a JSON text is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichvariant._core.columns import Columns
from whichvariant._core.fill_columns import ColumnFiller
from whichvariant._core.trie import DEVICE
from whichvariant.errors import EventError, InputError, ProfileError

if TYPE_CHECKING:
    import pyarrow as pa

DEVICES = frozenset(("desktop", "mobile", "tablet", "unknown"))

_NO_INDEX = 1 << 30
"""No experience has an index of this size."""

CountEvents = Callable[[Any], list[list[int]] | None]
Reason = Callable[[bytes], InputError]


def fill(
    columns: Columns, table: pa.Table | pa.RecordBatch, count_events: CountEvents, reason: Reason
) -> None:
    """All rows of ``table`` as the rows of ``columns``, which are empty.

    ``count_events`` counts a list of events for each engine, None when they cannot be counted;
    ``reason`` says why a profile (JSON) is refused.
    """
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        arrays = dict(zip(table.schema.names, table.columns, strict=True))
    else:
        arrays = {
            name: _one_array(column)
            for name, column in zip(table.schema.names, table.columns, strict=True)
        }
    if len(arrays) != len(table.schema.names):
        names = table.schema.names
        twice = next(name for name in names if names.count(name) > 1)
        raise ProfileError(twice, "there are several columns of this name")
    columns.blank(table.num_rows)
    _Filling(columns, arrays, table.num_rows, count_events, reason).run()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array.chunk(0) if hasattr(array, "chunk") else array


class _Filling:
    """One table on its way into columns."""

    def __init__(
        self,
        columns: Columns,
        arrays: dict[str, pa.Array],
        n_rows: int,
        count_events: CountEvents,
        reason: Reason,
    ) -> None:
        self.columns = columns
        self.filler = ColumnFiller(columns)
        self.arrays = arrays
        self.n_rows = n_rows
        self.count_events = count_events
        self.reason = reason

    def run(self) -> None:
        """Fill everything."""
        self._stable_ids()
        for part in ("traits", "location", "session"):
            self._part(part)
        for number, path in enumerate(self.columns.layout.paths):
            if path != DEVICE:
                self._attribute(number, path)
        self._device(self.columns.layout.device_column)
        self._sticky()
        self._events()

    # ---- ids ----------------------------------------------------------------------------------

    def _stable_ids(self) -> None:
        import pyarrow as pa

        array = self.arrays.get("stableId")
        if array is None:
            raise ProfileError("stableId", "there is no such column, and 'id' is no substitute")
        if pa.types.is_null(array.type):
            array = array.cast(pa.string())
        texts = _as_texts(array)
        if texts is None:
            raise ProfileError("stableId", f"expected texts, got {array.type}")
        wrong = self.filler.stable_ids(*_text_buffers(texts))
        if wrong is not None:
            row, why = wrong
            raise ProfileError("stableId", f"row {row}: {why}")

    # ---- attributes ---------------------------------------------------------------------------

    def _part(self, part: str) -> None:
        """Check the type of a whole part, and read one that is JSON texts."""
        import pyarrow as pa

        array = self.arrays.get(part)
        if array is None or _is_struct(array.type) or pa.types.is_null(array.type):
            return
        if pa.types.is_map(array.type):
            self._merge_values(part, (part,), array)
            return
        texts = _as_texts(array)
        if texts is None:
            raise ProfileError(part, f"expected a struct, a map or JSON texts, got {array.type}")
        for row, text in _present(texts):
            self._merge(part, (part,), row, text)

    def _attribute(self, number: int, path: tuple[str, ...]) -> None:
        """Find one attribute and read it. The longest name that is a column holds it."""
        for length in range(len(path), 0, -1):
            name = ".".join(path[:length])
            array = self.arrays.get(name)
            if array is None:
                continue
            for depth in range(length, len(path)):
                if not _is_struct(array.type):
                    # A JSON part has been read; below all else there is nothing.
                    self._below(name, path[:depth], array)
                    return
                field = array.type.get_field_index(path[depth])
                if field < 0:
                    return
                array = array.flatten()[field]
                name = f"{name}.{path[depth]}"
            self._values(number, path, name, array)
            return

    def _below(self, name: str, path: tuple[str, ...], array: pa.Array) -> None:
        import pyarrow as pa

        if len(path) > 1 and pa.types.is_map(array.type):
            self._merge_values(name, path, array)

    def _values(self, number: int, path: tuple[str, ...], name: str, array: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = array.type
        if pa.types.is_null(kind):
            return
        if pa.types.is_dictionary(kind):
            texts = _as_texts(array.dictionary)
            if texts is None:
                self._values(number, path, name, array.dictionary_decode())
            else:
                self._dictionary(number, name, array, texts)
            return
        texts = _as_texts(array)
        if texts is not None:
            wrong = self.filler.texts(number, *_text_buffers(texts))
            if wrong >= 0:
                raise ProfileError(name, f"row {wrong}: not UTF-8")
        elif pa.types.is_boolean(kind):
            validity, values = array.buffers()
            self.filler.booleans(number, values, _validity(array, validity), array.offset)
        elif _is_number(kind):
            if not pa.types.is_float64(kind):
                # What rules compare are doubles; a wider number becomes the nearest.
                array = pc.cast(array, pa.float64(), safe=False)
            validity, values = array.buffers()
            wrong = self.filler.numbers(number, values, _validity(array, validity), array.offset)
            if wrong >= 0:
                raise ProfileError(name, f"row {wrong}: {array[wrong]} is not a JSON number")
        elif _is_struct(kind):
            self.filler.objects(number, _validity(array, array.buffers()[0]), array.offset)
        elif _is_list(kind) or pa.types.is_map(kind):
            self._merge_values(name, path, array)
        else:
            raise ProfileError(name, f"a column of {kind} holds no JSON values")

    def _dictionary(
        self, number: int, name: str, array: pa.DictionaryArray, texts: pa.Array
    ) -> None:
        import pyarrow as pa

        try:
            codes = self.filler.dictionary(number, *_text_buffers(texts), len(texts))
        except ValueError as error:
            raise ProfileError(name, str(error)) from None
        indices = array.indices
        if not pa.types.is_int32(indices.type):
            indices = indices.cast(pa.int32())
        validity, values = indices.buffers()
        self.filler.codes(number, codes, values, _validity(indices, validity), indices.offset)

    def _merge_values(self, name: str, path: tuple[str, ...], array: pa.Array) -> None:
        """Values that have no columns of their own, row by row by way of their JSON."""
        for row, value in _present(array):
            try:
                text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ProfileError(name, f"row {row}: {error}") from None
            self._merge(name, path, row, text)

    def _merge(self, name: str, path: tuple[str, ...], row: int, text: str) -> None:
        """A JSON value at ``path`` of one row."""
        before = "".join(f"{{{json.dumps(key)}:" for key in path).encode()
        value = text.encode()
        after = b"}" * len(path)
        if not self.filler.merge(row, before, value, after):
            error = self.reason(b'{"stableId":"",' + before[1:] + value + after)
            raise ProfileError(error.path or name, f"row {row}: {error.message}")

    # ---- what is no attribute -----------------------------------------------------------------

    def _device(self, number: int) -> None:
        array = self.arrays.get("device")
        if array is None:
            return
        if hasattr(array, "dictionary"):
            array = array.dictionary_decode()
        texts = _as_texts(array)
        if texts is None:
            if array.null_count == len(array):
                return
            raise ProfileError("device", f"expected texts, got {array.type}")
        known = set(texts.unique().to_pylist()) - {None}
        if not known <= DEVICES:
            odd = sorted(known - DEVICES)[0]
            row = texts.to_pylist().index(odd)
            raise ProfileError(
                "device", f"row {row}: {odd!r} is not one of desktop, mobile, tablet, unknown"
            )
        if number >= 0:
            self.filler.texts(number, *_text_buffers(texts))

    def _sticky(self) -> None:
        import pyarrow as pa

        name = "stickyVariants"
        array = self.arrays.get(name)
        if array is None or pa.types.is_null(array.type):
            return
        texts = _as_texts(array)
        if texts is not None:
            for row, text in _present(texts):
                self._merge(name, (name,), row, text)
        elif _is_plain_map(array) and self._map_choices(array):
            pass
        elif pa.types.is_map(array.type) or _is_struct(array.type):
            self._choices(_pairs(array, self.columns.layout.sticky_ids))
        else:
            raise ProfileError(name, f"expected a struct, a map or JSON texts, got {array.type}")

    def _map_choices(self, array: pa.MapArray) -> bool:
        """Choices of a map as most have it; False where they have to be read in another way."""
        import pyarrow as pa

        validity, offsets = array.buffers()[:2]
        key_offsets, key_data, _, first_key, wide_keys = _text_buffers(array.keys)
        values = array.items
        return self.filler.map_choices(
            offsets,
            _validity(array, validity),
            array.offset,
            key_offsets,
            key_data,
            first_key,
            wide_keys,
            values.buffers()[1],
            values.offset,
            bool(pa.types.is_int64(values.type)),
            len(values),
        )

    def _choices(
        self, pairs: Iterable[tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]]
    ) -> None:
        """Choices: rows, experiences, and what was chosen."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        experiences = [np.zeros(0, np.int64)]
        indices = [np.zeros(0)]
        for where, experience, values in pairs:
            if not len(where):
                continue
            odd = np.zeros(1, np.int64)
            if _is_number(values.type) and not values.null_count:
                numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
                odd = np.flatnonzero(~(np.isfinite(numbers) & (numbers == np.floor(numbers))))
            if len(odd):
                path = f"stickyVariants.{self.columns.layout.sticky_ids[experience[odd[0]]]}"
                raise ProfileError(path, f"row {where[odd[0]]}: expected a variant index")
            rows.append(where)
            experiences.append(experience)
            indices.append(np.where((numbers >= 0) & (numbers < _NO_INDEX), numbers, -1))
        row = np.concatenate(rows)
        order = np.argsort(row, kind="stable")
        self.filler.sticky(
            row[order].astype(np.uint32),
            np.concatenate(experiences)[order].astype(np.uint32),
            np.concatenate(indices)[order].astype(np.int32),
        )

    def _events(self) -> None:
        import pyarrow as pa

        array = self.arrays.get("events")
        if array is None or pa.types.is_null(array.type):
            return
        texts = _as_texts(array)
        if texts is None and not _is_list(array.type):
            raise ProfileError("events", f"expected lists or JSON texts, got {array.type}")
        for row, value in _present(array if texts is None else texts):
            try:
                events = json.loads(value) if isinstance(value, str) else without_nulls(value)
            except ValueError as error:
                raise EventError("events", f"row {row}: not JSON: {error}") from None
            counts = self.count_events(events)
            if counts is None:
                record = json.dumps({"profile": {"stableId": ""}, "events": events}, default=str)
                refused = self.reason(record.encode())
                raise EventError(refused.path, f"row {row}: {refused.message}")
            self.filler.counts(row, counts)


def _present(array: pa.Array) -> Iterator[tuple[int, Any]]:
    """The rows that are not null, and what they hold."""
    import pyarrow.compute as pc

    rows = pc.indices_nonzero(array.is_valid()).to_pylist()
    return zip(rows, array.drop_null().to_pylist(maps_as_pydicts="lossy"), strict=True)


def _pairs(
    array: pa.Array, sticky_ids: tuple[str, ...]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]]:
    """Rows of a map or struct, the sticky experiences that they name, and the values there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_map(array.type):
        # In a struct every row has every field; a null one says that there is no choice.
        for field, values in zip(array.type, array.flatten(), strict=True):
            if field.name in sticky_ids:
                rows = pc.indices_nonzero(values.is_valid()).to_numpy().astype(np.int64)
                number = sticky_ids.index(field.name)
                yield rows, np.full(len(rows), number), values.drop_null()
        return
    present = pc.indices_nonzero(array.is_valid()).to_numpy().astype(np.int64)
    array = array.drop_null()
    offsets = array.offsets.to_numpy().astype(np.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    keys = array.keys.slice(begin, end - begin)
    values = array.items.slice(begin, end - begin)
    if not (pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type)):
        raise ProfileError("stickyVariants", f"expected texts as keys, got {keys.type}")
    rows = np.repeat(present, np.diff(offsets))
    known = pc.index_in(keys, value_set=pa.array(sticky_ids, keys.type)).fill_null(-1).to_numpy()
    where = np.flatnonzero(known >= 0)
    place = rows[where] * len(sticky_ids) + known[where]
    # Of a repeated key the last counts: sorted stably, it is the last of its place.
    order = np.argsort(place, kind="stable")
    last = np.append(place[order[1:]] != place[order[:-1]], True)[: len(order)]
    where = where[order[last]]
    yield rows[where], known[where].astype(np.int64), values.take(pa.array(where))


def without_nulls(value: Any) -> Any:
    """A value of structs and lists as JSON: a null field of a struct is an absent one."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


# ---- Arrow's types and buffers ------------------------------------------------------------------


def _is_struct(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_plain_map(array: pa.MapArray) -> bool:
    """Whether keys are texts with offsets and values integers of 32 or 64 bits, all there."""
    import pyarrow as pa

    if not pa.types.is_map(array.type) or not len(array):
        return False
    keys, values = array.type.key_type, array.type.item_type
    return bool(
        (pa.types.is_string(keys) or pa.types.is_large_string(keys))
        and (pa.types.is_int32(values) or pa.types.is_int64(values))
        and not array.items.null_count
        and not array.keys.null_count
    )


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _as_texts(array: pa.Array) -> pa.Array | None:
    """The array with offsets of 32 or 64 bits if it holds texts, else None."""
    import pyarrow as pa

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_dictionary(array.type) and _as_texts(array.dictionary) is not None:
        return _as_texts(array.dictionary_decode())
    return None


def _validity(array: pa.Array, buffer: pa.Buffer | None) -> pa.Buffer | None:
    return buffer if array.null_count else None


def _text_buffers(texts: pa.Array) -> tuple[Any, Any, Any, int, bool]:
    """Offsets, bytes, validity, first row, and whether offsets have 64 bits."""
    import pyarrow as pa

    validity, offsets, data = texts.buffers()
    wide = bool(pa.types.is_large_string(texts.type))
    if offsets is None or len(offsets) == 0:
        # An array of no rows may come without any.
        offsets = np.zeros(1, np.int64)
    return offsets, data, _validity(texts, validity), texts.offset, wide

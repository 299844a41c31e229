"""What was decided for a batch of profiles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichvariant._core.tallies import count_pairs, digest

if TYPE_CHECKING:
    import pyarrow as pa

    from whichvariant.engine import Engine

Variants = NDArray[np.uint8] | NDArray[np.uint16]

Arrays = tuple[Variants, NDArray[np.uint64]]
"""Variants and audiences that batches are written into, with room for whole blocks of rows."""

BLOCK_ROWS = 1024

_DIGESTS = 1 << 128


class ColumnsResult:
    """The variants of a batch of profiles, and the audiences that they are in.

    ``e`` and ``a`` are numbers of experiences and audiences in the order of the API, that of
    ``engine.program.experience_ids`` and ``audience_ids``; ``row`` is a profile's place in the
    batch. All arrays belong to the result and stay as they are.

    Attributes
    ----------
    engine : Engine
        Who decided.
    n_rows : int
    variants : ndarray of uint8, [n_experiences, n_rows]
        The variant index, or ``absent`` for who gets no record: the audience does not match, or the
        traffic leaves them out. uint16 when an experience of the engine has an index of 255.
    absent : int
        255, with uint16 65,535.
    audiences : ndarray of uint64, [n_audiences, ceil(n_rows / 64)]
        Bit ``row % 64`` of word ``row // 64``; bits behind the last row are 0.
    experience_audience : ndarray of int32, [n_experiences]
        The audience that each experience asks for, -1 for none.
    records : ndarray of uint64, [n_rows]
        Which record of its source each row was, from 0. Refused records leave gaps.
    sticky : tuple of ndarrays of uint32
        Rows, experiences and indices of the stored choices that hold, in order of rows.
    drawn : ndarray of uint32
        What the distribution draw would have given instead, choice by choice.
    """

    def __init__(
        self,
        engine: Engine,
        variants: Variants,
        audiences: NDArray[np.uint64],
        held: NDArray[np.uint32],
        id_table: tuple[NDArray[np.uint64], bytes, NDArray[np.uint64]],
    ) -> None:
        self.engine = engine
        self.variants = variants
        self.audiences = audiences
        self.n_rows: int = variants.shape[1]
        self.absent: int = int(np.iinfo(variants.dtype).max)
        self.sticky = (held[:, 0], held[:, 1], held[:, 2])
        self.drawn = held[:, 3]
        self._id_starts, self._ids, self.records = id_table

    @cached_property
    def experience_audience(self) -> NDArray[np.int32]:
        """Per experience: the number of its audience, -1 for everyone."""
        return np.array(self.engine.program.experience_audiences(), np.int32)

    def __repr__(self) -> str:
        return (
            f"<ColumnsResult: {self.n_rows} profiles, {self.variants.shape[0]} experiences, "
            f"{self.audiences.shape[0]} audiences>"
        )

    def matched(self, experience: int) -> NDArray[np.bool_]:
        """Whether the audience of an experience matches, for every row; traffic has no part in it.

        Who matches and is absent all the same was left out by traffic.
        """
        audience = self.experience_audience[experience]
        if audience < 0:
            return np.ones(self.n_rows, np.bool_)
        return self.in_audience(int(audience))

    def in_audience(self, audience: int) -> NDArray[np.bool_]:
        """Whether each row is in an audience."""
        words = np.ascontiguousarray(self.audiences[audience])
        bits = np.unpackbits(words.view(np.uint8), bitorder="little", count=self.n_rows)
        return bits.view(np.bool_)

    @property
    def id_buffers(self) -> tuple[NDArray[np.uint64], bytes]:
        """Where each row's stable id begins, one more at the end, and the UTF-8 of all ids."""
        return self._id_starts, self._ids

    def stable_id(self, row: int) -> str:
        """The stable id of one row."""
        if not 0 <= row < self.n_rows:
            raise IndexError(f"row {row} of {self.n_rows}")
        return self._ids[int(self._id_starts[row]) : int(self._id_starts[row + 1])].decode()

    def stable_ids(self) -> list[str]:
        """The stable ids of all rows."""
        starts = self._id_starts.tolist()
        return [self._ids[start:stop].decode() for start, stop in pairwise(starts)]

    def selection(self, row: int) -> dict[str, list[Any]]:
        """What one row gets, as `Engine.select` lists it.

        ``{"audiences": [id, ...], "experiences": [(experienceId, variantIndex), ...]}``
        """
        if not 0 <= row < self.n_rows:
            raise IndexError(f"row {row} of {self.n_rows}")
        program = self.engine.program
        column = self.variants[:, row]
        word, bit = divmod(row, 64)
        inside = self.audiences[:, word] >> np.uint64(bit) & np.uint64(1)
        return {
            "audiences": [program.audience_ids[a] for a in np.flatnonzero(inside).tolist()],
            "experiences": [
                (program.experience_ids[e], int(column[e]))
                for e in np.flatnonzero(column != self.absent).tolist()
            ],
        }

    def digest(self) -> int:
        """A number below 2**128 over (stable id, experience id, variant index) of all rows.

        It does not depend on the order of rows, and digests of parts add up to that of the whole
        (`add_digests`): two runs over the same visitors, however divided, have decided the same
        when their digests are the same.
        """
        return digest(
            self.variants,
            self.absent,
            list(self.engine.program.experience_ids),
            self._id_starts,
            np.frombuffer(self._ids, np.uint8),
        )

    @staticmethod
    def add_digests(*digests: int) -> int:
        """The digest of several batches together."""
        return sum(digests) % _DIGESTS

    def to_arrow(self) -> pa.RecordBatch:
        """The result as a record batch.

        Columns: ``stableId``; ``experience.<id>`` for each experience, unsigned integers, null for
        who gets no record; ``audience.<id>`` for each audience, booleans. Needs pyarrow.
        """
        import pyarrow as pa

        n = self.n_rows
        arrays: list[pa.Array] = [
            pa.Array.from_buffers(
                pa.large_string(),
                n,
                [None, pa.py_buffer(self._id_starts), pa.py_buffer(self._ids)],
            )
        ]
        names = ["stableId"]
        for number, identifier in enumerate(self.engine.program.experience_ids):
            column = self.variants[number]
            arrays.append(pa.array(column, mask=column == self.absent))
            names.append(f"experience.{identifier}")
        for number, identifier in enumerate(self.engine.program.audience_ids):
            words = pa.py_buffer(np.ascontiguousarray(self.audiences[number]))
            arrays.append(pa.Array.from_buffers(pa.bool_(), n, [None, words]))
            names.append(f"audience.{identifier}")
        return pa.RecordBatch.from_arrays(arrays, names)

    @classmethod
    def join(cls, results: list[ColumnsResult], arrays: Arrays | None = None) -> ColumnsResult:
        """Several batches of one engine as one, in order; ``arrays`` hold what they were written
        into one behind the other, if they were.
        """
        if len(results) == 1:
            return results[0]
        first = results[0]
        counts = np.cumsum([0, *(result.n_rows for result in results)])
        n = int(counts[-1])
        if arrays is None:
            audiences = np.zeros((first.audiences.shape[0], (n + 63) // 64), np.uint64)
            for start, result in zip(counts.tolist(), results, strict=False):
                _or_bits(audiences, start, result.audiences)
            variants: Variants = np.concatenate([result.variants for result in results], axis=1)
        else:
            variants, audiences = arrays[0][:, :n], arrays[1][:, : (n + 63) // 64]
        held = []
        starts = [np.zeros(1, np.uint64)]
        records = []
        end = 0
        next_record = 0
        for start, result in zip(counts.tolist(), results, strict=False):
            rows, experiences, indices = result.sticky
            held.append(np.stack([rows + np.uint32(start), experiences, indices, result.drawn], 1))
            starts.append(result._id_starts[1:] + np.uint64(end))
            end += int(result._id_starts[-1])
            records.append(result.records + np.uint64(next_record))
            next_record = int(records[-1][-1]) + 1 if len(records[-1]) else next_record
        return cls(
            first.engine,
            variants,
            audiences,
            np.concatenate(held),
            (
                np.concatenate(starts),
                b"".join(result._ids for result in results),
                np.concatenate(records),
            ),
        )


def is_wide(highest_indices: Iterable[int]) -> bool:
    """Whether indices up to these are uint16, as the core has them: 255 is the mark for none."""
    return any(highest >= 255 for highest in highest_indices)


def arrays_for(engine: Engine, n_rows: int) -> Arrays:
    """Room for the variants and audiences of ``n_rows`` profiles."""
    program = engine.program
    n_experiences, n_audiences = len(program.experience_ids), len(program.audience_ids)
    wide = is_wide(program.highest_index(number) for number in range(n_experiences))
    shape = n_experiences, -(-n_rows // BLOCK_ROWS) * BLOCK_ROWS
    variants: Variants = np.empty(shape, np.uint16) if wide else np.empty(shape, np.uint8)
    return variants, np.zeros((n_audiences, shape[1] // 64), np.uint64)


def _or_bits(target: NDArray[np.uint64], start: int, bits: NDArray[np.uint64]) -> None:
    """Lay the bitmaps ``bits`` over ``target``, from bit ``start`` on."""
    word, shift = divmod(start, 64)
    n = bits.shape[1]
    if shift == 0:
        target[:, word : word + n] |= bits
        return
    target[:, word : word + n] |= bits << np.uint64(shift)
    carried = bits >> np.uint64(64 - shift)
    room = min(n, target.shape[1] - word - 1)
    target[:, word + 1 : word + 1 + room] |= carried[:, :room]


def transitions(
    before: ColumnsResult, e_before: int | None, after: ColumnsResult, e_after: int | None
) -> NDArray[np.int64]:
    """How many rows went from which index to which, for one experience of two results.

    ``before`` and ``after`` are results of the same batch; ``e_before`` and ``e_after`` the numbers
    of the experience in each, None where there is no such experience: then all are absent. The
    answer is [highest index before + 2, highest index after + 2]; the last row and column are
    absence.
    """
    old = _column(before, e_before)
    new = _column(after, e_after)
    if old.dtype != new.dtype:
        old, new = _wide(old, before.absent), _wide(new, after.absent)
    n_old = 0 if e_before is None else before.engine.program.highest_index(e_before) + 1
    n_new = 0 if e_after is None else after.engine.program.highest_index(e_after) + 1
    return count_pairs(old, new, n_old, n_new)


def _column(result: ColumnsResult, experience: int | None) -> Variants:
    if experience is None:
        return np.full(result.n_rows, result.absent, result.variants.dtype)
    column: Variants = result.variants[experience]
    return column


def _wide(column: Variants, absent: int) -> NDArray[np.uint16]:
    return np.where(column == absent, np.uint16(0xFFFF), column.astype(np.uint16))

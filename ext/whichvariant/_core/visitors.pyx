"""What a replay counts over visitors: who they are, and how many went from which index to which.

A visitor's key is 128 bits, XXH64 of the stable id with two seeds: for telling visitors apart, and
for choosing samples that do not depend on the order of rows. No proof against those who may choose
ids.

This module owns no memory.
"""
# cython: language_level=3

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

import numpy as np

from whichvariant._core.hashing cimport xxh64_bytes

ctypedef fused Index:
    uint8_t
    uint16_t

# Seeds of the two halves. The digest of a batch has others (tallies.pyx).
cdef uint64_t HIGH_SEED = 11
cdef uint64_t LOW_SEED = 12


def visitor_keys(const uint64_t[::1] id_starts not None, const uint8_t[::1] ids not None):
    """The keys of visitors: an ndarray of uint64, [2, n], the high halves and the low ones.

    ``ids`` is the UTF-8 of all stable ids, row ``r`` from ``id_starts[r]`` to ``id_starts[r + 1]``.
    """
    cdef Py_ssize_t n = id_starts.shape[0] - 1
    cdef Py_ssize_t i
    cdef const uint8_t *text
    cdef size_t length
    cdef uint64_t[:, ::1] keys
    if n < 0:
        raise ValueError("there is no first start")
    for i in range(n):
        if id_starts[i + 1] < id_starts[i]:
            raise ValueError("ids are out of order")
    if id_starts[n] > <uint64_t> ids.shape[0]:
        raise ValueError("ids are cut off")
    found = np.empty((2, n), np.uint64)
    keys = found
    text = &ids[0] if ids.shape[0] else NULL
    with nogil:
        for i in range(n):
            length = <size_t> (id_starts[i + 1] - id_starts[i])
            keys[0, i] = xxh64_bytes(text + id_starts[i], length, HIGH_SEED)
            keys[1, i] = xxh64_bytes(text + id_starts[i], length, LOW_SEED)
    return found


def tally(
    const Index[:] before not None, const Index[:] after not None,
    const uint64_t[:] keys not None, int64_t[:, :] counts not None,
    uint64_t[:, :, :] smallest not None, int64_t[:, :, :] rows not None,
    uint8_t[::1] moved not None,
):
    """Count pairs of indices, and keep the rows with the smallest keys of each pair.

    Parameters
    ----------
    before, after
        The variant index of each row; what is not below the last row (column) of ``counts`` counts
        there, as the mark for no record does.
    keys
        The visitor's key, row by row.
    counts
        [indices before + 1, indices after + 1], added to.
    smallest, rows
        [..., samples]: for each pair the smallest keys, ascending, and the rows they belong to.
        A row that is not of this batch stays what it is, whatever number stands for it.
    moved
        A byte for each row, set to 1 where the two differ.
    """
    cdef Py_ssize_t n = before.shape[0]
    cdef Py_ssize_t n_before = counts.shape[0] - 1
    cdef Py_ssize_t n_after = counts.shape[1] - 1
    cdef Py_ssize_t n_samples = smallest.shape[2]
    cdef Py_ssize_t i, a, b, at
    cdef uint64_t key
    if after.shape[0] != n or keys.shape[0] < n or moved.shape[0] < n:
        raise ValueError("not every row has both indices, a key and a mark")
    if (n_before < 0 or n_after < 0
            or smallest.shape[0] != n_before + 1 or smallest.shape[1] != n_after + 1
            or rows.shape[0] != n_before + 1 or rows.shape[1] != n_after + 1
            or rows.shape[2] != n_samples):
        raise ValueError("counts and samples are not of one shape")
    with nogil:
        for i in range(n):
            a = before[i] if before[i] < n_before else n_before
            b = after[i] if after[i] < n_after else n_after
            counts[a, b] += 1
            # What is absent has another number on either side.
            if (a if a < n_before else -1) != (b if b < n_after else -1):
                moved[i] = 1
            if n_samples == 0:
                continue
            key = keys[i]
            if key >= smallest[a, b, n_samples - 1]:
                continue
            at = n_samples - 1
            while at > 0 and smallest[a, b, at - 1] > key:
                smallest[a, b, at] = smallest[a, b, at - 1]
                rows[a, b, at] = rows[a, b, at - 1]
                at -= 1
            smallest[a, b, at] = key
            rows[a, b, at] = i

"""What is counted over the variants of many profiles: a digest, and pairs of indices.

The digest says whether two runs decided the same for the same visitors, in whatever order and
however divided: each visitor's id and records become one 128-bit number, and these are added.

For a visitor with records (e, i): the sum of w0(e) + i * w1(e) modulo 2**64, where w0 and w1 are
XXH64 of the experience's id with seeds 1 and 2, is mixed with XXH64 of the stable id, seeds 0 and
3.
It is a checksum, not proof against those who may choose ids.

Memory: weights of experiences, while a call lasts; nothing else.
"""
# cython: language_level=3

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

import numpy as np

from whichvariant._core.counting cimport wv_counters, wv_counters_at
from whichvariant._core.hashing cimport current_level, xxh64_bytes

cdef extern from "simd.h" nogil:
    uint64_t wv_fmix64(uint64_t h)

ctypedef fused Index:
    uint8_t
    uint16_t


cdef enum:
    ROWS = 1024       # sums of so many rows stay in the nearest cache


cdef struct Weights:
    uint64_t base
    uint64_t step


cdef void add_records(
    const Index *variants, size_t n, uint32_t absent, const Weights *weights, uint64_t *sums,
    const wv_counters *counters,
) noexcept nogil:
    cdef size_t i
    if Index is uint8_t:
        counters.add_records(
            variants, n, <uint8_t> absent, weights.base, weights.step, sums)
    else:
        for i in range(n):
            sums[i] += (weights.base + variants[i] * weights.step) & (
                <uint64_t> (variants[i] == absent) - 1)


def digest(const Index[:, :] variants, uint32_t absent, list experience_ids not None,
           const uint64_t[::1] id_starts not None, const uint8_t[::1] ids not None):
    """The digest of a batch, an int below 2**128.

    ``variants`` is [experience, row], ``ids`` the UTF-8 of all stable ids, row ``r`` from
    ``id_starts[r]`` to ``id_starts[r + 1]``.
    """
    cdef size_t n = <size_t> variants.shape[1]
    cdef Py_ssize_t e
    cdef size_t i
    cdef const uint8_t *name
    cdef const uint8_t *text
    cdef size_t length
    cdef uint64_t low = 0
    cdef uint64_t high = 0
    cdef uint64_t mixed, total
    cdef uint64_t[::1] sums
    cdef const wv_counters *counters = wv_counters_at(current_level())
    cdef Weights *weights
    cdef size_t count
    if n == 0:
        return 0
    if (<size_t> id_starts.shape[0] < n + 1 or id_starts[n] > <uint64_t> ids.shape[0]
            or len(experience_ids) != variants.shape[0]
            or (variants.shape[0] and variants.strides[1] != sizeof(Index))):
        raise ValueError("ids do not go with these variants")
    if np.any(np.diff(id_starts[:n + 1]) < 0):
        raise ValueError("ids are out of order")
    sums = np.zeros(n, np.uint64)
    weights = <Weights *> malloc((<size_t> variants.shape[0] + 1) * sizeof(Weights))
    if weights == NULL:
        raise MemoryError
    try:
        for e in range(variants.shape[0]):
            encoded = (<str> experience_ids[e]).encode("utf-8")
            name = encoded
            length = <size_t> len(encoded)
            weights[e].base = xxh64_bytes(name, length, 1)
            weights[e].step = xxh64_bytes(name, length, 2)
        with nogil:
            i = 0
            while i < n:
                count = n - i if n - i < ROWS else ROWS
                for e in range(variants.shape[0]):
                    add_records(&variants[e, i], count, absent, &weights[e], &sums[i], counters)
                i += ROWS
    finally:
        free(weights)
    text = &ids[0] if ids.shape[0] else NULL
    with nogil:
        for i in range(n):
            length = <size_t> (id_starts[i + 1] - id_starts[i])
            mixed = wv_fmix64(sums[i] ^ xxh64_bytes(text + id_starts[i], length, 0))
            total = low + mixed
            high += total < low
            low = total
            high += wv_fmix64(sums[i] + xxh64_bytes(text + id_starts[i], length, 3))
    return int(high) << 64 | int(low)


def count_pairs(const Index[:] before, const Index[:] after, uint32_t n_before, uint32_t n_after):
    """How many rows have each pair of indices; an ndarray of int64, [n_before + 1, n_after + 1].

    An index that is not below ``n_before`` (``n_after``) counts in the last row (column), as the
    mark for no record does.
    """
    cdef Py_ssize_t i
    cdef uint32_t a, b
    cdef int64_t[:, ::1] counts
    if before.shape[0] != after.shape[0]:
        raise ValueError("there are not as many rows before as after")
    found = np.zeros((n_before + 1, n_after + 1), np.int64)
    counts = found
    with nogil:
        for i in range(before.shape[0]):
            a = before[i] if before[i] < n_before else n_before
            b = after[i] if after[i] < n_after else n_after
            counts[a, b] += 1
    return found

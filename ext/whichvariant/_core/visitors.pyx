"""What a replay counts over visitors: who they are, and what they are shown.

A visitor's key is 128 bits, XXH64 of the stable id with two seeds: for telling visitors apart, and
for choosing samples that do not depend on the order of rows. No proof against those who may choose
ids.

Memory: a `VisitorSet` owns its table; everything else belongs to the caller.
"""
# cython: language_level=3

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free

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


def count_shown(
    const Index[:] before not None, const uint16_t[::1] codes_before not None,
    const Index[:] after not None, const uint16_t[::1] codes_after not None,
    int64_t[:, :] counts not None, uint8_t[::1] changed not None,
):
    """Count what is shown before and after, where at most one experience a side says so.

    Parameters
    ----------
    before, after
        The variant index of each row.
    codes_before, codes_after
        What each index shows; 0 for indices behind the last.
    counts
        [codes, codes], added to.
    changed
        A byte for each row, set to 1 where the two differ.
    """
    cdef Py_ssize_t n = before.shape[0]
    cdef Py_ssize_t n_codes = counts.shape[0]
    cdef size_t n_before = <size_t> codes_before.shape[0]
    cdef size_t n_after = <size_t> codes_after.shape[0]
    cdef Py_ssize_t i
    cdef uint16_t a, b
    if after.shape[0] != n or changed.shape[0] < n:
        raise ValueError("not every row has both indices and a mark")
    if (counts.shape[1] != n_codes or np.any(np.asarray(codes_before) >= n_codes)
            or np.any(np.asarray(codes_after) >= n_codes) or n_codes == 0):
        raise ValueError("there are codes that are not counted")
    with nogil:
        for i in range(n):
            a = codes_before[before[i]] if before[i] < n_before else 0
            b = codes_after[after[i]] if after[i] < n_after else 0
            counts[a, b] += 1
            changed[i] |= a != b


cdef struct Key:
    uint64_t high
    uint64_t low


cdef class VisitorSet:
    """Keys of visitors, to tell who was met before: 16 bytes a slot, at most 3 of 5 slots in use.

    A table with open addressing. One thread at a time may use it.
    """

    cdef Key *_slots
    cdef size_t _n_slots
    cdef size_t _n
    cdef bint _has_zero          # the key that stands for an empty slot is in the set too

    def __cinit__(self):
        self._n_slots = 1024
        self._slots = <Key *> calloc(self._n_slots, sizeof(Key))
        if self._slots == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._slots)

    def __len__(self):
        return self._n + self._has_zero

    cdef int _grow(self, size_t more) noexcept nogil:
        """Room for ``more`` keys; -1 when memory is short."""
        cdef size_t n_slots = self._n_slots
        cdef Key *old = self._slots
        cdef size_t i, at
        while (self._n + more) * 5 > n_slots * 3:
            n_slots *= 2
        if n_slots == self._n_slots:
            return 0
        self._slots = <Key *> calloc(n_slots, sizeof(Key))
        if self._slots == NULL:
            self._slots = old
            return -1
        for i in range(self._n_slots):
            if old[i].high or old[i].low:
                at = <size_t> old[i].high & (n_slots - 1)
                while self._slots[at].high or self._slots[at].low:
                    at = (at + 1) & (n_slots - 1)
                self._slots[at] = old[i]
        self._n_slots = n_slots
        free(old)
        return 0

    def add(self, const uint64_t[:, :] keys not None):
        """Add keys, [2, n]; an ndarray of bool, True for the first of its kind."""
        cdef Py_ssize_t n = keys.shape[1]
        cdef Py_ssize_t i
        cdef size_t at, mask
        cdef uint64_t high, low
        cdef uint8_t[::1] first
        if keys.shape[0] != 2:
            raise ValueError("keys have two halves")
        found = np.zeros(n, np.bool_)
        first = found.view(np.uint8)
        with nogil:
            if self._grow(<size_t> n) < 0:
                with gil:
                    raise MemoryError
            mask = self._n_slots - 1
            for i in range(n):
                high = keys[0, i]
                low = keys[1, i]
                if high == 0 and low == 0:
                    first[i] = not self._has_zero
                    self._has_zero = True
                    continue
                at = <size_t> high & mask
                while self._slots[at].high or self._slots[at].low:
                    if self._slots[at].high == high and self._slots[at].low == low:
                        break
                    at = (at + 1) & mask
                else:
                    self._slots[at].high = high
                    self._slots[at].low = low
                    self._n = self._n + 1
                    first[i] = 1
        return found

    def keys(self):
        """All keys, [2, n], in no order."""
        cdef uint64_t[:, ::1] out
        cdef size_t i
        cdef size_t at = 0
        found = np.zeros((2, len(self)), np.uint64)
        out = found
        with nogil:
            for i in range(self._n_slots):
                if self._slots[i].high or self._slots[i].low:
                    out[0, at] = self._slots[i].high
                    out[1, at] = self._slots[i].low
                    at += 1
        return found

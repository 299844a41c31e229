"""A batch of profiles as typed columns: codes of texts and kinds, numbers, ids, sticky choices.

A column is one attribute path of a `Layout`. Its codes say what each row holds: missing, null, a
boolean, an object, a number (which stands beside it), or a text of the column's own pool. So
missing, null and text "null" are three things, as in one cell (docs/rules.md, "Values"); an array
is its text.

Memory: a `Columns` owns everything, is filled batch after batch, and keeps its pools from one batch
to the next, so that a text is compared once however often it comes. A pool that has outgrown its
bound is emptied between batches. One thread at a time may use it.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

import numpy as np

from whichvariant._core.draws import MAX_STABLE_ID
from whichvariant._core.layout cimport Layout
from whichvariant._core.program cimport Program
from whichvariant._core.text_pool cimport (
    NO_ROOM, empty_pool, free_pool, number_of_text, pool_bytes,
)

cdef extern from "text.h" nogil:
    bint wv_is_ascii(const char *p, size_t n)

# A pool larger than this is emptied before the next batch.
MAX_POOL_TEXTS = 1 << 16
MAX_POOL_BYTES = 8 << 20
# More rows than a batch needs; far from what an index can count.
MAX_ROWS = 1 << 28

cdef uint32_t POOL_TEXTS = MAX_POOL_TEXTS
cdef uint64_t POOL_BYTES = MAX_POOL_BYTES
cdef int32_t LONGEST_ID = MAX_STABLE_ID


cdef int32_t id_units(const char *text, size_t length, bint *ascii) noexcept nogil:
    """UTF-16 code units of a stable id in UTF-8, -1 when they are too many."""
    cdef size_t i
    cdef size_t units = 0
    ascii[0] = wv_is_ascii(text, length)
    if ascii[0]:
        return -1 if length > <size_t> LONGEST_ID else <int32_t> length
    if length > 3 * <size_t> LONGEST_ID:
        return -1
    for i in range(length):
        # One unit for each first byte of a character, and another where it is four bytes long.
        units += (<unsigned char> text[i] & 0xC0) != 0x80
        units += <unsigned char> text[i] >= 0xF0
    return -1 if units > <size_t> LONGEST_ID else <int32_t> units


cdef class Columns:
    """Room for a batch of profiles in the columns of ``layout``; empty at first."""

    def __cinit__(self, *args, **kwargs):
        self.columns = NULL
        self.counts = NULL

    def __init__(self, Layout layout not None):
        cdef Program program
        cdef uint32_t p
        if self.layout is not None:
            raise TypeError("columns have a layout already")
        self.columns = <Column *> calloc(layout.n_columns + 1, sizeof(Column))
        self.n_programs = <uint32_t> len(layout.programs)
        self.counts = <double ***> calloc(self.n_programs, sizeof(double **))
        self.n_counters = <uint32_t *> calloc(self.n_programs, sizeof(uint32_t))
        if self.columns == NULL or self.counts == NULL or self.n_counters == NULL:
            raise MemoryError
        self.layout = layout
        for p in range(self.n_programs):
            program = layout.programs[p]
            self.counts[p] = <double **> calloc(len(program.counters) + 1, sizeof(double *))
            if self.counts[p] == NULL:
                raise MemoryError
            self.n_counters[p] = <uint32_t> len(program.counters)
        self.all_ascii = True
        if self.reserve(64) < 0:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i, p
        if self.layout is not None:
            for i in range(self.layout.n_columns):
                free(self.columns[i].codes)
                free(self.columns[i].numbers)
                free_pool(&self.columns[i].pool)
            for p in range(self.n_programs):
                if self.counts[p] != NULL:
                    for i in range(self.n_counters[p]):
                        free(self.counts[p][i])
                    free(self.counts[p])
        free(self.columns)
        free(self.counts)
        free(self.n_counters)
        free(self.ids)
        free(self.id_starts)
        free(self.records)
        free(self.sticky)

    cdef int reserve(self, uint32_t rows) noexcept nogil:
        """Room for so many rows; 0, or -1 when memory is short."""
        cdef uint32_t i, p, k
        cdef void *block
        if rows <= self.room:
            return 0
        if rows > 1 << 28:
            return -1
        for i in range(self.layout.n_columns):
            block = realloc(self.columns[i].codes, <size_t> rows * sizeof(uint32_t))
            if block == NULL:
                return -1
            self.columns[i].codes = <uint32_t *> block
            block = realloc(self.columns[i].numbers, <size_t> rows * sizeof(double))
            if block == NULL:
                return -1
            self.columns[i].numbers = <double *> block
        for p in range(self.n_programs):
            for k in range(self.n_counters[p]):
                block = realloc(self.counts[p][k], <size_t> rows * sizeof(double))
                if block == NULL:
                    return -1
                self.counts[p][k] = <double *> block
        block = realloc(self.id_starts, (<size_t> rows + 1) * sizeof(uint64_t))
        if block == NULL:
            return -1
        self.id_starts = <uint64_t *> block
        self.id_starts[0] = 0
        block = realloc(self.records, <size_t> rows * sizeof(uint64_t))
        if block == NULL:
            return -1
        self.records = <uint64_t *> block
        self.room = rows
        return 0

    cdef int put_text(
        self, uint32_t column, uint32_t row, const char *text, size_t length,
    ) noexcept nogil:
        cdef uint32_t number = number_of_text(&self.columns[column].pool, text, length)
        if number == NO_ROOM:
            return -1
        self.columns[column].codes[row] = FIRST_TEXT + number
        return 0

    cdef int put_id(self, uint32_t row, const char *text, size_t length) noexcept nogil:
        """The stable id of ``row``, all earlier rows having theirs. -1 when memory is short."""
        cdef uint64_t start = self.id_starts[row]
        cdef void *block
        # A little more than needed: ids are read in whole words.
        if start + length + 8 > self.ids_room:
            block = realloc(self.ids, 2 * (start + length) + 4096)
            if block == NULL:
                return -1
            self.ids = <char *> block
            self.ids_room = 2 * (start + length) + 4096
        if length:
            memcpy(self.ids + start, text, length)
        self.id_starts[row + 1] = start + length
        return 0

    cdef int put_sticky(self, uint32_t row, uint32_t experience, int32_t index) noexcept nogil:
        cdef void *block
        if self.n_sticky == self.sticky_room:
            block = realloc(
                self.sticky, (2 * <size_t> self.sticky_room + 64) * sizeof(StickyChoice))
            if block == NULL:
                return -1
            self.sticky = <StickyChoice *> block
            self.sticky_room = 2 * self.sticky_room + 64
        self.sticky[self.n_sticky].row = row
        self.sticky[self.n_sticky].experience = experience
        self.sticky[self.n_sticky].index = index
        self.n_sticky = self.n_sticky + 1
        return 0

    cdef void empty(self) noexcept nogil:
        """No rows. Pools stay, unless they have outgrown their bound."""
        cdef uint32_t i
        self.n_rows = 0
        self.n_sticky = 0
        self.all_ascii = True
        for i in range(self.layout.n_columns):
            self.columns[i].has_numbers = 0
            if (self.columns[i].pool.n > POOL_TEXTS
                    or pool_bytes(&self.columns[i].pool) > POOL_BYTES):
                empty_pool(&self.columns[i].pool)

    def clear(self):
        """No rows; what was learnt about texts stays."""
        self.empty()

    def blank(self, uint32_t rows):
        """``rows`` rows without any attribute, sticky choice or event; ids are still to come."""
        cdef uint32_t i, p, k
        self.empty()
        if rows > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS} rows in one batch")
        if self.reserve(rows) < 0:
            raise MemoryError
        for i in range(self.layout.n_columns):
            memset(self.columns[i].codes, 0, <size_t> rows * sizeof(uint32_t))
        for p in range(self.n_programs):
            for k in range(self.n_counters[p]):
                memset(self.counts[p][k], 0, <size_t> rows * sizeof(double))
        for i in range(rows):
            self.records[i] = i
        self.n_rows = rows

    def id_table(self):
        """Stable ids of the batch: where each begins (ndarray of uint64, one more at the end) in
        the UTF-8 of all (bytes), and the records that the rows were in their source (uint64).
        """
        cdef uint64_t[::1] view
        starts = np.empty(self.n_rows + 1, np.uint64)
        view = starts
        memcpy(&view[0], self.id_starts, (<size_t> self.n_rows + 1) * sizeof(uint64_t))
        records = np.empty(self.n_rows, np.uint64)
        if self.n_rows:
            view = records
            memcpy(&view[0], self.records, self.n_rows * sizeof(uint64_t))
        length = self.id_starts[self.n_rows]
        return starts, self.ids[:<Py_ssize_t> length] if length else b"", records

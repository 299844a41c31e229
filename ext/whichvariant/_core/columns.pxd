# Many profiles as typed columns. See columns.pyx.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from whichvariant._core.layout cimport Layout
from whichvariant._core.text_pool cimport TextPool


# What a column holds in each row. A code is a Kind, or FIRST_TEXT plus the number of a text in the
# column's pool. A NUMBER stands in `numbers`.
cdef enum:
    FIRST_TEXT = 8


cdef struct Column:
    uint32_t *codes
    double *numbers
    TextPool pool
    uint8_t has_numbers       # some row of the batch may be a NUMBER


cdef struct StickyChoice:
    uint32_t row
    uint32_t experience       # number in the layout's sticky_ids
    int32_t index


cdef class Columns:
    cdef readonly Layout layout
    cdef Column *columns
    cdef readonly uint32_t n_rows
    cdef uint32_t room
    cdef char *ids                # UTF-8 of all stable ids
    cdef uint64_t *id_starts      # per row, and one more
    cdef uint64_t ids_room
    cdef bint all_ascii           # of the stable ids
    cdef uint64_t *records        # number of each row's record in its source
    cdef StickyChoice *sticky
    cdef uint32_t n_sticky
    cdef uint32_t sticky_room
    cdef double ***counts         # per program and counter, one a row
    cdef uint32_t n_programs
    cdef uint32_t *n_counters     # of each program

    cdef int reserve(self, uint32_t rows) noexcept nogil
    cdef int put_text(
        self, uint32_t column, uint32_t row, const char *text, size_t length) noexcept nogil
    cdef int put_id(self, uint32_t row, const char *text, size_t length) noexcept nogil
    cdef int put_sticky(self, uint32_t row, uint32_t experience, int32_t index) noexcept nogil
    cdef void empty(self) noexcept nogil


cdef int32_t id_units(const char *text, size_t length, bint *ascii) noexcept nogil

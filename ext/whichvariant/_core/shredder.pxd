# From the bytes of many profiles to columns. See shredder.pyx.
from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from whichvariant._core.cells cimport Profile
from whichvariant._core.columns cimport Columns
from whichvariant._core.json_grammar cimport Scanner
from whichvariant._core.layout cimport Layout


# The watched members of a record, in the order of RECORD_ROLES.
cdef enum:
    HAS_ID = 0
    HAS_PROFILE = 1
    HAS_DATA = 2
    HAS_DEVICE = 3
    HAS_EVENTS = 4


# Beside the kinds of values: the cell stands in its column already.
cdef enum:
    PLACED = 250


cdef inline bint is_text(
    const char *text, size_t length, const char *word, size_t n,
) noexcept nogil:
    return length == n and memcmp(text, word, n) == 0


cdef inline bint is_device(const char *text, size_t length) noexcept nogil:
    return (is_text(text, length, "desktop", 7) or is_text(text, length, "mobile", 6)
            or is_text(text, length, "tablet", 6) or is_text(text, length, "unknown", 7))


cdef inline bint is_request_key(const char *text, size_t length) noexcept nogil:
    # A misspelt key would silently select for another visitor than the one meant.
    return (is_text(text, length, "profile", 7) or is_text(text, length, "device", 6)
            or is_text(text, length, "events", 6) or is_text(text, length, "experiences", 11)
            or is_text(text, length, "changes", 7) or is_text(text, length, "stored", 6))


# What became of a record.
cdef enum Fate:
    TAKEN = 0
    REJECTED = 1
    FAILED = 2                # for want of memory, or with `failure`


# What besides the profile a record may hold. Spans of the input; NULL when there is none.
cdef struct Envelope:
    const char *device
    size_t device_length
    const char *events
    size_t events_length


cdef class Shredder:
    cdef readonly Columns columns
    cdef Layout layout
    cdef Profile profile
    cdef char *spare
    cdef size_t spare_room
    cdef object _count_events
    cdef object failure           # an exception that was met where none can be raised
    cdef int reserve_spare(self, size_t size) noexcept nogil
    cdef void forget(self) noexcept nogil
    cdef Fate take_json(self, const char *data, size_t length) noexcept nogil
    cdef Fate scan_json(self, const char *data, size_t length, Envelope *envelope) noexcept nogil
    cdef Fate put_row(self, const char *device, size_t device_length) noexcept nogil
    cdef Fate put_cells(self, uint32_t row) noexcept nogil
    cdef Fate put_array(self, uint32_t column, uint32_t row) noexcept nogil
    cdef Fate put_counts(self, const char *events, size_t length) noexcept nogil
    cdef void clear_counts(self) noexcept nogil
    cdef Fate count_list(self, object events) except FAILED


cdef void read_part(Scanner *s, const char *data, size_t length, char *spare) noexcept nogil

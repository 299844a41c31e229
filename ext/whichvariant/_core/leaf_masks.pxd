# From what a column holds to the leaves that are true of it, for one program. See leaf_masks.pyx.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from whichvariant._core.columns cimport Columns
from whichvariant._core.leaf_table cimport LeafTable
from whichvariant._core.predicates cimport count_at_most, order_key
from whichvariant._core.program cimport Program
from whichvariant._core.text_pool cimport TextPool


# Whole numbers from 0 on, below this one, are looked up.
cdef enum:
    SMALL_NUMBERS = 1024


# The masks of one slot. A mask has a bit for each leaf of the words `first_word` ... of all leaves;
# only the slot's own leaves can be set. Masks stand in a row, `n_words` each.
cdef struct SlotMasks:
    int32_t column            # -1: an activity counter
    uint32_t counter
    uint32_t first_word
    uint32_t n_words
    uint64_t *masks           # by code: kinds, then texts of the pool
    uint32_t ready            # codes whose mask is known
    uint32_t room
    uint32_t generation       # of the pool that they belong to
    int64_t *breaks           # ascending order keys at which the mask of a number changes
    uint32_t n_breaks
    uint32_t *small_intervals  # of the numbers 0, 1, ... SMALL_NUMBERS - 1
    uint64_t *number_masks    # by how many breaks are at or below the number
    uint8_t by_text           # numbers are compared as texts too, so each has a mask of its own
    TextPool odd              # those numbers, as eight bytes
    uint64_t *odd_masks
    uint32_t odd_ready
    uint32_t odd_room
    uint32_t *odd_rows        # per row of the batch: which of them
    uint32_t odd_rows_room


cdef class LeafMasks:
    cdef readonly Program program
    cdef uint32_t number              # of the program in the layout
    cdef uint32_t n_slots
    cdef uint32_t n_words             # of a row of leaf bits
    cdef SlotMasks *slots
    cdef uint8_t *leaf                # a byte per leaf, all 0 between uses
    cdef int _build_breaks(self, uint32_t s) except -1
    cdef int _number_mask(self, uint32_t s, double value, uint64_t *out) except -1
    cdef void _pack(self, uint32_t s, uint64_t *out) noexcept nogil
    cdef int _text_mask(
        self, uint32_t s, const char *text, size_t length, uint64_t *out) except -1
    cdef uint32_t _quick_masks(self, uint32_t s, const TextPool *pool) noexcept nogil
    cdef int _learn_texts(self, uint32_t s, const TextPool *pool) except -1
    cdef int _learn_odd(self, uint32_t s, const double *numbers, const uint32_t *codes,
                        uint32_t n_rows) except -1
    cdef int learn(self, Columns columns) except -1


cdef inline uint32_t interval_of(const SlotMasks *slot, double value) noexcept nogil:
    # Between which breaks a number lies. Most numbers are counts and ages.
    if 0 <= value < SMALL_NUMBERS and value == <double> <int32_t> value:
        return slot.small_intervals[<int32_t> value]
    return <uint32_t> count_at_most(slot.breaks, slot.n_breaks, order_key(value))

"""From what a column holds to the leaves that are true of it: each distinct value compared once.

A text of a column's pool is compared when it is first met, by the same functions as in one cell
(cells.pyx, leaves.pxd), and its leaves are kept as a mask of bits. A number needs no table of
numbers: its leaves only change at the thresholds of its slot, so one mask for each interval between
them is made beforehand, again by the same functions, and finding the interval is all there is to
do. Where rules also compare the texts of numbers, each distinct number gets a mask of its own.

Memory: a `LeafMasks` owns its masks. It belongs to one `Columns`, whose pools number its texts, and
is used by one thread at a time.
"""
# cython: language_level=3

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from whichvariant._core.cells cimport set_number, set_text
from whichvariant._core.columns cimport FIRST_TEXT, Columns
from whichvariant._core.layout cimport Layout
from whichvariant._core.leaves cimport SlotIndex, fill_number, fill_text
from whichvariant._core.predicates cimport (
    FALSE, NULLED, NUMBER, OBJECT, TRUE, count_at_most, order_key,
)
from whichvariant._core.text_pool cimport (
    NO_ROOM, TextPool, empty_pool, free_pool, number_of_text,
)

# Distinct numbers that are compared as texts; beyond it they are forgotten, and learnt anew.
MAX_ODD_NUMBERS = 1 << 16

cdef uint32_t ODD_NUMBERS = MAX_ODD_NUMBERS


cdef inline double number_at(int64_t key) noexcept nogil:
    """The number whose order key this is."""
    cdef uint64_t bits = <uint64_t> key
    cdef double value
    if key < 0:
        bits = (<uint64_t> -key) | (<uint64_t> 1 << 63)
    memcpy(&value, &bits, 8)
    return value


cdef void *grown(void *block, size_t count, size_t size) except NULL:
    block = realloc(block, (count + 1) * size)
    if block == NULL:
        raise MemoryError
    return block


cdef class LeafMasks:
    """The masks of the program ``number`` of ``layout``."""

    def __init__(self, Layout layout not None, uint32_t number):
        cdef uint32_t s
        cdef SlotMasks *slot
        cdef const SlotIndex *index
        if self.program is not None:
            raise TypeError("masks belong to a program already")
        self.program = layout.programs[number]
        self.number = number
        self.n_slots = self.program.leaves.n_slots
        self.n_words = (self.program.leaves.n_leaves + 63) // 64
        self.slots = <SlotMasks *> calloc(self.n_slots + 1, sizeof(SlotMasks))
        self.leaf = <uint8_t *> calloc(64 * <size_t> self.n_words + 64, 1)
        if self.slots == NULL or self.leaf == NULL:
            raise MemoryError
        columns = layout.columns_of[number]
        for s in range(self.n_slots):
            slot = &self.slots[s]
            index = &self.program.leaves.slots[s]
            slot.column = columns[s]
            if index.n_leaves:
                slot.first_word = index.first_leaf // 64
                slot.n_words = (index.first_leaf + index.n_leaves - 1) // 64 - slot.first_word + 1
            slot.by_text = index.wants_text_of_number
            self._build_breaks(s)
        for s in range(<uint32_t> len(self.program.counters)):
            self.slots[self.program.counter_slots[s]].counter = s

    def __dealloc__(self):
        cdef uint32_t s
        if self.slots != NULL:
            for s in range(self.n_slots):
                free(self.slots[s].masks)
                free(self.slots[s].breaks)
                free(self.slots[s].number_masks)
                free(self.slots[s].small_intervals)
                free_pool(&self.slots[s].odd)
                free(self.slots[s].odd_masks)
                free(self.slots[s].odd_rows)
        free(self.slots)
        free(self.leaf)

    # ---- numbers ------------------------------------------------------------------------------

    cdef int _build_breaks(self, uint32_t s) except -1:
        """Where the leaves of a number change, and what they are between."""
        cdef SlotMasks *slot = &self.slots[s]
        cdef const SlotIndex *index = &self.program.leaves.slots[s]
        cdef uint32_t i
        cdef int64_t key
        cdef set found = set()
        for i in range(index.n_ge):
            found.add(index.ge[i])
        for i in range(index.n_lt):
            found.add(index.lt[i])
        for i in range(index.numbers.count):
            # True of this key alone: it begins here, and ends before the next.
            found.add(index.numbers.keys[i])
            found.add(index.numbers.keys[i] + 1)
        breaks = sorted(found)
        slot.n_breaks = <uint32_t> len(breaks)
        slot.breaks = <int64_t *> grown(NULL, slot.n_breaks, sizeof(int64_t))
        slot.number_masks = <uint64_t *> grown(
            NULL, (<size_t> slot.n_breaks + 1) * slot.n_words, sizeof(uint64_t))
        for i in range(slot.n_breaks):
            slot.breaks[i] = breaks[i]
        for i in range(slot.n_breaks + 1):
            key = 0 if not slot.n_breaks else slot.breaks[i - 1] if i else slot.breaks[0] - 1
            fill_number(index, number_at(key), self.leaf)
            self._pack(s, slot.number_masks + i * slot.n_words)
        slot.small_intervals = <uint32_t *> grown(NULL, SMALL_NUMBERS, sizeof(uint32_t))
        for i in range(SMALL_NUMBERS):
            slot.small_intervals[i] = <uint32_t> count_at_most(
                slot.breaks, slot.n_breaks, order_key(i))
        return 0

    cdef int _number_mask(self, uint32_t s, double value, uint64_t *out) except -1:
        try:
            set_number(self.program.leaves, s, value, self.leaf)
        finally:
            self._pack(s, out)
        return 0

    cdef int _learn_odd(
        self, uint32_t s, const double *numbers, const uint32_t *codes, uint32_t n_rows,
    ) except -1:
        """The mask of every number of a column whose numbers are compared as texts too."""
        cdef SlotMasks *slot = &self.slots[s]
        cdef uint32_t row, number
        cdef double value
        if slot.odd.n > ODD_NUMBERS:
            empty_pool(&slot.odd)
            slot.odd_ready = 0
        if n_rows > slot.odd_rows_room:
            slot.odd_rows = <uint32_t *> grown(slot.odd_rows, n_rows, sizeof(uint32_t))
            slot.odd_rows_room = n_rows
        for row in range(n_rows):
            if codes != NULL and codes[row] != NUMBER:
                continue
            # One zero: -0 is spelt like 0.
            value = numbers[row] + 0.0
            number = number_of_text(&slot.odd, <const char *> &value, sizeof(double))
            if number == NO_ROOM:
                raise MemoryError
            slot.odd_rows[row] = number
            if number == slot.odd_ready:
                if number == slot.odd_room:
                    slot.odd_masks = <uint64_t *> grown(
                        slot.odd_masks, (2 * <size_t> number + 64) * slot.n_words,
                        sizeof(uint64_t))
                    slot.odd_room = 2 * number + 64
                self._number_mask(s, value, slot.odd_masks + <size_t> number * slot.n_words)
                slot.odd_ready += 1
        return 0

    # ---- texts --------------------------------------------------------------------------------

    cdef void _pack(self, uint32_t s, uint64_t *out) noexcept nogil:
        """The slot's leaf bytes as a mask; the bytes are 0 again after."""
        cdef const SlotMasks *slot = &self.slots[s]
        cdef const SlotIndex *index = &self.program.leaves.slots[s]
        cdef uint8_t *leaf = self.leaf + 64 * <size_t> slot.first_word
        cdef uint32_t w, i
        cdef uint64_t eight, word
        for w in range(slot.n_words):
            word = 0
            for i in range(8):
                memcpy(&eight, leaf + 64 * <size_t> w + 8 * i, 8)
                # Bytes are 0 or 1; the product gathers them in the highest byte.
                word |= ((eight * 0x0102040810204080ULL) >> 56) << (8 * i)
            out[w] = word
        if index.n_leaves:
            memset(self.leaf + index.first_leaf, 0, index.n_leaves)

    cdef int _text_mask(
        self, uint32_t s, const char *text, size_t length, uint64_t *out,
    ) except -1:
        try:
            set_text(self.program.leaves, s, text, length, self.leaf)
        finally:
            self._pack(s, out)
        return 0

    cdef uint32_t _quick_masks(self, uint32_t s, const TextPool *pool) noexcept nogil:
        """Masks of texts that need no Python, until one does; how many are known then."""
        cdef SlotMasks *slot = &self.slots[s]
        cdef const SlotIndex *index = &self.program.leaves.slots[s]
        cdef uint32_t code = slot.ready
        cdef uint32_t number
        if index.n_patterns:
            return code
        while code < FIRST_TEXT + pool.n:
            number = code - FIRST_TEXT
            if fill_text(
                    index, pool.bytes + pool.starts[number],
                    pool.starts[number + 1] - pool.starts[number], self.leaf):
                if index.n_leaves:
                    memset(self.leaf + index.first_leaf, 0, index.n_leaves)
                return code
            self._pack(s, slot.masks + <size_t> code * slot.n_words)
            code += 1
        return code

    cdef int _learn_texts(self, uint32_t s, const TextPool *pool) except -1:
        cdef SlotMasks *slot = &self.slots[s]
        cdef uint32_t number
        if slot.ready == 0 or slot.generation != pool.generation:
            slot.ready = FIRST_TEXT
            slot.generation = pool.generation
        if slot.masks == NULL or FIRST_TEXT + pool.n > slot.room:
            number = 2 * pool.n + 64
            slot.masks = <uint64_t *> grown(
                slot.masks, <size_t> number * slot.n_words, sizeof(uint64_t))
            if slot.room == 0:
                memset(slot.masks, 0, FIRST_TEXT * slot.n_words * sizeof(uint64_t))
                self._text_mask(s, b"false", 5, slot.masks + FALSE * slot.n_words)
                self._text_mask(s, b"true", 4, slot.masks + TRUE * slot.n_words)
                self._text_mask(s, b"null", 4, slot.masks + NULLED * slot.n_words)
                self._text_mask(s, b"[object Object]", 15, slot.masks + OBJECT * slot.n_words)
            slot.room = number
        while slot.ready < FIRST_TEXT + pool.n:
            with nogil:
                slot.ready = self._quick_masks(s, pool)
            if slot.ready < FIRST_TEXT + pool.n:
                number = slot.ready - FIRST_TEXT
                self._text_mask(
                    s, pool.bytes + pool.starts[number],
                    pool.starts[number + 1] - pool.starts[number],
                    slot.masks + <size_t> slot.ready * slot.n_words)
                slot.ready += 1
        return 0

    cdef int learn(self, Columns columns) except -1:
        """Make sure that every value of the batch has its mask."""
        cdef uint32_t s
        cdef SlotMasks *slot
        for s in range(self.n_slots):
            slot = &self.slots[s]
            if slot.column < 0:
                if slot.by_text:
                    self._learn_odd(
                        s, columns.counts[self.number][slot.counter], NULL, columns.n_rows)
                continue
            self._learn_texts(s, &columns.columns[slot.column].pool)
            if slot.by_text and columns.columns[slot.column].has_numbers:
                self._learn_odd(
                    s, columns.columns[slot.column].numbers, columns.columns[slot.column].codes,
                    columns.n_rows)
        return 0

# Comparisons indexed by slot, and the memory they live in. See leaf_table.pyx.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from whichvariant._core.leaves cimport NumberTable, SlotIndex, TextTable


cdef class Arena:
    cdef list _blocks
    cdef list _objects
    cdef void *take(self, size_t count, size_t size) except NULL
    cdef void *copy(self, object buffer, size_t count, size_t size, str name) except NULL
    cdef const char *text(self, object text, size_t *length) except NULL


cdef class LeafTable:
    cdef Arena _arena
    cdef readonly tuple paths            # of the slots
    cdef readonly uint32_t n_slots
    cdef readonly uint32_t n_leaves
    cdef SlotIndex *slots
    cdef list _patterns                  # per slot: None, or a list of (leaf, compiled pattern)
    cdef uint32_t _build_slot(
        self, uint32_t s, uint32_t first, const uint32_t *slots, const uint8_t *ops,
        const int64_t *keys, list operands) except? 0xFFFFFFFF
    cdef int _build_numbers(self, NumberTable *table, dict leaves, list flips) except -1
    cdef int match_patterns(
        self, uint32_t slot, const char *text, size_t n, uint8_t *leaf) except -1


cdef int build_text_table(TextTable *table, list texts, list payloads, Arena arena) except -1

# Leaves indexed by slot: given what a slot holds, set the byte of every leaf that is true.
#
# A slot is one attribute path; a leaf is one positive comparison on it. Leaves are numbered so that
# one slot's leaves are contiguous: ascending GE thresholds, ascending LT thresholds, IN, text
# operations, EXISTS. All bytes start as 0, so only true leaves are written:
#
# - an ordering comparison is decided for all leaves at once by `count_at_most`: GE leaves are true
#   below that count, LT leaves at and above the count of their own thresholds;
# - equality is one table lookup that lists the leaves which name that text or number;
# - text operations are tried one by one.
#
# The structures point into memory owned by the LeafTable that built them.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from whichvariant._core.predicates cimport (
    OP_CONTAINS, OP_ENDS, OP_STARTS, count_at_most, order_key, text_contains, text_ends,
    text_starts,
    wv_hash_text, wv_parse_number, wv_same_text,
)


cdef struct TableEntry:
    const char *text      # NULL when free
    size_t length
    uint32_t hash
    uint32_t payload


# Open addressing, linear probing, at most half full. `entries` is NULL when the table is empty.
cdef struct TextTable:
    TableEntry *entries
    uint32_t mask
    size_t shortest
    size_t longest


cdef struct TextOp:
    const char *needle
    size_t length
    uint32_t leaf
    uint8_t op


# Ascending order keys of numbers; the leaves that name number i are
# flips[first_flip[i] : first_flip[i + 1]].
cdef struct NumberTable:
    const int64_t *keys
    const uint32_t *first_flip
    uint32_t count


cdef struct SlotIndex:
    const int64_t *ge          # order keys of the thresholds
    const int64_t *lt
    uint32_t n_ge
    uint32_t n_lt
    uint32_t ge_leaf           # number of the first GE leaf
    uint32_t lt_leaf
    TextTable texts            # payload: index into text_flips
    const uint32_t *text_flips  # first_flip of every text, and one more
    NumberTable text_numbers   # numbers named as numbers: compared with numeric texts
    NumberTable numbers        # numbers and numeric texts: compared with numbers
    const uint32_t *flips
    const TextOp *text_ops     # contains, startsWith, endsWith
    uint32_t n_text_ops
    uint32_t n_patterns        # matches leaves, evaluated by the LeafTable (they need RE2)
    int32_t exists_leaf        # -1 when there is none
    uint32_t first_leaf
    uint32_t n_leaves
    uint8_t wants_number_of_text  # a text of this slot has to be read as a number
    uint8_t wants_text_of_number  # a number of this slot has to be spelled as JavaScript does


cdef inline int64_t find_text(const TextTable *table, const char *text, size_t n) noexcept nogil:
    # The payload under `text`, or -1.
    cdef uint32_t h, i
    cdef const TableEntry *entry
    if table.entries == NULL or n < table.shortest or n > table.longest:
        return -1
    h = <uint32_t> wv_hash_text(text, n)
    i = h & table.mask
    while True:
        entry = &table.entries[i]
        if entry.text == NULL:
            return -1
        if entry.hash == h and entry.length == n and wv_same_text(entry.text, text, n):
            return entry.payload
        i = (i + 1) & table.mask


cdef inline void set_flips(
    const uint32_t *flips, uint32_t start, uint32_t stop, uint8_t *leaf,
) noexcept nogil:
    cdef uint32_t i
    for i in range(start, stop):
        leaf[flips[i]] = 1


cdef inline void fill_equal_number(
    const SlotIndex *slot, const NumberTable *table, int64_t key, uint8_t *leaf,
) noexcept nogil:
    cdef size_t k
    if table.count == 0:
        return
    k = count_at_most(table.keys, table.count, key)
    if k and table.keys[k - 1] == key:
        set_flips(slot.flips, table.first_flip[k - 1], table.first_flip[k], leaf)


cdef inline void fill_order(const SlotIndex *slot, int64_t key, uint8_t *leaf) noexcept nogil:
    cdef size_t k
    if slot.n_ge:
        k = count_at_most(slot.ge, slot.n_ge, key)
        memset(leaf + slot.ge_leaf, 1, k)
    if slot.n_lt:
        k = count_at_most(slot.lt, slot.n_lt, key)
        memset(leaf + slot.lt_leaf + k, 1, slot.n_lt - k)


cdef inline void fill_text_ops(
    const SlotIndex *slot, const char *text, size_t n, uint8_t *leaf,
) noexcept nogil:
    cdef uint32_t i
    cdef const TextOp *op
    for i in range(slot.n_text_ops):
        op = &slot.text_ops[i]
        if op.op == OP_CONTAINS:
            leaf[op.leaf] = text_contains(text, n, op.needle, op.length)
        elif op.op == OP_STARTS:
            leaf[op.leaf] = text_starts(text, n, op.needle, op.length)
        else:
            leaf[op.leaf] = text_ends(text, n, op.needle, op.length)


cdef inline void fill_present(const SlotIndex *slot, uint8_t *leaf) noexcept nogil:
    if slot.exists_leaf >= 0:
        leaf[slot.exists_leaf] = 1


cdef inline void fill_text_number(
    const SlotIndex *slot, double value, uint8_t *leaf,
) noexcept nogil:
    # A numeric text: ordering leaves, and equality with numbers that were given as numbers.
    cdef int64_t key = order_key(value)
    fill_order(slot, key, leaf)
    fill_equal_number(slot, &slot.text_numbers, key, leaf)


cdef inline void fill_number(const SlotIndex *slot, double value, uint8_t *leaf) noexcept nogil:
    # A number, but for text operations (see wants_text_of_number).
    cdef int64_t key = order_key(value)
    fill_present(slot, leaf)
    fill_order(slot, key, leaf)
    fill_equal_number(slot, &slot.numbers, key, leaf)


cdef inline bint fill_text(
    const SlotIndex *slot, const char *text, size_t n, uint8_t *leaf,
) noexcept nogil:
    # A text, but for patterns. True when it is numeric text whose number must still be found by a
    # full conversion and passed to `fill_text_number`.
    cdef int64_t hit
    cdef double value
    cdef bint exact
    fill_present(slot, leaf)
    hit = find_text(&slot.texts, text, n)
    if hit >= 0:
        set_flips(slot.flips, slot.text_flips[hit], slot.text_flips[hit + 1], leaf)
    if slot.n_text_ops:
        fill_text_ops(slot, text, n, leaf)
    if slot.wants_number_of_text and wv_parse_number(text, n, &value, &exact):
        if not exact:
            return True
        fill_text_number(slot, value, leaf)
    return False

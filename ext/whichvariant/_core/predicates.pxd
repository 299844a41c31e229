# The comparisons of one attribute value with one operand, each written once (SEMANTICS section 3,
# docs/rules.md). Both drivers call these; neither restates one. Texts are UTF-8, (pointer, length).
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "text.h" nogil:
    bint wv_contains(const char *text, size_t n, const char *needle, size_t m)
    bint wv_parse_number(const char *text, size_t n, double *out, bint *exact)
    uint64_t wv_hash_text(const char *text, size_t n)
    bint wv_same_text(const char *text, const char *other, size_t n)


# What an attribute holds. TEXT, NUMBER: `text` or `number` of the cell. FALSE, TRUE, NULL and
# OBJECT stand for their fixed texts. ARRAY_RAW is an array still in JSON (from the scanner).
cdef enum Kind:
    MISSING = 0
    TEXT = 1
    NUMBER = 2
    FALSE = 3
    TRUE = 4
    NULLED = 5
    OBJECT = 6
    ARRAY_RAW = 7


# Leaf operations. Negative operators do not exist here: the decision graph swaps its branches.
cdef enum Op:
    OP_GE = 0
    OP_LT = 1
    OP_IN = 2
    OP_CONTAINS = 3
    OP_STARTS = 4
    OP_ENDS = 5
    OP_MATCHES = 6
    OP_EXISTS = 7


cdef inline bint text_contains(
    const char *text, size_t n, const char *needle, size_t m,
) noexcept nogil:
    return wv_contains(text, n, needle, m)


cdef inline bint text_starts(
    const char *text, size_t n, const char *needle, size_t m,
) noexcept nogil:
    return n >= m and memcmp(text, needle, m) == 0


cdef inline bint text_ends(
    const char *text, size_t n, const char *needle, size_t m,
) noexcept nogil:
    return n >= m and memcmp(text + (n - m), needle, m) == 0


cdef inline int64_t order_key(double value) noexcept nogil:
    # An integer that orders as the doubles do, with one zero. Comparing keys instead of doubles is
    # exact even where a foreign library has told the processor to treat the smallest numbers as 0.
    cdef int64_t bits
    memcpy(&bits, &value, 8)
    if bits < 0:
        bits = -<int64_t> (<uint64_t> bits & 0x7FFFFFFFFFFFFFFFULL)
    return bits


cdef inline size_t count_at_most(
    const int64_t *ascending, size_t n, int64_t key,
) noexcept nogil:
    # How many thresholds are <= key. Every ordering operator comes down to this one number,
    # because `greaterThan t` is `>= the next double after t`, and so on. Branch-free halving.
    cdef const int64_t *base = ascending
    cdef size_t half
    if n == 0:
        return 0
    while n > 1:
        half = n // 2
        # Written as a mask, because a compiler may make a branch of a choice, and this one cannot
        # be foreseen.
        base = base + (half & (0 - <size_t> (base[half - 1] <= key)))
        n -= half
    return <size_t> (base - ascending) + (base[0] <= key)

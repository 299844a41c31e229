# The stable ids of a block of rows, laid out for hashing. See id_blocks.pyx.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from whichvariant._core.columns cimport Columns

cdef extern from "lanes.h" nogil:
    enum:
        WV_ROWS

    ctypedef struct wv_rows:
        uint32_t *first
        uint32_t *words
        uint32_t *last
        uint8_t *count
        uint32_t *units
        uint32_t stride
        uint32_t groups
        uint8_t *lowest
        uint8_t *highest

    ctypedef struct wv_row_kernels:
        void (*hash_rows)(const wv_rows *, uint32_t, uint32_t, uint32_t, uint32_t *) noexcept nogil
        void (*unhash_rows)(
            const wv_rows *, uint32_t, uint32_t, uint32_t *) noexcept nogil
        void (*admit)(
            const uint32_t *, uint32_t, const uint8_t *, uint8_t *, uint32_t) noexcept nogil
        void (*probe)(
            const wv_rows *, uint32_t, uint32_t, const uint32_t *, uint8_t *) noexcept nogil
        void (*exclude)(const uint8_t *, const uint8_t *, uint8_t *, uint32_t) noexcept nogil
        void (*pick)(
            const uint8_t *, const uint8_t *, uint8_t, uint8_t, uint8_t *, uint32_t) noexcept nogil
        void (*choose)(
            const uint32_t *, const uint8_t *, const uint32_t *, const uint8_t *, uint32_t,
            uint8_t, uint8_t *, uint32_t) noexcept nogil
        void (*mix_rows)(
            const uint64_t *, uint64_t, uint32_t *, uint32_t *, uint32_t) noexcept nogil
        void (*mix_words)(uint32_t *, size_t) noexcept nogil
        void (*turn)(const uint64_t *, uint64_t *) noexcept nogil
        void (*decide)(
            const uint64_t *, const uint32_t *, const uint32_t *, const uint32_t *, uint32_t,
            uint64_t *) noexcept nogil
        void (*spread)(const uint64_t *, uint32_t, uint8_t *) noexcept nogil

    const wv_row_kernels *wv_row_kernels_at(int level)


cdef enum:
    BLOCK = 1024              # rows that draws are computed for at a time; whole groups
    BLOCK_BITS = 16           # words of a bitmap of them
    STRIDE = 1040             # a little more, or all words would compete for one set of a cache
    MAX_WORDS = 64            # whole words of an id that is hashed in a lane


# A block of ids. Rows of ids too short or too long for lanes are listed in `slow`; their lanes hold
# whatever gives no fault.
cdef struct IdBlock:
    uint32_t n_rows
    wv_rows rows[4]           # by alignment
    uint64_t *visitors        # xxh64
    const uint8_t **texts     # one byte a code unit
    uint32_t *slow
    uint32_t n_slow
    uint8_t *low              # ids that are not ASCII, as low bytes
    size_t low_room
    void *memory


cdef int make_block(IdBlock *block) except -1
cdef void free_block(IdBlock *block) noexcept
cdef int load_ids(
    IdBlock *block, Columns columns, uint32_t start, uint32_t n, const uint8_t *alignments,
    bint is_xxh64, const wv_row_kernels *kernels) noexcept nogil
cdef void pack_ids(
    IdBlock *packed, const IdBlock *block, const uint32_t *chosen, uint32_t n,
    const uint8_t *whole, const uint8_t *first_only, bint is_xxh64) noexcept nogil

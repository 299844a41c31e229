"""The stable ids of a block of rows, turned so that vectors run over the rows.

murmur3 reads a text in words of four bytes. Where an id is cut into words depends on how many bytes
of the prefix are left over, its alignment (docs/allocation.md, "The shared stream"); so a block
holds its ids once for each alignment that the program's prefixes have: word w of all ids side by
side, multiplied beforehand, since that part depends on the word alone.

Memory: whoever makes a block frees it.
"""
# cython: language_level=3

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from whichvariant._core.columns cimport Columns
from whichvariant._core.hashing cimport xxh64_bytes

cdef extern from "text.h" nogil:
    bint wv_is_ascii(const char *p, size_t n)
    uint32_t wv_load32(const char *p)


cdef inline char *carve(char **at, size_t size) noexcept:
    cdef char *start = at[0]
    at[0] = start + ((size + 63) & ~<size_t> 63)
    return start


cdef int make_block(IdBlock *block) except -1:
    """Room for BLOCK rows."""
    cdef uint32_t a
    cdef char *at
    cdef wv_rows *rows
    cdef size_t size = 4 * (STRIDE * (4 * (MAX_WORDS + 3) + 1) + 64 * 8) + BLOCK * 24 + 4096
    block.memory = calloc(size, 1)
    if block.memory == NULL:
        raise MemoryError
    at = <char *> ((<size_t> block.memory + 63) & ~<size_t> 63)
    for a in range(4):
        rows = &block.rows[a]
        rows.stride = STRIDE
        rows.first = <uint32_t *> carve(&at, BLOCK * 4)
        rows.last = <uint32_t *> carve(&at, BLOCK * 4)
        rows.units = <uint32_t *> carve(&at, BLOCK * 4)
        rows.words = <uint32_t *> carve(&at, STRIDE * 4 * MAX_WORDS)
        rows.count = <uint8_t *> carve(&at, BLOCK)
        rows.lowest = <uint8_t *> carve(&at, BLOCK // WV_ROWS)
        rows.highest = <uint8_t *> carve(&at, BLOCK // WV_ROWS)
    block.visitors = <uint64_t *> carve(&at, BLOCK * 8)
    block.texts = <const uint8_t **> carve(&at, BLOCK * 8)
    block.slow = <uint32_t *> carve(&at, BLOCK * 4)
    return 0


cdef void free_block(IdBlock *block) noexcept:
    free(block.memory)
    free(block.low)
    block.memory = NULL
    block.low = NULL


cdef uint32_t low_bytes_of(const uint8_t *text, size_t length, uint8_t *out) noexcept nogil:
    """The low byte of each UTF-16 code unit of well-formed UTF-8; how many they are."""
    cdef size_t i = 0
    cdef uint32_t n = 0
    cdef uint32_t c
    while i < length:
        c = text[i]
        if c < 0x80:
            i += 1
        elif c < 0xE0:
            c = ((c & 0x1F) << 6) | (text[i + 1] & 0x3F)
            i += 2
        elif c < 0xF0:
            c = ((c & 0x0F) << 12) | ((text[i + 1] & 0x3F) << 6) | (text[i + 2] & 0x3F)
            i += 3
        else:
            c = (((c & 0x07) << 18) | ((text[i + 1] & 0x3F) << 12) | ((text[i + 2] & 0x3F) << 6)
                 | (text[i + 3] & 0x3F))
            i += 4
            # The first of the two surrogates; the second ends in the same byte as the character.
            out[n] = <uint8_t> ((c - 0x10000) >> 10)
            n += 1
        out[n] = <uint8_t> (c & 0xFF)
        n += 1
    return n


cdef void cut_id(
    const wv_rows *rows, uint32_t i, const uint8_t *text, uint32_t units, uint32_t alignment,
) noexcept nogil:
    """The words of one id of at least four bytes, not yet multiplied."""
    cdef uint32_t used = 4 - alignment
    cdef uint32_t count = (units - used) // 4
    cdef uint32_t rest = (units - used) % 4
    cdef uint32_t *word = rows.words + i
    cdef uint32_t w
    rows.first[i] = wv_load32(<const char *> text) << (8 * alignment)
    text += used
    for w in range(count):
        word[0] = wv_load32(<const char *> text + 4 * w)
        word += STRIDE
    # The last bytes of the text, shifted until only those behind the whole words are left.
    rows.last[i] = (
        wv_load32(<const char *> text + 4 * count + rest - 4) >> (8 * (4 - rest)) if rest else 0)
    rows.count[i] = <uint8_t> count
    rows.units[i] = units


cdef void set_bounds(wv_rows *rows, uint32_t n) noexcept nogil:
    """The smallest and largest count of each group; rows behind the last one follow it."""
    cdef uint32_t g, i
    cdef uint8_t low, high, count
    rows.groups = (n + WV_ROWS - 1) // WV_ROWS
    for i in range(n, rows.groups * WV_ROWS):
        rows.count[i] = rows.count[n - 1]
    for g in range(rows.groups):
        low = 255
        high = 0
        for i in range(g * WV_ROWS, (g + 1) * WV_ROWS):
            count = rows.count[i]
            low = low if low < count else count
            high = high if high > count else count
        rows.lowest[g] = low
        rows.highest[g] = high


cdef int load_ids(
    IdBlock *block, Columns columns, uint32_t start, uint32_t n, const uint8_t *alignments,
    bint is_xxh64, const wv_row_kernels *kernels,
) noexcept nogil:
    """Lay out the ids of the ``n`` rows from ``start`` on. -1 when memory is short."""
    cdef uint32_t i, a, w
    cdef uint32_t highest
    cdef const uint64_t *starts = columns.id_starts + start
    cdef const char *text
    cdef size_t length
    cdef size_t used = 0
    cdef uint32_t units
    cdef void *room
    cdef wv_rows *rows
    block.n_rows = n
    block.n_slow = 0
    if is_xxh64:
        for i in range(n):
            block.visitors[i] = xxh64_bytes(
                <const uint8_t *> columns.ids + starts[i], starts[i + 1] - starts[i], 0)
        return 0
    if not columns.all_ascii:
        length = starts[n] - starts[0]
        if length > block.low_room:
            room = realloc(block.low, length + 64)
            if room == NULL:
                return -1
            block.low = <uint8_t *> room
            block.low_room = length
    for i in range(n):
        text = columns.ids + starts[i]
        length = starts[i + 1] - starts[i]
        units = <uint32_t> length
        if not columns.all_ascii and not wv_is_ascii(text, length):
            units = low_bytes_of(<const uint8_t *> text, length, block.low + used)
            text = <const char *> block.low + used
            used += units
        block.texts[i] = <const uint8_t *> text
        if units < 4 or units > 4 * MAX_WORDS:
            block.slow[block.n_slow] = i
            block.n_slow += 1
        for a in range(4):
            if not alignments[a]:
                continue
            rows = &block.rows[a]
            if 4 <= units <= 4 * MAX_WORDS:
                cut_id(rows, i, <const uint8_t *> text, units, a)
            else:
                rows.units[i] = units
                # As many words as its neighbour, so that it does not hold up its group.
                rows.count[i] = rows.count[i - 1] if i else 0
    for a in range(4):
        if alignments[a]:
            rows = &block.rows[a]
            set_bounds(rows, n)
            highest = 0
            for i in range(rows.groups):
                highest = highest if highest > rows.highest[i] else rows.highest[i]
            for w in range(highest):
                kernels.mix_words(rows.words + w * STRIDE, n)
            kernels.mix_words(rows.last, n)
    return 0


cdef void pack_ids(
    IdBlock *packed, const IdBlock *block, const uint32_t *chosen, uint32_t n,
    const uint8_t *whole, const uint8_t *first_only, bint is_xxh64,
) noexcept nogil:
    """Bring some rows of a block together. ``whole`` and ``first_only`` tell what is needed."""
    cdef uint32_t a, i, w, k
    cdef uint32_t highest
    cdef wv_rows *to
    cdef const wv_rows *rows
    cdef const uint32_t *source
    cdef uint32_t *word
    packed.n_rows = n
    if is_xxh64:
        for i in range(n):
            packed.visitors[i] = block.visitors[chosen[i]]
        return
    for a in range(4):
        if not whole[a] and not first_only[a]:
            continue
        to = &packed.rows[a]
        rows = &block.rows[a]
        for i in range(n):
            to.first[i] = rows.first[chosen[i]]
        to.groups = (n + WV_ROWS - 1) // WV_ROWS
        if not whole[a]:
            continue
        highest = 0
        for i in range(n):
            k = chosen[i]
            to.last[i] = rows.last[k]
            to.count[i] = rows.count[k]
            to.units[i] = rows.units[k]
            highest = highest if highest > rows.count[k] else rows.count[k]
        for w in range(highest):
            source = rows.words + w * STRIDE
            word = to.words + w * STRIDE
            for i in range(n):
                word[i] = source[chosen[i]]
        set_bounds(to, n)

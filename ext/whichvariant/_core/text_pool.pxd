# Texts numbered in the order in which they are first met: the dictionary of one column.
#
# A pool is emptied, never shrunk: numbers stay good until then. Visitors choose the texts, so a
# search gives up after PROBES places: the text is then stored again under a new number, which costs
# room and changes no answer. Whoever declares a TextPool zeroes it, and gives it to free_pool.
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from whichvariant._core.predicates cimport wv_hash_text, wv_same_text


cdef enum:
    PROBES = 64
    NO_ROOM = 0xFFFFFFFF


cdef struct TextPool:
    uint64_t *places      # upper half of the hash, and the number plus one; 0 is free
    uint64_t *starts      # per number, and one more: into bytes
    char *bytes
    uint32_t mask
    uint32_t n
    uint32_t room         # numbers that `starts` has room for
    uint32_t generation   # how often the pool was emptied
    uint64_t bytes_room


cdef inline void free_pool(TextPool *pool) noexcept nogil:
    free(pool.places)
    free(pool.starts)
    free(pool.bytes)
    pool.places = NULL
    pool.starts = NULL
    pool.bytes = NULL


cdef inline void empty_pool(TextPool *pool) noexcept nogil:
    if pool.n:
        memset(pool.places, 0, (<size_t> pool.mask + 1) * sizeof(uint64_t))
        pool.n = 0
        pool.generation += 1


cdef inline uint64_t pool_bytes(const TextPool *pool) noexcept nogil:
    return pool.starts[pool.n] if pool.n else 0


cdef inline int place_number(TextPool *pool, uint64_t h, uint32_t number) noexcept nogil:
    cdef uint32_t i = <uint32_t> h & pool.mask
    cdef uint32_t _k
    for _k in range(<uint32_t> PROBES):
        if pool.places[i] == 0:
            pool.places[i] = (h & 0xFFFFFFFF00000000ULL) | (number + 1)
            return 0
        i = (i + 1) & pool.mask
    return 0


cdef inline int grow_pool(TextPool *pool) noexcept nogil:
    # Twice the room; 0, or -1 when memory is short.
    cdef uint32_t room = 2 * pool.room if pool.room else 64
    cdef uint32_t i
    cdef void *block
    if room > 0x20000000:
        return -1
    block = realloc(pool.starts, (<size_t> room + 1) * sizeof(uint64_t))
    if block == NULL:
        return -1
    pool.starts = <uint64_t *> block
    block = calloc(<size_t> room * 2, sizeof(uint64_t))
    if block == NULL:
        return -1
    free(pool.places)
    pool.places = <uint64_t *> block
    pool.mask = 2 * room - 1
    pool.room = room
    pool.starts[0] = 0
    for i in range(pool.n):
        place_number(pool, wv_hash_text(
            pool.bytes + pool.starts[i], pool.starts[i + 1] - pool.starts[i]), i)
    return 0


cdef inline uint32_t add_to_pool(
    TextPool *pool, const char *text, size_t length, uint64_t h,
) noexcept nogil:
    cdef uint64_t used, wanted
    cdef void *block
    if pool.n == pool.room and grow_pool(pool) < 0:
        return NO_ROOM
    used = pool.starts[pool.n]
    if length > pool.bytes_room - used:
        wanted = 2 * (used + length) + 4096
        block = realloc(pool.bytes, wanted)
        if block == NULL:
            return NO_ROOM
        pool.bytes = <char *> block
        pool.bytes_room = wanted
    if length:
        memcpy(pool.bytes + used, text, length)
    pool.starts[pool.n + 1] = used + length
    place_number(pool, h, pool.n)
    pool.n += 1
    return pool.n - 1


cdef inline uint32_t find_hashed(
    const TextPool *pool, const char *text, size_t length, uint64_t h,
) noexcept nogil:
    # The number of a text whose hash is h; NO_ROOM when the pool does not have it.
    cdef uint64_t place, start
    cdef uint32_t i, _k, number
    if pool.n:
        i = <uint32_t> h & pool.mask
        for _k in range(<uint32_t> PROBES):
            place = pool.places[i]
            if place == 0:
                break
            if (place ^ h) >> 32 == 0:
                number = <uint32_t> place - 1
                start = pool.starts[number]
                if (pool.starts[number + 1] - start == length
                        and wv_same_text(pool.bytes + start, text, length)):
                    return number
            i = (i + 1) & pool.mask
    return NO_ROOM


cdef inline uint32_t find_text(
    const TextPool *pool, const char *text, size_t length,
) noexcept nogil:
    # The number of a text; NO_ROOM when the pool does not have it.
    return find_hashed(pool, text, length, wv_hash_text(text, length))


cdef inline uint32_t number_of_text(
    TextPool *pool, const char *text, size_t length,
) noexcept nogil:
    # The number of a text, which is added when it is new. NO_ROOM when memory is short.
    cdef uint64_t h = wv_hash_text(text, length)
    cdef uint32_t number = find_hashed(pool, text, length, h)
    return add_to_pool(pool, text, length, h) if number == NO_ROOM else number

"""Deterministic draws: the vendor's murmur3 by saved prefix states, the xxh64 scheme, thresholds.

Source of the rules: SEMANTICS section 1; docs/allocation.md explains the shared stream.
This module owns no memory.
"""
# cython: language_level=3

from cpython.unicode cimport PyUnicode_KIND, PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_READ
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, getenv

cdef extern from "simd.h" nogil:
    ctypedef void (*wv_murmur_fn)(
        const uint32_t *, const uint32_t *, const uint32_t *, uint32_t *, size_t,
        const wv_stream *)
    ctypedef void (*wv_xxh64_fn)(const uint64_t *, uint64_t, uint32_t *, uint32_t *, size_t)

    int wv_detect_level()
    wv_murmur_fn wv_murmur_at(int level)
    wv_xxh64_fn wv_xxh64_at(int level)
    uint64_t wv_fmix64(uint64_t h)

LEVELS = ("baseline", "avx2", "avx512")

cdef int _best = wv_detect_level()
cdef int _level = _best
cdef wv_murmur_fn _murmur = wv_murmur_at(_level)
cdef wv_xxh64_fn _xxh64 = wv_xxh64_at(_level)


cdef extern from *:
    """
    #ifndef WV_BUILD
    #define WV_BUILD 0
    #endif
    """
    int WV_BUILD


def build_kind():
    """How the core was compiled: ``release``, ``debug`` or ``sanitize``."""
    return ("release", "debug", "sanitize")[WV_BUILD]


def simd_level():
    """The vector level in use: ``baseline`` (SSE2 or NEON), ``avx2`` or ``avx512``."""
    return LEVELS[_level]


def supported_simd_levels():
    """The levels that this processor can run, lowest first."""
    return LEVELS[:_best + 1]


def set_simd_level(str name not None):
    """Use the level ``name`` from now on, in this process. ValueError when it cannot run here.

    At import the environment variable ``WHICHVARIANT_SIMD`` does the same. Every level gives the
    same bits; this exists for tests and measurements.
    """
    global _level, _murmur, _xxh64
    if name not in LEVELS[:_best + 1]:
        raise ValueError(
            f"SIMD level {name!r}: expected one of {', '.join(LEVELS[:_best + 1])} here")
    _level = LEVELS.index(name)
    _murmur = wv_murmur_at(_level)
    _xxh64 = wv_xxh64_at(_level)


cdef int current_level() noexcept nogil:
    """The vector level in use, by number."""
    return _level


cdef const char *_wanted = getenv("WHICHVARIANT_SIMD")
if _wanted != NULL and _wanted[0]:
    set_simd_level((<bytes> _wanted).decode("utf-8", "replace"))


# ---- the C face ------------------------------------------------------------------------------

cdef inline uint32_t load32(const uint8_t *p) noexcept nogil:
    return (<uint32_t> p[0] | (<uint32_t> p[1] << 8) | (<uint32_t> p[2] << 16)
            | (<uint32_t> p[3] << 24))


cdef inline uint32_t load_partial(const uint8_t *p, uint32_t count) noexcept nogil:
    cdef uint32_t word = 0
    cdef uint32_t i
    for i in range(count):
        word |= <uint32_t> p[i] << (8 * i)
    return word


cdef void make_stream(
    const uint8_t *text, uint32_t length, uint32_t alignment, uint32_t *words, wv_stream *stream,
) noexcept nogil:
    """Cut ``text`` (one byte a code unit) at the word boundaries of a prefix with this alignment.

    ``words`` has room for length / 4 + 1 elements and must outlive the stream.
    """
    cdef uint32_t missing = 4 - alignment
    cdef uint32_t taken = missing if length >= missing else length
    cdef uint32_t rest, i
    stream.first = load_partial(text, taken) << (8 * alignment)
    stream.whole = 1 if length >= missing else 0
    stream.id_length = length
    stream.words = words
    stream.n_words = 0
    stream.last = 0
    if not stream.whole:
        return
    rest = length - taken
    text += taken
    stream.n_words = rest // 4
    for i in range(stream.n_words):
        words[i] = wv_mix_k(load32(text + 4 * i))
    stream.last = wv_mix_k(load_partial(text + 4 * stream.n_words, rest % 4))


cdef void hash_lanes(
    const uint32_t *state, const uint32_t *tail, const uint32_t *length, uint32_t *out,
    size_t lanes, const wv_stream *stream,
) noexcept nogil:
    """One hash per lane; ``lanes`` is rounded up to whole blocks; all arrays have room for them."""
    _murmur(state, tail, length, out, (lanes + WV_LANES - 1) & ~(<size_t> WV_LANES - 1), stream)


cdef void hash_group(
    const LaneGroup *group, const uint8_t *text, uint32_t length, uint32_t *words,
) noexcept nogil:
    """Both hashes of every lane of a group that is not empty, for one visitor's ``text``."""
    cdef wv_stream stream
    cdef uint32_t alignment = group.length[0] & 3
    make_stream(text, length, alignment, words, &stream)
    hash_lanes(
        group.traffic_state, group.traffic_tail, group.length, group.traffic, group.lanes,
        &stream)
    make_stream(text, length, (alignment + DISTRIBUTION_EXTRA) & 3, words, &stream)
    # The finaliser mixes in the whole length: the shared array's, and what the stream adds to it.
    stream.id_length = length + DISTRIBUTION_EXTRA
    hash_lanes(
        group.distribution_state, group.distribution_tail, group.length, group.distribution,
        group.lanes, &stream)


cdef void mix_salts(
    const uint64_t *salts, uint64_t visitor, uint32_t *traffic, uint32_t *distribution,
    size_t lanes,
) noexcept nogil:
    """The xxh64 scheme's two draws per experience; ``lanes`` is a multiple of WV_LANES."""
    _xxh64(salts, visitor, traffic, distribution, lanes)


cdef uint64_t P1 = 0x9E3779B185EBCA87ULL
cdef uint64_t P2 = 0xC2B2AE3D27D4EB4FULL
cdef uint64_t P3 = 0x165667B19E3779F9ULL
cdef uint64_t P4 = 0x85EBCA77C2B2AE63ULL
cdef uint64_t P5 = 0x27D4EB2F165667C5ULL


cdef inline uint64_t rotl64(uint64_t x, int r) noexcept nogil:
    return (x << r) | (x >> (64 - r))


cdef inline uint64_t load64(const uint8_t *p) noexcept nogil:
    return <uint64_t> load32(p) | (<uint64_t> load32(p + 4) << 32)


cdef inline uint64_t xxh_round(uint64_t accumulator, uint64_t word) noexcept nogil:
    return rotl64(accumulator + word * P2, 31) * P1


cdef inline uint64_t xxh_merge(uint64_t h, uint64_t accumulator) noexcept nogil:
    return (h ^ xxh_round(0, accumulator)) * P1 + P4


cdef uint64_t xxh64_bytes(const uint8_t *data, size_t length, uint64_t seed) noexcept nogil:
    """XXH64 as published (little-endian reads on every machine)."""
    cdef const uint8_t *p = data
    cdef const uint8_t *end = data + length
    cdef uint64_t h, a, b, c, d
    if length >= 32:
        a = seed + P1 + P2
        b = seed + P2
        c = seed
        d = seed - P1
        while end - p >= 32:
            a = xxh_round(a, load64(p))
            b = xxh_round(b, load64(p + 8))
            c = xxh_round(c, load64(p + 16))
            d = xxh_round(d, load64(p + 24))
            p += 32
        h = rotl64(a, 1) + rotl64(b, 7) + rotl64(c, 12) + rotl64(d, 18)
        h = xxh_merge(h, a)
        h = xxh_merge(h, b)
        h = xxh_merge(h, c)
        h = xxh_merge(h, d)
    else:
        h = seed + P5
    h += <uint64_t> length
    while end - p >= 8:
        h = rotl64(h ^ xxh_round(0, load64(p)), 27) * P1 + P4
        p += 8
    if end - p >= 4:
        h = rotl64(h ^ (<uint64_t> load32(p) * P1), 23) * P2 + P3
        p += 4
    while p < end:
        h = rotl64(h ^ (<uint64_t> p[0] * P5), 11) * P1
        p += 1
    h = (h ^ (h >> 33)) * P2
    h = (h ^ (h >> 29)) * P3
    return h ^ (h >> 32)


# ---- the Python face: compile time, tests, explanations ----------------------------------------

def low_bytes(str text not None):
    """The bytes that the vendor's hash reads: the low byte of each UTF-16 code unit of ``text``."""
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(text)
    cdef int kind = PyUnicode_KIND(text)
    cdef void *data = PyUnicode_DATA(text)
    cdef bytearray out = bytearray()
    cdef Py_ssize_t i
    cdef Py_UCS4 c
    for i in range(length):
        c = PyUnicode_READ(kind, data, i)
        if c > 0xFFFF:
            out.append((0xD800 + ((<uint32_t> c - 0x10000) >> 10)) & 0xFF)
            out.append((0xDC00 + ((<uint32_t> c - 0x10000) & 0x3FF)) & 0xFF)
        else:
            out.append(<uint32_t> c & 0xFF)
    return bytes(out)


def murmur3_bytes(const uint8_t[::1] data not None, uint32_t seed=0):
    """murmur3_x86_32 of ``data``, as published; an int below 2**32."""
    cdef uint32_t h = seed
    cdef Py_ssize_t n = data.shape[0]
    cdef Py_ssize_t i
    cdef const uint8_t *p = &data[0] if n else NULL
    for i in range(n // 4):
        h = wv_mix_h(h, wv_mix_k(load32(p + 4 * i)))
    if n % 4:
        h ^= wv_mix_k(load_partial(p + (n // 4) * 4, <uint32_t> (n % 4)))
    return wv_fmix32(h ^ <uint32_t> n)


def murmur3(str text not None):
    """The vendor's hash of ``text``: murmur3_x86_32, seed 0, of `low_bytes`; an int below 2**32."""
    return murmur3_bytes(low_bytes(text))


def prefix_state(str prefix not None):
    """``(state, tail, length)``: murmur3 after the whole words of ``prefix``, and what is left.

    ``tail`` holds the last ``length % 4`` bytes, lowest first.
    """
    cdef bytes data = low_bytes(prefix)
    cdef const uint8_t *p = data
    cdef uint32_t n = <uint32_t> len(data)
    cdef uint32_t h = 0
    cdef uint32_t i
    for i in range(n // 4):
        h = wv_mix_h(h, wv_mix_k(load32(p + 4 * i)))
    return h, load_partial(p + (n // 4) * 4, n % 4), n


def xxh64(const uint8_t[::1] data not None, uint64_t seed=0):
    """XXH64 of ``data``; an int below 2**64."""
    cdef Py_ssize_t n = data.shape[0]
    return xxh64_bytes(&data[0] if n else NULL, <size_t> n, seed)


def fmix64(uint64_t value):
    """MurmurHash3's 64-bit finaliser."""
    return wv_fmix64(value)


cdef double murmur_draw(uint32_t h) noexcept nogil:
    # Division by the largest uint32: the vendor's normalisation; a draw lies in [0, 1] inclusive.
    return <double> h / 4294967295.0


cdef double xxh_draw(uint32_t h) noexcept nogil:
    return <double> h / 4294967296.0


def draw(str scheme not None, uint32_t h):
    """The draw that hash value ``h`` stands for, a float: h / (2**32 - 1), with xxh64 h / 2**32."""
    return xxh_draw(h) if scheme == "xxh64" else murmur_draw(h)


def count_below(str scheme not None, double bound):
    """How many of the 2**32 hash values have a draw strictly below ``bound``.

    A visitor is in the traffic exactly when its hash is less than this count (draws rise with the
    hash, so the double comparison of the definition has an exact integer threshold).
    """
    return _count(scheme == "xxh64", bound, False)


def count_up_to(str scheme not None, double bound):
    """How many of the 2**32 hash values have a draw at or below ``bound``."""
    return _count(scheme == "xxh64", bound, True)


cdef uint64_t _count(bint is_xxh64, double bound, bint inclusive):
    cdef uint64_t low = 0
    cdef uint64_t high = <uint64_t> 1 << 32
    cdef uint64_t middle
    cdef double value
    if bound != bound:
        raise ValueError("a threshold cannot be NaN")
    while low < high:
        middle = (low + high) // 2
        value = xxh_draw(<uint32_t> middle) if is_xxh64 else murmur_draw(<uint32_t> middle)
        if value < bound or (inclusive and value == bound):
            low = middle + 1
        else:
            high = middle
    return low


def hash_many(list prefixes not None, str stable_id not None):
    """murmur3 of ``prefix + stable_id`` for every prefix, by the shared stream; a list of ints.

    What an engine does with its saved states, laid open for tests and measurements.
    """
    cdef bytes data = low_bytes(stable_id)
    cdef uint32_t n = <uint32_t> len(data)
    cdef list groups = [[], [], [], []]
    cdef list out = [0] * len(prefixes)
    cdef uint32_t *block = NULL
    cdef uint32_t *words = NULL
    cdef uint32_t lanes
    cdef wv_stream stream
    cdef Py_ssize_t i, j
    for i in range(len(prefixes)):
        state, tail, length = prefix_state(prefixes[i])
        groups[length % 4].append((i, state, tail, length))
    for alignment in range(4):
        members = groups[alignment]
        if not members:
            continue
        lanes = <uint32_t> ((len(members) + WV_LANES - 1) // WV_LANES * WV_LANES)
        block = <uint32_t *> malloc(4 * lanes * sizeof(uint32_t))
        words = <uint32_t *> malloc((n // 4 + 1) * sizeof(uint32_t))
        if block == NULL or words == NULL:
            free(block)
            free(words)
            raise MemoryError
        for j in range(lanes):
            row = members[j] if j < len(members) else (0, 0, 0, 0)
            block[j] = row[1]
            block[lanes + j] = row[2]
            block[2 * lanes + j] = row[3]
        make_stream(data, n, alignment, words, &stream)
        hash_lanes(
            block, block + lanes, block + 2 * lanes, block + 3 * lanes, lanes, &stream)
        for j in range(len(members)):
            out[members[j][0]] = block[3 * lanes + j]
        free(block)
        free(words)
    return out

# What the other core modules use of hashing. See hashing.pyx.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "simd.h" nogil:
    ctypedef struct wv_stream:
        uint32_t first
        uint32_t whole
        uint32_t id_length
        uint32_t n_words
        uint32_t last
        const uint32_t *words

    enum:
        WV_LANES

    uint32_t wv_mix_k(uint32_t k)
    uint32_t wv_mix_h(uint32_t h, uint32_t mixed_k)
    uint32_t wv_fmix32(uint32_t h)


# murmur3 after the whole words of an experience's two prefixes, the bytes left over, and the length
# of the traffic prefix. The distribution prefix is DISTRIBUTION_EXTRA code units longer, so it is
# aligned DISTRIBUTION_EXTRA modulo 4 further.
cdef struct PrefixPair:
    uint32_t traffic_state
    uint32_t traffic_tail
    uint32_t distribution_state
    uint32_t distribution_tail
    uint32_t length


cdef enum:
    DISTRIBUTION_EXTRA = 5


# Experiences of one alignment (length modulo 4) that are hashed together, as parallel arrays with
# room for a multiple of WV_LANES. `lanes` of them are in use; whole blocks are computed.
cdef struct LaneGroup:
    uint32_t *traffic_state
    uint32_t *traffic_tail
    uint32_t *distribution_state
    uint32_t *distribution_tail
    uint32_t *length
    uint32_t *traffic       # hashes
    uint32_t *distribution
    uint32_t lanes


cdef inline uint32_t add_lane(LaneGroup *group, const PrefixPair *pair) noexcept nogil:
    # Appends an experience to a group of its alignment; its lane there.
    cdef uint32_t lane = group.lanes
    group.lanes = lane + 1
    group.traffic_state[lane] = pair.traffic_state
    group.traffic_tail[lane] = pair.traffic_tail
    group.distribution_state[lane] = pair.distribution_state
    group.distribution_tail[lane] = pair.distribution_tail
    group.length[lane] = pair.length
    return lane


cdef int current_level() noexcept nogil
cdef void make_stream(
    const uint8_t *text, uint32_t length, uint32_t alignment, uint32_t *words, wv_stream *stream,
) noexcept nogil
cdef void hash_lanes(
    const uint32_t *state, const uint32_t *tail, const uint32_t *length, uint32_t *out,
    size_t lanes, const wv_stream *stream) noexcept nogil
cdef void hash_group(
    const LaneGroup *group, const uint8_t *text, uint32_t length, uint32_t *words,
) noexcept nogil
cdef void mix_salts(
    const uint64_t *salts, uint64_t visitor, uint32_t *traffic, uint32_t *distribution,
    size_t lanes,
) noexcept nogil
cdef uint64_t xxh64_bytes(const uint8_t *data, size_t length, uint64_t seed) noexcept nogil

# Loops over what was decided for many profiles, compiled once per vector level. See counting.h.
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "counting.h" nogil:
    ctypedef struct wv_counters:
        void (*pair_codes)(const uint8_t *, const uint8_t *, size_t, uint8_t, uint8_t, uint8_t *,
                           uint8_t *) noexcept nogil
        size_t (*count_bytes)(const uint8_t *, size_t, uint8_t) noexcept nogil
        void (*mark)(const uint8_t *, size_t, const uint8_t *, uint8_t *) noexcept nogil
        uint64_t (*common_bits)(const uint64_t *, const uint64_t *, size_t) noexcept nogil
        void (*add_records)(
            const uint8_t *, size_t, uint8_t, uint64_t, uint64_t, uint64_t *) noexcept nogil

    const wv_counters *wv_counters_at(int level)

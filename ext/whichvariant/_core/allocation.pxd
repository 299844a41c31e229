# Which audiences match, who is in, and with which variant. See allocation.pyx.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from whichvariant._core.hashing cimport LaneGroup
from whichvariant._core.program cimport Program


# Everything between a profile's leaves and its answer, for one evaluation.
cdef struct Outcome:
    uint8_t *audience        # a byte per audience
    uint32_t *matching       # the audiences whose byte is 1, ascending
    uint32_t n_matching
    uint64_t *eligible       # bitmap of experiences whose audience matches
    uint32_t *row            # the eligible experiences, ascending
    uint32_t n_rows
    LaneGroup groups[4]      # murmur3: the experiences to be hashed, by alignment
    uint32_t *hashes         # of all groups (murmur3); traffic, then distribution hashes (xxh64)
    uint32_t *traffic_at     # where in hashes the draws of row k stand
    uint32_t *distribution_at
    uint32_t *words          # room for the stable id as murmur3 words
    uint32_t *record         # the records chosen, in the order of experiences
    uint32_t n_records
    uint32_t may_have_changes   # 0 when no record comes with a change


cdef void walk_audiences(Program program, const uint8_t *leaf, Outcome *outcome) noexcept nogil
cdef void list_matching(Program program, Outcome *outcome) noexcept nogil
cdef void list_eligible(Program program, Outcome *outcome) noexcept nogil
cdef void list_among(
    Program program, const uint8_t *leaf, const uint32_t *among, uint32_t n,
    Outcome *outcome) noexcept nogil
cdef void list_everyone(Program program, Outcome *outcome) noexcept nogil
cdef void murmur3_draws(
    Program program, const uint8_t *low, uint32_t length, Outcome *outcome) noexcept nogil
cdef void xxh64_draws(
    Program program, const uint8_t *utf8, size_t length, Outcome *outcome) noexcept nogil
cdef void choose_records(
    Program program, const int32_t *overrides, Outcome *outcome) noexcept nogil

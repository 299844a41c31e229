"""The working memory of one evaluation: made for a program, reused from call to call.

Whoever makes a scratch frees it. Its buffers for texts and ids grow on demand.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc

from whichvariant._core.allocation cimport Outcome
from whichvariant._core.cells cimport Cell, Profile
from whichvariant._core.hashing cimport WV_LANES
from whichvariant._core.program cimport Program


cdef void free_scratch(Scratch *scratch) noexcept:
    if scratch == NULL:
        return
    free(scratch.profile.kinds)
    free(scratch.profile.cells)
    free(scratch.profile.overrides)
    free(scratch.profile.overridden)
    free(scratch.outcome.audience)
    free(scratch.outcome.matching)
    free(scratch.outcome.eligible)
    free(scratch.lane_room)
    free(scratch.outcome.row)
    free(scratch.outcome.traffic_at)
    free(scratch.outcome.distribution_at)
    free(scratch.outcome.words)
    free(scratch.outcome.record)
    free(scratch.leaf)
    free(scratch.low)
    free(scratch.spare)
    free(scratch)


cdef Scratch *new_scratch(Program program) except NULL:
    cdef Scratch *scratch = <Scratch *> calloc(1, sizeof(Scratch))
    cdef Profile *profile
    cdef Outcome *outcome
    cdef uint32_t i
    cdef uint32_t n = program.n_experiences
    if scratch == NULL:
        raise MemoryError
    profile = &scratch.profile
    outcome = &scratch.outcome
    profile.kinds = <uint8_t *> calloc(program.leaves.n_slots + 1, 1)
    profile.cells = <Cell *> calloc(program.leaves.n_slots + 1, sizeof(Cell))
    profile.overrides = <int32_t *> malloc((n + 1) * sizeof(int32_t))
    profile.overridden = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    # Audience bytes are read eight at a time.
    outcome.audience = <uint8_t *> calloc(program.n_audiences + 8, 1)
    outcome.matching = <uint32_t *> calloc(program.n_audiences + 1, sizeof(uint32_t))
    outcome.eligible = <uint64_t *> calloc(program.n_words + 1, sizeof(uint64_t))
    outcome.row = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    outcome.traffic_at = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    outcome.distribution_at = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    outcome.record = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    scratch.leaf = <uint8_t *> calloc(program.leaves.n_leaves + 1, 1)
    if (profile.kinds == NULL or profile.cells == NULL or profile.overrides == NULL
            or profile.overridden == NULL or outcome.audience == NULL
            or outcome.matching == NULL or outcome.eligible == NULL or outcome.row == NULL
            or outcome.traffic_at == NULL or outcome.distribution_at == NULL
            or outcome.record == NULL or scratch.leaf == NULL):
        free_scratch(scratch)
        raise MemoryError
    try:
        lay_out_lanes(program, scratch)
    except MemoryError:
        free_scratch(scratch)
        raise
    for i in range(n):
        profile.overrides[i] = -1
    return scratch


cdef int lay_out_lanes(Program program, Scratch *scratch) except -1:
    """Room for every prefix to be hashed at once, whole blocks, each array at a cache line."""
    cdef Outcome *outcome = &scratch.outcome
    cdef size_t room[4]
    cdef size_t total = 0
    cdef size_t salted = 0
    cdef uint32_t alignment
    cdef uint32_t *at
    for alignment in range(4):
        room[alignment] = (program.aligned[alignment] + WV_LANES) & ~(<size_t> WV_LANES - 1)
        total += room[alignment]
    if program.salts != NULL:
        salted = 2 * ((program.n_experiences + WV_LANES) & ~(<size_t> WV_LANES - 1))
    scratch.lane_room = calloc(7 * total + salted + 16, sizeof(uint32_t))
    if scratch.lane_room == NULL:
        raise MemoryError
    at = <uint32_t *> ((<size_t> scratch.lane_room + 63) & ~(<size_t> 63))
    # The hashes of all groups come first, side by side, so that one index finds any of them.
    outcome.hashes = at
    for alignment in range(4):
        outcome.groups[alignment].traffic = at
        outcome.groups[alignment].distribution = at + room[alignment]
        at += 2 * room[alignment]
    for alignment in range(4):
        outcome.groups[alignment].traffic_state = at
        outcome.groups[alignment].traffic_tail = at + room[alignment]
        outcome.groups[alignment].distribution_state = at + 2 * room[alignment]
        outcome.groups[alignment].distribution_tail = at + 3 * room[alignment]
        outcome.groups[alignment].length = at + 4 * room[alignment]
        at += 5 * room[alignment]
    return 0


cdef int reserve_id(Scratch *scratch, size_t units) except -1:
    """Room for a stable id of so many code units."""
    cdef void *words
    cdef void *low
    if units < scratch.id_room:
        return 0
    units = units + 256
    words = realloc(scratch.outcome.words, (units // 4 + 1) * sizeof(uint32_t))
    if words != NULL:
        scratch.outcome.words = <uint32_t *> words
    low = realloc(scratch.low, units)
    if low != NULL:
        scratch.low = <uint8_t *> low
    if words == NULL or low == NULL:
        raise MemoryError
    scratch.id_room = units
    return 0


cdef int reserve_spare(Scratch *scratch, size_t size) except -1:
    """Room for so many bytes; what was there is lost."""
    cdef char *spare
    if size <= scratch.spare_room:
        return 0
    size = size + size // 2 + 4096
    spare = <char *> malloc(size)
    if spare == NULL:
        raise MemoryError
    free(scratch.spare)
    scratch.spare = spare
    scratch.spare_room = size
    return 0

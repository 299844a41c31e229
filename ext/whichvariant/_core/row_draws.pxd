# Draws and variants of a block of rows, experience by experience. See row_draws.pyx.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from whichvariant._core.columns cimport Columns
from whichvariant._core.hashing cimport LaneGroup
from whichvariant._core.id_blocks cimport BLOCK, IdBlock, wv_row_kernels
from whichvariant._core.program cimport Program


# How a draw is decided.
cdef enum Way:
    SETTLED = 0       # whatever the hash is
    PROBED = 1        # by whether the hash is one particular value
    HASHED = 2


# What there is to do for one experience.
cdef struct Plan:
    uint32_t experience
    uint32_t length           # of the traffic prefix
    uint32_t traffic_state
    uint32_t traffic_tail
    uint32_t distribution_state
    uint32_t distribution_tail
    uint64_t salt             # xxh64
    uint32_t traffic_last     # in when the traffic hash is at or below this
    Way traffic
    Way distribution
    uint32_t traffic_probe    # PROBED: the value is this probe's, and who has it is out
    uint32_t distribution_probe
    uint8_t probed_index      # PROBED: the index of who has the value
    uint8_t index             # of everyone else; of the first piece where it is HASHED
    uint32_t n_limits
    const uint32_t *limits    # upper ends of all pieces but the last
    const uint8_t *deltas     # how the index changes behind each


# Experiences that ask for one audience: they share who is asked, and so what is brought together.
cdef struct Cohort:
    int32_t audience          # -1: everyone
    uint32_t first            # of its plans
    uint32_t count
    uint8_t whole[4]          # alignments whose words are needed, or only their first ones
    uint8_t first_only[4]
    uint32_t few              # with fewer rows than this of a block, they are brought together


# A value that a hash is compared with, where that alone decides.
cdef struct Probe:
    uint32_t alignment
    uint32_t length           # of the prefix
    uint32_t target


cdef class RowDraws:
    cdef readonly Program program
    cdef bint is_xxh64
    cdef Plan *plans
    cdef uint32_t n_plans
    cdef Cohort *cohorts
    cdef uint32_t n_cohorts
    cdef Probe *probes
    cdef uint32_t n_probes
    cdef list _limits                 # keep the plans' arrays alive
    cdef uint8_t alignments[4]
    cdef IdBlock block
    cdef IdBlock packed
    cdef uint32_t *wanted             # per probe: what the private block has to give, one a row
    cdef uint32_t *wanted_packed
    cdef uint32_t *traffic            # hashes
    cdef uint32_t *distribution
    cdef uint8_t *asked               # bytes of 0 and 255
    cdef uint8_t *admitted
    cdef uint8_t *probed
    cdef uint8_t *chosen
    cdef uint32_t *few                # the rows that are brought together
    cdef uint32_t *slow_words
    cdef int _plan(self) except -1
    cdef int _plan_one(
        self, Plan *plan, uint32_t experience, dict probes, dict popular) except -1
    cdef int _plan_cohort(self, Cohort *cohort) except -1
    cdef void _variants(
        self, const Plan *plan, const IdBlock *block, const uint32_t *wanted,
        const wv_row_kernels *kernels, uint8_t *out) noexcept nogil
    cdef void _slow_row(
        self, const Plan *plan, uint32_t row, uint8_t *index, bint *is_in) noexcept nogil
    cdef int draw(
        self, Columns columns, uint32_t start, uint32_t n, const uint64_t *audiences,
        size_t stride, const wv_row_kernels *kernels, void *variants, size_t room, bint wide,
    ) noexcept nogil

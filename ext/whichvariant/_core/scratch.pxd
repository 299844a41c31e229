# The working memory of one evaluation. See scratch.pyx.
from libc.stdint cimport uint8_t

from whichvariant._core.allocation cimport Outcome
from whichvariant._core.cells cimport Profile
from whichvariant._core.program cimport Program


cdef struct Scratch:
    Profile profile
    Outcome outcome
    uint8_t *leaf            # a byte per leaf, at least one
    uint8_t *low             # the stable id's low bytes
    size_t id_room           # code units that outcome.words and low have room for
    char *spare              # unescaped texts, and JSON on its way out
    size_t spare_room
    void *lane_room          # what outcome.hashes and its groups point into, at a cache line


cdef Scratch *new_scratch(Program program) except NULL
cdef void free_scratch(Scratch *scratch) noexcept
cdef int reserve_id(Scratch *scratch, size_t units) except -1
cdef int reserve_spare(Scratch *scratch, size_t size) except -1

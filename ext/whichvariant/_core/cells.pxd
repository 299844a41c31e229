# The values that one evaluation reads, by slot. See cells.pyx.
from libc.stdint cimport int32_t, uint8_t, uint32_t

from cpython.ref cimport PyObject

from whichvariant._core.leaf_table cimport LeafTable
from whichvariant._core.program cimport Program
from whichvariant._core.trie cimport TrieNode


# The value of one slot. Texts point into the input, the scratch, or `owner`.
cdef struct Cell:
    const char *text
    size_t length
    double number
    PyObject *owner           # a Python object that keeps `text` alive, or NULL


# What a profile gives to one evaluation: cells by slot, the stable id, sticky choices.
cdef struct Profile:
    uint8_t *kinds            # Kind of every slot
    Cell *cells
    const char *stable_id     # UTF-8, from a scan; NULL when there is none
    size_t stable_id_length
    const char *audiences     # raw JSON of the audiences array; NULL when there is none
    size_t audiences_length
    int32_t *overrides        # per experience: the sticky choice; negative for none
    uint32_t *overridden      # the experiences with a choice, so that clearing is cheap
    uint32_t n_overridden


cdef void clear_profile(Profile *profile, uint32_t n_slots) noexcept
cdef void disown(Profile *profile, uint32_t n_slots) noexcept
cdef int read_value(
    Profile *profile, LeafTable leaves, uint32_t slot, object value) except -1
cdef int read_children(
    Program program, const TrieNode *node, object mapping, Profile *profile) except -1
cdef int read_sticky(Program program, Profile *profile, object choices) except -1
cdef int set_text(
    LeafTable leaves, uint32_t slot, const char *text, size_t length, uint8_t *leaf) except -1
cdef int set_number(LeafTable leaves, uint32_t slot, double number, uint8_t *leaf) except -1
cdef int set_leaves(LeafTable leaves, Profile *profile, uint8_t *leaf) except -1
cdef object cell_values(LeafTable leaves, Profile *profile)

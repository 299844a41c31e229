# The attributes that several programs read, as one set of columns. See layout.pyx.
from libc.stdint cimport int32_t, uint32_t

from whichvariant._core.leaf_table cimport Arena
from whichvariant._core.leaves cimport TextTable
from whichvariant._core.trie cimport ScanTarget, TrieNode


cdef class Layout:
    cdef Arena _arena
    cdef readonly tuple programs
    cdef readonly tuple paths            # of the columns, ascending
    cdef readonly tuple sticky_ids       # experiences that are sticky in some program
    cdef readonly tuple columns_of       # per program: the column of each slot, -1 for activity
    cdef readonly tuple sticky_of        # per program: the experience of each sticky id, or -1
    cdef readonly uint32_t n_columns
    cdef readonly int32_t device_column  # -1 when no rule reads the device
    cdef TrieNode *trie
    cdef uint32_t n_trie
    cdef TextTable sticky_table
    cdef uint32_t *highest
    cdef ScanTarget target

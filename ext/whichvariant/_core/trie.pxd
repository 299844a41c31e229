# The profile's objects as a tree that leads to every slot. See trie.pyx.
from libc.stdint cimport int32_t, uint32_t

from cpython.ref cimport PyObject

from whichvariant._core.leaf_table cimport Arena
from whichvariant._core.leaves cimport TextTable


# One object of the profile that holds something the program needs.
cdef struct TrieNode:
    PyObject *key          # interned str, borrowed from the arena
    const char *text
    uint32_t length
    int32_t slot           # -1: no leaf reads this very value
    uint32_t first_child
    uint32_t n_children
    uint32_t role
    uint32_t first_slot    # slots at or below this node are first_slot ... end_slot - 1
    uint32_t end_slot
    TextTable children     # key -> node number


cdef enum Role:
    ROLE_NONE = 0
    ROLE_OBJECT = 1        # traits, location, session: an object or null
    ROLE_STABLE_ID = 2
    ROLE_STICKY = 3
    ROLE_AUDIENCES = 4
    ROLE_WATCHED = 5       # kept as it stands: what tells a request from a profile


# What a scanner fills and checks: the attributes of one program, or of several.
cdef struct ScanTarget:
    const TrieNode *trie
    uint32_t n_slots
    uint32_t n_watched               # the last children of the root that are ROLE_WATCHED
    const TextTable *sticky_table    # experience id -> sticky row
    const uint32_t *highest          # per sticky row: the highest index that counts


cdef TrieNode *build_trie(
    object paths, dict roles, Arena arena, uint32_t *n_trie) except NULL

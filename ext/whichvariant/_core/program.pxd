# The compiled configuration: immutable flat arrays. See program.pyx.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cpython.ref cimport PyObject

from whichvariant._core.hashing cimport LaneGroup, PrefixPair
from whichvariant._core.leaf_table cimport Arena, LeafTable
from whichvariant._core.leaves cimport TextTable
from whichvariant._core.trie cimport ScanTarget, TrieNode


# Audiences walked together: `count` of them from `first` in walk order, each at most `depth` deep.
cdef struct WalkGroup:
    uint32_t first
    uint32_t count
    uint32_t depth


cdef struct ExperienceRow:
    uint32_t traffic_last      # in when the traffic hash is at or below this
    uint32_t limits[3]         # upper ends of the first pieces; piece = how many lie below the hash
    uint32_t n_pieces
    uint32_t first_piece       # into piece_limits and piece_index
    uint32_t first_record      # record of variant i is first_record + i
    uint32_t highest_index
    uint32_t sticky
    uint32_t has_changes       # 1 when any of its records comes with changes


cdef struct Fragment:
    const char *text
    size_t length


cdef class Program:
    cdef Arena _arena
    cdef readonly LeafTable leaves
    cdef readonly LeafTable event_leaves
    cdef readonly str scheme
    cdef readonly tuple experience_ids
    cdef readonly tuple audience_ids
    cdef readonly tuple counters         # see Program.__init__
    cdef readonly bint has_windows

    cdef ScanTarget target               # what a scanner has to know of all this
    cdef TrieNode *trie                  # node 0 is the profile
    cdef uint32_t n_trie
    cdef uint32_t device_slot            # n_slots when no rule reads the device
    cdef uint32_t *counter_slots

    # The same graph as in the tables, for whoever evaluates many profiles at once: nodes test one
    # leaf and lead to earlier nodes; node 0 is FALSE, node 1 TRUE.
    cdef const uint32_t *node_leaf
    cdef const uint32_t *node_low
    cdef const uint32_t *node_high
    cdef const uint32_t *entry           # per audience
    cdef uint32_t n_nodes

    # Decision nodes, six words each: two leaves, and where to go for their bytes 00, 01, 10, 11.
    # A node is named by the position of its first word; FALSE stands at 0 and TRUE at 6, both lead
    # to themselves.
    cdef uint32_t *graph
    cdef uint32_t n_graph
    cdef uint32_t n_audiences
    cdef uint32_t *walk_audience         # audience numbers in walk order
    cdef uint32_t *walk_entry            # their entry nodes
    cdef WalkGroup *walk_groups
    cdef uint32_t n_walk_groups

    cdef ExperienceRow *rows
    cdef uint32_t n_experiences
    cdef uint32_t n_words                # of a bitmap of experiences
    cdef list _audiences                 # the audience of each experience, -1 for none
    cdef uint32_t *highest               # the highest index of each experience
    cdef uint64_t *for_everyone          # bitmap: no audience, and traffic above 0
    cdef uint32_t *first_member          # per audience, and one more: into members
    cdef uint32_t *members               # experiences of each audience with traffic above 0
    cdef uint32_t *walk_start            # per experience: where the walk for its audience begins
    cdef uint32_t *piece_limits
    cdef uint16_t *piece_index
    cdef PrefixPair *prefixes            # murmur3: of each experience
    cdef uint32_t aligned[4]             # murmur3: experiences by their traffic prefix's alignment
    cdef LaneGroup full[4]               # murmur3: all experiences as lanes, no room for hashes
    cdef uint32_t *lane                  # murmur3: the lane of each experience in its group
    cdef uint64_t *salts                 # xxh64: one an experience, padded to WV_LANES

    cdef uint32_t n_records
    cdef PyObject **records
    cdef PyObject **changes
    cdef uint32_t *first_change          # per record, and one more
    cdef PyObject **audience_objects
    cdef Fragment *record_json           # each ends with a comma
    cdef Fragment *change_json           # all changes of a record, each ends with a comma
    cdef Fragment *audience_json
    cdef TextTable sticky_table          # experience id -> row
    cdef TextTable audience_table        # audience id -> audience

    cdef int _build_trie(self) except -1
    cdef int _build_counters(self, list counters) except -1
    cdef int _build_graph(self, dict graph) except -1
    cdef int _build_lanes(self, dict lanes) except -1
    cdef int _lay_out_lanes(self) except -1
    cdef int _build_rows(self, dict table) except -1
    cdef int _build_records(self, dict table, list records, list changes) except -1
    cdef int _build_ids(self) except -1

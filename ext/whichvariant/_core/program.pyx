"""The compiled configuration as flat arrays, checked when it is built and never changed after.

A `Program` is made from tables: a dict of plain values and little-endian buffers that the compiler
writes and a saved program file holds. Nothing in the tables is trusted: every index is checked
against what it points into, so that a damaged or hostile file gives a ValueError, not a crash.

Memory: a program owns an `Arena` (leaf_table.pyx) with all its arrays and texts.
"""
# cython: language_level=3

from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import json
import sys

from whichvariant._core.hashing cimport (
    DISTRIBUTION_EXTRA, WV_LANES, LaneGroup, PrefixPair, add_lane,
)
from whichvariant._core.leaf_table cimport Arena, build_text_table
from whichvariant._core.trie cimport build_trie

from whichvariant._core.leaf_table import leaf_table
from whichvariant._core.trie import DEVICE, PROFILE_ROLES

# Every bound on a count, so that no 32-bit index can wrap round.
cdef uint64_t DEF_LIMIT = (<uint64_t> 1) << 31


cdef inline int check(bint condition, str message) except -1:
    if not condition:
        raise ValueError(message)
    return 0


cdef class Program:
    """An immutable compiled configuration, ready to be evaluated.

    Parameters
    ----------
    tables : dict
        What the compiler made; `whichvariant.compiler.tables` describes every key.
    patterns : callable
        Compiles one RE2 pattern (str) to an object with ``search(str)``.
    records, changes : list of dict
        The shared output objects, by record number and by change number.

    Raises ValueError when the tables contradict themselves.
    """

    def __init__(self, dict tables not None, patterns, list records not None,
                 list changes not None):
        cdef Arena arena = Arena()
        if sys.byteorder != "little":
            raise ValueError("programs are little-endian, and so must the machine be")
        self._arena = arena
        self.scheme = tables["scheme"]
        check(self.scheme in ("murmur3", "xxh64"), "unknown bucketing scheme")
        self.experience_ids = tuple(tables["experience_ids"])
        self.audience_ids = tuple(tables["audience_ids"])
        for identifier in self.experience_ids + self.audience_ids:
            check(isinstance(identifier, str), "an id is not a text")
        self.n_experiences = <uint32_t> len(self.experience_ids)
        self.n_audiences = <uint32_t> len(self.audience_ids)
        self.leaves = leaf_table(tables["leaves"], patterns)
        self.event_leaves = leaf_table(tables["event_leaves"], patterns)
        for path in self.event_leaves.paths:
            check(all([isinstance(key, str) for key in path]), "bad event path")
        self._build_trie()
        self._build_counters(tables["counters"])
        self._build_graph(tables["graph"])
        self._build_lanes(tables["lanes"])
        self._build_rows(tables["experiences"])
        self._build_records(tables["records"], records, changes)
        self._build_ids()

    # ---- attributes ---------------------------------------------------------------------------

    cdef int _build_trie(self) except -1:
        """A tree of the profile's objects that leads to every slot, breadth first."""
        cdef uint32_t s
        self.device_slot = self.leaves.n_slots
        for s, path in enumerate(self.leaves.paths):
            if path == DEVICE:
                self.device_slot = s
        self.trie = build_trie(self.leaves.paths, PROFILE_ROLES, self._arena, &self.n_trie)
        return 0

    cdef int _build_counters(self, list counters) except -1:
        """Counters as (event type, name or None, ((leaf, wanted byte), ...), window ms or None)."""
        cdef dict slots = {path: s for s, path in enumerate(self.leaves.paths)}
        cdef uint32_t i
        self.counters = tuple(
            (str(kind), name, tuple((int(leaf), int(byte)) for leaf, byte in conditions), window)
            for kind, name, conditions, window in counters)
        self.counter_slots = <uint32_t *> self._arena.take(len(counters), sizeof(uint32_t))
        for i, (kind, name, conditions, window) in enumerate(self.counters):
            check(kind in ("page", "track", "screen"), "unknown counter type")
            check(name is None or isinstance(name, str), "bad counter name")
            check(window is None or isinstance(window, int), "bad counter window")
            for leaf, wanted in conditions:
                check(0 <= leaf < self.event_leaves.n_leaves and wanted in (0, 1),
                      "a counter has no such leaf")
            path = ("activity", f"{i:06d}")
            check(path in slots, "a counter has no slot")
            self.counter_slots[i] = slots[path]
        check(sum(path[0] == "activity" for path in slots) == len(counters),
              "an activity slot has no counter")
        self.has_windows = any(counter[3] is not None for counter in self.counters)
        return 0

    # ---- audiences ----------------------------------------------------------------------------

    cdef int _build_graph(self, dict graph) except -1:
        """Decision nodes that test two leaves each, and the order in which audiences are walked.

        A node of the tables tests one leaf. Here it also takes over the test of one of its
        children, the deeper one, which about halves the length of every walk.
        """
        cdef Arena arena = self._arena
        cdef uint32_t n = len(memoryview(graph["leaf"]).cast("B")) // 4
        cdef uint32_t i, k, node, child, width
        cdef const uint32_t *leaf = <const uint32_t *> arena.copy(graph["leaf"], n, 4, "graph.leaf")
        cdef const uint32_t *low = <const uint32_t *> arena.copy(graph["low"], n, 4, "graph.low")
        cdef const uint32_t *high = <const uint32_t *> arena.copy(graph["high"], n, 4, "graph.high")
        cdef const uint32_t *entry = <const uint32_t *> arena.copy(
            graph["entry"], self.n_audiences, 4, "graph.entry")
        cdef uint32_t *single = <uint32_t *> arena.take(n, sizeof(uint32_t))
        cdef uint32_t *depth = <uint32_t *> arena.take(n, sizeof(uint32_t))
        cdef uint32_t *pair = <uint32_t *> arena.take(6 * <size_t> n, sizeof(uint32_t))
        self.n_nodes = n
        self.node_leaf, self.node_low, self.node_high, self.entry = leaf, low, high, entry
        check(n >= 2, "the graph lacks its ends")
        for k in range(4):
            pair[6 + 2 + k] = 1
        for i in range(2, n):
            # A node may only lead to earlier ones: that proves that every walk ends.
            check(leaf[i] < self.leaves.n_leaves, "a node has no such leaf")
            check(low[i] < i and high[i] < i, "a node leads nowhere")
            single[i] = 1 + max(single[low[i]], single[high[i]])
            # Leaf, second leaf, and where to go by (first byte, second byte).
            child = high[i] if single[high[i]] >= single[low[i]] else low[i]
            pair[6 * i] = leaf[i]
            pair[6 * i + 1] = leaf[child] if child > 1 else leaf[i]
            for k in range(4):
                node = high[i] if k > 1 else low[i]
                if node == child and child > 1:
                    node = high[child] if k & 1 else low[child]
                pair[6 * i + 2 + k] = node
                depth[i] = max(depth[i], 1 + depth[node])
        for i in range(self.n_audiences):
            check(entry[i] < n, "an audience has no such node")
        order = sorted(range(self.n_audiences), key=lambda audience: depth[entry[audience]])
        self.walk_audience = <uint32_t *> arena.take(self.n_audiences, sizeof(uint32_t))
        self.walk_entry = <uint32_t *> arena.take(self.n_audiences, sizeof(uint32_t))
        # Nodes are renumbered as walks meet them: neighbours in time are neighbours in memory.
        renumbered = {0: 0, 1: 1}
        for i, audience in enumerate(order):
            self.walk_audience[i] = audience
            self.walk_entry[i] = entry[<uint32_t> audience]
            pending = [self.walk_entry[i]]
            while pending:
                node = pending.pop()
                if node not in renumbered:
                    renumbered[node] = len(renumbered)
                    pending.extend([pair[6 * node + 5 - k] for k in range(4)])
        width = 8
        self.n_walk_groups = (self.n_audiences + width - 1) // width
        self.walk_groups = <WalkGroup *> arena.take(self.n_walk_groups, sizeof(WalkGroup))
        for k in range(self.n_walk_groups):
            self.walk_groups[k].first = k * width
            self.walk_groups[k].count = min(width, self.n_audiences - k * width)
            self.walk_groups[k].depth = depth[
                self.walk_entry[k * width + self.walk_groups[k].count - 1]]
        self.n_graph = <uint32_t> len(renumbered)
        self.graph = <uint32_t *> arena.take(6 * <size_t> self.n_graph, sizeof(uint32_t))
        for old, new in renumbered.items():
            node = 6 * <uint32_t> old
            i = 6 * <uint32_t> new
            self.graph[i] = pair[node]
            self.graph[i + 1] = pair[node + 1]
            for k in range(4):
                self.graph[i + 2 + k] = 6 * <uint32_t> renumbered[pair[node + 2 + k]]
        for i in range(self.n_audiences):
            self.walk_entry[i] = 6 * <uint32_t> renumbered[self.walk_entry[i]]
        return 0

    # ---- draws --------------------------------------------------------------------------------

    cdef int _build_lanes(self, dict lanes) except -1:
        """Prefix states (murmur3), or one salt an experience (xxh64)."""
        cdef Arena arena = self._arena
        cdef uint32_t n = self.n_experiences
        cdef uint32_t i
        cdef const uint32_t *state
        cdef const uint32_t *tail
        cdef const uint32_t *length
        cdef PrefixPair *pair
        self.rows = <ExperienceRow *> arena.take(n, sizeof(ExperienceRow))
        if self.scheme == "xxh64":
            self.salts = <uint64_t *> arena.take(n + WV_LANES, sizeof(uint64_t))
            memcpy(
                self.salts, arena.copy(lanes["salt"], n, 8, "lanes.salt"), n * sizeof(uint64_t))
            return 0
        state = <const uint32_t *> arena.copy(lanes["state"], 2 * n, 4, "lanes.state")
        tail = <const uint32_t *> arena.copy(lanes["tail"], 2 * n, 4, "lanes.tail")
        length = <const uint32_t *> arena.copy(lanes["length"], 2 * n, 4, "lanes.length")
        self.prefixes = <PrefixPair *> arena.take(n, sizeof(PrefixPair))
        for i in range(n):
            pair = &self.prefixes[i]
            pair.traffic_state = state[2 * i]
            pair.traffic_tail = tail[2 * i]
            pair.distribution_state = state[2 * i + 1]
            pair.distribution_tail = tail[2 * i + 1]
            pair.length = length[2 * i]
            check(length[2 * i + 1] == pair.length + DISTRIBUTION_EXTRA, "bad prefix lengths")
            self.aligned[pair.length % 4] += 1
        self._lay_out_lanes()
        return 0

    cdef int _lay_out_lanes(self) except -1:
        """All prefixes as arrays that can be hashed as they are, for when most have to be."""
        cdef Arena arena = self._arena
        cdef LaneGroup *group
        cdef const PrefixPair *pair
        cdef uint32_t i, k
        cdef uint32_t *arrays[5]
        for i in range(4):
            for k in range(5):
                arrays[k] = <uint32_t *> arena.take(self.aligned[i] + WV_LANES, sizeof(uint32_t))
            group = &self.full[i]
            group.traffic_state = arrays[0]
            group.traffic_tail = arrays[1]
            group.distribution_state = arrays[2]
            group.distribution_tail = arrays[3]
            group.length = arrays[4]
        self.lane = <uint32_t *> arena.take(self.n_experiences, sizeof(uint32_t))
        for i in range(self.n_experiences):
            pair = &self.prefixes[i]
            self.lane[i] = add_lane(&self.full[pair.length & 3], pair)
        return 0

    cdef int _build_rows(self, dict table) except -1:
        """One row an experience: audience, thresholds, pieces, where its records start."""
        cdef Arena arena = self._arena
        cdef uint32_t n = self.n_experiences
        cdef uint32_t i, k, pieces
        cdef ExperienceRow *row
        cdef list members = [[] for _ in range(self.n_audiences)]
        cdef const int32_t *audience = <const int32_t *> arena.copy(
            table["audience"], n, 4, "experiences.audience")
        cdef const uint64_t *traffic = <const uint64_t *> arena.copy(
            table["traffic_count"], n, 8, "experiences.traffic_count")
        cdef const uint8_t *sticky = <const uint8_t *> arena.copy(
            table["sticky"], n, 1, "experiences.sticky")
        cdef const uint16_t *highest = <const uint16_t *> arena.copy(
            table["highest_index"], n, 2, "experiences.highest_index")
        cdef const uint32_t *starts = <const uint32_t *> arena.copy(
            table["first_piece"], n + 1, 4, "experiences.first_piece")
        self._audiences = []
        pieces = starts[n] if n else 0
        self.piece_limits = <uint32_t *> arena.copy(
            table["piece_limit"], pieces, 4, "experiences.piece_limit")
        self.piece_index = <uint16_t *> arena.copy(
            table["piece_index"], pieces, 2, "experiences.piece_index")
        self.n_words = (n + 63) // 64
        self.for_everyone = <uint64_t *> arena.take(self.n_words, sizeof(uint64_t))
        self.n_records = 0
        for i in range(n):
            row = &self.rows[i]
            self._audiences.append(audience[i])
            check(-1 <= audience[i] < <int64_t> self.n_audiences, "no such audience")
            check(traffic[i] <= (<uint64_t> 1 << 32), "traffic out of range")
            check(starts[i] < starts[i + 1] <= pieces, "an experience has no pieces")
            check(i == 0 or self.experience_ids[i] != self.experience_ids[i - 1], "an id twice")
            # Nobody is in at traffic 0: such an experience belongs to no audience and not to all.
            if traffic[i] and audience[i] < 0:
                self.for_everyone[i // 64] |= <uint64_t> 1 << (i % 64)
            elif traffic[i]:
                members[audience[i]].append(i)
            row.traffic_last = <uint32_t> (traffic[i] - 1) if traffic[i] else 0
            row.sticky = sticky[i] != 0
            row.highest_index = highest[i]
            row.first_record = self.n_records
            check(self.n_records + <uint64_t> row.highest_index < DEF_LIMIT, "too many records")
            self.n_records += row.highest_index + 1
            row.first_piece = starts[i]
            row.n_pieces = starts[i + 1] - starts[i]
            for k in range(3):
                row.limits[k] = 0xFFFFFFFF
            for k in range(row.n_pieces):
                check(self.piece_index[starts[i] + k] <= row.highest_index, "no such variant")
                check(k == 0 or self.piece_limits[starts[i] + k] > self.piece_limits[
                    starts[i] + k - 1], "pieces are out of order")
                if k < 3:
                    row.limits[k] = self.piece_limits[starts[i] + k]
            check(self.piece_limits[starts[i + 1] - 1] == 0xFFFFFFFF, "pieces end early")
        # One experience by itself: for everyone, for nobody, or where its audience's walk begins.
        entries = {self.walk_audience[i]: self.walk_entry[i] for i in range(self.n_audiences)}
        self.walk_start = <uint32_t *> arena.take(n, sizeof(uint32_t))
        for i in range(n):
            if traffic[i]:
                self.walk_start[i] = 6 if audience[i] < 0 else entries[audience[i]]
        self.first_member = <uint32_t *> arena.take(self.n_audiences + 1, sizeof(uint32_t))
        self.members = <uint32_t *> arena.take(n, sizeof(uint32_t))
        k = 0
        for i in range(self.n_audiences):
            self.first_member[i] = k
            for experience in members[i]:
                self.members[k] = experience
                k += 1
        self.first_member[self.n_audiences] = k
        return 0

    # ---- answers ------------------------------------------------------------------------------

    cdef int _build_records(self, dict table, list records, list changes) except -1:
        cdef Arena arena = self._arena
        cdef uint32_t i
        cdef size_t n = self.n_records
        cdef size_t start, end
        cdef list texts = table["json"]
        cdef list change_texts = table["change_json"]
        check(<size_t> len(texts) == n and <size_t> len(records) == n, "records are missing")
        self.first_change = <uint32_t *> arena.copy(
            table["first_change"], n + 1, 4, "records.first_change")
        check(self.first_change[0] == 0, "changes do not start at 0")
        check(self.first_change[n] == len(changes) == len(change_texts), "changes are missing")
        self.records = <PyObject **> arena.take(n, sizeof(PyObject *))
        self.changes = <PyObject **> arena.take(len(changes), sizeof(PyObject *))
        self.record_json = <Fragment *> arena.take(n, sizeof(Fragment))
        self.change_json = <Fragment *> arena.take(n, sizeof(Fragment))
        arena._objects.extend(records)
        arena._objects.extend(changes)
        for i in range(n):
            check(isinstance(records[i], dict) and isinstance(texts[i], bytes), "bad record")
            check(isinstance((<dict> records[i]).get("variants"), dict), "bad record")
            self.records[i] = <PyObject *> records[i]
            self.record_json[i].text = arena.text(texts[i] + b",", &self.record_json[i].length)
            start = self.first_change[i]
            end = self.first_change[i + 1]
            check(start <= end <= <size_t> len(changes), "changes are out of order")
            self.change_json[i].text = arena.text(
                b"".join([text + b"," for text in change_texts[start:end]]),
                &self.change_json[i].length)
        for i in range(self.n_experiences):
            self.rows[i].has_changes = (
                self.first_change[self.rows[i].first_record + self.rows[i].highest_index + 1]
                > self.first_change[self.rows[i].first_record])
        for i in range(len(changes)):
            check(isinstance(changes[i], dict), "bad change")
            self.changes[i] = <PyObject *> changes[i]
        return 0

    cdef int _build_ids(self) except -1:
        cdef Arena arena = self._arena
        cdef uint32_t i
        self.audience_objects = <PyObject **> arena.take(self.n_audiences, sizeof(PyObject *))
        self.audience_json = <Fragment *> arena.take(self.n_audiences, sizeof(Fragment))
        for i in range(self.n_audiences):
            # Copies made in a row lie in a row: answers touch many of them.
            copy = self.audience_ids[i].encode().decode()
            arena._objects.append(copy)
            self.audience_objects[i] = <PyObject *> copy
            self.audience_json[i].text = arena.text(
                (json.dumps(self.audience_ids[i], ensure_ascii=False) + ",").encode(),
                &self.audience_json[i].length)
        build_text_table(
            &self.audience_table, list(self.audience_ids), list(range(self.n_audiences)), arena)
        sticky = [i for i in range(self.n_experiences) if self.rows[i].sticky]
        build_text_table(
            &self.sticky_table, [self.experience_ids[i] for i in sticky], sticky, arena)
        self.highest = <uint32_t *> arena.take(self.n_experiences, sizeof(uint32_t))
        for i in range(self.n_experiences):
            self.highest[i] = self.rows[i].highest_index
        self.target.trie = self.trie
        self.target.n_slots = self.leaves.n_slots
        self.target.n_watched = 0
        self.target.sticky_table = &self.sticky_table
        self.target.highest = self.highest
        return 0

    @property
    def n_slots(self):
        """How many attribute paths the rules read."""
        return self.leaves.n_slots

    def experience_audiences(self):
        """The number of the audience that each experience asks for, -1 for none; a list."""
        return list(self._audiences)

    def highest_index(self, uint32_t experience):
        """The highest variant index that an experience has."""
        if experience >= self.n_experiences:
            raise IndexError("there is no such experience")
        return self.highest[experience]

"""Audience -> traffic -> sticky or distribution -> record, on integers only (SEMANTICS 1 and 4).

This module owns no memory: an `Outcome` belongs to whoever evaluates.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from whichvariant._core.hashing cimport (
    WV_LANES, LaneGroup, PrefixPair, add_lane, hash_group, mix_salts, xxh64_bytes,
)
from whichvariant._core.program cimport ExperienceRow, WalkGroup

cdef extern from "simd.h" nogil:
    int wv_lowest_bit(uint64_t word)
    void wv_prefetch(const void *address)


cdef inline uint32_t step(
    const uint32_t *graph, const uint8_t *leaf, uint32_t node,
) noexcept nogil:
    return graph[node + 2 + 2 * leaf[graph[node]] + leaf[graph[node + 1]]]


cdef void walk_audiences(Program program, const uint8_t *leaf, Outcome *outcome) noexcept nogil:
    """Follow every audience's graph from its entry to FALSE (0) or TRUE (6).

    Eight walks are interleaved and all take as many steps as the deepest needs: the ends lead to
    themselves, so extra steps change nothing, and no branch depends on the data.
    """
    cdef const uint32_t *graph = program.graph
    cdef const WalkGroup *group
    cdef uint8_t *audience = outcome.audience
    cdef const uint32_t *number
    cdef const uint32_t *entry
    cdef uint32_t a, b, c, d, e, f, g, h, i, k, _step
    for k in range(program.n_walk_groups):
        group = &program.walk_groups[k]
        entry = program.walk_entry + group.first
        number = program.walk_audience + group.first
        if group.count == 8 and group.depth <= 24:
            a, b, c, d = entry[0], entry[1], entry[2], entry[3]
            e, f, g, h = entry[4], entry[5], entry[6], entry[7]
            for _step in range(group.depth):
                a = step(graph, leaf, a)
                b = step(graph, leaf, b)
                c = step(graph, leaf, c)
                d = step(graph, leaf, d)
                e = step(graph, leaf, e)
                f = step(graph, leaf, f)
                g = step(graph, leaf, g)
                h = step(graph, leaf, h)
            audience[number[0]] = <uint8_t> (a != 0)
            audience[number[1]] = <uint8_t> (b != 0)
            audience[number[2]] = <uint8_t> (c != 0)
            audience[number[3]] = <uint8_t> (d != 0)
            audience[number[4]] = <uint8_t> (e != 0)
            audience[number[5]] = <uint8_t> (f != 0)
            audience[number[6]] = <uint8_t> (g != 0)
            audience[number[7]] = <uint8_t> (h != 0)
        else:
            for i in range(group.count):
                a = entry[i]
                while a > 6:
                    a = step(graph, leaf, a)
                audience[number[i]] = <uint8_t> (a != 0)


cdef void list_matching(Program program, Outcome *outcome) noexcept nogil:
    """From audience bytes to `matching`. The bytes are padded with zeros to a multiple of 8."""
    cdef uint32_t n = 0
    cdef uint32_t base
    cdef uint64_t word
    for base in range(0, program.n_audiences, 8):
        memcpy(&word, outcome.audience + base, 8)
        while word:
            # A byte is 0 or 1, so its lowest bit is the whole of it.
            outcome.matching[n] = base + <uint32_t> (wv_lowest_bit(word) >> 3)
            n += 1
            word &= word - 1
    outcome.n_matching = n


cdef void list_eligible(Program program, Outcome *outcome) noexcept nogil:
    """The experiences whose audience matches, ascending.

    Work grows with the matching audiences, not with all experiences: their members are marked in
    a bitmap, which then gives them back in order.
    """
    cdef uint64_t *eligible = outcome.eligible
    cdef uint32_t i, k, number
    memcpy(eligible, program.for_everyone, program.n_words * sizeof(uint64_t))
    for i in range(outcome.n_matching):
        number = outcome.matching[i]
        for k in range(program.first_member[number], program.first_member[number + 1]):
            eligible[program.members[k] >> 6] |= (<uint64_t> 1) << (program.members[k] & 63)
    read_bitmap(program, outcome)


cdef void list_among(
    Program program, const uint8_t *leaf, const uint32_t *among, uint32_t n, Outcome *outcome,
) noexcept nogil:
    """Of ``n`` experiences, ascending, those whose audience matches. No other one is walked.

    ``among`` may be `outcome.row` itself: what is kept never passes what is still to be read.
    """
    cdef const uint32_t *graph = program.graph
    cdef uint32_t i, row, node, kept = 0
    for i in range(n):
        row = among[i]
        node = program.walk_start[row]
        while node > 6:
            node = step(graph, leaf, node)
        outcome.row[kept] = row
        kept += node != 0
    outcome.n_rows = kept


cdef void list_everyone(Program program, Outcome *outcome) noexcept nogil:
    """All experiences, eligible or not: for whoever wants to see every draw."""
    cdef uint32_t i
    outcome.n_rows = program.n_experiences
    for i in range(program.n_experiences):
        outcome.row[i] = i


cdef inline void read_bitmap(Program program, Outcome *outcome) noexcept nogil:
    cdef uint32_t i, n = 0
    cdef uint64_t word
    for i in range(program.n_words):
        word = outcome.eligible[i]
        while word:
            outcome.row[n] = (i << 6) + <uint32_t> wv_lowest_bit(word)
            n += 1
            word &= word - 1
    outcome.n_rows = n


cdef void murmur3_draws(
    Program program, const uint8_t *low, uint32_t length, Outcome *outcome,
) noexcept nogil:
    """The draws of all listed rows, for a stable id given as one byte a UTF-16 code unit.

    Their saved states are brought together first: hashing is cheap, but not hashing is cheaper.
    Only when a third of all experiences has to be hashed is it cheaper to hash all.
    """
    cdef uint32_t alignment, k, lane
    cdef const PrefixPair *pair
    cdef LaneGroup *group
    cdef const uint32_t *rows = outcome.row
    cdef uint32_t *traffic_at = outcome.traffic_at
    cdef uint32_t *distribution_at = outcome.distribution_at
    cdef LaneGroup all_lanes
    if outcome.n_rows >= program.n_experiences // 3:
        for alignment in range(4):
            if program.full[alignment].lanes:
                all_lanes = program.full[alignment]
                all_lanes.traffic = outcome.groups[alignment].traffic
                all_lanes.distribution = outcome.groups[alignment].distribution
                hash_group(&all_lanes, low, length, outcome.words)
        for k in range(outcome.n_rows):
            group = &outcome.groups[program.prefixes[rows[k]].length & 3]
            lane = program.lane[rows[k]]
            traffic_at[k] = <uint32_t> (group.traffic - outcome.hashes) + lane
            distribution_at[k] = <uint32_t> (group.distribution - outcome.hashes) + lane
        return
    for alignment in range(4):
        outcome.groups[alignment].lanes = 0
    for k in range(outcome.n_rows):
        pair = &program.prefixes[rows[k]]
        group = &outcome.groups[pair.length & 3]
        lane = add_lane(group, pair)
        traffic_at[k] = <uint32_t> (group.traffic - outcome.hashes) + lane
        distribution_at[k] = <uint32_t> (group.distribution - outcome.hashes) + lane
    for alignment in range(4):
        if outcome.groups[alignment].lanes:
            hash_group(&outcome.groups[alignment], low, length, outcome.words)


cdef void xxh64_draws(
    Program program, const uint8_t *utf8, size_t length, Outcome *outcome,
) noexcept nogil:
    """The same under the xxh64 scheme, for a stable id in UTF-8.

    One mix gives both draws of an experience, so all are computed: listing fewer costs as much.
    """
    cdef uint32_t lanes = (program.n_experiences + WV_LANES - 1) & ~(<uint32_t> WV_LANES - 1)
    cdef uint32_t k
    if outcome.n_rows == 0:
        return
    mix_salts(
        program.salts, xxh64_bytes(utf8, length, 0), outcome.hashes, outcome.hashes + lanes,
        lanes)
    for k in range(outcome.n_rows):
        outcome.traffic_at[k] = outcome.row[k]
        outcome.distribution_at[k] = lanes + outcome.row[k]


cdef void choose_records(
    Program program, const int32_t *overrides, Outcome *outcome,
) noexcept nogil:
    """The records of everyone who is in: traffic, then sticky choice or distribution."""
    cdef const uint32_t *hashes = outcome.hashes
    cdef const ExperienceRow *row
    cdef uint32_t k, h, piece, record, n = 0
    cdef uint32_t changes = 0
    for k in range(outcome.n_rows):
        row = &program.rows[outcome.row[k]]
        h = hashes[outcome.distribution_at[k]]
        piece = ((h > row.limits[0]) + (h > row.limits[1]) + (h > row.limits[2]))
        if row.n_pieces > 4:
            while h > program.piece_limits[row.first_piece + piece]:
                piece += 1
        record = row.first_record + program.piece_index[row.first_piece + piece]
        if row.sticky and overrides[outcome.row[k]] >= 0:
            record = row.first_record + <uint32_t> overrides[outcome.row[k]]
        # The answer takes a reference to each; by then they shall be near.
        wv_prefetch(program.records[record])
        # Written always, kept only if in: no branch on the draw.
        outcome.record[n] = record
        changes |= row.has_changes
        n += hashes[outcome.traffic_at[k]] <= row.traffic_last
    outcome.n_records = n
    outcome.may_have_changes = changes

"""Draws and variants of a block of rows: for each experience, all of its visitors at a time.

The audience decides first who is asked at all. Where many of a block are, all rows are hashed, and
the answers of the others thrown away: that costs less than bringing rows together. Where few are,
their ids are brought together first, once for all experiences that ask for the audience.

Most draws are decided by one value. Traffic 1 leaves out a single hash of 2^32, the shares [0, 1]
give a single one to the baseline. murmur3 can be run backwards: from that value and a visitor's id
follows what the state behind the private block had to be (lanes.h, wv_unhash_rows), one array for
all experiences whose prefixes are equally long. Comparing with it costs a tenth of the hash, and
is exact. docs/columns.md has the derivation.

Memory: a `RowDraws` owns its plans and blocks; one thread at a time uses it.
"""
# cython: language_level=3

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from collections import Counter

from whichvariant._core.columns cimport Columns
from whichvariant._core.hashing cimport (
    DISTRIBUTION_EXTRA, WV_LANES, LaneGroup, PrefixPair, add_lane, hash_group,
)
from whichvariant._core.id_blocks cimport (
    BLOCK, BLOCK_BITS, WV_ROWS, IdBlock, free_block, load_ids, make_block, pack_ids,
)
from whichvariant._core.program cimport ExperienceRow, Program

from whichvariant._core.draws import MAX_STABLE_ID

cdef extern from "simd.h" nogil:
    int wv_lowest_bit(uint64_t word)

# One array of wanted states costs about one hash a row; with fewer experiences it does not pay.
MIN_PROBED = 3

# Costs in units of one hash of a full block's row, measured: bringing the words of one alignment
# together, and writing one answer back to its place.
cdef double PACK_COST = 8.0
cdef double SCATTER_COST = 2.0

cdef uint32_t ALL = 0xFFFFFFFF
cdef Py_ssize_t LONGEST_ID = MAX_STABLE_ID


cdef void *room_for(size_t count, size_t size) except NULL:
    cdef void *block = calloc(count + 16, size)
    if block == NULL:
        raise MemoryError
    return block


cdef inline uint32_t one_value(Program program, const ExperienceRow *row) noexcept nogil:
    """The hash that alone decides between two pieces, plus one; 0 when there is no such hash."""
    if row.n_pieces != 2:
        return 0
    if program.piece_limits[row.first_piece] == 0:
        return 1
    return 0


cdef class RowDraws:
    """What there is to hash for ``program``, and the room to do it for a block of rows."""

    def __init__(self, Program program not None):
        if self.program is not None:
            raise TypeError("draws belong to a program already")
        self.program = program
        self.is_xxh64 = program.salts != NULL
        self._limits = []
        self._plan()
        make_block(&self.block)
        make_block(&self.packed)
        self.wanted = <uint32_t *> room_for(self.n_probes * <size_t> BLOCK, 4)
        self.wanted_packed = <uint32_t *> room_for(self.n_probes * <size_t> BLOCK, 4)
        self.traffic = <uint32_t *> room_for(BLOCK, 4)
        self.distribution = <uint32_t *> room_for(BLOCK, 4)
        self.asked = <uint8_t *> room_for(BLOCK, 1)
        self.admitted = <uint8_t *> room_for(BLOCK, 1)
        self.probed = <uint8_t *> room_for(BLOCK, 1)
        self.chosen = <uint8_t *> room_for(BLOCK, 1)
        self.few = <uint32_t *> room_for(BLOCK, 4)
        self.slow_words = <uint32_t *> room_for(LONGEST_ID // 4 + 1, 4)

    def __dealloc__(self):
        free_block(&self.block)
        free_block(&self.packed)
        free(self.plans)
        free(self.cohorts)
        free(self.probes)
        free(self.wanted)
        free(self.wanted_packed)
        free(self.traffic)
        free(self.distribution)
        free(self.asked)
        free(self.admitted)
        free(self.probed)
        free(self.chosen)
        free(self.few)
        free(self.slow_words)

    # ---- plans --------------------------------------------------------------------------------

    cdef int _plan(self) except -1:
        cdef Program program = self.program
        cdef uint32_t i, k
        cdef dict members = {}
        cdef dict probes = {}
        for i in range(program.n_experiences):
            if program.for_everyone[i // 64] >> (i % 64) & 1:
                members.setdefault(-1, []).append(i)
        for i in range(program.n_audiences):
            for k in range(program.first_member[i], program.first_member[i + 1]):
                members.setdefault(i, []).append(program.members[k])
        # How many experiences could share each array of wanted states.
        popular = Counter()
        if not self.is_xxh64:
            for numbers in members.values():
                for number in numbers:
                    i = number
                    popular[program.prefixes[i].length, ALL] += (
                        program.rows[i].traffic_last == ALL - 1)
                    popular[program.prefixes[i].length + DISTRIBUTION_EXTRA, 0] += (
                        one_value(program, &program.rows[i]) != 0)
        self.n_plans = sum([len(numbers) for numbers in members.values()])
        self.plans = <Plan *> room_for(self.n_plans, sizeof(Plan))
        self.n_cohorts = len(members)
        self.cohorts = <Cohort *> room_for(self.n_cohorts, sizeof(Cohort))
        i = 0
        for k, audience in enumerate(sorted(members)):
            self.cohorts[k].audience = audience
            self.cohorts[k].first = i
            self.cohorts[k].count = len(members[audience])
            for number in members[audience]:
                self._plan_one(&self.plans[i], number, probes, dict(popular))
                i += 1
        self.n_probes = len(probes)
        self.probes = <Probe *> room_for(self.n_probes, sizeof(Probe))
        for (length, target), number in probes.items():
            self.probes[<uint32_t> number].alignment = length & 3
            self.probes[<uint32_t> number].length = length
            self.probes[<uint32_t> number].target = target
        for k in range(self.n_cohorts):
            self._plan_cohort(&self.cohorts[k])
        return 0

    cdef int _plan_one(
        self, Plan *plan, uint32_t experience, dict probes, dict popular,
    ) except -1:
        cdef Program program = self.program
        cdef const ExperienceRow *row = &program.rows[experience]
        cdef const PrefixPair *pair
        cdef const uint16_t *index = program.piece_index + row.first_piece
        cdef uint32_t k
        cdef bytearray deltas
        plan.experience = experience
        plan.traffic_last = row.traffic_last
        plan.traffic = SETTLED if row.traffic_last == ALL else HASHED
        plan.distribution = HASHED if row.n_pieces > 1 else SETTLED
        plan.index = <uint8_t> index[0]
        plan.n_limits = row.n_pieces - 1
        plan.limits = program.piece_limits + row.first_piece
        deltas = bytearray(
            [(index[k + 1] - index[k]) & 0xFF for k in range(row.n_pieces - 1)] + [0])
        self._limits.append(deltas)
        plan.deltas = deltas
        if self.is_xxh64:
            plan.salt = program.salts[experience]
            return 0
        pair = &program.prefixes[experience]
        plan.length = pair.length
        plan.traffic_state = pair.traffic_state
        plan.traffic_tail = pair.traffic_tail
        plan.distribution_state = pair.distribution_state
        plan.distribution_tail = pair.distribution_tail
        key = (pair.length, ALL)
        if row.traffic_last == ALL - 1 and popular[key] >= MIN_PROBED:
            plan.traffic = PROBED
            plan.traffic_probe = probes.setdefault(key, len(probes))
        key = (pair.length + DISTRIBUTION_EXTRA, 0)
        if one_value(program, row) and popular[key] >= MIN_PROBED:
            plan.distribution = PROBED
            plan.distribution_probe = probes.setdefault(key, len(probes))
            plan.probed_index = <uint8_t> index[0]
            plan.index = <uint8_t> index[1]
        return 0

    cdef int _plan_cohort(self, Cohort *cohort) except -1:
        """What a cohort needs of the ids, and from how many rows on a whole block costs less."""
        cdef uint32_t k, a
        cdef const Plan *plan
        cdef double hashes = 0
        cdef double packing = 0
        for k in range(cohort.first, cohort.first + cohort.count):
            plan = &self.plans[k]
            a = plan.length & 3
            cohort.whole[a] |= plan.traffic == HASHED
            cohort.first_only[a] |= plan.traffic == PROBED
            hashes += 0.15 if plan.traffic == PROBED else <double> (plan.traffic == HASHED)
            a = (plan.length + DISTRIBUTION_EXTRA) & 3
            cohort.whole[a] |= plan.distribution == HASHED
            cohort.first_only[a] |= plan.distribution == PROBED
            hashes += (
                0.15 if plan.distribution == PROBED else <double> (plan.distribution == HASHED))
        for a in range(4):
            packing += PACK_COST if cohort.whole[a] else 1.0 if cohort.first_only[a] else 0.0
            self.alignments[a] |= cohort.whole[a] | cohort.first_only[a]
        if self.is_xxh64:
            packing = 1.0
            hashes = 0.5 * cohort.count
        cohort.few = <uint32_t> (
            BLOCK * hashes / (packing + hashes + SCATTER_COST * cohort.count + 0.01))
        return 0

    # ---- draws --------------------------------------------------------------------------------

    cdef void _variants(
        self, const Plan *plan, const IdBlock *block, const uint32_t *wanted,
        const wv_row_kernels *kernels, uint8_t *out,
    ) noexcept nogil:
        """Indices of one experience for a block; ``admitted`` tells whose count."""
        cdef uint32_t a = plan.length & 3
        cdef uint32_t b = (plan.length + DISTRIBUTION_EXTRA) & 3
        cdef uint32_t groups = (block.n_rows + WV_ROWS - 1) // WV_ROWS
        if self.is_xxh64:
            if plan.traffic != SETTLED or plan.distribution != SETTLED:
                kernels.mix_rows(
                    block.visitors, plan.salt, self.traffic, self.distribution, groups)
        else:
            if plan.traffic == HASHED:
                kernels.hash_rows(
                    &block.rows[a], plan.traffic_state, plan.traffic_tail, plan.length,
                    self.traffic)
            if plan.distribution == HASHED:
                kernels.hash_rows(
                    &block.rows[b], plan.distribution_state, plan.distribution_tail,
                    plan.length + DISTRIBUTION_EXTRA, self.distribution)
        if plan.traffic == HASHED:
            kernels.admit(self.traffic, plan.traffic_last, self.asked, self.admitted, groups)
        elif plan.traffic == PROBED:
            kernels.probe(
                &block.rows[a], plan.traffic_state, plan.traffic_tail,
                wanted + plan.traffic_probe * <size_t> BLOCK, self.probed)
            kernels.exclude(self.probed, self.asked, self.admitted, groups)
        else:
            memcpy(self.admitted, self.asked, groups * WV_ROWS)
        if plan.distribution == PROBED:
            kernels.probe(
                &block.rows[b], plan.distribution_state, plan.distribution_tail,
                wanted + plan.distribution_probe * <size_t> BLOCK, self.probed)
            kernels.pick(
                self.probed, self.admitted, plan.probed_index, plan.index, out, groups)
        else:
            kernels.choose(
                self.distribution, self.admitted, plan.limits, plan.deltas,
                plan.n_limits if plan.distribution == HASHED else 0, plan.index, out, groups)

    cdef void _slow_row(
        self, const Plan *plan, uint32_t row, uint8_t *index, bint *is_in,
    ) noexcept nogil:
        """One experience for one row whose id does not fit into lanes."""
        cdef uint32_t lanes[7][WV_LANES]
        cdef LaneGroup group
        cdef PrefixPair pair
        cdef uint32_t k
        memset(lanes, 0, sizeof(lanes))
        group.traffic_state = lanes[0]
        group.traffic_tail = lanes[1]
        group.distribution_state = lanes[2]
        group.distribution_tail = lanes[3]
        group.length = lanes[4]
        group.traffic = lanes[5]
        group.distribution = lanes[6]
        group.lanes = 0
        pair = self.program.prefixes[plan.experience]
        add_lane(&group, &pair)
        hash_group(
            &group, self.block.texts[row], self.block.rows[plan.length & 3].units[row],
            self.slow_words)
        is_in[0] = group.traffic[0] <= plan.traffic_last
        if plan.distribution == PROBED:
            # Its pieces are those of a hash that is 0, and of all others.
            index[0] = plan.probed_index if group.distribution[0] == 0 else plan.index
            return
        index[0] = plan.index
        for k in range(plan.n_limits):
            if group.distribution[0] > plan.limits[k]:
                index[0] = <uint8_t> (index[0] + plan.deltas[k])

    cdef int draw(
        self, Columns columns, uint32_t start, uint32_t n, const uint64_t *audiences,
        size_t stride, const wv_row_kernels *kernels, void *variants, size_t room, bint wide,
    ) noexcept nogil:
        """Variants of the ``n`` rows from ``start`` on, at most BLOCK of them.

        ``audiences`` points to the word of audience 0 that ``start`` begins, ``stride`` words
        before that of audience 1. ``variants`` is [experience][row], ``room`` rows each, of uint16
        where ``wide``; there is room for whole groups. -1 when memory is short.
        """
        cdef uint32_t c, k, i, w, row, count
        cdef uint32_t n_words = (n + 63) // 64
        cdef uint64_t everyone[BLOCK_BITS]
        cdef const uint64_t *bits
        cdef uint64_t word
        cdef const Cohort *cohort
        cdef const Plan *plan
        cdef const IdBlock *block
        cdef const uint32_t *wanted
        cdef uint8_t *narrow = <uint8_t *> variants
        cdef uint16_t *broad = <uint16_t *> variants
        cdef uint8_t *out
        cdef size_t at
        cdef bint few
        cdef bint is_in
        cdef uint8_t index
        if load_ids(&self.block, columns, start, n, self.alignments, self.is_xxh64, kernels) < 0:
            return -1
        for k in range(self.n_probes):
            kernels.unhash_rows(
                &self.block.rows[self.probes[k].alignment], self.probes[k].target,
                self.probes[k].length, self.wanted + k * <size_t> BLOCK)
        memset(everyone, 0, sizeof(everyone))
        for w in range(n_words):
            everyone[w] = ~<uint64_t> 0
        if n % 64:
            everyone[n_words - 1] = ((<uint64_t> 1) << (n % 64)) - 1
        for c in range(self.n_cohorts):
            cohort = &self.cohorts[c]
            bits = &everyone[0]
            if cohort.audience >= 0:
                bits = audiences + cohort.audience * stride
            count = 0
            for w in range(n_words):
                word = bits[w]
                while word and count <= cohort.few:
                    self.few[count] = 64 * w + <uint32_t> wv_lowest_bit(word)
                    count += 1
                    word &= word - 1
            if count == 0:
                # Nobody is asked, and the rows say so already.
                continue
            few = count <= cohort.few
            if few:
                block = &self.packed
                wanted = self.wanted_packed
                pack_ids(
                    &self.packed, &self.block, self.few, count, cohort.whole, cohort.first_only,
                    self.is_xxh64)
                for k in range(self.n_probes):
                    for i in range(count):
                        self.wanted_packed[k * <size_t> BLOCK + i] = (
                            self.wanted[k * <size_t> BLOCK + self.few[i]])
                memset(self.asked, 255, (count + WV_ROWS - 1) // WV_ROWS * WV_ROWS)
            else:
                block = &self.block
                wanted = self.wanted
                kernels.spread(bits, n_words, self.asked)
            for k in range(cohort.first, cohort.first + cohort.count):
                plan = &self.plans[k]
                at = plan.experience * room + start
                out = self.chosen if few or wide else narrow + at
                self._variants(plan, block, wanted, kernels, out)
                if few and not wide:
                    for i in range(count):
                        narrow[at + self.few[i]] = self.chosen[i]
                elif few:
                    for i in range(count):
                        broad[at + self.few[i]] = (
                            self.chosen[i] if self.admitted[i] else 0xFFFF)
                elif wide:
                    for i in range(n):
                        broad[at + i] = self.chosen[i] if self.admitted[i] else 0xFFFF
                for i in range(self.block.n_slow):
                    row = self.block.slow[i]
                    if bits[row >> 6] >> (row & 63) & 1:
                        self._slow_row(plan, row, &index, &is_in)
                        if wide:
                            broad[at + row] = index if is_in else 0xFFFF
                        else:
                            narrow[at + row] = index if is_in else 0xFF
        return 0

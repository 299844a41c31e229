"""Counting a batch over all experiences at once: transitions, who moved, samples, overlaps.

Every pair of experiences, one of each side, has *cells*: a row for each index before and one for
none, a column for each index after and one for none. The cells of all pairs stand one behind the
other, as in the vector of a report (`whichvariant.replay.plan`).

Memory: everything belongs to the caller, but for a byte or a number a row while a call lasts.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from whichvariant._core.counting cimport wv_counters, wv_counters_at
from whichvariant._core.hashing cimport current_level

ctypedef fused Index:
    uint8_t
    uint16_t

cdef uint32_t NONE = 0xFFFFFFFF

cdef enum:
    NARROW_CELLS = 256     # the cell of a row fits into a byte
    FEW_CELLS = 24         # each is counted in a pass of its own
    RARE = 32              # so few visitors of a cell are looked for one by one


cdef struct Samples:
    uint64_t *smallest     # [cell][sample], ascending
    int64_t *rows
    int n


cdef inline void offer(Samples *samples, size_t cell, uint64_t key, int64_t row) noexcept nogil:
    """Keep a row if its key is among the smallest of its cell."""
    cdef uint64_t *smallest = samples.smallest + cell * samples.n
    cdef int64_t *rows = samples.rows + cell * samples.n
    cdef int at = samples.n - 1
    if key >= smallest[at]:
        return
    while at > 0 and smallest[at - 1] > key:
        smallest[at] = smallest[at - 1]
        rows[at] = rows[at - 1]
        at -= 1
    smallest[at] = key
    rows[at] = row


cdef void count_codes(
    const uint8_t *codes, size_t n, uint32_t n_cells, int64_t *counts,
    const wv_counters *counters,
) noexcept nogil:
    cdef uint32_t cell
    cdef size_t i
    cdef int64_t left = <int64_t> n
    if n_cells > FEW_CELLS:
        for i in range(n):
            counts[codes[i]] += 1
        return
    for cell in range(n_cells - 1):
        counts[cell] = <int64_t> counters.count_bytes(codes, n, <uint8_t> cell)
        left -= counts[cell]
    counts[n_cells - 1] = left


cdef void find_samples(
    const uint8_t *codes, size_t n, uint32_t n_cells, const int64_t *counts, size_t first_cell,
    const uint64_t *keys, const uint32_t *order, Samples *samples,
) noexcept nogil:
    """Samples of one pair. ``order`` are the rows by ascending keys.

    Rows are offered in that order until no cell takes any more. Of a cell that few rows are in it
    could take all of them to come by these: those are searched for.
    """
    cdef uint64_t bound = 0
    cdef uint64_t largest
    cdef uint32_t cell
    cdef size_t i
    cdef uint32_t row
    cdef bint rare = False
    for cell in range(n_cells):
        largest = samples.smallest[(first_cell + cell) * samples.n + samples.n - 1]
        if counts[cell] >= RARE:
            if largest > bound:
                bound = largest
        elif counts[cell] and largest:
            rare = True
    i = 0
    while i < n and keys[order[i]] < bound:
        row = order[i]
        i += 1
        cell = codes[row]
        if (counts[cell] < RARE or keys[row] >= samples.smallest[
                (first_cell + cell) * samples.n + samples.n - 1]):
            continue
        offer(samples, first_cell + cell, keys[row], row)
        bound = 0
        for cell in range(n_cells):
            largest = samples.smallest[(first_cell + cell) * samples.n + samples.n - 1]
            if counts[cell] >= RARE and largest > bound:
                bound = largest
    if rare:
        for i in range(n):
            if counts[codes[i]] < RARE:
                offer(samples, first_cell + codes[i], keys[i], <int64_t> i)


cdef void count_wide(
    const Index *before, const Index *after, size_t n, uint32_t n_before, uint32_t n_after,
    const uint64_t *keys, int64_t *counts, size_t first_cell, const uint8_t *shown_apart,
    Samples *samples, uint8_t *moved, uint8_t *changed,
) noexcept nogil:
    """One pair, row by row: indices or cells that a byte does not hold."""
    cdef size_t i
    cdef uint32_t a, b, cell
    for i in range(n):
        a = n_before if before == NULL or before[i] >= n_before else before[i]
        b = n_after if after == NULL or after[i] >= n_after else after[i]
        cell = a * (n_after + 1) + b
        counts[cell] += 1
        if (a if a < n_before else NONE) != (b if b < n_after else NONE):
            moved[i] = 1
        changed[i] |= shown_apart[cell]
        if samples.n:
            offer(samples, first_cell + cell, keys[i], <int64_t> i)


def tally_pairs(
    const Index[:, :] before, const Index[:, :] after not None,
    const int32_t[:, ::1] pairs not None, const uint64_t[::1] keys not None,
    const uint32_t[::1] order not None, int64_t[::1] counts not None,
    const uint8_t[::1] shown_apart not None, uint64_t[:, ::1] smallest not None,
    int64_t[:, ::1] rows not None, uint8_t[::1] moved not None, uint8_t[::1] changed not None,
):
    """Count the cells of all pairs, and keep the rows with the smallest keys of each cell.

    Parameters
    ----------
    before, after
        Variant indices, [experience, row]; ``before`` None for no old side. What is not below the
        number of a side's indices counts as none.
    pairs
        int32, [pair, 4]: the experience before and after, -1 for none; how many indices each has.
    keys
        The visitor's key, row by row.
    order
        The rows in ascending order of keys, equal keys in order of rows.
    counts
        A number for each cell, set.
    shown_apart
        A byte for each cell, 1 where something else is shown after than before.
    smallest, rows
        [cell, samples]: the smallest keys, ascending, and the rows they belong to. A row that is
        not of this batch stays what it is, whatever number stands for it.
    moved, changed
        A byte for each row, set to 1 where a pair's indices differ, or what they show does.
    """
    cdef size_t n = <size_t> after.shape[1]
    cdef size_t n_cells, first_cell, n_all
    cdef Py_ssize_t p, cell
    cdef int64_t n_before, n_after
    cdef const Index *old
    cdef const Index *new
    cdef const wv_counters *counters = wv_counters_at(current_level())
    cdef Samples samples
    cdef uint8_t *codes
    cdef bint apart
    cdef size_t i
    n_all = <size_t> counts.shape[0]
    if pairs.shape[1] != 4:
        raise ValueError("a pair has four numbers")
    if (<size_t> keys.shape[0] != n or <size_t> order.shape[0] != n
            or <size_t> moved.shape[0] != n or <size_t> changed.shape[0] != n
            or (before is not None and <size_t> before.shape[1] != n)):
        raise ValueError("not every row has both indices, a key, a place and marks")
    for i in range(n):
        if order[i] >= n:
            raise ValueError("there is no such row to order")
    first_cell = 0
    for p in range(pairs.shape[0]):
        if (pairs[p, 0] >= (0 if before is None else before.shape[0])
                or pairs[p, 1] >= after.shape[0] or pairs[p, 2] < 0 or pairs[p, 3] < 0
                or pairs[p, 2] > 0xFFFF or pairs[p, 3] > 0xFFFF):
            raise ValueError("there is no such pair")
        first_cell += (<size_t> pairs[p, 2] + 1) * (<size_t> pairs[p, 3] + 1)
    if (first_cell != n_all or <size_t> shown_apart.shape[0] != n_all
            or <size_t> smallest.shape[0] != n_all or <size_t> rows.shape[0] != n_all
            or smallest.shape[1] != rows.shape[1]):
        raise ValueError("counts and samples are not those of the pairs")
    if n and ((after.shape[0] and after.strides[1] != sizeof(Index))
              or (before is not None and before.shape[0] and before.strides[1] != sizeof(Index))):
        raise ValueError("the rows of an experience do not stand side by side")
    counts[:] = 0
    if n == 0 or n_all == 0:
        return
    samples.n = <int> smallest.shape[1]
    samples.smallest = &smallest[0, 0] if samples.n else NULL
    samples.rows = &rows[0, 0] if samples.n else NULL
    codes = <uint8_t *> malloc(n)
    if codes == NULL:
        raise MemoryError
    with nogil:
        first_cell = 0
        for p in range(pairs.shape[0]):
            old = NULL
            new = NULL
            if pairs[p, 0] >= 0:
                old = &before[pairs[p, 0], 0]
            if pairs[p, 1] >= 0:
                new = &after[pairs[p, 1], 0]
            n_before = pairs[p, 2]
            n_after = pairs[p, 3]
            n_cells = <size_t> ((n_before + 1) * (n_after + 1))
            if (Index is uint8_t and n_cells <= NARROW_CELLS and (old != NULL or new != NULL)
                    and n_before < 256 and n_after < 256):
                counters.pair_codes(
                    <const uint8_t *> old, <const uint8_t *> new, n, <uint8_t> n_before,
                    <uint8_t> n_after, codes, &moved[0])
                count_codes(
                    codes, n, <uint32_t> n_cells, &counts[first_cell], counters)
                apart = False
                for cell in range(<Py_ssize_t> n_cells):
                    apart = apart or (
                        shown_apart[first_cell + cell] and counts[first_cell + cell])
                if apart:
                    counters.mark(codes, n, &shown_apart[first_cell], &changed[0])
                if samples.n:
                    find_samples(
                        codes, n, <uint32_t> n_cells, &counts[first_cell], first_cell, &keys[0],
                        &order[0], &samples)
            else:
                count_wide(
                    old, new, n, <uint32_t> n_before, <uint32_t> n_after, &keys[0],
                    &counts[first_cell], first_cell, &shown_apart[first_cell], &samples,
                    &moved[0], &changed[0])
            first_cell += n_cells
    free(codes)


def count_common(const uint64_t[:, ::1] bits not None, int64_t[:, :] counts not None):
    """Add how many bits each two rows of ``bits`` have in common: the upper triangle of ``counts``,
    the diagonal included.
    """
    cdef Py_ssize_t n = bits.shape[0]
    cdef size_t n_words = <size_t> bits.shape[1]
    cdef Py_ssize_t one, other
    cdef const wv_counters *counters = wv_counters_at(current_level())
    if counts.shape[0] != n or counts.shape[1] != n:
        raise ValueError("there is not a count for each two rows")
    if n_words == 0:
        return
    with nogil:
        for one in range(n):
            for other in range(one, n):
                counts[one, other] += <int64_t> counters.common_bits(
                    &bits[one, 0], &bits[other, 0], n_words)

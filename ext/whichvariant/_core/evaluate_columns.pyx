"""Many profiles through a program: the driver over columns.

For blocks of rows: codes and numbers become masks of true leaves, 64 rows of masks are turned over
into bitmaps of 64 rows a word, the decision graph is evaluated on bitmaps, node by node, and then
each experience is drawn for everyone its audience holds. Comparisons, thresholds, graph, pieces and
hash are the program's own, as in the driver for one profile (evaluate_one.pyx).

Memory: a `ColumnEvaluator` owns masks and room for a block; one thread at a time uses it. Answers
are NumPy arrays, made for each batch unless the caller brings some.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from whichvariant._core.columns cimport Column, Columns, StickyChoice
from whichvariant._core.hashing cimport current_level
from whichvariant._core.id_blocks cimport BLOCK, wv_row_kernels, wv_row_kernels_at
from whichvariant._core.leaf_masks cimport LeafMasks, SlotMasks, interval_of
from whichvariant._core.predicates cimport NUMBER
from whichvariant._core.program cimport Program
from whichvariant._core.row_draws cimport RowDraws

cdef extern from "lanes.h" nogil:
    enum:
        WV_BLOCK_WORDS
        WV_BLOCK_ROWS

    void wv_gather_codes(
        const uint64_t *masks, size_t width, const uint32_t *codes, size_t n, uint64_t *rows)
    void wv_gather_numbers(
        const uint64_t *masks, size_t width, const uint32_t *codes, uint32_t number,
        const uint64_t *number_masks, const uint32_t *interval, size_t n, uint64_t *rows)


cdef inline const uint64_t *mask_of(
    const SlotMasks *slot, const uint32_t *codes, const double *numbers, uint32_t row,
) noexcept nogil:
    """The leaves of one slot that are true in one row."""
    cdef uint32_t code = NUMBER if codes == NULL else codes[row]
    if code != NUMBER:
        return slot.masks + <size_t> code * slot.n_words
    if slot.by_text:
        return slot.odd_masks + <size_t> slot.odd_rows[row] * slot.n_words
    return slot.number_masks + slot.n_words * <size_t> interval_of(slot, numbers[row])


cdef class ColumnEvaluator:
    """Evaluates the batches of ``columns`` for the program ``number`` of its layout."""

    cdef readonly Columns columns
    cdef readonly Program program
    cdef LeafMasks _masks
    cdef RowDraws _draws
    cdef uint32_t _number
    cdef bint _wide
    cdef uint64_t *_rows          # masks of a block, word by word: [word][row]
    cdef uint64_t *_leaves        # bitmaps of a block: [leaf][word]
    cdef uint64_t *_nodes
    cdef uint32_t *_intervals     # of the numbers of one slot
    cdef int32_t *_sticky         # experience of each of the layout's sticky ids, or -1
    cdef uint32_t _n_sticky

    def __init__(self, Columns columns not None, uint32_t number):
        cdef uint32_t i
        cdef size_t n_words
        if self.columns is not None:
            raise TypeError("an evaluator has its columns already")
        if number >= <uint32_t> len(columns.layout.programs):
            raise IndexError("the layout has no such program")
        self.program = columns.layout.programs[number]
        self._number = number
        self._masks = LeafMasks(columns.layout, number)
        self._draws = RowDraws(self.program)
        self._wide = False
        for i in range(self.program.n_experiences):
            self._wide = self._wide or self.program.rows[i].highest_index >= 255
        n_words = self._masks.n_words
        self._rows = <uint64_t *> calloc((n_words + 1) * WV_BLOCK_ROWS, sizeof(uint64_t))
        self._leaves = <uint64_t *> calloc((n_words + 1) * WV_BLOCK_ROWS, sizeof(uint64_t))
        self._nodes = <uint64_t *> calloc(
            (<size_t> self.program.n_nodes + 2) * WV_BLOCK_WORDS, sizeof(uint64_t))
        self._intervals = <uint32_t *> calloc(WV_BLOCK_ROWS, sizeof(uint32_t))
        sticky = columns.layout.sticky_of[number]
        self._n_sticky = len(sticky)
        self._sticky = <int32_t *> calloc(self._n_sticky + 1, sizeof(int32_t))
        if (self._rows == NULL or self._leaves == NULL or self._nodes == NULL
                or self._intervals == NULL or self._sticky == NULL):
            raise MemoryError
        for i in range(self._n_sticky):
            self._sticky[i] = sticky[i]
        # Node 1 is TRUE.
        memset(self._nodes + WV_BLOCK_WORDS, 255, WV_BLOCK_WORDS * sizeof(uint64_t))
        self.columns = columns

    def __dealloc__(self):
        free(self._rows)
        free(self._leaves)
        free(self._nodes)
        free(self._intervals)
        free(self._sticky)

    @property
    def absent(self):
        """What stands for "no record" among variants: 255, or 65,535 where 255 is an index."""
        return 0xFFFF if self._wide else 0xFF

    def evaluate(self, variants=None, audiences=None, Py_ssize_t first_row=0):
        """Decide for every row of the columns' batch.

        Parameters
        ----------
        variants, audiences
            Arrays for many batches to write into, of the types below, C-contiguous and in one
            piece; by default arrays of their own. A batch writes whole blocks of 1,024 rows.
        first_row
            Where the batch begins in them, at the start of a block.

        Returns
        -------
        variants : ndarray of uint8 or uint16, [experience, row]
            The variant index, `absent` for who gets no record. Rows are padded in memory.
        audiences : ndarray of uint64, [audience, ceil(rows / 64)]
            Bit ``row % 64`` of word ``row // 64``; what is behind the last row is 0.
        sticky : ndarray of uint32, [choice, 4]
            Stored choices that hold, in order of rows: row, experience, index, and the index that
            the draw would have given.
        """
        cdef uint32_t n = self.columns.n_rows
        cdef size_t room = (<size_t> n + BLOCK - 1) // BLOCK * BLOCK
        cdef size_t n_words = room // 64
        cdef size_t stride, word_stride, e, width
        cdef uint32_t n_audiences = self.program.n_audiences
        cdef uint32_t n_experiences = self.program.n_experiences
        cdef uint64_t[:, ::1] bits
        cdef uint8_t[:, ::1] narrow
        cdef uint16_t[:, ::1] broad
        cdef uint32_t[:, ::1] held
        cdef uint8_t *out = NULL
        cdef uint64_t *out_bits = NULL
        cdef uint32_t n_held = 0
        cdef int failed = 0
        if variants is None:
            variants = np.empty((n_experiences, room), np.uint16 if self._wide else np.uint8)
        if audiences is None:
            audiences = np.zeros((n_audiences, n_words), np.uint64)
        if (first_row < 0 or first_row % BLOCK
                or variants.shape[0] != n_experiences or audiences.shape[0] != n_audiences
                or <Py_ssize_t> variants.shape[1] < first_row + <Py_ssize_t> room
                or <Py_ssize_t> audiences.shape[1] < (first_row + n + 63) // 64):
            raise ValueError("there is no room for this batch")
        held_array = np.empty((self.columns.n_sticky, 4), np.uint32)
        self._masks.learn(self.columns)
        held = held_array
        stride = <size_t> variants.shape[1]
        word_stride = <size_t> audiences.shape[1]
        width = 2 if self._wide else 1
        if n and n_audiences:
            bits = audiences
            out_bits = &bits[0, first_row // 64]
        if n and n_experiences:
            if self._wide:
                broad = variants
                out = <uint8_t *> &broad[0, first_row]
            else:
                narrow = variants
                out = &narrow[0, first_row]
        if n:
            with nogil:
                for e in range(n_experiences):
                    memset(out + e * stride * width, 255, room * width)
                failed = self._run(n, out_bits, word_stride, out, stride)
                if not failed and self.columns.n_sticky:
                    n_held = self._hold(&held[0, 0], out, stride)
        if failed:
            raise MemoryError
        return (
            variants[:, first_row:first_row + n],
            audiences[:, first_row // 64:(first_row + n + 63) // 64], held_array[:n_held])

    cdef int _run(
        self, uint32_t n, uint64_t *audiences, size_t n_words, void *variants, size_t room,
    ) noexcept nogil:
        cdef const wv_row_kernels *kernels = wv_row_kernels_at(current_level())
        cdef uint32_t start = 0
        cdef uint32_t part, count
        while start < n:
            count = n - start if n - start < BLOCK else BLOCK
            part = start
            while part < start + count:
                self._match(
                    part, n - part if n - part < WV_BLOCK_ROWS else WV_BLOCK_ROWS,
                    audiences, n_words, kernels)
                part += WV_BLOCK_ROWS
            if self._draws.draw(
                    self.columns, start, count, audiences + start // 64, n_words, kernels,
                    variants, room, self._wide) < 0:
                return -1
            start += count
        return 0

    cdef void _match(
        self, uint32_t start, uint32_t n, uint64_t *audiences, size_t stride,
        const wv_row_kernels *kernels,
    ) noexcept nogil:
        """Audience bitmaps of ``n`` rows from ``start`` on."""
        cdef uint32_t s, w, a, g
        cdef uint32_t n_leaf_words = self._masks.n_words
        cdef uint32_t n_words = (n + 63) // 64
        cdef const uint64_t *value
        cdef uint64_t *out
        cdef uint64_t last = ~<uint64_t> 0
        memset(self._rows, 0, <size_t> n_leaf_words * WV_BLOCK_ROWS * sizeof(uint64_t))
        for s in range(self._masks.n_slots):
            self._gather(&self._masks.slots[s], start, n)
        for w in range(n_leaf_words):
            kernels.turn(
                self._rows + <size_t> w * WV_BLOCK_ROWS,
                self._leaves + <size_t> w * WV_BLOCK_ROWS)
        kernels.decide(
            self._leaves, self.program.node_leaf, self.program.node_low, self.program.node_high,
            self.program.n_nodes, self._nodes)
        if n % 64:
            last = ((<uint64_t> 1) << (n % 64)) - 1
        for a in range(self.program.n_audiences):
            value = self._nodes + <size_t> self.program.entry[a] * WV_BLOCK_WORDS
            out = audiences + a * stride + start // 64
            for g in range(n_words):
                out[g] = value[g]
            out[n_words - 1] &= last

    cdef void _gather(self, const SlotMasks *slot, uint32_t start, uint32_t n) noexcept nogil:
        """Add one slot's masks to the rows of a block."""
        cdef const Column *column
        cdef const uint32_t *codes = NULL
        cdef const double *numbers
        cdef const uint64_t *mask
        cdef uint64_t *out = self._rows + <size_t> slot.first_word * WV_BLOCK_ROWS
        cdef uint32_t i, w
        cdef uint8_t has_numbers = 1
        if slot.n_words == 0:
            return
        if slot.column < 0:
            numbers = self.columns.counts[self._number][slot.counter]
        else:
            column = &self.columns.columns[slot.column]
            codes = column.codes + start
            numbers = column.numbers
            has_numbers = column.has_numbers
        if not has_numbers:
            for w in range(slot.n_words):
                wv_gather_codes(
                    slot.masks + w, slot.n_words, codes, n, out + w * <size_t> WV_BLOCK_ROWS)
        elif codes != NULL and not slot.by_text:
            numbers += start
            for i in range(n):
                self._intervals[i] = interval_of(slot, numbers[i])
            for w in range(slot.n_words):
                wv_gather_numbers(
                    slot.masks + w, slot.n_words, codes, NUMBER, slot.number_masks + w,
                    self._intervals, n, out + w * <size_t> WV_BLOCK_ROWS)
        else:
            # Rows of odd numbers are counted from the start of the batch.
            if codes != NULL:
                codes = column.codes
            for i in range(n):
                mask = mask_of(slot, codes, numbers, start + i)
                for w in range(slot.n_words):
                    out[w * <size_t> WV_BLOCK_ROWS + i] |= mask[w]

    cdef uint32_t _hold(self, uint32_t *held, void *variants, size_t room) noexcept nogil:
        """Let stored choices of sticky experiences stand; how many do, listed in ``held``."""
        cdef uint8_t *narrow = <uint8_t *> variants
        cdef uint16_t *broad = <uint16_t *> variants
        cdef uint32_t i, drawn
        cdef uint32_t n = 0
        cdef int32_t experience
        cdef size_t at
        cdef const StickyChoice *choice
        for i in range(self.columns.n_sticky):
            choice = &self.columns.sticky[i]
            experience = self._sticky[choice.experience]
            if experience < 0 or choice.index < 0:
                continue
            if choice.index > <int64_t> self.program.highest[experience]:
                continue
            at = experience * room + choice.row
            drawn = broad[at] if self._wide else narrow[at]
            if drawn == (0xFFFF if self._wide else 0xFF):
                continue
            if self._wide:
                broad[at] = <uint16_t> choice.index
            else:
                narrow[at] = <uint8_t> choice.index
            held[4 * n] = choice.row
            held[4 * n + 1] = <uint32_t> experience
            held[4 * n + 2] = <uint32_t> choice.index
            held[4 * n + 3] = drawn
            n += 1
        return n

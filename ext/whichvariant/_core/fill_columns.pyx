"""Filling the columns of a batch a column at a time, from buffers laid out as Apache Arrow does.

Validity is a bitmap, lowest bit first, or None where every row is valid; ``offset`` is the number
of the first row in every buffer. A row that is not valid is missing. Nothing here knows Arrow's
libraries: what a buffer holds is the caller's to say.

Memory: buffers belong to the caller and are copied.
"""
# cython: language_level=3

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from whichvariant._core.columns cimport FIRST_TEXT, Column, Columns, StickyChoice, id_units
from whichvariant._core.json_grammar cimport Scanner, skip_space, skip_value
from whichvariant._core.predicates cimport FALSE, MISSING, NUMBER, OBJECT, TRUE
from whichvariant._core.shredder cimport FAILED, TAKEN, Envelope, Fate, Shredder, read_part
from whichvariant._core.text_pool cimport (
    NO_ROOM, TextPool, find_text, free_pool, number_of_text,
)

import numpy as np

cdef extern from "text.h" nogil:
    size_t wv_utf8_error(const char *text, size_t n)


# No experience has an index of this size.
cdef int64_t NO_INDEX = 1 << 30


cdef struct Bits:
    const uint8_t *bits      # NULL: all are set
    size_t offset


cdef inline bint is_set(const Bits *bits, size_t i) noexcept nogil:
    i += bits.offset
    return bits.bits == NULL or bits.bits[i >> 3] >> (i & 7) & 1


cdef inline uint32_t bit_at(const Bits *bits, size_t i) noexcept nogil:
    """The same as 0 or 1, for loops whose branches nobody could foresee."""
    i += bits.offset
    return 1 if bits.bits == NULL else bits.bits[i >> 3] >> (i & 7) & 1


cdef const uint8_t *bytes_of(object buffer, size_t needed) except? NULL:
    """The bytes of a buffer, of which at least so many are there; NULL for none at all."""
    cdef const uint8_t[::1] view
    if buffer is None:
        if needed:
            raise ValueError("a buffer is missing")
        return NULL
    view = memoryview(buffer).cast("B")
    if <size_t> view.shape[0] < needed:
        raise ValueError("a buffer is too short")
    return &view[0] if view.shape[0] else NULL


cdef Bits bits_of(object validity, size_t offset, size_t n) except *:
    cdef Bits bits
    bits.offset = offset
    bits.bits = NULL if validity is None else bytes_of(validity, (offset + n + 7) // 8)
    return bits


# Where the text of a row begins and ends: 32-bit or 64-bit offsets.
cdef struct Texts:
    const int32_t *narrow
    const int64_t *wide
    const char *data
    bint sound               # all bytes together are UTF-8
    int64_t stop             # where they end


cdef Texts texts_of(object offsets, object data, size_t offset, size_t n, bint wide) except *:
    """Offsets and bytes, checked: offsets ascend, and end within the bytes."""
    cdef Texts texts
    cdef size_t width = 8 if wide else 4
    cdef const uint8_t *start = bytes_of(offsets, (offset + n + 1) * width)
    cdef size_t i
    cdef int64_t low, high
    cdef int64_t size = 0 if data is None else memoryview(data).nbytes
    texts.narrow = NULL if wide else <const int32_t *> start + offset
    texts.wide = <const int64_t *> start + offset if wide else NULL
    texts.data = NULL if data is None else <const char *> bytes_of(data, 0)
    cdef bint ordered = True
    with nogil:
        low = text_at(&texts, 0)
        if low < 0 or low > size:
            ordered = False
        else:
            for i in range(n):
                high = text_at(&texts, i + 1)
                if high < low or high > size:
                    ordered = False
                    break
                low = high
        texts.stop = low
        texts.sound = True
        if ordered and low > text_at(&texts, 0):
            i = <size_t> (low - text_at(&texts, 0))
            texts.sound = wv_utf8_error(texts.data + text_at(&texts, 0), i) == i
    if not ordered:
        raise ValueError("offsets of texts are out of order")
    return texts


cdef inline bint is_utf8(const Texts *texts, int64_t start, size_t length) noexcept nogil:
    # Where the whole is UTF-8, a part of it is that does not begin or end within a character.
    if texts.sound:
        return length == 0 or (
            (<uint8_t> texts.data[start] & 0xC0) != 0x80
            and (start + <int64_t> length == texts.stop
                 or (<uint8_t> texts.data[start + <int64_t> length] & 0xC0) != 0x80))
    return wv_utf8_error(texts.data + start, length) == length


cdef inline int64_t text_at(const Texts *texts, size_t i) noexcept nogil:
    return texts.wide[i] if texts.wide != NULL else texts.narrow[i]


cdef class ColumnFiller:
    """Fills ``columns``, which `Columns.blank` has made ready, and nothing else does meanwhile."""

    cdef readonly Columns columns
    cdef Shredder _shredder

    def __init__(self, Columns columns not None):
        self.columns = columns
        self._shredder = Shredder(columns, None)

    cdef Column *_column(self, uint32_t column) except NULL:
        if column >= self.columns.layout.n_columns:
            raise IndexError("there is no such column")
        return &self.columns.columns[column]

    def texts(self, uint32_t column, offsets, data, validity, size_t offset, bint wide):
        """Texts in UTF-8; ``wide`` for offsets of 64 bits. The first row that is not UTF-8, or -1.
        """
        cdef Column *target = self._column(column)
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef Texts texts = texts_of(offsets, data, offset, n, wide)
        cdef uint32_t i
        cdef uint32_t code
        cdef int64_t start, stop
        with nogil:
            for i in range(n):
                if not is_set(&valid, i):
                    target.codes[i] = MISSING
                    continue
                start = text_at(&texts, i)
                stop = text_at(&texts, i + 1)
                if not is_utf8(&texts, start, <size_t> (stop - start)):
                    with gil:
                        return i
                code = number_of_text(
                    &target.pool, texts.data + start, <size_t> (stop - start))
                if code == NO_ROOM:
                    with gil:
                        raise MemoryError
                target.codes[i] = FIRST_TEXT + code
        return -1

    def dictionary(self, uint32_t column, offsets, data, validity, size_t offset, bint wide,
                   size_t n_texts):
        """Number the texts of a dictionary; their codes, an ndarray of uint32 with one more at the
        end for what is missing. ``validity`` and ``offset`` are the dictionary's. ValueError when
        a text is not UTF-8.
        """
        cdef Column *target = self._column(column)
        cdef Bits valid = bits_of(validity, offset, n_texts)
        cdef Texts texts = texts_of(offsets, data, offset, n_texts, wide)
        cdef uint32_t[::1] codes
        cdef size_t i, length
        cdef int64_t start
        cdef uint32_t code
        found = np.zeros(n_texts + 1, np.uint32)
        codes = found
        for i in range(n_texts):
            if not is_set(&valid, i):
                continue
            start = text_at(&texts, i)
            length = <size_t> (text_at(&texts, i + 1) - start)
            if not is_utf8(&texts, start, length):
                raise ValueError("a text is not UTF-8")
            code = number_of_text(&target.pool, texts.data + start, length)
            if code == NO_ROOM:
                raise MemoryError
            codes[i] = FIRST_TEXT + code
        return found

    def codes(self, uint32_t column, const uint32_t[::1] codes not None, indices, validity,
              size_t offset):
        """Rows of a dictionary: ``indices`` (int32) into ``codes``, which `dictionary` gave."""
        cdef Column *target = self._column(column)
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef const int32_t *index = <const int32_t *> bytes_of(indices, 4 * (offset + n)) + offset
        cdef uint32_t i, at, is_there, is_inside
        cdef uint32_t last
        cdef uint32_t wrong = 0
        cdef const uint32_t *table
        if not 0 < codes.shape[0] <= 0x7FFFFFFF or codes[codes.shape[0] - 1] != MISSING:
            raise ValueError("these are no codes of a dictionary")
        last = <uint32_t> (codes.shape[0] - 1)
        table = &codes[0]
        with nogil:
            for i in range(n):
                at = <uint32_t> index[i]
                is_there = bit_at(&valid, i)
                is_inside = at < last
                wrong |= is_there & (is_inside ^ 1)
                target.codes[i] = table[at if is_there & is_inside else last]
        if wrong:
            raise ValueError("an index is outside of the dictionary")

    def numbers(self, uint32_t column, values, validity, size_t offset):
        """Numbers as float64. The first row that is not finite, or -1."""
        cdef Column *target = self._column(column)
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef const double *value = <const double *> bytes_of(values, 8 * (offset + n)) + offset
        cdef uint32_t i, is_there
        cdef uint32_t odd = 0
        with nogil:
            if n:
                memcpy(target.numbers, value, n * sizeof(double))
            for i in range(n):
                is_there = bit_at(&valid, i)
                target.codes[i] = MISSING + (NUMBER - MISSING) * is_there
                odd |= is_there & (isfinite(value[i]) == 0)
        target.has_numbers = 1
        for i in range(n if odd else 0):
            if is_set(&valid, i) and not isfinite(value[i]):
                return <int64_t> i
        return -1

    def booleans(self, uint32_t column, values, validity, size_t offset):
        """Booleans as bits."""
        cdef Column *target = self._column(column)
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef Bits value = bits_of(values, offset, n)
        cdef uint32_t i, code
        with nogil:
            for i in range(n):
                code = FALSE + (TRUE - FALSE) * bit_at(&value, i)
                target.codes[i] = MISSING + (code - MISSING) * bit_at(&valid, i)

    def objects(self, uint32_t column, validity, size_t offset):
        """Objects, of which rules see no more than that they are."""
        cdef Column *target = self._column(column)
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef uint32_t i
        with nogil:
            for i in range(n):
                target.codes[i] = OBJECT if is_set(&valid, i) else MISSING

    def stable_ids(self, offsets, data, validity, size_t offset, bint wide):
        """Stable ids. ``(row, reason)`` of the first that is none, or None."""
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef Texts texts = texts_of(offsets, data, offset, n, wide)
        cdef uint32_t i
        cdef int64_t start
        cdef size_t length
        cdef bint ascii
        cdef const char *why = NULL
        cdef bint failed = False
        cdef bint all_ascii = self.columns.all_ascii
        with nogil:
            for i in range(n):
                if not is_set(&valid, i):
                    why = "missing"
                    break
                start = text_at(&texts, i)
                length = <size_t> (text_at(&texts, i + 1) - start)
                if not is_utf8(&texts, start, length):
                    why = "not UTF-8"
                    break
                if id_units(texts.data + start, length, &ascii) < 0:
                    why = "longer than 65536 UTF-16 code units"
                    break
                all_ascii = all_ascii and ascii
                if self.columns.put_id(i, texts.data + start, length) < 0:
                    failed = True
                    break
        self.columns.all_ascii = all_ascii
        if failed:
            raise MemoryError
        return None if why == NULL else (i, why.decode("ascii"))

    def merge(self, uint32_t row, bytes before not None, bytes value not None,
              bytes after not None):
        """What a profile's JSON holds into ``row``, over what is there; False when it is refused.

        The profile is ``before + value + after``, and ``value`` alone has to be one JSON value. The
        stable id is left alone. Sticky choices have to come in order of rows.
        """
        cdef Shredder shredder = self._shredder
        cdef bytes profile = before + value + after
        cdef size_t n = <size_t> len(profile)
        cdef Scanner scanner
        cdef Envelope envelope
        cdef Fate fate
        if row >= self.columns.n_rows:
            raise IndexError("there is no such row")
        if shredder.reserve_spare(n + 16) < 0:
            raise MemoryError
        read_part(&scanner, value, <size_t> len(value), shredder.spare)
        if skip_value(&scanner) < 0:
            return False
        skip_space(&scanner)
        if scanner.at != scanner.end:
            return False
        fate = shredder.scan_json(profile, n, &envelope)
        if fate == TAKEN:
            fate = shredder.put_cells(row)
        if fate == FAILED:
            failure = shredder.failure
            shredder.failure = None
            raise MemoryError if failure is None else failure
        return fate == TAKEN

    def sticky(self, const uint32_t[::1] rows not None, const uint32_t[::1] experiences not None,
               const int32_t[::1] indices not None):
        """Sticky choices: rows in ascending order, numbers of the layout's sticky ids, indices."""
        cdef Py_ssize_t i
        cdef uint32_t n_ids = <uint32_t> len(self.columns.layout.sticky_ids)
        cdef uint32_t before = 0
        if experiences.shape[0] != rows.shape[0] or indices.shape[0] != rows.shape[0]:
            raise ValueError("choices are out of order")
        for i in range(rows.shape[0]):
            if rows[i] < before or rows[i] >= self.columns.n_rows or experiences[i] >= n_ids:
                raise ValueError("choices are out of order")
            before = rows[i]
            if self.columns.put_sticky(rows[i], experiences[i], indices[i]) < 0:
                raise MemoryError

    def map_choices(
        self, offsets, validity, size_t offset, key_offsets, key_data, size_t key_offset,
        bint wide_keys, values, size_t value_offset, bint wide_values, size_t n_entries,
    ):
        """Sticky choices of maps from texts to integers, row by row.

        ``offsets`` (int32) say where the entries of each row begin among the ``n_entries`` keys and
        values, which are int32, or int64 where ``wide_values``; none of them is missing. Of a
        repeated key the last counts. False, and nothing done, where the ids of the layout do not
        fit into one table.
        """
        cdef uint32_t n = self.columns.n_rows
        cdef Bits valid = bits_of(validity, offset, n)
        cdef const int32_t *starts = (
            <const int32_t *> bytes_of(offsets, 4 * (offset + n + 1)) + offset)
        cdef const uint8_t *numbers = bytes_of(
            values, (value_offset + n_entries) * (8 if wide_values else 4))
        cdef Texts keys
        cdef TextPool known
        cdef uint32_t i, n_known, number
        cdef size_t k, first
        cdef int64_t start, value
        cdef bint failed = False
        memset(&known, 0, sizeof(known))
        for i in range(n):
            if starts[i] < 0 or starts[i + 1] < starts[i] or <size_t> starts[i + 1] > n_entries:
                raise ValueError("offsets of choices are out of order")
        # Of keys and values there may be many more than these rows have.
        first = <size_t> starts[0]
        keys = texts_of(
            key_offsets, key_data, key_offset + first, <size_t> starts[n] - first, wide_keys)
        try:
            for identifier in self.columns.layout.sticky_ids:
                encoded = (<str> identifier).encode("utf-8")
                number = number_of_text(
                    &known, <const char *> encoded, <size_t> len(encoded))
                if number == NO_ROOM:
                    raise MemoryError
            n_known = known.n
            for i, identifier in enumerate(self.columns.layout.sticky_ids):
                encoded = (<str> identifier).encode("utf-8")
                if find_text(&known, <const char *> encoded, <size_t> len(encoded)) != i:
                    # A search gives up where very many texts crowd one place.
                    return False
            with nogil:
                for i in range(n if n_known else 0):
                    if not is_set(&valid, i):
                        continue
                    for k in range(<size_t> starts[i], <size_t> starts[i + 1]):
                        start = text_at(&keys, k - first)
                        number = find_text(
                            &known, keys.data + start,
                            <size_t> (text_at(&keys, k - first + 1) - start))
                        if number == NO_ROOM:
                            continue
                        if wide_values:
                            value = (<const int64_t *> numbers)[value_offset + k]
                        else:
                            value = (<const int32_t *> numbers)[value_offset + k]
                        if value < 0 or value >= NO_INDEX:
                            value = -1
                        if self._put_choice(i, number, <int32_t> value) < 0:
                            failed = True
                            break
            if failed:
                raise MemoryError
        finally:
            free_pool(&known)
        return True

    cdef int _put_choice(self, uint32_t row, uint32_t experience, int32_t index) noexcept nogil:
        """Put a choice among those of its row, in the order of experiences, over an earlier one."""
        cdef uint32_t at = self.columns.n_sticky
        cdef StickyChoice *sticky = self.columns.sticky
        while at and sticky[at - 1].row == row and sticky[at - 1].experience > experience:
            at -= 1
        if at and sticky[at - 1].row == row and sticky[at - 1].experience == experience:
            sticky[at - 1].index = index
            return 0
        if self.columns.put_sticky(row, experience, index) < 0:
            return -1
        sticky = self.columns.sticky
        memmove(
            sticky + at + 1, sticky + at,
            (self.columns.n_sticky - 1 - at) * sizeof(StickyChoice))
        sticky[at].row = row
        sticky[at].experience = experience
        sticky[at].index = index
        return 0

    def counts(self, uint32_t row, counts):
        """What the events of a row count, for each program of the layout and each counter."""
        cdef uint32_t p, k
        if row >= self.columns.n_rows or len(counts) != self.columns.n_programs:
            raise IndexError("there is no such row or program")
        for p in range(self.columns.n_programs):
            if len(counts[p]) != self.columns.n_counters[p]:
                raise IndexError("there is no such counter")
            for k in range(self.columns.n_counters[p]):
                self.columns.counts[p][k][row] = counts[p][k]

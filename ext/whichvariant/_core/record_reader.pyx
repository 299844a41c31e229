"""Records out of a stream of bytes: where each begins and ends, and what becomes of it.

A source is read in pieces of any size. Each call takes the complete records of a buffer; the rest
the caller hands over again, with more behind it. Three forms:

- ``ndjson``: one record a line. A line feed ends a record wherever it stands, since JSON allows
  none inside a text; blank lines are none.
- ``json``: one array of records, or one record. Elements are told apart by brackets, quotes and
  commas alone, so that a broken one does not spoil those behind it.
- ``msgpack``: one record behind the other.

A record that is refused is noted with its place and its bytes, and the next one is read.

Memory: a `RecordReader` owns its `Shredder`; buffers belong to the caller.
"""
# cython: language_level=3

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from whichvariant._core.columns cimport Columns
from whichvariant._core.msgpack_grammar cimport MSG_CUT, MSG_OK, msgpack_end
from whichvariant._core.msgpack_scanner cimport take_msgpack
from whichvariant._core.shredder cimport FAILED, REJECTED, TAKEN, Fate, Shredder

from whichvariant._core.evaluate_one import MAX_PROFILE_BYTES

cdef extern from "text.h" nogil:
    const char *wv_find_special(const char *p, const char *end)

FORMATS = ("ndjson", "json", "msgpack")

cdef size_t LONGEST_RECORD = MAX_PROFILE_BYTES

cdef enum Format:
    NDJSON = 0
    JSON_ARRAY = 1
    MSGPACK = 2

cdef enum Stage:
    BEGINNING = 0     # nothing read yet
    INSIDE = 1
    BETWEEN = 2       # behind an element of an array
    OVER = 3          # behind the array
    SKIPPING = 4      # in a line that is too long
    LOST = 5          # no more record can be found


cdef inline bint is_blank(char c) noexcept nogil:
    return c == c' ' or c == c'\n' or c == c'\r' or c == c'\t' or c == 11 or c == 12


cdef const char *element_end(const char *p, const char *end) noexcept nogil:
    """Where an element of an array ends: at a comma or bracket outside of it. NULL when cut off."""
    cdef size_t depth = 0
    cdef char c
    while p < end:
        c = p[0]
        if c == c'"':
            p += 1
            while True:
                p = wv_find_special(p, end)
                if p == end:
                    return NULL
                if p[0] == c'"':
                    break
                # A backslash and what it escapes; a control character is no end either.
                p += 2 if p[0] == c'\\' else 1
                if p >= end:
                    return NULL
        elif c == c'{' or c == c'[':
            depth += 1
        elif depth == 0 and (c == c',' or c == c']'):
            return p
        elif c == c'}' or c == c']':
            if depth:
                depth -= 1
        p += 1
    return NULL


cdef class RecordReader:
    """Reads records into ``columns``, at most ``rows`` in a batch.

    ``count_events`` is the `Shredder`'s.
    """

    cdef readonly Columns columns
    cdef Shredder _shredder
    cdef uint32_t _rows
    cdef Format _format
    cdef Stage _stage
    cdef readonly uint64_t records    # met so far, refused ones included
    cdef readonly uint64_t offset     # bytes read so far
    cdef uint64_t _line
    cdef list _rejected

    def __init__(self, Columns columns not None, uint32_t rows, count_events):
        if rows < 1 or rows > 1 << 24:
            raise ValueError("a batch has 1 to 16,777,216 rows")
        self._shredder = Shredder(columns, count_events)
        self._rows = rows
        self._rejected = []
        self.columns = columns
        self.begin("ndjson")

    def begin(self, str form not None):
        """Start with another source, in one of FORMATS. Rows that were read stay."""
        cdef int number
        if form not in FORMATS:
            raise ValueError(f"format {form!r}: expected one of {', '.join(FORMATS)}")
        number = FORMATS.index(form)
        self._format = <Format> number
        self._stage = BEGINNING
        self.records = 0
        self.offset = 0
        self._line = 0

    @property
    def full(self):
        """Whether the batch has no room for another row."""
        return self.columns.n_rows >= self._rows

    def take_rejected(self):
        """What was refused since the last call.

        A list of (record, line or 0, offset, bytes, length, reason): the number of the record in
        the source from 0, its line from 1, where it starts, and what it is; the bytes are None
        where they are too many. The reason is None where the bytes speak for themselves, and a
        text where no record could be told; then the length is 0.
        """
        rejected = self._rejected
        self._rejected = []
        return rejected

    def feed(self, data, bint final):
        """Read complete records until the batch is full; how many bytes were read.

        ``final`` says that the source ends with ``data``: then all of it is read, as far as there
        is room.
        """
        cdef const uint8_t[::1] view = memoryview(data).cast("B")
        cdef size_t n = <size_t> view.shape[0]
        cdef size_t used = 0
        cdef const char *start
        cdef Fate fate
        if self.columns.reserve(self._rows) < 0:
            raise MemoryError
        if n == 0:
            return 0
        start = <const char *> &view[0]
        with nogil:
            if self._format == NDJSON:
                fate = self._feed_lines(start, n, final, &used)
            elif self._format == JSON_ARRAY:
                fate = self._feed_array(start, n, final, &used)
            else:
                fate = self._feed_msgpack(start, n, final, &used)
        self.offset = self.offset + used
        if fate == FAILED:
            failure = self._shredder.failure
            self._shredder.failure = None
            raise MemoryError if failure is None else failure
        return used

    cdef void _reject(
        self, const char *start, const char *record, size_t length, str reason,
    ) noexcept with gil:
        """Note a record that is refused; ``start`` is where the buffer begins."""
        try:
            self._rejected.append((
                self.records, self._line, self.offset + <uint64_t> (record - start),
                None if length > LONGEST_RECORD else record[:length], length, reason))
        except MemoryError as error:
            self._shredder.failure = error

    cdef Fate _take(self, const char *start, const char *record, size_t length) noexcept nogil:
        cdef Fate fate
        cdef uint32_t row = self.columns.n_rows
        if self._format == MSGPACK:
            fate = take_msgpack(self._shredder, record, length)
        else:
            fate = self._shredder.take_json(record, length)
        if fate == TAKEN:
            self.columns.records[row] = self.records
        elif fate == REJECTED:
            with gil:
                self._reject(start, record, length, None)
        self.records = self.records + 1
        return fate

    # ---- one record a line --------------------------------------------------------------------

    cdef Fate _feed_lines(
        self, const char *start, size_t n, bint final, size_t *used,
    ) noexcept nogil:
        cdef const char *p = start
        cdef const char *end = start + n
        cdef const char *stop
        cdef const char *first
        cdef const char *next_line
        while p < end and self.columns.n_rows < self._rows:
            stop = <const char *> memchr(p, c'\n', <size_t> (end - p))
            if self._stage == SKIPPING:
                if stop != NULL:
                    self._stage = INSIDE
                p = end if stop == NULL else stop + 1
                continue
            if stop == NULL:
                if not final and <size_t> (end - p) <= LONGEST_RECORD:
                    break
                stop = end
                next_line = end
                if not final:
                    # Its end may be far; what is known of it is enough to refuse it.
                    self._stage = SKIPPING
            else:
                next_line = stop + 1
            self._line = self._line + 1
            first = p
            if self._line == 1 and stop - p >= 3 and memcmp(p, b"\xef\xbb\xbf", 3) == 0:
                first = p + 3
            while first < stop and is_blank(first[0]):
                first += 1
            while first < stop and is_blank((stop - 1)[0]):
                stop -= 1
            p = next_line
            if first < stop and self._take(start, first, <size_t> (stop - first)) == FAILED:
                used[0] = <size_t> (p - start)
                return FAILED
        used[0] = <size_t> (p - start)
        return TAKEN

    # ---- an array -----------------------------------------------------------------------------

    cdef Fate _feed_array(
        self, const char *start, size_t n, bint final, size_t *used,
    ) noexcept nogil:
        cdef const char *p = start
        cdef const char *end = start + n
        cdef const char *stop
        cdef const char *last
        cdef Fate fate = TAKEN
        if self.offset == 0 and n < 3 and not final:
            used[0] = 0
            return TAKEN
        if self.offset == 0 and n >= 3 and memcmp(p, b"\xef\xbb\xbf", 3) == 0:
            p += 3
        while self.columns.n_rows < self._rows and fate != FAILED:
            while p < end and is_blank(p[0]):
                p += 1
            if p == end:
                break
            if self._stage == LOST:
                p = end
                break
            if self._stage == BEGINNING and p[0] == c'[':
                self._stage = INSIDE
                p += 1
                continue
            if self._stage == BEGINNING or self._stage == OVER:
                # A single record, or something behind the array: all there is.
                if not final and <size_t> (end - p) <= LONGEST_RECORD:
                    break
                last = end
                while is_blank((last - 1)[0]):
                    last -= 1
                fate = self._take(start, p, <size_t> (last - p))
                self._stage = LOST
                p = end
                break
            if self._stage == BETWEEN:
                if p[0] == c']':
                    self._stage = OVER
                else:
                    self._stage = INSIDE
                p += 1
                if p < end or self._stage == OVER:
                    continue
                break
            if p[0] == c']' and self.records == 0:
                self._stage = OVER
                p += 1
                continue
            stop = element_end(p, end)
            if stop == NULL:
                if not final and <size_t> (end - p) <= LONGEST_RECORD:
                    break
                stop = end
            last = stop
            while last > p and is_blank((last - 1)[0]):
                last -= 1
            fate = self._take(start, p, <size_t> (last - p))
            if stop == end:
                self._stage = LOST
            else:
                self._stage = BETWEEN
            p = stop
        used[0] = <size_t> (p - start)
        return fate

    # ---- msgpack ------------------------------------------------------------------------------

    cdef Fate _feed_msgpack(
        self, const char *start, size_t n, bint final, size_t *used,
    ) noexcept nogil:
        cdef const char *p = start
        cdef const char *end = start + n
        cdef const char *stop = NULL
        cdef int found
        cdef Fate fate = TAKEN
        while p < end and self.columns.n_rows < self._rows and fate != FAILED:
            if self._stage == LOST:
                p = end
                break
            found = msgpack_end(p, end, &stop)
            if found == MSG_CUT and not final and <size_t> (end - p) <= LONGEST_RECORD:
                break
            if found != MSG_OK:
                # Without a length to go by, no other record can be found behind it.
                with gil:
                    self._reject(
                        start, p, 0,
                        "cut off" if found == MSG_CUT and final else
                        "longer than 67108864 bytes" if found == MSG_CUT else "not msgpack")
                self.records = self.records + 1
                self._stage = LOST
                p = end
                break
            fate = self._take(start, p, <size_t> (stop - p))
            p = stop
        used[0] = <size_t> (p - start)
        return fate

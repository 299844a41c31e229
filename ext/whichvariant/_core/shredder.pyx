"""From the bytes of one record after another straight to columns, without Python objects.

A record goes through the scanner of the driver for one profile (scanner.pyx) and so means exactly
what `select_json` makes of it; only where the cells go is different. A record is a profile, a
request or a response of the API, told apart by its members as the command line does:

- ``{"data": {"profile": ...}}`` without ``id``: a response;
- ``{"profile": ..., "device"?, "events"?}`` without ``id`` and ``stableId``: a request;
- everything else is a profile.

Arrays that rules read and events go through Python; nothing else does.

Memory: a `Shredder` owns its cells and spare room; rows go to its `Columns`.
"""
# cython: language_level=3

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

import json

from whichvariant._core.cells cimport Cell
from whichvariant._core.columns cimport Column, Columns, id_units
from whichvariant._core.json_grammar cimport (
    SCAN_NUMBER, SCAN_OK, SCAN_STICKY, SCAN_TYPE, Scanner, next_member, open_container, read_key,
    scan_text, skip_space, skip_value,
)
from whichvariant._core.predicates cimport ARRAY_RAW, MISSING, NUMBER, TEXT
from whichvariant._core.scanner cimport scan_profile

from whichvariant._core.coercion import json_text
from whichvariant._core.evaluate_one import MAX_PROFILE_BYTES

cdef size_t LONGEST_RECORD = MAX_PROFILE_BYTES


def number_of(text):
    """A whole number of a JSON text: an int, as long as that is the same as the double."""
    # More digits than int() takes would be an error, though JSON has no such limit.
    return int(text) if len(text) < 300 else float(text)


cdef void read_part(Scanner *s, const char *data, size_t length, char *spare) noexcept nogil:
    """A scanner over a part of a record; its texts go to ``spare``."""
    memset(s, 0, sizeof(Scanner))
    s.start = data
    s.at = data
    s.end = data + length
    s.spare = spare
    s.spare_at = spare
    s.expected = ""


cdef class Shredder:
    """Fills ``columns`` from records.

    ``count_events`` takes the JSON of a list of events (bytes) and gives, for each program of the
    layout, the counts of its counters; None when they cannot be counted.
    """

    def __init__(self, Columns columns not None, count_events):
        cdef uint32_t i
        if self.columns is not None:
            raise TypeError("a shredder has its columns already")
        self.layout = columns.layout
        self._count_events = count_events
        self.profile.kinds = <uint8_t *> calloc(self.layout.n_columns + 1, 1)
        self.profile.cells = <Cell *> calloc(self.layout.n_columns + 1, sizeof(Cell))
        i = <uint32_t> len(self.layout.sticky_ids)
        self.profile.overrides = <int32_t *> calloc(i + 1, sizeof(int32_t))
        self.profile.overridden = <uint32_t *> calloc(i + 1, sizeof(uint32_t))
        if (self.profile.kinds == NULL or self.profile.cells == NULL
                or self.profile.overrides == NULL or self.profile.overridden == NULL):
            raise MemoryError
        for i in range(i):
            self.profile.overrides[i] = -1
        self.columns = columns

    def __dealloc__(self):
        free(self.profile.kinds)
        free(self.profile.cells)
        free(self.profile.overrides)
        free(self.profile.overridden)
        free(self.spare)

    cdef int reserve_spare(self, size_t size) noexcept nogil:
        if size <= self.spare_room:
            return 0
        free(self.spare)
        self.spare_room = 0
        self.spare = <char *> malloc(size + size // 2 + 4096)
        if self.spare == NULL:
            return -1
        self.spare_room = size + size // 2 + 4096
        return 0

    cdef void forget(self) noexcept nogil:
        """Make the cells ready for another profile."""
        cdef uint32_t i
        memset(self.profile.kinds, MISSING, self.layout.n_columns)
        self.profile.stable_id = NULL
        self.profile.stable_id_length = 0
        for i in range(self.profile.n_overridden):
            self.profile.overrides[self.profile.overridden[i]] = -1
        self.profile.n_overridden = 0

    # ---- a record -----------------------------------------------------------------------------

    cdef Fate take_json(self, const char *data, size_t length) noexcept nogil:
        """A record of any shape into the next row. A row that is not taken leaves no trace."""
        cdef Envelope envelope
        cdef Fate fate
        if length > LONGEST_RECORD:
            return REJECTED
        if self.reserve_spare(length + 16) < 0:
            return FAILED
        fate = self.scan_json(data, length, &envelope)
        if fate == TAKEN:
            fate = self.put_counts(envelope.events, envelope.events_length)
        if fate == TAKEN:
            fate = self.put_row(envelope.device, envelope.device_length)
        return fate

    cdef Fate scan_json(
        self, const char *data, size_t length, Envelope *envelope,
    ) noexcept nogil:
        """Scan a record into the cells, whichever shape it has."""
        cdef Scanner scanner
        cdef Scanner part
        cdef const char *text
        cdef const char *inner = NULL
        cdef size_t n
        cdef size_t inner_length = 0
        cdef int more
        envelope.device = NULL
        envelope.events = NULL
        self.forget()
        if scan_profile(
                &scanner, &self.layout.target, &self.profile, data, length, self.spare) < 0:
            if (scanner.error != SCAN_TYPE and scanner.error != SCAN_STICKY
                    and scanner.error != SCAN_NUMBER):
                return REJECTED
        # From here on the record is known to be JSON, so spans of it are read without checks.
        if (scanner.watched[HAS_DATA] != NULL and scanner.watched[HAS_DATA][0] == c'{'
                and scanner.watched[HAS_ID] == NULL):
            read_part(
                &part, scanner.watched[HAS_DATA], scanner.watched_length[HAS_DATA],
                scanner.spare_at)
            more = open_container(&part, c'}')
            while more > 0:
                read_key(&part, &text, &n)
                skip_space(&part)
                if is_text(text, n, "profile", 7):
                    inner = part.at
                    skip_value(&part)
                    inner_length = <size_t> (part.at - inner)
                else:
                    skip_value(&part)
                more = next_member(&part, c'}')
            if inner == NULL or inner[0] != c'{':
                return REJECTED
        elif (scanner.watched[HAS_PROFILE] != NULL and scanner.watched[HAS_ID] == NULL
                and not scanner.has_stable_id):
            inner = scanner.watched[HAS_PROFILE]
            inner_length = scanner.watched_length[HAS_PROFILE]
            if inner[0] != c'{':
                return REJECTED
            read_part(&part, data, length, scanner.spare_at)
            skip_space(&part)
            more = open_container(&part, c'}')
            while more > 0:
                read_key(&part, &text, &n)
                if not is_request_key(text, n):
                    return REJECTED
                skip_value(&part)
                more = next_member(&part, c'}')
            text = scanner.watched[HAS_DEVICE]
            if text != NULL and text[0] != c'n':
                if text[0] != c'"':
                    return REJECTED
                envelope.device = text
                envelope.device_length = scanner.watched_length[HAS_DEVICE]
            text = scanner.watched[HAS_EVENTS]
            if text != NULL and text[0] != c'n':
                if text[0] != c'[':
                    return REJECTED
                envelope.events = text
                envelope.events_length = scanner.watched_length[HAS_EVENTS]
        elif scanner.error != SCAN_OK:
            return REJECTED
        if inner != NULL:
            self.forget()
            if scan_profile(
                    &scanner, &self.layout.target, &self.profile, inner, inner_length,
                    self.spare) < 0:
                return REJECTED
            if envelope.device != NULL:
                read_part(
                    &part, envelope.device + 1, envelope.device_length - 1, scanner.spare_at)
                scan_text(&part, &envelope.device, &envelope.device_length)
                if not is_device(envelope.device, envelope.device_length):
                    return REJECTED
        return TAKEN

    # ---- a row --------------------------------------------------------------------------------

    cdef Fate put_row(self, const char *device, size_t device_length) noexcept nogil:
        """The cells as the next row of the columns, which have room for it."""
        cdef uint32_t row = self.columns.n_rows
        cdef uint32_t c
        cdef bint ascii
        cdef Fate fate
        if (self.profile.stable_id == NULL
                or id_units(self.profile.stable_id, self.profile.stable_id_length, &ascii) < 0):
            return REJECTED
        for c in range(self.layout.n_columns):
            if self.profile.kinds[c] == MISSING:
                self.columns.columns[c].codes[row] = MISSING
        if device != NULL and self.layout.device_column >= 0:
            if self.columns.put_text(
                    <uint32_t> self.layout.device_column, row, device, device_length) < 0:
                return FAILED
        fate = self.put_cells(row)
        if fate != TAKEN:
            return fate
        if self.columns.put_id(
                row, self.profile.stable_id, self.profile.stable_id_length) < 0:
            return FAILED
        self.columns.all_ascii = self.columns.all_ascii and ascii
        self.columns.n_rows = row + 1
        return TAKEN

    cdef Fate put_cells(self, uint32_t row) noexcept nogil:
        """What the cells hold, missing ones aside, and the sticky choices."""
        cdef uint32_t c, i
        cdef uint8_t kind
        cdef Column *column
        cdef const Cell *cell
        cdef Fate fate
        cdef int32_t choice
        for c in range(self.layout.n_columns):
            kind = self.profile.kinds[c]
            column = &self.columns.columns[c]
            cell = &self.profile.cells[c]
            if kind == MISSING or kind == PLACED:
                continue
            if kind == TEXT:
                if self.columns.put_text(c, row, cell.text, cell.length) < 0:
                    return FAILED
            elif kind == ARRAY_RAW:
                fate = self.put_array(c, row)
                if fate != TAKEN:
                    return fate
            else:
                column.codes[row] = kind
                if kind == NUMBER:
                    column.numbers[row] = cell.number
                    column.has_numbers = 1
        for i in range(self.profile.n_overridden):
            choice = self.profile.overrides[self.profile.overridden[i]]
            if choice >= 0 and self.columns.put_sticky(
                    row, self.profile.overridden[i], choice) < 0:
                return FAILED
        return TAKEN

    cdef Fate put_array(self, uint32_t column, uint32_t row) noexcept nogil:
        """An array's text, by way of Python: rules seldom read arrays."""
        cdef const Cell *cell = &self.profile.cells[column]
        cdef Fate fate
        with gil:
            try:
                value = json.loads(cell.text[:cell.length].decode("utf-8"), parse_int=float)
                text = json_text(value).encode("utf-8")
                fate = TAKEN
                if self.columns.put_text(column, row, <const char *> text, len(text)) < 0:
                    fate = FAILED
            except (TypeError, ValueError):
                # A number that is not finite, or too deep: select_json refuses it likewise.
                fate = REJECTED
            except BaseException as error:
                self.failure = error
                fate = FAILED
        return fate

    cdef Fate put_counts(self, const char *events, size_t length) noexcept nogil:
        """How often each counter of each program counts; ``events`` is JSON, or NULL."""
        cdef Fate fate = TAKEN
        self.clear_counts()
        if events != NULL:
            with gil:
                try:
                    fate = self.count_list(
                        json.loads(events[:length].decode("utf-8"), parse_int=number_of))
                except BaseException as error:
                    self.failure = error
                    fate = FAILED
        return fate

    cdef void clear_counts(self) noexcept nogil:
        cdef uint32_t p, k
        for p in range(self.columns.n_programs):
            for k in range(self.columns.n_counters[p]):
                self.columns.counts[p][k][self.columns.n_rows] = 0

    cdef Fate count_list(self, object events) except FAILED:
        """Count a list of events into the next row."""
        cdef uint32_t p, k
        found = self._count_events(events)
        if found is None:
            return REJECTED
        for p, counts in enumerate(found):
            for k, count in enumerate(counts):
                self.columns.counts[p][k][self.columns.n_rows] = count
        return TAKEN
